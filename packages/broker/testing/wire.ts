import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** One connection through a Wire. */
export interface WireLink {
  /** Passes on what was held. */
  release(): void;
  cut(): void;
}

/** A way to a Redis, on which a test listens in, holds up what clients send, and cuts connections. */
export class Wire implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** @param passes told of each piece that a client sends; false: it is held, with all that follows on its connection */
  static async to(redisUrl: string, passes: (sent: string, link: WireLink) => boolean): Promise<Wire> {
    const { hostname, port } = new URL(redisUrl);
    const wire = new Wire(() => connect(Number(port), hostname), passes);
    await new Promise<void>((resolve) => wire.#server.listen(0, "127.0.0.1", resolve));
    return wire;
  }

  private constructor(reach: () => Socket, passes: (sent: string, link: WireLink) => boolean) {
    this.#server = createServer((client) => {
      const behind = reach();
      let held: Buffer[] | undefined;
      const link: WireLink = {
        release: () => {
          for (const piece of held ?? []) behind.write(piece);
          held = undefined;
        },
        cut: () => void client.destroy(),
      };
      client.on("data", (piece: Buffer) => {
        if (held === undefined && !passes(piece.toString(), link)) held = [];
        if (held === undefined) behind.write(piece);
        else held.push(piece);
      });
      behind.on("data", (piece: Buffer) => client.write(piece));
      for (const [end, other] of [
        [client, behind],
        [behind, client],
      ] as const) {
        this.#sockets.add(end);
        end.on("error", () => {});
        end.on("close", () => {
          this.#sockets.delete(end);
          other.destroy();
        });
      }
    });
  }

  get redisUrl(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
