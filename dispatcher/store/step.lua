-- step: moves the runs of people, whole or not at all: runs, messages, what is cancelled, events, trace.
-- ARGV[3] retention ms (real)  [4] of events  [5] wake channel  [6] how many lines of trace a person has
-- then for each person: recipient, version seen ("" for none), runs as they become ("" for none to keep), due (-1: never), number of the
--   standings seen, how many unheard things were taken, "1" when they are in some sequence then, id of an event that must be new ("" for none), "1" when exits were looked at, then lists, each after its length: events to keep; messages (16
--   fields each, as of accept.lua); messages to cancel, each with a detail for the trace; trace lines; runs that ended; what runs hand on;
--   counters, each with how many more; what is said to accounts; marks of waves (key, member, score; "" takes it away, "=…" is the value of a hash);
--   ids of events that they have been told of as somebody else
-- Returns for each {"ok", cancelled ids, ids in flight}, {"race"} (somebody else has moved them: nothing is done), {"known"} (the event is) or
--   {"failed", why}: an error over one person holds up nobody else.
-- What all of them need, or write alike, is read and written once for all: a person costs their trace, and what they alone have.
-- needs: ending people accepting
ret, ret_events = tonumber(ARGV[3]), tonumber(ARGV[4])
local lines_most, KEPT_MOST, ENDED_MOST, IDS_LEAST_MS, OUTLIVES_MS = tonumber(ARGV[6]), 200, 50, 604800000, 600000
local at, NONE = 7, {}
local function take(n)
  if n == 0 then return NONE end
  at = at + n
  return { unpack(ARGV, at - n, at - 1) }
end
local function take_list(width)
  at = at + 1
  local n = width * tonumber(ARGV[at - 1])
  if n <= SLICE then return take(n) end
  local list = {}
  for k = 1, n do list[k] = ARGV[at + k - 1] end
  at = at + n
  return list
end
local function take_person()
  local p = take(9)
  p.rid = p[1]
  p.events, p.messages, p.cancels, p.lines = take_list(1), take_list(16), take_list(2), take_list(1)
  p.ended, p.handed, p.counts, p.said, p.marks = take_list(1), take_list(1), take_list(2), take_list(1), take_list(3)
  p.known = take_list(1)
  return p
end

local people, keys, rids, mids = {}, {}, {}, {}
while at <= #ARGV do
  local p, n = take_person(), #people + 1
  people[n], keys[n], rids[n] = p, P..'q:'..p.rid, p.rid
  for k = 1, #p.messages, 16 do mids[#mids + 1] = p.messages[k] end
  for k = 1, #p.cancels, 2 do mids[#mids + 1] = p.cancels[k] end
end
read(mids)
local standings = call('HGET', P..'qs', '*') or ''
local held_runs, was_in = {}, {}
for i, text in ipairs(call('MGET', unpack(keys))) do held_runs[rids[i]] = text or '' end
for i, is in ipairs(call('SMISMEMBER', P..'qm', unpack(rids))) do was_in[rids[i]] = is == 1 end

-- Keeps the newest of a list; for a while, unless it lives as long as the person is in something.
local function append(key, list, most, lives, lived)
  if #list == 0 then return end
  local size
  for first = 1, #list, SLICE do size = call('RPUSH', key, unpack(list, first, math.min(first + SLICE - 1, #list))) end
  if size > most then call('LTRIM', key, -most, -1) end
  if not lives then call('PEXPIRE', key, int(ret_events)) elseif not lived then call('PERSIST', key) end
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

-- Never a number again that was there before, and it outlives whoever may have looked: else what was seen before a run came and
-- went would look like now.
local function put_runs(p, version)
  local text = int(math.max(real, (tonumber(version) or 0) + 1))..'|'..p[3]
  -- of who was in nothing and to whom nothing has happened there is nothing to outlive: they may have just been erased
  local idle = version == '' and p[8] == '' and p[6] == '0' and #p.events + #p.messages + #p.ended + #p.lines + #p.known == 0
  if p[3] ~= '' then writes[#writes + 1], writes[#writes + 2] = P..'q:'..p.rid, text
  elseif not idle then call('SET', P..'q:'..p.rid, text, 'PX', OUTLIVES_MS) end
  if p[3] ~= '' or not idle then held_runs[p.rid] = text end
end

local all_counts, all_said = {}, {}
local function step(p)
  local rid, held_text, is_in = p.rid, held_runs[p.rid], p[7] == '1'
  local version = string.match(held_text, '^(%d*)')
  if p[8] ~= '' and call('ZSCORE', P..'qx:'..rid, p[8]) then return { 'known' } end
  if version ~= p[2] or standings ~= p[5] then return { 'race' } end
  for k = 1, #p.messages, 16 do accept(unpack(p.messages, k, k + 15)) end
  write_due()
  local cancelled, flying = cancel(p.cancels)
  append(P..'qt:'..rid, p.lines, lines_most, is_in, was_in[rid])
  append(P..'qz:'..rid, p.ended, ENDED_MOST)
  append(P..'qe:'..rid, p.events, KEPT_MOST)
  if p[6] ~= '0' then call('LTRIM', P..'qi:'..rid, tonumber(p[6]), -1) end
  if #p.handed > 0 then call('RPUSH', P..'qi:'..rid, unpack(p.handed)) end
  for k = 1, #p.marks, 3 do mark(unpack(p.marks, k, k + 2)) end
  keep_id(rid, p[8])
  for _, one in ipairs(p.known) do keep_id(rid, one) end
  put_runs(p, version)
  for k = 1, #p.counts, 2 do all_counts[p.counts[k]] = (all_counts[p.counts[k]] or 0) + tonumber(p.counts[k + 1]) end
  for _, word in ipairs(p.said) do all_said[#all_said + 1] = word end
  p.moved = true
  return { 'ok', cancelled, flying }
end

-- Leases, who is in something, and when each one's turn is: a command each for all of them.
local function plan_turns(moved)
  local came, went, leases, keys, never, turns, heads = {}, {}, {}, {}, {}, {}, {}
  for i, p in ipairs(moved) do leases[i], keys[i] = p.rid, P..'qi:'..p.rid end
  call('ZREM', P..'ql', unpack(leases))
  local any = call('EXISTS', unpack(keys)) > 0
  for _, p in ipairs(moved) do
    local rid, is_in, due, key = p.rid, p[7] == '1', tonumber(p[4]), P..'qi:'..p.rid
    -- who was to be looked at, and was not, still is
    local stays = p[9] ~= '1' and tonumber(call('ZSCORE', P..'qd', rid) or '+inf') <= now
    if is_in and not was_in[rid] then came[#came + 1] = rid elseif was_in[rid] and not is_in then went[#went + 1] = rid end
    was_in[rid] = is_in
    if any and call('EXISTS', key) == 1 then turn(rid)
    elseif not stays and due < 0 then never[#never + 1] = rid
    elseif not stays then
      turns[#turns + 1], turns[#turns + 2] = int(due), rid
      heads[rid] = due
    end
  end
  if #came > 0 then call('SADD', P..'qm', unpack(came)) end
  if #went > 0 then call('SREM', P..'qm', unpack(went)) end
  if #never > 0 then call('ZREM', P..'qd', unpack(never)) end
  if #turns > 0 then
    call('ZADD', P..'qd', unpack(turns))
    local head = heads[call('ZRANGE', P..'qd', 0, 0)[1]]
    if head then call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(head)) end
  end
end

-- What they were to be sent is not: nobody knows of it, and the same step made again makes it anew.
local function take_back(p, first)
  while #writes > first do table.remove(writes) end
  due = {}
  for k = 1, #p.messages, 16 do
    local mid, letters, lane = p.messages[k], p.messages[k + 8], p.messages[k + 9]
    if not was[mid] then
      texts[mid], held[mid], lines[mid] = false, false, nil
      call('ZREM', P..'p:'..p.rid, mid)
      for L in string.gmatch(letters, '.') do call('ZREM', P..'due:'..L..lane, mid) end
    end
  end
end

local answers, moved = {}, {}
for i, p in ipairs(people) do
  local first = #writes
  local fine, answer = pcall(step, p)
  if not fine then pcall(take_back, p, first) end
  answers[i] = fine and answer or { 'failed', tostring(type(answer) == 'table' and answer.err or answer) }
  if p.moved then moved[#moved + 1] = p end
end
save()
if #moved > 0 then plan_turns(moved) end
for name, n in pairs(all_counts) do call('HINCRBY', P..'qn', name, int(n)) end
if #all_said > 0 then
  call('RPUSH', P..'qo', unpack(all_said))
  call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(now))
end
tell_due(ARGV[5])
return answers
