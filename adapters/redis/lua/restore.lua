#!lua
-- Fills an emptied tenant from what the ledger remembers of the last minute. The epoch is written last.
--
-- KEYS  1 epoch  2 generations  3 calls of the tenant  4 its tokens  5 its slots
--       then calls, tokens and slots of each key, then what is remembered of each open request id
-- ARGV  1 epoch  2 run id of this server  3 now in ms ('-' in production)
--       4 JSON: keys, how many; calls [[key from 1, age in ms, tokens, open from 1 or 0]]; open [request id];
--         generations [[id, generation]]

local LEASE_MS, REMEMBER_S, WINDOW_S, KEEP_WINDOW_S, KEEP_SLOTS_S, KEEP_GENERATIONS_S = 30000, 900, 60, 70, 60, 3600

local there, filled_in = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(.*)$')
if filled_in == ARGV[2] and tonumber(there) >= tonumber(ARGV[1]) then return {ok = 'kept'} end

local now_ms
if ARGV[3] == '-' then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now_ms = tonumber(ARGV[3])
end
local now_s = math.floor(now_ms / 1000)
local facts = cjson.decode(ARGV[4])
local first_open = 5 + 3 * facts.keys

-- No moment with half a tenant: whoever asks while this fails half-way finds no epoch, hence nothing.
redis.call('DEL', KEYS[1])
for i = 3, first_open do redis.call('DEL', KEYS[i]) end

local sums = {}
local function add(key, second, amount)
  if amount == 0 then return end
  local w = sums[key] or {s = 0, o = second, n = second, at = {}}
  sums[key] = w
  w.s, w.o, w.n = w.s + amount, math.min(w.o, second), math.max(w.n, second)
  w.at[second] = (w.at[second] or 0) + amount
end

for _, call in ipairs(facts.calls) do
  local key, age_ms, tokens, open = call[1], call[2], call[3], call[4]
  local second = math.floor((now_ms - age_ms) / 1000)
  local of_key = 3 + 3 * key
  if second > now_s - WINDOW_S - 1 then
    add(KEYS[3], second, 1)
    add(KEYS[of_key], second, 1)
    add(KEYS[4], second, tokens)
    add(KEYS[of_key + 1], second, tokens)
  end
  local known = open > 0 and (redis.call('GET', KEYS[first_open + open]) or '')
  if known and string.sub(known, 1, 1) ~= 'r' then  -- else it has ended since the facts were read
    redis.call('ZADD', KEYS[5], now_ms + LEASE_MS, facts.open[open])
    redis.call('ZADD', KEYS[of_key + 2], now_ms + LEASE_MS, facts.open[open])
    local remembered = string.format('o %s %s %.0f %.0f %.0f 1 1 A %s - - - - - -',
      string.match(known, '^o (%S+) ') or '-', ARGV[1], second, tokens, tokens, ARGV[1])
    redis.call('SET', KEYS[first_open + open], remembered, 'EX', REMEMBER_S)
  end
end

for key, w in pairs(sums) do
  redis.call('HSET', key, 's', w.s, 'o', w.o, 'n', w.n)
  for second, amount in pairs(w.at) do redis.call('HSET', key, second, amount) end
  redis.call('EXPIRE', key, KEEP_WINDOW_S)
end
for i = 5, first_open, 3 do redis.call('EXPIRE', KEYS[i], KEEP_SLOTS_S) end

for _, pair in ipairs(facts.generations) do
  if pair[2] > (tonumber(redis.call('HGET', KEYS[2], pair[1])) or 0) then
    redis.call('HSET', KEYS[2], pair[1], pair[2])
  end
end
redis.call('EXPIRE', KEYS[2], KEEP_GENERATIONS_S)
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2])
return {ok = 'restored'}
