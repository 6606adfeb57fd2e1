import { InvalidOptionError } from "@millrace/core";

/** Where a Redis is, and as whom one speaks to it. */
export type RedisAddress =
  | { readonly path: string }
  | (RedisUser & { readonly host: string; readonly port: number; readonly isEncrypted: boolean })
  | (RedisUser & { readonly sentinels: readonly Host[]; readonly name: string });

interface RedisUser {
  readonly username: string;
  readonly password: string;
  readonly db: number;
}

interface Host {
  readonly host: string;
  readonly port: number;
}

const REDIS_PORT = 6379;
const SENTINEL_PORT = 26379;

/**
 * Reads `redis://user:password@host:port/db`, `rediss://…` for TLS, `unix:///path/to.sock`, or
 * `redis+sentinel://user:password@host:port,host:port/name/db`, where the hosts are Sentinels, and the name is that under which
 * they watch the master.
 *
 * @throws InvalidOptionError, without the password
 */
export function parseRedisUrl(url: string): RedisAddress {
  try {
    if (url.startsWith("unix:///")) return { path: url.slice("unix://".length) };
    const address = url.startsWith("redis+sentinel:") ? sentinelAddress(url) : serverAddress(url);
    if (address !== undefined) return address;
  } catch {
    // No URL, or an escape in it that is none.
  }
  throw new InvalidOptionError(
    "the Redis URL",
    "redis://…, rediss://… or unix:///…, or redis+sentinel://host,host/name",
    withoutPassword(url),
  );
}

function serverAddress(url: string): RedisAddress | undefined {
  const { protocol, hostname, port, pathname, username, password } = new URL(url);
  const db = /^\/?(\d*)$/.exec(pathname)?.[1];
  if ((protocol !== "redis:" && protocol !== "rediss:") || db === undefined) return undefined;
  return {
    host: withoutBrackets(hostname) || "127.0.0.1",
    port: port === "" ? REDIS_PORT : Number(port),
    isEncrypted: protocol === "rediss:",
    db: Number(db),
    username: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
}

/** Not by `URL`, which knows one host. */
function sentinelAddress(url: string): RedisAddress | undefined {
  const parts =
    /^redis\+sentinel:\/\/(?:(?<username>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^@/]+)\/(?<name>[^/?#]+)(?:\/(?<db>\d+))?$/.exec(
      url,
    )?.groups;
  const sentinels = parts?.hosts?.split(",").map(hostOf);
  if (parts === undefined || sentinels === undefined || sentinels.includes(undefined)) return undefined;
  return {
    sentinels: sentinels as Host[],
    name: decodeURIComponent(parts.name as string),
    db: Number(parts.db ?? 0),
    username: decodeURIComponent(parts.username ?? ""),
    password: decodeURIComponent(parts.password ?? ""),
  };
}

function hostOf(text: string): Host | undefined {
  const [, host, port] = /^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  if (host === undefined) return undefined;
  return { host: withoutBrackets(host), port: port === undefined ? SENTINEL_PORT : Number(port) };
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

/** The URL as it may be shown and logged. A password that was not escaped may hold `@` and `/`: all before the last `@` goes. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/(.*)@/s, (_, user: string) => `//${user.split(":")[0]}:***@`);
}
