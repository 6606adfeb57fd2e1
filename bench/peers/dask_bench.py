"""Dask.distributed as a peer: a LocalCluster with a process for each core, each with one thread. See peer.py."""

import itertools
import time

from distributed import Client, LocalCluster, wait

import peer


class Dask:
    def __init__(self):
        self.cluster = LocalCluster(n_workers=peer.CORES, threads_per_worker=1, dashboard_address=None)
        self.client = Client(self.cluster)
        self.graphs = itertools.count()
        # The clock of a start stops at the first result.
        self.client.submit(peer.noop, 1, pure=False).result()

    def noops(self, count):
        started = time.perf_counter()
        self.client.gather(self.client.map(peer.noop, range(count), pure=False))
        return peer.elapsed_ms(started)

    def latencies(self, count):
        values = []
        for n in range(count):
            started = time.perf_counter()
            self.client.submit(peer.noop, n, pure=False).result()
            values.append(peer.elapsed_ms(started))
        return values

    def chain(self, length):
        started = time.perf_counter()
        futures = [self.client.submit(peer.increment, 0, pure=False)]
        for _ in range(length - 1):
            futures.append(self.client.submit(peer.increment, futures[-1], pure=False))
        assert futures[-1].result() == length
        return peer.elapsed_ms(started)

    def spins(self, count):
        started = time.perf_counter()
        self.client.gather(self.client.map(peer.spin, [1] * count, pure=False))
        return peer.elapsed_ms(started)

    def peak(self, iterations):
        workers = list(self.client.scheduler_info()["workers"])
        futures = [self.client.submit(peer.rate, iterations, workers=[worker], pure=False) for worker in workers]
        return sum(self.client.gather(futures))

    def graph(self, graph, iterations):
        run = next(self.graphs)

        def submit(step, at, needs, inputs):
            # One word before the hyphens: Dask learns a duration for each such prefix, here one for all tasks.
            key = f"tb-{run}-{step}-{at}"
            return self.client.submit(peer.point, step, at, iterations, needs, *inputs, key=key)

        started = time.perf_counter()
        steps = peer.submit_graph(graph, submit)
        wait([future for step in steps for future in step.values()])
        elapsed = peer.elapsed_ms(started)
        for at, future in steps[-1].items():
            peer.check_output(len(steps) - 1, at, future.result())
        return elapsed

    def close(self):
        self.client.close()
        self.cluster.close()


# Its workers import this file.
if __name__ == "__main__":
    peer.serve(Dask)
