import { afterEach } from "vitest";
import { uniqueNamespace } from "./namespace.ts";
import { killPrograms } from "./processes.ts";
import { forgetNamespace } from "./redis-keys.ts";

/**
 * For a file whose tests start programs in namespaces of the shared Redis: after each test its programs are ended, then
 * its namespaces are emptied.
 *
 * @returns makes a namespace of the current test's own
 */
export function ownNamespaces(): () => string {
  const namespaces: string[] = [];
  afterEach(async () => {
    await killPrograms();
    for (const namespace of namespaces.splice(0)) await forgetNamespace(namespace);
  });
  return () => {
    const namespace = uniqueNamespace();
    namespaces.push(namespace);
    return namespace;
  };
}
