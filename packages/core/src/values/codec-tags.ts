import { DecodeError } from "../errors/errors.ts";
import { isStateType, State } from "../futures/state.ts";
import { type ErrorRecord, errorFrom } from "./codec-errors.ts";
import { decodeRegistered } from "./registered-types.ts";
import type { Tag } from "./tagged.ts";

/** The value that a tagged part stands for. @throws DecodeError when the payload does not fit the tag */
export function readTagged(tag: Tag | undefined, payload: unknown): unknown {
  switch (tag) {
    case "error":
      return errorFrom(payload as ErrorRecord);
    case "state": {
      const [type, name, message, data, timestamp, runId] = payload as [
        unknown,
        string,
        string,
        unknown,
        number,
        string?,
      ];
      if (!isStateType(type)) throw new DecodeError("a state of a known type", String(type));
      return new State(type, { name, message, data, timestamp, ...(runId !== undefined && { runId }) });
    }
    case "registered": {
      const [name, data] = payload as [string, unknown];
      return decodeRegistered(name, data);
    }
    case "url":
      return new URL(payload as string);
    case "text":
      if (payload instanceof Uint16Array) return textOf(payload);
      throw new DecodeError("a text", typeof payload);
    case "minus-zero":
      return -0;
    case "sparse": {
      const [length, entries] = payload as [number, [number, unknown][]];
      const array = new Array<unknown>(length);
      for (const [index, item] of entries) {
        // Assigning `__proto__` would make it another kind of object, and an index beyond the end a longer one.
        if (!Number.isSafeInteger(index) || index < 0 || index >= length)
          throw new DecodeError("an index of a sparse array", String(index));
        array[index] = item;
      }
      return array;
    }
    case "entries":
      return objectOf(payload as [string, unknown][]);
    default:
      throw new DecodeError("a known kind of tagged value", String(tag));
  }
}

function textOf(units: Uint16Array): string {
  let text = "";
  for (const unit of units) text += String.fromCharCode(unit);
  return text;
}

/** Keys are defined, not assigned: assigning `__proto__` would set the prototype. */
function objectOf(entries: readonly [string, unknown][]): object {
  const object = {};
  for (const [key, value] of entries) {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return object;
}
