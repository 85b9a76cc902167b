// The echo server of Node's own documentation: pipe() stops reading while the peer does not read, and ends the
// connection, everything sent, when the peer has finished.
//
//     node echo_server.js HOST PORT
"use strict";
const net = require("node:net");

const [host, port] = process.argv.slice(2);

net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
  socket.on("error", () => socket.destroy()); // reset by the peer
  socket.pipe(socket);
}).listen({ host, port: Number(port), backlog: 4096 });
