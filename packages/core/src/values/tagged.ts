import { addValueExtension } from "./packer.ts";

/** The kinds of values that MessagePack has no form for, in the order of their numbers on the wire. */
export const TAGS = [
  "error",
  "state",
  "registered",
  "url",
  "text",
  "minus-zero",
  "sparse",
  "entries",
] as const;
export type Tag = (typeof TAGS)[number];

/**
 * What takes the place of a value that MessagePack would change or refuse. Only in the copy that is encoded; decoding
 * gives the value again.
 */
export class Tagged {
  readonly tag: Tag;
  /** Set once its parts are known: they may refer back to the whole. */
  payload: unknown;

  constructor(tag: Tag, payload?: unknown) {
    this.tag = tag;
    this.payload = payload;
  }
}

const TAGGED_TYPE = 21;

/** Says how tagged values become what they were. Called once, by the codec. */
export function readTaggedWith(read: (tag: Tag | undefined, payload: unknown) => unknown): void {
  addValueExtension<Tagged, readonly [number, unknown]>(
    TAGGED_TYPE,
    Tagged,
    ({ tag, payload }) => [TAGS.indexOf(tag), payload],
    (written) => (Array.isArray(written) ? read(TAGS[written[0]], written[1]) : read(undefined, written)),
  );
}
