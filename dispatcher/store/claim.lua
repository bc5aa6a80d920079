-- claim: takes back leases that ran out, then takes due deliveries, high lanes first.
-- ARGV[3] lease ms (real)  [4] retention ms  [5] of events  [6] service ms before a lost outcome is sent again
-- [7] service ms after which one is late
-- [8] service ms for which a template that no worker knew so far is left to the others (0: this worker knows all)
-- then for each channel: letter, how many, how many late ones of the lanes normal and low (-1: no limit)
-- Returns {for each channel when the next one is due (-1: none waits), and for each "1" when late ones wait for their turn}, {how many leases
--   ran out, when the next one will}, {account reservations to be given back}, then for each delivery: mid..L, state, body, profile
-- needs: ending upgrading
-- flags: allow-oom
local lease_ms, ret, ret_events, resend_after, late_after, yield_ms = unpack(ARGV, 3, 8)
ret, ret_events = tonumber(ret), tonumber(ret_events)
local reclaimed = 0

local function reclaim(member)
  local mid, L = sub(member, 1, 22), sub(member, 23)
  local m = message(mid)
  local d = m and delivery(m, L)
  call('ZREM', P..'lease', member)
  if not d then return end
  if stoppable(d[STATUS]) then
    reclaimed = reclaimed + 1
    if d[STATUS] == IS_ADMITTED then trace(mid, L, 'outcome', 'retry', '{"detail":"the worker died before the point of no return"}') end
    schedule(mid, L, d[DUE])
  elseif d[STATUS] == IS_COMMITTING then
    reclaimed = reclaimed + 1
    trace(mid, L, 'outcome', 'unknown', '{"detail":"the worker died after the point of no return","on_unknown":"'..(d[ON_LOST] == 'r' and 'resend' or 'hold')..'"}')
    if d[ON_LOST] == 'r' and m[ERASED] == '' then
      schedule(mid, L, now + tonumber(resend_after))
      d[REASON], d[MAYBE] = 'outcome_unknown', '1'
    else
      finish(mid, L, IS_UNKNOWN, 'outcome_unknown', true, false, ret, ret_events)
    end
  end
end
for _, member in ipairs(call('ZRANGEBYSCORE', P..'lease', '-inf', real, 'LIMIT', 0, 128)) do reclaim(member) end

-- What has outlived its time goes, a portion with each claim; what has gone on meanwhile has another ENDED.
local SWEEP_MOST = 200
local function forget(entry)
  local mid, ended = string.match(entry, '^!?('..string.rep('.', 22)..')(%d+)$')
  local m = message(mid)
  if not m or m[ENDED] ~= ended or tonumber(m[OPEN]) > 0 then return end
  if sub(entry, 1, 1) == '!' then
    call('UNLINK', P..'t:'..mid)
    m[TRACED] = ''
    return
  end
  call('ZREM', P..'r:'..m[RECIPIENT], mid)
  drop(mid)
end
for _, over in ipairs(call('ZRANGEBYSCORE', P..'gone', '-inf', real, 'LIMIT', 0, 1)) do
  local entries, mids = call('LPOP', P..'gone:'..over, SWEEP_MOST) or {}, {}
  for i, entry in ipairs(entries) do mids[i] = string.match(entry, '^!?('..string.rep('.', 22)..')') end
  read(mids)
  for _, entry in ipairs(entries) do forget(entry) end
  if #entries < SWEEP_MOST then call('ZREM', P..'gone', over) end
end

local out = { {}, {}, call('LRANGE', P..'aq', 0, 63) }

local late, late_room = now - tonumber(late_after), -1

-- The due ones of a lane, the oldest first, but for the first `skip`; where late ones are limited, those within their limit and then the others.
local function due_ones(key, lane, skip, count)
  if lane == 0 or late_room < 0 then return call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', skip, count) end
  local mids = call('ZRANGEBYSCORE', key, '-inf', int(late), 'LIMIT', 0, math.min(count, late_room))
  late_room = late_room - #mids
  for _, mid in ipairs(call('ZRANGEBYSCORE', key, '('..int(late), now, 'LIMIT', skip, count - #mids)) do mids[#mids + 1] = mid end
  return mids
end

-- What this worker leaves to the others: how many of a lane's due ones, and when of a channel it takes the first of them.  They are too young
-- to be late, and stand before all that was not read.
local left_in, left_until = {}, {}
local function leave(key, mid, L, due)
  local mine = tonumber(due) + tonumber(yield_ms)
  if mine <= now then return false end
  call('ZADD', key, due, mid)
  left_in[key] = (left_in[key] or 0) + 1
  left_until[L] = math.min(left_until[L] or mine, mine)
  return true
end

-- Of what no worker knew so far.
local function is_for_others(key, mid, L)
  if yield_ms == '0' then return false end
  local m = message(mid)
  local d = m and delivery(m, L)
  return d and d[REASON] == 'template_unknown' and leave(key, mid, L, d[DUE])
end

-- States are handed on as they are: nothing is written but the lease.
local function take(L, lane, count)
  if count <= 0 then return 0 end
  local key = P..'due:'..L..lane
  local skip = left_in[key] or 0
  local mids = due_ones(key, lane, skip, count)
  if #mids == 0 then return 0 end
  call('ZREM', key, unpack(mids))
  read(mids)
  for _, mid in ipairs(mids) do -- a process of the earlier version may still accept
    if not texts[mid] and take_over(mid, ret, ret_events) then save() end
  end
  local leases, ends, bodies, profiles = {}, int(real + tonumber(lease_ms)), {}, {}
  for j, mid in ipairs(mids) do
    bodies[j], profiles[j] = P..'m:'..mid, P..'u:'..(texts[mid] and string.match(texts[mid], '^[^\31]*') or '')
  end
  bodies, profiles = call('MGET', unpack(bodies)), call('MGET', unpack(profiles))
  for j, mid in ipairs(mids) do
    if texts[mid] and bodies[j] and not is_for_others(key, mid, L) then
      leases[#leases + 1] = ends
      leases[#leases + 1] = mid..L
      local n = #out
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = mid..L, texts[mid], bodies[j], profiles[j] or ''
    end
  end
  if #leases > 0 then call('ZADD', P..'lease', unpack(leases)) end
  local left = (left_in[key] or 0) - skip
  if left > 0 then return #mids - left + take(L, lane, left) end -- others may have the room of what was left
  return #mids
end

save() -- what had lost its lease is handed on as it is now
local limited = {}
for i = 9, #ARGV, 3 do
  local L, room = ARGV[i], tonumber(ARGV[i + 1])
  late_room = tonumber(ARGV[i + 2])
  limited[L] = late_room >= 0
  -- the lower lanes keep an eighth and a sixteenth of the room, so that none starves
  local left = room - take(L, 0, math.ceil(room * 13 / 16))
  left = left - take(L, 1, left - math.floor(room / 16))
  left = left - take(L, 2, left)
  left = left - take(L, 0, left)
  take(L, 1, left)
end

for c = 1, #CHANNELS do
  local L, waits = sub(CHANNELS, c, c), c + #CHANNELS
  local next = left_until[L]
  for lane = 0, 2 do
    local key = P..'due:'..L..lane
    local skip = left_in[key] or 0
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if head and limited[L] and lane > 0 and tonumber(head) <= late then
      out[1][waits] = '1'
      head = call('ZRANGEBYSCORE', key, '('..int(late), '+inf', 'WITHSCORES', 'LIMIT', skip, 1)[2]
    elseif skip > 0 then head = call('ZRANGE', key, skip, skip, 'WITHSCORES')[2] end
    if head and (not next or tonumber(head) < next) then next = tonumber(head) end
  end
  out[1][c], out[1][waits] = next and int(next) or '-1', out[1][waits] or ''
end
local lease = call('ZRANGE', P..'lease', 0, 0, 'WITHSCORES')[2]
out[2] = { reclaimed, lease and int(tonumber(lease)) or '-1' }
return saved(out)
