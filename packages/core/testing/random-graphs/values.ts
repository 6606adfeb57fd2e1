/** What nodes compute, and where in their arguments values are: pure functions that tasks and the reference share. */
import type { Container, NodeWork } from "./plan.ts";

/** More than travels inline. */
const LARGE_BYTES = 80_000;

/** The value of a node: any change of an input, or of their order, changes it. */
export function computedValue(
  { constant, value }: NodeWork,
  inputs: readonly unknown[],
  inner: readonly string[],
): unknown {
  const total = digest([constant, inputs, inner]);
  if (value === "bytes") return new Uint8Array(LARGE_BYTES).fill(total);
  if (value === "structure") {
    return {
      total,
      rows: new Map([[total, new Set([constant, "row"])]]),
      at: new Date(total),
      none: undefined,
    };
  }
  return total;
}

/** A number for any value that nodes exchange. An error counts with its class and message. */
export function digest(value: unknown): number {
  let hash = 0x811c9dc5;
  const text = textOf(value);
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return `${typeof value} ${String(value)}`;
  if (value instanceof Error) return `error ${errorText(value)}`;
  if (value instanceof Date) return `date ${value.getTime()}`;
  if (value instanceof Uint8Array) return `bytes ${value.length} ${value[0]} ${value.at(-1)}`;
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (value instanceof Set) return `set ${textOf([...value])}`;
  if (value instanceof Map) return `map ${textOf([...value])}`;
  return `{${textOf(Object.entries(value))}}`;
}

export function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : `no error: ${String(error)}`;
}

/** How a run inside a node counts in the node's value. */
export function innerText(type: string, value: unknown, error: unknown): string {
  if (type === "COMPLETED") return `COMPLETED ${digest(value)}`;
  return type === "FAILED" ? `FAILED ${errorText(error)}` : type;
}

export function putInto(container: Container | undefined, item: unknown): unknown {
  switch (container) {
    case undefined:
      return item;
    case "array":
      return [0, item];
    case "object":
      return { item };
    case "map":
      return new Map([["item", item]]);
    case "map key":
      return new Map([[item, "item"]]);
    case "set":
      return new Set([item]);
    case "deep":
      return { rows: [new Map([["cells", { here: [new Set([item])] }]])] };
  }
}

export function takeFrom(container: Container | undefined, held: unknown): unknown {
  switch (container) {
    case undefined:
      return held;
    case "array":
      return (held as unknown[])[1];
    case "object":
      return (held as { item: unknown }).item;
    case "map":
      return (held as Map<string, unknown>).get("item");
    case "map key":
      return [...(held as Map<unknown, string>).keys()][0];
    case "set":
      return [...(held as Set<unknown>)][0];
    case "deep": {
      const { rows } = held as { rows: Map<string, { here: Set<unknown>[] }>[] };
      return [...(rows[0]?.get("cells")?.here[0] ?? [])][0];
    }
  }
}
