"""Ray as a peer: a local cluster with a worker process for each core. See peer.py."""

import time

import ray

import peer

noop, increment, spin, rate, point = (
    ray.remote(function) for function in (peer.noop, peer.increment, peer.spin, peer.rate, peer.point)
)


class Ray:
    def __init__(self):
        ray.init(num_cpus=peer.CORES, include_dashboard=False, log_to_driver=False)
        # The clock of a start stops at the first result.
        ray.get(noop.remote(1))

    def noops(self, count):
        started = time.perf_counter()
        ray.get([noop.remote(n) for n in range(count)])
        return peer.elapsed_ms(started)

    def latencies(self, count):
        values = []
        for n in range(count):
            started = time.perf_counter()
            ray.get(noop.remote(n))
            values.append(peer.elapsed_ms(started))
        return values

    def chain(self, length):
        started = time.perf_counter()
        references = [increment.remote(0)]
        for _ in range(length - 1):
            references.append(increment.remote(references[-1]))
        assert ray.get(references[-1]) == length
        return peer.elapsed_ms(started)

    def spins(self, count):
        started = time.perf_counter()
        ray.get([spin.remote(1) for _ in range(count)])
        return peer.elapsed_ms(started)

    def peak(self, iterations):
        return sum(ray.get([rate.remote(iterations) for _ in range(peer.CORES)]))

    def graph(self, graph, iterations):
        started = time.perf_counter()
        # A reference inside a list would not be awaited: inputs are arguments of their own.
        steps = peer.submit_graph(
            graph, lambda step, at, needs, inputs: point.remote(step, at, iterations, needs, *inputs)
        )
        # All references are kept to the end, so that no output is dropped before.
        references = [reference for step in steps for reference in step.values()]
        ray.wait(references, num_returns=len(references), fetch_local=False)
        elapsed = peer.elapsed_ms(started)
        for at, reference in steps[-1].items():
            peer.check_output(len(steps) - 1, at, ray.get(reference))
        return elapsed

    def close(self):
        ray.shutdown()


if __name__ == "__main__":
    peer.serve(Ray)
