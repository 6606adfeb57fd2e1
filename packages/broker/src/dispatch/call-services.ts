import { decode, processLogger, type RunEventSink, type RunServices } from "@millrace/core/internal";
import { checkPartFits } from "../wire/message-fields.ts";
import { encodeError } from "../wire/outcomes.ts";
import { encodeServiceAnswer, type Request } from "../wire/requests.ts";
import type { Nested } from "./entries.ts";

type ServiceRequest = Exclude<Request, { readonly type: "submit" | "cancel" | "release" }>;

/**
 * Does for a call in a worker what it would do itself, were it in this process: waits for slots, reads and writes
 * results, tells observers. What the call holds is given back when it says so, or when it ends, however it does.
 */
export function serveRequest(
  id: number,
  request: ServiceRequest,
  { limiter, resultStore, events }: RunServices,
  { resources }: Nested,
  answer: (body: Uint8Array) => void,
): void {
  if (request.type === "event") {
    tellObservers(events, request.name, request.event);
    return;
  }
  const waiting = new AbortController();
  let release: (() => unknown) | undefined;
  let isOver = false;
  const end = () => {
    isOver = true;
    resources.delete(id);
    waiting.abort(new Error("The call has ended."));
    release?.();
  };
  resources.set(id, end);
  const doIt = async (): Promise<unknown> => {
    const { signal } = waiting;
    switch (request.type) {
      case "acquire": {
        const { names, slots, holder, isRate } = request;
        const taken = await limiter.acquire({ names, slots, holder, isRate, signal });
        release = () => taken.release();
        return null;
      }
      case "claim": {
        const claim = await resultStore.claim(request.key, signal);
        release = () => claim.release();
        return null;
      }
      case "read": {
        const found = await resultStore.read(request.key);
        return found === undefined ? null : [found.value, found.expiresAt ?? null];
      }
      default:
        await resultStore.write(request.key, { value: request.value, expiresAt: request.expiresAt });
        return null;
    }
  };
  doIt().then(
    (value) => {
      if (isOver) release?.();
      else if (release === undefined) resources.delete(id);
      answer(encodedAnswer(value));
    },
    (error: unknown) => {
      resources.delete(id);
      answer(encodeServiceAnswer({ error: encodeError(error) }));
    },
  );
}

/** A kept result may be longer than a message. */
function encodedAnswer(value: unknown): Uint8Array {
  try {
    return checkPartFits("the kept result", encodeServiceAnswer({ value }));
  } catch (error) {
    return encodeServiceAnswer({ error: encodeError(error) });
  }
}

/** Never throws: the outcomes in the same report are not to be lost with an event that cannot be read here. */
function tellObservers(events: RunEventSink, name: string, event: Uint8Array): void {
  if (name !== "task-run-state" && name !== "flow-run-state") return;
  let decoded: unknown;
  try {
    decoded = decode(event);
  } catch (error) {
    processLogger().error({ err: error, event: name }, "a run event could not be read and was left out");
    return;
  }
  events.emit(name, decoded as never);
}
