import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { TaskReference as TaskOfBatch } from "@millrace/broker";
import { ModuleImportError, TaskNotFoundError } from "@millrace/core";
import {
  callIgnored,
  findTask,
  fromModulePath,
  runWithoutContext,
  type TaskDefinition,
  taskNames,
  taskRegistered,
} from "@millrace/core/internal";
import { prepareTypeScript } from "./typescript-loader.ts";

/** What of a batch's task says where it is. */
type TaskReference = Pick<TaskOfBatch, "module" | "entry" | "name">;

/**
 * How long an import may go on after the task has registered. A module that awaits something endless at top level,
 * such as a server's close, never finishes its import, and its tasks are there all the same.
 */
const IMPORT_PATIENCE_MS = 1_000;

/**
 * How long an import may go on without the task behind a flow that was called at top level. A module that awaits that flow
 * never comes to what is below it, nor does the flow define what its body defines; one that does not await it goes on.
 */
const CUT_OFF_MS = 20_000;

interface Import {
  readonly imported: Promise<void>;
  /** Resolves when what the module has not registered is not to be expected any more, though its import has no end. */
  readonly isCutOff: Promise<void>;
}

/** Finds the tasks that calls name, importing their modules as needed. */
export class ModuleLoader {
  readonly #root: string;
  readonly #cutOffMs: number;
  readonly #imports = new Map<string, Import>();
  readonly #tasks = new Map<string, TaskDefinition>();

  /** @param root the project root, an absolute path without symlinks */
  constructor(root: string, cutOffMs = CUT_OFF_MS) {
    this.#root = root;
    this.#cutOffMs = cutOffMs;
  }

  /** The task, when it has been found before. */
  known(reference: TaskReference): TaskDefinition | undefined {
    return this.#tasks.get(keyOf(reference));
  }

  /** @throws ModulePathError, ModuleImportError, TaskNotFoundError */
  async find(reference: TaskReference): Promise<TaskDefinition> {
    const url = fromModulePath(this.#root, reference.module);
    // A task that has registered may be one of a module whose import failed below it.
    const registered = this.#imports.has(url) ? undefined : findTask(url, reference.name);
    const task = registered ?? (await this.#load(url, reference));
    this.#tasks.set(keyOf(reference), task);
    return task;
  }

  /** Imports a module of the project, up to where its tasks are defined. @throws ModulePathError, ModuleImportError */
  async preload(module: string): Promise<void> {
    await Promise.race([this.#import(fromModulePath(this.#root, module)).imported, callIgnored()]);
  }

  async #load(url: string, { module, entry, name }: TaskReference): Promise<TaskDefinition> {
    await this.#importUntilRegistered(url, url, name);
    if (findTask(url, name) === undefined && entry !== undefined) {
      // A task made by a factory: the module that has the code registers nothing, the one that calls it does.
      await this.#importUntilRegistered(fromModulePath(this.#root, entry), url, name);
    }
    const task = findTask(url, name);
    if (task === undefined) throw new TaskNotFoundError(name, module, taskNames(url));
    return task;
  }

  /**
   * Imports a module, but does not wait for the end of an import that has no end: behind a flow that is called and
   * awaited at top level, which in a worker never settles, the import does not either.
   */
  async #importUntilRegistered(importUrl: string, taskUrl: string, name: string): Promise<void> {
    const isRegistered = taskRegistered(taskUrl, name);
    const { imported, isCutOff } = this.#import(importUrl);
    await Promise.race([
      imported,
      isCutOff,
      isRegistered.then(callIgnored),
      isRegistered.then(() => sleep(IMPORT_PATIENCE_MS, undefined, { ref: false })),
    ]);
  }

  #import(url: string): Import {
    const known = this.#imports.get(url);
    if (known !== undefined) return known;
    const imported = importModule(url);
    imported.catch(() => {}); // Everyone who waits sees the error; nobody need wait.
    const isCutOff = callIgnored().then(() => sleep(this.#cutOffMs, undefined, { ref: false }));
    const begun = { imported, isCutOff };
    this.#imports.set(url, begun);
    return begun;
  }
}

async function importModule(url: string): Promise<void> {
  try {
    await prepareTypeScript(url);
    // Outside every run: the module would inherit the context of the first call that needed it.
    await runWithoutContext(() => import(url));
  } catch (error) {
    throw new ModuleImportError(fileURLToPath(url), error);
  }
}

function keyOf({ module, name }: TaskReference): string {
  return `${module}\n${name}`;
}
