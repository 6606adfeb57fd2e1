/** Flows with known answers. What they are to give is worked out here without running a task. */
import type { TaskFuture } from "millrace";
import { graphAnswer, graphOf } from "./graphs.ts";
import type { Random } from "./random.ts";
import * as tasks from "./tasks.ts";

/** One flow to run, as plain data. */
export interface LoadPlan {
  readonly kind: LoadKind;
  readonly size: number;
  /** Of a flow one of whose tasks dies: where it leaves that it has. */
  readonly mark?: string;
}

/** How a flow run ends: with an answer, or with an error, as far as it is known beforehand. */
export interface Ending {
  readonly type: "COMPLETED" | "FAILED" | "CANCELLED" | "CRASHED";
  readonly answer?: number;
  /** Class of the error, and the beginning of its message. */
  readonly error?: string;
}

interface Load {
  /** How often it is chosen; 0: only when asked for. */
  readonly weight: number;
  readonly size: readonly [number, number];
  body(plan: LoadPlan): Promise<number>;
  ending(size: number): Ending;
  /** The flow run is cancelled after this. */
  readonly cancelAfterMs?: number;
}

const gives =
  (answer: (size: number) => number) =>
  (size: number): Ending => ({ type: "COMPLETED", answer: answer(size) });

/** 0 + 1 + … + (n - 1), and the same of squares. */
const sum = (n: number) => (n * (n - 1)) / 2;
const sumOfSquares = (n: number) => ((n - 1) * n * (2 * n - 1)) / 6;
const fibonacci = (n: number): number => (n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2));
const range = (n: number) => Array.from({ length: n }, (_, index) => index);
const total = async (values: Promise<readonly number[]>) => (await values).reduce((a, b) => a + b, 0);
const totalOf = (futures: readonly PromiseLike<number>[]) => total(Promise.all<number>(futures));

const BYTES = 120_000; // More than travels inline.
const MEGABYTE = 1_000_000;
const DISTINCT_KEYS = 7;

/** Of the nodes that end well; of one that crashes, the error. */
async function runGraph(size: number): Promise<number> {
  const futures: TaskFuture<number>[] = [];
  for (const { needs, fails, isAsync, effortMs } of graphOf(size)) {
    const inputs = needs.map((place) => futures[place] as TaskFuture<number>);
    futures.push((isAsync ? tasks.nodeLater : tasks.node).submit(fails, effortMs, inputs));
  }
  let answer = 0;
  for (const future of futures) {
    const type = (await future.wait())?.type;
    if (type === "COMPLETED" || type === "CRASHED") answer += await future;
  }
  return answer;
}

const crashing = (how: tasks.Deadly): Load => ({
  weight: 0,
  size: [5, 40],
  body: async ({ size, mark }) => {
    const before = runGraph(size);
    const guilty = tasks.deadly.submit(how, mark as string, 1);
    return total(Promise.all([before, guilty, total(tasks.square.map(range(size), 1).results())]));
  },
  ending: gives((size) => sumOfSquares(size) + 1 + graphAnswer(size)),
});

/** Arrays that go from task to task, and to one that takes all of them. */
const largeValues = (length: number, size: readonly [number, number], weight: number): Load => ({
  ...{ weight, size },
  body: async ({ size }) =>
    await tasks.checksum(range(size).map((n) => tasks.increased.submit(tasks.bytes.submit(length, n)))),
  ending: gives((size) => length * (sum(size) + size)),
});

const LOADS = {
  map: {
    weight: 8,
    size: [10, 150],
    body: ({ size }) => total(tasks.square.map(range(size), size % 3).results()),
    ending: gives(sumOfSquares),
  },
  noops: {
    weight: 0,
    size: [50, 200],
    body: ({ size }) => total(tasks.square.map(range(size), 0).results()),
    ending: gives(sumOfSquares),
  },
  reduce: {
    weight: 6,
    size: [8, 64],
    body: async ({ size }) => {
      let level: TaskFuture<number>[] = [...tasks.square.map(range(size), 0)];
      while (level.length > 1) {
        level = range(Math.ceil(level.length / 2)).map((index) => {
          const [left, right] = level.slice(2 * index) as [TaskFuture<number>, TaskFuture<number>?];
          return right === undefined ? left : tasks.plus.submit(left, right);
        });
      }
      return await (level[0] as TaskFuture<number>);
    },
    ending: gives(sumOfSquares),
  },
  chain: {
    weight: 6,
    size: [5, 60],
    body: async ({ size }) => {
      let last = tasks.plus.submit(0, 0);
      for (let n = 1; n < size; n++) last = tasks.plus.submit(last, n);
      return await last;
    },
    ending: gives(sum),
  },
  graph: {
    weight: 6,
    size: [5, 80],
    body: ({ size }) => runGraph(size),
    ending: gives(graphAnswer),
  },
  retries: {
    weight: 4,
    size: [3, 20],
    body: ({ size }) => totalOf(range(size).map((n) => tasks.flaky.submit(n % 4, n))),
    ending: gives(sum),
  },
  fails: {
    weight: 2,
    size: [3, 20],
    body: ({ size }) => totalOf(range(size).map((n) => tasks.flaky.submit(n === 1 ? 9 : 0, n))),
    ending: () => ({ type: "FAILED", error: "RangeError: not before attempt 10" }),
  },
  nested: {
    weight: 6,
    size: [3, 7],
    body: async ({ size }) => await tasks.fibonacci(size),
    ending: gives(fibonacci),
  },
  cached: {
    weight: 4,
    size: [5, 40],
    body: ({ size }) => total(tasks.remembered.map(range(size).map((n) => n % DISTINCT_KEYS)).results()),
    ending: gives((size) => range(size).reduce((answer, n) => answer + 3 * (n % DISTINCT_KEYS), 0)),
  },
  large: largeValues(BYTES, [2, 8], 4),
  megabytes: largeValues(MEGABYTE, [1, 3], 0),
  slow: {
    weight: 4,
    size: [2, 8],
    body: ({ size }) => totalOf(range(size).map((n) => tasks.nap.submit(400 * (n + 1), n))),
    ending: gives(sum),
  },
  heavy: {
    weight: 2,
    size: [2, 6],
    body: ({ size }) => totalOf(range(size).map((n) => tasks.square.submit(n, 200))),
    ending: gives(sumOfSquares),
  },
  endless: {
    weight: 0,
    size: [1, 5],
    body: async ({ size }) => {
      const others = tasks.square.map(range(size), 1);
      return (await tasks.endless()) + (await total(others.results()));
    },
    ending: () => ({ type: "FAILED", error: "RunTimeoutError: Task run exceeded timeout of 0.5 seconds" }),
  },
  cancelled: {
    weight: 2,
    size: [2, 30],
    body: ({ size }) => totalOf(range(size).map((n) => tasks.nap.submit(20_000, n))),
    ending: () => ({ type: "CANCELLED" }),
    cancelAfterMs: 500,
  },
  poison: {
    weight: 0,
    size: [2, 20],
    body: async ({ size }) => {
      const guilty = tasks.poison.submit("exit");
      return (await total(tasks.square.map(range(size), 1).results())) + (await guilty);
    },
    ending: () => ({ type: "FAILED", error: "WorkerLostError: " }),
  },
  "crash-exit": crashing("exit"),
  "crash-heap": crashing("heap"),
  "crash-abort": crashing("abort"),
} satisfies Record<string, Load>;

export type LoadKind = keyof typeof LOADS;

export const loadOf = (kind: LoadKind): Load => LOADS[kind];

/** @param kinds which to choose from, each as often as its weight says; one of no weight as often as the rarest */
export function planLoad(random: Random, kinds: readonly LoadKind[]): LoadPlan {
  const kind = random.pick(
    kinds.flatMap((kind) => new Array<LoadKind>(Math.max(1, loadOf(kind).weight)).fill(kind)),
  );
  return { kind, size: random.between(...loadOf(kind).size) };
}

export const LOAD_KINDS = Object.keys(LOADS) as readonly LoadKind[];
