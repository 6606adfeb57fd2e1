/** Programs that bring their own cluster: what they start, and that nothing of it outlives them. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { Gate } from "../support/gate.ts";
import { expectNothingLeft, ownEnvironment } from "../support/own-environment.ts";
import { killPrograms, start } from "../support/processes.ts";
import { allKeys, redisDatabase } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";
import { UserProject } from "../support/user-project.ts";

vi.setConfig({ testTimeout: 60_000 });

afterEach(killPrograms);

const CLUSTER = `{ broker: "redis", workers: 1, threads: 2 }`;

function program(main: string): string {
  return `
    import { setTimeout } from "node:timers/promises";
    import { DistributedTaskRunner, flow, LocalCluster, task } from "millrace";
    const add = task({ name: "add" }, (a: number, b: number) => a + b);
    const report = flow({ name: "report", taskRunner: new DistributedTaskRunner({ cluster: ${CLUSTER} }) }, async () => {
      console.log("the flow runs");
      return add.submit(add.submit(1, 1), 1);
    });
    ${main}`;
}

const MAINS: Readonly<Record<string, string>> = {
  "a main function that is awaited at the end": `
    async function main() {
      console.log("total", await report());
    }
    await main();`,
  "a main function that nobody awaits, and that awaits something before the flow": `
    async function main() {
      await setTimeout(1);
      console.log("total", await report());
    }
    main();`,
  "a cluster that is started at the top level": `
    const cluster = new LocalCluster(${CLUSTER});
    await cluster.start();
    const taskRunner = new DistributedTaskRunner({ cluster });
    console.log("total", await report.withOptions({ taskRunner })());
    await cluster.close();`,
  "a flow that is called once more after the first": `
    await report.withOptions({ taskRunner: undefined })();
    console.log("total", (await report.start().wait()).data);`,
};

describe.each([
  ["report.ts", Object.entries(MAINS).slice(0, 2)],
  ["report.js", Object.entries(MAINS)],
] as const)("a program %s without a guard against being imported", (file, mains) => {
  test.each(mains)("with %s: its flow runs once, and it exits by itself", async (name, main) => {
    const text = program(main);
    await using project = await UserProject.make({
      [file]: file.endsWith(".ts") ? text : text.replaceAll(": number", ""),
    });
    const { mark, env } = await ownEnvironment(project);
    const runs = name.includes("once more") ? 2 : 1;
    const stdout = `${"the flow runs\n".repeat(runs)}total 3\n`;
    expect(await project.run(file, { env })).toEqual({ code: 0, signal: null, stdout, stderr: "" });
    await expectNothingLeft(project, mark);
  });
});

describe("broker auto", () => {
  const files = {
    "where.js": `
      import { LocalCluster } from "millrace";
      const cluster = await new LocalCluster({ workers: 2, threads: 1 }).start();
      console.log(cluster.workers, "workers in", cluster.pids.length, "processes");
      await cluster.close();`,
  };

  test("is a private Redis and worker processes where a server is on the PATH", async () => {
    await using project = await UserProject.make(files);
    const { mark, env } = await ownEnvironment(project);
    const exit = await project.run("where.js", { env });
    expect(exit).toEqual({ code: 0, signal: null, stdout: "2 workers in 2 processes\n", stderr: "" });
    await expectNothingLeft(project, mark);
  });

  test("is threads of the process where there is none", async () => {
    await using project = await UserProject.make(files);
    const { mark, env } = await ownEnvironment(project);
    const exit = await project.run("where.js", { env: { ...env, PATH: "" } });
    expect(exit).toEqual({ code: 0, signal: null, stdout: "2 workers in 0 processes\n", stderr: "" });
    await expectNothingLeft(project, mark);
  });

  test("does not stand for redis: without a server, that is an error that says what to do", async () => {
    await using project = await UserProject.make({
      "redis.js": `
        import { LocalCluster } from "millrace";
        const error = await new LocalCluster({ broker: "redis" }).start().catch((thrown) => thrown);
        console.log(error.name, error.code, error.message);`,
    });
    const exit = await project.run("redis.js", { env: { PATH: "" } });
    expect(exit).toMatchObject({ code: 0, stderr: "" });
    expect(exit.stdout).toMatch(
      /^RedisServerError ERR_REDIS_SERVER Expected a redis-server or valkey-server on the PATH .* got none\. Install one/,
    );
  });
});

test.each(["SIGKILL", "SIGINT", "SIGTERM"] as const)(
  "a program that is ended by %s in mid-flow takes its cluster along",
  async (signal) => {
    await using gate = await Gate.make();
    await using project = await UserProject.make({
      "hold.js": `
      import { existsSync, writeFileSync } from "node:fs";
      import { setTimeout } from "node:timers/promises";
      import { DistributedTaskRunner, flow, task } from "millrace";
      const hold = task({ name: "hold" }, async () => {
        writeFileSync(${JSON.stringify(gate.directory)} + \`/a.\${process.pid}.0.started\`, "");
        for (;;) await setTimeout(1000);
      });
      const taskRunner = new DistributedTaskRunner({ cluster: ${CLUSTER} });
      await flow({ name: "endless", taskRunner }, async () => { await hold(); })();`,
    });
    const { mark, env } = await ownEnvironment(project);
    const program = start(process.execPath, ["hold.js"], { cwd: project.root, env });
    await gate.waitFor("the task runs", (starts) => starts.length === 1);
    program.child.kill(signal);
    expect(await program.exited).toMatchObject({ code: null, signal });
    await expectNothingLeft(project, mark);
  },
);

// Nobody who could clean up is left in the program; its workers do it before they end.
test("a program that is killed leaves no key in a Redis that it was given", async () => {
  const redis = redisDatabase(3);
  await using gate = await Gate.make();
  await using project = await UserProject.make({
    "hold.js": `
    import { writeFileSync } from "node:fs";
    import { setTimeout } from "node:timers/promises";
    import { DistributedTaskRunner, flow, task } from "millrace";
    const hold = task({ name: "hold" }, async (n) => {
      writeFileSync(${JSON.stringify(gate.directory)} + \`/a.\${process.pid}.\${n}.started\`, "");
      for (;;) await setTimeout(1000);
    });
    const cluster = { broker: "redis", redis: ${JSON.stringify(redis)}, workers: 2, threads: 1 };
    const taskRunner = new DistributedTaskRunner({ cluster });
    await flow({ name: "endless", taskRunner }, async () => { await hold.map([0, 1, 2, 3]).results(); })();`,
  });
  const { mark, env } = await ownEnvironment(project);
  const program = start(process.execPath, ["hold.js"], { cwd: project.root, env });
  await gate.waitFor("a task runs", (starts) => starts.length >= 1);
  expect(await allKeys(redis)).not.toEqual([]);
  program.child.kill("SIGKILL");
  await program.exited;
  await expectNothingLeft(project, mark);
  await until("no key is left", async () => (await allKeys(redis)).length === 0);
});
