// A chat room over WebSockets. It shows which protocol each visitor uses:
//   deno run --allow-ffi --allow-net examples/websocket.ts [port]
//   bun examples/websocket.ts [port]
import process from "node:process";
import { serveMptcp, upgradeWebSocket } from "@multipath/mptcp/http";

const room = new Set<WebSocket>();
const port = Number(process.argv[2] ?? 5001);
const server = serveMptcp({ hostname: "::", port }, (request, info) => {
  if (request.headers.get("upgrade") !== "websocket") {
    return new Response("Only WebSockets here\n", {
      status: 426,
      headers: { upgrade: "websocket" },
    });
  }
  const { socket, response } = upgradeWebSocket(request, info);
  const say = (line: string) => room.forEach((other) => other.send(line));
  const name = `${info.remoteAddr.hostname} port ${info.remoteAddr.port}`;
  socket.onopen = () => {
    room.add(socket);
    say(`${name} joined over ${info.protocol}, with ${info.subflows().length} subflow(s)`);
  };
  socket.onmessage = ({ data }) => say(`${name}: ${data}`);
  socket.onclose = () => {
    room.delete(socket);
    say(`${name} has left`);
  };
  return response;
});
console.log(`Port ${server.addr.port}: ${server.fallback?.detail ?? "MPTCP and TCP"}`);
