"""What the Python peers share: the functions that their workers run, and the conversation with the benchmark.

A peer starts its cluster, says so in a line of JSON, and then answers each line of JSON on its standard input
({"do": "noops", "count": 1000}) with one on its standard output ({"value": 1234.5}). Times are in milliseconds.
It runs by hand as well:

    echo '{"do": "noops", "count": 1000}' | python3 bench/peers/dask_bench.py
"""

import json
import os
import struct
import sys
import time

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def noop(value):
    return value


def increment(value):
    return value + 1


def spin(milliseconds):
    end = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < end:
        pass


def compute(iterations):
    """Task Bench's compute-bound kernel, as bench/task-bench/kernel.js has it."""
    values = [1e-3] * 64
    for _ in range(iterations):
        values = [x * x + x for x in values]
    product = 1.0
    for value in values:
        product *= value
    return product


def rate(iterations):
    """Iterations per millisecond of this process."""
    started = time.perf_counter()
    compute(iterations)
    return iterations / elapsed_ms(started)


def point(step, at, iterations, needs, *inputs):
    """One task of a graph: checks its inputs, computes, and makes its output, the pair of step and place."""
    if len(inputs) != len(needs):
        raise ValueError(f"Task {step}:{at} expected {len(needs)} inputs, got {len(inputs)}.")
    for need, value in zip(needs, inputs):
        check_output(step - 1, need, value)
    compute(iterations)
    return struct.pack("<qq", step, at)


def check_output(step, at, output):
    if output != struct.pack("<qq", step, at):
        raise ValueError(f"Expected the output of task {step}:{at}, got {output.hex()}.")


def submit_graph(graph, submit):
    """Submits a graph step by step; gives the handles of each step by their place."""
    steps = []
    for step, points in enumerate(graph):
        before = steps[-1] if steps else {}
        steps.append({p["at"]: submit(step, p["at"], p["inputs"], [before[need] for need in p["inputs"]]) for p in points})
    return steps


def elapsed_ms(started):
    return (time.perf_counter() - started) * 1000


def serve(start):
    """Starts a peer and answers until the input ends. `start` gives an object with a method for each question."""
    # Libraries print as they like: what they print goes to standard error, the conversation has the output alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    started = time.perf_counter()
    peer = start()
    say({"startMs": elapsed_ms(started)})
    try:
        for line in sys.stdin:
            question = json.loads(line)
            try:
                say({"value": getattr(peer, question.pop("do"))(**question)})
            except Exception as error:  # The benchmark reports it; the peer can go on.
                say({"error": f"{type(error).__name__}: {error}"})
    finally:
        peer.close()
