import { createHmac, scryptSync, timingSafeEqual } from "node:crypto";
import { SignatureError } from "@millrace/core";

/**
 * How messages in Redis are signed. A signed message begins with a byte that no message of MessagePack begins with, then the
 * HMAC-SHA256, then the message. The HMAC is over the place as well: a message that was copied from another key, or from
 * another kind of message, is refused like one that was made up.
 */
export interface Seal {
  /**
   * Tells which secret it is and not what it is; empty when nothing is signed. Runners and workers of different secrets
   * use different queues, so that nobody takes a batch that it could not read.
   */
  readonly fingerprint: string;
  /** The message as it goes to this place. */
  sign(message: Uint8Array, place: Place): Uint8Array;
  /** The message that came from this place, without its signature. @throws SignatureError */
  verify(signed: Uint8Array, place: Place): Uint8Array;
}

export interface Place {
  /** What sort of message it is: the same bytes must not count as another. */
  readonly kind: "batch" | "report" | "to-worker" | "value" | "worker" | "death" | "result";
  /** The Redis key, which names the namespace and the recipient. */
  readonly key: string;
  /** The field of a hash. Left out: the key is none. */
  readonly field?: string;
}

/** The name of the queue for those who have this secret. */
export function queueOf(queue: string, { fingerprint }: Seal): string {
  return fingerprint === "" ? queue : `${queue}@${fingerprint}`;
}

/** The name that people gave the queue. */
export function plainQueue(name: string, { fingerprint }: Seal): string {
  const suffix = `@${fingerprint}`;
  return fingerprint !== "" && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}

/** `0xc1`, which MessagePack never uses: it tells a signed message from one that is not. */
const MARK = 0xc1;
const MAC_BYTES = 32;
const HEAD_BYTES = 1 + MAC_BYTES;
const FINGERPRINT_BYTES = 9;

/** @param namespace the salt: a namespace's messages say nothing to another with the same secret */
export function sealOf(secret: string | undefined, namespace: string): Seal {
  if (secret === undefined) return UNSIGNED;
  const known = seals.get(namespace);
  if (known?.secret === secret) return known.seal;
  const seal = new SecretSeal(secret, namespace);
  seals.set(namespace, { secret, seal });
  return seal;
}

/** The key takes 50 ms to make, and a process opens a broker for each flow run. */
const seals = new Map<string, { readonly secret: string; readonly seal: Seal }>();

class SecretSeal implements Seal {
  readonly fingerprint: string;
  readonly #key: Buffer;

  constructor(secret: string, namespace: string) {
    // scrypt: whoever has the fingerprint, or a signed message, can try secrets, and each try is to take as long as this.
    const derived = scryptSync(secret, `millrace ${namespace}`, MAC_BYTES + FINGERPRINT_BYTES);
    this.#key = derived.subarray(0, MAC_BYTES);
    this.fingerprint = derived.subarray(MAC_BYTES).toString("base64url");
  }

  sign(message: Uint8Array, place: Place): Uint8Array {
    const signed = Buffer.allocUnsafe(HEAD_BYTES + message.length);
    signed[0] = MARK;
    this.#mac(message, place).copy(signed, 1);
    signed.set(message, HEAD_BYTES);
    return signed;
  }

  verify(signed: Uint8Array, place: Place): Uint8Array {
    if (signed[0] !== MARK || signed.length < HEAD_BYTES) throw new SignatureError(place.key, "unsigned");
    const message = signed.subarray(HEAD_BYTES);
    if (timingSafeEqual(signed.subarray(1, HEAD_BYTES), this.#mac(message, place))) return message;
    throw new SignatureError(place.key, "wrongly-signed");
  }

  /** Each part behind its length: `a` and `bc` are not `ab` and `c`. */
  #mac(message: Uint8Array, { kind, key, field = "" }: Place): Buffer {
    const hmac = createHmac("sha256", this.#key);
    for (const part of [kind, key, field]) hmac.update(`${Buffer.byteLength(part)}:${part}`);
    return hmac.update(message).digest();
  }
}

const UNSIGNED: Seal = {
  fingerprint: "",
  sign: (message) => message,
  verify: (message, { kind, key }) => {
    // Values may be any bytes: a signed one is told by its size.
    if (message[0] === MARK && kind !== "value") throw new SignatureError(key, "signed");
    return message;
  },
};
