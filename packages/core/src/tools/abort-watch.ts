/**
 * Calls `onAbort` when the signal fires, which it has not yet. Gives what ends that.
 *
 * Every task of a flow waits under the flow's one signal. With a listener each, Node looks through all of them to add
 * one, which took seconds for 20,000, and warns of a leak. So a signal gets one listener, which stays.
 */
export function watchAbort(signal: AbortSignal | undefined, onAbort: () => void): () => void {
  if (signal === undefined) return () => {};
  const callbacks = callbacksOf(signal);
  const callback = () => onAbort(); // An object of its own, should a function be given twice.
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

const watched = new WeakMap<AbortSignal, Set<() => void>>();

function callbacksOf(signal: AbortSignal): Set<() => void> {
  const known = watched.get(signal);
  if (known !== undefined) return known;
  const callbacks = new Set<() => void>();
  watched.set(signal, callbacks);
  const onAbort = () => {
    for (const callback of callbacks) callback();
    callbacks.clear();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return callbacks;
}
