import type { SystemName } from "./figure.ts";

/** What a figure is to reach: a number, or what a peer does in the same run. */
export type Goal =
  | { readonly system: string; readonly atLeast: number }
  | { readonly system: string; readonly atMost: number }
  | { readonly system: string; readonly noMoreThan: SystemName };

/** A row of a table of figures and goals. */
export interface GoalRow {
  readonly label: string;
  readonly group: string;
  readonly measure: string;
  /** Of figures in a row of growing sizes: which size. */
  readonly at?: number;
  /** Where the figure of a column is that of another system. */
  readonly from?: Readonly<Record<string, string>>;
  readonly goals: readonly Goal[];
}

const EMBEDDED = "Millrace, embedded";
const REDIS = "Millrace, Redis";

/** What users of a task runner feel. A latency through Redis is judged by that of the peer in the same run. */
export const FIGURES: readonly GoalRow[] = [
  {
    label: "no-op tasks, submit to last result",
    group: "throughput",
    measure: "no-op tasks per second",
    goals: [
      { system: EMBEDDED, atLeast: 150_000 },
      { system: REDIS, atLeast: 100_000 },
    ],
  },
  {
    label: "the same, of async functions",
    group: "throughput",
    measure: "async no-op tasks per second",
    goals: [],
  },
  {
    label: "one task, submit and await, p50",
    group: "latency",
    measure: "one task, submit and await, p50",
    goals: [
      { system: EMBEDDED, atMost: 0.15 },
      { system: REDIS, noMoreThan: "BullMQ + piscina" },
    ],
  },
  {
    label: "the same, p90",
    group: "latency",
    measure: "one task, submit and await, p90",
    goals: [],
  },
  {
    label: "the same, p50 of a new worker's first 1,000 tasks",
    group: "latency",
    measure: "one task, submit and await, p50 of a new worker's first tasks",
    goals: [],
  },
  {
    label: "chain of 500 tasks submitted at once",
    group: "throughput",
    measure: "chain of 500 tasks, tasks per second",
    goals: [
      { system: EMBEDDED, atLeast: 50_000 },
      { system: REDIS, atLeast: 50_000 },
    ],
  },
  {
    label: "efficiency on 2,000 tasks of 1 ms of computing",
    group: "throughput",
    measure: "efficiency on 2,000 tasks of 1 ms",
    goals: [
      { system: EMBEDDED, atLeast: 0.95 },
      { system: REDIS, atLeast: 0.95 },
    ],
  },
  {
    label: "the same, on the first tasks of a new cluster",
    group: "throughput",
    measure: "efficiency on the first 2,000 tasks of 1 ms",
    goals: [],
  },
  {
    label: "METG(50 %), Task Bench stencil_1d, as wide as the cores",
    group: "task-bench",
    measure: "METG(50 %) of stencil_1d, width of the cores",
    goals: [
      { system: EMBEDDED, atMost: 0.4 },
      { system: REDIS, atMost: 0.6 },
    ],
  },
  {
    label: "the same, 8 times as wide",
    group: "task-bench",
    measure: "METG(50 %) of stencil_1d, 8 times the width",
    goals: [],
  },
  {
    // Each system's METG is measured by its own rate; one whose threads compute slower is seen here.
    label: "rate of the Task Bench kernel on all cores (language and threads)",
    group: "task-bench",
    measure: "kernel iterations per ms, all cores",
    goals: [],
  },
  {
    label: "cluster start to first result, fresh process",
    group: "start",
    measure: "cluster start to first result",
    goals: [
      { system: EMBEDDED, atMost: 0.15 },
      { system: REDIS, atMost: 0.8 },
    ],
  },
  {
    label: "engine overhead per task (ConcurrentTaskRunner)",
    group: "engine",
    measure: "engine overhead per task",
    from: { [EMBEDDED]: "Millrace, ConcurrentTaskRunner" },
    goals: [{ system: EMBEDDED, atMost: 5 }],
  },
  {
    label: "a worker process that waits, of a core",
    group: "idle",
    measure: "a worker that waits, of a core",
    goals: [{ system: REDIS, atMost: 1 }],
  },
  ...[
    { label: "rate", measure: "tasks per second", goals: [] },
    {
      label: "cost per task, as a multiple of that at 100,000",
      measure: "cost per task, multiple of that at 100,000",
      goals: [
        { system: EMBEDDED, atMost: 1.25 },
        { system: REDIS, atMost: 1.25 },
      ],
    },
    {
      // Of growth within one flow, the multiple above would show but a part.
      label: "cost per task of its second half, as a multiple of that of its second tenth",
      measure: "cost per task of the second half, multiple of that of the second tenth",
      goals: [
        { system: EMBEDDED, atMost: 1.25 },
        { system: REDIS, atMost: 1.25 },
      ],
    },
    {
      label: "most memory of the flow's process",
      measure: "most memory of the flow's process",
      goals: [
        { system: EMBEDDED, atMost: 1536 },
        { system: REDIS, atMost: 1536 },
      ],
    },
    {
      label: "most memory of Redis",
      measure: "most memory of Redis",
      goals: [{ system: REDIS, atMost: 64 }],
    },
  ].map((row) => ({
    ...row,
    group: "scale",
    at: 1_000_000,
    label: `a flow of 1,000,000 tasks: ${row.label}`,
  })),
];

/** Loads whose tasks are not alike, where a scheduler shows what it does. The figures of `balance.ts`. */
export const MIXED_LOADS: readonly GoalRow[] = [
  { measure: "1,000 no-ops and 20 tasks of 500 ms, time ÷ ideal", atMost: 1.1 },
  { measure: "200 tasks of heavy-tailed durations, time ÷ ideal", atMost: 1.15 },
  { measure: "100 tasks that each await 100 ms, on 2 threads", atMost: 1.5 },
].map(({ measure, atMost }) => ({
  label: measure,
  group: "balance",
  measure,
  goals: [EMBEDDED, REDIS, `${REDIS}, 2 workers`].map((system) => ({ system, atMost })),
}));
