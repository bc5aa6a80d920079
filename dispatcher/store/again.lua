-- again: what waits because of a gate is looked at again, for the rules have changed, or the templates.
-- ARGV[3] the instant of that: what was put off later was so by the new ones  [4] "rules", or "templates": only what waits for those
-- Returns "1" when there is more, "0" at the end.
local since, what = ARGV[3], ARGV[4]
local members = call('ZRANGEBYSCORE', P..'held', '-inf', since, 'LIMIT', 0, 200)
for _, member in ipairs(members) do
  local mid, L = sub(member, 1, 22), sub(member, 23)
  local st, reason, due, at, lane = unpack(call('HMGET', P..'s:'..mid, L..STATUS, L..REASON, L..DUE, SEND_AT, LANE))
  if not st then call('ZREM', P..'held', member) else call('ZADD', P..'held', int(since + 1), member) end
  if st == IS_SCHEDULED and by_gate(reason) and tonumber(due) > now and (what == 'rules' or reason == 'template_unknown') then
    schedule(mid, L, lane, int(math.max(now, tonumber(at))))
    call('HSET', P..'s:'..mid, L..PLANNED, int(now))
  end
end
if #members > 0 then wake() end
return #members == 200 and '1' or '0'
