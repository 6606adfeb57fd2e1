import { InvalidOptionError, UnknownOptionError } from "../errors/errors.ts";

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
  options: object,
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

/**
 * Checks options that override others, where null says: as if the option had never been given.
 *
 * @returns the options that have a value, and the defaults of those that are null
 * @throws as checkOptions
 */
export function checkOverrides<Options extends object, Defaults extends object>(
  where: string,
  options: object,
  rules: OptionRules<Options>,
  defaults: Defaults,
): { readonly given: Options; readonly resets: Partial<Defaults> } {
  const resets: Record<string, unknown> = {};
  const given: Record<string, unknown> = {}; // Nulls stay as undefined, so that their names are checked.
  for (const [name, value] of Object.entries(Object(options))) {
    if (value === null) resets[name] = (defaults as Record<string, unknown>)[name];
    given[name] = value ?? undefined;
  }
  checkOptions(where, typeof options === "object" && options !== null ? given : options, rules);
  return { given: given as Options, resets: resets as Partial<Defaults> };
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

/** The longest that a timer of Node can wait, 2^31 - 1 ms, is a little more. */
const MAX_SECONDS = 2_147_483;

/** A time to wait. */
export const seconds: OptionRule = {
  expected: `a number of seconds from 0 to ${MAX_SECONDS} (24.8 days)`,
  accepts: (value) => finiteNumber(0).accepts(value) && (value as number) <= MAX_SECONDS,
};

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
