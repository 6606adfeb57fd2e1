import type { Task } from "millrace";

export const noop: Task<[value: number], number>;
export const asyncNoop: Task<[value: number], number>;
export const increment: Task<[value: number], number>;
export const spin: Task<[milliseconds: number], void>;
export const rest: Task<[milliseconds: number], void>;
export const echo: Task<[bytes: Uint8Array], Uint8Array>;
export const point: Task<
  [step: number, at: number, iterations: number, needs: readonly number[], inputs: readonly Uint8Array[]],
  Uint8Array
>;
export const rate: Task<[iterations: number], number>;
