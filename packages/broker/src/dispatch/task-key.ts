import { registrationModule, type TaskDefinition } from "@millrace/core/internal";

/** By definition, since a key is asked for with each look at a call. */
const keys = new WeakMap<TaskDefinition, string>();

/**
 * What the duration of a task's calls is learned under: its module and its name, whatever the options are that it is called
 * with. `withOptions` makes a definition for each call that waits for others; each counted as a new task, and a batch held two
 * of them: 2,700 no-op tasks a second instead of 150,000.
 */
export function taskKeyOf(task: TaskDefinition): string {
  let key = keys.get(task);
  if (key === undefined) {
    key = `${registrationModule(task) ?? ""}\n${task.name}`;
    keys.set(task, key);
  }
  return key;
}
