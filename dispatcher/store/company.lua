-- company: an account, in its own partition: who belongs to it, and what happened to it.
-- ARGV[3] account  [4] "look" id            -> {"1" when an event of this id is known else "", member …}
-- ARGV[3] account  [4] "keep" id event ms   keeps an event, for so long (real)
-- ARGV[3] account  [4] "events"             -> what is kept, oldest first
local account, op, KEPT_MOST, IDS_LEAST_MS = ARGV[3], ARGV[4], 200, 604800000
if op == 'events' then return call('LRANGE', P..'ae:'..account, 0, -1) end
if op == 'look' then
  local out = { call('ZSCORE', P..'ax:'..account, ARGV[5]) and '1' or '' }
  local people = call('SMEMBERS', P..'am:'..account)
  table.sort(people) -- in no order of chance
  for _, rid in ipairs(people) do out[#out + 1] = rid end
  return out
end
local id, event, span = ARGV[5], ARGV[6], math.max(tonumber(ARGV[7]), IDS_LEAST_MS)
call('RPUSH', P..'ae:'..account, event)
call('LTRIM', P..'ae:'..account, -KEPT_MOST, -1)
call('PEXPIRE', P..'ae:'..account, int(span))
call('ZADD', P..'ax:'..account, real, id)
call('ZREMRANGEBYSCORE', P..'ax:'..account, '-inf', int(real - span))
call('PEXPIRE', P..'ax:'..account, int(span))
return 1
