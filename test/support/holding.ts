import { type DistributedTaskRunner, type FlowRun, flow, unmapped } from "millrace";
import * as tasks from "../fixtures/tasks.ts";
import type { Gate } from "./gate.ts";

/** Starts a flow whose runs, one by each name, wait for the gate; it gives who ended them. */
export function startHolding(
  taskRunner: DistributedTaskRunner,
  gate: Gate,
  names: readonly string[],
): FlowRun<Awaited<ReturnType<typeof tasks.hold>>[]> {
  return flow({ name: "holding", taskRunner }, () =>
    tasks.hold.map(unmapped(gate.directory), names).results(),
  ).start();
}
