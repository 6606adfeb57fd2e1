import { flow, type TaskFuture, type TaskRunner, task } from "@millrace/core";
import { expect, test } from "vitest";
import { ScriptedBroker } from "../../testing/scripted-broker.ts";
import { Dispatcher } from "./dispatcher.ts";

/** Real flows: the engine must tell of the runs that wait, or each level would travel by itself. */

const work = task({ name: "work" }, (...inputs: number[]) => inputs.length);

/** Runs a flow that makes these task runs after a first one, which tells that they are short. @returns the calls of each batch after that */
async function batchesOf(makeRuns: () => readonly TaskFuture<number>[]): Promise<number[]> {
  const broker = new ScriptedBroker();
  const runner: TaskRunner = {
    name: "scripted",
    async open() {
      const dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
      broker.hasWorkers(2, 4);
      return {
        submit: (call) => dispatcher.submit(call),
        foresee: (call, upstream) => dispatcher.foresee(call, upstream),
        cancel: (call) => dispatcher.cancel(call),
        close: () => dispatcher.close(),
      };
    },
  };
  const graph = flow({ name: "graph", taskRunner: runner }, async () => {
    await work();
    for (const future of makeRuns()) await future;
  });
  const running = graph().then(() => "done" as const);
  const sizes: number[] = [];
  for (let sent = 1; ; sent++) {
    if ((await Promise.race([running, broker.sends(sent)])) === "done") return sizes.slice(1);
    const batch = broker.sent[sent - 1]!;
    sizes.push(batch.calls.length);
    broker.returns(batch, 1, 0.001);
  }
}

test.each<[string, number, () => readonly TaskFuture<number>[]]>([
  [
    "a chain of 50 tasks",
    50,
    () => {
      const chain = [work.submit()];
      while (chain.length < 50) chain.push(work.submit(chain.at(-1)!));
      return chain;
    },
  ],
  [
    "a tree of 31 tasks",
    31,
    () => {
      const tree = [work.submit()];
      while (tree.length < 31) tree.push(work.submit(tree[(tree.length - 1) >> 1]!));
      return tree;
    },
  ],
  [
    "a sum of 16 tasks by twos",
    31,
    () => {
      const tree = Array.from({ length: 16 }, () => work.submit());
      for (let next = 0; tree.length < 31; next += 2) tree.push(work.submit(tree[next]!, tree[next + 1]!));
      return tree;
    },
  ],
])("%s that a flow submits at once are one batch", async (_, calls, makeRuns) => {
  expect(await batchesOf(makeRuns)).toEqual([calls]);
});
