#!lua flags=allow-oom
-- Ends one call: frees its slots and takes back unused tokens from the second that was charged. Twice is once.
-- It may run when memory is full: what it frees is more than what it writes.
--
-- KEYS  1 what is remembered of this request id  2 epoch
--       3 tokens of the tenant  4 of the key  5 slots of the tenant  6 of the key
-- ARGV  1 request id  2 tokens to take back  3 now in ms ('-' in production)

local WINDOW_S = 60

redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])

local state, its_epoch, second, of_tenant, of_key =
  string.match(redis.call('GET', KEYS[1]) or '', '^(%a) (%d+) (%d+) (%d+) (%d+) ')
if state ~= 'o' then return {ok = 'nothing'} end
redis.call('SETRANGE', KEYS[1], 0, 'r')

-- Windows of another filling were not charged by this record.
local epoch = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+):')
if epoch ~= its_epoch then return {ok = 'freed'} end

local now_s
if ARGV[3] == '-' then now_s = tonumber(redis.call('TIME')[1]) else now_s = math.floor(tonumber(ARGV[3]) / 1000) end
if tonumber(second) <= now_s - WINDOW_S - 1 then return {ok = 'freed'} end

for key, charged in pairs({[KEYS[3]] = of_tenant, [KEYS[4]] = of_key}) do
  local there = tonumber(redis.call('HGET', key, second)) or 0
  local back = math.min(tonumber(ARGV[2]), tonumber(charged), there)
  if back > 0 then
    redis.call('HINCRBY', key, second, string.format('%.0f', -back))
    redis.call('HINCRBY', key, 's', string.format('%.0f', -back))
  end
end
return {ok = 'freed'}
