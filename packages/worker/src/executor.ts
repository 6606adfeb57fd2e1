import type { Batch, CallAnswer, EncodedReport, FetchValue } from "@millrace/broker";

/**
 * How many calls a thread may have under way at once while its event loop is idle. Enough for a connection pool or two;
 * few enough that a thread which dies takes little with it. 100 tasks that each await 100 ms, on 2 threads, take 0.55 s with 10,
 * 0.23 s with 50 and 0.22 s with 100 (bench: balance).
 */
export const DEFAULT_CALLS_PER_THREAD = 100;

/**
 * Executes the calls of batches and reports how they ended. A call whose inputs are calls of its batch starts when those
 * have returned; when one of them ends otherwise, its outcome is `unstarted`. Two implementations pass one contract suite
 * (testing/executor.contract.ts): ThreadExecutor over worker threads, InlineExecutor on this event loop.
 */
export interface Executor {
  /** How many calls run at the same time. */
  readonly threads: number;
  /**
   * Gets ready, with these modules of the project loaded: paths relative to its root. The worker's id goes with what
   * calls ask, so that the answers find them.
   *
   * @throws WorkerStartError, ModulePathError, ModuleImportError
   */
  start(workerId: string, modules?: readonly string[]): Promise<void>;
  /**
   * Takes the calls of a batch. Reports arrive as calls end, several at a time, each call in exactly one of them; the last one
   * has `isLast`.
   *
   * @param fetch gets the values that the batch refers to: a call can start when its own are there, and when one is lost, its
   * outcome is `value-lost`
   */
  execute(batch: Batch, onReport: (report: EncodedReport, isLast: boolean) => void, fetch?: FetchValue): void;
  /**
   * Ends calls of a batch early: those that have not started are dropped, those that run get their signal, and are
   * stopped should they go on. Their outcome is `cancelled`, unless they ended otherwise first.
   */
  cancel(batchId: string, sequences: readonly number[]): void;
  /**
   * Ends calls of a batch that have not started, with the outcome `unstarted`: they are to run elsewhere. One is kept
   * when nothing else goes on here.
   */
  handBack(batchId: string): void;
  /** Hands an answer to the call that asked. */
  answer(answer: CallAnswer): void;
  /** Would another batch find work for a thread that is idle, or will be soon? */
  hasRoom(): boolean;
  /** Resolves when `hasRoom` may have become true. */
  room(): Promise<void>;
  /** Resolves when no call is waiting or running. */
  idle(): Promise<void>;
  /** Resolves when no call computes, or could: those that wait for something may. */
  quiet(): Promise<void>;
  /**
   * Ends at once, whatever runs. Calls that have not ended are reported as `lost`, once nothing of them runs here any
   * more; none is blamed for it. Never rejects; safe to call twice.
   */
  close(): Promise<void>;
}
