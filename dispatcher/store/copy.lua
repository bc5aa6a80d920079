-- copy: what a rehearsal needs of a partition; nothing is changed here.
-- ARGV[3] "people"  then recipients: everything of theirs, and of what is pending for them
-- ARGV[3] "keys"    then keys, behind the partition's own name
-- Returns two lists: key, what DUMP says of it, …; and sorted set, member, score ("" where it is a set), …
-- flags: no-writes
local dumps, entries = {}, {}
local PERSONAL = { 'u:', 'c:', 'cl:', 'h:', 'x:', 'i:', 'io:', 'iv:', 'iz:', 'p:', 'q:', 'qi:', 'qe:', 'qx:', 'qt:', 'qz:' }

local function take(name)
  local key = P..name
  local text = call('DUMP', key)
  if text then dumps[#dumps + 1], dumps[#dumps + 2] = name, text end
end
local function take_entry(name, member, score)
  local n = #entries
  entries[n + 1], entries[n + 2], entries[n + 3] = name, member, score
end
local function take_score(name, member)
  local key = P..name
  local score = call('ZSCORE', key, member)
  if score then take_entry(name, member, score) end
  return score
end

-- What a worker has in hand is in nobody's there: as after its death.
local function take_message(mid)
  local m = message(mid)
  if not m then return end
  for _, kind in ipairs({ 'm:', 's:', 't:' }) do take(kind..mid) end
  for L in string.gmatch(m[ORDER], '.') do
    if delivery(m, L) then
      if not take_score('due:'..L..m[LANE], mid) and call('ZSCORE', P..'lease', mid..L) then take_entry('lease', mid..L, '0') end
      take_score('held', mid..L)
    end
  end
end

local function take_person(rid)
  for _, kind in ipairs(PERSONAL) do take(kind..rid) end
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, -1)) do take_message(mid) end
  if not take_score('qd', rid) and call('ZSCORE', P..'ql', rid) then take_entry('qd', rid, int(now)) end
  if call('SISMEMBER', P..'qm', rid) == 1 then take_entry('qm', rid, '') end
end

for i = 4, #ARGV do (ARGV[3] == 'people' and take_person or take)(ARGV[i]) end
return { dumps, entries }
