import { beforeEach, describe, expect, test, vi } from "vitest";

/** Millrace as a worker has it: other modules than those of the other tests. */
async function workerMillrace() {
  vi.resetModules();
  const [{ flow }, { task }, mode, logger] = await Promise.all([
    import("./flow.ts"),
    import("./task.ts"),
    import("./worker-mode.ts"),
    import("../logger.ts"),
  ]);
  logger.setLogLevel("silent");
  mode.enterWorkerMode();
  return { flow, task, ...mode };
}
let millrace: Awaited<ReturnType<typeof workerMillrace>>;
beforeEach(async () => {
  millrace = await workerMillrace();
});

/** Many turns of the event loop: time for what would act to act. */
async function turns() {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

describe("what a module does at top level besides defining tasks does not act in a worker", () => {
  test.each(["call", "start", "wait", "submit", "map", "task call"] as const)("%s", async (what) => {
    const { flow, task } = millrace;
    let acted = 0;
    const act = task({ name: "act" }, (_: number) => ++acted);
    const run = flow({ name: "run" }, () => ++acted);
    const attempts = {
      call: () => run(),
      start: () => run.start().result(),
      wait: () => run.start().wait(),
      submit: () => act.submit(1).result(),
      map: () => act.map([1, 2]).results(),
      "task call": () => act(1),
    };
    let settled = false;
    const settle = () => {
      settled = true;
    };
    attempts[what]().then(settle, settle);
    await turns();
    expect({ acted, settled }).toEqual({ acted: 0, settled: false });
  });

  test("an ignored flow call or task call is told", async () => {
    const { flow, callIgnored } = millrace;
    let told = false;
    void callIgnored().then(() => {
      told = true;
    });
    await turns();
    expect(told).toBe(false);
    void flow({ name: "f" }, () => 1)();
    await turns();
    expect(told).toBe(true);
  });
});

test("inside a run everything acts: a task may call tasks and flows", async () => {
  const { flow, task } = millrace;
  const { runAttempt } = await import("../engine/attempt.ts");
  const { ConcurrentSession } = await import("../runners/concurrent-task-runner.ts");
  const { defaultServices } = await import("../engine/run-services.ts");
  const { callSite } = await import("./call-site.ts");
  const { TASK_DEFAULTS } = await import("./task-definition.ts");
  const double = task({ name: "double" }, (n: number) => n * 2);
  const inner = flow({ name: "inner" }, (n: number) => double(n));
  const outer = async () => [
    await double(1),
    await double.submit(2),
    await inner(3),
    ...(await double.map([4]).results()),
  ];
  const attempt = runAttempt(
    {
      fn: outer,
      name: "outer",
      ...TASK_DEFAULTS,
      callSite: callSite(),
      module: undefined,
    },
    [],
    {
      ...{ flowRunId: "run", flowName: "f", flowRunName: "brisk-otter", taskRunId: "run-0" },
      ...{ taskRunName: "outer-0", attempt: 1, tags: [], logConsole: false },
      ...{ timeoutSeconds: undefined, heldLimits: [] },
    },
    { services: defaultServices(), openSession: () => new ConcurrentSession() },
  );
  expect("outcome" in attempt && (await attempt.outcome)).toEqual({ type: "returned", value: [2, 4, 6, 8] });
});

test("outside of workers everything acts", async () => {
  vi.resetModules();
  const { inWorkerMode } = await import("./worker-mode.ts");
  expect(inWorkerMode()).toBe(false);
});
