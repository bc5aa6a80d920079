-- turn: takes back leases that ran out, then people whose runs have something to do, the longest due first.
-- ARGV[3] lease ms (real)  [4] how many  [5] what was due before that is late (service time)  [6] how many late ones (-1: no limit)
-- Returns {when the next one is due, when the next lease ends (real), -1 for none, "1" when late ones wait, how many were taken}, what is to be said to accounts (JSON),
-- how sequences stand, then for each what sights() says.
-- flags: allow-oom
-- needs: looking
for _, rid in ipairs(call('ZRANGEBYSCORE', P..'ql', '-inf', real, 'LIMIT', 0, 128)) do
  call('ZREM', P..'ql', rid)
  call('ZADD', P..'qd', 'LT', int(now), rid)
end
local most, late, late_most = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local people = call('ZRANGEBYSCORE', P..'qd', '-inf', late_most < 0 and now or late, 'LIMIT', 0, late_most < 0 and most or math.min(most, late_most))
local late_ones = late_most < 0 and 0 or #people
if late_most >= 0 then -- what is due now goes beside what an outage has left
  for _, rid in ipairs(call('ZRANGEBYSCORE', P..'qd', '('..late, now, 'LIMIT', 0, most - #people)) do people[#people + 1] = rid end
end
local leases, out = {}, { {}, call('LRANGE', P..'qo', 0, 63), #people > 0 and standings() or {}, unpack(sights(people)) }
for i, rid in ipairs(people) do leases[2 * i - 1], leases[2 * i] = int(real + tonumber(ARGV[3])), rid end
if #people > 0 then
  call('ZREM', P..'qd', unpack(people))
  call('ZADD', P..'ql', unpack(leases))
end
local due, lease = call('ZRANGE', P..'qd', 0, 0, 'WITHSCORES')[2], call('ZRANGE', P..'ql', 0, 0, 'WITHSCORES')[2]
if late_most >= 0 and due and tonumber(due) <= tonumber(late) then -- these wait for their share
  due = call('ZRANGEBYSCORE', P..'qd', '('..late, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  out[1][3] = '1'
end
out[1] = { due and int(tonumber(due)) or '-1', lease and int(tonumber(lease)) or '-1', out[1][3] or '', int(late_ones) }
return out
