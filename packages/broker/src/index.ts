/** The queue between runners and workers. Internal to Millrace's packages. */

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
export { BatchBuilder } from "./dispatch/batch-builder.ts";
export { MOST_BATCH_BYTES } from "./dispatch/batch-plan.ts";
export { surveyOf } from "./dispatch/call-survey.ts";
export { Dispatcher, type DispatcherOptions } from "./dispatch/dispatcher.ts";
export { DurationSums, Durations } from "./dispatch/durations.ts";
export { LEAST_STREAM_WINDOW_CALLS } from "./dispatch/stream-window.ts";
export { MemoryBroker } from "./memory-broker.ts";
export { keysOf } from "./redis/keys.ts";
export { givenReference, isGiven, resultId } from "./values/given-values.ts";
export { MOST_LOSSES, type PlacesValues } from "./values/values.ts";
export {
  type Batch,
  type BatchCall,
  type CallContext,
  type CallInput,
  decodeBatch,
  encodeBatch,
  isSequence,
  type TaskReference,
} from "./wire/batch.ts";
export {
  type CallValue,
  INLINE_LIMIT_BYTES,
  inSharedMemory,
  isReference,
  type ValueReference,
} from "./wire/call-values.ts";
export { checkPartFits, MOST_PART_BYTES } from "./wire/message-fields.ts";
export { encodeError, type RawOutcome, toOutcome, toRaw } from "./wire/outcomes.ts";
export {
  type CallOutcome,
  type CallRequest,
  decodeReport,
  type EncodedReport,
  encodeReport,
  type GivenValue,
  type OutcomeKind,
  type Report,
} from "./wire/report.ts";
export {
  decodeOutcome,
  decodeRequest,
  decodeServiceAnswer,
  encodeOutcome,
  encodeRequest,
  encodeServiceAnswer,
  type Request,
  type ServiceAnswer,
} from "./wire/requests.ts";
export type { CallAnswer } from "./wire/worker-messages.ts";
