import * as rules from "../definitions/options.ts";
import { WaitTimeoutError } from "../errors/errors.ts";
import { Queue } from "../tools/queue.ts";
import type { LoopFuture, TaskFuture } from "./future.ts";

export interface WaitOptions {
  /** How long to wait at most; 0 looks only at what is final already. Default: for ever. */
  readonly timeoutSeconds?: number;
}

const optionRules: rules.OptionRules<WaitOptions> = { timeoutSeconds: rules.finiteNumber(0) };

export interface WaitResult<R> {
  /** In the order of the input. */
  readonly done: TaskFuture<R>[];
  readonly notDone: TaskFuture<R>[];
}

/**
 * Waits until all the runs are final, or the time is over. What they ended with does not matter.
 *
 * @throws InvalidOptionError; nothing else
 */
export async function wait<R>(
  futures: Iterable<TaskFuture<R>>,
  options: WaitOptions = {},
): Promise<WaitResult<R>> {
  rules.checkOptions("wait()", options, optionRules);
  const all = [...futures];
  const done = new Set<TaskFuture<R>>();
  for (const future of all) if (future.run.isFinal()) done.add(future);
  if (done.size < new Set(all).size && options.timeoutSeconds !== 0) {
    const completions = new Completions([...new Set(all)], options.timeoutSeconds);
    try {
      for (let next = await completions.next(); !next.done; next = await completions.next())
        done.add(next.value);
    } catch (error) {
      if (!(error instanceof WaitTimeoutError)) throw error;
    }
  }
  return {
    done: all.filter((future) => done.has(future)),
    notDone: all.filter((future) => !done.has(future)),
  };
}

/**
 * The futures, each once, in the order in which their runs become final: those that are final already first.
 *
 *     for await (const future of asCompleted(futures)) console.log(await future.result());
 *
 * @throws WaitTimeoutError from the iteration when the time is over before all are final; InvalidOptionError
 */
export function asCompleted<R>(
  futures: Iterable<TaskFuture<R>>,
  options: WaitOptions = {},
): AsyncIterable<LoopFuture<R>> {
  rules.checkOptions("asCompleted()", options, optionRules);
  const all = [...new Set(futures)];
  return { [Symbol.asyncIterator]: () => new Completions(all, options.timeoutSeconds) };
}

/** Written by hand: an async generator would await each future that it yields, and throw at the first failed one. */
class Completions<R> implements AsyncIterator<TaskFuture<R>> {
  readonly #total: number;
  readonly #ready = new Queue<TaskFuture<R>>();
  readonly #deadline: number;
  #unfinished: number;
  #wake: (() => void) | undefined;

  constructor(futures: readonly TaskFuture<R>[], timeoutSeconds = Number.POSITIVE_INFINITY) {
    this.#total = futures.length;
    this.#unfinished = futures.length;
    this.#deadline = performance.now() + timeoutSeconds * 1000;
    for (const future of futures) {
      if (future.run.isFinal()) this.#ready.push(future);
      else future.run.onFinal({ runIsFinal: () => this.#finished(future) });
    }
  }

  async next(): Promise<IteratorResult<TaskFuture<R>>> {
    while (this.#ready.size === 0 && this.#unfinished > 0) await this.#nextCompletion();
    const value = this.#ready.shift();
    if (value === undefined) return { done: true, value: undefined };
    this.#unfinished--;
    return { done: false, value };
  }

  #finished(future: TaskFuture<R>): void {
    this.#ready.push(future);
    this.#wake?.();
  }

  async #nextCompletion(): Promise<void> {
    const leftMs = this.#deadline - performance.now();
    if (leftMs <= 0) throw new WaitTimeoutError(this.#unfinished, this.#total);
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (Number.isFinite(leftMs)) timer = setTimeout(resolve, leftMs);
    });
    clearTimeout(timer);
  }
}
