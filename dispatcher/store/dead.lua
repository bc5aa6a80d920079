-- dead: deliveries that failed.
-- ARGV[3] "list" limit -> mid..L, at, reason, …     ARGV[3] "redrive" mid..L wake -> 1, or 0 when it is not dead
-- needs: ending
local op, what, wake_channel = unpack(ARGV, 3, 5)
if op == 'list' then
  local out = {}
  local list = call('ZREVRANGE', P..'dead', 0, tonumber(what) - 1, 'WITHSCORES')
  for i = 1, #list, 2 do
    local mid, L = string.sub(list[i], 1, -2), string.sub(list[i], -1)
    local reason = call('HGET', P..'s:'..mid, L..REASON)
    if reason then
      out[#out + 1], out[#out + 2], out[#out + 3] = list[i], list[i + 1], reason
    else
      call('ZREM', P..'dead', list[i]) -- its message has left by retention
    end
  end
  return out
end
local mid, L = sub(what, 1, -2), sub(what, -1)
local s = P..'s:'..mid
local st, lane, rid, q = unpack(call('HMGET', s, L..STATUS, LANE, RECIPIENT, STRATEGY))
if st ~= IS_FAILED or call('EXISTS', P..'m:'..mid) == 0 then return 0 end
-- strategy first: once another channel has it, or may have it, or tries, there is nothing to repeat
for other in string.gmatch(CHANNELS, '.') do
  local is = call('HGET', s, other..STATUS)
  if q == 'f' and other ~= L and is and is ~= IS_FAILED and is ~= IS_SUPPRESSED then return 0 end
end
call('ZREM', P..'dead', what)
reopen(mid, rid)
call('HSET', s, L..ATTEMPTS, 0, L..REASON, '')
schedule(mid, L, lane, now)
trace(mid, L, 'outcome', 'redriven')
call('PUBLISH', wake_channel, P..int(now))
return 1
