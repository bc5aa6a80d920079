-- cancel: by ids, or a portion of the pending messages of a recipient.
-- ARGV[3] retention ms  [4] of events  [5] "ids" or "recipient"
-- then mids; or the recipient, a category ("" for all) and mids
-- Returns for each message: mid, "cancelled" | "in_flight" | "sent" | "final" | "unknown"
local ret, ret_events, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}

local function cancel(mid)
  local s, result = P..'s:'..mid, 'unknown'
  if call('EXISTS', s) == 1 then
    local stopped, flying = stop(mid, CHANNELS, IS_CANCELLED, 'cancelled', ret, ret_events)
    result = flying > 0 and 'in_flight' or stopped > 0 and 'cancelled' or 'final'
    if result == 'final' then
      for L in string.gmatch(CHANNELS, '.') do
        local st = call('HGET', s, L..STATUS)
        if st == IS_SENT or st == IS_DELIVERED or st == IS_UNKNOWN then result = 'sent' end
      end
    end
  end
  out[#out + 1], out[#out + 2] = mid, result
end

if ARGV[5] == 'ids' then
  for i = 6, #ARGV do cancel(ARGV[i]) end
else
  for i = 8, #ARGV do
    local rid, cat = unpack(call('HMGET', P..'s:'..ARGV[i], RECIPIENT, CATEGORY))
    if rid == ARGV[6] and (ARGV[7] == '' or cat == ARGV[7]) then cancel(ARGV[i]) end
  end
end
return out
