import { existsSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../test/support/until.ts";

/** Files by which the tasks `hold` and `block` say that they have started, and hear that they may end. */
export class FileGate {
  readonly #directory: string;

  static async make(): Promise<FileGate> {
    return new FileGate(await mkdtemp(join(tmpdir(), "millrace-worker-")));
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** The argument of a call that is to be held. */
  path(name: string): string {
    return join(this.#directory, name);
  }

  /** Waits until all of these calls have started. */
  started(paths: readonly string[]): Promise<void> {
    return until(`${paths.join(", ")} had started`, () =>
      paths.every((path) => existsSync(`${path}.started`)),
    );
  }

  /** Waits until the call has left this mark. */
  marked(path: string, mark: string): Promise<void> {
    return until(`${path} was marked ${mark}`, () => existsSync(`${path}.${mark}`));
  }

  isMarked(path: string, mark: string): boolean {
    return existsSync(`${path}.${mark}`);
  }

  /** Leaves a mark as a call would, or takes it away. */
  mark(path: string, mark: string): void {
    writeFileSync(`${path}.${mark}`, "");
  }

  unmark(path: string, mark: string): void {
    rmSync(`${path}.${mark}`, { force: true });
  }

  open(...paths: readonly string[]): void {
    for (const path of paths) writeFileSync(`${path}.open`, "");
  }

  /** Removes the files. A call that is still held sees it as nothing: it belongs to a thread that has been ended. */
  remove(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }
}
