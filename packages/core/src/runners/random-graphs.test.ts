/** Random graphs on the runners of this process. */
import { ConcurrentTaskRunner, SequentialTaskRunner } from "@millrace/core";
import { randomGraphsContract } from "../../testing/random-graphs.contract.ts";

randomGraphsContract({ name: "concurrent", makeRunner: () => new ConcurrentTaskRunner() });

randomGraphsContract({ name: "sequential", makeRunner: () => new SequentialTaskRunner() });
