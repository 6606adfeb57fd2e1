import { LocalCluster, type LocalClusterOptions } from "./local-cluster.ts";

/**
 * Temporary clusters, by their options: flow runs that ask for the same one at the same time, or one soon after the
 * other, share it. Ten concurrent runs do not start ten clusters.
 */
const clusters = new Map<
  string,
  { readonly cluster: LocalCluster; users: number; lingering?: NodeJS.Timeout }
>();

/**
 * How long a cluster stays when its last user has left: longer than the gap between two flows of one program. A program ends later
 * by this; it is about a tenth of what a new cluster with a Redis takes to start (bench: start).
 */
const LINGER_MS = 100;

export interface SharedCluster {
  readonly cluster: LocalCluster;
  /** The user leaves. The last one closes the cluster, after a little while. Safe to call twice. */
  release(): void;
}

export function acquireSharedCluster(options: LocalClusterOptions): SharedCluster {
  const key = JSON.stringify(Object.entries(options).sort());
  let shared = clusters.get(key);
  if (shared === undefined) {
    shared = { cluster: new LocalCluster(options), users: 0 };
    clusters.set(key, shared);
  }
  const { cluster } = shared;
  const entry = shared;
  clearTimeout(entry.lingering);
  entry.users++;
  let isReleased = false;
  return {
    cluster,
    release: () => {
      if (isReleased) return;
      isReleased = true;
      entry.users--;
      if (entry.users > 0) return;
      entry.lingering = setTimeout(() => {
        clusters.delete(key);
        void cluster.close();
      }, LINGER_MS);
    },
  };
}
