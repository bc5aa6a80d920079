-- cancel: by ids, or a portion of the pending messages of a recipient.
-- ARGV[3] retention ms  [4] of events  [5] "ids" or "recipient"
-- then mids; or the recipient, a category ("" for all) and mids
-- Returns for each message: mid, "cancelled" | "in_flight" | "sent" | "final" | "unknown"
-- flags: allow-oom
-- needs: ending
local ret, ret_events, by, out = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], {}

local function cancel(mid)
  local m, result = message(mid), 'unknown'
  if m then
    local stopped, flying = stop(mid, CHANNELS, IS_CANCELLED, 'cancelled', ret, ret_events)
    result = flying > 0 and 'in_flight' or stopped > 0 and 'cancelled' or 'final'
    if result == 'final' then
      for L in string.gmatch(CHANNELS, '.') do
        local d = delivery(m, L)
        local st = d and d[STATUS]
        if st == IS_SENT or st == IS_DELIVERED or st == IS_UNKNOWN then result = 'sent' end
      end
    end
  end
  out[#out + 1], out[#out + 2] = mid, result
end

if by == 'ids' then
  for i = 6, #ARGV do cancel(ARGV[i]) end
else
  local of, category = ARGV[6], ARGV[7]
  for i = 8, #ARGV do
    local m = message(ARGV[i])
    if m and m[RECIPIENT] == of and (category == '' or m[CATEGORY] == category) then cancel(ARGV[i]) end
  end
end
return saved(out)
