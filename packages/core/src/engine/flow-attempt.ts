import type { FlowDefinition } from "../definitions/flow-definition.ts";
import { CancelledRunError, RunTimeoutError } from "../errors/errors.ts";
import { describeThrown } from "../errors/shown-value.ts";
import { State } from "../futures/state.ts";
import { captureConsole } from "./console-capture.ts";
import { runInContext } from "./context.ts";
import { aggregate, resolveReturned } from "./final-state.ts";
import type { FlowContext } from "./flow-context.ts";
import type { RunScope } from "./run-scope.ts";

/**
 * Calls a flow's function once, and waits for every run that it has made. The time limit and the cancellation end the
 * attempt early: what it has made is cancelled, and the function, which nothing can stop, is left to itself.
 *
 * @returns the state in which the attempt ends; never rejects
 */
export async function attemptFlow(
  definition: FlowDefinition,
  context: FlowContext,
  cancellation: AbortSignal,
): Promise<State> {
  if (context.logConsole) captureConsole();
  let interrupt!: (state: State) => void;
  const interrupted = new Promise<State>((resolve) => {
    interrupt = resolve;
  });
  const onCancel = () => {
    context.abort(new CancelledRunError(String(cancellation.reason)));
    interrupt(cancelledState(cancellation));
  };
  const timer = startTimer(definition.timeoutSeconds, (error) => {
    context.abort(error);
    interrupt(new State("FAILED", { name: "TimedOut", message: error.message, data: error }));
  });
  cancellation.addEventListener("abort", onCancel);
  if (cancellation.aborted) onCancel();
  const final = await Promise.race([interrupted, call(definition, context)]);
  clearTimeout(timer);
  cancellation.removeEventListener("abort", onCancel);
  await context.scope().end();
  return final;
}

export function cancelledState(cancellation: AbortSignal): State {
  return new State("CANCELLED", { message: String(cancellation.reason) });
}

function startTimer(
  timeoutSeconds: number | undefined,
  onTimeout: (error: RunTimeoutError) => void,
): NodeJS.Timeout | undefined {
  if (!timeoutSeconds) return undefined;
  return setTimeout(() => onTimeout(new RunTimeoutError("Flow run", timeoutSeconds)), timeoutSeconds * 1000);
}

async function call({ fn }: FlowDefinition, context: FlowContext): Promise<State> {
  const scope = context.scope();
  let final: State;
  try {
    const returned = await runInContext(context, () => (fn as (p: unknown) => unknown)(context.parameters));
    const resolved = returned === undefined ? undefined : await resolveReturned(returned);
    await scope.end();
    final = finalState(resolved, scope);
  } catch (error) {
    final = new State("FAILED", {
      data: error,
      message: `Flow run encountered an exception: ${describeThrown(error)}`,
    });
  }
  await scope.end();
  return final;
}

/** A flow that returns nothing takes its state from all its task runs. */
function finalState(resolved: unknown, scope: RunScope): State {
  if (resolved instanceof State) return resolved;
  if (resolved === undefined && scope.tally.total > 0) return aggregate(scope.tally);
  return new State("COMPLETED", { data: resolved });
}
