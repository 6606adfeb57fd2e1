/** The runners of this process keep the semantics of flows and tasks. */
import { ConcurrentTaskRunner, SequentialTaskRunner } from "@millrace/core";
import { semanticsContract } from "../../testing/contract/index.ts";

semanticsContract({
  name: "concurrent",
  makeRunner: () => new ConcurrentTaskRunner(),
  exceptions: { sharesTheEventLoop: true },
});

semanticsContract({
  name: "sequential",
  makeRunner: () => new SequentialTaskRunner(),
  exceptions: { sharesTheEventLoop: true, runsOneAtATime: true },
});
