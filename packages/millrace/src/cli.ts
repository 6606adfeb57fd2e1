#!/usr/bin/env node
import { readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { DEFAULT_QUEUE } from "@millrace/broker";
import { InvalidOptionError, MillraceError, readSettings } from "@millrace/core";
import { findProjectRoot, toModulePath } from "@millrace/core/internal";
import { projectName } from "@millrace/runner-distributed";
import { startWorkerProcess } from "@millrace/worker";
import { Command, InvalidArgumentError } from "commander";

interface WorkerFlags {
  readonly redis?: string;
  readonly threads: number;
  readonly queue: string;
  readonly root: string;
  readonly namespace?: string;
  readonly graceSeconds: number;
}

const program = new Command("millrace")
  .description("Millrace: flows and tasks on one core, every core, or a cluster of workers.")
  .version(version());

program
  .command("worker")
  .description("Serve a queue: take calls from Redis and run them in threads, until SIGTERM or SIGINT.")
  .argument("[modules...]", "modules to load before the first call, instead of with it")
  .option("--redis <url>", "redis://, rediss:// or unix:// URL of the queue (default: MILLRACE_REDIS_URL)")
  .option("--threads <n>", "calls that run at the same time", wholeNumber, availableParallelism())
  .option("--queue <name>", "the queue to serve", DEFAULT_QUEUE)
  .option("--namespace <name>", "the project on this Redis (default: the name in the root's package.json)")
  .option(
    "--root <dir>",
    "the project root, where task modules are found",
    directory,
    findProjectRoot(process.cwd()),
  )
  .option("--grace-seconds <n>", "how long calls may go on after SIGTERM", wholeNumber, 30)
  .action(runWorker);

async function runWorker(modules: string[], flags: WorkerFlags): Promise<void> {
  const redisUrl = flags.redis ?? readSettings().redisUrl;
  if (redisUrl === undefined) {
    throw new InvalidOptionError("--redis", "the URL of a Redis, here or in MILLRACE_REDIS_URL", undefined);
  }
  const { threads, queue, root, graceSeconds, namespace = projectName(root) } = flags;
  const worker = await startWorkerProcess({
    redisUrl,
    namespace,
    queue,
    threads,
    root,
    graceSeconds,
    modules: modules.map((module) => toModulePath(root, pathToFileURL(resolve(module)).href)),
  });
  console.error(
    `Millrace worker ${worker.workerId}: ${threads} threads, queue "${queue}", namespace "${namespace}".`,
  );
  await worker.stopped;
}

function version(): string {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError("Expected a whole number of 1 or more.");
  return number;
}

function directory(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InvalidArgumentError("Expected a directory that exists.");
  }
  return resolve(path);
}

program.parseAsync().catch((error: unknown) => {
  // A user of the command reads the sentence; a stack is for errors that Millrace does not know.
  if (error instanceof MillraceError) console.error(`${error.code}: ${error.message}`);
  else console.error(error);
  process.exitCode = 1;
});
