/** A promise that the test settles: what a task waits for in place of time. */
export interface Signal<T = void> extends Promise<T> {
  send(value: T): void;
}

export function signal<T = void>(): Signal<T> {
  let send: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => {
    send = resolve;
  });
  return Object.assign(promise, { send });
}
