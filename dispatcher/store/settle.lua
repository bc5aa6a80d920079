-- settle: writes down how far deliveries got.
-- ARGV[3] retention ms  [4] of events  [5] inbox channel  [6] inbox keep ms  [7] inbox max  [8] wake channel
-- then for each: mid..L fence op code reason due burn provider sent_at ref keep next trace card denied
--   op F final with code, R again at due; burn "1": counts as an attempt
--   denied "1": the account holds nothing for it
--   keep "1": its place in the caps' history stays; next "1": strategy first goes on to the next channel
-- Returns for each: "ok", or "gone" (another worker has it, or it was stopped); "ok" again when repeated.
-- needs: ending
local ret, ret_events, inbox_channel, inbox_keep, inbox_max, wake_channel = unpack(ARGV, 3, 8)
ret, ret_events = tonumber(ret), tonumber(ret_events)
inbox_keep, inbox_max = tonumber(inbox_keep), tonumber(inbox_max)
local INBOX_LOOK_MS = 600000 -- an inbox that gets many cards is looked over for outdated ones so often; service time
local answers, wake, leases, changed = {}, false, {}, {}
kept = {}

-- One card into the inbox, once; the oldest and the outdated ones leave.
local function drop_card(rid, did)
  local i = P..'i:'..rid
  if call('HEXISTS', i, did..'.r') == 0 and call('HEXISTS', i, did..'.a') == 0 then call('HINCRBY', i, '_unread', -1) end
  if call('HEXISTS', i, did..'.s') == 0 and call('HEXISTS', i, did..'.a') == 0 then call('HINCRBY', i, '_unseen', -1) end
  call('HDEL', i, did, did..'.r', did..'.s', did..'.a')
  if call('ZREM', P..'io:'..rid, did) == 1 and call('HEXISTS', i, '_count') == 1 then call('HINCRBY', i, '_count', -1) end
end
local function put_card(rid, did, card)
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

local function settle(member, fence, op, code, reason, due, burn, provider, sent_at, ref, keep, next, entry, card, denied)
  local mid, L = string.sub(member, 1, -2), string.sub(member, -1)
  local s = P..'s:'..mid
  local d = state(mid, L)
  local st, held, rid, lane, was, attempts = d.st, d.fence, d.rid, d.lane, d.reason, d.attempts
  local mine = held == fence and (st == IS_CLAIMED or st == IS_ADMITTED or st == IS_COMMITTING)
  -- a result that arrives late is still the truth about an outcome that was given up as unknown
  local late = held == fence and (st == IS_UNKNOWN or (st == IS_SCHEDULED and was == 'outcome_unknown'))
  if not mine and not late then return (held == fence and st == code) and 'ok' or 'gone' end
  if denied == '1' and d.holder then
    d.holder = nil
    call('HDEL', s, L..HOLDER)
  end
  if d.erased and op == 'R' then op, code, reason = 'F', IS_CANCELLED, 'cancelled' end
  local tried = burn ~= '1' and (attempts or '0') or not attempts and '1' or int(attempts + 1)
  local more = { L..ATTEMPTS, tried, L..PROVIDER, provider }
  if code == IS_SENT then more[5], more[6], more[7], more[8] = L..SENT_AT, sent_at, L..REFERENCE, ref end
  if entry ~= '' then
    call('RPUSH', P..'t:'..mid, entry)
    -- a message that waits for days must not grow without bound: the oldest tries leave
    if op == 'R' and call('LLEN', P..'t:'..mid) > 64 then call('LPOP', P..'t:'..mid) end
  end
  if op == 'R' then
    leases[#leases + 1] = member
    if st == IS_UNKNOWN then reopen(mid, rid) end
    call('HSET', s, L..REASON, reason, L..ADMISSIONS, 0, unpack(more))
    if reason == 'template_unknown' then call('HSETNX', s, L..UNKNOWN_SINCE, int(now)) elseif was == 'template_unknown' then call('HDEL', s, L..UNKNOWN_SINCE) end
    if by_gate(reason) and reason ~= 'template_unknown' and entry ~= '' then call('HSET', s, L..PLANNED, due) end
    if by_gate(reason) then call('ZADD', P..'held', int(now), member) elseif by_gate(was) then call('ZREM', P..'held', member) end
    if keep == '1' then call('HSET', s, L..MAYBE, 1)
    elseif not d.maybe then
      let_go(mid, L, d)
    end
    schedule(mid, L, lane, due)
    if not wake or tonumber(due) < wake then wake = tonumber(due) end
  elseif st == IS_UNKNOWN then
    if keep ~= '1' and not d.maybe then let_go(mid, L, d) end
    call('HSET', s, L..STATUS, code, L..REASON, reason, unpack(more))
    if code == IS_FAILED then call('ZADD', P..'dead', now, member) end
  else
    if card ~= '' then put_card(rid, mid..'-'..L, card) end
    local N = finish(mid, L, code, reason, keep == '1', next == '1', ret, ret_events, d, leases, unpack(more))
    if N ~= '' then wake = now end
  end
  return 'ok'
end

-- When the script stumbles over one, those before it have ended, and what belongs to that is still written.
local stumbled
for i = 9, #ARGV, 15 do
  local well, answer = pcall(settle, unpack(ARGV, i, i + 14))
  if not well then
    stumbled = answer
    break
  end
  answers[#answers + 1] = answer
end
if #leases > 0 then call('ZREM', P..'lease', unpack(leases)) end
if #changed > 0 then call('PUBLISH', inbox_channel, table.concat(changed, ' ')) end
if wake then call('PUBLISH', wake_channel, P..int(wake)) end
keep_all()
if stumbled then error(stumbled) end
return answers
