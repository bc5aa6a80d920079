-- suppress: addresses that are left alone, in the partition of the address.
-- ARGV[3] "put" address entry ttl(ms, real; 0 none) | "del" address | "get" address… | "list"
if ARGV[3] == 'put' then
  if ARGV[6] == '0' then call('SET', P..'sup:'..ARGV[4], ARGV[5]) else call('SET', P..'sup:'..ARGV[4], ARGV[5], 'PX', ARGV[6]) end
  call('ZADD', P..'sups', now, ARGV[4])
  return 1
elseif ARGV[3] == 'del' then
  call('ZREM', P..'sups', ARGV[4])
  return call('DEL', P..'sup:'..ARGV[4])
elseif ARGV[3] == 'get' then
  local out = {}
  for i = 4, #ARGV do out[#out + 1] = call('GET', P..'sup:'..ARGV[i]) or '' end
  return out
end
local out = {}
for _, address in ipairs(call('ZRANGE', P..'sups', 0, -1)) do
  local entry = call('GET', P..'sup:'..address)
  if entry then out[#out + 1], out[#out + 2] = address, entry else call('ZREM', P..'sups', address) end
end
return out
