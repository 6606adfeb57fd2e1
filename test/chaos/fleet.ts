/** A number of programs of one kind that an operator keeps running: one that dies is started again. */
import type { Exit, Program } from "./programs.ts";

export interface FleetOptions {
  readonly start: (number: number) => Program;
  /** Asks a program to end. */
  readonly stop: (program: Program) => void;
  /** Told of each end; gives a sentence when it is not as it should be. */
  readonly onExit: (ending: Ending) => string | undefined;
}

export interface Ending extends Exit {
  readonly program: Program;
  /** How long before it was asked to end; undefined: it was not. */
  readonly stoppedForMs: number | undefined;
  /** Was it killed by `kill`? */
  readonly isKilled: boolean;
}

/** As soon as an operator's supervisor would. */
const RESTART_MS = 500;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #running = new Set<Program>();
  /** Those that were asked to end, and when. */
  readonly #stopping = new Map<Program, number>();
  readonly #killed = new Set<Program>();
  readonly #paused = new Set<Program>();
  readonly #exits = new Set<Promise<void>>();
  readonly problems: string[] = [];
  #size = 0;
  #started = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Those that are to go on, paused ones among them. */
  get programs(): readonly Program[] {
    return [...this.#running];
  }

  /** Those of them that are not paused. */
  get awake(): readonly Program[] {
    return this.programs.filter((program) => !this.#paused.has(program));
  }

  /** Those that were asked to end, and have not. */
  get left(): readonly Program[] {
    return [...this.#stopping.keys()];
  }

  /** @returns those that are to end */
  scale(size: number): readonly Program[] {
    this.#size = size;
    const leaving = this.programs.slice(size);
    for (const program of leaving) this.#stop(program);
    while (this.#running.size < size) this.#start();
    return leaving;
  }

  kill(program: Program): void {
    this.#killed.add(program);
    program.child.kill("SIGKILL");
  }

  pause(program: Program): void {
    this.#paused.add(program);
    program.child.kill("SIGSTOP");
  }

  resume(program: Program): void {
    this.#paused.delete(program);
    program.child.kill("SIGCONT");
  }

  /** Asks all to end, and waits until they have: those that had been asked before too. */
  async close(): Promise<void> {
    for (const program of this.#paused) this.resume(program);
    this.scale(0);
    while (this.#exits.size > 0) await Promise.all(this.#exits);
  }

  #start(): void {
    const program = this.#options.start(++this.#started);
    this.#running.add(program);
    const exit = program.exited.then((exit) => this.#onExit(program, exit));
    this.#exits.add(exit);
    void exit.then(() => this.#exits.delete(exit));
  }

  #stop(program: Program): void {
    this.#running.delete(program);
    this.#stopping.set(program, Date.now());
    this.#options.stop(program);
  }

  #onExit(program: Program, exit: Exit): void {
    const stoppedAt = this.#stopping.get(program);
    const isKilled = this.#killed.delete(program);
    this.#stopping.delete(program);
    this.#paused.delete(program);
    this.#running.delete(program);
    const stoppedForMs = stoppedAt === undefined ? undefined : Date.now() - stoppedAt;
    const problem = this.#options.onExit({ ...exit, program, stoppedForMs, isKilled });
    if (problem !== undefined) this.problems.push(problem);
    // Not when it was to end: then there are as many as there should be.
    if (stoppedAt === undefined) setTimeout(() => this.scale(this.#size), RESTART_MS);
  }
}
