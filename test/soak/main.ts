/**
 * The soak: flows of several kinds run without a pause on two workers, and what all of them hold is looked at every few
 * seconds. Once they are warm, nothing grows.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Programs } from "../chaos/programs.ts";
import { describeFinding, describeSample } from "./report.ts";
import { seriesOf } from "./samples.ts";
import { runSoak } from "./soak.ts";
import { judge } from "./verdict.ts";

const USAGE = `npm run test:soak -- [flags]
  --minutes <n>     how long flows run (default: 10); the first quarter is the warm-up
  --every <seconds> between two looks (default: 5)
  --seed <n>        which flows run, in which order (default: 1)
  --json            the samples and the verdict as one line of JSON on standard output`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    every: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const positive = (flag: "minutes" | "every" | "seed"): number => {
  const number = Number(values[flag]);
  if (number > 0 && Number.isFinite(number)) return number;
  throw new Error(`Expected a number above 0 for --${flag}, got ${values[flag]}.`);
};
const options = { minutes: positive("minutes"), everySeconds: positive("every"), seed: positive("seed") };

const directory = mkdtempSync(join(tmpdir(), "millrace-soak-"));
const journals = join(directory, "journals");
mkdirSync(journals);
const programs = new Programs(directory, journals);
const clean = async () => {
  await programs.killAll();
  rmSync(directory, { recursive: true, force: true });
};
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void clean().then(() => process.exit(1)));
}
try {
  const { samples, problems } = await runSoak(options, directory, programs, (sample) =>
    console.error(describeSample(sample)),
  );
  const findings = problems.length > 0 ? [] : seriesOf(samples).map(judge);
  const isSteady = problems.length === 0 && findings.every((finding) => finding.isSteady);
  for (const line of [...problems, ...findings.map(describeFinding)]) console.error(line);
  console.error(
    `${samples.at(-1)?.flows ?? 0} flows in ${options.minutes} minutes: ${isSteady ? "steady" : "not steady"}.`,
  );
  if (values.json) console.log(JSON.stringify({ ...options, samples, findings, problems, isSteady }));
  if (!isSteady) process.exitCode = 1;
} finally {
  await clean();
}
