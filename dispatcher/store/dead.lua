-- dead: deliveries that failed.
-- ARGV[3] "list" limit -> mid..L, at, reason, …     ARGV[3] "redrive" mid..L wake -> 1, or 0 when it is not dead
-- flags: allow-oom
-- needs: ending
local op, what, wake_channel = unpack(ARGV, 3, 5)
if op == 'list' then
  local out = {}
  local list = call('ZREVRANGE', P..'dead', 0, tonumber(what) - 1, 'WITHSCORES')
  for i = 1, #list, 2 do
    local m = message(sub(list[i], 1, 22))
    local d = m and delivery(m, sub(list[i], 23))
    if d then
      out[#out + 1], out[#out + 2], out[#out + 3] = list[i], list[i + 1], d[REASON]
    else
      call('ZREM', P..'dead', list[i]) -- its message has left by retention
    end
  end
  return out
end
local mid, L = sub(what, 1, 22), sub(what, 23)
local m = #what == 23 and PLACE_OF[L] and message(mid)
local d = m and delivery(m, L)
if not d or d[STATUS] ~= IS_FAILED or call('EXISTS', P..'m:'..mid) == 0 then return 0 end
-- strategy first: once another channel has it, or may have it, or tries, there is nothing to repeat
for other in string.gmatch(CHANNELS, '.') do
  local its = delivery(m, other)
  if m[STRATEGY] == 'f' and other ~= L and its and its[STATUS] ~= IS_FAILED and its[STATUS] ~= IS_SUPPRESSED then return 0 end
end
call('ZREM', P..'dead', what)
reopen(mid, m)
d[ATTEMPTS], d[REASON] = '0', ''
schedule(mid, L, now)
trace(mid, L, 'outcome', 'redriven')
call('PUBLISH', wake_channel, P..int(now))
return saved(1)
