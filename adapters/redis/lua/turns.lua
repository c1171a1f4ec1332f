#!lua flags=allow-oom
-- Turns at the backends: who has one, and who waits. One script with four verbs, because each of them may find a place
-- free, and whoever does hands it to the first in the queue who can use it, in the same step.
--
-- KEYS  1 queue: turn id -> its place in line, a time in ms, or one more than the last's
--       2 signs of life: turn id of a waiter -> until when it counts as waiting, in ms
--       3 wishes: turn id of a waiter -> its candidates
--       4 and on: of each backend, turn id -> when its lease ends, in ms
-- ARGV  1 verb  2 now in ms ('-' in production: this server's clock decides)
--       3 '<most>:<backend> ...', in the order of KEYS; only these backends can be given out here
--       then
--       take   turn id, candidates, how many may wait
--       leave  turn id: of a turn that ends, or of a waiter that goes, whatever it was given meanwhile
--       renew  how many turns are held, a pair for each: turn id, backend;
--              then three for each that waits: turn id, place in line, candidates
--       count
--
-- Candidates are '<tier>:<backend> ...', tier by tier: the first with room is taken, in it the least busy.
-- A turn id is '<process>:<number>'. What is given to a waiter is published on its process's channel.
--
-- take answers   T <backend>    taken
--                W <place>      in line
--                F              the queue is full
-- renew answers  [turn id, backend, ...] of those named as waiting that have a turn
-- count answers  [waiting, turns taken at each backend]
--
-- It may run when memory is full: turns must end then, too, and no call that is new comes this far.

local LEASE_MS, GIVEN_MS, ALIVE_MS, KEEP_S, AT_ONCE, MOST_AT_ONCE = 30000, 5000, 3000, 60, 16, 1024
local QUEUE, ALIVE, WISHES = KEYS[1], KEYS[2], KEYS[3]

-- Most turns end while nobody waits. Then nothing is handed on, and it does not matter what time it is.
local freed = 0
if ARGV[1] == 'leave' then
  for i = 4, #KEYS do freed = freed + redis.call('ZREM', KEYS[i], ARGV[4]) end
  if freed > 0 and redis.call('ZCARD', QUEUE) == 0 then return {ok = 'left'} end
end

local now_ms
if ARGV[2] == '-' then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now_ms = tonumber(ARGV[2])
end

local backends, count = {}, 0
for most, name in string.gmatch(ARGV[3], '(%d+):(%S+)') do
  count = count + 1
  backends[count] = {name = name, leases = KEYS[3 + count], most = tonumber(most)}
  backends[name] = backends[count]
end

local function taken(backend)
  backend.taken = backend.taken or redis.call('ZCOUNT', backend.leases, string.format('(%.0f', now_ms), '+inf')
  return backend.taken
end

local function some_has_room()
  for i = 1, count do
    if taken(backends[i]) < backends[i].most then return true end
  end
  return false
end

local function best_of(candidates)
  local best, its_tier
  for tier, name in string.gmatch(candidates, '(%d+):(%S+)') do
    local backend = backends[name]
    if backend and taken(backend) < backend.most
      and (not best or tier == its_tier and backend.taken < best.taken) then
      best, its_tier = backend, tier
    end
  end
  return best
end

local function lease(backend, id, for_ms)
  redis.call('ZADD', backend.leases, now_ms + for_ms, id)
  redis.call('EXPIRE', backend.leases, KEEP_S)
  if backend.taken then backend.taken = backend.taken + 1 end
end

local function put_in_line(id, place, candidates)
  redis.call('ZADD', QUEUE, place, id)
  redis.call('ZADD', ALIVE, now_ms + ALIVE_MS, id)
  redis.call('HSET', WISHES, id, candidates)
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], KEEP_S) end
end

local function take_out_of_line(id)
  redis.call('ZREM', QUEUE, id)
  redis.call('ZREM', ALIVE, id)
  redis.call('HDEL', WISHES, id)
end

local function drop_the_dead()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, '-inf', now_ms)) do take_out_of_line(id) end
end

-- A waiter keeps its place while what it wants is taken; who comes after it may want something else.
-- What it is given is its for a moment only, until it renews: it may have died in the line.
local function hand_on()
  drop_the_dead()
  local given, passed_over, at_once, vain = {}, 0, AT_ONCE, {}
  while some_has_room() do
    local ids = redis.call('ZRANGE', QUEUE, passed_over, passed_over + at_once - 1)
    if #ids == 0 then break end
    at_once = math.min(2 * at_once, MOST_AT_ONCE)
    local wishes = redis.call('HMGET', WISHES, unpack(ids))
    for i, id in ipairs(ids) do
      local wish = wishes[i] or ''
      local backend = not vain[wish] and best_of(wish)
      if backend then
        take_out_of_line(id)
        lease(backend, id, GIVEN_MS)
        given[id] = backend.name
        redis.call('PUBLISH', 'nz:{turns}:to:' .. string.match(id, '^[^:]*'), id .. ' ' .. backend.name)
      else
        vain[wish] = true  -- room only becomes less here
        passed_over = passed_over + 1
      end
    end
  end
  return given
end

local verbs = {}

function verbs.take()
  local id, candidates, may_wait = ARGV[4], ARGV[5], tonumber(ARGV[6])
  local waiting = redis.call('ZCARD', QUEUE)
  local backend = best_of(candidates)
  if backend and waiting > 0 then  -- a lease ran out, or somebody may give out more: the line comes first
    hand_on()
    backend = best_of(candidates)
  end
  if backend then
    lease(backend, id, LEASE_MS)
    return {ok = 'T ' .. backend.name}
  end
  if waiting >= may_wait then
    drop_the_dead()
    if redis.call('ZCARD', QUEUE) >= may_wait then return {ok = 'F'} end
  end
  local last = redis.call('ZRANGE', QUEUE, -1, -1, 'WITHSCORES')
  local place = math.max(now_ms, (tonumber(last[2]) or 0) + 1)
  put_in_line(id, place, candidates)
  return {ok = string.format('W %.0f', place)}
end

function verbs.leave()
  if freed == 0 then take_out_of_line(ARGV[4]) end
  if redis.call('ZCARD', QUEUE) > 0 then hand_on() end
  return {ok = 'left'}
end

local function has_already(id)
  for i = 1, count do
    if redis.call('ZSCORE', backends[i].leases, id) then return backends[i] end
  end
end

function verbs.renew()
  local first_waiting = 5 + 2 * ARGV[4]
  for i = 5, first_waiting - 1, 2 do
    redis.call('ZADD', backends[ARGV[i + 1]].leases, now_ms + LEASE_MS, ARGV[i])
  end
  for i = 1, count do
    redis.call('ZREMRANGEBYSCORE', backends[i].leases, '-inf', now_ms)
    redis.call('EXPIRE', backends[i].leases, KEEP_S)
  end
  local had = {}
  for i = first_waiting, #ARGV, 3 do
    local id = ARGV[i]
    if redis.call('ZSCORE', QUEUE, id) then
      redis.call('ZADD', ALIVE, now_ms + ALIVE_MS, id)
    else
      local backend = has_already(id)
      if backend then
        redis.call('ZADD', backend.leases, now_ms + LEASE_MS, id)
        had[i] = backend.name
      else
        put_in_line(id, ARGV[i + 1], ARGV[i + 2])  -- the store forgot it
      end
    end
  end
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], KEEP_S) end
  local given, answer = hand_on(), {}
  for i = first_waiting, #ARGV, 3 do
    local name = had[i] or given[ARGV[i]]
    if name then
      answer[#answer + 1] = ARGV[i]
      answer[#answer + 1] = name
    end
  end
  return answer
end

function verbs.count()
  drop_the_dead()
  local answer = {redis.call('ZCARD', QUEUE)}
  for i = 1, count do answer[i + 1] = taken(backends[i]) end
  return answer
end

return verbs[ARGV[1]]()
