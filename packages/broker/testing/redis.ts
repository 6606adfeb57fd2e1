import { inject } from "vitest";
import { findLeftKeys } from "../../../test/support/leaks.ts";
import { uniqueNamespace } from "../../../test/support/namespace.ts";
import { BullMqBroker } from "../src/redis/bullmq-broker.ts";
import type { BrokerSetup } from "./broker-harness.ts";

/** Two connections to one namespace of the shared Redis. @param secret what messages are signed with; left out: they are not */
export async function connectPair(
  secret?: string,
): Promise<BrokerSetup & { forRunners: BullMqBroker; forWorkers: BullMqBroker; namespace: string }> {
  const redisUrl = inject("redisUrl");
  const namespace = uniqueNamespace();
  const connect = () => BullMqBroker.connect({ redisUrl, namespace, secret });
  const [forRunners, forWorkers] = await Promise.all([connect(), connect()]);
  return {
    forRunners,
    forWorkers,
    namespace,
    leftovers: async () =>
      (await findLeftKeys(redisUrl, `*${namespace}*`, 0)).filter((key) => !OF_THE_QUEUE.test(key)),
    dispose: () => forRunners.deleteNamespace(),
  };
}

/** What BullMQ keeps per queue, a few hundred bytes in all, for as long as the namespace is used. */
const OF_THE_QUEUE = /:default(?:@[\w-]+)?:(meta|id|events|marker|stalled-check) /;
