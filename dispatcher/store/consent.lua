-- consent: one entry into the ledger, the state that follows from it, and the end of every pending message it covers.
-- ARGV[3] retention ms  [4] of events  [5] rid  [6] category or "*"  [7] channel letter or "*"  [8] g, w, or p (a grant that waits to be confirmed)  [9] at
-- [10] the entry, JSON  [11] categories that need no consent (",account,")
-- Returns effective ("w" when withdrawal holds now), cancelled ids, ids in flight, last sent {id, at} or {}
local ret, ret_events = tonumber(ARGV[3]), tonumber(ARGV[4])
local rid, cat, ch, state, at = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local seq = call('RPUSH', P..'cl:'..rid, ARGV[10])
if state == 'p' then
  local held = consent(rid, cat, ch == '*' and 'e' or ch)
  return { held == 'g' and 'g' or 'p', {}, {}, {} }
end
local field = cat..'|'..ch
local held = call('HGET', P..'c:'..rid, field)
local held_at = held and tonumber(string.match(held, '^%a:(%-?%d+)')) or nil
-- entries may arrive out of order: the later instant holds, withdrawal wins a tie
if not held_at or tonumber(at) > held_at or (tonumber(at) == held_at and (state == 'w' or string.sub(held, 1, 1) ~= 'w')) then
  call('HSET', P..'c:'..rid, field, state..':'..at..':'..int(seq))
end
if state ~= 'w' then return { state, {}, {}, {} } end

local cancelled, flying = {}, {}
for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, -1)) do
  local s = P..'s:'..mid
  local mcat, h = unpack(call('HMGET', s, 'c', 'h'))
  if mcat and not string.find(ARGV[11], ','..mcat..',', 1, true) and (cat == '*' or cat == mcat) then
    local done, open = {}, 0
    for L in string.gmatch(h, '.') do
      local st, maybe = unpack(call('HMGET', s, L..'s', L..'m'))
      local covered = st and (ch == '*' or ch == L) and consent(rid, mcat, L) == 'w'
      if covered and (st == 's' or st == 'c' or st == 'a') then
        -- a first strategy goes on to a channel that the withdrawal leaves open
        finish(mid, L, 'P', 'opted_out', false, ch ~= '*', ret, ret_events)
        trace(mid, L, 'consent', 'suppressed', '{"category":"'..mcat..'","state":"withdrawn","withdrawn_while":"pending"}')
        if maybe then flying[#flying + 1] = mid else done[#done + 1] = L end
      elseif covered and st == 'k' then flying[#flying + 1] = mid end
    end
    for L in string.gmatch(h, '.') do
      local st = call('HGET', s, L..'s')
      if st == 's' or st == 'c' or st == 'a' or st == 'k' then open = open + 1 end
    end
    if #done > 0 and open == 0 then cancelled[#cancelled + 1] = mid
    else for _, L in ipairs(done) do cancelled[#cancelled + 1] = mid..'-'..L end end
  end
end

local last = {}
for _, member in ipairs(call('ZREVRANGE', P..'h:'..rid, 0, 199)) do
  local mid, one = string.sub(member, 1, 22), read_kind(string.sub(member, 23))
  local L = one.L
  if (cat == '*' or cat == one.cat) and (ch == '*' or ch == L) then
    local st, sent = unpack(call('HMGET', P..'s:'..mid, L..'s', L..'t'))
    if st == 'T' or st == 'D' then
      last = { mid..'-'..L, sent }
      break
    end
  end
end
return { 'w', cancelled, flying, last }
