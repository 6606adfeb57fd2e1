import { checkPartFits, decodeServiceAnswer, type Request } from "@millrace/broker";
import type { Claim, Limiter, ResultStore, RunEventMap, StoredResult } from "@millrace/core";
import {
  decode,
  defaultServices,
  encode,
  type RunEventSink,
  type RunServices,
} from "@millrace/core/internal";
import type { RunningCall } from "./running-call.ts";

/** What runs inside a call share with its flow run: limits and results, as the flow's process has them. */
export function remoteServices(call: RunningCall): RunServices {
  const { hasLimits } = call.context;
  const limiter = hasLimits ? new RemoteLimiter(call) : defaultServices().limiter;
  return {
    limiter,
    resultStore: new RemoteResultStore(call),
    events: new RemoteEvents(call),
    persistResult: call.context.persistResult,
    concurrencyLimits: {},
    clusterLimiter: hasLimits ? limiter : undefined, // For the flows that the call calls.
  };
}

class RemoteLimiter implements Limiter {
  readonly #call: RunningCall;

  constructor(call: RunningCall) {
    this.#call = call;
  }

  /** Only the flow's process knows: where there is no limit, it answers at once. */
  isLimited(): boolean {
    return true;
  }

  async acquire({ names, slots, holder, isRate, signal }: Parameters<Limiter["acquire"]>[0]) {
    const asked = ask(this.#call, { type: "acquire", names, slots, holder, isRate }, signal);
    await asked.answer;
    return { release: asked.giveBack };
  }
}

class RemoteResultStore implements ResultStore {
  readonly #call: RunningCall;

  constructor(call: RunningCall) {
    this.#call = call;
  }

  async read(key: string): Promise<StoredResult | undefined> {
    const found = await ask(this.#call, { type: "read", key }).answer;
    if (!Array.isArray(found)) return undefined;
    const [value, expiresAt] = found;
    return { value, expiresAt: expiresAt ?? undefined };
  }

  async write(key: string, { value, expiresAt }: StoredResult): Promise<void> {
    await ask(this.#call, { type: "write", key, value, expiresAt }).answer;
  }

  async claim(key: string, signal?: AbortSignal): Promise<Claim> {
    const asked = ask(this.#call, { type: "claim", key }, signal);
    await asked.answer;
    return { release: async () => asked.giveBack() };
  }
}

class RemoteEvents implements RunEventSink {
  readonly #call: RunningCall;

  constructor(call: RunningCall) {
    this.#call = call;
  }

  get isObserved(): boolean {
    return this.#call.context.isObserved;
  }

  emit<Name extends keyof RunEventMap>(name: Name, event: RunEventMap[Name]): void {
    this.#call.tell({ type: "event", name, event: encodedEvent(event) });
  }
}

/**
 * What cannot leave the process, or is too long for a message, is left out: an observer still learns that the run is there. Such are
 * parameters, and a message that an error brought into the state.
 */
export function encodedEvent(event: RunEventMap[keyof RunEventMap], mostBytes?: number): Uint8Array {
  const bare = { ...event, parameters: undefined };
  for (const form of [event, bare]) {
    try {
      return checkPartFits("event", encode(form), mostBytes);
    } catch {
      // The next form is smaller.
    }
  }
  const { message, ...state } = event.state;
  return encode({ ...bare, state: { ...state, message: message.slice(0, KEPT_MESSAGE_LENGTH) } });
}

const KEPT_MESSAGE_LENGTH = 1_000;

/** Asks, and gives up when the signal fires. */
function ask(
  call: RunningCall,
  request: Request,
  signal?: AbortSignal,
): { readonly answer: Promise<unknown>; giveBack(): void } {
  let id: number;
  let isGivenBack = false;
  const giveBack = () => {
    if (!isGivenBack) call.tell({ type: "cancel", id });
    isGivenBack = true;
  };
  const answer = new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = () => {
      giveBack();
      reject(signal?.reason);
    };
    id = call.ask(request, ({ body }) => {
      signal?.removeEventListener("abort", onAbort);
      try {
        const answered = decodeServiceAnswer(body);
        if ("error" in answered) throw decode(answered.error);
        resolve(answered.value);
      } catch (error) {
        reject(error); // What it was answered, or that the answer cannot be read.
      }
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
  return { answer, giveBack };
}
