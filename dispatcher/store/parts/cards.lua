-- cards: what is sent in the app comes into the inbox of a person.
-- One card into the inbox, once; the oldest and the outdated ones leave.
local function drop_card(rid, did)
  local i = P..'i:'..rid
  if call('HEXISTS', i, did..'.r') == 0 and call('HEXISTS', i, did..'.a') == 0 then call('HINCRBY', i, '_unread', -1) end
  if call('HEXISTS', i, did..'.s') == 0 and call('HEXISTS', i, did..'.a') == 0 then call('HINCRBY', i, '_unseen', -1) end
  call('HDEL', i, did, did..'.r', did..'.s', did..'.a', did..'.w')
  if call('ZREM', P..'io:'..rid, did) == 1 and call('HEXISTS', i, '_count') == 1 then call('HINCRBY', i, '_count', -1) end
end
local INBOX_LOOK_MS = 600000 -- an inbox that gets many cards is looked over for outdated ones so often; service time
local changed = {}
local function put_card(rid, did, card, inbox_keep, inbox_max)
  local i, o = P..'i:'..rid, P..'io:'..rid
  local held, unread, unseen, version, last, count = unpack(call('HMGET', i, did, '_unread', '_unseen', '_version', '_last', '_count'))
  if held then return end
  last, count = tonumber(last or call('ZREVRANGE', o, 0, 0, 'WITHSCORES')[2] or '0'), tonumber(count or call('ZCARD', o)) + 1
  -- one instant for each, so that a page can end between any two
  local at = last < now and ARGV[1] or int(last + 1)
  call('HSET', i, did, card, '_unread', int((unread or 0) + 1), '_unseen', int((unseen or 0) + 1), '_version', int((version or 0) + 1),
    '_last', at, '_count', int(count))
  call('ZADD', o, at, did)
  if math.floor(last / INBOX_LOOK_MS) ~= math.floor(now / INBOX_LOOK_MS) then
    for _, old in ipairs(call('ZRANGEBYSCORE', o, '-inf', int(now - inbox_keep), 'LIMIT', 0, 100)) do drop_card(rid, old) end
    call('PEXPIRE', i, int(inbox_keep + INBOX_LOOK_MS))
    call('PEXPIRE', o, int(inbox_keep + INBOX_LOOK_MS))
  end
  local extra = count > inbox_max and call('ZCARD', o) - inbox_max or 0
  if extra > 0 then for _, old in ipairs(call('ZRANGE', o, 0, extra - 1)) do drop_card(rid, old) end end
  changed[#changed + 1] = rid
end

-- Those whose inbox has changed, together.
local function tell_inboxes(channel)
  if #changed > 0 then call('PUBLISH', channel, table.concat(changed, ' ')) end
end
