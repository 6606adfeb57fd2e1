/** The parts of the contract of task runners, besides task-runner.contract.ts. */
import { composingContract } from "./composing.ts";
import { decidingContract } from "./deciding.ts";
import { repeatingContract } from "./repeating.ts";
import { sharingContract } from "./sharing.ts";
import { stoppingContract } from "./stopping.ts";
import { streamingContract } from "./streaming.ts";
import type { RunnerUnderTest } from "./suite.ts";

export function semanticsContract(runner: RunnerUnderTest): void {
  decidingContract(runner);
  stoppingContract(runner);
  repeatingContract(runner);
  sharingContract(runner);
  composingContract(runner);
  streamingContract(runner);
}
