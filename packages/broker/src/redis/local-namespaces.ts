import { randomUUID } from "node:crypto";
import { DEFAULT_QUEUE } from "../broker.ts";
import { keysOf } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";
import { scanKeys, unlinkAll } from "./scan.ts";

/** A namespace for a local cluster alone: two on one Redis must not take each other's batches. */
export function newLocalNamespace(): string {
  return `local-${randomUUID()}`;
}

/** Also a standing namespace may begin with `local-`, and what it keeps is to stay. */
const LOCAL_KEY = /^\{millrace:(local-[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})\}:(.*)$/s;

/** Whoever lives renews one of these, which otherwise ends within 20 s. */
const SIGN_OF_LIFE = /^(?:workers|worker|inbox|runner|runner-lease|replies):/;

/**
 * Takes away what local clusters have left that were killed, all their processes at once, as a machine's end does: the jobs and the
 * queue of BullMQ have no time to live. Where somebody lives all the same, the worst is that batches are sent again.
 *
 * @throws what Redis answers
 */
export async function removeDeadLocalNamespaces(redis: Redis): Promise<void> {
  const keysByNamespace = new Map<string, string[]>();
  const living = new Set<string>();
  for (const key of await scanKeys(redis, "{millrace:local-*}:*")) {
    const [, namespace, name] = LOCAL_KEY.exec(key) ?? [];
    if (namespace === undefined || name === undefined) continue;
    if (SIGN_OF_LIFE.test(name)) living.add(namespace);
    const keys = keysByNamespace.get(namespace);
    if (keys === undefined) keysByNamespace.set(namespace, [key]);
    else keys.push(key);
  }
  for (const [namespace, keys] of keysByNamespace) {
    if (living.has(namespace)) continue;
    // One that was started during the scan may have been seen in part. Its workers come before its batches.
    if ((await redis.exists(keysOf(namespace).workers(DEFAULT_QUEUE))) === 0) await unlinkAll(redis, keys);
  }
}
