import { BullMqBroker } from "@millrace/broker/bullmq";
import { afterAll, beforeAll, inject } from "vitest";
import { resultStoreContract } from "../../packages/core/testing/result-store.contract.ts";
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
