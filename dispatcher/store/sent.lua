-- sent: settles those that were sent, the plain way: nothing has happened to them since their worker took them, nothing hangs on them.
-- ARGV[3] retention ms  [4] of events  [5] inbox channel  [6] inbox keep ms  [7] inbox max
-- then for each: mid..L, recipient, ended at, send at ("" while another of its deliveries is open), state as believed, state
--   that it becomes, the first line of its trace, card
-- Returns for each 1, or 0 when its state is another one: then settle.lua is asked, which looks what has happened.
-- flags: allow-oom
-- needs: ending cards
local ret, ret_events, inbox_channel, inbox_keep, inbox_max = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local answers, leases = {}, {}
kept = {}

local function settle(member, rid, ended, at, believed, next, line, card)
  local mid = sub(member, 1, 22)
  if not swap(mid, believed, next) then return 0 end
  leases[#leases + 1] = member
  writes[#writes + 1], writes[#writes + 2] = P..'t:'..mid, line..'\n'
  if card ~= '' then put_card(rid, mid..'-'..sub(member, 23), card, inbox_keep, inbox_max) end
  if at ~= '' then age(mid, rid, ended, at, ret, ret_events) end
  return 1
end

read_batch(8, 8)
for i = 8, #ARGV, 8 do answers[#answers + 1] = settle(unpack(ARGV, i, i + 7)) end
if #leases > 0 then call('ZREM', P..'lease', unpack(leases)) end
tell_inboxes(inbox_channel)
keep_all()
return saved(answers)
