import { closeSync, openSync, readSync } from "node:fs";

const READ_BYTES = 1 << 20;

/** A file that grows. */
export class Tail {
  readonly #path: string;
  #offset = 0;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** The lines that are new. One that is not whole yet comes later. */
  lines(): string[] {
    const file = openSync(this.#path, "r");
    const buffer = Buffer.alloc(READ_BYTES);
    try {
      let length: number;
      do {
        length = readSync(file, buffer, 0, READ_BYTES, this.#offset);
        this.#offset += length;
        this.#rest += buffer.toString("latin1", 0, length);
      } while (length > 0);
    } finally {
      closeSync(file);
    }
    const lines = this.#rest.split("\n");
    this.#rest = lines.pop() as string;
    return lines;
  }
}
