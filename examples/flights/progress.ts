/** Shows how far a run is, on stderr: one live line on a terminal, a line at each quarter elsewhere (a log file, CI). */

const barWidth = 24;

export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A function for `onProgress`, and one that ends the live line. */
export function showProgress(label: string, stream: ProgressStream = process.stderr) {
  const live = stream.isTTY === true;
  let quarter = 0;
  const line = (done: number, total: number) => {
    const filled = Math.round((done / total) * barWidth);
    return `${label}  ${"█".repeat(filled)}${"░".repeat(barWidth - filled)}  ${done} of ${total} parts`;
  };
  return {
    update(done: number, total: number): void {
      if (live) {
        stream.write(`\r${line(done, total)}\u001b[K`);
        return;
      }
      const reached = Math.floor((4 * done) / total);
      if (reached > quarter) stream.write(`${label}: ${done} of ${total} parts\n`);
      quarter = reached;
    },
    end(): void {
      if (live) stream.write("\n");
    },
  };
}
