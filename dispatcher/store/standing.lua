-- standing: whether a sequence runs, is paused …, as this partition knows it; steps that were decided before are refused.
-- ARGV[3] sequence  [4] its standing, JSON ("" for none)
if ARGV[4] == '' then call('HDEL', P..'qs', ARGV[3]) else call('HSET', P..'qs', ARGV[3], ARGV[4]) end
return call('HINCRBY', P..'qs', '*', 1)
