import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "millrace-global-setup-"));
  await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));
  await writeFile(
    join(directory, "vitest.config.mjs"),
    `export default { test: { globalSetup: [${JSON.stringify(join(ROOT, "test/support/global-setup.ts"))}] } };`,
  );
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** Runs Vitest with our global setup on one test with this body. */
async function runVitest(body: string): Promise<{ code: number; output: string }> {
  await writeFile(
    join(directory, "probe.test.mjs"),
    `import { Redis } from "ioredis";
     import { inject, test } from "vitest";
     test("probe", async () => {
       const redis = new Redis(inject("redisUrl"));
       ${body}
       await redis.quit();
     });`,
  );
  const program = join(ROOT, "node_modules/vitest/vitest.mjs");
  return new Promise((resolve) => {
    execFile(process.execPath, [program, "run"], { cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

// Vitest itself exits with 0 when a teardown throws.
test("a run whose tests pass fails when they leave a key in Redis, and names it", async () => {
  const { code, output } = await runVitest('await redis.set("millrace:left-behind", 1);');
  expect(output).toMatch(/1 passed/);
  expect(output).toContain(
    "Expected the tests to leave nothing behind, got 1 left over:\n  Redis key millrace:left-behind",
  );
  expect(code).toBe(1);
});

test("a run that leaves nothing behind passes", async () => {
  const { code, output } = await runVitest(
    'await redis.set("millrace:key", 1); await redis.del("millrace:key");',
  );
  expect(output).toMatch(/1 passed/);
  expect(code).toBe(0);
});
