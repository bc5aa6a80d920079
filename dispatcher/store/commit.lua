-- commit: the point of no return.  Whatever was cancelled, withdrawn, expired or taken over since admission is told "no".
-- ARGV[3..] for each delivery: mid..L, fence, "r" or "h" (what a lost outcome means)
-- Returns for each: 1 go, 0 stop, -1 stop because it has expired
local answers = {}
for i = 3, #ARGV, 3 do
  local member, its_fence, on_lost = unpack(ARGV, i, i + 2)
  local mid, L = sub(member, 1, -2), sub(member, -1)
  local s, go = P..'s:'..mid, 0
  local st, fence, expires = unpack(call('HMGET', s, L..STATUS, L..FENCE, EXPIRES))
  if st == IS_ADMITTED and fence == its_fence then
    if expires ~= '0' and tonumber(expires) <= now then go = -1
    else
      go = 1
      call('HSET', s, L..STATUS, IS_COMMITTING, L..ON_LOST, on_lost)
    end
  end
  answers[#answers + 1] = go
end
return answers
