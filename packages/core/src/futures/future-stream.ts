import { AsyncResource } from "node:async_hooks";
import type { FinalListener } from "../engine/run-record.ts";
import { watchAbort } from "../tools/abort-watch.ts";
import { Queue } from "../tools/queue.ts";
import type { LoopFuture, TaskFuture } from "./future.ts";

/** What a stream submits, and how far ahead. */
export interface StreamSource<R> {
  /** What `map` takes apart. Asked for its iterator when the stream is iterated. */
  readonly items: AsyncIterable<unknown>;
  /** @throws FlowRunEndedError, and what an item's own code throws */
  submit(item: unknown): TaskFuture<R>;
  /** How many unfinished calls to keep. */
  window(): number;
  /** Fires when the run in which `map` was called is to end. */
  readonly signal: AbortSignal | undefined;
}

/** Pulling that never waits would keep timers and sockets from their turn of the event loop: it lets them after so long, as ConcurrentTaskRunner does. */
const SLICE_MS = 5;

/**
 * What `map` makes of an async iterable: the futures, in the order of the input.
 *
 *     for await (const future of parse.map(rows)) console.log(await future.result());
 *     for await (const value of parse.map(rows).results()) console.log(value);
 *     for await (const future of store.map(parse.map(rows)));   // each row is stored when it is parsed
 *
 * Nothing happens before it is iterated; each iteration goes through the source anew. An item is taken from the source
 * only while fewer calls than the window are unfinished, and fewer wait to be taken from the stream: so as many items
 * as are in the window are in memory, however long the source, and no future that the loop has let go of. How large
 * the window is, is the task runner's to say: enough to keep it busy.
 *
 * Leaving the loop ends the source (its `return()`); what was submitted goes on, and the flow waits for it. An error of
 * the source is thrown where its item would have been.
 */
export class TaskFutureStream<R> implements AsyncIterable<LoopFuture<R>> {
  readonly #source: StreamSource<R>;
  /** The user's code that is called for it belongs where `map` was called, not where a run ends. */
  readonly #context = new AsyncResource("MillraceStream");

  /** @internal */
  constructor(source: StreamSource<R>) {
    this.#source = source;
  }

  [Symbol.asyncIterator](): AsyncIterator<LoopFuture<R>, undefined> {
    return new StreamIterator(this.#source, this.#context);
  }

  /** The values in order. Throws what a run failed with where its value would have been, and ends; the others go on. */
  async *results(): AsyncGenerator<R, undefined> {
    for await (const future of this) yield await future.result();
    return undefined;
  }
}

type Step<R> = IteratorResult<TaskFuture<R>, undefined>;

/** A `next()` that waits. */
interface Waiter<R> {
  resolve(step: Step<R> | Promise<never>): void;
}

/** Written by hand: an async generator would await each future that it yields, and throw at the first failed one. */
class StreamIterator<R> implements AsyncIterator<TaskFuture<R>, undefined>, FinalListener {
  readonly #source: StreamSource<R>;
  readonly #context: AsyncResource;
  #items: AsyncIterator<unknown> | undefined;
  /** Submitted, and not yet given to the loop. */
  readonly #ahead = new Queue<TaskFuture<R>>();
  readonly #waiters = new Queue<Waiter<R>>();
  #unfinished = 0;
  #isPulling = false;
  /** Has the source been asked for an item that it has not given? */
  #isAsking = false;
  #isOver = false;
  /** What ended the stream; thrown once. */
  #failure: { readonly error: unknown } | undefined;
  #sliceEnd = 0;
  #unwatch: () => void = () => {};

  constructor(source: StreamSource<R>, context: AsyncResource) {
    this.#source = source;
    this.#context = context;
  }

  next(): Promise<Step<R>> {
    const future = this.#ahead.shift();
    const step =
      future === undefined
        ? new Promise<Step<R>>((resolve) => this.#waiters.push({ resolve }))
        : Promise.resolve({ done: false, value: future } as const);
    this.#pull();
    if (this.#isOver) this.#endWaiters();
    return step;
  }

  async return(): Promise<Step<R>> {
    const isAsking = this.#isAsking;
    const ended = this.#end();
    this.#failure = undefined;
    this.#ahead.take(this.#ahead.size);
    this.#endWaiters();
    // A source that was asked for an item ends when it has one: in this turn of the event loop, or perhaps never.
    if (isAsking) await Promise.race([ended.catch(() => {}), new Promise(setImmediate)]);
    else await ended;
    return { done: true, value: undefined };
  }

  /** One of the runs has ended. */
  runIsFinal(): void {
    this.#unfinished--;
    this.#pull();
  }

  /** Takes items from the source while there is room for them. */
  #pull(): void {
    if (this.#isPulling || this.#isOver || !this.#hasRoom()) return;
    this.#isPulling = true;
    void this.#context.runInAsyncScope(() => this.#pullWhileRoom());
  }

  async #pullWhileRoom(): Promise<void> {
    try {
      this.#items ??= this.#start();
      while (!this.#isOver && this.#hasRoom()) {
        if (performance.now() > this.#sliceEnd) await this.#nextTurn();
        else await this.#pullOne(this.#items);
      }
    } catch (error) {
      if (this.#isAsking) this.#items = undefined; // The source has thrown, and is over.
      this.#fail(error);
    } finally {
      this.#isAsking = false;
      this.#isPulling = false;
      if (this.#isOver) this.#endWaiters();
    }
  }

  async #pullOne(items: AsyncIterator<unknown>): Promise<void> {
    this.#isAsking = true;
    const { done, value } = await items.next();
    this.#isAsking = false;
    if (this.#isOver) return;
    if (!done) return this.#give(this.#source.submit(value));
    this.#isOver = true;
    this.#unwatch();
  }

  #start(): AsyncIterator<unknown> {
    const { signal, items } = this.#source;
    this.#unwatch = watchAbort(signal, () => this.#fail(signal?.reason));
    return items[Symbol.asyncIterator]();
  }

  async #nextTurn(): Promise<void> {
    await new Promise(setImmediate);
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  #hasRoom(): boolean {
    const window = this.#source.window();
    return this.#unfinished < window && this.#ahead.size < window;
  }

  #give(future: TaskFuture<R>): void {
    if (!future.run.isFinal()) {
      this.#unfinished++;
      future.run.onFinal(this);
    }
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#ahead.push(future);
    else waiter.resolve({ done: false, value: future });
  }

  /** Ends the stream with an error, behind the futures that are there. */
  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#failure = { error };
    this.#end().catch(() => {}); // The first error is the one that counts.
    this.#endWaiters();
  }

  /** Pulls no more. Settles as the source's `return()` does. */
  async #end(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#unwatch();
    await this.#context.runInAsyncScope(() => this.#items?.return?.());
  }

  #endWaiters(): void {
    if (this.#ahead.size > 0) return;
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      const failure = this.#failure;
      this.#failure = undefined;
      waiter.resolve(
        failure === undefined ? { done: true, value: undefined } : Promise.reject(failure.error),
      );
    }
  }
}
