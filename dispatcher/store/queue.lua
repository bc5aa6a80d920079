-- queue: what waits in this partition.
-- Returns leases, dead, then for each channel: waiting, due, oldest due instant (-1), claimed and not ended
-- flags: no-writes
local flight = {}
for _, member in ipairs(call('ZRANGE', P..'lease', 0, 4095)) do
  local L = sub(member, -1)
  flight[L] = (flight[L] or 0) + 1
end
local out = { call('ZCARD', P..'lease'), call('ZCARD', P..'dead') }
for L in string.gmatch(CHANNELS, '.') do
  local waiting, due, oldest = 0, 0, -1
  for lane = 0, 2 do
    local key = P..'due:'..L..lane
    waiting = waiting + call('ZCARD', key)
    due = due + call('ZCOUNT', key, '-inf', now)
    local head = call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if head and (oldest < 0 or tonumber(head) < oldest) then oldest = tonumber(head) end
  end
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = waiting, due, oldest, flight[L] or 0
end
return out
