-- commit: the point of no return.  Whatever was cancelled, withdrawn, expired or taken over since admission is told "no".
-- ARGV[3..] for each delivery: mid..L, fence, "r" or "h" (what a lost outcome means) and the number of the list of stops by which it was judged, state as believed and as it becomes (swap())
-- Returns for each: 1 go, 2 go (its state is not as believed), 0 stop, -1 stop because it has expired, -2 the list of stops is a newer one: read
--   that, and ask again
-- flags: allow-oom
local answers = {}
local stops = tonumber(call('GET', P..'hv') or '0')
local function commit(member, fence, terms, believed, next)
  local on_lost = sub(terms, 1, 1)
  if stops > tonumber(sub(terms, 2)) then return -2 end
  local mid = sub(member, 1, 22)
  if believed ~= '' and swap(mid, believed, next) then return 1 end
  local m = message(mid)
  local d = m and delivery(m, sub(member, 23))
  if not d or d[STATUS] ~= IS_ADMITTED or d[FENCE] ~= fence then return 0 end
  if m[EXPIRES] ~= '0' and tonumber(m[EXPIRES]) <= now then return -1 end
  d[STATUS], d[ON_LOST] = IS_COMMITTING, on_lost
  return 2
end
read_batch(3, 5)
for i = 3, #ARGV, 5 do answers[#answers + 1] = commit(unpack(ARGV, i, i + 4)) end
return saved(answers)
