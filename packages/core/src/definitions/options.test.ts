import { describe, expect, test } from "vitest";
import { InvalidOptionError, UnknownOptionError } from "../errors/errors.ts";
import * as rules from "./options.ts";

interface Example {
  readonly size?: number;
  readonly title?: string;
}
const exampleRules: rules.OptionRules<Example> = { size: rules.wholeNumber(1), title: rules.text };
const check = (options: unknown) => rules.checkOptions("example()", options as Example, exampleRules);

test("options that fit pass, and an option that is undefined counts as not given", () => {
  expect(() => check({})).not.toThrow();
  expect(() => check({ size: 1, title: "a" })).not.toThrow();
  expect(() => check({ size: undefined })).not.toThrow();
});

test("an option without a rule is an error that names it, the place, and the options there are", () => {
  expect(() => check({ sise: 1 })).toThrow(UnknownOptionError);
  expect(() => check({ sise: 1 })).toThrow(
    "Expected the options of example() to be among size, title; got `sise`.",
  );
});

test("the names of Object's own members are no options", () => {
  expect(() => check({ constructor: 1 })).toThrow(UnknownOptionError);
  expect(() => check({ toString: 1 })).toThrow(UnknownOptionError);
});

test("an option that does not fit is an error that says what was expected, and what came", () => {
  expect(() => check({ size: 0 })).toThrow(InvalidOptionError);
  expect(() => check({ size: 0 })).toThrow(
    "Expected `size of example()` to be a whole number of 1 or more, got 0 (number).",
  );
});

test.each([undefined, null, "size", 5])(
  "options that are %o instead of an object are an error",
  (options) => {
    expect(() => check(options)).toThrow(InvalidOptionError);
  },
);

describe("rules", () => {
  const anything = [
    undefined,
    null,
    true,
    0,
    1,
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    "",
    " ",
    "a",
    [],
  ];
  test.each([
    ["text", rules.text, ["a"]],
    ["anyText", rules.anyText, ["", " ", "a"]],
    ["flag", rules.flag, [true]],
    ["texts", rules.texts, [[]]],
    ["func", rules.func, []],
    ["wholeNumber(0)", rules.wholeNumber(0), [0, 1]],
    ["finiteNumber(0)", rules.finiteNumber(0), [0, 1, 1.5]],
    ["oneOf", rules.oneOf("a", "b"), ["a"]],
    ["either", rules.either(rules.flag, rules.text), [true, "a"]],
  ])("%s accepts what it says", (_, rule, accepted) => {
    expect(anything.filter(rule.accepts)).toEqual(accepted);
  });

  test("texts are an array of texts", () => {
    expect(rules.texts.accepts(["a", "b"])).toBe(true);
    expect(rules.texts.accepts(["a", ""])).toBe(false);
    expect(rules.texts.accepts("a")).toBe(false);
  });

  test("having accepts any object or function with the methods", () => {
    const rule = rules.having("a door", "open", "close");
    const door = { open() {}, close() {} };
    expect(rule.accepts(door)).toBe(true);
    expect(rule.accepts(Object.assign(() => {}, door))).toBe(true);
    expect(rule.accepts({ open() {} })).toBe(false);
    expect(rule.accepts(null)).toBe(false);
    expect(rule.accepts("door")).toBe(false);
  });

  test("a rule of several says all that it accepts", () => {
    expect(rules.either(rules.flag, rules.oneOf("auto")).expected).toBe('true or false, or one of "auto"');
    expect(rules.func.accepts(() => 1)).toBe(true);
  });
});
