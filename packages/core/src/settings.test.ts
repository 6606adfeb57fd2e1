import { homedir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { InvalidOptionError } from "./errors/errors.ts";
import { LOG_LEVELS, readSettings } from "./settings.ts";

test("an empty environment gives the defaults", () => {
  expect(readSettings({})).toEqual({
    redisUrl: undefined,
    redisCa: undefined,
    secret: undefined,
    logLevel: "info",
    home: join(homedir(), ".millrace"),
    refreshCache: false,
    searchPath: "",
  });
});

test("an empty variable counts as unset", () => {
  expect(readSettings({ MILLRACE_REDIS_URL: "", MILLRACE_LOG_LEVEL: "" })).toEqual(readSettings({}));
});

test("each variable sets its setting", () => {
  const settings = readSettings({
    MILLRACE_REDIS_URL: "redis://queue:6379",
    MILLRACE_REDIS_CA: "/etc/redis/ca.pem",
    MILLRACE_SECRET: "a secret of the tests",
    MILLRACE_LOG_LEVEL: "debug",
    MILLRACE_HOME: "/srv/millrace",
    MILLRACE_REFRESH_CACHE: "1",
    PATH: "/usr/bin",
  });
  expect(settings).toEqual({
    redisUrl: "redis://queue:6379",
    redisCa: "/etc/redis/ca.pem",
    secret: "a secret of the tests",
    logLevel: "debug",
    home: "/srv/millrace",
    refreshCache: true,
    searchPath: "/usr/bin",
  });
});

test("it reads the environment of this process unless given another", () => {
  expect(readSettings().searchPath).toBe(process.env.PATH);
});

test("a secret that is too short is an error, which does not show it", () => {
  const read = () => readSettings({ MILLRACE_SECRET: "hunter2" });
  expect(read).toThrow(InvalidOptionError);
  expect(read).toThrow(
    /^Expected `the length of MILLRACE_SECRET` to be 16 characters or more, got 7 \(number\)\.$/,
  );
});

test.each(LOG_LEVELS)("the log level may be %s", (level) => {
  expect(readSettings({ MILLRACE_LOG_LEVEL: level }).logLevel).toBe(level);
});

test("a log level that there is not is an error that lists those that there are", () => {
  expect(() => readSettings({ MILLRACE_LOG_LEVEL: "loud" })).toThrow(InvalidOptionError);
  expect(() => readSettings({ MILLRACE_LOG_LEVEL: "loud" })).toThrow(
    'Expected `MILLRACE_LOG_LEVEL` to be one of trace, debug, info, warn, error, fatal, silent, got "loud" (string).',
  );
});
