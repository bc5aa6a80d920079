-- queue: what waits in this partition.
-- Returns for e, s, i: waiting, due, oldest due instant (-1), then leases, dead, committing-or-claimed by channel e s i
local out = {}
for _, L in ipairs({ 'e', 's', 'i' }) do
  local waiting, due, oldest = 0, 0, -1
  for lane = 0, 2 do
    local key = P..'due:'..L..lane
    waiting = waiting + call('ZCARD', key)
    due = due + call('ZCOUNT', key, '-inf', now)
    local head = call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if head and (oldest < 0 or tonumber(head) < oldest) then oldest = tonumber(head) end
  end
  out[#out + 1], out[#out + 2], out[#out + 3] = waiting, due, oldest
end
local flight = { e = 0, s = 0, i = 0 }
for _, member in ipairs(call('ZRANGE', P..'lease', 0, 4095)) do
  local L = string.sub(member, -1)
  flight[L] = (flight[L] or 0) + 1
end
out[10], out[11], out[12], out[13], out[14] = call('ZCARD', P..'lease'), call('ZCARD', P..'dead'), flight.e, flight.s, flight.i
return out
