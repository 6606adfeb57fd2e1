import type { RunnerLink } from "../broker.ts";

/** What is to be cancelled at the end of the turn, by batch: who ends a flow run ends many calls at once. */
export class Cancellations {
  readonly #link: Pick<RunnerLink, "cancel">;
  #sequences = new Map<string, number[]>();

  constructor(link: Pick<RunnerLink, "cancel">) {
    this.#link = link;
  }

  add(batchId: string, sequence: number): void {
    if (this.#sequences.size === 0) queueMicrotask(() => this.#send());
    const others = this.#sequences.get(batchId);
    if (others === undefined) this.#sequences.set(batchId, [sequence]);
    else others.push(sequence);
  }

  #send(): void {
    const cancelled = this.#sequences;
    this.#sequences = new Map();
    for (const [batchId, sequences] of cancelled) this.#link.cancel(batchId, sequences);
  }
}
