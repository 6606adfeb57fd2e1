import { enterWorkerMode } from "@millrace/core/internal";
import { expect, test } from "vitest";
import { FIXTURES } from "../../testing/batches.ts";
import { ModuleLoader } from "./module-loader.ts";

// In a file of its own: worker mode, and the first call that it ignores, last as long as the process.

test("a task below a flow that its module awaits is an error, though that import never ends", async () => {
  enterWorkerMode();
  const loader = new ModuleLoader(FIXTURES, 10);
  const find = (name: string) => loader.find({ module: "awaits-its-flow.js", name, entry: undefined });
  await expect(find("below")).rejects.toThrow(
    /named "below", found the tasks "above"\. Define tasks at the top level of their module, above any flow/,
  );
  expect((await find("above")).name).toBe("above");
});
