-- accepting: a message comes in.  Needs ending and people.
-- Whoever accepts sets `ret` and `ret_events`, and at the end calls write_due() and tell_due().
local ret, ret_events
local due, wake_at = {}, nil

-- Those of a lane together; before anything looks for them there.
local function write_due()
  for key, list in pairs(due) do
    call('ZADD', key, unpack(list.scores))
    if not wake_at or list.first < wake_at then
      local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
      if tonumber(head) == list.first then wake_at = list.first end
    end
  end
  due = {}
end
local function put_due(mid, L, m)
  local key, at = P..'due:'..L..m[LANE], tonumber(m[SEND_AT])
  local list = due[key] or { scores = {}, first = at }
  local n = #list.scores
  list.scores[n + 1], list.scores[n + 2], list.first = m[SEND_AT], mid, math.min(list.first, at)
  due[key] = list
  plan(mid, L, m[SEND_AT])
end

local function supersede(mid, rid, value)
  local older = call('HGET', P..'x:'..rid, value)
  if older then
    write_due()
    stop(older, CHANNELS, IS_CANCELLED, 'superseded', ret, ret_events)
  end
  call('HSET', P..'x:'..rid, value, mid)
end

local function accept(mid, rid, body, cat, kind, at, expires, q, h, lane, u, source, civil, before, will, journey)
  if message(mid) then return 'dup' end
  if will ~= '' and (call('GET', P..'u:'..rid) or '') ~= before then return 'race' end
  if will ~= '' then
    write_due()
    put_profile(rid, before, will)
  end
  if u ~= '' then supersede(mid, rid, u) end
  local m = new_message(mid)
  m[RECIPIENT], m[CATEGORY], m[KIND], m[SEND_AT], m[EXPIRES], m[STRATEGY] = rid, cat, kind, at, expires, q
  m[ORDER], m[LANE], m[SUPERSEDE], m[OPEN], m[ACCEPTED_AT] = h, lane, u, q == 'f' and '1' or int(#h), ARGV[1]
  m[SOURCE], m[CIVIL], m[JOURNEY] = source, civil, journey
  writes[#writes + 1], writes[#writes + 2] = P..'m:'..mid, body
  call('ZADD', P..'p:'..rid, at, mid)
  for L in string.gmatch(q == 'f' and sub(h, 1, 1) or h, '.') do put_due(mid, L, m) end
  return 'ok'
end

-- Those who claim hear of the first of them.
local function tell_due(wake_channel)
  if wake_at then call('PUBLISH', wake_channel, P..int(wake_at)) end
end
