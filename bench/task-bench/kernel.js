/**
 * The body of a Task Bench task: checks its inputs, computes, and makes its output. JavaScript without imports, so that
 * every thread loads it quickly, whoever runs it.
 */
const OUTPUT_BYTES = 16;
const LONGEST_LOOP = 8;
const values = new Float64Array(64);

/**
 * Task Bench's compute-bound kernel: x ← x·x + x over 64 doubles, so many times. Counted in iterations, not by the
 * clock, which would count time as work that another thread had. The product keeps the compiler from dropping the loop.
 */
export function compute(iterations) {
  values.fill(1e-3);
  iterate(iterations);
  return values.reduce((product, value) => product * value, 1);
}

/**
 * By halves, so that no loop is long: V8 replaces a loop while it runs by code that is slower by half in some
 * threads and not in others. What is called often is compiled alike everywhere.
 */
function iterate(count) {
  if (count > LONGEST_LOOP) {
    const half = count >> 1;
    iterate(half);
    iterate(count - half);
  } else {
    for (let n = 0; n < count; n++) pass(values);
  }
}

function pass(array) {
  for (let i = 0; i < 64; i++) array[i] = array[i] * array[i] + array[i];
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
