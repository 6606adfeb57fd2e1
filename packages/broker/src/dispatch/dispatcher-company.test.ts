import { logTo } from "@millrace/core";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { outcome, ScriptedBroker } from "../../testing/scripted-broker.ts";
import { ALONE_PATIENCE_MS, SWEEP_MS } from "../intervals.ts";
import type { Batch } from "../wire/batch.ts";
import { Dispatcher } from "./dispatcher.ts";

/** A call that is to run alone, and whose only worker does not become quiet. */

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let call: TestCall;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  logTo({ write: () => {} });
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
  broker.hasWorkers(1, 2);
  // It may crash least often: a good call is to survive every company.
  call = new TestCall(taskOf(import.meta.url, "work", { crashRetries: 0 }));
  dispatcher.submit(call);
});

afterEach(async () => {
  await dispatcher.close();
  vi.useRealTimers();
  logTo(undefined);
});

/** It has begun when its worker dies. */
function dies(batch: Batch): void {
  broker.starts(batch, batch.calls[0]!.sequence);
  broker.loses(batch);
}

function givesBack(batch: Batch): void {
  broker.reports(batch, [outcome(batch.calls[0]!.sequence, "unstarted", undefined)]);
}

test("is asked for after its patience, until it is given back, and then has company", async () => {
  dies(await broker.sends(1));
  const alone = await broker.sends(2);
  expect(alone.isAlone).toBe(true);
  await vi.advanceTimersByTimeAsync(ALONE_PATIENCE_MS - 1);
  expect(broker.handedBack).toEqual([]);
  await vi.advanceTimersByTimeAsync(3 * SWEEP_MS);
  expect(new Set(broker.handedBack)).toEqual(new Set([alone.id]));
  expect(broker.handedBack.length).toBeGreaterThan(1); // No worker may have had it before.
  givesBack(alone);
  const inCompany = await broker.sends(3);
  expect(inCompany.isAlone).toBe(false);
  broker.returns(inCompany, "there");
  expect(await call.value()).toBe("there");
});

test("is not asked for once it has begun", async () => {
  dies(await broker.sends(1));
  const alone = await broker.sends(2);
  broker.starts(alone, alone.calls[0]!.sequence);
  await vi.advanceTimersByTimeAsync(2 * ALONE_PATIENCE_MS);
  expect(broker.handedBack).toEqual([]);
  broker.returns(alone, "there");
  expect(await call.value()).toBe("there");
});

test("that is given back before goes on waiting to be alone, not anew", async () => {
  dies(await broker.sends(1));
  await vi.advanceTimersByTimeAsync(ALONE_PATIENCE_MS - 1);
  givesBack(await broker.sends(2));
  const again = await broker.sends(3);
  expect(again.isAlone).toBe(true);
  await vi.advanceTimersByTimeAsync(2 * SWEEP_MS);
  expect(broker.handedBack).toContain(again.id);
});

test("and whose company dies again and again is never CRASHED for that: in the end it waits until it is alone", async () => {
  dies(await broker.sends(1));
  let sent = 1;
  for (const _ of ["first company", "second company"]) {
    const alone = await broker.sends(++sent);
    expect(alone.isAlone).toBe(true);
    await vi.advanceTimersByTimeAsync(ALONE_PATIENCE_MS + SWEEP_MS);
    givesBack(alone);
    const inCompany = await broker.sends(++sent);
    expect(inCompany.isAlone).toBe(false);
    dies(inCompany);
  }
  const last = await broker.sends(++sent);
  expect(last.isAlone).toBe(true);
  broker.handedBack.length = 0;
  await vi.advanceTimersByTimeAsync(100 * ALONE_PATIENCE_MS);
  expect(broker.handedBack).toEqual([]);
  expect(call.outcomes).toEqual([]);
  broker.returns(last, "alone at last");
  expect(await call.value()).toBe("alone at last");
});
