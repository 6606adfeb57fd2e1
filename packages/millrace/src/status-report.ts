import type { ClusterStatus } from "@millrace/broker/bullmq";

/** The status of a cluster as a person reads it: problems first, then who is there. */
export function statusReport(
  { namespace, workers, queues, runners, problems }: ClusterStatus,
  now: number,
): string {
  const ago = (time: number | undefined) => (time === undefined ? "?" : duration(now - time));
  return [
    `Namespace "${namespace}"`,
    ...problems.map((problem) => `\nPROBLEM: ${problem}`),
    section(
      "Queues",
      ["queue", "waiting batches", "active batches", "workers"],
      queues.map((queue) => [queue.queue, queue.waiting, queue.active, queue.workers]),
    ),
    section(
      "Workers",
      ["worker", "queue", "host", "process", "threads", "batches", "calls", "up for", "heartbeat", "version"],
      workers.map((worker) => [
        worker.workerId,
        worker.queue,
        worker.host ?? "?",
        worker.pid ?? "?",
        worker.threads,
        worker.batches,
        worker.calls ?? "?",
        ago(worker.startedAt),
        `${duration(worker.heartbeatAgeMs)} ago`,
        worker.version ?? "?",
      ]),
    ),
    section(
      "Flow runs",
      ["flow", "flow run", "queue", "host", "process", "calls", "batches", "for"],
      runners.map((runner) => [
        runner.flowName,
        runner.flowRunId,
        runner.queue,
        runner.host,
        runner.pid,
        runner.calls,
        runner.batches,
        ago(runner.startedAt),
      ]),
    ),
  ].join("\n");
}

function section(
  title: string,
  heads: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  if (rows.length === 0) return `\n${title}: none`;
  const table = [heads, ...rows.map((row) => row.map(String))];
  const widths = heads.map((_, column) => Math.max(...table.map((row) => (row[column] as string).length)));
  const lines = table.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column] as number)).join("  ")}`.trimEnd(),
  );
  return [`\n${title}`, ...lines].join("\n");
}

function duration(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
