import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { SystemName } from "../figure.ts";
import type { System, SystemEntry } from "./system.ts";

/** A peer that is written in Python, and the interpreter that can import it. */
export interface PythonPeer extends SystemEntry {
  readonly name: "Dask" | "Ray";
  readonly version: string;
  open(): Promise<PythonSystem>;
}

export interface PythonSystem extends System {
  /** From the start of its cluster to the first result. */
  readonly startMs: number;
}

const PEERS = [
  { name: "Dask", module: "distributed", script: "dask_bench.py" },
  { name: "Ray", module: "ray", script: "ray_bench.py" },
] as const;

/** A virtual environment puts its own first in the PATH; Debian's packages are the system's interpreter's. */
const INTERPRETERS = ["python3", "/usr/bin/python3"];

/** Those that are wanted, and whose package an interpreter finds. */
export async function findPythonPeers(wants: (name: string) => boolean): Promise<PythonPeer[]> {
  const wanted = PEERS.filter(({ name }) => wants(name));
  const found = await Promise.all(wanted.map(async (peer) => ({ peer, at: await findModule(peer.module) })));
  return found.flatMap(({ peer, at }) =>
    at === undefined
      ? []
      : [{ name: peer.name, version: at.version, open: () => open(peer.name, at.interpreter, peer.script) }],
  );
}

async function findModule(module: string): Promise<{ interpreter: string; version: string } | undefined> {
  for (const interpreter of INTERPRETERS) {
    try {
      const program = `import ${module}; print(${module}.__version__)`;
      const { stdout } = await promisify(execFile)(interpreter, ["-c", program]);
      return { interpreter, version: stdout.trim() };
    } catch {
      // No such interpreter, or no such module: the next may have it.
    }
  }
  return undefined;
}

async function open(name: SystemName, interpreter: string, script: string): Promise<PythonSystem> {
  const child = spawn(interpreter, [fileURLToPath(new URL(`../peers/${script}`, import.meta.url))]);
  const log: string[] = [];
  child.stderr.on("data", (text) => log.push(String(text)));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async <R>(): Promise<R> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`Expected an answer of ${name}; it ended. It said:\n${log.join("")}`);
    const answer = JSON.parse(value) as R & { error?: string };
    if (answer.error !== undefined) throw new Error(`${name}: ${answer.error}`);
    return answer;
  };
  const ask = async <R = number>(question: object): Promise<R> => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    return (await next<{ value: R }>()).value;
  };
  const { startMs } = await next<{ startMs: number }>();
  return {
    name,
    startMs,
    noops: (count) => ask({ do: "noops", count }),
    latencies: (count) => ask<number[]>({ do: "latencies", count }),
    chain: (length) => ask({ do: "chain", length }),
    spins: (count) => ask({ do: "spins", count }),
    peak: (iterations) => ask({ do: "peak", iterations }),
    graph: (graph, iterations) => ask({ do: "graph", graph, iterations }),
    [Symbol.asyncDispose]: () => end(child),
  };
}

/** The end of its input is the end of the peer, which then stops its own workers. */
async function end(child: ChildProcessWithoutNullStreams): Promise<void> {
  child.stdin.end();
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
