-- upgrading: what schema 1 wrote, in the form of this one: states that were hashes, traces that were lists.  Needs ending.
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

-- A claim used to be written down, with a fence of its own; its lease still is, and runs out.  What waits has a fence that is newer than
-- that of its last claim.
local function settle_places(m)
  for k = 1, #CHANNELS do
    local d = m.on[k]
    if d ~= '' and d[STATUS] == '' then m.on[k] = ''
    elseif d ~= '' and d[STATUS] == OLD_CLAIMED then d[STATUS] = IS_SCHEDULED
    elseif d ~= '' and d[STATUS] == IS_SCHEDULED then d[FENCE] = int((tonumber(d[FENCE]) or 0) + 1) end
  end
end

-- Returns whether there was such a state.
local function take_over(mid, ret, ret_events)
  local key, trace_key = P..'s:'..mid, P..'t:'..mid
  if call('TYPE', key).ok ~= 'hash' then return false end
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
  return true
end
