import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parseOptions } from "./options.ts";

describe("parseOptions", () => {
  it("runs locally into out/flights by default", () => {
    expect(parseOptions([])).toMatchObject({
      redis: false,
      compare: false,
      output: resolve("out/flights"),
      parts: undefined,
      file: expect.stringMatching(/flights-3m\.parquet$/),
    });
  });

  it("takes all flags", () => {
    expect(
      parseOptions([
        "--redis",
        "--compare",
        "--output=a",
        "--file",
        "b.parquet",
        "--parts",
        "3",
        "--copies",
        "2",
      ]),
    ).toMatchObject({
      redis: true,
      compare: true,
      output: resolve("a"),
      file: resolve("b.parquet"),
      parts: 3,
      copies: 2,
    });
  });

  it.each([
    { args: ["--reddis"], message: "Unknown option '--reddis'" },
    { args: ["fast"], message: "Unexpected argument 'fast'" },
    { args: ["--output"], message: "argument missing" },
    { args: ["--redis=yes"], message: "does not take an argument" },
    { args: ["--parts", "0"], message: "--parts takes a whole number from 1, not '0'" },
    { args: ["--parts", "many"], message: "--parts takes a whole number from 1, not 'many'" },
  ])("refuses $args: $message", ({ args, message }) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});
