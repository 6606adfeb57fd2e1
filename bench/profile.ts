/**
 * What bounds a figure: profiles each thread of each process while one measure repeats, and says how busy each was, and
 * with what.
 *
 *     npm run bench:profile                     every measure, embedded and through Redis
 *     npm run bench:profile -- noops memory     (see MEASURES; memory or redis)
 *     npm run bench:profile -- --write          into docs/performance.md
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { type CpuProfile, summarize } from "./cpu-profile.ts";
import { rewritePage } from "./section.ts";
import { asMarkdown } from "./table.ts";

const MEASURES = ["noops", "latency", "chain", "efficiency", "stencil", "payload"];
const BROKERS = ["memory", "redis"];
const SECONDS = 5;
const PLACES = 5;
/** What takes longer hangs. */
const TIMEOUT_MS = 60_000;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: "boolean", default: false } },
});
const [measure, broker] = positionals;

const rows: string[][] = [];
for (const each of measure === undefined ? MEASURES : [measure]) {
  for (const on of broker === undefined ? BROKERS : [broker]) {
    console.error(`${each}, ${on}`);
    rows.push(...(await profile(each, on)));
  }
}
const table = asMarkdown({ title: "", head: ["measure", "broker", "thread", "busy", "with"], rows });
if (flags.write) await rewritePage("docs/performance.md", { profiles: table });
else console.log(table);

/** A row for each thread. */
async function profile(measure: string, broker: string): Promise<string[][]> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-profile-"));
  try {
    const { MILLRACE_REDIS_URL: _, ...env } = process.env;
    // Worker processes inherit Node's arguments; each thread leaves a file when it ends.
    const nodeFlags = ["--cpu-prof", "--cpu-prof-interval=500", `--cpu-prof-dir=${directory}`];
    const child = fileURLToPath(new URL("profile-child.js", import.meta.url));
    const args = [...nodeFlags, child, measure, broker, String(SECONDS)];
    const running = promisify(execFile)(process.execPath, args, { env, timeout: TIMEOUT_MS });
    const flowPid = running.child.pid;
    try {
      await running;
    } catch (error) {
      if ((error as { killed?: boolean }).killed !== true) throw error;
      return [[measure, broker, "", "", `did not end within ${TIMEOUT_MS / 1000} s`]];
    }
    const threads: string[][] = [];
    for (const file of await readdir(directory)) {
      // CPU.<date>.<time>.<process>.<thread>.<number>.cpuprofile
      const [pid, thread] = file.split(".").slice(3, 5);
      const { busyPart, places } = summarize(
        JSON.parse(await readFile(join(directory, file), "utf8")) as CpuProfile,
      );
      const busy = places.slice(0, PLACES).map(({ place, part }) => `${place} ${percent(part)}`);
      const where = Number(pid) === flowPid ? "flow's process" : "worker process";
      const name = `${where}, ${thread === "0" ? "main thread" : `thread ${thread}`}`;
      threads.push([measure, broker, name, percent(busyPart), busy.join(", ")]);
    }
    return threads.sort((a, b) => a[2]!.localeCompare(b[2]!));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
