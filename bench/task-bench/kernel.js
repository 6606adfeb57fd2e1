/**
 * The body of a Task Bench task: checks its inputs, computes, and makes its output. JavaScript without imports, so that
 * every thread loads it quickly, whoever runs it.
 */
const OUTPUT_BYTES = 16;
const values = new Float64Array(64);

/**
 * Task Bench's compute-bound kernel: x ← x·x + x over 64 doubles, so many times. Counted in iterations, not by the
 * clock, which would count time as work that another thread had. The product keeps the compiler from dropping the loop.
 */
export function compute(iterations) {
  values.fill(1e-3);
  for (let n = 0; n < iterations; n++) {
    for (let i = 0; i < 64; i++) values[i] = values[i] * values[i] + values[i];
  }
  return values.reduce((product, value) => product * value, 1);
}

/** Iterations per millisecond of this thread. */
export function rate(iterations) {
  const started = performance.now();
  compute(iterations);
  return iterations / (performance.now() - started);
}

/** One task of a graph, at a step and a place in it; `inputs` are the outputs of the points `needs` of the step before. */
export function point(step, at, iterations, needs, inputs) {
  if (inputs.length !== needs.length) {
    throw new Error(`Task ${step}:${at} expected ${needs.length} inputs, got ${inputs.length}.`);
  }
  for (let n = 0; n < needs.length; n++) checkOutput(step - 1, needs[n], inputs[n]);
  compute(iterations);
  return makeOutput(step, at);
}

/** The pair of step and place, as 64-bit integers. */
function makeOutput(step, at) {
  const output = new Uint8Array(OUTPUT_BYTES);
  const view = new DataView(output.buffer);
  view.setBigInt64(0, BigInt(step), true);
  view.setBigInt64(8, BigInt(at), true);
  return output;
}

export function checkOutput(step, at, output) {
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  const isRight =
    output.byteLength === OUTPUT_BYTES &&
    view.getBigInt64(0, true) === BigInt(step) &&
    view.getBigInt64(8, true) === BigInt(at);
  if (!isRight)
    throw new Error(`Expected the output of task ${step}:${at}, got ${Buffer.from(output).toString("hex")}.`);
}
