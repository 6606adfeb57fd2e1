/**
 * The network between hosts fails: Redis on one, a worker on each of two others, and the flow's process beside Redis or on
 * a host of its own. A cut loses packets and closes no connection, as a cable that is pulled does.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LEASE_MS, RUNNER_LEASE_MS, RUNNER_LEASE_RENEWAL_MS } from "../../packages/broker/src/intervals.ts";
import { type Execution, executionsIn } from "../chaos/journal.ts";
import { Gate } from "../support/gate.ts";
import { CLI, killPrograms, type Program, ROOT, start, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";
import type { FlowProgramOptions, Rounds } from "./flow-program.ts";
import { HUB, Network, whyNoNetwork } from "./network.ts";

const why = whyNoNetwork();
const name = (what: string) => (why === undefined ? what : `${what} (skipped: ${why})`);

/** Enough for both workers, whose one thread has several calls under way. */
const CALLS = 8;

/** Shorter than a lease: a worker that is cut off ends its calls while it is, and tells of them when the wire is whole again. */
const CALL_MS = 3_000;

/** What has waited for a wire that was cut for 20 s, TCP sends again up to 26 s later: it doubles its pause each time. */
const HEALED_MS = 45_000;

vi.setConfig({ testTimeout: 120_000 });

let network: Network;
let gate: Gate;
let redis: Program;
let workers: Record<"one" | "two", Program>;

beforeEach(async () => {
  if (why !== undefined) return;
  network = new Network(["flow", "one", "two"]);
  gate = await Gate.make();
  mkdirSync(gate.path("journals"));
  const settings = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""];
  redis = start(...network.on(HUB, "redis-server", settings));
  await until("Redis serves", () => redis.output.stdout.includes("eady to accept connections"));
  workers = { one: await startWorker("one"), two: await startWorker("two") };
});

afterEach(async () => {
  if (why !== undefined) return;
  await killPrograms();
  network.close();
  await gate[Symbol.asyncDispose]();
});

test.skipIf(why !== undefined)(
  name(
    "a worker that is cut off for longer than its lease: its work is redone, its late outcomes are ignored",
  ),
  async () => {
    const flow = startFlow(HUB);
    await until("one has calls under way", () => underWay(workers.one).length > 0);
    network.cut("one");
    const lost = underWay(workers.one).map(({ taskRunId }) => taskRunId);
    expect(lost).not.toEqual([]);
    const cutAt = Date.now();
    await sleep(LEASE_MS + CALL_MS);
    const healedAt = Date.now();
    network.heal("one");
    await until(
      "one serves again",
      () => executions().some(({ pid, startedAt }) => pid === workers.one.pid && startedAt > healedAt),
      HEALED_MS,
    );
    const servesAt = Date.now();
    const rounds = await stop(flow);
    expectRightAnswers(rounds);

    const works = rounds.flat();
    for (const taskRunId of lost) {
      const runs = executions().filter((execution) => execution.taskRunId === taskRunId);
      // It came to its end where it was cut off …
      const late = runs.find(({ pid }) => pid === workers.one.pid);
      expect(late?.endedAt).toBeGreaterThan(cutAt);
      expect(late?.endedAt).toBeLessThan(healedAt);
      // … and elsewhere, whose outcome counts.
      expect(runs.map(({ pid }) => pid)).toContain(workers.two.pid);
      expect(works.find((work) => work.taskRunId === taskRunId)?.pid).toBe(workers.two.pid);
    }
    // One that is not cut off executes each call once.
    expectOnce(executions().filter(({ pid }) => pid === workers.two.pid));
    expectOnce(executions().filter(({ startedAt }) => startedAt > servesAt));
    for (const worker of Object.values(workers)) expect((await terminate(worker)).code).toBe(0);
  },
);

test.skipIf(why !== undefined)(
  name("a flow that is cut off for longer than its lease ends with the right answer"),
  async () => {
    const flow = startFlow("flow");
    await until("calls are under way", () => executions().length > 0);
    network.cut("flow");
    // Until workers have dropped its work, which they look for at each renewal.
    await sleep(RUNNER_LEASE_MS + 2 * RUNNER_LEASE_RENEWAL_MS);
    network.heal("flow");
    const rounds = await stop(flow, HEALED_MS);
    expectRightAnswers(rounds);
    // What workers have dropped, they were sent again.
    expect(executions().length).toBeGreaterThan(rounds.flat().length);
    for (const worker of Object.values(workers)) expect((await terminate(worker)).code).toBe(0);
  },
);

test.skipIf(why !== undefined)(
  name("a flow that is cut off for good ends after the set time, with the reason"),
  async () => {
    const flow = startFlow("flow", 3);
    await until("calls are under way", () => executions().length > 0);
    network.cut("flow");
    const { code, stderr } = await flow.exited;
    expect(code).toBe(1);
    expect(stderr).toMatch(/BrokerUnavailableError: .* got none for 3 s/);
  },
);

// ---- Programs ----------------------------------------------------------------------------------------------------

const NAMESPACE = "network";

async function startWorker(host: string): Promise<Program> {
  const where = ["--redis", `redis://${network.hubFrom(host)}`, "--namespace", NAMESPACE, "--root", ROOT];
  const worker = start(...network.on(host, process.execPath, [CLI, "worker", ...where, "--threads", "1"]));
  await until(`the worker on ${host} serves`, () => worker.output.stderr.includes("Millrace worker "));
  return worker;
}

function startFlow(host: string, redisTimeoutSeconds = 60): Program {
  const options: FlowProgramOptions = {
    ...{ redisUrl: `redis://${network.hubFrom(host)}`, namespace: NAMESPACE, redisTimeoutSeconds },
    ...{ journals: gate.path("journals"), stopFile: gate.path("stop"), calls: CALLS, callMs: CALL_MS },
  };
  const program = join(ROOT, "test/network/flow-program.ts");
  return start(...network.on(host, process.execPath, ["--import", "tsx", program, JSON.stringify(options)]));
}

/** Lets the round that runs be the flow's last, and gives the results of all. */
async function stop(flow: Program, timeoutMs = 30_000): Promise<Rounds> {
  writeFileSync(gate.path("stop"), "");
  const isOver = () => flow.child.exitCode !== null || flow.child.signalCode !== null;
  await until(`the flow ends; it said: ${flow.output.stderr}`, isOver, timeoutMs);
  const { code, stdout, stderr } = await flow.exited;
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout.trim().split("\n").at(-1) as string) as Rounds;
}

// ---- What was done -----------------------------------------------------------------------------------------------

function executions(): Execution[] {
  const journals = gate.path("journals");
  return readdirSync(journals).flatMap((file) => executionsIn(readFileSync(join(journals, file), "utf8")));
}

function underWay(worker: Program): Execution[] {
  return executions().filter(({ pid, endedAt }) => pid === worker.pid && endedAt === undefined);
}

function expectOnce(executions: readonly Execution[]): void {
  const ids = executions.map(({ taskRunId }) => taskRunId);
  expect(ids).toEqual([...new Set(ids)]);
}

function expectRightAnswers(rounds: Rounds): void {
  const squares = Array.from({ length: CALLS }, (_, n) => n * n);
  expect(rounds.length).toBeGreaterThan(0);
  for (const round of rounds) expect(round.map(({ square }) => square)).toEqual(squares);
}
