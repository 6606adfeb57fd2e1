import {
  type Batch,
  type BatchCall,
  type CallInput,
  type CallOutcome,
  type FetchValue,
  isReference,
  isSequence,
  type ValueReference,
} from "@millrace/broker";

/** A batch that refers to no values any more, and the outcomes of those of its calls that cannot start. */
export interface FetchedBatch {
  readonly batch: Batch;
  readonly ended: readonly CallOutcome[];
}

export function hasReferences({ calls }: Batch): boolean {
  return calls.some((call) => referencesIn(call).length > 0);
}

/** Gets all values that the batch refers to. @param cancelled calls that are not to start, asked when the values are there */
export async function fetchedBatch(
  batch: Batch,
  fetch: FetchValue,
  cancelled: ReadonlySet<number>,
): Promise<FetchedBatch> {
  const values = new Map<string, Uint8Array | undefined>();
  const references = batch.calls.flatMap(referencesIn);
  await Promise.all(references.map(async (each) => values.set(each.id, await fetch(each))));
  const calls: BatchCall[] = [];
  const ended = new Map<number, CallOutcome>();
  const end = (sequence: number, kind: CallOutcome["kind"], payload: Uint8Array = NOTHING) =>
    ended.set(sequence, { sequence, kind, durationMicros: 0, payload });
  for (const call of batch.calls) {
    const { sequence, argsReference, inputs, after } = call;
    const lost = referencesIn(call).find(({ id }) => values.get(id) === undefined);
    if (cancelled.has(sequence)) end(sequence, "cancelled");
    else if (lost !== undefined) end(sequence, "value-lost", Buffer.from(lost.id));
    else if ([...inputs.filter(isSequence), ...after].some((upstream) => ended.has(upstream)))
      end(sequence, "unstarted");
    else {
      const args = argsReference === undefined ? call.args : (values.get(argsReference.id) as Uint8Array);
      const here = (input: CallInput) => (isReference(input) ? (values.get(input.id) as Uint8Array) : input);
      calls.push({ ...call, args, argsReference: undefined, inputs: inputs.map(here) });
    }
  }
  return { batch: { ...batch, calls }, ended: [...ended.values()] };
}

function referencesIn({ argsReference, inputs }: BatchCall): ValueReference[] {
  return argsReference === undefined && inputs.length === 0
    ? NONE
    : [argsReference, ...inputs].filter(isReference);
}

const NOTHING = new Uint8Array();
const NONE: ValueReference[] = [];
