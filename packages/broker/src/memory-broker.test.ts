import { brokerContract } from "../testing/broker.contract.ts";
import { MemoryBroker } from "./memory-broker.ts";

brokerContract("MemoryBroker", async () => {
  const broker = new MemoryBroker();
  return { forRunners: broker, forWorkers: broker, leftovers: async () => [], dispose: async () => {} };
});
