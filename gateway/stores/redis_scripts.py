"""The Lua scripts hold, settle and renew, each atomic in Redis. Redis' clock decides when leases run out.

A counter is a hash (`counted`, `held`, and `lease:ID` -> amount) and a sorted set (lease -> expiry in milliseconds).
`held` is the sum of the leases, so that reading it is O(1). All numbers are whole and at most 2**53, the largest that a
Lua number holds exactly.

KEYS begin with a marker and the script's other keys; then follow the hash and the sorted set of each account. The last
of ARGV is a MessagePack list: packing hundreds of single arguments takes a Python client longer than all the rest.
"""

_COMMON = """
local MOST = 9007199254740992
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local told = cmsgpack.unpack(ARGV[#ARGV])

local function whole(number)
  return string.format('%.0f', math.max(0, math.min(number, MOST)))
end

-- A changed marker shows that Redis has lost its data.
local function era(key, proposed)
  local found = redis.call('GET', key)
  if not found then
    redis.call('SET', key, proposed)
    found = proposed
  end
  return found
end

local function drop(hash, leases, gone)
  if #gone == 0 then return end
  local fields = {}
  for i, lease in ipairs(gone) do fields[i] = 'lease:' .. lease end
  redis.call('ZREM', leases, unpack(gone))
  local held = tonumber(redis.call('HGET', hash, 'held') or 0)
  for _, amount in ipairs(redis.call('HMGET', hash, unpack(fields))) do
    held = held - tonumber(amount or 0)
  end
  if redis.call('HDEL', hash, unpack(fields)) > 0 then
    if redis.call('ZCARD', leases) == 0 then held = 0 end
    redis.call('HSET', hash, 'held', whole(held))
  end
end

-- Drop expired leases, at most 500 at a time, then return what is counted and held.
local function look(hash, leases, floor)
  drop(hash, leases, redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 500))
  local found = redis.call('HMGET', hash, 'counted', 'held')
  return math.max(tonumber(found[1] or 0), floor), tonumber(found[2] or 0)
end

-- Returns by how much `held` grows: 0 if the lease existed already.
local function add(hash, leases, lease, amount, lease_ms)
  redis.call('ZADD', leases, string.format('%.0f', now + lease_ms), lease)
  return redis.call('HSETNX', hash, 'lease:' .. lease, whole(amount)) * amount
end

local function keep(hash, leases, expiry, lease_ms)
  for _, key in ipairs({hash, leases}) do
    if expiry == 'never' then
      redis.call('PERSIST', key)
    elseif expiry == 'lease' then
      redis.call('PEXPIRE', key, 2 * lease_ms)
    elseif string.sub(expiry, 1, 5) == 'seed ' then
      if redis.call('TTL', key) == -1 then redis.call('EXPIREAT', key, string.sub(expiry, 6)) end
    else
      redis.call('EXPIREAT', key, expiry)
    end
  end
end
"""

HOLD = (
    _COMMON
    + """
-- KEYS: marker, accounts. ARGV: marker to set, milliseconds of a lease, then
-- {{least counted, expiry} of each account, {lease, then account, limit, amount of each charge} of each call}
-- Returns {marker, for each call 0 or the index of the charge without room, counted and held of each account}.
local lease_ms = tonumber(ARGV[2])
local accounts, calls = told[1], told[2]
local reply = {era(KEYS[1], ARGV[1]), {}, {}}
-- If Redis is out of memory, it refuses a script's first write, but none after it: let the first be this one.
if #calls > 0 then redis.call('SET', KEYS[1], reply[1]) end
local counted, held, changed = {}, {}, {}
for i, account in ipairs(accounts) do
  counted[i], held[i] = look(KEYS[2 * i], KEYS[2 * i + 1], account[1])
end
for n, call in ipairs(calls) do
  reply[2][n] = 0
  for at = 2, #call, 3 do
    local i, limit, amount = call[at], call[at + 1], call[at + 2]
    local fits = amount <= limit - counted[i] - held[i]
    local alone = held[i] == 0 and counted[i] < limit
    if not (fits or alone) then
      reply[2][n] = (at + 1) / 3
      break
    end
  end
  for at = 2, reply[2][n] == 0 and #call or 0, 3 do
    local i = call[at]
    held[i] = held[i] + add(KEYS[2 * i], KEYS[2 * i + 1], call[1], call[at + 2], lease_ms)
    changed[i] = true
  end
end
for i, account in ipairs(accounts) do
  if changed[i] then
    redis.call('HSET', KEYS[2 * i], 'counted', whole(counted[i]), 'held', whole(held[i]))
    keep(KEYS[2 * i], KEYS[2 * i + 1], account[2], lease_ms)
  end
  reply[3][2 * i - 1] = counted[i]
  reply[3][2 * i] = held[i]
end
return cmsgpack.pack(reply)
"""
)

SETTLE = (
    _COMMON
    + """
-- KEYS: marker, number of the writer's last batch, accounts. ARGV: marker to set, number of this batch,
-- seconds to remember it, milliseconds of a lease, then {amount, least counted, expiry, leases} of each account
-- Returns {marker, number of the batch before, counted and held of each account}. A batch sent twice is counted once.
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local is_new = last < tonumber(ARGV[2])
if is_new then redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3]) end
local reply = {era(KEYS[1], ARGV[1]), last, {}}
for i, account in ipairs(told) do
  local hash, leases = KEYS[2 * i + 1], KEYS[2 * i + 2]
  if is_new then drop(hash, leases, account[4]) end
  local counted, held = look(hash, leases, account[2])
  if is_new then
    counted = math.min(counted + account[1], MOST)
    if counted > 0 then redis.call('HSET', hash, 'counted', whole(counted)) end
    keep(hash, leases, account[3], tonumber(ARGV[4]))
  end
  reply[3][2 * i - 1] = counted
  reply[3][2 * i] = held
end
return cmsgpack.pack(reply)
"""
)

RENEW = (
    _COMMON
    + """
-- KEYS: marker, the account of each lease. ARGV: milliseconds of a lease, then {lease, amount, expiry} of each
local lease_ms = tonumber(ARGV[1])
for i, lease in ipairs(told) do
  local hash, leases = KEYS[2 * i], KEYS[2 * i + 1]
  local more = add(hash, leases, lease[1], lease[2], lease_ms)
  if more > 0 then
    redis.call('HSET', hash, 'held', whole(tonumber(redis.call('HGET', hash, 'held') or 0) + more))
  end
  keep(hash, leases, lease[3], lease_ms)
end
return 0
"""
)
