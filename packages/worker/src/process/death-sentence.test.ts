import { describe, expect, test } from "vitest";
import { deathSentence, processDeathSentence } from "./death-sentence.ts";

describe("a thread died", () => {
  test.each<[unknown, string]>([
    [
      Object.assign(new Error("Worker terminated"), { code: "ERR_WORKER_OUT_OF_MEMORY" }),
      "It ran out of memory.",
    ],
    [new Error("worker exited with code: 3"), "It called process.exit(3), or was ended with that code."],
    [new RangeError("odd"), "It ended with RangeError: odd."],
    ["a text", "It ended with a text."],
    [undefined, "It ended with undefined."],
    [null, "It ended with null."],
  ])("of %s", (error, sentence) => {
    expect(deathSentence(error)).toBe(sentence);
  });
});

describe("a process died", () => {
  test.each<[number | null, NodeJS.Signals | null, string]>([
    [null, "SIGKILL", "It was killed by SIGKILL: by somebody, or by the system when memory ran out."],
    [null, "SIGSEGV", "It was killed by SIGSEGV (signal 11)."],
    [
      null,
      "SIGABRT",
      "It was ended by SIGABRT (signal 6): it aborted, as after a native crash or when memory ran out.",
    ],
    [134, null, "It aborted (exit code 134): a native crash, or memory ran out."],
    [0, null, "It ended by itself."],
    [7, null, "It ended with exit code 7."],
  ])("with code %s and signal %s", (code, signal, sentence) => {
    expect(processDeathSentence(code, signal)).toBe(sentence);
  });
});
