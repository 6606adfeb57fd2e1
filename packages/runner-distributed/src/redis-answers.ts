import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { RedisServerExit } from "./redis-exit.ts";

const PING_INTERVAL_MS = 5;

/** @throws why it does not answer, as the end of a sentence */
export async function waitUntilAnswers(
  socketPath: string,
  exited: Promise<RedisServerExit>,
  timeoutSeconds: number,
): Promise<void> {
  let exit: RedisServerExit | undefined;
  void exited.then((value) => {
    exit = value;
  });
  const deadline = performance.now() + timeoutSeconds * 1000;
  let lastReply = "no connection";
  while (exit === undefined) {
    const remainingMs = deadline - performance.now();
    if (remainingMs <= 0) throw new Error(`no answer to PING in time (last: ${lastReply}).`);
    lastReply = await ping(socketPath, remainingMs);
    if (lastReply === "+PONG") return;
    await delay(PING_INTERVAL_MS);
  }
  throw new Error(endOf(exit));
}

function endOf(exit: RedisServerExit): string {
  return exit.signal === undefined ? `it exited with code ${exit.code}.` : `it was ended by ${exit.signal}.`;
}

/** The first line that the server answers to PING, or why there is none. Never rejects. */
function ping(socketPath: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => socket.write("PING\r\n"));
    let reply = "";
    const settle = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(timeoutMs, () => settle("no reply"));
    socket.on("error", (error) => settle(error.message));
    socket.on("close", () => settle("connection closed"));
    socket.on("data", (chunk) => {
      reply += chunk.toString("latin1");
      const end = reply.indexOf("\r\n");
      if (end !== -1) settle(reply.slice(0, end));
    });
  });
}
