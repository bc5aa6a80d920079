-- cancel: by ids, or all pending messages of a recipient.
-- ARGV[3] retention ms  [4] of events  [5] "ids" or "recipient"
-- then mids; or the recipient and a category ("" for all)
-- Returns for each message: mid, "cancelled" | "in_flight" | "sent" | "final" | "unknown"
local ret, ret_events, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}

local function cancel(mid)
  local s, result = P..'s:'..mid, 'unknown'
  if call('EXISTS', s) == 1 then
    local stopped, flying = stop(mid, 'esi', 'X', 'cancelled', ret, ret_events)
    result = flying > 0 and 'in_flight' or stopped > 0 and 'cancelled' or 'final'
    if result == 'final' then
      for L in string.gmatch('esi', '.') do
        local st = call('HGET', s, L..'s')
        if st == 'T' or st == 'D' or st == 'U' then result = 'sent' end
      end
    end
  end
  out[#out + 1], out[#out + 2] = mid, result
end

if ARGV[5] == 'ids' then
  for i = 6, #ARGV do cancel(ARGV[i]) end
else
  for _, mid in ipairs(call('ZRANGE', P..'p:'..ARGV[6], 0, -1)) do
    if ARGV[7] == '' or call('HGET', P..'s:'..mid, 'c') == ARGV[7] then cancel(mid) end
  end
end
return out
