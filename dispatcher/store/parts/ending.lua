-- ending: how a delivery, and with the last of them its message, comes to an end, or goes on elsewhere.
-- Another channel takes a message over: at once, and not late for what a gate has put off.
local function hand_on(mid, L, N)
  local m = message(mid)
  local planned = delivery(m, L)[PLANNED]
  schedule(mid, N, math.max(now, tonumber(m[SEND_AT])))
  if planned ~= '' then delivery(m, N)[PLANNED] = planned end
end

-- What has ended is taken away by whoever claims when its time is over: an EXPIRE on each of its keys would cost more than all else
-- that is written at its end.  A list covers a 512th of the time that things are kept, a minute at least.
-- Who ends many sets `kept`, and writes them down together with keep_all().
local kept = nil
local function keep_until(over, entries)
  if call('RPUSH', P..'gone:'..over, unpack(entries)) == #entries then call('ZADD', P..'gone', over, over) end
end
local function keep_for(entry, ended, keep, usual)
  local span = math.max(60000, math.floor(usual / 512))
  local over = int(math.ceil((real + keep) / span) * span)
  if not kept then return keep_until(over, { entry..ended }) end
  kept[over] = kept[over] or {}
  kept[over][#kept[over] + 1] = entry..ended
end
local function keep_all()
  for over, entries in pairs(kept) do keep_until(over, entries) end
end

-- The state outlives the idempotency key (24 h after the send time), or a replay would make the message anew.
local function age(mid, rid, ended, at, ret, ret_events)
  local keep = math.max(ret, tonumber(at) - now + 90000000)
  call('ZREM', P..'p:'..rid, mid)
  call('ZADD', P..'r:'..rid, ended, mid)
  keep_for(mid, ended, keep, ret)
  if ret_events < keep then keep_for('!'..mid, ended, ret_events, ret_events) end
end

-- A run hears how its message has ended, unless it has cancelled it itself.
local silent = {}
local function tell_run(mid, m)
  local ends = {}
  for L in string.gmatch(m[ORDER], '.') do
    local d = delivery(m, L)
    if d then ends[#ends + 1] = { d[STATUS], d[REASON] } end
  end
  call('RPUSH', P..'qi:'..m[RECIPIENT], cjson.encode({ k = 'm', m = mid, d = ends }))
  turn(m[RECIPIENT])
end

-- A message without open deliveries leaves the pending index and begins to age.
local function close(mid, m, ret, ret_events)
  local rid, supersede = m[RECIPIENT], m[SUPERSEDE]
  if supersede ~= '' and call('HGET', P..'x:'..rid, supersede) == mid then call('HDEL', P..'x:'..rid, supersede) end
  age(mid, rid, m[ENDED], m[SEND_AT], ret, ret_events)
  if m[JOURNEY] ~= '' and not silent[mid] then tell_run(mid, m) end
end

-- A message that had ended goes on.
local function reopen(mid, m)
  m[OPEN] = int(m[OPEN] + 1)
  call('ZREM', P..'r:'..m[RECIPIENT], mid)
  call('ZADD', P..'p:'..m[RECIPIENT], m[SEND_AT], mid)
end

-- Nothing was sent: its places in the caps' histories are free again.
local function let_go(mid, L, m)
  local d, sent = delivery(m, L), send_of(mid, L, m)
  call('ZREM', P..'h:'..m[RECIPIENT], sent)
  if d[HOLDER] ~= '' then give_back(d[HOLDER], d[FENCE], sent) end
  d[HOLDER] = ''
end

-- The next channel of strategy first, or nil.
local function next_channel(m, L)
  for after in string.gmatch(sub(m[ORDER], string.find(m[ORDER], L, 1, true) + 1), '.') do
    if not delivery(m, after) then return after end
  end
end

-- Ends a delivery.  keep: its place in the caps' history stays.  next: strategy first goes on to the next channel, which is returned.
-- leases: collects the lease to be ended by the caller, nil to end it here.
local function finish(mid, L, code, reason, keep, next, ret, ret_events, leases)
  local m = message(mid)
  local d = delivery(m, L)
  -- what may have arrived stays unknown, whatever ends the next try, and is not repeated on another channel
  if d[MAYBE] ~= '' and code ~= IS_SENT then code, reason, next = IS_UNKNOWN, 'outcome_unknown', false end
  local has_waited = d[STATUS] == IS_SCHEDULED and call('ZREM', P..'due:'..L..m[LANE], mid) == 1
  if not has_waited and leases then leases[#leases + 1] = mid..L
  elseif not has_waited then call('ZREM', P..'lease', mid..L) end
  if by_gate(d[REASON]) then call('ZREM', P..'held', mid..L) end
  -- what may have arrived keeps its place, whatever becomes of the next try
  if not keep and d[MAYBE] == '' then let_go(mid, L, m) end
  local N = next and m[STRATEGY] == 'f' and m[ERASED] == '' and next_channel(m, L) or nil
  if code == IS_FAILED and not N then
    call('ZADD', P..'dead', now, mid..L)
    call('ZREMRANGEBYSCORE', P..'dead', '-inf', int(now - ret))
  end
  d[STATUS], d[REASON], d[ADMISSIONS], m[ENDED] = code, reason, '0', ARGV[1]
  if N then hand_on(mid, L, N)
  else
    m[OPEN] = int(m[OPEN] - 1)
    if tonumber(m[OPEN]) <= 0 and m[ERASED] ~= '' then drop(mid)
    elseif tonumber(m[OPEN]) <= 0 then close(mid, m, ret, ret_events) end
  end
  return N
end

-- Whether it can still be stopped.
local function stoppable(st) return st == IS_SCHEDULED or st == IS_ADMITTED end

-- Cancels what can still be stopped of a message.  Returns cancelled, in flight (or perhaps sent before), other final deliveries.
-- detail: of the trace; nil for the reason.
local function stop(mid, letters, code, reason, ret, ret_events, detail)
  local m, stopped, flying, ended = message(mid), 0, 0, 0
  for L in string.gmatch(m and m[ORDER] or '', '.') do
    local d = delivery(m, L)
    if d and string.find(letters, L, 1, true) then
      if stoppable(d[STATUS]) then
        trace(mid, L, 'outcome', code == IS_CANCELLED and 'cancelled' or 'superseded', detail or '{"reason":"'..reason..'"}')
        finish(mid, L, code, reason, false, false, ret, ret_events)
        if d[MAYBE] ~= '' then flying = flying + 1 else stopped = stopped + 1 end
      elseif d[STATUS] == IS_COMMITTING then flying = flying + 1
      else ended = ended + 1 end
    end
  end
  return stopped, flying, ended
end
