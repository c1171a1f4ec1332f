#!lua flags=allow-oom
-- Raises generations; a smaller one that comes late changes nothing.
-- It may run when memory is full: a revocation must always arrive.
--
-- KEYS  1 generations
-- ARGV  id, generation, id, generation, ...

local KEEP_GENERATIONS_S = 3600

for i = 1, #ARGV, 2 do
  if tonumber(ARGV[i + 1]) > (tonumber(redis.call('HGET', KEYS[1], ARGV[i])) or 0) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
redis.call('EXPIRE', KEYS[1], KEEP_GENERATIONS_S)
return {ok = 'announced'}
