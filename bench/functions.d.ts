export { point, rate } from "./task-bench/kernel.js";
export declare function noop(value: number): number;
export declare function asyncNoop(value: number): Promise<number>;
export declare function increment(value: number): number;
export declare function spin(milliseconds: number): void;
export declare function rest(milliseconds: number): Promise<void>;
export declare function echo(bytes: Uint8Array): Uint8Array;
