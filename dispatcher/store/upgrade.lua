-- upgrade: writes anew what schema 1 wrote: states that were hashes, traces that were lists, and what Redis itself was to forget.
-- ARGV[3] retention ms  [4] of events  [5..] mids
-- Returns how many there were.  Twice is once.
-- needs: ending upgrading
local ret, ret_events, taken = tonumber(ARGV[3]), tonumber(ARGV[4]), 0
for i = 5, #ARGV do taken = taken + (take_over(ARGV[i], ret, ret_events) and 1 or 0) end
return saved(taken)
