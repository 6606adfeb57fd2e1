import { EncodedValue } from "./codec.ts";

/**
 * A value that came as these bytes: what most tasks of a million give, a whole number, a truth value or nothing, as itself,
 * and else an EncodedValue. That and its bytes took 150 bytes for each, and are found in MessagePack at a glance.
 */
export function receivedValue(bytes: Uint8Array): unknown {
  const at = (index: number) => bytes[index] as number;
  const first = at(0);
  switch (bytes.length) {
    case 1:
      if (first < 0x80) return first;
      if (first >= 0xe0) return first - 0x100;
      if (first === 0xc0) return null;
      if (first === 0xc2 || first === 0xc3) return first === 0xc3;
      break;
    case 2:
      if (first === 0xcc) return at(1);
      break;
    case 3:
      if (first === 0xcd) return at(1) * 0x100 + at(2);
      if (first === 0xd4 && at(1) + at(2) === 0) return undefined;
      break;
    case 5:
      if (first === 0xce) return ((at(1) * 0x100 + at(2)) * 0x100 + at(3)) * 0x100 + at(4);
  }
  return new EncodedValue(bytes);
}
