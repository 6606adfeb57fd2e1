import { MillraceError } from "millrace";
import { expect } from "vitest";

export interface Clear {
  readonly is: abstract new (...args: never[]) => MillraceError;
  readonly code: string;
  readonly expected: string | RegExp;
  readonly got: string | RegExp;
  readonly advice: string | RegExp;
}

/** An error is clear when its class and code tell what it is, and its message what was expected, what came, what to do. */
export function expectClear(error: unknown, { is, code, expected, got, advice }: Clear): void {
  expect(error).toBeInstanceOf(is);
  expect(error).toBeInstanceOf(MillraceError);
  expect(error).toMatchObject({ name: is.name, code });
  const { message } = error as Error;
  for (const part of [expected, got, advice]) expect(message).toMatch(part);
}

/** What the action throws, or rejects with. */
export async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("Expected it to throw.");
}
