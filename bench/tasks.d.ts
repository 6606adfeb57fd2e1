import type { Task } from "millrace";

export const noop: Task<[n: number], number>;
export const spin: Task<[milliseconds: number], void>;
declare const plainNoop: (n: number) => number;
export default plainNoop;
