import { elapsedMs } from "../measure.ts";
import { inFlow, openCluster } from "../systems/millrace.ts";
import { openPool } from "../systems/piscina.ts";
import { echo } from "../tasks.js";
import { type Bench, type Group, Rounds } from "./group.ts";

const ROUNDS = 3;
/** Tasks of each size: about a second of work, and no more memory than a small machine has. */
const SIZES = [
  { bytes: 100, tasks: 20_000 },
  { bytes: 1_000, tasks: 20_000 },
  { bytes: 10_000, tasks: 5_000 },
  { bytes: 100_000, tasks: 1_000 },
  { bytes: 1_000_000, tasks: 100 },
  { bytes: 10_000_000, tasks: 10 },
];

/** Gives so many buffers to tasks, all at once, and waits until they are back. */
type Echo = (buffers: readonly Buffer[]) => Promise<readonly Uint8Array[]>;

/** Tasks that give back a buffer that they get: every byte travels twice. */
export const payload: Group = {
  name: "payload",
  async run(bench) {
    const rounds = new Rounds();
    if (bench.wants({ system: "piscina" })) {
      const pool = openPool();
      await measure(bench, rounds, "piscina", (buffers) =>
        Promise.all(buffers.map((buffer) => pool.run([buffer], { name: "echo" }))),
      );
      await pool.destroy();
    }
    for (const [system, broker] of [
      ["Millrace, embedded", "memory"],
      ["Millrace, Redis", "redis"],
    ] as const) {
      if (!bench.wants({ system })) continue;
      await using held = await openCluster(broker);
      await measure(bench, rounds, system, (buffers) =>
        inFlow(held.taskRunner, () => echo.map(buffers).results()),
      );
    }
    rounds.recordIn(bench);
  },
};

async function measure(bench: Bench, rounds: Rounds, system: string, run: Echo): Promise<void> {
  for (const { bytes, tasks } of SIZES) {
    bench.progress(`${system}: ${bytes.toLocaleString("en")} bytes`);
    const count = bench.isQuick ? Math.ceil(tasks / 50) : tasks;
    // Each a buffer of its own: one that is given to many tasks might be sent once.
    const buffers = Array.from({ length: count }, (_, n) => Buffer.alloc(bytes, n));
    await run(buffers.slice(0, Math.ceil(count / 4))); // Warms up.
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
      const elapsed = await elapsedMs(async () => {
        const back = await run(buffers);
        if (back.at(-1)?.length !== bytes) throw new Error(`Expected ${bytes} bytes back from ${system}.`);
      });
      const figure = { group: "payload", system, at: bytes };
      rounds.add({ ...figure, measure: "tasks per second", unit: "1/s" }, (count / elapsed) * 1000);
      const megabytes = (2 * count * bytes) / 1e6;
      rounds.add(
        { ...figure, measure: "bytes moved, there and back", unit: "MB/s" },
        (megabytes / elapsed) * 1000,
      );
    }
  }
}
