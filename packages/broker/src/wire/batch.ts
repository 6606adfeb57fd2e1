import { LOG_LEVELS, type LogLevel } from "@millrace/core";
import { packMessage } from "@millrace/core/internal";
import { asValue, type CallValue, NOTHING, type ValueReference, wireValue } from "./call-values.ts";
import { asCount, asList, asSeconds, asText, decodeMessage, refuse, WIRE_VERSION } from "./message-fields.ts";

/** Batches, which travel from a runner to a worker and its threads. Values inside them are bytes that only the two ends decode. */

/** Calls that travel together to one worker. A chunk of a batch, as a thread gets it, has the same form. */
export interface Batch {
  /** `<runner id>.<number>` */
  readonly id: string;
  readonly runnerId: string;
  /** The level at which run loggers write. */
  readonly logLevel: LogLevel;
  readonly tasks: readonly TaskReference[];
  readonly contexts: readonly CallContext[];
  readonly calls: readonly BatchCall[];
  /** Are its calls to run while the worker's process computes nothing else? One of them may kill it. */
  readonly isAlone: boolean;
}

/** How a worker finds a task. */
export interface TaskReference {
  /** Path of the module that defined the task, relative to the project root, with forward slashes. */
  readonly module: string;
  /** The flow process's entry module, imported when `module` alone does not define the task, as with factories. */
  readonly entry: string | undefined;
  readonly name: string;
  /** How long an attempt may take; 0: as long as it needs. */
  readonly timeoutSeconds: number;
}

/** What the calls of one run and one set of tags have in common. */
export interface CallContext {
  readonly scopeId: string;
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  /** Names under which the runs that the calls belong to hold slots. */
  readonly heldLimits: readonly string[];
  /** May tags be limited? When not, nobody need ask for slots. */
  readonly hasLimits: boolean;
  /** Does the flow's process want to hear of the runs that the calls make? */
  readonly isObserved: boolean;
  /** Are the results kept of tasks that the calls call? */
  readonly persistResult: boolean;
}

export interface BatchCall {
  /** The runner's number for the call; outcomes carry it. */
  readonly sequence: number;
  /** Index into `tasks`. */
  readonly task: number;
  /** Index into `contexts`. */
  readonly context: number;
  /** With the context's scope id, the task run's id. */
  readonly number: number;
  /** The name of the task run; empty: made of the task's and the number. */
  readonly name: string;
  /** Counted from 1. */
  readonly attempt: number;
  /** The encoded arguments, with a placeholder for each input. */
  readonly args: Uint8Array;
  /** Where they are when they are large; `args` is empty then. */
  readonly argsReference?: ValueReference | undefined;
  /** What goes into the placeholders. */
  readonly inputs: readonly CallInput[];
  /** Calls of the same batch, by sequence, that must have returned before this one starts, though it needs no value of theirs. */
  readonly after: readonly number[];
}

/** An encoded value, or where it is kept; or the sequence of a call of the same batch, whose value it will be. */
export type CallInput = CallValue | number;

/** @param attachments takes what goes beside the bytes: see wireValue */
export function encodeBatch(batch: Batch, attachments?: Uint8Array[]): Uint8Array {
  return packMessage([
    WIRE_VERSION,
    batch.id,
    batch.runnerId,
    batch.logLevel,
    batch.tasks.map((task) => [task.module, task.entry ?? null, task.name, task.timeoutSeconds]),
    batch.contexts.map((c) => [
      c.scopeId,
      c.flowRunId,
      c.flowName,
      c.flowRunName,
      c.tags,
      c.logConsole,
      c.heldLimits,
      c.hasLimits,
      c.isObserved,
      c.persistResult,
    ]),
    batch.calls.map((c) => [
      c.sequence,
      c.task,
      c.context,
      c.number,
      c.name,
      c.attempt,
      wireValue(c.argsReference ?? c.args, attachments),
      c.inputs.length === 0
        ? c.inputs
        : c.inputs.map((input) => (isSequence(input) ? input : wireValue(input, attachments))),
      c.after,
    ]),
    batch.isAlone,
  ]);
}

/** @throws DecodeError unless the bytes are a whole batch of this version whose parts fit together */
export function decodeBatch(bytes: Uint8Array, attachments: readonly Uint8Array[] = []): Batch {
  const fields = decodeMessage("a batch", bytes, 8);
  const [, id, runnerId, logLevel, tasks, contexts, calls, isAlone] = fields;
  const batch: Batch = {
    id: asText(id),
    runnerId: asText(runnerId),
    logLevel:
      LOG_LEVELS[(LOG_LEVELS as readonly unknown[]).indexOf(logLevel)] ?? refuse("a log level", logLevel),
    tasks: asList(tasks).map((fields) => {
      const [module, entry, name, timeoutSeconds] = asList(fields);
      return {
        module: asText(module),
        entry: entry === null ? undefined : asText(entry),
        name: asText(name),
        timeoutSeconds: asSeconds(timeoutSeconds),
      };
    }),
    contexts: asList(contexts).map((fields) => {
      const [
        scopeId,
        flowRunId,
        flowName,
        flowRunName,
        tags,
        logConsole,
        heldLimits,
        hasLimits,
        isObserved,
        persistResult,
      ] = asList(fields);
      return {
        scopeId: asText(scopeId),
        flowRunId: asText(flowRunId),
        flowName: asText(flowName),
        flowRunName: asText(flowRunName),
        tags: asList(tags).map(asText),
        logConsole: logConsole === true,
        heldLimits: asList(heldLimits).map(asText),
        hasLimits: hasLimits === true,
        isObserved: isObserved === true,
        persistResult: persistResult === true,
      };
    }),
    calls: asList(calls).map((fields) => {
      const [sequence, task, context, number, name, attempt, args, inputs, after] = asList(fields);
      const given = asValue(args, attachments);
      const isHere = given instanceof Uint8Array;
      return {
        sequence: asCount(sequence),
        task: asCount(task),
        context: asCount(context),
        number: asCount(number),
        name: asText(name),
        attempt: asCount(attempt),
        args: isHere ? given : NOTHING,
        argsReference: isHere ? undefined : given,
        inputs: asList(inputs).map((input) => asInput(input, attachments)),
        after: asList(after).map(asCount),
      };
    }),
    isAlone: isAlone === true,
  };
  // Nothing would ever end such a batch, so that its worker would hold it for ever.
  if (batch.calls.length === 0) return refuse("a call or more", "none");
  const sequences = new Set<number>();
  for (const { sequence, task, context, inputs, after } of batch.calls) {
    if (task >= batch.tasks.length || context >= batch.contexts.length) {
      return refuse("a call of a task and a context that the batch lists", `indexes ${task} and ${context}`);
    }
    // In this order they can run, and there is no circle that would wait for ever.
    if (inputs.length + after.length > 0) {
      const missing = [...inputs.filter(isSequence), ...after].find((upstream) => !sequences.has(upstream));
      if (missing !== undefined) return refuse("an earlier call of the batch to wait for", `call ${missing}`);
    }
    if (sequences.size === sequences.add(sequence).size)
      return refuse("each call once", `call ${sequence} twice`);
  }
  return batch;
}

export function isSequence(input: CallInput): input is number {
  return typeof input === "number";
}

function asInput(input: unknown, attachments: readonly Uint8Array[]): CallInput {
  return typeof input === "number" ? asCount(input) : asValue(input, attachments);
}
