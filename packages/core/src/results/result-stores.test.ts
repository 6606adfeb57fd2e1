import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { resultStoreContract } from "../../testing/result-store.contract.ts";
import { resultStoreDeathsContract } from "../../testing/result-store-deaths.contract.ts";
import { ResultStoreError } from "../errors/errors.ts";
import { FileResultStore } from "./file-result-store.ts";
import { MemoryResultStore } from "./memory-result-store.ts";

const BUILT = new URL("../../dist/index.js", import.meta.url).href;
const directory = await mkdtemp(join(tmpdir(), "millrace-results-"));
afterAll(() => rm(directory, { recursive: true, force: true }));

const memory = new MemoryResultStore();
resultStoreContract("MemoryResultStore", () => memory);
resultStoreContract("FileResultStore", () => new FileResultStore({ directory }));
resultStoreDeathsContract(
  "FileResultStore",
  () => new FileResultStore({ directory }),
  () => `
    const { FileResultStore } = await import(${JSON.stringify(BUILT)});
    const store = new FileResultStore({ directory: ${JSON.stringify(directory)} });`,
);

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
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.uint8Array({ maxLength: 100 }).map((rest) => Buffer.concat([whole.subarray(0, 8), rest])),
      fc.uint8Array({ minLength: 1, maxLength: 9 }).map((more) => Buffer.concat([whole, more])),
    );
    await fc.assert(
      fc.asyncProperty(garbage, async (bytes) => {
        await writeFile(file, bytes);
        expect(await store.read("key")).toBeUndefined();
      }),
    );
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
  });

  test("that cannot rename a result into its place leaves no half of it", async () => {
    const store = new FileResultStore({ directory: join(directory, randomUUID()) });
    await store.write("key", { value, expiresAt: undefined });
    const file = await onlyFile(store);
    await rm(file);
    await mkdir(join(file, "in the way"), { recursive: true });
    await expect(store.write("key", { value, expiresAt: undefined })).rejects.toThrow(store.directory);
    expect(await readdir(join(file, ".."))).toHaveLength(1);
  });

  test("that cannot make its claims leaves nothing, and does not wait", async () => {
    const store = new FileResultStore({ directory: join(directory, randomUUID()) });
    await store.write("key", { value, expiresAt: undefined });
    const file = await onlyFile(store);
    await writeFile(`${file}.claim`, "a file where a directory should be");
    await expect(store.claim("key")).rejects.toThrow(ResultStoreError);
    expect((await readdir(join(file, ".."))).sort()).toHaveLength(2);
  });
});
