-- runners: people with runs of a sequence, a portion; and what is to be done to the messages that those runs wait for.
-- ARGV[3] retention ms (real)  [4] of events  [5] cursor, "0" at first  [6] sequence, "" for all  [7] wave, "" for all  [8] "" or
--   hold     what waits, or is not committed, waits until release
--   release  what is held goes now, whatever has become of its run; names nobody
--   count    how many of them are in flight
--   cancel   it is cancelled, and its run hears so
--   turn     their turn is now
-- Returns {next cursor ("0": that was all), messages that were held, released or cancelled, in flight}, then the people.
-- flags: allow-oom
-- needs: ending
local ret, ret_events, cursor, sequence, wave, op = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local key = P..'qh:'..sequence..(wave ~= '' and ':'..wave or '')
local FAR_MS, PORTION = 34560000000, 200
local touched, flying = 0, 0

local function hold(mid, L, m, d)
  if not stoppable(d[STATUS]) then return d[STATUS] == IS_COMMITTING and 'flies' end
  local waited = call('ZREM', P..'due:'..L..m[LANE], mid) == 1
  if not waited and call('ZREM', P..'lease', mid..L) == 1 and d[MAYBE] == '' then let_go(mid, L, m) end
  if by_gate(d[REASON]) then call('ZREM', P..'held', mid..L) end
  d[REASON], d[ADMISSIONS] = 'sequence_paused', '0'
  schedule(mid, L, now + FAR_MS)
  call('SADD', key, mid..L)
  trace(mid, L, 'preference', 'deferred', '{"reason":"sequence_paused","sequence":"'..sequence..'"}')
  return 'done'
end
local function release(mid, L, m, d)
  if d[REASON] ~= 'sequence_paused' or not stoppable(d[STATUS]) then return end
  d[REASON] = ''
  schedule(mid, L, math.max(now, tonumber(m[SEND_AT])))
  d[PLANNED] = int(now)
  wake()
  return 'done'
end
local function each_delivery(mid, fn)
  local m = message(mid)
  local done, flies = 0, 0
  for L in string.gmatch(m and m[ORDER] or '', '.') do
    local d = delivery(m, L)
    local what = d and fn(mid, L, m, d)
    if what == 'done' then done = 1 elseif what == 'flies' then flies = 1 end
  end
  return done, flies
end
local function touch(mid)
  local done, flies
  if op == 'cancel' then
    done, flies = stop(mid, CHANNELS, IS_CANCELLED, 'cancelled', ret, ret_events, '{"reason":"cancelled","by":"sequence","why":"paused"}')
  elseif op == 'count' then done, flies = each_delivery(mid, function(_, _, _, d) return d[STATUS] == IS_COMMITTING and 'flies' end)
  else done, flies = each_delivery(mid, hold) end
  touched, flying = touched + math.min(done, 1), flying + math.min(flies, 1)
end

local function is_in(rid)
  local text, found = string.match(call('GET', P..'q:'..rid) or '', '^%d*|(.+)$'), false
  local kept = text and cjson.decode(text) or {}
  for _, run in ipairs(kept.r or {}) do
    if (sequence == '' or run.q == sequence) and (wave == '' or run.wv == wave) then
      found = true
      if op == 'hold' or op == 'cancel' or op == 'count' then
        if run.m then touch(run.m) end
        for mid in pairs(run.o or {}) do touch(mid) end
      end
    end
  end
  for _, standing in ipairs(kept.w or {}) do found = found or ((sequence == '' or standing.q == sequence) and wave == '') end
  return found
end

local out = { {} }
local function look_at(rid)
  if not is_in(rid) then return end
  out[#out + 1] = rid
  if op == 'turn' then turn(rid) end
end
-- what another hold still holds stays
local function other_holds()
  if wave ~= '' then return { P..'qh:'..sequence } end
  local standing, others = call('HGET', P..'qs', sequence), {}
  for name in pairs(standing and cjson.decode(standing).waves or {}) do others[#others + 1] = P..'qh:'..sequence..':'..name end
  return others
end
local function is_in_any(sets, member)
  for _, key in ipairs(sets) do
    if call('SISMEMBER', key, member) == 1 then return true end
  end
end
-- what is held is found by itself: its run may be over
if op == 'release' then
  local others = other_holds()
  for _, member in ipairs(call('SPOP', key, PORTION) or {}) do
    local mid, L = sub(member, 1, 22), sub(member, 23)
    local m = message(mid)
    local d = m and delivery(m, L)
    if d and not is_in_any(others, member) and release(mid, L, m, d) then touched = touched + 1 end
  end
  return saved({ { call('EXISTS', key) == 1 and 'more' or '0', int(touched), '0' } })
end
local page = call('SSCAN', P..'qm', cursor, 'COUNT', PORTION)
for _, rid in ipairs(page[2]) do look_at(rid) end
out[1] = { page[1], int(touched), int(flying) }
return saved(out)
