/**
 * What bounds a figure: profiles each thread of each process while one measure repeats, and prints how busy each was, and
 * with what.
 *
 *     npm run bench:profile -- noops memory        (noops, latency, chain, efficiency, stencil; memory, redis)
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type CpuProfile, summarize } from "./cpu-profile.ts";
import { asMarkdown, formatNumber } from "./table.ts";

const SECONDS = 5;
const PLACES = 8;

const [measure = "noops", broker = "memory"] = process.argv.slice(2);
const directory = await mkdtemp(join(tmpdir(), "millrace-profile-"));
try {
  const { MILLRACE_REDIS_URL: _, ...env } = process.env;
  // In the environment, so that worker processes are profiled too; each thread leaves a file when it ends.
  const NODE_OPTIONS = `--cpu-prof --cpu-prof-interval=500 --cpu-prof-dir=${directory}`;
  const child = fileURLToPath(new URL("profile-child.js", import.meta.url));
  const running = promisify(execFile)(process.execPath, [child, measure, broker, String(SECONDS)], {
    env: { ...env, NODE_OPTIONS },
  });
  const flowPid = running.child.pid;
  await running;
  for (const file of (await readdir(directory)).sort()) {
    // CPU.<date>.<time>.<process>.<thread>.<number>.cpuprofile
    const [pid, thread] = file.split(".").slice(3, 5);
    const profile = JSON.parse(await readFile(join(directory, file), "utf8")) as CpuProfile;
    const { busyPart, places } = summarize(profile);
    const where = Number(pid) === flowPid ? "the flow's process" : `process ${pid}`;
    console.log(`\n${where}, thread ${thread}: busy ${formatNumber(busyPart * 100)} % of the time\n`);
    const rows = places.slice(0, PLACES).map(({ place, part }) => [place, `${formatNumber(part * 100)} %`]);
    console.log(asMarkdown({ title: "", head: ["where", "of the busy time"], rows }));
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
