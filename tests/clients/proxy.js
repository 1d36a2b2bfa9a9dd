// A TCP proxy between a client and a hub that cuts connections.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Starts a proxy to a port of this machine. It ends with the test `t`. */
export async function startProxy(t, port) {
  const sockets = new Set();
  const waiting = [];
  const proxy = { passed: "", heads: [], isAway: false, cut, restore };

  const server = createServer((client) => {
    keep(client);
    if (proxy.isAway) waiting.push(client);
    else pass(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.address = `http://127.0.0.1:${server.address().port}`;
  t.after(() => {
    cut();
    server.close();
  });
  return proxy;

  function keep(socket) {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  }

  function pass(client) {
    const hub = connect(port, "127.0.0.1");
    keep(hub);
    client.on("data", (bytes) => proxy.heads.push(bytes.toString()));
    hub.on("data", (bytes) => (proxy.passed += bytes));
    client.pipe(hub).pipe(client);
    client.on("close", () => hub.destroy());
    hub.on("close", () => client.destroySoon());
  }

  /** Cuts every connection. New connections wait until the proxy is restored. */
  function cut() {
    proxy.isAway = true;
    for (const socket of sockets) socket.resetAndDestroy();
  }

  function restore() {
    proxy.isAway = false;
    for (const client of waiting.splice(0)) if (!client.destroyed) pass(client);
  }
}
