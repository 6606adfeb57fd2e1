import { describe, expect, test } from "vitest";
import { limiterContract } from "../../testing/limiter.contract.ts";
import { CombinedLimiter } from "./combined-limiter.ts";
import type { Limiter } from "./limiter.ts";
import { ProcessLimiter } from "./process-limiter.ts";

/** A limiter of another kind, such as that of a cluster, would have slots of its own: here, names of its own. */
function elsewhere(limiter: Limiter): Limiter {
  const there = (name: string) => `elsewhere ${name}`;
  return {
    isLimited: (name) => limiter.isLimited(there(name)),
    acquire: (request) => limiter.acquire({ ...request, names: request.names.map(there) }),
  };
}

limiterContract("CombinedLimiter", {
  open: async (limits, count) => {
    const others = Object.fromEntries(
      Object.entries(limits).map(([name, limit]) => [`elsewhere ${name}`, limit]),
    );
    return Array.from(
      { length: count },
      () => new CombinedLimiter(new ProcessLimiter(limits), elsewhere(new ProcessLimiter(others))),
    );
  },
});

describe("a combined limiter", () => {
  const request = { slots: 1, holder: "run", isRate: false };

  test("is bound by the limits of either", async () => {
    const both = new CombinedLimiter(new ProcessLimiter({ mine: 1 }), new ProcessLimiter({ theirs: 1 }));
    expect(["mine", "theirs", "nobody's"].map((name) => both.isLimited(name))).toEqual([true, true, false]);
    (await both.acquire({ ...request, names: ["mine", "theirs"] })).release();
  });

  test("gives back what it has of the first when the second refuses", async () => {
    const both = new CombinedLimiter(new ProcessLimiter({ first: 1 }), new ProcessLimiter({ second: 0 }));
    await expect(both.acquire({ ...request, names: ["first", "second"] })).rejects.toMatchObject({
      code: "ERR_LIMIT_EXCEEDED",
    });
    (await both.acquire({ ...request, names: ["first"] })).release();
  });
});
