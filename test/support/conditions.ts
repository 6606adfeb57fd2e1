/** Lets tests wait until something holds, looked at whenever what they observe has changed. */
export class Conditions {
  readonly #waiting = new Set<() => void>();

  /** Resolves when the condition holds, now or after a change. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Something has changed. */
  changed(): void {
    for (const look of [...this.#waiting]) look();
  }
}
