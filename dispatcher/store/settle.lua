-- settle: writes down how far deliveries got.
-- ARGV[3] retention ms  [4] of events  [5] inbox channel  [6] inbox keep ms  [7] inbox max  [8] wake channel
-- then for each: mid..L fence op code reason due burn provider sent_at ref keep next trace card denied
--   op F final with code, R again at due; burn "1": counts as an attempt
--   denied "1": the account holds nothing for it
--   keep "1": its place in the caps' history stays; next "1": strategy first goes on to the next channel
-- Returns for each: "ok", or "gone" (another worker has it, or it was stopped); "ok" again when repeated.
-- flags: allow-oom
-- needs: ending cards
local ret, ret_events, inbox_channel, inbox_keep, inbox_max, wake_channel = unpack(ARGV, 3, 8)
ret, ret_events = tonumber(ret), tonumber(ret_events)
local answers, wake, leases = {}, false, {}
kept = {}

-- Again at `due`: nothing is known against it but that it was not now.
local function settle_later(mid, L, m, reason, due, keep, entry)
  local d = delivery(m, L)
  local before = d[REASON]
  leases[#leases + 1] = mid..L
  if d[STATUS] == IS_UNKNOWN then reopen(mid, m) end
  d[REASON], d[ADMISSIONS] = reason, '0'
  if reason ~= 'template_unknown' then
    if before == 'template_unknown' then d[UNKNOWN_SINCE] = '' end
  elseif d[UNKNOWN_SINCE] == '' then d[UNKNOWN_SINCE] = int(now) end
  -- a stop moves nothing: when it is lifted the message is as late as it is
  if by_gate(reason) and reason ~= 'template_unknown' and reason ~= 'halted' and entry ~= '' then d[PLANNED] = due end
  if by_gate(reason) then call('ZADD', P..'held', int(now), mid..L) elseif by_gate(before) then call('ZREM', P..'held', mid..L) end
  if keep then d[MAYBE] = '1' elseif d[MAYBE] == '' then let_go(mid, L, m) end
  schedule(mid, L, due)
  if not wake or tonumber(due) < wake then wake = tonumber(due) end
end

local function settle(member, fence, op, code, reason, due, burn, provider, sent_at, ref, keep, next, entry, card, denied)
  local mid, L = sub(member, 1, 22), sub(member, 23)
  local m = message(mid)
  local d = m and delivery(m, L)
  if not d then return 'gone' end
  local st, its = d[STATUS], d[FENCE] == fence
  -- a result that arrives late is still the truth about an outcome that was given up as unknown
  local late = its and st == IS_UNKNOWN or (op == 'F' and st == IS_SCHEDULED and d[REASON] == 'outcome_unknown' and d[FENCE] == int(fence + 1))
  if not is_of(d, fence) and not late then return its and st == code and 'ok' or 'gone' end
  if denied == '1' then d[HOLDER] = '' end
  if m[ERASED] ~= '' and op == 'R' then op, code, reason = 'F', IS_CANCELLED, 'cancelled' end
  local attempts = tonumber(d[ATTEMPTS]) or 0
  d[ATTEMPTS], d[PROVIDER] = int(burn == '1' and attempts + 1 or attempts), provider
  if code == IS_SENT then d[SENT_AT], d[REFERENCE] = sent_at, ref end
  if entry ~= '' then add_line(mid, entry) end
  if op == 'R' then settle_later(mid, L, m, reason, due, keep == '1', entry)
  elseif st == IS_UNKNOWN then
    if keep ~= '1' and d[MAYBE] == '' then let_go(mid, L, m) end
    d[STATUS], d[REASON] = code, reason
    if code == IS_FAILED then call('ZADD', P..'dead', now, mid..L) end
  else
    if card ~= '' then put_card(m[RECIPIENT], mid..'-'..L, card, tonumber(inbox_keep), tonumber(inbox_max)) end
    if finish(mid, L, code, reason, keep == '1', next == '1', ret, ret_events, leases) then wake = now end
  end
  return 'ok'
end

-- When the script stumbles over one, those before it have ended, and what belongs to that is still written.
read_batch(9, 15)
local stumbled
for i = 9, #ARGV, 15 do
  local mid = sub(ARGV[i], 1, 22)
  local before, said = held[mid] and packed(held[mid]), lines[mid] and #lines[mid] or 0
  local well, answer = pcall(settle, unpack(ARGV, i, i + 14))
  if not well then
    stumbled = answer
    held[mid] = before and unpacked(before) or nil -- as if it had not been asked about this one
    while lines[mid] and #lines[mid] > said do table.remove(lines[mid]) end
    if said == 0 then lines[mid] = nil end
    break
  end
  answers[#answers + 1] = answer
end
if #leases > 0 then call('ZREM', P..'lease', unpack(leases)) end
tell_inboxes(inbox_channel)
if wake then call('PUBLISH', wake_channel, P..int(wake)) end
keep_all()
save()
if stumbled then error(stumbled) end
return answers
