import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A holder says this often that it is alive. */
const RENEWAL_MS = 1_000;
/** A lock that was not renewed for so long has lost its holder. Five renewals: a busy event loop is late, not dead. */
const STALE_MS = 5_000;
/** Between two looks at a lock that somebody else has. */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 200;

/**
 * Waits until the file is ours, which one holder at a time can say of it, on every process that shares the directory.
 *
 * @returns what gives it back; never rejects
 * @throws signal.reason when the signal fires first; what the file system throws
 */
export async function lockFile(path: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  const token = randomUUID();
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, LONGEST_POLL_MS)) {
    signal?.throwIfAborted();
    if (await create(path, token)) return holdFile(path, token);
    if (await isStale(path)) await breakLock(path, token);
    else await sleep(pollMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

async function create(path: string, token: string): Promise<boolean> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, "wx");
    try {
      await file.writeFile(token);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function holdFile(path: string, token: string): () => Promise<void> {
  const timer = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), RENEWAL_MS);
  timer.unref();
  let released: Promise<void> | undefined;
  const release = async () => {
    clearInterval(timer);
    // Ours may have been broken, if this process slept; then another's is there.
    const holder = await readFile(path, "utf8").catch(() => undefined);
    if (holder === token) await rm(path, { force: true }).catch(() => {});
  };
  return () => {
    released ??= release();
    return released;
  };
}

async function isStale(path: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(path)).mtimeMs > STALE_MS;
  } catch {
    return false; // It is gone: try again.
  }
}

/**
 * Takes a stale lock away. Of several waiters that see it stale, one renames it; what the others then rename would be
 * the lock of a new holder, so each looks at what it got and puts a living one back.
 */
async function breakLock(path: string, token: string): Promise<void> {
  const aside = `${path}.${token}`;
  try {
    await rename(path, aside);
  } catch {
    return; // Another one was quicker.
  }
  if (await isStale(aside)) await rm(aside, { force: true });
  else await rename(aside, path).catch(() => {});
}
