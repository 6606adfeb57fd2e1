import { readdir } from "node:fs/promises";
import { expect } from "vitest";
import { findLeftProcesses, RUN_MARK } from "./leaks.ts";
import { until } from "./until.ts";
import type { UserProject } from "./user-project.ts";

let programs = 0;

/** An environment by which the processes of one program, and its temporary files, are told from others. */
export async function ownEnvironment(
  project: UserProject,
): Promise<{ mark: string; env: NodeJS.ProcessEnv }> {
  const mark = `${process.env[RUN_MARK]}-program-${process.pid}-${++programs}`;
  await project.write("tmp/.keep", "");
  return { mark, env: { [RUN_MARK]: mark, TMPDIR: `${project.root}/tmp` } };
}

/** Nothing of a program that has ended is there: no process, and no directory of a private Redis. */
export async function expectNothingLeft(project: UserProject, mark: string): Promise<void> {
  expect(await findLeftProcesses(mark)).toEqual([]);
  const isClean = async () =>
    (await readdir(`${project.root}/tmp`)).every((name) => !name.startsWith("millrace-"));
  await until("no directory of a private Redis is left", isClean, 5000);
}
