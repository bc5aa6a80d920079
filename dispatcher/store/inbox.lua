-- inbox: the cards of one recipient.
-- ARGV[3] rid  [4] inbox channel  [5] keep (ms)  [6] what:
--   "count"
--   "list" limit before ("" or the number of a page) state ("all", "unread", "archived")
--   "since" version: what has changed after it
--   "read" | "seen" | "unread" | "archive" | "unarchive" did ("*" for all) until (with "*": only what stood at that version, "" for all)
--   "snooze" did until (ms)
--   "answer" did answer (JSON): of a card that asks for one; the last one counts
-- Returns totals: unread, unseen, version (absolute counts, and a number that grows with each change), when a card next comes back or leaves ("" for never);
--   list: then cards; since: then "ok" or "resync" (it is not known any more), cards, and those that are gone; else how many
--   have changed, whether it was known, and of an answer the card and when it was given.
--   Each card is did, its number, card, seen, read, archived, answer, snoozed until, version of its last change.
-- flags: allow-oom
-- needs: cards
local rid, channel, keep, op = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local i, o = P..'i:'..rid, P..'io:'..rid
local version, touched = nil, 0 -- of what this call changes

local function begin_change()
  if not version then version = next_version(call('HGET', i, '_version')) end
  return version
end

-- do_it: false when there was nothing to do.
local function change(did, do_it)
  local unread, unseen, card = weigh(i, did)
  if not card or do_it() == false then return end
  recount(i, did, unread, unseen)
  remember_change(rid, did, begin_change())
  touched = touched + 1
end

local function wake_up(did) return change(did, function() return call('HDEL', i, did..'.z') == 1 end) end

-- What was to come back is back, and what was to leave has left.
local function sweep()
  local next = call('HGET', i, '_next')
  if not next or tonumber(next) > now then return end
  for _, entry in ipairs(call('ZRANGEBYSCORE', P..'iz:'..rid, '-inf', now)) do
    call('ZREM', P..'iz:'..rid, entry)
    if sub(entry, 1, 1) == 'z' then wake_up(sub(entry, 2)) else drop_card(rid, sub(entry, 2), begin_change()) end
  end
  plan_next(rid)
end

-- An inbox that nobody has written to has a version, too: one that was before may have been a later one.
local function totals()
  local t = call('HMGET', i, '_unread', '_unseen', '_version', '_next')
  if not t[3] then
    t[3] = int(now)
    call('HSET', i, '_version', t[3])
    call('PEXPIRE', i, int(keep))
  end
  return { t[1] or '0', t[2] or '0', t[3], t[4] or '' }
end

local function row(did, at)
  local c = call('HMGET', i, did, did..'.s', did..'.r', did..'.a', did..'.w', did..'.z')
  return c[1] and { did, at, c[1], c[2] or '', c[3] or '', c[4] or '', c[5] or '', c[6] or '', call('ZSCORE', P..'iv:'..rid, did) or at }
end

local function list(limit, before, state)
  local top, offset, out = before == '' and '+inf' or '('..before, 0, {}
  while #out < limit do
    local page = call('ZREVRANGEBYSCORE', o, top, '-inf', 'WITHSCORES', 'LIMIT', offset, 100)
    if #page == 0 then break end
    offset = offset + #page / 2
    for j = 1, #page, 2 do
      local one = #out < limit and row(page[j], page[j + 1])
      local archived, hidden = one and one[6] ~= '', one and one[8] ~= ''
      local fits = one and ((state == 'archived' and archived) or (state ~= 'archived' and not archived and not hidden and (state == 'all' or one[5] == '')))
      if fits then out[#out + 1] = one end
    end
  end
  return out
end

local SINCE_MOST = 50
local function since(after)
  local last, floor = unpack(call('HMGET', i, '_version', '_floor'))
  if after > tonumber(last or '0') or after < tonumber(floor or '0') then return 'resync', {}, {} end
  local rows, gone, met = {}, {}, {}
  for _, key in ipairs({ o, P..'iv:'..rid }) do
    for _, did in ipairs(call('ZRANGEBYSCORE', key, '('..int(after), '+inf', 'LIMIT', 0, SINCE_MOST + 1)) do
      local one = not met[did] and row(did, call('ZSCORE', o, did))
      if one then rows[#rows + 1] = one elseif not met[did] then gone[#gone + 1] = did end
      met[did] = true
    end
  end
  if #rows + #gone > SINCE_MOST then return 'resync', {}, {} end
  return 'ok', rows, gone
end

-- The run that has sent it waits for that, perhaps.
local function tell_read(did)
  local mid = sub(did, 1, 22)
  local m = message(mid)
  if not m or m[JOURNEY] == '' then return end
  call('RPUSH', P..'qi:'..rid, cjson.encode({ k = 'g', m = mid, d = 'read' }))
  turn(rid)
end

local function answer(did, text)
  local was = call('HGET', i, did..'.w') or ''
  local again = string.match(was, '|(.*)$') == text -- the same once more is no other one
  if not again then call('HSET', i, did..'.w', int(math.max(now, (tonumber(string.match(was, '^%d+')) or 0) + 1))..'|'..text) end
  return not again
end

local marks = {}
function marks.seen(did) return call('HSETNX', i, did..'.s', now) == 1 end
function marks.read(did)
  local seen = marks.seen(did)
  if call('HSETNX', i, did..'.r', now) == 0 then return seen end
  if op == 'read' then tell_read(did) end -- an answer comes as an event, which tells it
end
function marks.unread(did) return call('HDEL', i, did..'.r') == 1 end
function marks.archive(did) return call('HSETNX', i, did..'.a', now) == 1 end
function marks.unarchive(did) return call('HDEL', i, did..'.a') == 1 end
function marks.snooze(did)
  call('HSET', i, did..'.z', ARGV[8])
  call('ZADD', P..'iz:'..rid, ARGV[8], 'z'..did)
  plan_next(rid)
end
function marks.answer(did)
  local read, answered = marks.read(did), answer(did, ARGV[8])
  return read ~= false or answered
end
local function mark(did) change(did, function() return marks[op](did) end) end

sweep()
local more = {}
if op == 'list' then more = { list(tonumber(ARGV[7]), ARGV[8], ARGV[9]) }
elseif op == 'since' then more = { since(tonumber(ARGV[7])) }
elseif op == 'answer' and not has(call('HGET', i, ARGV[7]) or '"answer":', '"answer":') then more = { 0, 0, 'asks nothing', '' }
elseif marks[op] then
  local did, known = ARGV[7], 1
  if did == '*' then for _, one in ipairs(call('ZRANGEBYSCORE', o, '-inf', ARGV[8] ~= '' and ARGV[8] or '+inf')) do mark(one) end
  else known = call('HEXISTS', i, did) end
  if did ~= '*' then mark(did) end
  local answered = op == 'answer' and known == 1
  more = { touched, known, answered and call('HGET', i, did) or '', answered and string.match(call('HGET', i, did..'.w'), '^%d+') or '' }
end
if version then
  call('HSET', i, '_version', int(version))
  live_on(rid, keep)
  changed[1] = rid
  tell_inboxes(channel)
end
return { totals(), unpack(more) }
