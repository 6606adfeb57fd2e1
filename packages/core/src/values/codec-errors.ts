import { registeredErrorName, registeredErrorPrototype } from "./registered-types.ts";

/** An error as it travels: what a reader of it can see, and no class. */
export interface ErrorRecord {
  /** Name of the class, or the one under which it is registered. */
  readonly className: string;
  /** The built-in class that it derives from. */
  readonly base: string;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Own enumerable fields, such as `code`, and `cause` and `errors` where the error has them. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const BASES: Readonly<Record<string, new (message?: string) => Error>> = {
  Error,
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
  AggregateError: class extends AggregateError {
    constructor(message?: string) {
      super([], message);
    }
  },
};

/** Not enumerable on an error, and part of what it says. */
const HIDDEN_FIELDS = ["cause", "errors"];

/**
 * @param encodePart gives a value in the form in which it can be sent; it never throws
 */
export function errorRecord(error: Error, encodePart: (part: unknown) => unknown): ErrorRecord {
  const fields: Record<string, unknown> = {};
  for (const key of [...HIDDEN_FIELDS, ...Object.keys(error)]) {
    if (SHOWN.has(key) || !Object.hasOwn(error, key)) continue;
    fields[key === "__proto__" ? "_proto_" : key] = encodePart(read(error, key));
  }
  return {
    className: registeredErrorName(error) ?? classNameOf(error),
    base: baseOf(error),
    name: encodePart(String(read(error, "name"))) as string,
    message: encodePart(String(read(error, "message"))) as string,
    stack: encodePart(read(error, "stack")) as string | undefined,
    fields,
  };
}

const SHOWN: ReadonlySet<string> = new Set(["name", "message", "stack"]);

/** A getter of a user's error may throw; the error arrives all the same. */
function read(error: Error, key: string): unknown {
  try {
    return (error as unknown as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function classNameOf(error: Error): string {
  const name: unknown = error.constructor?.name;
  return typeof name === "string" && name !== "" ? name : "Error";
}

function baseOf(error: Error): string {
  if (error instanceof DOMException) return "DOMException";
  for (const base of Object.keys(BASES).reverse()) {
    if (error instanceof (globalThis as unknown as Record<string, new () => Error>)[base]!) return base;
  }
  return "Error";
}

/**
 * The error again: an instance of its registered class, or of the nearest built-in class, under its own class's name.
 * No constructor of a user's class is called.
 */
export function errorFrom(record: ErrorRecord): Error {
  const { className, name, message, stack, fields } = record;
  // Of the bases that were written, and no other: it is looked up among the globals.
  const base = record.base === "DOMException" || Object.hasOwn(BASES, record.base) ? record.base : "Error";
  const error = base === "DOMException" ? new DOMException(message, name) : emptyError(className, base);
  if (base !== "DOMException") define(error, "message", message);
  define(error, "stack", stack);
  for (const [key, value] of Object.entries(fields)) {
    if (HIDDEN_FIELDS.includes(key)) define(error, key, value);
    else Object.defineProperty(error, key, { value, writable: true, enumerable: true, configurable: true });
  }
  if (error.name !== name) define(error, "name", name);
  return error;
}

function emptyError(className: string, base: string): Error {
  const registered = registeredErrorPrototype(className);
  const Base = BASES[base] as new () => Error;
  const error = new Base();
  if (registered !== undefined) Object.setPrototypeOf(error, registered);
  else if (Base.name !== className || base === "AggregateError") {
    Object.setPrototypeOf(error, namedPrototype(className, base));
  }
  return error;
}

const namedPrototypes = new Map<string, object>();

/** As many class names as errors may bring before the names of further ones are dropped. */
const MAX_NAMED_PROTOTYPES = 1_000;

/** A prototype whose constructor has the class's name, so that `error.constructor.name` and the console show it. */
function namedPrototype(className: string, base: string): object {
  const Builtin = (globalThis as unknown as Record<string, new () => Error>)[base] ?? Error;
  if (className === Builtin.name) return Builtin.prototype;
  const key = `${base} ${className}`;
  let prototype = namedPrototypes.get(key);
  if (prototype === undefined) {
    if (namedPrototypes.size >= MAX_NAMED_PROTOTYPES) return Builtin.prototype;
    const Named = class extends Builtin {};
    Object.defineProperty(Named, "name", { value: className });
    prototype = Named.prototype;
    namedPrototypes.set(key, prototype);
  }
  return prototype;
}

function define(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
}
