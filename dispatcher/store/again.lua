-- again: what waits because of a gate is looked at again, for the rules have changed, or the templates.
-- ARGV[3] cursor, "0" at first  [4] "rules", or "templates": only what waits for those
-- Returns the next cursor, "0" at the end.
local page = call('SSCAN', P..'held', ARGV[3], 'COUNT', 200)
for _, member in ipairs(page[2]) do
  local mid, L = sub(member, 1, 22), sub(member, 23)
  local st, reason, due, at, lane = unpack(call('HMGET', P..'s:'..mid, L..'s', L..'r', L..'d', 'a', 'l'))
  if not st then call('SREM', P..'held', member)
  elseif st == 's' and by_gate(reason) and tonumber(due) > now and (ARGV[4] == 'rules' or reason == 'template_unknown') then schedule(mid, L, lane, int(math.max(now, tonumber(at)))) end
end
if #page[2] > 0 then wake() end
return page[1]
