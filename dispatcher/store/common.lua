-- common: stands before every script; behind it the parts that the script names ("-- needs: ending"), from parts/.
-- KEYS[1]  the partition, "tidings:{3}:"; every key is built from it
-- ARGV[1]  service time in ms     ARGV[2]  real time in ms
--
-- Keys of a partition                                  (mid: message id, L: channel letter, rid: recipient)
--   m:<mid>      the body, immutable                   s:<mid>      state, packed (below)
--   t:<mid>      trace, lines of JSON                  due:<L><lane> when each waiting mid is due
--   lease        mid..L -> end of the lease (real)
--   u:<rid>      profile, JSON                         p:<rid>      pending mids by send time
--   r:<rid>      finished mids by when they finished     h:<rid>      sends that caps count (send())
--   c:<rid>      consent: category|L -> state:at:seq   cl:<rid>     consent ledger, a list
--   x:<rid>      supersede value -> mid                dead         failed mid..L by time
--   i:<rid> io: iv: iz:  inbox (parts/cards.lua)        sup:<address> sups  suppression
--   gone         when a list gone:<ms> is over, in real time: mid and ENDED of what is taken away then ("!" before it: the trace alone)
--   own:<address> whose address it is, at least          held         deliveries that wait because of a gate (by_gate)
--   k:<key>      idempotency                         aq           account reservations to be given back, a list of
--                                                                  JSON [account, member, fence]
--   q:<rid>      runs of sequences, version|text (schedules/run.h)
--   qi:<rid>     what they have not heard yet, a list of JSON: {"k":"m"} the end of a message, {"k":"e"} an event of another run, {"k":"p"} a profile that was written,
--                {"k":"w"} their wave lets a run in, {"k":"g"} they have read a message
--   qe:<rid> qx:<rid>  events that are kept, and the ids of those that came  qt:<rid> qz:<rid>  trace of runs, and those that ended
--   hv           number of the list of stops, by which all must go
--   qs           standing of sequences: paused, waves …, and how often one has changed (*)
--   qw:<sequence>:<wave>  who stands at the door of a wave, rid|run by enrolment
--   qv:<sequence>:<wave>  who is passing through it, likewise, until their turn
--   qr:<sequence>:<wave>:<what>  runs that a wave has let in, and to which that happened, by when they were let in; scores: what
--                they have answered last
--   qp           there when sequences ask for what happens to profiles
--   qn           runs under way, by sequence; and what has happened in them (journeys/thought.c)
--   qm           who is in some sequence, or at its door  qh:<sequence> messages that are held because it is paused, mid..L
--   qd ql        whose runs have something to do when (service time), and who is being seen to until when (real)
--   qo           what runs have to say to others, a list of JSON: {"account","event"}, {"account","give","owner","run","to","to_run"}, {"person","forget"}, {"person","erase"}, {"person","withdraw"}
-- In the partition of a sequence's name:
--   qg:<sequence> when each wave may let in the next one  wm:<sequence>:<wave> who has a place in a wave of so many, hashed
-- In the partition of an account:
--   am:<account>  its people, at least  ae:<account> ax:<account>  events that are kept, and the ids of those that came
--   ap:<account>  by group: whose place it is, rid|run|since (real); "|": how often somebody has come to wait
--   aw:<account>  who waits for it, group|rid, in their order
--   ah:<account>  its people's sends that account-wide caps count, see send()
--   af:<mid>L<account>  the last word on one of them, r (reserved) or x (given back), fence|role, for an hour
--
-- Statuses (IS_…) and reasons that wait for a gate (BY_GATE): base/vocab.h.
local P, now, real = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local call, sub = redis.call, string.sub

local function has(list, word) return string.find(list, word, 1, true) end

local function int(n) return string.format('%d', n) end

-- The state of a message, s:<mid>, is one text (wire/state.h): the fields of the message, and a line for the delivery on each channel.
-- A script reads it once as lists of texts, "" for what is not there, changes those, and save() writes all that has changed together:
-- one command where a hash took thirty, and half of what MessagePack cost.
local texts, was, held = {}, {}, {} -- by mid: the state as text, as it was in Redis, and taken apart
local lines, writes = {}, {}        -- by mid: new lines of the trace; what save() writes besides
local STATE_OF = '^'..string.rep('([^\31]*)\31', STATE_SIZE - 1)..'([^\31]*)$'
local DELIVERY_OF = '^'..string.rep('([^\31]*)\31', DELIVERY_SIZE - 1)..'([^\31]*)$'
local LINES_OF = '^([^\n]*)'..string.rep('\n?([^\n]*)', #CHANNELS)..'$'

local function fields(line, pattern, size)
  local list = { string.match(line, pattern) }
  if #list > 0 then return list end
  for field in string.gmatch(line..'\31', '([^\31]*)\31') do list[#list + 1] = field end -- of a version that had fewer
  for i = #list + 1, size do list[i] = '' end
  return list
end
local function unpacked(text)
  local ons = { string.match(text, LINES_OF) }
  local m = fields(table.remove(ons, 1), STATE_OF, STATE_SIZE)
  m.on = ons
  return m
end
local function packed(m)
  local text = table.concat(m, '\31')
  for k = 1, #CHANNELS do
    local d = m.on[k]
    text = text..'\n'..(type(d) == 'string' and d or table.concat(d, '\31'))
  end
  return text
end

-- Many at once; message() has them then.
local SLICE = 2000 -- Lua hands over no more than 8,000 values
local function read(mids)
  local keys, missing = {}, {}
  for i = 1, #mids do
    local mid = mids[i]
    if texts[mid] == nil then
      texts[mid] = false
      missing[#missing + 1], keys[#keys + 1] = mid, P..'s:'..mid
    end
  end
  for first = 1, #keys, SLICE do
    local values = call('MGET', unpack(keys, first, math.min(first + SLICE - 1, #keys)))
    for i = 1, #values do texts[missing[first + i - 1]], was[missing[first + i - 1]] = values[i], values[i] end
  end
end

-- Those that the arguments name, from ARGV[first] on each `step`-th: mids, or what begins with one.
local function read_batch(first, step)
  local mids = {}
  for k = first, #ARGV, step do mids[#mids + 1] = sub(ARGV[k], 1, 22) end
  read(mids)
end

-- Its state, false when there is none.
local function message(mid)
  local m = held[mid]
  if m == nil then
    if texts[mid] == nil then read({ mid }) end
    m = texts[mid] and unpacked(texts[mid])
    held[mid] = m
  end
  return m
end

-- A worker that has a message says how it believes its state to be, and what it becomes: when it is so, nothing is taken apart.
local function swap(mid, believed, next)
  if held[mid] ~= nil or texts[mid] ~= believed then return false end
  texts[mid] = next
  return true
end

-- Its delivery on a channel, nil when there is none.
local function delivery(m, L)
  local k = PLACE_OF[L]
  local d = m.on[k]
  if d == '' then return nil end
  if type(d) == 'string' then
    d = fields(d, DELIVERY_OF, DELIVERY_SIZE)
    m.on[k] = d
  end
  return d
end

local function blank(size)
  local list = {}
  for i = 1, size do list[i] = '' end
  return list
end
local function new_message(mid)
  local m = blank(STATE_SIZE)
  m.on, held[mid] = blank(#CHANNELS), m
  return m
end
local function drop(mid)
  texts[mid], was[mid], held[mid], lines[mid] = false, false, false, nil
  call('UNLINK', P..'s:'..mid, P..'m:'..mid, P..'t:'..mid)
end

-- A line of the trace; a message that waits for days must not grow without bound: the oldest lines leave.
local TRACE_MOST, TRACE_ROOM = 64, 32
local function add_line(mid, line)
  local m, new = message(mid), lines[mid]
  if not m then return end
  m[TRACED] = (tonumber(m[TRACED]) or 0) + 1
  if new then new[#new + 1] = line else lines[mid] = { line } end
end
local function trace(mid, L, gate, verdict, detail)
  add_line(mid, '['..int(now)..',"'..L..'",["'..gate..'","'..verdict..'",'..(detail or '{}')..']]')
end
local function save_trace(mid, new)
  local m, key, text = held[mid], P..'t:'..mid, table.concat(new, '\n')..'\n'
  if m[TRACED] > #new then
    if call('APPEND', key, text) == #text then m[TRACED] = #new -- what was before had outlived its time
    elseif m[TRACED] > TRACE_MOST + TRACE_ROOM then
      local at = 0
      text = call('GET', key)
      for _ = 1, m[TRACED] - TRACE_MOST do at = string.find(text, '\n', at + 1, true) end
      m[TRACED] = TRACE_MOST
      call('SET', key, sub(text, at + 1))
    end
  else writes[#writes + 1], writes[#writes + 2] = key, text end
end

-- Ends every script that changes states.
local function save()
  for mid, new in pairs(lines) do save_trace(mid, new) end
  for mid, m in pairs(held) do texts[mid] = m and packed(m) end
  for mid, text in pairs(texts) do
    if text and text ~= was[mid] then
      was[mid] = text
      writes[#writes + 1], writes[#writes + 2] = P..'s:'..mid, text
    end
  end
  for first = 1, #writes, SLICE do call('MSET', unpack(writes, first, math.min(first + SLICE - 1, #writes))) end
  lines, writes = {}, {}
end
local function saved(answer)
  save()
  return answer
end

-- Waits until `due`; adds the delivery where there is none.  A claim writes nothing down but the lease: the fence that it has is as
-- old as what waits, and whoever lets it wait again, or ends it, makes it another one.
local function plan(mid, L, due)
  local m = message(mid)
  local d = delivery(m, L)
  if not d then
    d = blank(DELIVERY_SIZE)
    m.on[PLACE_OF[L]] = d
  end
  d[STATUS], d[DUE], d[FENCE] = IS_SCHEDULED, int(due), int((tonumber(d[FENCE]) or 0) + 1)
end
local function schedule(mid, L, due)
  plan(mid, L, due)
  call('ZADD', P..'due:'..L..message(mid)[LANE], due, mid)
end

-- A worker that claimed it with this fence still has it.
local function is_of(d, fence)
  local st = d and d[FENCE] == fence and d[STATUS]
  return st == IS_SCHEDULED or st == IS_ADMITTED or st == IS_COMMITTING
end
-- It waits, and no worker has it.
local function waits(mid, L, m) return delivery(m, L)[STATUS] == IS_SCHEDULED and call('ZSCORE', P..'due:'..L..m[LANE], mid) end

-- A member of h:<rid>: mid..L|kind|lane|category|source; of ah:<account> the same, a line feed and the person's role.
-- A message id has 22 characters; what follows, from L on, is the kind of send that rules look at.
local function send(mid, L, kind, lane, cat, source)
  return mid..L..'|'..kind..'|'..lane..'|'..cat..'|'..(source or '')
end
local function send_of(mid, L, m) return send(mid, L, m[KIND], m[LANE], m[CATEGORY], m[SOURCE]) end

local function read_kind(text)
  local L, kind, lane, cat, source, feed, role = string.match(text, '^(.)|(.)|(.)|([^|]*)|([^\n]*)(\n?)(.*)$')
  return { L = L, kind = kind, lane = lane, cat = cat, source = source, role = feed ~= '' and role or nil }
end

-- Reasons of the gates that depend on person, policy and templates: when those change, what waits is looked at again.  The sorted
-- set "held" has all such deliveries, by when they were put off.
local function by_gate(reason)
  return reason and (BY_GATE[reason] or sub(reason, 1, 4) == 'cap:')
end

-- An account's reservation is given back by whoever claims next, for it lives in another partition; they are woken for it.
local woken = false
local function wake()
  if not woken then call('PUBLISH', string.match(P, '^(.*){')..'wake', P..int(now)) end
  woken = true
end
local function give_back(holder, fence, sent)
  local role, account = string.match(holder, '^([^|]*)|(.*)$')
  call('RPUSH', P..'aq', cjson.encode({ account, sent..'\n'..role, tonumber(fence) }))
  wake()
end

-- Something has happened to a person's runs (journeys/): the next turn is now.
local told_turn = false
local function turn(rid)
  call('ZADD', P..'qd', 'LT', int(now), rid)
  if not told_turn then call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(now)) end
  told_turn = true
end
local function turn_if_any(rid)
  if call('EXISTS', P..'q:'..rid) == 1 then turn(rid) end
end
