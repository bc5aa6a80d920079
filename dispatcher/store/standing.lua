-- standing: whether a sequence runs, is paused, has waves …: one truth in the partition of its name, and a copy in each. Steps that were
-- decided before are refused.
-- ARGV[3] sequence  [4] its standing, JSON with its number "n"  [5] "change": only when it follows what is there; "spread": unless that is newer
-- Returns "ok" or "race", and what was there.
local held = call('HGET', P..'qs', ARGV[3]) or ''
local has, brings = tonumber(string.match(held, '"n":(%d+)') or '0'), tonumber(string.match(ARGV[4], '"n":(%d+)'))
if ARGV[5] == 'change' and has ~= brings - 1 then return { 'race', held } end
if has < brings then
  call('HSET', P..'qs', ARGV[3], ARGV[4])
  call('HINCRBY', P..'qs', '*', 1)
end
return { 'ok', held }
