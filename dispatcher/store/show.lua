-- show: one message as it is now.  ARGV[3] mid, [4] "t" with its trace
-- Returns state (flat), body, trace; or {} when there is none.
local mid = ARGV[3]
local s = call('HGETALL', P..'s:'..mid)
if #s == 0 then return {} end
return { s, call('GET', P..'m:'..mid) or '', ARGV[4] == 't' and call('LRANGE', P..'t:'..mid, 0, -1) or {} }
