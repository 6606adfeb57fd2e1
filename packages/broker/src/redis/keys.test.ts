import { InvalidOptionError } from "@millrace/core";
import { expect, test } from "vitest";
import { keysOf } from "./keys.ts";

test("all keys of a namespace are in one slot of a Redis Cluster, and in no other namespace", () => {
  const all = (namespace: string) => {
    const keys = keysOf(namespace);
    return [
      keys.prefix,
      keys.workers("q"),
      keys.worker("w"),
      keys.death("w"),
      keys.workerNews("q"),
      keys.replies("r"),
      keys.values("r"),
      keys.lease("q", "j"),
      keys.job("q", "j"),
    ];
  };
  for (const key of all("shop")) expect(key).toMatch(/^\{millrace:shop\}/);
  expect(new Set(all("shop")).size).toBe(9);
  expect(all("shop").filter((key) => all("shop2").includes(key))).toEqual([]);
});

test("queues of one namespace are told apart", () => {
  const { workers, workerNews, lease, job } = keysOf("shop");
  for (const key of [workers, workerNews]) expect(key("a")).not.toBe(key("b"));
  for (const key of [lease, job]) expect(key("a", "1")).not.toBe(key("b", "1"));
});

test.each(["shop", "my-project", "@scope/name", "a.b_c-1", "Test-0"])("%j is a namespace", (namespace) => {
  expect(keysOf(namespace).prefix).toBe(`{millrace:${namespace}}`);
});

test.each(["", "two words", "a:b", "a{b}", "*", "a*", "[ab]", "a?", "grün", "a\nb", "a\n"])(
  "%j is not: it would break the key, or the pattern that finds the keys",
  (namespace) => {
    expect(() => keysOf(namespace)).toThrow(InvalidOptionError);
  },
);
