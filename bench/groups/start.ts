import { runChild } from "../child.ts";
import { type Group, Rounds } from "./group.ts";

const ROUNDS = 7;
const PYTHON_ROUNDS = 3;

/** From the start of a cluster to the first result, each time in a fresh process. */
export const start: Group = {
  name: "start",
  async run(bench) {
    const rounds = new Rounds();
    const add = (system: string, seconds: number) =>
      rounds.add({ group: "start", measure: "cluster start to first result", system, unit: "s" }, seconds);
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
      bench.progress(`round ${round + 1}`);
      for (const [system, argument] of [
        ["piscina", "piscina"],
        ["Millrace, embedded", "memory"],
        ["Millrace, Redis", "redis"],
      ] as const) {
        if (!bench.wants({ system })) continue;
        add(system, Number(await runChild("start-child.js", [argument])) / 1000);
      }
      if (round >= PYTHON_ROUNDS) continue;
      for (const peer of bench.peers) {
        await using system = await peer.open();
        add(peer.name, system.startMs / 1000);
      }
    }
    rounds.recordIn(bench);
  },
};
