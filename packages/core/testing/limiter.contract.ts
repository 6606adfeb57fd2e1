import type { Limit, Limiter, SlotRequest, Slots } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

/** Names are unique per test, since a limiter may be shared by everything in a process or a Redis. */
let tests = 0;

/** By its code: the classes of sources and of the built package differ. */
const tooMany = { code: "ERR_LIMIT_EXCEEDED" };

export interface LimiterSetup {
  /** Limiters that share these limits. */
  open(limits: Readonly<Record<string, Limit>>, count: number): Promise<Limiter[]>;
}

/** What every limiter keeps to, wherever its slots are. */
export function limiterContract(kind: string, { open }: LimiterSetup): void {
  const names = (...letters: string[]) => letters.map((letter) => `${letter}-${kind}-${tests}`);
  const request = (names: readonly string[], more: Partial<SlotRequest> = {}): SlotRequest => ({
    names,
    slots: 1,
    holder: "run",
    isRate: false,
    ...more,
  });
  /** What has been taken, in order: for a promise that must not have settled yet there is no better witness. */
  const taking = (limiter: Limiter, order: string[], label: string, asked: SlotRequest): Promise<Slots> =>
    limiter.acquire(asked).then((slots) => {
      order.push(label);
      return slots;
    });

  describe(`${kind} keeps the contract of limiters:`, () => {
    test("a limit is known, another name is not, and costs nothing", async () => {
      tests++;
      const [a, b] = names("a", "b") as [string, string];
      const [limiter] = (await open({ [a]: { slots: 1 } }, 1)) as [Limiter];
      expect([limiter.isLimited(a), limiter.isLimited(b)]).toEqual([true, false]);
      const held = await Promise.all([1, 2, 3].map(() => limiter.acquire(request([b]))));
      for (const slots of held) slots.release();
    });

    test("there are never more holders than slots, whoever asks, and everybody is served", async () => {
      tests++;
      const [a] = names("a") as [string];
      const limiters = await open({ [a]: { slots: 3 } }, 2);
      let holders = 0;
      let most = 0;
      const work = Array.from({ length: 60 }, async (_, index) => {
        const slots = await limiters[index % limiters.length]!.acquire(request([a]));
        most = Math.max(most, ++holders);
        await new Promise(setImmediate);
        holders--;
        slots.release();
      });
      await Promise.all(work);
      expect(most).toBeLessThanOrEqual(3);
      expect(most).toBeGreaterThan(0);
    });

    test("first come, first served", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 1 } }, 1)) as [Limiter];
      const order: string[] = [];
      const first = await taking(limiter, order, "0", request([a]));
      const others = Array.from({ length: 9 }, (_, index) =>
        taking(limiter, order, `${index + 1}`, request([a])).then((slots) => slots.release()),
      );
      first.release();
      await Promise.all(others);
      expect(order).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    });

    test("all names at once or none: who waits for one holds no other; who needs nothing of it passes", async () => {
      tests++;
      const [a, b] = names("a", "b") as [string, string];
      const [limiter] = (await open({ [a]: { slots: 1 }, [b]: { slots: 1 } }, 1)) as [Limiter];
      const order: string[] = [];
      const holdsA = await taking(limiter, order, "a", request([a]));
      const both = taking(limiter, order, "a and b", request([a, b]));
      holdsA.release();
      const slots = await both;
      const behind = taking(limiter, order, "b", request([b]));
      slots.release();
      (await behind).release();
      expect(order).toEqual(["a", "a and b", "b"]);
    });

    test("several slots of a name count", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 3 } }, 1)) as [Limiter];
      const order: string[] = [];
      const two = await taking(limiter, order, "two", request([a], { slots: 2 }));
      const next = taking(limiter, order, "two more", request([a], { slots: 2 }));
      const one = taking(limiter, order, "one behind", request([a]));
      two.release();
      (await next).release();
      (await one).release();
      expect(order).toEqual(["two", "two more", "one behind"]);
    });

    test("more slots than there are, or a limit of 0, is an error at once", async () => {
      tests++;
      const [a, b] = names("a", "b") as [string, string];
      const [limiter] = (await open({ [a]: { slots: 2 }, [b]: { slots: 0 } }, 1)) as [Limiter];
      await expect(limiter.acquire(request([a], { slots: 3 }))).rejects.toMatchObject(tooMany);
      await expect(limiter.acquire(request([b]))).rejects.toMatchObject(tooMany);
    });

    test("who gives up makes way for those behind", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 2 } }, 1)) as [Limiter];
      const one = await limiter.acquire(request([a]));
      const abort = new AbortController();
      const gaveUp = limiter.acquire(request([a], { slots: 2, signal: abort.signal }));
      const behind = limiter.acquire(request([a]));
      const reason = new Error("cancelled");
      abort.abort(reason);
      await expect(gaveUp).rejects.toBe(reason);
      (await behind).release();
      one.release();
      await expect(limiter.acquire(request([a], { signal: abort.signal }))).rejects.toBe(reason);
    });

    test("releasing twice gives back once", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 1 } }, 1)) as [Limiter];
      const first = await limiter.acquire(request([a]));
      first.release();
      const second = await limiter.acquire(request([a]));
      first.release();
      const order: string[] = [];
      const third = taking(limiter, order, "third", request([a]));
      order.push("second releases");
      second.release();
      (await third).release();
      expect(order).toEqual(["second releases", "third"]);
    });

    test("slots of a rate come back by themselves, and not by release", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 2, slotDecayPerSecond: 20 } }, 1)) as [Limiter];
      const began = performance.now();
      for (let passed = 0; passed < 6; passed++)
        (await limiter.acquire(request([a], { isRate: true }))).release();
      // Two at once, and four that wait 50 ms each: less would be too fast, whatever the machine does.
      expect(performance.now() - began).toBeGreaterThan(190);
    });

    test("those who share a name do not overtake each other, others pass", async () => {
      tests++;
      const [a, b, c] = names("a", "b", "c") as [string, string, string];
      const [limiter] = (await open({ [a]: { slots: 1 }, [b]: { slots: 1 }, [c]: { slots: 1 } }, 1)) as [
        Limiter,
      ];
      const order: string[] = [];
      const holdsA = await taking(limiter, order, "a", request([a]));
      const both = taking(limiter, order, "a and b", request([a, b]));
      const onlyB = taking(limiter, order, "b", request([b]));
      // It waits for nobody; and when it has its slots, those who asked before it have been looked at.
      (await taking(limiter, order, "c", request([c]))).release();
      expect(order).toEqual(["a", "c"]);
      holdsA.release();
      (await both).release();
      (await onlyB).release();
      expect(order).toEqual(["a", "c", "a and b", "b"]);
    });

    test("who gives up in the middle of a line leaves the others where they are", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 1 } }, 1)) as [Limiter];
      const order: string[] = [];
      const holder = await taking(limiter, order, "holder", request([a]));
      const abort = new AbortController();
      const before = taking(limiter, order, "before", request([a]));
      const middle = taking(limiter, order, "middle", request([a], { signal: abort.signal }));
      const behind = taking(limiter, order, "behind", request([a]));
      abort.abort(new Error("cancelled"));
      await expect(middle).rejects.toThrow("cancelled");
      holder.release();
      (await before).release();
      (await behind).release();
      expect(order).toEqual(["holder", "before", "behind"]);
    });

    test("under any load there are never too many, all are served, and in order where they share a name", async () => {
      const limits = { a: 1, b: 2, c: 3 };
      const load = fc.array(
        fc.record({
          wants: fc.subarray(["a", "b", "c"] as const, { minLength: 1 }),
          turns: fc.nat(3),
          abortsAfter: fc.option(fc.nat(6), { nil: undefined, freq: 4 }),
        }),
        { minLength: 1, maxLength: 20 },
      );
      const check = async (asked: typeof load extends fc.Arbitrary<infer T> ? T : never) => {
        tests++;
        const named = (letter: string) => `${letter}-${kind}-${tests}`;
        const [limiter] = (await open(
          Object.fromEntries(Object.entries(limits).map(([letter, slots]) => [named(letter), { slots }])),
          1,
        )) as [Limiter];
        const held = { a: 0, b: 0, c: 0 };
        const served: number[] = [];
        const run = async ({ wants, turns, abortsAfter }: (typeof asked)[number], index: number) => {
          const abort = new AbortController();
          if (abortsAfter !== undefined) void after(abortsAfter).then(() => abort.abort("cancelled"));
          const { signal } = abort;
          const slots = await limiter.acquire(request(wants.map(named), { signal })).catch(() => undefined);
          if (slots === undefined) return expect(abortsAfter).toBeDefined();
          served.push(index);
          for (const letter of wants) expect(++held[letter]).toBeLessThanOrEqual(limits[letter]);
          await after(turns);
          for (const letter of wants) held[letter]--;
          slots.release();
        };
        await Promise.all(asked.map(run));
        for (const letter of ["a", "b", "c"] as const) {
          const sharing = served.filter((index) => asked[index]!.wants.includes(letter));
          expect(sharing).toEqual([...sharing].sort((one, other) => one - other));
          (await limiter.acquire(request([named(letter)], { slots: limits[letter] }))).release();
        }
      };
      await fc.assert(fc.asyncProperty(load, check), { numRuns: 20 });
    });

    test("a rate needs a limit with decay", async () => {
      tests++;
      const [a] = names("a") as [string];
      const [limiter] = (await open({ [a]: { slots: 2 } }, 1)) as [Limiter];
      await expect(limiter.acquire(request([a], { isRate: true }))).rejects.toMatchObject({
        code: "ERR_INVALID_OPTION",
      });
    });
  });
}

/** So many turns of the event loop. */
async function after(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
}
