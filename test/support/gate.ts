import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

export interface Start {
  readonly name: string;
  readonly pid: number;
}

/** A directory in which the runs of the fixture task `hold` say that they have started, and where they see that they may end. */
export class Gate implements AsyncDisposable {
  readonly directory: string;

  static async make(): Promise<Gate> {
    return new Gate(await mkdtemp(join(tmpdir(), "millrace-gate-")));
  }

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** A path inside the directory, for a file that a task writes or looks for. */
  path(name: string): string {
    return join(this.directory, name);
  }

  /** Who has started, as far as there were files. */
  async started(): Promise<Start[]> {
    const files = (await readdir(this.directory)).filter((file) => file.endsWith(".started"));
    return files.map((file) => {
      const [name, pid] = file.split(".") as [string, string];
      return { name, pid: Number(pid) };
    });
  }

  /** Waits until the starts are as wanted, and gives them. */
  async waitFor(what: string, enough: (starts: Start[]) => boolean, timeoutMs?: number): Promise<Start[]> {
    let starts: Start[] = [];
    await until(
      what,
      async () => {
        starts = await this.started();
        return enough(starts);
      },
      timeoutMs,
    );
    return starts;
  }

  /** Forgets who has started: who starts once more is seen again. */
  async forgetStarts(): Promise<void> {
    const files = (await readdir(this.directory)).filter((file) => file.endsWith(".started"));
    for (const file of files) await rm(join(this.directory, file));
  }

  open(): Promise<void> {
    return writeFile(join(this.directory, "open"), "");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.directory, { recursive: true, force: true });
  }
}
