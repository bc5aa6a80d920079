-- again: what waits because of a gate is looked at again, for the rules have changed, or the templates.
-- ARGV[3] the instant of that: what was put off later was so by the new ones  [4] "rules", or "templates": only what waits for those
-- Returns "1" when there is more, "0" at the end.
-- flags: allow-oom
-- needs: ending people
local since, what = ARGV[3], ARGV[4]
local members = call('ZRANGEBYSCORE', P..'held', '-inf', since, 'LIMIT', 0, 200)
for _, member in ipairs(members) do
  local mid, L = sub(member, 1, 22), sub(member, 23)
  local m = message(mid)
  local d = m and delivery(m, L)
  if not d then call('ZREM', P..'held', member) else call('ZADD', P..'held', int(since + 1), member) end
  if d and by_gate(d[REASON]) and tonumber(d[DUE]) > now and waits(mid, L, m) and (what == 'rules' or d[REASON] == 'template_unknown') then
    due_again(mid, L, m)
  end
end
if #members > 0 then wake() end
save()
return #members == 200 and '1' or '0'
