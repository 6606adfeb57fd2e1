/** The queue between runners and workers. Internal to Millrace's packages. */

export {
  type Batch,
  type BatchCall,
  type CallContext,
  type CallInput,
  decodeBatch,
  encodeBatch,
  isSequence,
  type TaskReference,
} from "./batch.ts";
export { BatchBuilder } from "./batch-builder.ts";
export { MOST_BATCH_BYTES } from "./batch-plan.ts";
export {
  type Broker,
  type Capacity,
  DEFAULT_QUEUE,
  type Delivery,
  type FetchValue,
  type LostBatch,
  type RunnerHandlers,
  type RunnerLink,
  type RunnerOwner,
  type WorkerHandlers,
  type WorkerInfo,
  type WorkerLink,
} from "./broker.ts";
export { surveyOf } from "./call-survey.ts";
export {
  type CallValue,
  INLINE_LIMIT_BYTES,
  inSharedMemory,
  isReference,
  type ValueReference,
} from "./call-values.ts";
export { Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
export { DurationSums, Durations } from "./durations.ts";
export { givenReference, isGiven, resultId } from "./given-values.ts";
export { keysOf } from "./keys.ts";
export { MemoryBroker } from "./memory-broker.ts";
export { checkPartFits, MOST_PART_BYTES } from "./message-fields.ts";
export { encodeError, type RawOutcome, toOutcome, toRaw } from "./outcomes.ts";
export {
  type CallOutcome,
  type CallRequest,
  decodeReport,
  type EncodedReport,
  encodeReport,
  type GivenValue,
  type OutcomeKind,
  type Report,
} from "./report.ts";
export {
  decodeOutcome,
  decodeRequest,
  decodeServiceAnswer,
  encodeOutcome,
  encodeRequest,
  encodeServiceAnswer,
  type Request,
  type ServiceAnswer,
} from "./requests.ts";
export { LEAST_STREAM_WINDOW_CALLS } from "./stream-window.ts";
export { MOST_LOSSES, type PlacesValues } from "./values.ts";
export type { CallAnswer } from "./worker-messages.ts";
