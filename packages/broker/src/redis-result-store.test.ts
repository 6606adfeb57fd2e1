import { afterAll, beforeAll, inject } from "vitest";
import { uniqueNamespace } from "../../../test/support/namespace.ts";
import { forgetNamespace } from "../../../test/support/redis-keys.ts";
import { resultStoreContract } from "../../core/testing/result-store.contract.ts";
import { BullMqBroker } from "./bullmq-broker.ts";

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
