import type { WorkerInfo } from "../broker.ts";
import type { Seal } from "./seal.ts";
import type { ProcessFacts } from "./this-process.ts";

/** What a worker says of itself with each heartbeat. Of a worker of another version, only what a runner must know. */
export interface WorkerRecord extends WorkerInfo, Partial<ProcessFacts> {
  readonly queue?: string;
  /** How many calls there are in the batches that it has. */
  readonly calls?: number;
}

/** A record of a thousand characters would hold any worker's; a longer one is somebody's who wants it to be read for long. */
const MOST_CHARACTERS = 10_000;

/** As many threads as a worker may say it has: a number that is made up would draw the whole backlog of a flow into Redis. */
const MOST_THREADS = 10_000;

/** What a record of the registry says, to those who have the same secret, and to others. */
export type KnownWorker = WorkerRecord | "stranger" | undefined;

/** What a worker writes about itself. Signed, it says under which secret. */
export function writeRecord(worker: WorkerRecord, key: string, seal: Seal): string {
  if (seal.fingerprint === "") return JSON.stringify(worker);
  const record = { ...worker, secret: seal.fingerprint };
  return JSON.stringify({ ...record, signature: signatureOf(record, key, seal) });
}

/**
 * A record that somebody wrote: anything may be in it.
 *
 * @returns "stranger" for a worker that has another secret, or none where there is one; undefined for no record
 */
export function readRecord(text: string | null, workerId: string, key: string, seal: Seal): KnownWorker {
  if (text === null || text.length > MOST_CHARACTERS) return undefined;
  let record: Partial<WorkerRecord> & { readonly secret?: unknown; readonly signature?: unknown };
  try {
    record = Object(JSON.parse(text));
  } catch {
    return undefined;
  }
  const { threads } = record;
  // One that calls itself by another's name would make that one seem to live.
  const isWorker =
    record.workerId === workerId &&
    Number.isSafeInteger(threads) &&
    (threads as number) > 0 &&
    (threads as number) <= MOST_THREADS;
  if (!isWorker) return undefined;
  const { signature, ...signed } = record;
  if ((signed.secret ?? "") !== seal.fingerprint) return "stranger";
  if (seal.fingerprint !== "" && !isSignedBy(seal, signature, signed, key)) return undefined;
  return { workerId, threads: threads as number, ...known(record) };
}

function known(more: object): Partial<WorkerRecord> {
  const fits = ([key, value]: [string, unknown]) =>
    (typeof value === "string" && ["host", "version", "queue"].includes(key)) ||
    (typeof value === "number" && ["pid", "startedAt", "calls"].includes(key));
  return Object.fromEntries(Object.entries(more).filter(fits));
}

function signatureOf(record: object, key: string, seal: Seal): string {
  const signed = seal.sign(new TextEncoder().encode(JSON.stringify(record)), { kind: "worker", key });
  return Buffer.from(signed).toString("base64");
}

/** Text of JSON that was read and is written again is the same: the order of its fields is kept. */
function isSignedBy(seal: Seal, signature: unknown, record: object, key: string): boolean {
  if (typeof signature !== "string") return false;
  try {
    const message = seal.verify(Buffer.from(signature, "base64"), { kind: "worker", key });
    return Buffer.from(message).toString() === JSON.stringify(record);
  } catch {
    return false;
  }
}
