import { InvalidOptionError, UnknownOptionError } from "./errors.ts";

/** What an option must be: the words for the error, and the test. */
export interface OptionRule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

/** One rule per option of `Options`; the type keeps the table complete. */
export type OptionRules<Options> = { readonly [Name in keyof Required<Options>]: OptionRule };

/**
 * Checks an options object that a user gave. An option that is `undefined` counts as not given.
 *
 * @param where how the error names the place, such as `task()`
 * @throws UnknownOptionError for a name without a rule, InvalidOptionError for a value that its rule refuses
 */
export function checkOptions<Options extends object>(
  where: string,
  options: Options,
  rules: OptionRules<Options>,
): void {
  if (typeof options !== "object" || options === null) {
    throw new InvalidOptionError(`the options of ${where}`, "an object", options);
  }
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, name) ? (rules as Record<string, OptionRule>)[name] : undefined;
    if (rule === undefined) throw new UnknownOptionError(where, name, Object.keys(rules));
    if (value !== undefined && !rule.accepts(value)) {
      throw new InvalidOptionError(`${name} of ${where}`, rule.expected, value);
    }
  }
}

// ---- The rules that most options use -----------------------------------------------------------------------------

export const text: OptionRule = {
  expected: "a non-empty string",
  accepts: (value) => typeof value === "string" && value.trim() !== "",
};

export const anyText: OptionRule = { expected: "a string", accepts: (value) => typeof value === "string" };

export const flag: OptionRule = {
  expected: "true or false",
  accepts: (value) => typeof value === "boolean",
};

export const texts: OptionRule = {
  expected: "an array of non-empty strings",
  accepts: (value) => Array.isArray(value) && value.every(text.accepts),
};

export const func: OptionRule = {
  expected: "a function",
  accepts: (value) => typeof value === "function",
};

export function wholeNumber(least: number): OptionRule {
  return {
    expected: `a whole number of ${least} or more`,
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= least,
  };
}

export function finiteNumber(least: number): OptionRule {
  return {
    expected: `a finite number of ${least} or more`,
    accepts: (value) => typeof value === "number" && Number.isFinite(value) && value >= least,
  };
}

export function oneOf(...values: readonly string[]): OptionRule {
  return {
    expected: `one of ${values.map((value) => `"${value}"`).join(", ")}`,
    accepts: (value) => typeof value === "string" && values.includes(value),
  };
}

export function either(...rules: readonly OptionRule[]): OptionRule {
  return {
    expected: rules.map((rule) => rule.expected).join(", or "),
    accepts: (value) => rules.some((rule) => rule.accepts(value)),
  };
}

/** An object with these methods: for values whose class may come from another copy of a module. */
export function having(expected: string, ...methods: readonly string[]): OptionRule {
  return {
    expected,
    accepts: (value) =>
      (typeof value === "object" || typeof value === "function") &&
      value !== null &&
      methods.every((method) => typeof (value as Record<string, unknown>)[method] === "function"),
  };
}
