#!lua flags=allow-oom
-- Renews slots. They are added again rather than looked for, so that they come back by themselves after a flush.
--
-- KEYS  1 slots of the tenant, then of each key
-- ARGV  1 now in ms ('-' in production), then pairs: which of KEYS, request id

local LEASE_MS, KEEP_SLOTS_S = 30000, 60

local now_ms
if ARGV[1] == '-' then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now_ms = tonumber(ARGV[1])
end

for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], now_ms + LEASE_MS, ARGV[i + 1])
  redis.call('ZADD', KEYS[tonumber(ARGV[i])], now_ms + LEASE_MS, ARGV[i + 1])
end
for i = 1, #KEYS do redis.call('EXPIRE', KEYS[i], KEEP_SLOTS_S) end
return {ok = 'renewed'}
