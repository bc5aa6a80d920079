-- step: moves the runs of people, whole or not at all: runs, messages, what is cancelled, events, trace.
-- ARGV[3] retention ms (real)  [4] of events  [5] wake channel  [6] how many lines of trace a person has
-- then for each person: recipient, version seen ("" for none), runs as they become ("" for none to keep), due (-1: never), number of the
--   standings seen, how many unheard things were taken, "1" when they are in some sequence then, id of an event that must be new ("" for none), "1" when exits were looked at, then lists, each after its length: events to keep; messages (16
--   fields each, as of accept.lua); messages to cancel, each with a detail for the trace; trace lines; runs that ended; what runs hand on;
--   counters, each with how many more; what is said to accounts; marks of waves (key, member, score; "" takes it away, "=…" is the value of a hash);
--   ids of events that they have been told of as somebody else
-- Returns for each {"ok", cancelled ids, ids in flight}, {"race"} (somebody else has moved them: nothing is done) or {"known"} (the event is).
-- needs: ending people accepting
ret, ret_events = tonumber(ARGV[3]), tonumber(ARGV[4])
local lines_most, KEPT_MOST, ENDED_MOST, IDS_LEAST_MS, OUTLIVES_MS = tonumber(ARGV[6]), 200, 50, 604800000, 600000
local at = 7
local function take(n)
  local list = {}
  for k = 1, n do list[k] = ARGV[at + k - 1] end
  at = at + n
  return list
end
local function take_list(width) return take(width * tonumber(take(1)[1])) end

-- Keeps the newest of a list for a while.
local function append(key, list, most, lives)
  if #list == 0 then return end
  for first = 1, #list, SLICE do call('RPUSH', key, unpack(list, first, math.min(first + SLICE - 1, #list))) end
  call('LTRIM', key, -most, -1)
  if lives then call('PERSIST', key) else call('PEXPIRE', key, int(ret_events)) end
end

local function keep_id(rid, id)
  if id == '' then return end
  local key, span = P..'qx:'..rid, math.max(ret_events, IDS_LEAST_MS)
  call('ZADD', key, real, id)
  call('ZREMRANGEBYSCORE', key, '-inf', int(real - span))
  call('PEXPIRE', key, int(span))
end

local function cancel(list)
  local cancelled, flying = {}, {}
  for k = 1, #list, 2 do
    local mid, m = list[k], message(list[k])
    if m then
      local merged = has(list[k + 1], '"why":"merged"') -- then the run hears of it, wherever it is
      silent[mid] = not merged
      local stopped, open = stop(mid, CHANNELS, IS_CANCELLED, merged and 'merged' or 'cancelled', ret, ret_events, list[k + 1])
      if stopped > 0 then cancelled[#cancelled + 1] = mid end
      if open > 0 then flying[#flying + 1] = mid end
    end
  end
  return cancelled, flying
end

local MARKS_MS = 34560000000
local function mark(name, member, score)
  local key = P..name
  if score == '' then return call('ZREM', key, member) end
  if sub(score, 1, 1) == '=' then call('HSET', key, member, sub(score, 2)) else call('ZADD', key, score, member) end
  call('PEXPIRE', key, MARKS_MS)
end

-- Who was to be looked at, and was not, still is.
local function plan_turn(rid, due, looked)
  call('ZREM', P..'ql', rid)
  if call('EXISTS', P..'qi:'..rid) == 1 then return turn(rid) end
  if looked ~= '1' and tonumber(call('ZSCORE', P..'qd', rid) or '+inf') <= now then return end
  if due < 0 then return call('ZREM', P..'qd', rid) end
  call('ZADD', P..'qd', int(due), rid)
  if call('ZRANGE', P..'qd', 0, 0)[1] == rid then call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(due)) end
end

local function step(rid, seen, runs, due, standings, taken, is_in, id, looked)
  local events, messages, cancels, trace_lines = take_list(1), take_list(16), take_list(2), take_list(1)
  local ended, handed, counts, said, marks = take_list(1), take_list(1), take_list(2), take_list(1), take_list(3)
  local known = take_list(1)
  local version = string.match(call('GET', P..'q:'..rid) or '', '^(%d*)')
  if id ~= '' and call('ZSCORE', P..'qx:'..rid, id) then return { 'known' } end
  if version ~= seen or (call('HGET', P..'qs', '*') or '') ~= standings then return { 'race' } end
  for k = 1, #messages, 16 do accept(unpack(messages, k, k + 15)) end
  write_due()
  local cancelled, flying = cancel(cancels)
  append(P..'qt:'..rid, trace_lines, lines_most, is_in == '1')
  append(P..'qz:'..rid, ended, ENDED_MOST)
  append(P..'qe:'..rid, events, KEPT_MOST)
  call('LTRIM', P..'qi:'..rid, tonumber(taken), -1)
  if #said > 0 then
    call('RPUSH', P..'qo', unpack(said))
    call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(now))
  end
  if #handed > 0 then call('RPUSH', P..'qi:'..rid, unpack(handed)) end
  for k = 1, #counts, 2 do call('HINCRBY', P..'qn', counts[k], counts[k + 1]) end
  for k = 1, #marks, 3 do mark(unpack(marks, k, k + 2)) end
  keep_id(rid, id)
  for _, one in ipairs(known) do keep_id(rid, one) end
  -- never a number again that was there before, and it outlives whoever may have looked: else what was seen before a run came and
  -- went would look like now
  local key, new = P..'q:'..rid, int(math.max(real, (tonumber(version) or 0) + 1))
  -- of who was in nothing and to whom nothing has happened there is nothing to outlive: they may have just been erased
  local idle = version == '' and id == '' and taken == '0' and #events + #messages + #ended + #trace_lines + #known == 0
  if runs ~= '' then call('SET', key, new..'|'..runs)
  elseif not idle then call('SET', key, new..'|', 'PX', OUTLIVES_MS) end
  call(is_in == '1' and 'SADD' or 'SREM', P..'qm', rid)
  plan_turn(rid, tonumber(due), looked)
  return { 'ok', cancelled, flying }
end

local answers = {}
while at <= #ARGV do answers[#answers + 1] = step(unpack(take(9))) end
save()
tell_due(ARGV[5])
return answers
