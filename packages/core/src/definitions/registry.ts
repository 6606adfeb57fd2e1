import { DuplicateTaskNameError } from "../errors/errors.ts";
import { type CallSite, displayPath } from "./call-site.ts";
import type { TaskDefinition } from "./task-definition.ts";

/**
 * The tasks that this thread knows, by the module that defined them. A worker thread imports a module and finds the
 * task here. It does not wait for the whole import: behind a flow that is called at top level an import never ends,
 * and the tasks above that call are registered all the same.
 */
const modules = new Map<string, Map<string, TaskDefinition>>();
const waiting = new Map<string, Array<(task: TaskDefinition) => void>>();

/**
 * @throws DuplicateTaskNameError when another task of the module has the name. The same definition evaluated again, as
 * in watch mode, replaces the first.
 */
export function registerTask(task: TaskDefinition): void {
  const moduleUrl = registrationModule(task);
  if (moduleUrl === undefined) return; // Defined in no file: it can run in this process only.
  let tasks = modules.get(moduleUrl);
  if (tasks === undefined) {
    tasks = new Map();
    modules.set(moduleUrl, tasks);
  }
  const known = tasks.get(task.name);
  if (known !== undefined && known.callSite.place !== task.callSite.place) {
    throw new DuplicateTaskNameError(
      task.name,
      displayPath(moduleUrl),
      position(known.callSite),
      position(task.callSite),
    );
  }
  tasks.set(task.name, task);
  const key = waitingKey(moduleUrl, task.name);
  for (const resolve of waiting.get(key) ?? []) resolve(task);
  waiting.delete(key);
}

/** The module under which a task is registered and looked for. */
export function registrationModule(task: TaskDefinition): string | undefined {
  return task.module ?? task.callSite.moduleUrl;
}

export function findTask(moduleUrl: string, name: string): TaskDefinition | undefined {
  return modules.get(moduleUrl)?.get(name);
}

/** Resolves when the task is registered; never, when it is not. */
export function taskRegistered(moduleUrl: string, name: string): Promise<TaskDefinition> {
  const known = findTask(moduleUrl, name);
  if (known !== undefined) return Promise.resolve(known);
  return new Promise((resolve) => {
    const key = waitingKey(moduleUrl, name);
    waiting.set(key, [...(waiting.get(key) ?? []), resolve]);
  });
}

/** The names of the tasks that a module has registered, for messages. */
export function taskNames(moduleUrl: string): string[] {
  return [...(modules.get(moduleUrl)?.keys() ?? [])];
}

function waitingKey(moduleUrl: string, name: string): string {
  return `${moduleUrl}\n${name}`;
}

/** Line and column of the definition itself, the first of the frames. */
function position({ place }: CallSite): string {
  return place.split(" < ")[0]?.match(/\d+:\d+$/)?.[0] ?? "an unknown place";
}
