import type { Producer } from "../values/kept-value.ts";
import { BatchBuilder } from "./batch-builder.ts";
import type { LocalEntry } from "./entries.ts";

/**
 * What makes the result of a call again. It holds neither the call's run nor the futures in its arguments, or nothing upstream
 * would ever be freed; so it is made when the call has ended, and what those stand for is there.
 *
 * @returns undefined when the arguments, which somebody may have changed meanwhile, cannot be sent again
 */
export function producerOf(entry: LocalEntry): Producer | undefined {
  const { dispatcher, call, services } = entry;
  const { task } = call;
  const builder = new BatchBuilder("again", "", dispatcher.values);
  try {
    builder.add(0, call, [], entry, false);
  } catch {
    return undefined;
  }
  const batch = builder.batch();
  return { batch, run: () => dispatcher.runAgain({ batch, task, services }) };
}
