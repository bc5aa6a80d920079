-- stop: the list of stops, which lies in the first partition, and the number of it that all must know.
-- ARGV[3] "put"   id, stop (JSON, "" to lift it)      -> the number of the list with it
-- ARGV[3] "read"  the least that its number must be   -> the list: id, stop, …, "*", number
-- ARGV[3] "tell"  number: from here on nobody of this partition goes by an earlier list -> what may still go out by one, mid..L of each that
--   is committed, or is a card just being put; and what is in a worker's hand besides
-- A number is the world's time in ms, or the next one: a list that was lost does not begin again below what partitions know.
-- flags: allow-oom
local function raise(least)
  local number = math.max(tonumber(call('HGET', P..'stops', '*') or '0'), least)
  call('HSET', P..'stops', '*', int(number))
  return int(number)
end

if ARGV[3] == 'put' then
  if ARGV[5] == '' then call('HDEL', P..'stops', ARGV[4]) else call('HSET', P..'stops', ARGV[4], ARGV[5]) end
  return raise(math.max(real, tonumber(call('HGET', P..'stops', '*') or '0') + 1))
elseif ARGV[3] == 'read' then
  local known = math.max(tonumber(ARGV[4]), tonumber(call('GET', P..'hv') or '0'))
  if known > tonumber(call('HGET', P..'stops', '*') or '0') then raise(known) end
  return call('HGETALL', P..'stops')
end

if tonumber(call('GET', P..'hv') or '0') < tonumber(ARGV[4]) then call('SET', P..'hv', ARGV[4]) end
local members, mids, flying, in_hand = call('ZRANGE', P..'lease', 0, -1), {}, {}, {}
for i, member in ipairs(members) do mids[i] = sub(member, 1, 22) end
read(mids)
for i, member in ipairs(members) do
  local m, L = message(mids[i]), sub(member, 23)
  local d = m and delivery(m, L)
  local st = d and d[STATUS]
  if st == IS_COMMITTING or (st == IS_ADMITTED and L == 'i') then flying[#flying + 1] = member
  elseif st then in_hand[#in_hand + 1] = member end
end
return { flying, in_hand }
