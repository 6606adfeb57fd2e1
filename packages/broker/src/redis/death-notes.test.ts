import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { DEATH_NOTE_MS } from "../intervals.ts";
import { DeathNotes } from "./death-notes.ts";
import { type Keys, keysOf } from "./keys.ts";
import { sealOf } from "./seal.ts";

const REASON = "It was killed by SIGSEGV (signal 11).";

let redis: Redis;
let keys: Keys;

beforeEach(() => {
  redis = new Redis(inject("redisUrl"));
  keys = keysOf(uniqueNamespace());
});

afterEach(async () => {
  await redis.del(keys.death("victim"), keys.death("other"));
  await redis.quit();
});

const notesOf = (secret?: string) => new DeathNotes(redis, keys, sealOf(secret, keys.namespace));

test.each([undefined, "correct horse battery staple"])(
  "a note is read for a while, with secret %s",
  async (secret) => {
    await notesOf(secret).leave("victim", REASON);
    const read = await notesOf(secret).of(["victim", "other"]);
    expect(read).toEqual(
      new Map([
        ["victim", REASON],
        ["other", undefined],
      ]),
    );
    const left = await redis.pttl(keys.death("victim"));
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(DEATH_NOTE_MS);
  },
);

test("a note that nobody with the secret left, that was left for another, or that is endless, says nothing", async () => {
  const notes = notesOf("correct horse battery staple");
  await notesOf().leave("victim", REASON);
  await notes.leave("other", REASON);
  expect(await notes.of(["victim"])).toEqual(new Map([["victim", undefined]]));
  await redis.copy(keys.death("other"), keys.death("victim"), "REPLACE");
  expect(await notes.of(["victim"])).toEqual(new Map([["victim", undefined]]));
  await notes.leave("victim", "x".repeat(10_000));
  expect(await notes.of(["victim"])).toEqual(new Map([["victim", undefined]]));
});
