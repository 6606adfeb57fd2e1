import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FlowOptions, flow, logTo, type TaskRunner } from "@millrace/core";
import { afterEach, beforeEach } from "vitest";

/** A task runner that a part of the contract is held against. */
export interface RunnerUnderTest {
  readonly name: string;
  makeRunner(): TaskRunner;
  /** What this runner cannot, as its users are told. */
  readonly exceptions?: RunnerExceptions;
}

export interface RunnerExceptions {
  /** It runs one call at a time, in the order in which they were submitted. */
  readonly runsOneAtATime?: boolean;
  /** Its calls run on this event loop: code that does not give it up cannot be stopped. */
  readonly sharesTheEventLoop?: boolean;
}

/** A directory for each test, in which tasks leave what they have to say. */
export interface Workshop {
  /** A path in the directory. */
  path(name: string): string;
  /** What a task has left there; empty when nothing. */
  read(name: string): Promise<string>;
  /** Resolves when the file is there. */
  exists(name: string): Promise<void>;
  inFlow<R>(fn: () => R, options?: FlowOptions): Promise<unknown>;
  start<R>(fn: () => R, options?: FlowOptions): ReturnType<ReturnType<typeof flow>["start"]>;
}

export function useWorkshop({ makeRunner }: RunnerUnderTest): Workshop {
  let directory = "";
  beforeEach(async () => {
    logTo({ write() {} });
    directory = await mkdtemp(join(tmpdir(), "millrace-contract-"));
  });
  afterEach(async () => {
    logTo(undefined);
    await rm(directory, { recursive: true, force: true });
  });
  const read = (name: string) => readFile(join(directory, name), "utf8").catch(() => "");
  const start = <R>(fn: () => R, options: FlowOptions = {}) =>
    flow(
      { name: "contract", ...options, parameters: undefined, taskRunner: makeRunner() } as FlowOptions & {
        parameters?: undefined;
      },
      fn as () => unknown,
    ).start() as ReturnType<Workshop["start"]>;
  return {
    path: (name) => join(directory, name),
    read,
    exists: async (name) => {
      const file = join(directory, name);
      while (
        !(await readFile(file).then(
          () => true,
          () => false,
        ))
      )
        await new Promise((resolve) => setTimeout(resolve, 2));
    },
    start,
    inFlow: async (fn, options) => start(fn, options).result(),
  };
}
