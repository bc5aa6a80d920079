-- next: the next instant at which something is due in this partition, and how much of it is in hand.
-- Returns when (service time, -1 for never), leases of deliveries and people
-- flags: no-writes
local soonest = nil
local function look(key)
  local head = call('ZRANGE', P..key, 0, 0, 'WITHSCORES')[2]
  if head and (not soonest or tonumber(head) < soonest) then soonest = tonumber(head) end
end
for L in string.gmatch(CHANNELS, '.') do
  for lane = 0, 2 do look('due:'..L..lane) end
end
look('qd')
if call('EXISTS', P..'qo') == 1 then soonest = now end -- what runs have to say to others
return { soonest and int(soonest) or '-1', call('ZCARD', P..'lease') + call('ZCARD', P..'ql') }
