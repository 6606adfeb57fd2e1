import { afterEach, beforeEach, expect } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../../../test/support/leaks.ts";
import type { Broker } from "../src/broker.ts";
import { TestRunner, TestWorker } from "./parties.ts";

/** What a broker's own test gives to the contract. */
export interface BrokerSetup {
  /** The broker as runners and as workers reach it: two connections, or the same object twice. */
  readonly forRunners: Broker;
  readonly forWorkers: Broker;
  /** What runners, workers and batches have left behind; empty when nothing. Asked before the broker is closed. */
  leftovers(): Promise<string[]>;
  /** Ends what the setup itself has made, before the brokers are closed. */
  dispose(): Promise<void>;
}

export interface BrokerHarness {
  joinRunner(): Promise<TestRunner>;
  joinWorker(threads?: number): Promise<TestWorker>;
}

/** Gives each test a broker, and sees that each leaves nothing, however it ends: no key, no socket, no timer. */
export function useBroker(setUp: () => Promise<BrokerSetup>): BrokerHarness {
  let setup: BrokerSetup;
  let resources: ResourceSnapshot;
  const links: { close(): Promise<void> }[] = [];
  const runners: TestRunner[] = [];

  beforeEach(async () => {
    resources = await snapshotResources();
    setup = await setUp();
  });

  afterEach(async () => {
    for (const link of links.splice(0)) await link.close();
    const left = await setup.leftovers();
    await setup.dispose();
    await Promise.all([setup.forRunners.close(), setup.forWorkers.close()]);
    await setup.forRunners.close();
    expect(left).toEqual([]);
    expect(runners.splice(0).reduce((sum, { toldInside }) => sum + toldInside, 0)).toBe(0);
    await expectReleased(resources);
  });

  return {
    async joinRunner() {
      const runner = await TestRunner.join(setup.forRunners);
      links.push(runner.link);
      runners.push(runner);
      return runner;
    },
    async joinWorker(threads) {
      const worker = await TestWorker.join(setup.forWorkers, threads);
      links.push(worker.link);
      return worker;
    },
  };
}
