import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { ResultStore } from "@millrace/core";
import { describe, expect, test } from "vitest";

/** A holder of a Redis claim is given up after 10 s; the rest is for a machine that is busy. */
const TIMEOUT_MS = 60_000;

/**
 * What every result store that processes share keeps to when a holder of a claim dies.
 *
 * @param openElsewhere the text of a module that sets `store`, to be run in another process, on what is built
 */
export function resultStoreDeathsContract(
  kind: string,
  open: () => ResultStore,
  openElsewhere: () => string,
): void {
  describe(`${kind} outlives holders of claims:`, () => {
    test.concurrent(
      "one that was killed loses its claims, each to one waiter at a time",
      async () => {
        const keys = Array.from({ length: 3 }, () => randomUUID());
        await using holder = await holdElsewhere(openElsewhere(), keys);
        const stores = [open(), open()];
        const holders = new Map<string, number>();
        let most = 0;
        // Before the death, so that all of them watch the same claims go stale.
        const waiters = keys.flatMap((key) =>
          Array.from({ length: 50 }, async (_, index) => {
            const claim = await stores[index % 2]!.claim(key);
            holders.set(key, (holders.get(key) ?? 0) + 1);
            most = Math.max(most, holders.get(key)!);
            await stores[index % 2]!.read(key);
            holders.set(key, holders.get(key)! - 1);
            await claim.release();
          }),
        );
        holder.process.kill("SIGKILL");
        await Promise.all(waiters);
        expect(most).toBe(1);
      },
      TIMEOUT_MS,
    );

    test.concurrent(
      "one that was suspended loses its claim, and does not end the next one when it wakes",
      async () => {
        const key = randomUUID();
        await using holder = await holdElsewhere(openElsewhere(), [key]);
        holder.process.kill("SIGSTOP");
        const claim = await open().claim(key);
        holder.process.kill("SIGCONT");
        holder.process.stdin!.write("release\n");
        expect(await holder.line()).toBe("released");
        const events: string[] = [];
        const store = open();
        const next = store.claim(key).then(async (later) => {
          events.push("the next one has it");
          await later.release();
        });
        // The first try of the next one came before those of this claim.
        await (await store.claim(randomUUID())).release();
        events.push("released");
        await claim.release();
        await next;
        expect(events).toEqual(["released", "the next one has it"]);
      },
      TIMEOUT_MS,
    );
  });
}

interface HolderProcess extends AsyncDisposable {
  readonly process: ChildProcess;
  /** The next line that it says. */
  line(): Promise<string>;
}

/** A process that has claimed the keys, and releases them when it is told to. */
async function holdElsewhere(openStore: string, keys: readonly string[]): Promise<HolderProcess> {
  const program = `
    ${openStore}
    const claims = await Promise.all(${JSON.stringify(keys)}.map((key) => store.claim(key)));
    console.log("claimed");
    process.stdin.once("data", async () => {
      await Promise.all(claims.map((claim) => claim.release()));
      console.log("released");
    });`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const holder: HolderProcess = {
    process: child,
    line: async () => {
      const [data] = await Promise.race([once(child.stdout!, "data"), ended.then(() => ["it ended"])]);
      return String(data).trim();
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
  expect(await holder.line()).toBe("claimed");
  return holder;
}
