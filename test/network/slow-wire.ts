/**
 * A way to Redis that takes its time, through this process: what a long distance does, and a network that loses packets.
 * Needs neither root nor the kernel's emulation (tc netem), which many machines lack.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface SlowWireOptions {
  /** What each byte takes, in either direction. */
  readonly delayMs: number;
  /** How many of a hundred pieces are lost, and sent again: they and those behind them are late. */
  readonly lossPercent: number;
}

/** TCP sends again what is lost after this at the soonest (RTO_MIN of Linux). */
const SENT_AGAIN_MS = 200;

export class SlowWire implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** @param redisUrl where the wire ends */
  static async lay(redisUrl: string, options: SlowWireOptions): Promise<SlowWire> {
    const { hostname, port } = new URL(redisUrl);
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new SlowWire(server, options, () => connect(Number(port), hostname));
  }

  private constructor(server: Server, options: SlowWireOptions, toRedis: () => Socket) {
    this.#server = server;
    this.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (near) => {
      const far = toRedis();
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.setNoDelay(true);
        from.on("error", () => {}); // `close` follows.
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        carry(from, to, options);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Hands on what comes, in its order. Which pieces are lost is told by their number, so it is the same in each run. */
function carry(from: Socket, to: Socket, { delayMs, lossPercent }: SlowWireOptions): void {
  const piecesPerLoss = Math.round(100 / lossPercent);
  let pieces = 0;
  /** One after the other: two timers may fire in another order than they are due. */
  let handedOn: Promise<unknown> = Promise.resolve();
  const handOn = (piece: () => void) => {
    const isLost = ++pieces % piecesPerLoss === 0;
    const due = performance.now() + delayMs + (isLost ? SENT_AGAIN_MS : 0);
    handedOn = handedOn.then(() => sleep(due - performance.now())).then(piece);
  };
  from.on("data", (data) => handOn(() => to.writable && to.write(data)));
  from.on("end", () => handOn(() => to.end()));
}
