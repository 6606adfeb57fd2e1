import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import * as rules from "../definitions/options.ts";
import { ResultStoreError } from "../errors/errors.ts";
import { readSettings } from "../settings.ts";
import { lockFile } from "./file-lock.ts";
import { fromFile, toFile } from "./result-file.ts";
import type { Claim, ResultStore, StoredResult } from "./result-store.ts";

export interface FileResultStoreOptions {
  /** Made with the first result. Default: `results` in `MILLRACE_HOME`, which is `~/.millrace` unless it is set. */
  readonly directory?: string;
}

const optionRules: rules.OptionRules<FileResultStoreOptions> = { directory: rules.text };

/**
 * Results as files of a directory, which any number of processes may share. A file is written aside and renamed, so a
 * reader sees a whole result or none, and of two writers the last one wins. Expired results are not found; their files
 * stay until they are replaced.
 */
export class FileResultStore implements ResultStore {
  readonly directory: string;

  /** @throws UnknownOptionError, InvalidOptionError */
  constructor(options: FileResultStoreOptions = {}) {
    rules.checkOptions("new FileResultStore()", options, optionRules);
    this.directory = resolve(options.directory ?? join(readSettings().home, "results"));
  }

  /** @throws ResultStoreError */
  async read(key: string): Promise<StoredResult | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#path(key));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new ResultStoreError(this.directory, "read", error);
    }
    const result = fromFile(key, bytes);
    const isExpired = result?.expiresAt !== undefined && result.expiresAt <= Date.now();
    return isExpired ? undefined : result;
  }

  /** @throws ResultStoreError */
  async write(key: string, result: StoredResult): Promise<void> {
    const path = this.#path(key);
    const aside = `${path}.${randomUUID()}`;
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(aside, "wx");
      try {
        await file.writeFile(toFile(key, result));
        await file.sync(); // Else a machine that fails might keep the new name of a file without its bytes.
      } finally {
        await file.close();
      }
      await rename(aside, path);
    } catch (error) {
      await rm(aside, { force: true }).catch(() => {});
      throw new ResultStoreError(this.directory, "written", error);
    }
  }

  /** @throws ResultStoreError; signal.reason */
  async claim(key: string, signal?: AbortSignal): Promise<Claim> {
    try {
      return { release: await lockFile(`${this.#path(key)}.claim`, signal) };
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ResultStoreError(this.directory, "written", error);
    }
  }

  /** Two levels, since a directory with a million files is slow on many file systems. */
  #path(key: string): string {
    const hash = createHash("sha256").update(key, "utf16le").digest("hex"); // UTF-8 has no halves of surrogate pairs.
    return join(this.directory, hash.slice(0, 2), hash.slice(2));
  }
}
