import type { FlowDefinition } from "../definitions/flow-definition.ts";
import { ParameterError } from "../errors/errors.ts";
import { State } from "../futures/state.ts";
import { findDependencies, replaceFutures, replaceStates } from "./dependencies.ts";
import { loadValues } from "./inputs.ts";

/** What a flow was called with, and what it was told to wait for. */
export interface FlowInputs {
  readonly parameters: unknown;
  readonly waitFor: unknown;
}

/**
 * Waits for the runs that a flow run needs, and puts their values in the place of their futures in its parameters.
 *
 * @returns the state in which the flow run ends when one of them lets it not start; undefined when the wait was cancelled
 */
export async function resolveFlowInputs(
  { parameters, waitFor }: FlowInputs,
  cancellation: AbortSignal,
): Promise<{ readonly parameters: unknown } | { readonly notReady: State } | undefined> {
  const needed = findDependencies([parameters, waitFor]);
  if (needed === undefined) return { parameters };
  const cancelled = new Promise<void>((resolve) => cancellation.addEventListener("abort", () => resolve()));
  const [state] = needed.unfit;
  if (state !== undefined) return notReady(state.runId ?? `(a state ${state.name} made by hand)`);
  for (const future of needed.futures) {
    await Promise.race([future.run.final(), cancelled]);
    if (cancellation.aborted) return undefined;
    if (!future.run.lets(needed.tolerated.has(future))) return notReady(future.taskRunId);
  }
  await loadValues(findDependencies(parameters)?.futures ?? []);
  const given = needed.hasStates ? replaceStates(parameters) : parameters;
  return { parameters: replaceFutures(given, (future) => future.run.input()) };
}

function notReady(runId: string): { readonly notReady: State } {
  const message = `Upstream task run '${runId}' did not reach a 'COMPLETED' state.`;
  return { notReady: new State("PENDING", { name: "NotReady", message }) };
}

/** The parameters as the flow's schema gives them back. @throws ParameterError, and what the schema throws */
export async function validParameters(definition: FlowDefinition, given: unknown): Promise<unknown> {
  const { name, parameters: schema, validateParameters } = definition;
  if (schema === undefined || !validateParameters) return given;
  const result = await schema["~standard"].validate(given ?? {});
  if (result.issues === undefined) return result.value;
  throw new ParameterError(
    name,
    result.issues.map(({ message, path }) => {
      const keys = path?.map((part) => String(typeof part === "object" ? part.key : part)) ?? [];
      return keys.length > 0 ? `\`${keys.join(".")}\`: ${message}` : message;
    }),
  );
}
