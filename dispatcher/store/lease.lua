-- lease: renews, or gives back without a trace what was not handed over.
-- ARGV[3] "renew" or "back"  [4] lease ms (real), then for each delivery: mid..L, fence
-- Returns for each 1, or 0 when it is no longer ours.
-- flags: allow-oom
local op, ends = ARGV[3], int(real + tonumber(ARGV[4]))
local answers = {}
read_batch(5, 2)
for i = 5, #ARGV, 2 do
  local member, mid, L = ARGV[i], sub(ARGV[i], 1, 22), sub(ARGV[i], 23)
  local m = message(mid)
  local d = m and delivery(m, L)
  local mine = is_of(d, ARGV[i + 1])
  if mine and op == 'renew' then call('ZADD', P..'lease', ends, member)
  elseif mine and d[STATUS] ~= IS_COMMITTING then
    call('ZREM', P..'lease', member)
    d[ADMISSIONS] = '0'
    schedule(mid, L, d[DUE])
  end
  answers[#answers + 1] = mine and 1 or 0
end
return saved(answers)
