#!lua
-- Admits one call: all checks, then all charges. `domain/limits.py` specifies the arithmetic.
--
-- KEYS  1 what is remembered of this request id
--       2 epoch  3 generations
--       4 calls of the tenant  5 of the key  6 tokens of the tenant  7 of the key   (windows)
--       8 slots of the tenant  9 of the key
-- ARGV  1 tenant id  2 key id  3 request id
--       4 one text of words, '-' where there is none: now in ms ('-' in production: this server's clock decides),
--         run id of this server, generation of tenant, of key, calls, tokens, limits of calls of tenant, of key, of
--         tokens of tenant, of key, of slots of tenant, of key, which attempt of the request it is
--
-- Answers  E                                       empty: restore first
--          O                                       outdated: identify again
--          F <rate> <scope> <limit> <wait> <rates> full
--          A <epoch> <rates>                       admitted
-- where <rates> is limit, remaining and reset of calls, then of tokens.
--
-- A window is a hash: second -> amount, `s` the running sum, `o` no bucket is older, `n` the newest. Lua has no
-- rollback: each key was read, so its type is right, before the first charge is written. The first line above, without
-- flags, has the server refuse the whole script beforehand when memory is full, the disk fails or it is a replica.

local LEASE_MS, REMEMBER_S, WINDOW_S, KEEP_WINDOW_S, KEEP_SLOTS_S = 30000, 900, 60, 70, 60

local now_ms, run_id, tenant_generation, key_generation, calls, tokens, tenant_calls, key_calls, tenant_tokens,
  key_tokens, tenant_slots, key_slots, attempt = string.match(ARGV[4], '^' .. string.rep('(%S+) ', 12) .. '(%S+)$')
calls, tokens = tonumber(calls), tonumber(tokens)

local epoch, filled_in = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+):(.*)$')
if filled_in ~= run_id then return {ok = 'E'} end

local newest = redis.call('HMGET', KEYS[3], ARGV[1], ARGV[2])
if (tonumber(newest[1]) or 0) > tonumber(tenant_generation) or (tonumber(newest[2]) or 0) > tonumber(key_generation) then
  return {ok = 'O'}
end

if calls > 0 then
  local its_attempt, its_epoch, answer =
    string.match(redis.call('GET', KEYS[1]) or '', '^o (%S+) (%d+) %d+ %d+ %d+ %d+ %d+ (.*)$')
  if its_attempt == attempt and its_epoch == epoch then return {ok = answer} end
end

if now_ms == '-' then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now_ms = tonumber(now_ms)
end
local now_s = math.floor(now_ms / 1000)
local gone_s = now_s - WINDOW_S - 1

local function drop_old(w)
  if w.newest <= gone_s then
    redis.call('DEL', w.key)
    w.sum, w.oldest, w.newest, w.here = 0, now_s, -1, 0
    return
  end
  for second = w.oldest, gone_s do
    local amount = redis.call('HGET', w.key, second)
    if amount then
      w.sum = w.sum - amount
      redis.call('HDEL', w.key, second)
    end
  end
  w.oldest = gone_s + 1
  redis.call('HSET', w.key, 's', w.sum, 'o', w.oldest)
end

local function window(key, limit)
  if limit == '-' then return nil end
  local kept = redis.call('HMGET', key, 's', 'o', 'n', now_s)
  local w = {
    key = key, limit = tonumber(limit), limit_text = limit, sum = tonumber(kept[1]) or 0,
    oldest = tonumber(kept[2]) or now_s, newest = tonumber(kept[3]) or -1, here = tonumber(kept[4]) or 0,
  }
  if kept[1] and w.oldest <= gone_s then drop_old(w) end
  return w
end

local function wait_s(w, cost)
  local excess = w.sum + cost - w.limit
  if excess <= 0 then return 0 end
  if cost > w.limit then return WINDOW_S end
  for second = w.oldest, w.newest do
    excess = excess - (redis.call('HGET', w.key, second) or 0)
    if excess <= 0 then return second + WINDOW_S + 1 - now_s end
  end
  return WINDOW_S
end

local function left(w) return math.max(0, w.limit - w.sum) end

local function standing(of_tenant, of_key)
  local w = of_tenant or of_key
  if of_tenant and of_key and left(of_key) < left(of_tenant) then w = of_key end
  if not w then return '- - -' end
  local reset_s = w.sum > 0 and w.newest + WINDOW_S + 1 - now_s or 0
  return string.format('%s %.0f %.0f', w.limit_text, left(w), reset_s)
end

local windows = {
  window(KEYS[4], tenant_calls) or false, window(KEYS[5], key_calls) or false,
  window(KEYS[6], tenant_tokens) or false, window(KEYS[7], key_tokens) or false,
}
local function rates() return standing(windows[1], windows[2]) .. ' ' .. standing(windows[3], windows[4]) end

if calls == 0 then return {ok = 'A ' .. epoch .. ' ' .. rates()} end

local costs = {calls, calls, tokens, tokens}
local names = {'rpm tenant', 'rpm key', 'tpm tenant', 'tpm key'}
local wait, full = 0, nil

for i = 1, 4 do
  local w = windows[i]
  local its_wait = w and wait_s(w, costs[i]) or 0
  if its_wait > wait then wait, full = its_wait, names[i] .. ' ' .. w.limit_text end
end

local function look_at_slots(key, limit, name)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_ms)
  if limit ~= '-' and redis.call('ZCARD', key) >= tonumber(limit) and wait < 1 then
    wait, full = 1, name .. ' ' .. limit
  end
end
look_at_slots(KEYS[8], tenant_slots, 'concurrency tenant')
look_at_slots(KEYS[9], key_slots, 'concurrency key')

if full then return {ok = string.format('F %s %.0f %s', full, wait, rates())} end

local charged = {0, 0, 0, 0}
for i = 1, 4 do
  local w, cost = windows[i], costs[i]
  if w and cost > 0 then
    local is_new_second = w.newest ~= now_s
    w.sum, w.oldest, w.newest = w.sum + cost, math.min(w.oldest, now_s), math.max(w.newest, now_s)
    redis.call('HSET', w.key, 's', w.sum, 'o', w.oldest, 'n', w.newest, now_s, w.here + cost)
    if is_new_second then redis.call('EXPIRE', w.key, KEEP_WINDOW_S) end
    charged[i] = cost
  end
end
for i = 8, 9 do
  redis.call('ZADD', KEYS[i], now_ms + LEASE_MS, ARGV[3])
  redis.call('EXPIRE', KEYS[i], KEEP_SLOTS_S)
end
local answer = 'A ' .. epoch .. ' ' .. rates()
local remembered = string.format('o %s %s %.0f %.0f %.0f %.0f %.0f %s', attempt, epoch, now_s, charged[3], charged[4],
  charged[1], charged[2], answer)
redis.call('SET', KEYS[1], remembered, 'EX', REMEMBER_S)
return {ok = answer}
