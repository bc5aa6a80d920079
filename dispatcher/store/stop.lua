-- stop: from here on nobody of this partition goes by an earlier list of stops than number ARGV[3].
-- Returns what may still go out by an earlier one: mid..L of each that is committed, or is a card just being put.
-- flags: allow-oom
if tonumber(call('GET', P..'hv') or '0') < tonumber(ARGV[3]) then call('SET', P..'hv', ARGV[3]) end
local members, mids, flying = call('ZRANGE', P..'lease', 0, -1), {}, {}
for i, member in ipairs(members) do mids[i] = sub(member, 1, 22) end
read(mids)
for i, member in ipairs(members) do
  local m, L = message(mids[i]), sub(member, 23)
  local d = m and delivery(m, L)
  local st = d and d[STATUS]
  if st == IS_COMMITTING or (st == IS_ADMITTED and L == 'i') then flying[#flying + 1] = member end
end
return flying
