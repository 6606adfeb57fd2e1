import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { resultStoreContract } from "../testing/result-store.contract.ts";
import { ResultStoreError } from "./errors.ts";
import { FileResultStore } from "./file-result-store.ts";
import { MemoryResultStore } from "./memory-result-store.ts";

const directory = await mkdtemp(join(tmpdir(), "millrace-results-"));
afterAll(() => rm(directory, { recursive: true, force: true }));

const memory = new MemoryResultStore();
resultStoreContract("MemoryResultStore", () => memory);
resultStoreContract("FileResultStore", () => new FileResultStore({ directory }));

/** The only file of a store that has one result. */
async function onlyFile(store: FileResultStore): Promise<string> {
  const files = await readdir(store.directory, { recursive: true, withFileTypes: true });
  const [file] = files.filter((entry) => entry.isFile());
  return join(file!.parentPath, file!.name);
}

describe("a file store", () => {
  const value = new TextEncoder().encode("a result that is long enough to be torn in the middle");

  test("does not take a file for a result that was torn, changed, or is somebody else's", async () => {
    const store = new FileResultStore({ directory: join(directory, randomUUID()) });
    await store.write("key", { value, expiresAt: undefined });
    const file = await onlyFile(store);
    const whole = await readFile(file);
    for (let length = 0; length < whole.length; length += 7) {
      await writeFile(file, whole.subarray(0, length));
      expect(await store.read("key")).toBeUndefined();
    }
    for (let place = 0; place < whole.length; place += 5) {
      const changed = Buffer.from(whole);
      changed[place]! ^= 1;
      await writeFile(file, changed);
      expect(await store.read("key")).toBeUndefined();
    }
    await writeFile(file, "not a result at all");
    expect(await store.read("key")).toBeUndefined();
    await writeFile(file, whole);
    expect((await store.read("key"))?.value).toHaveLength(value.length);
  });

  test("leaves no file but the result", async () => {
    const store = new FileResultStore({ directory: join(directory, randomUUID()) });
    await (await store.claim("key")).release();
    await Promise.all([1, 2, 3].map(() => store.write("key", { value, expiresAt: undefined })));
    const files = await readdir(store.directory, { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.isFile())).toHaveLength(1);
  });

  test("that cannot be written or read says which directory, and what to do", async () => {
    const file = join(directory, randomUUID());
    await writeFile(file, "a file where a directory should be");
    const store = new FileResultStore({ directory: join(file, "results") });
    await expect(store.write("key", { value, expiresAt: undefined })).rejects.toThrow(ResultStoreError);
    await expect(store.claim("key")).rejects.toThrow(`${file}/results`);
    await expect(store.read("key")).rejects.toMatchObject({ cause: { code: "ENOTDIR" } });
    await chmod(file, 0o600);
  });

  test("a claim of a process that was killed goes to the next one", async () => {
    const store = new FileResultStore({ directory: join(directory, randomUUID()) });
    const built = new URL("../dist/index.js", import.meta.url).href;
    const code = `
      const { FileResultStore } = await import(${JSON.stringify(built)});
      await new FileResultStore({ directory: ${JSON.stringify(store.directory)} }).claim("key");
      console.log("claimed");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGKILL");
    await (await store.claim("key")).release();
  });
});
