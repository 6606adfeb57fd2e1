/** An AbortSignal that costs nothing until somebody asks for it. */
export class Abortable {
  #controller: AbortController | undefined;
  #reason: unknown;
  isAborted = false;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Fires the signal; the first reason stands. */
  abort(reason: unknown): void {
    if (this.isAborted) return;
    this.isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
