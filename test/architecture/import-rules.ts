/**
 * Who may import what. The rules are the house's plan (docs/journey-of-a-task.md shows it from the inside): packages
 * import in one direction, and each foreign library is spoken to by one file.
 *
 * Imports are read from a syntax tree, so that comments and strings do not count, and every form does: `import`,
 * `export … from`, `import()`, `require()`, `import x = require()`, and `import("x").Type`.
 */
import { posix } from "node:path";
import { parseAst } from "vitest/node";

export interface SourceFile {
  /** Relative to the repository, with forward slashes: `packages/core/src/flow.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Each package may import those before it. */
const PACKAGES = ["core", "broker", "worker", "runner-distributed", "millrace"];

/** The one file that may import each of these libraries. */
const LIBRARY_FILES: ReadonlyMap<string, string> = new Map([
  ["bullmq", "packages/broker/src/redis/bullmq.ts"],
  ["ioredis", "packages/broker/src/redis/redis-connection.ts"],
  ["piscina", "packages/worker/src/executors/threads.ts"],
  ["msgpackr", "packages/core/src/values/packer.ts"],
  ["pino", "packages/core/src/logger.ts"],
]);

const CORE_LIBRARIES: ReadonlySet<string> = new Set(["pino", "msgpackr", "@standard-schema/spec"]);
const SETTINGS_FILE = "packages/core/src/settings.ts";
const TEST_SUPPORT = "test/support/";

interface Import {
  readonly specifier: string;
  readonly line: number;
  /** `import type` and `import("x").Type` vanish when compiled. `import { type X }` does not: it loads the module. */
  readonly typeOnly: boolean;
}

interface ParsedFile {
  readonly path: string;
  readonly packageDirectory: string;
  readonly isTest: boolean;
  readonly imports: readonly Import[];
  /** The lines that read `process.env`. */
  readonly environmentReads: readonly number[];
}

/** Checks the files of all packages, and returns a sentence for each breach, with its place. */
export function findBreaches(files: readonly SourceFile[]): string[] {
  const parsed = files.map(parse);
  return [
    ...parsed.flatMap(checkDirection),
    ...parsed.flatMap(checkPackageBounds),
    ...parsed.flatMap(checkLibraries),
    ...parsed.flatMap(checkCore),
    ...parsed.flatMap(checkEnvironment),
    ...checkCycles(parsed),
  ];
}

// ---- The rules ---------------------------------------------------------------------------------------------------

function checkDirection(file: ParsedFile): string[] {
  const own = PACKAGES.indexOf(file.packageDirectory);
  if (own === -1) {
    const known = PACKAGES.join(", ");
    return [`${file.path}: expected one of the packages ${known}, got "${file.packageDirectory}".`];
  }
  return file.imports.flatMap(({ specifier, line }) => {
    const imported = PACKAGES.indexOf(packageDirectoryOf(specifier) ?? "");
    if (imported === -1 || imported < own) return [];
    // A test may want the package as users and worker threads have it: built, by its name.
    if (imported === own && file.isTest) return [];
    const allowed = own === 0 ? "no other package" : `only ${PACKAGES.slice(0, own).join(", ")}`;
    return [`${file.path}:${line}: ${file.packageDirectory} may import ${allowed}, got "${specifier}".`];
  });
}

function checkPackageBounds(file: ParsedFile): string[] {
  return file.imports.flatMap(({ specifier, line }) => {
    if (packageDirectoryOf(specifier) !== undefined && /\/(src|dist)(\/|$)/.test(specifier)) {
      return [
        `${file.path}:${line}: expected another package's public entry, got its internals "${specifier}".`,
      ];
    }
    const target = resolveRelative(file.path, specifier);
    if (target === undefined || target.startsWith(`packages/${file.packageDirectory}/`)) return [];
    if (file.isTest && target.startsWith(TEST_SUPPORT)) return [];
    return [`${file.path}:${line}: expected a relative import to stay in its package, got "${specifier}".`];
  });
}

function checkLibraries(file: ParsedFile): string[] {
  if (file.isTest) return [];
  return file.imports.flatMap(({ specifier, line }) => {
    const library = libraryOf(specifier);
    const allowed = LIBRARY_FILES.get(library);
    if (allowed === undefined || allowed === file.path) return [];
    return [`${file.path}:${line}: expected only ${allowed} to import ${library}, got another import of it.`];
  });
}

function checkCore(file: ParsedFile): string[] {
  if (file.isTest || file.packageDirectory !== "core") return [];
  return file.imports.flatMap(({ specifier, line }) => {
    if (specifier.startsWith(".") || specifier.startsWith("node:")) return [];
    if (CORE_LIBRARIES.has(libraryOf(specifier))) return [];
    const allowed = [...CORE_LIBRARIES].join(", ");
    return [`${file.path}:${line}: expected core to import only node:*, ${allowed}; got "${specifier}".`];
  });
}

function checkEnvironment(file: ParsedFile): string[] {
  if (file.isTest || file.path === SETTINGS_FILE) return [];
  return file.environmentReads.map(
    (line) => `${file.path}:${line}: expected only ${SETTINGS_FILE} to read process.env, got another reader.`,
  );
}

/** Imports that only name types load nothing, so they make no cycle. */
function checkCycles(files: readonly ParsedFile[]): string[] {
  const edges = new Map<string, string[]>();
  for (const file of files) {
    if (file.isTest) continue;
    const targets = file.imports
      .filter(({ typeOnly }) => !typeOnly)
      .map(({ specifier }) => resolveRelative(file.path, specifier))
      .filter((target) => target !== undefined);
    edges.set(file.path, targets);
  }

  const breaches: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const start = trail.indexOf(path);
    if (start !== -1) {
      const cycle = [...trail.slice(start), path].map((step) => posix.basename(step)).join(" -> ");
      breaches.push(`${path}: expected no cycle of imports, got ${cycle}.`);
      return;
    }
    if (done.has(path)) return;
    trail.push(path);
    for (const target of edges.get(path) ?? []) visit(target);
    trail.pop();
    done.add(path);
  };
  for (const path of edges.keys()) visit(path);
  return breaches;
}

// ---- Names and paths ---------------------------------------------------------------------------------------------

/** `core` for `@millrace/core` and for `@millrace/core/…`; undefined for what is not ours. */
function packageDirectoryOf(specifier: string): string | undefined {
  const library = libraryOf(specifier);
  if (library === "millrace") return library;
  return library.startsWith("@millrace/") ? library.slice("@millrace/".length) : undefined;
}

/** The package that a bare specifier names, without a path inside it. */
function libraryOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function resolveRelative(importer: string, specifier: string): string | undefined {
  return /^\.\.?(\/|$)/.test(specifier) ? posix.join(posix.dirname(importer), specifier) : undefined;
}

function isTest(path: string): boolean {
  return /\.(test|test-d)\.ts$/.test(path) || path.split("/").includes("testing");
}

// ---- Reading a file ----------------------------------------------------------------------------------------------

/** A node of the syntax tree, as loosely typed as a walk over all kinds of them needs. */
type Node = { readonly type: string; readonly start: number; readonly [field: string]: unknown };

function parse({ path, text }: SourceFile): ParsedFile {
  const imports: Import[] = [];
  const environmentReads: number[] = [];
  const processNames = new Set(["process"]);
  const lineOf = (node: Node): number => text.slice(0, node.start).split("\n").length;

  for (const node of walk(parseAst(text, { lang: "ts" }, path) as unknown as Node)) {
    const found = readImport(node);
    if (found !== undefined) imports.push({ ...found, line: lineOf(node) });
    for (const name of namesOfProcess(node)) processNames.add(name);
    if (readsEnvironment(node, processNames)) environmentReads.push(lineOf(node));
  }
  return {
    path,
    packageDirectory: path.split("/")[1] ?? "",
    isTest: isTest(path),
    imports,
    environmentReads,
  };
}

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) yield* walk(child);
    }
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

function readImport(node: Node): Omit<Import, "line"> | undefined {
  switch (node.type) {
    case "ImportDeclaration":
      return importOf(node.source, node.importKind === "type");
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
      return importOf(node.source, node.exportKind === "type");
    case "ImportExpression":
      return importOf(node.source, false);
    case "TSImportType":
      return importOf(node.source, true);
    case "TSExternalModuleReference":
      return importOf(node.expression, false);
    case "CallExpression": {
      const callee = node.callee as Node;
      const isRequire = callee.type === "Identifier" && callee.name === "require";
      return isRequire ? importOf((node.arguments as unknown[])[0], false) : undefined;
    }
    default:
      return undefined;
  }
}

function importOf(source: unknown, typeOnly: boolean): Omit<Import, "line"> | undefined {
  const specifier = isNode(source) ? constantText(source) : undefined;
  return specifier === undefined ? undefined : { specifier, typeOnly };
}

function constantText(node: Node): string | undefined {
  if (node.type === "Literal" && typeof node.value === "string") return node.value;
  if (node.type !== "TemplateLiteral" || (node.expressions as unknown[]).length > 0) return undefined;
  const [quasi] = node.quasis as { value: { cooked: string } }[];
  return quasi?.value.cooked;
}

/** The local names under which a file imports the whole of `node:process`. */
function namesOfProcess(node: Node): string[] {
  if (!importsProcess(node)) return [];
  return (node.specifiers as Node[])
    .filter(({ type }) => type !== "ImportSpecifier")
    .map((specifier) => (specifier.local as Node).name as string);
}

function importsProcess(node: Node): boolean {
  return node.type === "ImportDeclaration" && /^(node:)?process$/.test((node.source as Node).value as string);
}

function readsEnvironment(node: Node, processNames: ReadonlySet<string>): boolean {
  const isProcess = (value: unknown): boolean =>
    isNode(value) &&
    ((value.type === "Identifier" && processNames.has(value.name as string)) ||
      (value.type === "MemberExpression" && keyOf(value.property) === "process"));
  const takesEnv = (pattern: unknown): boolean =>
    isNode(pattern) &&
    pattern.type === "ObjectPattern" &&
    (pattern.properties as Node[]).some(({ type, key }) => type === "RestElement" || keyOf(key) === "env");

  switch (node.type) {
    case "MemberExpression":
      return isProcess(node.object) && keyOf(node.property) === "env";
    case "VariableDeclarator":
      return isProcess(node.init) && takesEnv(node.id);
    case "AssignmentExpression":
      return isProcess(node.right) && takesEnv(node.left);
    case "ImportDeclaration":
      return (
        importsProcess(node) && (node.specifiers as Node[]).some(({ imported }) => keyOf(imported) === "env")
      );
    default:
      return false;
  }
}

/** The name of a property, an import or a key of a pattern, whether written as a name or as a string. */
function keyOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  return node.type === "Identifier" ? (node.name as string) : constantText(node);
}
