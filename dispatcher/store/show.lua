-- show: one message as it is now.  ARGV[3] mid, [4] "t" with its trace
-- Returns state, body, trace (lines); or {} when there is none.
-- flags: no-writes
local mid = ARGV[3]
local state, body, lines = unpack(call('MGET', P..'s:'..mid, P..'m:'..mid, P..'t:'..mid))
if not state then return {} end
return { state, body or '', ARGV[4] == 't' and lines or '' }
