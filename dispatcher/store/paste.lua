-- paste: what copy.lua has read of another store.
-- ARGV[3] how many keys  then key, dump, …  then sorted set, member, score, … ("" for a set)
local after = 4 + 2 * tonumber(ARGV[3])
for i = 4, after - 1, 2 do
  local key = P..ARGV[i]
  call('RESTORE', key, 0, ARGV[i + 1], 'REPLACE')
end
for i = after, #ARGV, 3 do
  local key = P..ARGV[i]
  if ARGV[i + 2] == '' then call('SADD', key, ARGV[i + 1]) else call('ZADD', key, ARGV[i + 2], ARGV[i + 1]) end
end
return 'ok'
