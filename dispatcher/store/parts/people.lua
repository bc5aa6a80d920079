-- people: what follows for what is pending when a person changes.  Needs ending.
-- The letters of a profile's channels in the person's order, "" when there is no list.
local letter_of = {}
for L, name in pairs(NAME_OF) do letter_of[name] = L end
local function own_order(p)
  local list, letters = p.channels, ''
  for _, name in ipairs(type(list) == 'table' and list or {}) do letters = letters..(letter_of[name] or '') end
  return letters
end

-- What a person has chosen, as one text to compare; what is not there is "".
local function own_choice(p)
  local own = type(p.preferences) == 'table' and p.preferences or {}
  local function said(v) return (v == nil or v == cjson.null) and '' or tostring(v) end
  local channels = type(p.channels) == 'table' and cjson.encode(p.channels) or ''
  return said(own.pause_until)..'|'..said(own.max_per_week)..'|'..channels..'|'..said(p.timezone)
end

-- A message of strategy first goes on in the person's order with what has not been tried; one that only waits begins anew with it.
local function follow_order(mid, order)
  local m = message(mid)
  if not m or m[STRATEGY] ~= 'f' then return end
  local tried, rest, first_to_wait = '', '', nil
  for L in string.gmatch(m[ORDER], '.') do
    local d = delivery(m, L)
    if d and waits(mid, L, m) and (tonumber(d[ATTEMPTS]) or 0) == 0 and d[MAYBE] == '' then first_to_wait, rest = L, rest..L
    elseif d then tried = tried..L
    else rest = rest..L end
  end
  local sorted = ''
  for L in string.gmatch(order..rest, '.') do
    if string.find(rest, L, 1, true) and not string.find(sorted, L, 1, true) then sorted = sorted..L end
  end
  m[ORDER] = tried..sorted
  local first = sub(sorted, 1, 1)
  if not first_to_wait or first_to_wait == first then return end
  call('ZREM', P..'due:'..first_to_wait..m[LANE], mid)
  let_go(mid, first_to_wait, m) -- of an admission whose worker died
  local fence = delivery(m, first_to_wait)[FENCE]
  hand_on(mid, first_to_wait, first)
  delivery(m, first)[FENCE] = int(fence + 1) -- it may come back to where it was, and must not be taken for what that was
  m.on[PLACE_OF[first_to_wait]] = ''
  wake()
  trace(mid, first, 'preference', 'pass', '{"detail":"the person now prefers this channel","instead_of":"'..NAME_OF[first_to_wait]..'"}')
end

-- A message whose local time means another instant now; one that has begun, or was put off, stays.
local function replan(rid, mid, before, at)
  local m = message(mid)
  if not m or m[SEND_AT] ~= before then return end
  for L in string.gmatch(m[ORDER], '.') do
    local d = delivery(m, L)
    if d and (d[DUE] ~= before or not waits(mid, L, m)) then return end
  end
  m[SEND_AT] = at
  if tonumber(string.match(m[CIVIL], '|(%d+)$') or '0') > 0 then m[EXPIRES] = int(m[EXPIRES] + at - before) end
  call('ZADD', P..'p:'..rid, at, mid)
  for L in string.gmatch(m[ORDER], '.') do
    if delivery(m, L) then schedule(mid, L, at) end
  end
end

-- What waits because of a gate is due again.
local function due_again(mid, L, m)
  local d = delivery(m, L)
  schedule(mid, L, math.max(now, tonumber(m[SEND_AT])))
  if d[REASON] ~= 'halted' then d[PLANNED] = int(now) end
end

-- The same for all of a person, and what was admitted goes back, for it was admitted on other terms.
local AGAIN_MOST = 500
local function look_again(rid)
  local mids = call('ZRANGE', P..'p:'..rid, 0, AGAIN_MOST - 1)
  read(mids)
  for _, mid in ipairs(mids) do
    local m = message(mid)
    for L in string.gmatch(m and m[ORDER] or '', '.') do
      local d = delivery(m, L)
      if d and stoppable(d[STATUS]) and call('ZREM', P..'lease', mid..L) == 1 then
        if d[MAYBE] == '' then let_go(mid, L, m) end
        d[ADMISSIONS] = '0'
        schedule(mid, L, now)
      elseif d and d[STATUS] == IS_SCHEDULED and by_gate(d[REASON]) then due_again(mid, L, m)
      end
    end
  end
  wake()
end

-- The person's own limit counts what was sent before it was set, too.
local function own_limit(p)
  local own = p.preferences
  return type(own) == 'table' and type(own.max_per_week) == 'number'
end
local function recall_sends(rid)
  local mids, week = call('ZRANGEBYSCORE', P..'r:'..rid, int(now - 604800000), '+inf'), now - 604800000
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, AGAIN_MOST - 1)) do mids[#mids + 1] = mid end
  read(mids)
  for _, mid in ipairs(mids) do
    local m = message(mid)
    for L in string.gmatch(m and CHANNELS or '', '.') do
      local d = delivery(m, L)
      local st, at = d and d[STATUS], d and tonumber(d[SENT_AT] ~= '' and d[SENT_AT] or d[DUE])
      if (st == IS_SENT or st == IS_DELIVERED or st == IS_UNKNOWN or st == IS_COMMITTING) and at > week then
        call('ZADD', P..'h:'..rid, 'NX', int(at), send_of(mid, L, m))
      end
    end
  end
  call('PEXPIRE', P..'h:'..rid, 691200000)
end

-- Sequences may begin or end with it; where none asks for profiles, only those who are in one.
local function tell_profile(rid, was, will, import)
  if call('EXISTS', P..'qp') == 0 then return turn_if_any(rid) end
  local id = int(now)..'-'..sub(redis.sha1hex(was..'\0'..will), 1, 10) -- the same in each rehearsal
  call('RPUSH', P..'qi:'..rid, cjson.encode({ k = 'p', w = was, m = import, i = id }))
  turn(rid)
end

-- Stores a profile; what is pending follows a new order of channels.  import: it came with many others.
local function put_profile(rid, was, will, import)
  call('SET', P..'u:'..rid, will)
  tell_profile(rid, was, will, import == true)
  was, will = was ~= '' and cjson.decode(was) or {}, will ~= '' and cjson.decode(will) or {}
  if own_choice(was) ~= own_choice(will) then
    if not own_limit(was) and own_limit(will) then recall_sends(rid) end
    look_again(rid)
  end
  local order = own_order(will)
  if order == '' or order == own_order(was) then return end
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, -1)) do follow_order(mid, order) end
end
