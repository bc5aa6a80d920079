-- ending: how a delivery, and with the last of them its message, comes to an end, or goes on elsewhere.
-- Another channel takes a message over: at once, and not late for what a gate has put off.
local function hand_on(mid, L, N, lane, at)
  local s = P..'s:'..mid
  local planned = call('HGET', s, L..PLANNED)
  if planned then call('HSET', s, N..PLANNED, planned) end
  schedule(mid, N, lane, math.max(now, tonumber(at)))
end

-- What has ended is taken away by whoever claims when its time is over: an EXPIRE on each of its keys would cost more than all else
-- that is written at its end.  A list covers a 512th of the time that things are kept, a minute at least.
-- Who ends many sets `kept`, and writes them down together with keep_all().
local kept = nil
local function keep_until(over, entries)
  if call('RPUSH', P..'gone:'..over, unpack(entries)) == #entries then call('ZADD', P..'gone', over, over) end
end
local function keep_for(entry, keep, usual)
  local span = math.max(60000, math.floor(usual / 512))
  local over = int(math.ceil((real + keep) / span) * span)
  if not kept then return keep_until(over, { entry..ARGV[1] }) end
  kept[over] = kept[over] or {}
  kept[over][#kept[over] + 1] = entry..ARGV[1]
end
local function keep_all()
  for over, entries in pairs(kept) do keep_until(over, entries) end
end

-- A message without open deliveries leaves the pending index and begins to age.
local function close(mid, rid, at, supersede, ret, ret_events)
  call('ZREM', P..'p:'..rid, mid)
  call('ZADD', P..'r:'..rid, ARGV[1], mid)
  -- earlier versions let Redis forget it, and what they ended stands on no list: every eighth one takes the outdated with it
  call('PERSIST', P..'r:'..rid)
  if string.find('0123', sub(mid, -1), 1, true) then call('ZREMRANGEBYSCORE', P..'r:'..rid, '-inf', int(now - ret)) end
  if supersede ~= '' and call('HGET', P..'x:'..rid, supersede) == mid then call('HDEL', P..'x:'..rid, supersede) end
  -- the state outlives the idempotency key (24 h after the send time), or a replay would make the message anew
  local keep = math.max(ret, tonumber(at) - now + 90000000)
  keep_for(mid, keep, ret)
  if ret_events < keep then keep_for('!'..mid, ret_events, ret_events) end
end

-- A message that had ended goes on.
local function reopen(mid, rid)
  local s = P..'s:'..mid
  call('HINCRBY', s, OPEN, 1)
  call('PERSIST', s)
  call('PERSIST', P..'m:'..mid)
  call('PERSIST', P..'t:'..mid)
  call('ZREM', P..'r:'..rid, mid)
  call('ZADD', P..'p:'..rid, call('HGET', s, SEND_AT), mid)
end

-- What ending or settling a delivery needs to know, read once.
local function state(mid, L)
  local v = call('HMGET', P..'s:'..mid, L..STATUS, RECIPIENT, CATEGORY, KIND, STRATEGY, ORDER, LANE, SUPERSEDE, OPEN, SEND_AT, L..MAYBE, L..FENCE, L..REASON, L..ATTEMPTS, SOURCE, L..HOLDER, ERASED)
  return { st = v[1], rid = v[2], cat = v[3], kind = v[4], q = v[5], h = v[6], lane = v[7], u = v[8], n = v[9], at = v[10],
    maybe = v[11], fence = v[12], reason = v[13], attempts = v[14], source = v[15], holder = v[16], erased = v[17] }
end

-- Nothing was sent: its places in the caps' histories are free again.
local function let_go(mid, L, d)
  local sent = send(mid, L, d.kind, d.lane, d.cat, d.source)
  call('ZREM', P..'h:'..d.rid, sent)
  if d.holder and d.holder ~= '' then
    give_back(d.holder, d.fence, sent)
    call('HDEL', P..'s:'..mid, L..HOLDER)
  end
end

-- Ends a delivery.  keep: its place in the caps' history stays.  next: strategy first goes on to the next channel.
-- known: what state() has read.  leases: collects the lease to be ended by the caller, nil to end it here.
-- more: further fields of the state to write with it.
local function finish(mid, L, code, reason, keep, next, ret, ret_events, known, leases, ...)
  local s = P..'s:'..mid
  local d = known or state(mid, L)
  local st, rid, q, h, lane, u, n, at = d.st, d.rid, d.q, d.h, d.lane, d.u, d.n, d.at
  -- what may have arrived stays unknown, whatever ends the next try, and is not repeated on another channel
  if d.maybe and code ~= IS_SENT then code, reason, next = IS_UNKNOWN, 'outcome_unknown', false end
  if st == IS_SCHEDULED then call('ZREM', P..'due:'..L..lane, mid)
  elseif leases then leases[#leases + 1] = mid..L
  else call('ZREM', P..'lease', mid..L) end
  if by_gate(d.reason) then call('ZREM', P..'held', mid..L) end
  -- what may have arrived keeps its place, whatever becomes of the next try
  if not keep and not d.maybe then let_go(mid, L, d) end
  local N = ''
  if next and q == 'f' and not d.erased then
    for after in string.gmatch(string.sub(h, string.find(h, L, 1, true) + 1), '.') do
      if N == '' and not call('HGET', s, after..STATUS) then N = after end
    end
  end
  if code == IS_FAILED and N == '' then
    call('ZADD', P..'dead', now, mid..L)
    call('ZREMRANGEBYSCORE', P..'dead', '-inf', int(now - ret))
  end
  local open = N ~= '' and n or n == '1' and '0' or int(n - 1)
  call('HSET', s, L..STATUS, code, L..REASON, reason, L..ADMISSIONS, '0', OPEN, open, ENDED, ARGV[1], ...)
  if N ~= '' then hand_on(mid, L, N, lane, at)
  elseif tonumber(open) <= 0 and d.erased then call('DEL', s, P..'m:'..mid, P..'t:'..mid)
  elseif tonumber(open) <= 0 then close(mid, rid, at, u, ret, ret_events) end
  return N
end

-- Cancels what can still be stopped of a message.  Returns cancelled, in flight (or perhaps sent before), other final deliveries.
local function stop(mid, letters, code, reason, ret, ret_events)
  local s, stopped, flying, ended = P..'s:'..mid, 0, 0, 0
  for L in string.gmatch(call('HGET', s, ORDER) or '', '.') do
    local st, maybe = unpack(call('HMGET', s, L..STATUS, L..MAYBE))
    if st and string.find(letters, L, 1, true) then
      if st == IS_SCHEDULED or st == IS_CLAIMED or st == IS_ADMITTED then
        finish(mid, L, code, reason, false, false, ret, ret_events)
        trace(mid, L, 'outcome', code == IS_CANCELLED and 'cancelled' or 'superseded', '{"reason":"'..reason..'"}')
        if maybe then flying = flying + 1 else stopped = stopped + 1 end
      elseif st == IS_COMMITTING then flying = flying + 1
      else ended = ended + 1 end
    end
  end
  return stopped, flying, ended
end
