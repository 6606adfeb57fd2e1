#!/usr/bin/env node
import { readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { DEFAULT_QUEUE } from "@millrace/broker";
import type { BullMqBroker } from "@millrace/broker/bullmq";
import { InvalidOptionError, MillraceError, readSettings } from "@millrace/core";
import { asSecret, findProjectRoot, toModulePath } from "@millrace/core/internal";
import { projectName } from "@millrace/runner-distributed";
import { DEFAULT_CALLS_PER_THREAD, startWorkerProcess } from "@millrace/worker";
import { Command, InvalidArgumentError } from "commander";
import { statusReport } from "./status-report.ts";

interface WorkerFlags {
  readonly redis?: string;
  readonly threads: number;
  readonly callsPerThread: number;
  readonly queue: string;
  readonly root: string;
  readonly namespace?: string;
  readonly graceSeconds: number;
  readonly secretFile?: string;
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
  .option(
    "--calls-per-thread <n>",
    "calls that a thread may have under way at once, when they await something",
    wholeNumber,
    DEFAULT_CALLS_PER_THREAD,
  )
  .option("--queue <name>", "the queue to serve", DEFAULT_QUEUE)
  .option("--namespace <name>", "the project on this Redis (default: the name in the root's package.json)")
  .option(
    "--root <dir>",
    "the project root, where task modules are found",
    directory,
    findProjectRoot(process.cwd()),
  )
  .option(
    "--secret-file <file>",
    "the file with the secret that messages are signed with (default: MILLRACE_SECRET; unset: they are not signed)",
  )
  .option("--grace-seconds <n>", "how long calls may go on after SIGTERM", wholeNumber, 30)
  .action(runWorker);

const limit = program
  .command("limit")
  .description(
    "Limits of a Redis namespace: how many runs with a tag, or holders of a name, there may be at once.",
  );

withNamespace(limit.command("set"))
  .description("Set a limit. Raising one takes effect at once; lowering one takes nothing from anybody.")
  .argument("<name>", "a tag of tasks, or a name used by concurrency() or rateLimit()")
  .argument("<slots>", "how many at once", wholeNumberOrZero)
  .option("--slot-decay-per-second <n>", "for rateLimit(): slots that come back per second", positiveNumber)
  .action((name: string, slots: number, flags: NamespaceFlags & { slotDecayPerSecond?: number }) => {
    const { slotDecayPerSecond } = flags;
    const decay = slotDecayPerSecond === undefined ? {} : { slotDecayPerSecond };
    return withBroker(flags, (broker) => broker.limits().set(name, { slots, ...decay }));
  });

withNamespace(limit.command("remove"))
  .description("Remove a limit: from then on there is none.")
  .argument("<name>", "the limit")
  .action((name: string, flags: NamespaceFlags) =>
    withBroker(flags, async (broker) => {
      if (await broker.limits().remove(name)) return;
      throw new InvalidOptionError("the limit to remove", "one that `millrace limit list` shows", name);
    }),
  );

withNamespace(limit.command("list"))
  .description("Show the limits: their slots, how many are held, and how many wait for one.")
  .action((flags: NamespaceFlags) =>
    withBroker(flags, async (broker) => {
      for (const { name, slots, held, waiting, slotDecayPerSecond } of await broker.limits().inspect()) {
        const decay = slotDecayPerSecond === undefined ? "" : `, ${slotDecayPerSecond} come back per second`;
        console.log(`${name}: ${held} of ${slots} slots held, ${waiting} waiting${decay}`);
      }
    }),
  );

withNamespace(program.command("status"))
  .description("Show who uses a namespace: its queues, workers and flow runs, and what is wrong with them.")
  .option("--json", "as one JSON object, for programs")
  .action((flags: NamespaceFlags & { json?: boolean }) =>
    withBroker(flags, async (broker) => {
      const status = await broker.status();
      console.log(flags.json === true ? JSON.stringify(status, null, 2) : statusReport(status, Date.now()));
    }),
  );

interface NamespaceFlags {
  readonly redis?: string;
  readonly root: string;
  readonly namespace?: string;
}

function withNamespace(command: Command): Command {
  return command
    .option("--redis <url>", "redis://, rediss:// or unix:// URL of the queue (default: MILLRACE_REDIS_URL)")
    .option("--namespace <name>", "the project on this Redis (default: the name in the root's package.json)")
    .option("--root <dir>", "the project root", directory, findProjectRoot(process.cwd()));
}

async function withBroker(
  flags: NamespaceFlags,
  body: (broker: BullMqBroker) => Promise<unknown>,
): Promise<void> {
  const { BullMqBroker } = await import("@millrace/broker/bullmq");
  const broker = await BullMqBroker.connect({
    redisUrl: redisUrlOf(flags),
    namespace: flags.namespace ?? projectName(flags.root),
    secret: readSettings().secret,
  });
  try {
    await body(broker);
  } finally {
    await broker.close();
  }
}

/** @throws InvalidOptionError */
function redisUrlOf({ redis }: { readonly redis?: string }): string {
  const redisUrl = redis ?? readSettings().redisUrl;
  if (redisUrl !== undefined) return redisUrl;
  throw new InvalidOptionError("--redis", "the URL of a Redis, here or in MILLRACE_REDIS_URL", undefined);
}

/** From a file or the environment: other users see the arguments of a process. @throws InvalidOptionError */
function secretOf({ secretFile }: WorkerFlags): string | undefined {
  if (secretFile === undefined) return readSettings().secret;
  let text: string;
  try {
    text = readFileSync(secretFile, "utf8").trim();
  } catch {
    throw new InvalidOptionError("--secret-file", "a file that can be read", secretFile);
  }
  return asSecret("the secret of --secret-file", text);
}

async function runWorker(modules: string[], flags: WorkerFlags): Promise<void> {
  const redisUrl = redisUrlOf(flags);
  const { threads, callsPerThread, queue, root, graceSeconds, namespace = projectName(root) } = flags;
  const worker = await startWorkerProcess({
    redisUrl,
    namespace,
    queue,
    threads,
    callsPerThread,
    root,
    graceSeconds,
    secret: secretOf(flags),
    modules: modules.map((module) => toModulePath(root, pathToFileURL(resolve(module)).href)),
  });
  const threadCount = threads === 1 ? "1 thread" : `${threads} threads`;
  console.error(
    `Millrace worker ${worker.workerId}: ${threadCount}, queue "${queue}", namespace "${namespace}".`,
  );
  await worker.stopped;
}

function version(): string {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

function wholeNumber(text: string): number {
  return wholeNumberFrom(1, text);
}

function wholeNumberOrZero(text: string): number {
  return wholeNumberFrom(0, text);
}

function wholeNumberFrom(least: number, text: string): number {
  const number = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(number) || number < least)
    throw new InvalidArgumentError(`Expected a whole number of ${least} or more.`);
  return number;
}

function positiveNumber(text: string): number {
  const number = Number(text);
  if (!(number > 0 && Number.isFinite(number))) throw new InvalidArgumentError("Expected a number above 0.");
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
