/** How a value is shown in a message: short, with its type, never a whole object. */
export function describe(value: unknown): string {
  if (typeof value === "string")
    return `${JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)} (string)`;
  if (value === null || value === undefined) return String(value);
  if (typeof value === "function") return `function ${value.name || "(anonymous)"}`;
  if (typeof value === "object") return `an instance of ${value.constructor?.name ?? "Object"}`;
  return `${String(value)} (${typeof value})`;
}

/** How what was thrown is shown in a message. */
export function describeThrown(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : describe(error);
}
