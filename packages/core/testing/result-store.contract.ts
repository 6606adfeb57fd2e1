import { randomBytes, randomUUID } from "node:crypto";
import type { ResultStore, StoredResult } from "@millrace/core";
import { describe, expect, test } from "vitest";

const kept = (value: Uint8Array, expiresAt?: number): StoredResult => ({ value, expiresAt });
const bytes = (text: string) => new TextEncoder().encode(text);
const HOUR_MS = 3_600_000;

/** What every result store keeps to. `open` gives stores that share what they keep, as processes would. */
export function resultStoreContract(kind: string, open: () => ResultStore): void {
  const text = async (store: ResultStore, key: string) => {
    const found = await store.read(key);
    return found && new TextDecoder().decode(found.value);
  };

  describe(`${kind} keeps the contract of result stores:`, () => {
    test("what is written is read, by anybody who shares the store", async () => {
      const [one, other, key] = [open(), open(), randomUUID()];
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      await one.write(key, kept(all));
      const found = await other.read(key);
      expect(new Uint8Array(found!.value)).toEqual(all);
      expect(found!.expiresAt).toBeUndefined();
    });

    test("a key that nobody wrote has no result", async () => {
      expect(await open().read(randomUUID())).toBeUndefined();
    });

    test("a key may be any text, and a value empty, or large", async () => {
      const store = open();
      const large = randomBytes(10 * 1024 * 1024);
      for (const [key, value] of [
        [`../${randomUUID()}`, new Uint8Array()],
        [`a b\n\0ä/${randomUUID()}`, bytes("odd")],
        ["x".repeat(10_000) + randomUUID(), large],
      ] as const) {
        await store.write(key, kept(value));
        expect(Buffer.compare((await store.read(key))!.value, value)).toBe(0);
      }
    });

    test("the last writer wins", async () => {
      const [store, key] = [open(), randomUUID()];
      await store.write(key, kept(bytes("first")));
      await store.write(key, kept(bytes("second")));
      expect(await text(store, key)).toBe("second");
    });

    test("a result is there until it expires, and an expired one replaces what was there", async () => {
      const [store, key] = [open(), randomUUID()];
      const expiresAt = Date.now() + HOUR_MS;
      await store.write(key, kept(bytes("fresh"), expiresAt));
      expect(await store.read(key)).toMatchObject({ expiresAt });
      await store.write(key, kept(bytes("stale"), Date.now() - 1));
      expect(await store.read(key)).toBeUndefined();
    });

    test("a result may expire in the far future, or never", async () => {
      const [store, key] = [open(), randomUUID()];
      for (const expiresAt of [Number.MAX_SAFE_INTEGER, 1e300, Number.POSITIVE_INFINITY]) {
        await store.write(key, kept(bytes("fresh"), expiresAt));
        expect(await text(store, key)).toBe("fresh");
      }
    });

    test("what the writer and readers do to their bytes later changes nothing", async () => {
      const [store, key] = [open(), randomUUID()];
      const mine = bytes("whole");
      await store.write(key, kept(mine));
      mine.fill(0);
      (await store.read(key))!.value.fill(0);
      expect(await text(store, key)).toBe("whole");
    });

    test("keys that differ only in half of a surrogate pair are two", async () => {
      const [store, key] = [open(), randomUUID()];
      await store.write(`${key}\ud800`, kept(bytes("one")));
      expect(await store.read(`${key}\ud801`)).toBeUndefined();
      expect(await text(store, `${key}\ud800`)).toBe("one");
    });

    test("many writers and readers of one key: a reader sees a whole result of one of them", async () => {
      const [store, key] = [open(), randomUUID()];
      const values = Array.from({ length: 8 }, (_, index) => new Uint8Array(100_000).fill(index));
      const writes = values.map((value) => store.write(key, kept(value)));
      const reads = Array.from({ length: 40 }, () => store.read(key));
      const seen = (await Promise.all(reads)).flatMap((found) => (found === undefined ? [] : [found.value]));
      await Promise.all(writes);
      for (const value of [...seen, (await store.read(key))!.value]) {
        expect(value).toHaveLength(100_000);
        expect(new Set(value).size).toBe(1);
      }
    });

    test("a claim has one holder at a time, and everybody gets it", async () => {
      const [stores, key] = [[open(), open()], randomUUID()];
      let holders = 0;
      let most = 0;
      const work = Array.from({ length: 50 }, async (_, index) => {
        const claim = await stores[index % 2]!.claim(key);
        most = Math.max(most, ++holders);
        await new Promise(setImmediate);
        holders--;
        await claim.release();
        await claim.release();
      });
      await Promise.all(work);
      expect(most).toBe(1);
    });

    test("a claim that is released again does not end the next one", async () => {
      const [store, other, key] = [open(), open(), randomUUID()];
      const first = await store.claim(key);
      await first.release();
      const second = await other.claim(key);
      await first.release();
      const abort = new AbortController();
      const third = store.claim(key, abort.signal);
      // Its first try came before those of this claim, and found the second one.
      await (await store.claim(randomUUID())).release();
      abort.abort(new Error("still held"));
      await expect(third).rejects.toThrow("still held");
      await second.release();
    });

    test("claims on different keys do not wait for each other", async () => {
      const store = open();
      const one = await store.claim(randomUUID());
      const other = await store.claim(randomUUID());
      await one.release();
      await other.release();
    });

    test("who gives up waiting for a claim leaves it to others", async () => {
      const [store, key] = [open(), randomUUID()];
      const claim = await store.claim(key);
      const abort = new AbortController();
      const waiting = store.claim(key, abort.signal);
      const reason = new Error("cancelled");
      abort.abort(reason);
      await expect(waiting).rejects.toBe(reason);
      const next = store.claim(key);
      await claim.release();
      await (await next).release();
      await expect(store.claim(key, abort.signal)).rejects.toBe(reason);
    });
  });
}
