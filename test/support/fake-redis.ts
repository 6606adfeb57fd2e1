import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface FakeRedis extends AsyncDisposable {
  readonly url: string;
}

/**
 * A server that speaks as much of Redis's protocol as it takes to ask it who it is. `info` is what INFO gives. Redis
 * knows HELLO, and with it version 3 of the protocol, from 6.0 on.
 */
export async function startFakeRedis(info: string, { knowsHello = true } = {}): Promise<FakeRedis> {
  const hello = knowsHello
    ? `%2\r\n${bulk("server")}${bulk("redis")}${bulk("proto")}:3\r\n`
    : "-ERR unknown command `hello`, with args beginning with: `3`, \r\n";
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      for (let command = takeCommand(); command !== undefined; command = takeCommand()) {
        socket.write(command === "INFO" ? bulk(info) : command === "HELLO" ? hello : "+OK\r\n");
      }
    });
    /** The name of the next whole command: `*<n>`, then n times `$<length>` and as many bytes. */
    function takeCommand(): string | undefined {
      const count = Number(/^\*(\d+)\r\n/.exec(text)?.[1]);
      let at = text.indexOf("\r\n") + 2;
      let name: string | undefined;
      for (let part = 0; part < count; part++) {
        const length = /^\$(\d+)\r\n/.exec(text.slice(at))?.[1];
        if (length === undefined) return undefined;
        const start = at + length.length + 3;
        at = start + Number(length) + 2;
        if (at > text.length) return undefined;
        name ??= text.slice(start, at - 2).toUpperCase();
      }
      if (name !== undefined) text = text.slice(at);
      return name;
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}
