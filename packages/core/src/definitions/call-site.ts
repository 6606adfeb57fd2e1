import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Where a definition was written. */
export interface CallSite {
  /** `file:` URL of the module, without query; undefined in a REPL, in `eval` and in `data:` modules. */
  readonly moduleUrl: string | undefined;
  /**
   * The positions of the frames from the definition out to the top level of a module. Two definitions with one place
   * are one definition evaluated twice, as in watch mode. Positions are those of the transpiled text: good for
   * comparing, not for showing.
   */
  readonly place: string;
}

/** Frames of this package are not the user's. The directory is `src` under a test, `dist` otherwise. */
const OWN_DIRECTORY = new URL("..", import.meta.url).href;

/** Frames looked at: beyond ten, a definition is hidden so deep in factories that more frames tell nothing. */
const MAX_FRAMES = 10;

/** Finds the user's code that is calling into this package. About 20 µs: for definitions, not for calls. */
export function callSite(): CallSite {
  const frames = captureFrames();
  const places: string[] = [];
  let moduleUrl: string | undefined;
  for (const frame of frames) {
    const url = moduleUrlOf(frame.getFileName());
    if (url === undefined || url.startsWith(OWN_DIRECTORY)) continue;
    moduleUrl ??= url;
    places.push(`${url}:${frame.getLineNumber()}:${frame.getColumnNumber()}`);
    if (frame.getFunctionName() === null) break;
  }
  return { moduleUrl, place: places.join(" < ") };
}

/**
 * V8's call sites of the current stack. Node 20 has no util.getCallSites, so Error.prepareStackTrace is borrowed and
 * given back: source-map libraries replace it too.
 */
function captureFrames(): NodeJS.CallSite[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  const holder: { stack?: unknown } = {};
  try {
    Error.stackTraceLimit = MAX_FRAMES + 10;
    Error.prepareStackTrace = (_error, frames) => frames;
    Error.captureStackTrace(holder, captureFrames);
    return Array.isArray(holder.stack) ? holder.stack : [];
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Native ESM reports a `file:` URL; CommonJS and Vitest report an absolute path; Node itself reports `node:…`. */
export function moduleUrlOf(fileName: string | null | undefined): string | undefined {
  if (!fileName) return undefined;
  if (fileName.startsWith("file:")) return fileName.replace(/[?#].*$/, "");
  return isAbsolute(fileName) ? pathToFileURL(fileName).href : undefined;
}

/** The path of a `file:` URL, for messages. */
export function displayPath(moduleUrl: string | undefined): string {
  return moduleUrl === undefined ? "(no file)" : fileURLToPath(moduleUrl);
}
