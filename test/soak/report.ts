/** What the soak says, in words. */
import type { Sample } from "./samples.ts";
import type { Finding } from "./verdict.ts";

const mib = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

export function describeSample({ second, flows, heapUsed, processes, redis }: Sample): string {
  const each = Object.entries(processes).map(
    ([name, { rss, files, threads }]) => `${name} ${mib(rss)} ${files} files ${threads} threads`,
  );
  return [
    `${second.toFixed(0)} s: ${flows} flows, heap ${mib(heapUsed)}`,
    ...each,
    `redis ${mib(redis.usedMemory)} ${redis.keys} keys`,
  ].join("; ");
}

export function describeFinding({
  name,
  kind,
  first,
  last,
  allowed,
  slopePerHour,
  isSteady,
}: Finding): string {
  const shown = (value: number) => (kind === "memory" ? mib(value) : value.toFixed(0));
  return (
    `${isSteady ? "steady" : "GROWS "} ${name}: from ${shown(first)} to ${shown(last)}, at most ${shown(allowed)}; ` +
    `${shown(slopePerHour)} an hour`
  );
}
