/**
 * The limits of a namespace, in Lua: each script is one step for everybody. KEYS[1] is the hash of limits, KEYS[2] the
 * beginning of the names of other keys, which are in the same slot of a Redis Cluster. Per limit NAME there are
 *
 * - `:holders:NAME`  ZSET of tokens by the end of their lease, in Redis' own time
 * - `:slots:NAME`    HASH of how many slots each holder has
 * - `:line:NAME`     ZSET of tokens by the number of their ticket
 * - `:rate:NAME`     HASH of `level`, the slots of rates that have not come back, and `at`, when that was so
 *
 * and once: `:waiters`, a ZSET of the tokens in any line by the end of their lease, and `:tickets`, the last number.
 * `:rate:NAME` has a time to live; the others vanish when they are empty; `:tickets` goes when nobody waited for a day.
 */
const COMMON = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key(kind, name) return KEYS[2] .. ":" .. kind .. ":" .. name end
local waiters = KEYS[2] .. ":waiters"
local function limitOf(name)
  local text = redis.call("HGET", KEYS[1], name)
  if not text then return nil end
  local ok, limit = pcall(cjson.decode, text)
  if ok and type(limit) == "table" and type(limit.slots) == "number" then return limit end
  return nil
end
local function held(name)
  local holders, slots = key("holders", name), key("slots", name)
  for _, dead in ipairs(redis.call("ZRANGEBYSCORE", holders, "-inf", now)) do
    redis.call("ZREM", holders, dead)
    redis.call("HDEL", slots, dead)
  end
  local sum = 0
  for _, count in ipairs(redis.call("HVALS", slots)) do sum = sum + count end
  return sum
end
local function level(name, limit)
  local stored = redis.call("HMGET", key("rate", name), "level", "at")
  if not stored[1] then return 0 end
  return math.max(0, stored[1] - (limit.slotDecayPerSecond or 0) * (now - stored[2]) / 1000)
end
local function first(name)
  local line = key("line", name)
  while true do
    local token = redis.call("ZRANGE", line, 0, 0)[1]
    if not token then return nil end
    local lease = redis.call("ZSCORE", waiters, token)
    if lease and tonumber(lease) > now then return token end
    redis.call("ZREM", line, token)
    redis.call("ZREM", waiters, token)
  end
end
`;

/**
 * ARGV: token, slots, "1" for a rate, time to live, names. Joins the line of each name, if it is not in it, and takes
 * the slots when there is room and nobody is ahead. Gives 1 when they are taken; 0 when not; the milliseconds after
 * which decay makes room, negative, when that alone is awaited; or the name of a limit that never has so many, or that a
 * rate cannot use.
 */
export const ACQUIRE = `${COMMON}
local token, slots, isRate, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3] == "1", tonumber(ARGV[4])
local names = {}
for i = 5, #ARGV do
  local limit = limitOf(ARGV[i])
  if limit then
    if slots > limit.slots then return ARGV[i] end
    if isRate and not limit.slotDecayPerSecond then return ARGV[i] end
    names[#names + 1] = { ARGV[i], limit }
  end
end
local ticket
redis.call("ZADD", waiters, now + ttl, token)
for _, pair in ipairs(names) do
  local line = key("line", pair[1])
  if not redis.call("ZSCORE", line, token) then
    if not ticket then
      ticket = redis.call("INCR", KEYS[2] .. ":tickets")
      redis.call("EXPIRE", KEYS[2] .. ":tickets", 86400)
    end
    redis.call("ZADD", line, ticket, token)
  end
end
local waitMs = 0
for _, pair in ipairs(names) do
  local name, limit = pair[1], pair[2]
  if first(name) ~= token then return 0 end
  local rated = level(name, limit)
  local used = held(name) + slots
  local tooMany = used + rated - limit.slots
  if tooMany > 0 then
    local decay = limit.slotDecayPerSecond or 0
    if decay == 0 or used > limit.slots then return 0 end
    waitMs = math.max(waitMs, math.ceil(tooMany / decay * 1000))
  end
end
if waitMs > 0 then return -waitMs end
redis.call("ZREM", waiters, token)
for _, pair in ipairs(names) do
  local name, limit = pair[1], pair[2]
  redis.call("ZREM", key("line", name), token)
  if isRate then
    local after = level(name, limit) + slots
    redis.call("HSET", key("rate", name), "level", after, "at", now)
    redis.call("PEXPIRE", key("rate", name), math.ceil(after / limit.slotDecayPerSecond * 1000) + 1000)
  else
    redis.call("ZADD", key("holders", name), now + ttl, token)
    redis.call("HSET", key("slots", name), token, slots)
  end
end
return 1`;

/** ARGV: token, channel, names. Gives back what the token holds, and leaves the lines that it is in. */
export const RELEASE = `${COMMON}
for i = 3, #ARGV do
  redis.call("ZREM", key("holders", ARGV[i]), ARGV[1])
  redis.call("HDEL", key("slots", ARGV[i]), ARGV[1])
  redis.call("ZREM", key("line", ARGV[i]), ARGV[1])
end
redis.call("ZREM", waiters, ARGV[1])
redis.call("PUBLISH", ARGV[2], "")
return 1`;

/** ARGV: time to live, then pairs of a token and a name; the name is empty for a place in a line. Renews their leases. */
export const RENEW = `${COMMON}
for i = 2, #ARGV, 2 do
  local set = ARGV[i + 1] == "" and waiters or key("holders", ARGV[i + 1])
  redis.call("ZADD", set, "XX", now + ARGV[1], ARGV[i])
end
return 1`;

/** ARGV: names. Gives, for each, how many slots are held and how many wait. */
export const INSPECT = `${COMMON}
local found = {}
for i = 1, #ARGV do
  first(ARGV[i])
  found[#found + 1] = held(ARGV[i])
  found[#found + 1] = redis.call("ZCARD", key("line", ARGV[i]))
end
return found`;
