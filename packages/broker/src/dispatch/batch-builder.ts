import { pathToFileURL } from "node:url";
import { type Call, DecodeError, InvalidOptionError, NotEncodableError, TaskFuture } from "@millrace/core";
import {
  currentProjectRoot,
  DistantValue,
  EncodedValue,
  encode,
  encodeWithInputs,
  entryModule,
  logLevel,
  registrationModule,
  type TaskDefinition,
  toModulePath,
  WholeInput,
} from "@millrace/core/internal";
import { KeptValue, type ValueUser } from "../values/kept-value.ts";
import type { PlacesValues } from "../values/values.ts";
import type { Batch, BatchCall, CallContext, CallInput, TaskReference } from "../wire/batch.ts";
import { type CallValue, INLINE_LIMIT_BYTES, inSharedMemory } from "../wire/call-values.ts";
import { MOST_PART_BYTES } from "../wire/message-fields.ts";

/** Puts calls into the form in which they travel. Tasks and contexts that calls share are written once per batch. */
export class BatchBuilder {
  readonly #id: string;
  readonly #runnerId: string;
  /** By the definition, or for a call that came encoded by its reference. */
  readonly #tasks = new Map<TaskDefinition | TaskReference, number>();
  readonly #references: TaskReference[] = [];
  readonly #contexts: CallContext[] = [];
  readonly #calls: BatchCall[] = [];
  readonly #values: PlacesValues | undefined;
  #sizeBytes = 0;
  #valueBytes = 0;

  /** @param values keeps the large ones. Left out: they are in the batch. */
  constructor(id: string, runnerId: string, values?: PlacesValues) {
    this.#id = id;
    this.#runnerId = runnerId;
    this.#values = values;
  }

  /** What the calls take of the message, about: without what goes beside it. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** What the values take, beside it, that only calls of the batch need. */
  get valueBytes(): number {
    return this.#valueBytes;
  }

  /**
   * @param upstream calls of the batch, which have been added, that this one waits for
   * @param owner whose the arguments are, and who needs the values until it ends
   * @param isSent false: the batch is only a record, for which nothing is kept
   * @throws NotEncodableError, ModulePathError, InvalidOptionError when this call cannot travel
   */
  add(
    sequence: number,
    call: Call,
    upstream: readonly Upstream[] = NONE,
    owner: ValueUser = { needs: undefined },
    isSent = true,
  ): void {
    const task = this.#tasks.get(call.task) ?? this.#addTask(call.task, referenceTo(call.task));
    const { bytes, inputs: values } = encodeWithInputs(call.args, "arguments");
    const user = isSent ? owner : undefined;
    const above = upstream.length === 0 ? NOTHING_ABOVE : sequences(upstream);
    const inputs: readonly CallInput[] =
      values.length === 0 ? NONE : values.map((value) => this.#inputOf(value, above, user));
    const args = this.#place(owner, bytes, user, false);
    if (bytes.length > INLINE_LIMIT_BYTES) this.#valueBytes += bytes.length;
    const areHere = args instanceof Uint8Array;
    this.#push({
      sequence,
      task,
      context: this.#contextIndex(call),
      number: call.number,
      name: call.givenName ?? "",
      attempt: Math.max(call.attempt, 1), // The run of one that waits has not begun its first.
      args: areHere ? args : NO_BYTES,
      argsReference: areHere ? undefined : args,
      inputs,
      after: above.size === 0 ? NONE : without(above.values(), new Set(inputs)),
    });
  }

  /** Adds a call that came from a worker: the first of its batch. */
  addEncoded(sequence: number, { tasks, contexts, calls }: Batch, user: ValueUser): void {
    const call = calls[0] as BatchCall;
    const reference = tasks[call.task] as TaskReference;
    const context = this.#contexts.push(contexts[call.context] as CallContext) - 1;
    const task = this.#tasks.get(reference) ?? this.#addTask(reference, reference);
    const inputs = call.inputs.map((input) => this.#passed(input, user));
    const args = this.#passed(call.argsReference ?? call.args, user);
    const placed = args instanceof Uint8Array ? { args } : { args: NO_BYTES, argsReference: args };
    this.#push({ ...call, ...placed, inputs, sequence, task, context });
  }

  /** @param isAlone see Batch */
  batch(isAlone = false): Batch {
    return {
      id: this.#id,
      runnerId: this.#runnerId,
      logLevel: logLevel(),
      tasks: this.#references,
      contexts: this.#contexts,
      calls: this.#calls,
      isAlone,
    };
  }

  /** @throws NotEncodableError for a call that would make the message too long: it would be refused at the other end, and sent again, for ever */
  #push(call: BatchCall): void {
    const sizeBytes = inlineBytesOf(call);
    if (sizeBytes > MOST_PART_BYTES) {
      throw new NotEncodableError(
        "arguments",
        `${call.inputs.length} values of ${sizeBytes} bytes together`,
        `One call takes at most ${MOST_PART_BYTES} bytes in values of up to ${INLINE_LIMIT_BYTES} bytes each: let several ` +
          "tasks take a part of them each, and one what these return.",
      );
    }
    this.#sizeBytes += sizeBytes;
    this.#calls.push(call);
  }

  #place(owner: object, bytes: Uint8Array, user: ValueUser | undefined, isHeld: boolean): CallValue {
    return this.#values === undefined ? bytes : this.#values.place(owner, bytes, user, isHeld);
  }

  /**
   * What stands for an input: the call of the batch whose value it will be; where it is kept; or its value as bytes. One that
   * came from a worker is passed on as it came, without being decoded.
   */
  #inputOf(input: unknown, above: ReadonlyMap<object, number>, user: ValueUser | undefined): CallInput {
    if (input instanceof WholeInput) return this.#place(input, input.encoded(inSharedMemory), user, true);
    if (!(input instanceof TaskFuture)) throw new DecodeError("a future among the inputs", typeof input);
    const sequence = above.get(input.run);
    if (sequence !== undefined) return sequence;
    const raw = input.run.rawInput();
    const forwarded = raw instanceof DistantValue ? this.#values?.forward(raw, user) : undefined;
    if (forwarded !== undefined) return this.#counted(forwarded);
    const encoded = raw instanceof DistantValue ? raw.encoded : raw;
    return encoded instanceof EncodedValue
      ? this.#place(encoded, encoded.bytes, user, true)
      : this.#place(input.run, encode(encoded, `result of ${input.taskRunId}`), user, true);
  }

  /** What a producer needs, or a running call gives, knows where it is kept by now. */
  #passed<Input extends CallInput>(input: Input, user: ValueUser): Input | CallValue {
    if (input instanceof Uint8Array) return this.#counted(this.#place(input, input, user, false));
    if (!(input instanceof KeptValue)) return input;
    input.values.need(input, user);
    return this.#counted(input);
  }

  #counted<Placed>(value: Placed): Placed {
    if (value instanceof KeptValue && value.users === 1) this.#valueBytes += value.sizeBytes;
    return value;
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
const NO_BYTES = new Uint8Array();

/** A call of the same batch. */
interface Upstream {
  readonly sequence: number;
  readonly call: Call;
}

const NOTHING_ABOVE: ReadonlyMap<object, number> = new Map();

/** By the call: of a sum of a million values, each is looked for here. */
function sequences(upstream: readonly Upstream[]): ReadonlyMap<object, number> {
  return new Map(upstream.map(({ call, sequence }) => [call, sequence]));
}

function without(all: Iterable<number>, others: ReadonlySet<CallInput>): readonly number[] {
  return [...all].filter((one) => !others.has(one));
}

/** At most, in MessagePack: a number, or what is before the bytes of a value; a reference; and the numbers of a call. */
const FRAME_BYTES = 9;
const REFERENCE_BYTES = 100;
const CALL_BYTES = 64;

function inlineBytesOf({ name, args, argsReference, inputs, after }: BatchCall): number {
  // A character takes three bytes at most.
  let bytes = CALL_BYTES + 3 * name.length + FRAME_BYTES * after.length + inlineBytes(argsReference ?? args);
  for (const input of inputs) bytes += inlineBytes(input);
  return bytes;
}

/** What is above the limit goes beside the message. */
function inlineBytes(input: CallInput): number {
  if (typeof input === "number") return FRAME_BYTES;
  if (!(input instanceof Uint8Array)) return REFERENCE_BYTES;
  return FRAME_BYTES + (input.length > INLINE_LIMIT_BYTES ? 0 : input.length);
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
