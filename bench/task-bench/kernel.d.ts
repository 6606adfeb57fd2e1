export declare function compute(iterations: number): number;
export declare function rate(iterations: number): number;
export declare function point(
  step: number,
  at: number,
  iterations: number,
  needs: readonly number[],
  inputs: readonly Uint8Array[],
): Uint8Array;
export declare function checkOutput(step: number, at: number, output: Uint8Array): void;
