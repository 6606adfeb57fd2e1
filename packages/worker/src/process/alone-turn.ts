/**
 * The turn of the batch that is to run alone: it comes when its worker is quiet. Until then the batch may be asked back, since
 * another worker may be quiet at once, and this one never.
 */
export class AloneTurn {
  readonly #quiet: () => Promise<void>;
  /** Of all batches that wait in turn: those that were asked back leave none behind. */
  #becomingQuiet: Promise<void> | undefined;
  #batchId: string | undefined;
  #giveUp: (() => void) | undefined;

  /** @param quiet resolves when the worker is quiet */
  constructor(quiet: () => Promise<void>) {
    this.#quiet = quiet;
  }

  /** Waits for the batch's turn. One at a time. @returns false: it was asked back */
  async comes(batchId: string): Promise<boolean> {
    this.#becomingQuiet ??= this.#quiet().finally(() => {
      this.#becomingQuiet = undefined;
    });
    const isGivenUp = new Promise<false>((resolve) => {
      this.#giveUp = () => resolve(false);
    });
    this.#batchId = batchId;
    const isItsTurn = await Promise.race([isGivenUp, this.#becomingQuiet.then(() => true)]);
    this.#batchId = undefined;
    this.#giveUp = undefined;
    return isItsTurn;
  }

  /** Without effect on a batch that does not wait for its turn. */
  askBack(batchId: string): void {
    if (batchId === this.#batchId) this.#giveUp?.();
  }
}
