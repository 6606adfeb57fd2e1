import { type CallInput, type FetchValue, isReference, type ValueReference } from "@millrace/broker";
import type { Execution, PendingCall } from "./pending-call.ts";

export interface ArrivalHandlers {
  /** The call waits for nothing more. */
  readonly onReady: (pending: PendingCall) => void;
  readonly onLost: (pending: PendingCall, reference: ValueReference) => void;
}

/** Gets the values that calls of a batch refer to: those that are not at hand count among what their calls wait for. */
export function fetchValues(execution: Execution, fetch: FetchValue, handlers: ArrivalHandlers): void {
  for (const pending of execution.calls.values()) {
    const { argsReference, inputs } = pending.call;
    if (argsReference === undefined && !inputs.some(isReference)) continue;
    const references = new Map<string, ValueReference>();
    for (const value of [argsReference, ...inputs]) if (isReference(value)) references.set(value.id, value);
    for (const reference of references.values()) fetchFor(pending, reference, fetch, handlers);
  }
}

function fetchFor(
  pending: PendingCall,
  reference: ValueReference,
  fetch: FetchValue,
  { onReady, onLost }: ArrivalHandlers,
): void {
  const got = fetch(reference);
  if (got instanceof Uint8Array) {
    put(pending, reference, got);
    return;
  }
  pending.waitsFor++;
  void got.then((bytes) => {
    if (!pending.execution.calls.has(pending.call.sequence)) return; // It has ended meanwhile.
    if (bytes === undefined) return onLost(pending, reference);
    put(pending, reference, bytes);
    if (--pending.waitsFor === 0) onReady(pending);
  });
}

function put(pending: PendingCall, { id }: ValueReference, bytes: Uint8Array): void {
  const isIt = (value: CallInput | undefined) => isReference(value) && value.id === id;
  if (isIt(pending.call.argsReference)) pending.args = bytes;
  pending.inputs = pending.inputs.map((input) => (isIt(input) ? bytes : input));
}
