import * as millraceErrors from "../errors/errors.ts";
import { DecodeError, InvalidOptionError, MillraceError } from "../errors/errors.ts";

type Class<T> = abstract new (...args: never[]) => T;

/** How instances of a class travel. */
export interface TypeCodec<T, Data> {
  /** What the class is called on the wire: the same in flows and workers. Default: the name of the class. */
  readonly name?: string;
  /** Gives what is sent: any value that can be sent, such as a plain object with the fields. */
  readonly encode: (instance: T) => Data;
  /** Makes the instance of what came. */
  readonly decode: (data: Data) => T;
}

const codecs = new Map<object, { readonly name: string; readonly encode: (instance: unknown) => unknown }>();
const decoders = new Map<string, (data: unknown) => unknown>();
const errorPrototypes = new Map<string, object>();

/**
 * Lets instances of a class be arguments and results of tasks. Call it in the module that defines the class, so that
 * flows and workers both have it. Registering a name again replaces the first.
 *
 * @throws InvalidOptionError
 */
export function registerType<T, Data>(Class: Class<T>, codec: TypeCodec<T, Data>): void {
  requireClass("registerType()", Class);
  for (const part of ["encode", "decode"] as const) {
    if (typeof codec?.[part] !== "function") {
      throw new InvalidOptionError(`${part} of registerType(${Class.name})`, "a function", codec?.[part]);
    }
  }
  const name = nameFor("registerType()", Class, codec.name);
  codecs.set(Class.prototype, { name, encode: codec.encode as (instance: unknown) => unknown });
  decoders.set(name, codec.decode as (data: unknown) => unknown);
}

/**
 * Lets errors of a class arrive as instances of it, with message, stack, cause and own fields; its constructor is not
 * called. Without it they arrive as the nearest built-in class, with the same name and fields.
 *
 * @param options name: what the class is called on the wire. Default: the name of the class
 * @throws InvalidOptionError
 */
export function registerError(Class: Class<Error>, { name }: { readonly name?: string } = {}): void {
  requireClass("registerError()", Class);
  if (!(Class.prototype instanceof Error)) {
    throw new InvalidOptionError("the class of registerError()", "a class derived from Error", Class);
  }
  errorPrototypes.set(nameFor("registerError()", Class, name), Class.prototype);
}

function requireClass(where: string, Class: unknown): void {
  if (typeof Class !== "function" || typeof Class.prototype !== "object") {
    throw new InvalidOptionError(`the class of ${where}`, "a class", Class);
  }
}

function nameFor(where: string, Class: { readonly name: string }, name: unknown): string {
  const chosen = name ?? Class.name;
  if (typeof chosen === "string" && chosen !== "") return chosen;
  throw new InvalidOptionError(`name of ${where}`, "a non-empty string, since the class has no name", chosen);
}

// ---- For the codec -----------------------------------------------------------------------------------------------

/** What a registered instance travels as; undefined when its class, itself, is not registered. */
export function encodeRegistered(
  instance: object,
): { readonly name: string; readonly data: unknown } | undefined {
  const codec = codecs.get(Object.getPrototypeOf(instance));
  return codec === undefined ? undefined : { name: codec.name, data: codec.encode(instance) };
}

/** @throws DecodeError when no class of that name is registered */
export function decodeRegistered(name: string, data: unknown): unknown {
  const decoder = decoders.get(name);
  if (decoder !== undefined) return decoder(data);
  throw new DecodeError(
    "an instance of a registered class",
    `one of "${name}", which is not registered here; call registerType in a module that this process loads`,
  );
}

/** The prototype that errors of a class get; undefined when the class is not registered here. */
export function registeredErrorPrototype(className: string): object | undefined {
  return errorPrototypes.get(className);
}

/** The name under which an error's class is registered. */
export function registeredErrorName(error: Error): string | undefined {
  const prototype = Object.getPrototypeOf(error);
  for (const [name, registered] of errorPrototypes) if (registered === prototype) return name;
  return undefined;
}

for (const value of Object.values(millraceErrors)) {
  if (typeof value === "function" && value.prototype instanceof MillraceError) {
    registerError(value as unknown as Class<Error>);
  }
}
