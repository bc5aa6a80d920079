-- consent: one entry into the ledger, the state that follows from it, and the end of the pending messages it covers.
-- ARGV[3] retention ms  [4] of events  [5] rid  [6] category or "*"  [7] channel letter or "*"  [8] categories that need no consent (",account,")
-- [9] "record"  [10] g, w, or p (a grant that waits to be confirmed)  [11] at, "" for now  [12] "history" or "live"  [13] the entry, JSON
-- [9] "sweep"   [10..] mids: goes on with the pending messages that "record" has left
-- Returns effective ("w" when withdrawal holds now), cancelled ids, ids in flight, last sent {id, at} or {}, mids that are left for sweeps
--
-- What counts is when an entry arrives.  A withdrawal holds against everything that arrived before it, whatever its own
-- instant; a grant holds against what is older than its own instant, which cannot lie in the future.  History (an import) only
-- tells what was: there a withdrawal has its own instant too.
-- flags: allow-oom
-- needs: ending caps
local PORTION = 200
local ret, ret_events = tonumber(ARGV[3]), tonumber(ARGV[4])
local rid, cat, ch, exempt = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local cancelled, flying = {}, {}

local function sweep(mid)
  local m = message(mid)
  local mcat = m and m[CATEGORY]
  if not m or m[RECIPIENT] ~= rid or string.find(exempt, ','..mcat..',', 1, true) or (cat ~= '*' and cat ~= mcat) then return end
  local done, open = {}, 0
  for L in string.gmatch(m[ORDER], '.') do
    local d = delivery(m, L)
    local covered = d and (ch == '*' or ch == L) and consent(rid, mcat, L) == 'w'
    if covered and stoppable(d[STATUS]) then
      trace(mid, L, 'consent', 'suppressed', '{"category":"'..mcat..'","state":"withdrawn","withdrawn_while":"pending"}')
      -- a first strategy goes on to a channel that the withdrawal leaves open, at its own time
      finish(mid, L, IS_SUPPRESSED, 'opted_out', false, ch ~= '*', ret, ret_events)
      if d[MAYBE] ~= '' then flying[#flying + 1] = mid else done[#done + 1] = L end
    elseif covered and d[STATUS] == IS_COMMITTING then flying[#flying + 1] = mid end
  end
  for L in string.gmatch(m[ORDER], '.') do
    local d = delivery(m, L)
    if d and (stoppable(d[STATUS]) or d[STATUS] == IS_COMMITTING) then open = open + 1 end
  end
  if #done > 0 and open == 0 then cancelled[#cancelled + 1] = mid
  else for _, L in ipairs(done) do cancelled[#cancelled + 1] = mid..'-'..L end end
end

if ARGV[9] == 'sweep' then
  for i = 10, #ARGV do sweep(ARGV[i]) end
  return saved({ 'w', cancelled, flying, {}, {} })
end

local state, given, history = ARGV[10], tonumber(ARGV[11]), ARGV[12] == 'history'
local newest = -1
for _, v in ipairs(call('HVALS', P..'c:'..rid)) do newest = math.max(newest, tonumber(string.match(v, '^%a:(%-?%d+)'))) end
local at = math.min(given or now, now)
if not history and state == 'w' then at = math.max(now, newest)
elseif not history and not given then at = math.max(now, newest + 1) end

local seq = call('RPUSH', P..'cl:'..rid, sub(ARGV[13], 1, -2)..',"effective_at":'..int(at)..'}')
-- On how many of the channels that the entry is about.
local function holding(what)
  local n = 0
  for L in string.gmatch(ch == '*' and CHANNELS or ch, '.') do
    if consent(rid, cat, L) == what then n = n + 1 end
  end
  return n
end
local all = ch == '*' and #CHANNELS or 1
if state == 'p' then return { holding('g') == all and 'g' or 'p', {}, {}, {}, {} } end
local field = cat..'|'..ch
local held = call('HGET', P..'c:'..rid, field)
local held_at = held and tonumber(string.match(held, '^%a:(%-?%d+)')) or nil
-- history may arrive out of order: the later instant holds, withdrawal wins a tie
if not held_at or at > held_at or (at == held_at and (state == 'w' or sub(held, 1, 1) ~= 'w')) then
  call('HSET', P..'c:'..rid, field, state..':'..int(at)..':'..int(seq))
end
if state ~= 'w' then return { holding('w') == 0 and 'g' or 'o', {}, {}, {}, {} } end
if holding('w') == 0 then return { 'n', {}, {}, {}, {} } end
turn_if_any(rid)
-- Who has turned out to be somebody else (journeys/merge.h) has said it as that one, too: say, by the link in an earlier mail.
local now_called = string.match(call('GET', P..'q:'..rid) or '', '"mv":"([^"\\]+)"}$')
if now_called then
  call('RPUSH', P..'qo', cjson.encode({ person = now_called, withdraw = { category = cat, channel = ch, at = int(at) } }))
  call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(now))
end

local pending, left = call('ZRANGE', P..'p:'..rid, 0, -1), {}
if #pending > PORTION then -- what is under way first, for it cannot wait; the others are swept behind this call
  for _, member in ipairs(call('ZRANGE', P..'lease', 0, -1)) do sweep(sub(member, 1, -2)) end
end
for i, mid in ipairs(pending) do
  if i <= PORTION then sweep(mid) else left[#left + 1] = mid end
end

-- the newest that was sent of what the withdrawal is about, as far as it is remembered
local last = {}
local function look_at(mid)
  local m = message(mid)
  if not m or (cat ~= '*' and cat ~= m[CATEGORY]) then return end
  for L in string.gmatch(ch == '*' and CHANNELS or ch, '.') do
    local d = delivery(m, L)
    local sent = d and (d[STATUS] == IS_SENT or d[STATUS] == IS_DELIVERED) and d[SENT_AT] or ''
    if sent ~= '' and (not last[2] or tonumber(sent) > tonumber(last[2])) then last = { mid..'-'..L, sent } end
  end
end
for _, mid in ipairs(call('ZREVRANGE', P..'r:'..rid, 0, 199)) do
  look_at(mid)
  if last[2] then break end
end
for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, 99)) do look_at(mid) end
return saved({ 'w', cancelled, flying, last, left })
