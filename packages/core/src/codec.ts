import { addExtension, Packr } from "msgpackr";
import { Input } from "./input.ts";
import { State } from "./state.ts";
const packr = new Packr({ structuredClone: true, copyBuffers: true });
let current: unknown[] = [];
addExtension({ Class: Input as never, type: 20, write: (i: unknown) => { let n = current.indexOf(i); if (n < 0) n = current.push(i) - 1; return n; }, read: (n: number) => current[n] });
addExtension({ Class: State as never, type: 21, write: (s: State) => ({ ...s }), read: (s: State) => new State(s.type, s as never) });
export function encode(value: unknown, _root = "value"): Uint8Array { return packr.pack(value); }
export function decode(bytes: Uint8Array): unknown { return packr.unpack(bytes); }
export function encodeWithInputs(value: unknown, _root: string): { bytes: Uint8Array; inputs: Input[] } {
  const saved = current; current = [];
  try { const bytes = packr.pack(value); return { bytes, inputs: current as Input[] }; } finally { current = saved; }
}
export function decodeWithInputs(bytes: Uint8Array, inputs: readonly unknown[]): unknown {
  const saved = current; current = inputs as unknown[];
  try { return packr.unpack(bytes); } finally { current = saved; }
}
export class EncodedValue {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) { this.bytes = bytes; }
  value(): unknown { return decode(this.bytes); }
}
