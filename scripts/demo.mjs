/** `npm run demo`: runs examples/flights with the flags given, and makes sure of a Redis server where they want one. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ensureRedisProgram } from "./ensure-redis.mjs";

const flags = process.argv.slice(2);

if (flags.includes("--redis") && !process.env.MILLRACE_REDIS_URL) {
  try {
    ensureRedisProgram();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

// The built file: TypeScript would be compiled in each worker thread, which costs each some 0.4 s (tsx).
const example = fileURLToPath(new URL("../examples/flights/dist/main.js", import.meta.url));
const child = spawn(process.execPath, [example, ...flags], { stdio: "inherit" });

// The example ends on a signal, and this process with it. A terminal sends Ctrl-C to both.
process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("error", (error) => {
  console.error(`Could not start the example: ${error.message}`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  if (signal !== null) console.error(`The example was ended by ${signal}.`);
  process.exitCode = code ?? 1;
});
