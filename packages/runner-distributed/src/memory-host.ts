import { MemoryBroker } from "@millrace/broker";
import { ThreadExecutor, Worker } from "@millrace/worker";
import {
  CLOSE_GRACE_SECONDS,
  type ClusterHost,
  type HostedWorker,
  type HostOptions,
} from "./cluster-host.ts";

/** Workers as threads of this process: the embedded mode, which needs nothing but Node. */
export class MemoryHost implements ClusterHost {
  readonly description = "threads of this process";
  readonly broker = new MemoryBroker();
  readonly #options: HostOptions;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  async addWorker(): Promise<HostedWorker> {
    const { threads, callsPerThread, root } = this.#options;
    const worker = await Worker.start({
      broker: this.broker,
      executor: new ThreadExecutor({ threads, callsPerThread, root }),
    });
    return { pid: undefined, stop: () => worker.stop(CLOSE_GRACE_SECONDS) };
  }

  close(): Promise<void> {
    return this.broker.close();
  }
}
