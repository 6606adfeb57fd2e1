/**
 * SipHash-2-4 as Task Bench uses it for its random patterns: over 64-bit integers, with a fixed key, to a number in
 * [0, 1). BigInt is slow, which does not matter: graphs are made before the clock starts.
 */
const KEY_LOW = 0x0807060504030201n;
const KEY_HIGH = 0x000f0e0d0c0b0a09n;

export function uniform(...values: readonly number[]): number {
  return Number(sipHash(values.map((value) => BigInt.asUintN(64, BigInt(value))))) * 2 ** -64;
}

function sipHash(words: readonly bigint[]): bigint {
  let v0 = KEY_LOW ^ 0x736f6d6570736575n;
  let v1 = KEY_HIGH ^ 0x646f72616e646f6dn;
  let v2 = KEY_LOW ^ 0x6c7967656e657261n;
  let v3 = KEY_HIGH ^ 0x7465646279746573n;

  const rounds = (count: number) => {
    for (let round = 0; round < count; round++) {
      v0 = add(v0, v1);
      v1 = rotateLeft(v1, 13n) ^ v0;
      v0 = rotateLeft(v0, 32n);
      v2 = add(v2, v3);
      v3 = rotateLeft(v3, 16n) ^ v2;
      v0 = add(v0, v3);
      v3 = rotateLeft(v3, 21n) ^ v0;
      v2 = add(v2, v1);
      v1 = rotateLeft(v1, 17n) ^ v2;
      v2 = rotateLeft(v2, 32n);
    }
  };

  // The last word holds the length in its highest byte; the input is whole words, so nothing else.
  const lengthBytes = BigInt.asUintN(64, BigInt(words.length * 8) << 56n);
  for (const word of [...words, lengthBytes]) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

function add(a: bigint, b: bigint): bigint {
  return BigInt.asUintN(64, a + b);
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  return BigInt.asUintN(64, value << bits) | (value >> (64n - bits));
}
