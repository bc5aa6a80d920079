-- cards: the inbox of a person, into which comes what is sent in the app.
--   i:<rid>   a hash: did -> card (JSON); did.s, did.r, did.a when it was seen, read, archived; did.z until when it is snoozed; did.w when it was
--             answered, and what (ms|JSON); _unread, _unseen, _count; _version of the last change; _next when the first of iz:<rid> is due
--   io:<rid>  did by the version with which it came
--   iv:<rid>  did by the version of its last change, also of those that are gone; _floor: what is older may be missing here
--   iz:<rid>  by when that happens: "z"..did, its snooze ends; "x"..did, it leaves
-- A version is the service time of the change in ms, or the next number when that was taken: it grows whatever became of the keys.
local INBOX_LOOK_MS = 600000 -- an inbox that gets many cards is looked over for outdated ones so often; service time
local CHANGES_MOST = 1000    -- that are remembered
local changed = {}

local function next_version(last) return math.max((tonumber(last) or 0) + 1, now) end

-- What a card adds to unread and unseen; and the card.
local function weigh(i, did)
  local card, seen, read, archived, snoozed = unpack(call('HMGET', i, did, did..'.s', did..'.r', did..'.a', did..'.z'))
  local shown = card and not archived and not snoozed
  return shown and not read and 1 or 0, shown and not seen and 1 or 0, card
end

local function recount(i, did, unread, unseen)
  local now_unread, now_unseen = weigh(i, did)
  if now_unread ~= unread then call('HINCRBY', i, '_unread', now_unread - unread) end
  if now_unseen ~= unseen then call('HINCRBY', i, '_unseen', now_unseen - unseen) end
end

local function remember_change(rid, did, version)
  local key = P..'iv:'..rid
  call('ZADD', key, int(version), did)
  local size = call('ZCARD', key)
  if size > CHANGES_MOST then
    call('HSET', P..'i:'..rid, '_floor', call('ZRANGE', key, size - CHANGES_MOST - 1, size - CHANGES_MOST - 1, 'WITHSCORES')[2])
    call('ZREMRANGEBYRANK', key, 0, size - CHANGES_MOST - 1)
  end
end

local function drop_card(rid, did, version)
  local i = P..'i:'..rid
  local unread, unseen = weigh(i, did)
  call('HDEL', i, did, did..'.r', did..'.s', did..'.a', did..'.z', did..'.w')
  recount(i, did, unread, unseen)
  if call('ZREM', P..'io:'..rid, did) == 1 and call('HEXISTS', i, '_count') == 1 then call('HINCRBY', i, '_count', -1) end
  call('ZREM', P..'iz:'..rid, 'x'..did, 'z'..did)
  remember_change(rid, did, version)
end

local function live_on(rid, inbox_keep)
  for _, kind in ipairs({ 'i:', 'io:', 'iv:', 'iz:' }) do
    local key = P..kind..rid
    call('PEXPIRE', key, int(inbox_keep + INBOX_LOOK_MS))
  end
end

local function plan_next(rid)
  local i, head = P..'i:'..rid, call('ZRANGE', P..'iz:'..rid, 0, 0, 'WITHSCORES')[2]
  if head then call('HSET', i, '_next', head) else call('HDEL', i, '_next') end
end

-- One card into the inbox, once; the oldest and the outdated ones leave.
local function put_card(rid, did, card, inbox_keep, inbox_max)
  local i, o = P..'i:'..rid, P..'io:'..rid
  local held, unread, unseen, last, last_at, count = unpack(call('HMGET', i, did, '_unread', '_unseen', '_version', '_last', '_count'))
  if held then return end
  count = tonumber(count or call('ZCARD', o)) + 1
  local version = math.max(next_version(last), (tonumber(last_at) or 0) + 1) -- _last: of an earlier version of the program
  call('HSET', i, did, card, '_unread', int((unread or 0) + 1), '_unseen', int((unseen or 0) + 1), '_version', int(version), '_count', int(count))
  call('ZADD', o, int(version), did)
  if count == 1 or math.floor((tonumber(last) or 0) / INBOX_LOOK_MS) ~= math.floor(now / INBOX_LOOK_MS) then
    for _, old in ipairs(call('ZRANGEBYSCORE', o, '-inf', int(now - inbox_keep), 'LIMIT', 0, 100)) do drop_card(rid, old, version) end
    live_on(rid, inbox_keep)
  end
  local extra = count > inbox_max and call('ZCARD', o) - inbox_max or 0
  if extra > 0 then for _, old in ipairs(call('ZRANGE', o, 0, extra - 1)) do drop_card(rid, old, version) end end
  -- a text never has this between its quotes: JSON writes those with a backslash
  local leaves = has(card, '"expires":') and string.match(card, '"expires":(%d+)')
  if leaves then
    call('ZADD', P..'iz:'..rid, leaves, 'x'..did)
    plan_next(rid)
    live_on(rid, inbox_keep)
  end
  changed[#changed + 1] = rid
end

-- Those whose inbox has changed, together.
local function tell_inboxes(channel)
  if #changed > 0 then call('PUBLISH', channel, table.concat(changed, ' ')) end
end
