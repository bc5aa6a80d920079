-- inbox: the cards of one recipient.
-- ARGV[3] rid  [4] "list" limit before("" or ms) state("all", "unread", "archived")
--              [4] "read" | "seen" | "archive" did ("*" for all)  [6] inbox channel
--              [4] "answer" did  [6] inbox channel  [7] the answer, JSON: of a card that asks for one; the last one counts -> known, totals, card, when
-- Every answer ends with unread, unseen, version: absolute counts, and a number that grows with each change.
-- flags: allow-oom
local rid, op = ARGV[3], ARGV[4]
local i, o, out = P..'i:'..rid, P..'io:'..rid, {}

local function totals()
  local v = call('HMGET', i, '_unread', '_unseen', '_version')
  return { v[1] or '0', v[2] or '0', v[3] or '0' }
end

if op == 'list' then
  local top = ARGV[6] == '' and '+inf' or '('..ARGV[6]
  local offset, limit = 0, tonumber(ARGV[5])
  while #out < limit * 7 do
    local page = call('ZREVRANGEBYSCORE', o, top, '-inf', 'WITHSCORES', 'LIMIT', offset, 100)
    if #page == 0 then break end
    offset = offset + #page / 2
    for j = 1, #page, 2 do
      local did = page[j]
      local v = call('HMGET', i, did, did..'.s', did..'.r', did..'.a', did..'.w')
      local fits = ARGV[7] == 'all' and not v[4] or ARGV[7] == 'unread' and not v[3] and not v[4] or ARGV[7] == 'archived' and v[4]
      if v[1] and fits and #out < limit * 7 then
        local n = #out
        out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5], out[n + 6], out[n + 7] = did, page[j + 1], v[1], v[2] or '', v[3] or '', v[4] or '', v[5] or ''
      end
    end
  end
  return { out, totals() }
end

-- The run that has sent it waits for that, perhaps.
local function tell_read(did)
  local mid = sub(did, 1, 22)
  local m = message(mid)
  if not m or m[JOURNEY] == '' then return end
  call('RPUSH', P..'qi:'..rid, cjson.encode({ k = 'g', m = mid, d = 'read' }))
  turn(rid)
end

local function mark(did)
  if call('HEXISTS', i, did) == 0 then return 0 end
  local changed, archived = 0, call('HEXISTS', i, did..'.a') == 1
  if op ~= 'archive' and call('HSETNX', i, did..'.s', now) == 1 then
    changed = 1
    if not archived then call('HINCRBY', i, '_unseen', -1) end
  end
  if (op == 'read' or op == 'answer') and call('HSETNX', i, did..'.r', now) == 1 then
    changed = 1
    if op == 'read' then tell_read(did) end -- an answer comes as an event, which tells it
    if not archived then call('HINCRBY', i, '_unread', -1) end
  end
  if op == 'answer' then
    local was = call('HGET', i, did..'.w') or ''
    if string.match(was, '|(.*)$') ~= ARGV[7] then -- the same once more is no other one
      changed = 1
      call('HSET', i, did..'.w', int(math.max(now, (tonumber(string.match(was, '^%d+')) or 0) + 1))..'|'..ARGV[7])
    end
  end
  if op == 'archive' and not archived then
    changed = 1
    call('HSET', i, did..'.a', now)
    if call('HEXISTS', i, did..'.r') == 0 then call('HINCRBY', i, '_unread', -1) end
    if call('HEXISTS', i, did..'.s') == 0 then call('HINCRBY', i, '_unseen', -1) end
  end
  return changed, 1
end

local changed, known = 0, 0
if op == 'answer' and call('HEXISTS', i, ARGV[5]) == 1 and not has(call('HGET', i, ARGV[5]), '"answer":') then
  return { 0, totals(), 'asks nothing' }
end
if ARGV[5] == '*' then
  known = 1
  for _, did in ipairs(call('ZRANGE', o, 0, -1)) do changed = changed + mark(did) end
else
  known = call('HEXISTS', i, ARGV[5])
  changed = mark(ARGV[5])
end
if changed > 0 then
  call('HINCRBY', i, '_version', 1)
  call('PUBLISH', ARGV[6], rid)
end
local answers = op == 'answer' and known == 1
return { known, totals(), answers and call('HGET', i, ARGV[5]) or '', answers and string.match(call('HGET', i, ARGV[5]..'.w'), '^%d+') or '' }
