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
  local s = P..'s:'..mid
  local q, h, lane, at = unpack(call('HMGET', s, STRATEGY, ORDER, LANE, SEND_AT))
  if q ~= 'f' then return end
  local tried, rest, waits = '', '', nil
  for L in string.gmatch(h, '.') do
    local st, attempts, maybe = unpack(call('HMGET', s, L..STATUS, L..ATTEMPTS, L..MAYBE))
    if st == IS_SCHEDULED and (attempts or '0') == '0' and not maybe then waits, rest = L, rest..L
    elseif st then tried = tried..L
    else rest = rest..L end
  end
  local sorted = ''
  for L in string.gmatch(order..rest, '.') do
    if string.find(rest, L, 1, true) and not string.find(sorted, L, 1, true) then sorted = sorted..L end
  end
  call('HSET', s, ORDER, tried..sorted)
  local first = sub(sorted, 1, 1)
  if not waits or waits == first then return end
  call('ZREM', P..'due:'..waits..lane, mid)
  let_go(mid, waits, state(mid, waits)) -- of an admission whose worker died
  hand_on(mid, waits, first, lane, at)
  call('HDEL', s, waits..STATUS, waits..DUE, waits..REASON, waits..ATTEMPTS, waits..FENCE, waits..ADMISSIONS, waits..PLANNED)
  wake()
  trace(mid, first, 'preference', 'pass', '{"detail":"the person now prefers this channel","instead_of":"'..NAME_OF[waits]..'"}')
end

-- A message whose local time means another instant now; one that has begun, or was put off, stays.
local function replan(rid, mid, was, at)
  local s = P..'s:'..mid
  local held, civil, h, lane, expires = unpack(call('HMGET', s, SEND_AT, CIVIL, ORDER, LANE, EXPIRES))
  if held ~= was then return end
  for L in string.gmatch(h, '.') do
    local st, due = unpack(call('HMGET', s, L..STATUS, L..DUE))
    if st and (st ~= IS_SCHEDULED or due ~= was) then return end
  end
  call('HSET', s, SEND_AT, at)
  if tonumber(string.match(civil, '|(%d+)$') or '0') > 0 then call('HSET', s, EXPIRES, int(expires + at - was)) end
  call('ZADD', P..'p:'..rid, at, mid)
  for L in string.gmatch(h, '.') do
    if call('HEXISTS', s, L..STATUS) == 1 then schedule(mid, L, lane, at) end
  end
end

-- What waits because of a gate is due again, and what was admitted goes back, for it was admitted on other terms.
local AGAIN_MOST = 500
local function look_again(rid)
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, AGAIN_MOST - 1)) do
    local s = P..'s:'..mid
    local h, lane, at = unpack(call('HMGET', s, ORDER, LANE, SEND_AT))
    for L in string.gmatch(h or '', '.') do
      local d = state(mid, L)
      if d.st == IS_SCHEDULED and by_gate(d.reason) then
        schedule(mid, L, lane, int(math.max(now, tonumber(at))))
        call('HSET', s, L..PLANNED, int(now))
      elseif d.st == IS_ADMITTED or d.st == IS_CLAIMED then
        if not d.maybe then let_go(mid, L, d) end
        call('ZREM', P..'lease', mid..L)
        call('HSET', s, L..ADMISSIONS, 0)
        schedule(mid, L, lane, int(now))
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
  for _, mid in ipairs(mids) do
    local kind, lane, cat, source = unpack(call('HMGET', P..'s:'..mid, KIND, LANE, CATEGORY, SOURCE))
    for L in string.gmatch(kind and CHANNELS or '', '.') do
      local st, at, due = unpack(call('HMGET', P..'s:'..mid, L..STATUS, L..SENT_AT, L..DUE))
      at = tonumber(at or due or now)
      if st and (st == IS_SENT or st == IS_DELIVERED or st == IS_UNKNOWN or st == IS_COMMITTING) and at > week then call('ZADD', P..'h:'..rid, 'NX', int(at), send(mid, L, kind, lane, cat, source)) end
    end
  end
  call('PEXPIRE', P..'h:'..rid, 691200000)
end

-- Stores a profile; what is pending follows a new order of channels.
local function put_profile(rid, was, will)
  call('SET', P..'u:'..rid, will)
  was, will = was ~= '' and cjson.decode(was) or {}, will ~= '' and cjson.decode(will) or {}
  if own_choice(was) ~= own_choice(will) then
    if not own_limit(was) and own_limit(will) then recall_sends(rid) end
    look_again(rid)
  end
  local order = own_order(will)
  if order == '' or order == own_order(was) then return end
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, -1)) do follow_order(mid, order) end
end
