import { DecodeError, NotEncodableError } from "../errors/errors.ts";
import { arrivesAsItIs } from "./codec-check.ts";
import { rewriteValue } from "./codec-rewrite.ts";
import { readTagged } from "./codec-tags.ts";
import { Input } from "./input.ts";
import { addValueExtension, packValue, unpackValue } from "./packer.ts";
import { readTaggedWith } from "./tagged.ts";

/**
 * Values as bytes. What arrives equals what was sent: Date, Map, Set, BigInt, typed arrays, ArrayBuffer, RegExp, URL,
 * undefined, NaN, -0, sparse arrays, shared references, cycles, Error with cause and own fields, State, and instances
 * of registered classes. Everything else is an error that names the path to it. Three things are not looked at: a
 * plain object without a prototype arrives with one, properties of an array beside its elements do not arrive, and
 * neither does the lastIndex of a RegExp.
 *
 * @param root how the path in an error begins
 * @throws NotEncodableError
 */
export function encode(value: unknown, root = "value"): Uint8Array {
  return guarded(root, () =>
    packValue(arrivesAsItIs(value, false) ? value : rewriteValue(value, root, false)),
  );
}

/** @throws DecodeError for bytes that `encode` did not make, or of a type that is not registered here */
export function decode(bytes: Uint8Array): unknown {
  return decodeWithInputs(bytes, NO_INPUTS);
}

/**
 * Encodes a value in which Inputs, at any depth, stand for values that will be supplied.
 *
 * @returns the bytes, and the inputs in the order of their placeholders, each once
 * @throws NotEncodableError
 */
export function encodeWithInputs(
  value: unknown,
  root: string,
): { bytes: Uint8Array; inputs: readonly Input[] } {
  const outer = encodedInputs;
  encodedInputs = undefined;
  try {
    const bytes = guarded(root, () =>
      packValue(arrivesAsItIs(value, true) ? value : rewriteValue(value, root, true)),
    );
    return { bytes, inputs: encodedInputs ?? NO_INPUTS };
  } finally {
    encodedInputs = outer;
  }
}

/** A getter, a proxy or a registered class's `encode` may throw anything, and a detached buffer makes the packer throw. */
function guarded(root: string, encoding: () => Uint8Array): Uint8Array {
  try {
    return encoding();
  } catch (error) {
    if (error instanceof NotEncodableError) throw error;
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new NotEncodableError(root, `one that threw ${what} while it was read`, "Send plain data.", {
      cause: error,
    });
  }
}

/** Decodes what `encodeWithInputs` made, with `inputs` in the places of the placeholders. @throws DecodeError */
export function decodeWithInputs(bytes: Uint8Array, inputs: readonly unknown[]): unknown {
  const outer = suppliedInputs;
  suppliedInputs = inputs;
  try {
    return unpackValue(bytes);
  } finally {
    suppliedInputs = outer;
  }
}

/** A value that came as bytes, and is decoded when somebody asks. Decoded once: everybody here gets the same object. */
export class EncodedValue {
  readonly bytes: Uint8Array;
  #decoded: { readonly value: unknown } | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** @throws DecodeError */
  value(): unknown {
    this.#decoded ??= { value: decode(this.bytes) };
    return this.#decoded.value;
  }
}

// msgpackr's extensions have no argument of their own, so what they need for one call is in these two.
const NO_INPUTS: readonly never[] = [];
let encodedInputs: Input[] | undefined;
let suppliedInputs: readonly unknown[] = NO_INPUTS;

const INPUT_TYPE = 20;

addValueExtension<Input, number>(
  INPUT_TYPE,
  Input,
  (input) => {
    encodedInputs ??= [];
    const known = encodedInputs.indexOf(input);
    return known < 0 ? encodedInputs.push(input) - 1 : known;
  },
  (index) => {
    if (Number.isSafeInteger(index) && index in suppliedInputs) return suppliedInputs[index];
    throw new DecodeError("an input for each placeholder", `none for placeholder ${String(index)}`);
  },
);

readTaggedWith(readTagged);
