import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, rmdir, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A holder says this often that it is alive. */
const RENEWAL_MS = 1_000;
/** A lock that was not renewed for so long has lost its holder. Five renewals: a busy event loop is late, not dead. */
const STALE_MS = 5_000;
/**
 * Between two looks at a lock that somebody else has. Who waits learns of its release late by about what it has waited, at most, and
 * by a fifth of a second; it costs some seven looks a second.
 */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 200;

/**
 * Waits until the lock is ours, which one holder at a time can say of it, in every process that shares the directory.
 *
 * The lock is a directory at `path` with one file in it, which has the holder's random name. Renaming a directory
 * replaces an empty one and fails on one that is not, so only one can put its file there. Who releases a lock, or
 * breaks that of a dead holder, removes the file by its name, and so can never take away what is the next holder's. A
 * lock that is a plain file could only be looked at first and removed then, with the next holder's in between.
 *
 * A holder that blocks its event loop, or is suspended, for 5 s and more can lose the lock while it lives.
 *
 * @returns what gives it back; never rejects
 * @throws signal.reason when the signal fires first; what the file system throws
 */
export async function lockFile(path: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  const token = randomUUID();
  let watched: Holder | undefined;
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, LONGEST_POLL_MS)) {
    signal?.throwIfAborted();
    const holder = await holderOf(path);
    if (holder === undefined) {
      if (await take(path, token)) return hold(path, token);
    } else if (!isSame(holder, watched)) {
      watched = holder;
    } else if (holder.seenAt - watched.seenAt > STALE_MS) {
      await removeHolder(path, holder.token);
      watched = undefined; // Where it cannot be removed, look again for as long, and not at once.
    }
    // Waiters that began together should not all come at once each time.
    await sleep(pollMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() =>
      signal?.throwIfAborted(),
    );
  }
}

/** Who has the lock, as it was seen once. */
interface Holder {
  readonly token: string;
  readonly renewedAt: number;
  /**
   * By our own steady clock. A lock is stale when we have seen no renewal for a while: its time of renewal compared with
   * ours would make a living holder look dead where clocks differ, or when one is set.
   */
  readonly seenAt: number;
}

function isSame(one: Holder, other: Holder | undefined): other is Holder {
  return one.token === other?.token && one.renewedAt === other.renewedAt;
}

async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    const [token] = await readdir(path);
    if (token === undefined) return undefined;
    return { token, renewedAt: (await stat(join(path, token))).mtimeMs, seenAt: performance.now() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Is it ours now? */
async function take(path: string, token: string): Promise<boolean> {
  const aside = `${path}.${token}`;
  try {
    await mkdir(aside, { recursive: true });
    // Nothing reads it but a person who wants to know whose lock this is.
    await writeFile(join(aside, token), `process ${process.pid} on ${hostname()}\n`);
    await rename(aside, path);
    return true;
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => {});
    if (TAKEN.has((error as NodeJS.ErrnoException).code)) return false;
    throw error;
  }
}

/** What file systems say when the directory to be replaced is not empty. */
const TAKEN: ReadonlySet<string | undefined> = new Set(["ENOTEMPTY", "EEXIST"]);

function hold(path: string, token: string): () => Promise<void> {
  const file = join(path, token);
  const timer = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => {}), RENEWAL_MS);
  timer.unref();
  let released: Promise<void> | undefined;
  return () => {
    clearInterval(timer);
    released ??= removeHolder(path, token);
    return released;
  };
}

/** Never rejects: what cannot be removed is not renewed either, and somebody else's is not touched. */
async function removeHolder(path: string, token: string): Promise<void> {
  await rm(join(path, token), { force: true }).catch(() => {});
  await rmdir(path).catch(() => {}); // Not empty: the next holder's is in it.
}
