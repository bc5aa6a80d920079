-- upgrade: writes anew what schema 1 wrote: states that were hashes, traces that were lists, and what Redis itself was to forget.
-- ARGV[3] retention ms  [4] of events  [5..] mids
-- Returns how many there were.  Twice is once.
-- needs: ending
local ret, ret_events, taken = tonumber(ARGV[3]), tonumber(ARGV[4]), 0
local OLD_CLAIMED = 'c'
local STATE_FIELDS = { r = RECIPIENT, c = CATEGORY, k = KIND, a = SEND_AT, x = EXPIRES, q = STRATEGY, h = ORDER, l = LANE, u = SUPERSEDE, v = CIVIL,
  n = OPEN, z = ACCEPTED_AT, e = ENDED, w = SOURCE, erased = ERASED }
local DELIVERY_FIELDS = { s = STATUS, a = ATTEMPTS, d = DUE, r = REASON, f = FENCE, p = PROVIDER, t = SENT_AT, i = REFERENCE, o = ON_LOST, m = MAYBE,
  g = PLANNED, x = ADMISSIONS, w = UNKNOWN_SINCE, y = HOLDER }

local function put(m, name, text)
  local L, field = sub(name, 1, 1), sub(name, 2)
  text = string.gsub(text, '[\n\31]', ' ')
  if STATE_FIELDS[name] then m[STATE_FIELDS[name]] = text
  elseif PLACE_OF[L] and DELIVERY_FIELDS[field] then
    local d = m.on[PLACE_OF[L]]
    if d == '' then d = blank(DELIVERY_SIZE) end
    d[DELIVERY_FIELDS[field]], m.on[PLACE_OF[L]] = text, d
  end
end

-- A claim used to be written down; its lease still is, and runs out.
local function settle_places(m)
  for k = 1, #CHANNELS do
    local d = m.on[k]
    if d ~= '' and d[STATUS] == '' then m.on[k] = ''
    elseif d ~= '' and d[STATUS] == OLD_CLAIMED then d[STATUS] = IS_SCHEDULED end
  end
end

local function take_over(mid)
  local key, trace_key = P..'s:'..mid, P..'t:'..mid
  if call('TYPE', key).ok ~= 'hash' then return end
  local old, left, m = call('HGETALL', key), call('PTTL', key), new_message(mid)
  for i = 1, #old, 2 do put(m, old[i], old[i + 1]) end
  settle_places(m)
  if call('TYPE', trace_key).ok == 'list' then
    for _, line in ipairs(call('LRANGE', trace_key, 0, -1)) do add_line(mid, line) end
  end
  call('PERSIST', P..'r:'..m[RECIPIENT])
  if left > 0 then -- Redis was to forget it then
    call('PERSIST', P..'m:'..mid)
    if m[ENDED] == '' then m[ENDED] = int(now) end
    keep_for(mid, m[ENDED], left, ret)
    if ret_events < left then keep_for('!'..mid, m[ENDED], ret_events, ret_events) end
  end
  taken = taken + 1
end

for i = 5, #ARGV do take_over(ARGV[i]) end
return saved(taken)
