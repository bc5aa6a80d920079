-- turn: takes back leases that ran out, then people whose runs have something to do, the longest due first.
-- ARGV[3] lease ms (real)  [4] how many
-- Returns {when the next one is due, when the next lease ends (real), -1 for none}, what is to be said to accounts (JSON), then for
-- each what sight() says.
-- flags: allow-oom
-- needs: looking
for _, rid in ipairs(call('ZRANGEBYSCORE', P..'ql', '-inf', real, 'LIMIT', 0, 128)) do
  call('ZREM', P..'ql', rid)
  call('ZADD', P..'qd', 'LT', int(now), rid)
end
local people = call('ZRANGEBYSCORE', P..'qd', '-inf', now, 'LIMIT', 0, tonumber(ARGV[4]))
local leases, out = {}, { {}, call('LRANGE', P..'qo', 0, 15) }
for i, rid in ipairs(people) do
  leases[2 * i - 1], leases[2 * i] = int(real + tonumber(ARGV[3])), rid
  out[i + 2] = sight(rid)
end
if #people > 0 then
  call('ZREM', P..'qd', unpack(people))
  call('ZADD', P..'ql', unpack(leases))
end
local due, lease = call('ZRANGE', P..'qd', 0, 0, 'WITHSCORES')[2], call('ZRANGE', P..'ql', 0, 0, 'WITHSCORES')[2]
out[1] = { due and int(tonumber(due)) or '-1', lease and int(tonumber(lease)) or '-1' }
return out
