import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollEventLoopGroup;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.util.Version;
import java.util.logging.Logger;

/**
 * The echo server of Netty's own examples, which also stops reading while the peer does not read, and closes a
 * connection, everything sent, when the peer has finished.
 *
 * <pre>
 *   EchoServer nio|epoll HOST PORT   serves
 *   EchoServer nio|epoll             prints versions, or why it cannot serve
 * </pre>
 */
public final class EchoServer {
    private static final int BACKLOG = 4096;

    private EchoServer() {}

    public static void main(String[] words) throws InterruptedException {
        boolean epoll = words[0].equals("epoll");
        if (epoll && !Epoll.isAvailable()) {
            System.err.println(Epoll.unavailabilityCause());
            System.exit(1);
        }
        if (words.length == 1) {
            String netty = Version.identify().get("netty-transport").artifactVersion();
            System.out.println("Java " + Runtime.version() + ", Netty " + netty);
            return;
        }
        EventLoopGroup acceptors = epoll ? new EpollEventLoopGroup(1) : new NioEventLoopGroup(1);
        EventLoopGroup workers = epoll ? new EpollEventLoopGroup() : new NioEventLoopGroup();
        Class<? extends ServerChannel> channel = epoll ? EpollServerSocketChannel.class : NioServerSocketChannel.class;
        // The first line that is logged opens files: it must not be the one that says that no descriptors are left.
        Logger.getLogger("EchoServer").info("starting");
        new ServerBootstrap()
                .group(acceptors, workers)
                .channel(channel)
                .option(ChannelOption.SO_BACKLOG, BACKLOG)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
                .childHandler(new ChannelInitializer<Channel>() {
                    @Override
                    public void initChannel(Channel connection) {
                        connection.pipeline().addLast(new Echo());
                    }
                })
                .bind(words[1], Integer.parseInt(words[2]))
                .sync();
    }

    private static final class Echo extends ChannelInboundHandlerAdapter {
        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            context.write(message);
        }

        @Override
        public void channelReadComplete(ChannelHandlerContext context) {
            context.flush();
        }

        @Override
        public void channelWritabilityChanged(ChannelHandlerContext context) {
            context.channel().config().setAutoRead(context.channel().isWritable());
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext context, Object event) {
            if (event == ChannelInputShutdownEvent.INSTANCE) {
                context.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
            }
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            context.close(); // reset by the peer
        }
    }
}
