import { BullMqBroker } from "@millrace/broker/bullmq";
import { afterAll, beforeAll, inject } from "vitest";
import { resultStoreContract } from "../../packages/core/testing/result-store.contract.ts";
import { resultStoreDeathsContract } from "../../packages/core/testing/result-store-deaths.contract.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { forgetNamespace } from "../support/redis-keys.ts";

const namespace = uniqueNamespace();
let broker: BullMqBroker;

beforeAll(async () => {
  broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
});

afterAll(async () => {
  await broker.close();
  await forgetNamespace(namespace);
});

resultStoreContract("RedisResultStore", () => broker.resultStore());

const BUILT = new URL("../../packages/broker/dist/redis/bullmq-broker.js", import.meta.url).href;

resultStoreDeathsContract(
  "RedisResultStore",
  () => broker.resultStore(),
  () => `
    const { BullMqBroker } = await import(${JSON.stringify(BUILT)});
    const options = ${JSON.stringify({ redisUrl: inject("redisUrl"), namespace })};
    const store = (await BullMqBroker.connect(options)).resultStore();`,
);
