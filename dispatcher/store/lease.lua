-- lease: renews, or gives back without a trace what was not handed over.
-- ARGV[3] "renew" or "back"  [4] lease ms (real), then for each delivery: mid..L, fence
-- Returns for each 1, or 0 when it is no longer ours.
local op, lease_ms = ARGV[3], ARGV[4]
local answers = {}
for i = 5, #ARGV, 2 do
  local member, its_fence = ARGV[i], ARGV[i + 1]
  local mid, L = string.sub(member, 1, -2), string.sub(member, -1)
  local s = P..'s:'..mid
  local st, fence, lane, due = unpack(call('HMGET', s, L..STATUS, L..FENCE, LANE, L..DUE))
  local mine = fence == its_fence and (st == IS_CLAIMED or st == IS_ADMITTED or st == IS_COMMITTING)
  if mine and op == 'renew' then call('ZADD', P..'lease', real + tonumber(lease_ms), member)
  elseif mine and st ~= IS_COMMITTING then
    call('ZREM', P..'lease', member)
    call('HSET', s, L..ADMISSIONS, 0)
    schedule(mid, L, lane, due)
  end
  answers[#answers + 1] = mine and 1 or 0
end
return answers
