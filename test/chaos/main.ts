/**
 * The chaos suite: flows with known answers run on a standing cluster, while its workers, its Redis and the flows' own
 * processes are killed, stopped and started again on a schedule that follows from a seed. In the end every flow has the
 * right answer or the stated error, every task run has settled once, and nothing is left.
 */
import { randomInt } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runChaos } from "./chaos.ts";
import { readOptions, USAGE } from "./options.ts";
import { Programs } from "./programs.ts";
import { describeResult } from "./report.ts";

const args = process.argv.slice(2);
if (args.includes("--help")) {
  console.log(USAGE);
  process.exit(0);
}
const options = readOptions(args, randomInt(1, 2 ** 31));
const directory = mkdtempSync(join(tmpdir(), "millrace-chaos-"));
const journals = join(directory, "journals");
mkdirSync(journals);
const programs = new Programs(directory, journals);

let { isKept } = options;
const clean = async () => {
  await programs.killAll();
  if (!isKept) rmSync(directory, { recursive: true, force: true });
};
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void clean().then(() => process.exit(1)));
}
try {
  const result = await runChaos(options, directory, journals, programs);
  console.error(describeResult(result));
  const { violations, problems } = result;
  if (options.isJson) {
    console.log(
      JSON.stringify({ ...result, violations: violations.length + problems.length, problems: undefined }),
    );
  }
  if (violations.length + problems.length > 0) {
    process.exitCode = 1;
    isKept = true;
    console.error(
      `Make it again with --seed ${options.seed}, and the same other flags. What is left of it: ${directory}.`,
    );
  }
} finally {
  await clean();
}
