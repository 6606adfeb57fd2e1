import { execFile } from "node:child_process";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE = fileURLToPath(new URL("movable-clock.c", import.meta.url));

/** Why no clock can be moved here; undefined where one can. */
export async function whyNoClockMoves(): Promise<string | undefined> {
  if (process.platform !== "linux") return "only on Linux";
  try {
    await promisify(execFile)("cc", ["--version"]);
    return undefined;
  } catch {
    return "no C compiler, cc, on the PATH";
  }
}

/** A wall clock that a test moves, of the processes that are started with its environment. */
export class MovableClock implements AsyncDisposable {
  readonly environment: NodeJS.ProcessEnv;
  readonly #directory: string;
  readonly #file: string;

  static async make(): Promise<MovableClock> {
    const clock = new MovableClock(await mkdtemp(join(tmpdir(), "millrace-clock-")));
    const library = clock.environment.LD_PRELOAD as string;
    await promisify(execFile)("cc", ["-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"]);
    await writeFile(clock.#file, Buffer.alloc(8));
    return clock;
  }

  private constructor(directory: string) {
    this.#directory = directory;
    this.#file = join(directory, "seconds");
    this.environment = { LD_PRELOAD: join(directory, "clock.so"), MOVABLE_CLOCK: this.#file };
  }

  /** Sets it so many seconds forward, or back, of what it really is: at once, for all who have it. */
  async move(seconds: number): Promise<void> {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    const file = await open(this.#file, "r+"); // The same file: it is mapped into their memory.
    try {
      await file.write(bytes, 0, 8, 0);
    } finally {
      await file.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
