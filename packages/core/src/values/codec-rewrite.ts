import { AllowFailure, Quote } from "../definitions/annotations.ts";
import { describe, NotEncodableError } from "../errors/errors.ts";
import { TaskFutureList } from "../futures/future.ts";
import { State } from "../futures/state.ts";
import { hasSymbolKeys, isContainer, isCopied, isOddKey, isWellFormed, MAX_DEPTH } from "./codec-check.ts";
import { errorRecord } from "./codec-errors.ts";
import { Input } from "./input.ts";
import { encodeRegistered } from "./registered-types.ts";
import { type Tag, Tagged } from "./tagged.ts";

/**
 * A copy of the value in which everything that MessagePack would change has a form that it carries: tagged parts, read
 * back by codec-tags.ts. Cycles and shared parts stay what they are, except through a tagged part.
 *
 * @param root how the path in an error begins
 * @throws NotEncodableError with the path to what cannot be sent
 */
export function rewriteValue(value: unknown, root: string, allowInputs: boolean): unknown {
  return new Rewriting(allowInputs).value(value, root, 0);
}

/** An error in an error counts as ten levels, since its encoded form has several: a chain of causes ends after 100. */
const LEVELS_PER_ERROR = 10;

class Rewriting {
  readonly #allowInputs: boolean;
  readonly #copies = new Map<object, unknown>();
  /** Tagged parts that are being copied: a cycle through one cannot be rebuilt. */
  readonly #open: Set<object>;

  constructor(allowInputs: boolean, open = new Set<object>()) {
    this.#allowInputs = allowInputs;
    this.#open = open;
  }

  value(value: unknown, path: string, depth: number): unknown {
    if (typeof value === "string") return isWellFormed(value) ? value : tagText(value);
    if (typeof value === "number") return Object.is(value, -0) ? new Tagged("minus-zero", 0) : value;
    if (typeof value === "function" || typeof value === "symbol") throw refuse(value, path);
    if (typeof value !== "object" || value === null) return value;
    if (depth > MAX_DEPTH) {
      const advice = "Flatten it, or send it in parts.";
      throw new NotEncodableError(path, `a value nested more than ${MAX_DEPTH} levels deep`, advice);
    }
    const copy = this.#copies.get(value);
    if (copy !== undefined) return copy;
    return isContainer(value)
      ? this.#container(value, path, depth + 1)
      : this.#instance(value, path, depth + 1);
  }

  #container(value: object, path: string, depth: number): unknown {
    if (Array.isArray(value)) return this.#array(value, path, depth);
    if (value instanceof Map) {
      const copy = new Map<unknown, unknown>();
      this.#copies.set(value, copy);
      for (const [key, item] of value) {
        copy.set(
          this.value(key, `${path}.key(${label(key)})`, depth),
          this.value(item, `${path}.get(${label(key)})`, depth),
        );
      }
      return copy;
    }
    if (value instanceof Set) {
      const copy = new Set<unknown>();
      this.#copies.set(value, copy);
      for (const item of value) copy.add(this.value(item, `${path}.has(${label(item)})`, depth));
      return copy;
    }
    return this.#plainObject(value as Record<string, unknown>, path, depth);
  }

  #array(value: readonly unknown[], path: string, depth: number): unknown {
    if (isSparse(value)) {
      return this.#tagged(value, "sparse", path, () => [
        value.length,
        Object.keys(value)
          .filter((key) => /^\d+$/.test(key))
          .map((key) => [Number(key), this.value(value[Number(key)], `${path}[${key}]`, depth)]),
      ]);
    }
    const copy: unknown[] = [];
    this.#copies.set(value, copy);
    for (let index = 0; index < value.length; index++)
      copy.push(this.value(value[index], `${path}[${index}]`, depth));
    return copy;
  }

  #plainObject(value: Record<string, unknown>, path: string, depth: number): unknown {
    if (hasSymbolKeys(value)) {
      throw new NotEncodableError(path, "an object with a symbol for a key", "Use strings for keys.");
    }
    const keys = Object.keys(value);
    const part = (key: string) => this.value(value[key], `${path}${step(key)}`, depth);
    if (keys.some(isOddKey)) {
      return this.#tagged(value, "entries", path, () =>
        keys.map((key) => [this.value(key, path, depth), part(key)]),
      );
    }
    const copy: Record<string, unknown> = {};
    this.#copies.set(value, copy);
    for (const key of keys) copy[key] = part(key);
    return copy;
  }

  #instance(value: object, path: string, depth: number): unknown {
    if (value instanceof TaskFutureList) return this.#array(value, path, depth);
    if (isCopied(value) || (this.#allowInputs && value instanceof Input)) return value;
    if (value instanceof AllowFailure) return this.value(value.value, path, depth);
    if (value instanceof Quote) return new Rewriting(false, this.#open).value(value.value, path, depth);
    const registered = encodeRegistered(value);
    if (registered !== undefined) {
      const { name, data } = registered;
      return this.#tagged(value, "registered", path, () => [
        name,
        this.value(data, `${path}.<${name}>`, depth),
      ]);
    }
    if (value instanceof Error) return this.#error(value, path, depth);
    if (value instanceof State) {
      const { type, name, message, data, timestamp, runId } = value;
      return this.#tagged(value, "state", path, () => [
        type,
        name,
        message,
        this.value(data, `${path}.data`, depth),
        timestamp,
        runId,
      ]);
    }
    if (Object.getPrototypeOf(value) === URL.prototype) return new Tagged("url", (value as URL).href);
    throw refuse(value, path);
  }

  /** An error must arrive, so what cannot be sent of it, or leads back to it, arrives as a description. */
  #error(error: Error, path: string, depth: number): unknown {
    return this.#tagged(error, "error", path, () =>
      errorRecord(error, (part) => {
        try {
          return new Rewriting(false, this.#open).value(part, path, depth + LEVELS_PER_ERROR);
        } catch {
          return describe(part);
        }
      }),
    );
  }

  #tagged(value: object, tag: Tag, path: string, payload: () => unknown): Tagged {
    if (this.#open.has(value)) {
      throw new NotEncodableError(
        path,
        "a cycle through a part that is not a plain container",
        "Break the cycle.",
      );
    }
    this.#open.add(value);
    const tagged = new Tagged(tag, payload());
    this.#open.delete(value);
    this.#copies.set(value, tagged);
    return tagged;
  }
}

/** UTF-16 code units: MessagePack's strings are UTF-8, which has no form for half of a surrogate pair. */
function tagText(text: string): Tagged {
  const units = new Uint16Array(text.length);
  for (let index = 0; index < text.length; index++) units[index] = text.charCodeAt(index);
  return new Tagged("text", units);
}

function refuse(value: unknown, path: string): NotEncodableError {
  if (value instanceof Input) {
    return new NotEncodableError(
      path,
      "a future",
      "Await it first; only arguments of tasks may hold futures.",
    );
  }
  return new NotEncodableError(path, describe(value), adviceFor(value));
}

function adviceFor(value: unknown): string {
  if (typeof value === "function")
    return "Send what the function needs, and define the function in the task's module.";
  if (typeof value === "symbol") return "Use a string.";
  if (value instanceof Promise) return "Await it first.";
  return "Send its fields as a plain object, or say how its class travels with registerType().";
}

function isSparse(value: readonly unknown[]): boolean {
  for (let index = 0; index < value.length; index++) if (!(index in value)) return true;
  return false;
}

function step(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function label(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.length > 40 ? `${key.slice(0, 37)}...` : key);
  return typeof key === "object" ? describe(key) : String(key);
}
