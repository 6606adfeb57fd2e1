import { HOLD_KEPT_MS, HOLD_RENEWAL_MS, HOLD_TTL_MS } from "../intervals.ts";
import type { Keys } from "../redis/keys.ts";
import type { KeyTypes } from "../redis/wrong-type.ts";

/** 30,000 years. Redis refuses a time to live that it cannot add to the time that it is. */
const LONGEST_TTL_MS = 1e15;

/** What is to be under the keys of these limits. */
export function limitTypes({ limits, limitState }: Keys, names: readonly string[]): KeyTypes {
  const kinds = { holders: "zset", slots: "hash", clock: "hash", line: "zset", rate: "hash" } as const;
  const ofNames = names.flatMap((name) =>
    Object.entries(kinds).map(([kind, type]) => [`${limitState}:${kind}:${name}`, type] as const),
  );
  return { [limits]: "hash", [`${limitState}:waiters`]: "zset", ...Object.fromEntries(ofNames) };
}

/**
 * The limits of a namespace, in Lua: each script is one step for everybody. KEYS[1] is the hash of limits, KEYS[2] the
 * beginning of the names of other keys, which are in the same slot of a Redis Cluster, KEYS[3] the channel on which the
 * names are told whose slots or lines have changed. Per limit NAME there are
 *
 * - `:holders:NAME`  ZSET of tokens by the end of their lease, on the clock of the name
 * - `:slots:NAME`    HASH of how many slots each holder has
 * - `:clock:NAME`    HASH of what the clock of the name `shows`, and when, in Redis' own time, it was last `seen`
 * - `:line:NAME`     ZSET of tokens by the number of their ticket
 * - `:rate:NAME`     HASH of `level`, the slots of rates that have not come back, and `at`, when that was so
 *
 * and once: `:waiters`, a ZSET of the tokens in any line by the end of their lease, and `:tickets`, the last number.
 * A token has one ticket for all its lines, so that no two wait for each other. Every key has a time to live, which those
 * that use it renew: what is left when all of them die goes.
 *
 * The clock of Redis may be set, and goes on while a machine sleeps. So the leases of holders are measured on one that makes no jumps:
 * from one look to the next it goes on by no more than passes between two renewals, and whoever lives renews its lease before it ends.
 * Else two would hold what one may. Where the clock was set back, a waiter's lease and a rate count as of now.
 *
 * Somebody else may have written there: what should be a number and is none counts as if it were not there, and no lease is longer than a
 * holder may make it. Where a key is of another type, the scripts fail, and the limiter names it: see limitTypes.
 */
const COMMON = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key(kind, name) return KEYS[2] .. ":" .. kind .. ":" .. name end
local waiters, tickets = KEYS[2] .. ":waiters", KEYS[2] .. ":tickets"
local function limitOf(name)
  local text = redis.call("HGET", KEYS[1], name)
  if not text then return nil end
  local ok, limit = pcall(cjson.decode, text)
  if not ok or type(limit) ~= "table" or type(limit.slots) ~= "number" then return nil end
  if type(limit.slotDecayPerSecond) ~= "number" then limit.slotDecayPerSecond = nil end
  return limit
end
local function count(text)
  local number = tonumber(text or nil)
  if number and number >= 0 and number < 2 ^ 53 then return number end
  return nil
end
local function clock(name)
  local stored = redis.call("HMGET", key("clock", name), "shows", "seen")
  local shows, seen = count(stored[1]), count(stored[2])
  if shows and seen then shows = shows + math.max(0, math.min(now - seen, ${HOLD_RENEWAL_MS})) else shows = now end
  redis.call("HSET", key("clock", name), "shows", shows, "seen", now)
  return shows
end
local function drop(name, tokens)
  local holders = key("holders", name)
  for _, token in ipairs(tokens) do
    redis.call("ZREM", holders, token)
    redis.call("HDEL", key("slots", name), token)
  end
  if redis.call("EXISTS", holders) == 0 then redis.call("DEL", key("clock", name)) end
end
local function held(name)
  if redis.call("EXISTS", key("holders", name)) == 0 then return 0 end
  local shows = clock(name)
  drop(name, redis.call("ZRANGEBYSCORE", key("holders", name), "-inf", shows))
  local longest = shows + ${HOLD_TTL_MS}
  for _, token in ipairs(redis.call("ZRANGEBYSCORE", key("holders", name), "(" .. longest, "+inf")) do
    redis.call("ZADD", key("holders", name), longest, token)
  end
  local sum = 0
  for _, slots in ipairs(redis.call("HVALS", key("slots", name))) do sum = sum + (count(slots) or 0) end
  return sum
end
local function level(name, limit)
  local stored = redis.call("HMGET", key("rate", name), "level", "at")
  local before, at = count(stored[1]), count(stored[2])
  if not before or not at then return 0 end
  local passed = now - at
  if passed < 0 then
    redis.call("HSET", key("rate", name), "at", now)
    passed = 0
  end
  return math.max(0, before - (limit.slotDecayPerSecond or 0) * passed / 1000)
end
local function lives(token)
  local lease = redis.call("ZSCORE", waiters, token)
  return lease and tonumber(lease) > now
end
local function first(name)
  local line = key("line", name)
  while true do
    local token = redis.call("ZRANGE", line, 0, 0)[1]
    if not token or lives(token) then return token end
    redis.call("ZREM", line, token)
  end
end
local function leaveLines(token, names)
  for _, name in ipairs(names) do redis.call("ZREM", key("line", name), token) end
  redis.call("ZREM", waiters, token)
end
local function hold(token, slots, name, ttl)
  redis.call("ZADD", key("holders", name), clock(name) + ttl, token)
  redis.call("HSET", key("slots", name), token, slots)
end
local function keep(names, ttl)
  for _, name in ipairs(names) do
    redis.call("PEXPIRE", key("line", name), ttl)
    for _, kind in ipairs({ "holders", "slots", "clock" }) do redis.call("PEXPIRE", key(kind, name), ${HOLD_KEPT_MS}) end
  end
  redis.call("PEXPIRE", waiters, ttl)
  redis.call("PEXPIRE", tickets, ttl)
end
local function tell(names) redis.call("PUBLISH", KEYS[3], cjson.encode(names)) end
`;

/** What ACQUIRE gives. */
export type Acquired =
  | ["taken"]
  /** The token that is first in the line of a name: when it is the asker's own, room is waited for. */
  | ["wait", first: string]
  /** Decay alone makes room, after so many milliseconds. */
  | ["decay", milliseconds: number]
  /** A limit never has so many slots. */
  | ["exceeded", name: string, limit: number]
  /** A rate cannot use a limit without decay. */
  | ["no-decay", name: string];

/**
 * ARGV: token, slots, "1" for a rate, time to live of the lease, and of keys, names. Joins the line of each name, if it is
 * not in it, and takes the slots when there is room and nobody is ahead. Gives {@link Acquired}. May be repeated.
 */
export const ACQUIRE = `${COMMON}
local token, slots, isRate, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3] == "1", tonumber(ARGV[4])
local all = { unpack(ARGV, 6) }
local names = {}
local ticket
for _, name in ipairs(all) do
  local limit = limitOf(name)
  if limit then
    names[#names + 1] = { name, limit }
    -- The reply to an earlier try was lost.
    if redis.call("ZSCORE", key("holders", name), token) then return { "taken" } end
    ticket = ticket or redis.call("ZSCORE", key("line", name), token)
    local exceeded = slots > limit.slots
    if exceeded or (isRate and not limit.slotDecayPerSecond) then
      leaveLines(token, all)
      tell(all)
      if exceeded then return { "exceeded", name, limit.slots } end
      return { "no-decay", name }
    end
  end
end
ticket = ticket or redis.pcall("INCR", tickets)
if type(ticket) == "table" then
  redis.call("DEL", tickets)
  ticket = redis.call("INCR", tickets)
end
redis.call("ZADD", waiters, now + ttl, token)
for _, pair in ipairs(names) do redis.call("ZADD", key("line", pair[1]), ticket, token) end
keep(all, ARGV[5])
for _, each in ipairs(redis.call("ZRANGEBYSCORE", waiters, "(" .. now + ttl, "+inf")) do
  redis.call("ZADD", waiters, now + ttl, each)
end
local waitMs = 0
for _, pair in ipairs(names) do
  local name, limit = pair[1], pair[2]
  local ahead = first(name)
  if ahead ~= token then return { "wait", ahead } end
  local used = held(name) + slots
  local tooMany = used + level(name, limit) - limit.slots
  if tooMany > 0 then
    local decay = limit.slotDecayPerSecond or 0
    if decay == 0 or used > limit.slots then return { "wait", token } end
    waitMs = math.max(waitMs, math.ceil(tooMany / decay * 1000))
  end
end
if waitMs > 0 then return { "decay", waitMs } end
leaveLines(token, all)
for _, pair in ipairs(names) do
  local name, limit = pair[1], pair[2]
  if isRate then
    local after = level(name, limit) + slots
    redis.call("HSET", key("rate", name), "level", after, "at", now)
    redis.call("PEXPIRE", key("rate", name), math.min(math.ceil(after / limit.slotDecayPerSecond * 1000) + 1000, ${LONGEST_TTL_MS}))
  else
    hold(token, slots, name, ttl)
  end
end
keep(all, ARGV[5])
return { "taken" }`;

/** ARGV: token, names. Gives back what the token holds, and leaves the lines that it is in. */
export const RELEASE = `${COMMON}
local names = { unpack(ARGV, 2) }
for _, name in ipairs(names) do
  -- One that is broken must not keep the slots of the others.
  pcall(drop, name, { ARGV[1] })
  pcall(leaveLines, ARGV[1], { name })
end
tell(names)
return 1`;

/** What RENEW is asked for, as JSON. */
export interface Renewal {
  readonly held: readonly (readonly [token: string, slots: number, name: string])[];
  readonly waiting: readonly string[];
  /** All names of these. */
  readonly names: readonly string[];
}

/**
 * ARGV: time to live of leases, and of keys, {@link Renewal}. Renews leases. What is held is counted again when it was
 * taken for dead, or Redis has lost its data: it is in use all the same.
 */
export const RENEW = `${COMMON}
local asked = cjson.decode(ARGV[3])
for _, each in ipairs(asked.held) do
  -- One that cannot be renewed must not keep the others from it: two would hold what one may.
  if limitOf(each[3]) then pcall(hold, each[1], each[2], each[3], ARGV[1]) end
end
for _, token in ipairs(asked.waiting) do redis.pcall("ZADD", waiters, "XX", now + ARGV[1], token) end
keep(asked.names, ARGV[2])
return 1`;

/** ARGV: names. Gives, for each, how many slots are in use and how many wait. */
export const INSPECT = `${COMMON}
local found = {}
for _, name in ipairs(ARGV) do
  local waiting = 0
  for _, token in ipairs(redis.call("ZRANGE", key("line", name), 0, -1)) do
    if lives(token) then waiting = waiting + 1 end
  end
  found[#found + 1] = held(name) + math.ceil(level(name, limitOf(name) or {}))
  found[#found + 1] = waiting
end
return found`;
