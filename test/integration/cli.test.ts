/** The `millrace` command, as it is typed. */
import { existsSync } from "node:fs";
import { DistributedTaskRunner, flow, unmapped } from "millrace";
import { describe, expect, inject, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { startHolding } from "../support/holding.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { CLI, ROOT, run, start, startWorker, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { UserProject } from "../support/user-project.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();
const newNamespace = ownNamespaces();

function millrace(...args: readonly string[]) {
  return run(process.execPath, [CLI, ...args], { env: { MILLRACE_REDIS_URL: undefined } });
}

describe("what is wrong with a command is said, and it exits with 1", () => {
  test.each<[string, string[], RegExp]>([
    [
      "no Redis",
      ["worker"],
      /^ERR_INVALID_OPTION: Expected `--redis` to be the URL of a Redis, here or in MILLRACE_REDIS_URL, got undefined\.$/,
    ],
    [
      "an unknown option",
      ["worker", "--thread", "2"],
      /unknown option '--thread'.*Did you mean --threads\?/s,
    ],
    ["an unknown command", ["wroker"], /unknown command 'wroker'.*Did you mean worker\?/s],
    [
      "threads that are no number",
      ["worker", "--threads", "many"],
      /'--threads <n>' argument 'many' is invalid\. Expected a whole number of 1 or more\./,
    ],
    [
      "no threads",
      ["worker", "--threads", "0"],
      /'--threads <n>' argument '0' is invalid\. Expected a whole number/,
    ],
    [
      "no calls per thread",
      ["worker", "--calls-per-thread", "0"],
      /'--calls-per-thread <n>' argument '0' is invalid\. Expected a whole number of 1 or more\./,
    ],
    [
      "calls per thread that are no whole number",
      ["worker", "--calls-per-thread", "2.5"],
      /'--calls-per-thread <n>' argument '2\.5' is invalid\. Expected a whole number of 1 or more\./,
    ],
    [
      "a root that is not there",
      ["worker", "--root", "/no/such"],
      /'--root <dir>' argument '\/no\/such' is invalid\. Expected a directory that exists\./,
    ],
    [
      "a URL that is none",
      ["worker", "--redis", "queue"],
      /^ERR_INVALID_OPTION: Expected `the Redis URL` to be redis:.*got "queue"/,
    ],
    [
      "a Redis that does not answer",
      ["worker", "--redis", "redis://:pw@127.0.0.1:1"],
      /^ERR_BROKER_UNAVAILABLE: Expected a Redis server that answers at redis:\/\/:\*\*\*@127\.0\.0\.1:1, got .*ECONNREFUSED/,
    ],
  ])("%s", async (_, args, message) => {
    const exit = await millrace(...args);
    expect(exit).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(exit.stderr.trim()).toMatch(message);
    expect(exit.stderr).not.toMatch(/\n {4}at /);
  });

  test("a namespace that could not be part of a key", async () => {
    const exit = await millrace("worker", "--redis", inject("redisUrl"), "--namespace", "a{b}");
    expect(exit).toMatchObject({ code: 1, signal: null });
    expect(exit.stderr).toMatch(
      /^ERR_INVALID_OPTION: Expected `namespace` to be letters, digits and .* got "a\{b\}"/,
    );
  });
});

describe("help and version", () => {
  test("--version says the version alone", async () => {
    const { default: manifest } = await import("../../packages/millrace/package.json", {
      with: { type: "json" },
    });
    expect(await millrace("--version")).toEqual({
      code: 0,
      signal: null,
      stdout: `${manifest.version}\n`,
      stderr: "",
    });
  });

  test("--help names the commands, worker --help its options", async () => {
    const [help, workerHelp] = await Promise.all([millrace("--help"), millrace("worker", "--help")]);
    expect(help).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringMatching(/Usage: millrace.*worker/s),
    });
    expect(workerHelp).toMatchObject({ code: 0, stderr: "" });
    for (const option of [
      "--redis",
      "--threads",
      "--calls-per-thread",
      "--queue",
      "--namespace",
      "--root",
      "--grace-seconds",
      "[modules...]",
    ]) {
      expect(workerHelp.stdout).toContain(option);
    }
  });
});

describe("a worker that serves", () => {
  function runner(namespace: string, options: object = {}) {
    return new DistributedTaskRunner({
      redis: inject("redisUrl"),
      namespace,
      noWorkersTimeoutSeconds: 0.2,
      ...options,
    });
  }

  test("has as many threads as --threads says, and announces itself", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "3");
    expect(worker.output.stderr).toMatch(
      new RegExp(`^Millrace worker [\\w-]+: 3 threads, queue "default", namespace "${namespace}"\\.\n$`),
    );
    const names = Array.from({ length: 6 }, (_, index) => `${index}`);
    const body = () => tasks.occupy.map(unmapped(gate.directory), names).results();
    const held = flow({ name: "threads", taskRunner: runner(namespace) }, body).start();
    await gate.waitFor("each thread holds a call", (starts) => starts.length >= 3);
    expect(await gate.started()).toHaveLength(3);
    await gate.open();
    expect(await held.result()).toHaveLength(6);
    expect(await terminate(worker)).toMatchObject({ code: 0, stdout: "" });
  });

  test("lets as many calls that await something share a thread as --calls-per-thread says", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1", "--calls-per-thread", "3");
    const held = startHolding(runner(namespace), gate, ["0", "1", "2", "3", "4"]);
    await gate.waitFor("three calls are under way", (starts) => starts.length >= 3);
    await gate.open();
    await held.result();
    const body = () => Promise.all(Array.from({ length: 12 }, () => tasks.company()));
    const company = await flow({ name: "company", taskRunner: runner(namespace) }, body)();
    expect(Math.max(...company)).toBeLessThanOrEqual(3);
    await terminate(worker);
  });

  test("serves its queue and its namespace, and no other", async () => {
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1", "--queue", "gpu");
    const add = flow({ name: "queues" }, () => tasks.add(1, 1));
    const on = (taskRunner: DistributedTaskRunner) => add.withOptions({ taskRunner }).start().wait();
    expect(await on(runner(namespace, { queue: "gpu" }))).toMatchObject({ type: "COMPLETED", data: 2 });
    expect(await on(runner(namespace))).toMatchObject({ data: { code: "ERR_NO_WORKERS" } });
    expect(await on(runner(newNamespace(), { queue: "gpu" }))).toMatchObject({
      data: { code: "ERR_NO_WORKERS" },
    });
    await terminate(worker);
  });

  test("takes the URL from MILLRACE_REDIS_URL, the namespace and the root from where it is started", async () => {
    const namespace = newNamespace();
    await using project = await UserProject.make({
      "tasks.js": `import { task } from "millrace";
        export const greet = task({ name: "greet" }, (name) => \`hello \${name}\`);`,
      "flow.js": `import { DistributedTaskRunner, flow } from "millrace";
        import { greet } from "./tasks.js";
        const hello = flow({ name: "hello", taskRunner: new DistributedTaskRunner() }, () => greet("mill"));
        console.log(await hello());`,
    });
    await project.write("package.json", JSON.stringify({ name: namespace, type: "module" }));
    const env = { MILLRACE_REDIS_URL: inject("redisUrl") };
    const worker = start(process.execPath, [CLI, "worker", "--threads", "1"], { cwd: project.root, env });
    await until("the worker serves", () => worker.output.stderr.includes(`namespace "${namespace}"`));
    expect(await project.run("flow.js", { env })).toEqual({
      code: 0,
      signal: null,
      stdout: "hello mill\n",
      stderr: "",
    });
    await terminate(worker);
  });

  test("loads the modules that it is given before it serves", async () => {
    await using project = await UserProject.make({
      "../package.json": '{ "workspaces": ["project"] }',
      "warm.js":
        'import { writeFileSync } from "node:fs"; writeFileSync(new URL("warm", import.meta.url), "");',
      "bad.js": 'throw new TypeError("no model file");',
    });
    const namespace = newNamespace();
    const args = [
      "worker",
      "--redis",
      inject("redisUrl"),
      "--namespace",
      namespace,
      "--root",
      project.root,
      "--threads",
      "1",
    ];
    const bad = await run(process.execPath, [CLI, ...args, `${project.root}/bad.js`]);
    expect(bad).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(bad.stderr).toMatch(
      /^ERR_MODULE_IMPORT: Expected module .*bad\.js to load .* TypeError: no model file/,
    );
    const outside = await run(process.execPath, [CLI, ...args, `${ROOT}/test/fixtures/tasks.ts`]);
    expect(outside).toMatchObject({ code: 1, stderr: expect.stringMatching(/^ERR_MODULE_PATH: /) });
    const good = start(process.execPath, [CLI, ...args, "warm.js"], { cwd: project.root });
    await until("the worker serves", () => good.output.stderr.includes("Millrace worker"));
    expect(existsSync(`${project.root}/warm`)).toBe(true);
    expect(await terminate(good)).toMatchObject({ code: 0 });
  });
});
