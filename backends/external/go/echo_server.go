// An echo server in the usual form of Go: a goroutine for each connection. The runtime waits for all of them with epoll.
//
//	echo_server HOST PORT
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

const (
	readSize    = 64 * 1024
	acceptPause = 100 * time.Millisecond
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: echo_server HOST PORT")
		os.Exit(2)
	}
	listener, fault := net.Listen("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if fault != nil {
		fmt.Fprintln(os.Stderr, fault)
		os.Exit(1)
	}
	for {
		connection, fault := listener.Accept() // Go sets TCP_NODELAY
		if fault != nil {
			time.Sleep(acceptPause) // out of descriptors: later there may be some
			continue
		}
		go echo(connection)
	}
}

// echo sends back what it receives until the peer has finished. io.Copy would splice the socket through a pipe, which
// takes two pipe descriptors a connection and more system calls for each small message.
func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, readSize)
	for {
		size, fault := connection.Read(buffer)
		if size > 0 {
			if _, broken := connection.Write(buffer[:size]); broken != nil {
				return
			}
		}
		if fault != nil {
			return
		}
	}
}
