#!lua flags=allow-oom
-- Ends one call: frees its slots and takes back, from the second that was charged, unused tokens, and the call itself
-- if it was refused after all. Twice is once, and the end of a former attempt is none of the one that runs.
-- It may run when memory is full: what it frees is more than what it writes.
--
-- KEYS  1 what is remembered of this request id  2 epoch
--       3 tokens of the tenant  4 of the key  5 slots of the tenant  6 of the key  7 calls of the tenant  8 of the key
-- ARGV  1 request id  2 tokens to take back  3 calls to take back (0 or 1)  4 which attempt ends
--       5 now in ms ('-' in production)

local REMEMBER_S, WINDOW_S = 900, 60

-- What was restored says '-': the ledger does not know which attempt it is.
local remembered = redis.call('GET', KEYS[1]) or ''
local attempt, its_epoch, second, tenant_tokens, key_tokens, tenant_calls, key_calls =
  string.match(remembered, '^o (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ')
if attempt and attempt ~= '-' and attempt ~= ARGV[4] then return {ok = 'nothing'} end

redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
if remembered == '' then redis.call('SET', KEYS[1], 'r', 'EX', REMEMBER_S) end  -- facts may be on their way that know it as open
if not attempt then return {ok = 'nothing'} end
redis.call('SETRANGE', KEYS[1], 0, 'r')

-- Windows of another filling were not charged by this record.
local epoch = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+):')
if epoch ~= its_epoch then return {ok = 'freed'} end

local now_s
if ARGV[5] == '-' then now_s = tonumber(redis.call('TIME')[1]) else now_s = math.floor(tonumber(ARGV[5]) / 1000) end
if tonumber(second) <= now_s - WINDOW_S - 1 then return {ok = 'freed'} end

local function take_back(key, charged, amount)
  local there = tonumber(redis.call('HGET', key, second)) or 0
  local back = math.min(tonumber(amount), tonumber(charged), there)
  if back > 0 then
    redis.call('HINCRBY', key, second, string.format('%.0f', -back))
    redis.call('HINCRBY', key, 's', string.format('%.0f', -back))
  end
end
take_back(KEYS[3], tenant_tokens, ARGV[2])
take_back(KEYS[4], key_tokens, ARGV[2])
take_back(KEYS[7], tenant_calls, ARGV[3])
take_back(KEYS[8], key_calls, ARGV[3])
return {ok = 'freed'}
