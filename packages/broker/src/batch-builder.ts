import { pathToFileURL } from "node:url";
import { type Call, DecodeError, InvalidOptionError, TaskFuture } from "@millrace/core";
import {
  currentProjectRoot,
  EncodedValue,
  encode,
  encodeWithInputs,
  entryModule,
  logLevel,
  registrationModule,
  type TaskDefinition,
  toModulePath,
} from "@millrace/core/internal";
import type { Batch, BatchCall, CallContext, CallInput, TaskReference } from "./messages.ts";

/** Puts calls into the form in which they travel. Tasks and contexts that calls share are written once per batch. */
export class BatchBuilder {
  readonly #id: string;
  readonly #runnerId: string;
  /** By the definition, or for a call that came encoded by its reference. */
  readonly #tasks = new Map<TaskDefinition | TaskReference, number>();
  readonly #references: TaskReference[] = [];
  readonly #contexts: CallContext[] = [];
  readonly #calls: BatchCall[] = [];

  constructor(id: string, runnerId: string) {
    this.#id = id;
    this.#runnerId = runnerId;
  }

  /**
   * @param upstream calls of the batch, which have been added, that this one waits for
   * @throws NotEncodableError, ModulePathError, InvalidOptionError when this call cannot travel
   */
  add(sequence: number, call: Call, upstream: readonly Upstream[] = NONE): void {
    const task = this.#tasks.get(call.task) ?? this.#addTask(call.task, referenceTo(call.task));
    const { bytes, inputs: values } = encodeWithInputs(call.args, "arguments");
    const inputs: readonly CallInput[] =
      values.length === 0 ? NONE : values.map((value) => inputOf(value, upstream));
    this.#calls.push({
      sequence,
      task,
      context: this.#contextIndex(call),
      number: call.number,
      name: call.givenName ?? "",
      attempt: Math.max(call.attempt, 1), // The run of one that waits has not begun its first.
      args: bytes,
      inputs,
      after:
        upstream.length === 0
          ? NONE
          : upstream.map(({ sequence }) => sequence).filter((one) => !inputs.includes(one)),
    });
  }

  /** Adds a call that came from a worker: the first of its batch. */
  addEncoded(sequence: number, { tasks, contexts, calls }: Batch): void {
    const call = calls[0] as BatchCall;
    const reference = tasks[call.task] as TaskReference;
    const context = this.#contexts.push(contexts[call.context] as CallContext) - 1;
    const task = this.#tasks.get(reference) ?? this.#addTask(reference, reference);
    this.#calls.push({ ...call, sequence, task, context });
  }

  batch(): Batch {
    return {
      id: this.#id,
      runnerId: this.#runnerId,
      logLevel: logLevel(),
      tasks: this.#references,
      contexts: this.#contexts,
      calls: this.#calls,
    };
  }

  #addTask(key: TaskDefinition | TaskReference, reference: TaskReference): number {
    const index = this.#references.push(reference) - 1;
    this.#tasks.set(key, index);
    return index;
  }

  /** Calls of one run come in a row: it is enough to compare with the last context. */
  #contextIndex({ scope, tags, heldLimits }: Call): number {
    const last = this.#contexts.at(-1);
    if (
      last === undefined ||
      last.scopeId !== scope.id ||
      last.tags !== tags ||
      last.heldLimits !== heldLimits ||
      last.logConsole !== scope.owner.logConsole
    ) {
      const { flowRunId, flowName, flowRunName, logConsole, services } = scope.owner;
      const hasLimits =
        services.clusterLimiter !== undefined || Object.keys(services.concurrencyLimits).length > 0;
      this.#contexts.push({
        ...{ scopeId: scope.id, flowRunId, flowName, flowRunName, tags, logConsole, heldLimits },
        ...{ hasLimits, isObserved: services.events.isObserved, persistResult: services.persistResult },
      });
    }
    return this.#contexts.length - 1;
  }
}

const NONE: readonly never[] = [];

/** A call of the same batch. */
interface Upstream {
  readonly sequence: number;
  readonly call: Call;
}

/**
 * What a future stands for: the call of the batch whose value it will have, or its value as bytes. One that came from a
 * worker is passed on as it came, without being decoded.
 */
function inputOf(input: unknown, upstream: readonly Upstream[]): CallInput {
  if (!(input instanceof TaskFuture)) throw new DecodeError("a future among the inputs", typeof input);
  const call: object = input.run;
  const above = upstream.find((one) => one.call === call);
  if (above !== undefined) return above.sequence;
  const raw = input.run.rawInput();
  return raw instanceof EncodedValue ? raw.bytes : encode(raw, `result of ${input.taskRunId}`);
}

const references = new WeakMap<TaskDefinition, TaskReference>();

function referenceTo(task: TaskDefinition): TaskReference {
  let reference = references.get(task);
  if (reference === undefined) {
    const module = registrationModule(task);
    if (module === undefined) {
      throw new InvalidOptionError(
        `the place of task "${task.name}"`,
        "a module file that workers can import (or set task({ module: import.meta.url }))",
        "code that is in no file",
      );
    }
    const root = currentProjectRoot();
    const entry = entryModule();
    reference = {
      module: toModulePath(root, module),
      entry: entry === undefined ? undefined : toModulePath(root, pathToFileURL(entry).href),
      name: task.name,
      timeoutSeconds: task.timeoutSeconds ?? 0,
    };
    references.set(task, reference);
  }
  return reference;
}
