/** A task whose calls are busy for less than this part of their time waits more than it works: four of them fill a thread, at most. */
const WAITS_BELOW = 0.25;

/** Shorter calls say nothing: a turn of the event loop is a large part of them. */
const LEAST_MS = 0.5;

/**
 * Knows the tasks whose calls mostly wait, as for a network. Once one has been seen to do so, its next calls start
 * beside each other at once, without a look at the event loop for each.
 */
export class WaitingTasks<Task extends object> {
  readonly #known = new WeakMap<Task, boolean>();

  /** A call of the task took so long, and kept the event loop busy for so much of it. */
  observe(task: Task, wallMs: number, busyMs: number): void {
    if (wallMs >= LEAST_MS) this.#known.set(task, busyMs < wallMs * WAITS_BELOW);
  }

  has(task: Task): boolean {
    return this.#known.get(task) ?? false;
  }
}
