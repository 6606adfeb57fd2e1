/**
 * `npm run bench`: the figures that Millrace watches, for this machine, with the peers beside it in the same run.
 * `--json` prints a line per figure. Needs a redis-server on the PATH for what goes through Redis.
 */
import { parseArgs } from "node:util";
import type { Figure } from "./measure.ts";
import { distributed, engineOverhead } from "./millrace.ts";
import { bullmqAndPiscina, piscinaAlone } from "./peers.ts";
import { withPrivateRedis } from "./private-redis.ts";

const { values: flags } = parseArgs({ options: { json: { type: "boolean", default: false } } });

const steps: (() => Promise<Figure[]>)[] = [
  engineOverhead,
  piscinaAlone,
  () => distributed("Millrace, embedded", "memory"),
  () => withPrivateRedis(bullmqAndPiscina),
  () => distributed("Millrace, Redis", "redis"),
];

for (const step of steps) {
  for (const figure of await step()) {
    if (flags.json) console.log(JSON.stringify(figure));
    else console.log(`${figure.measure.padEnd(36)} ${figure.system.padEnd(22)} ${format(figure)}`);
  }
}

function format({ value, unit }: Figure): string {
  const digits = value >= 1000 ? 0 : value >= 10 ? 1 : 3;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits })} ${unit}`;
}
