-- suppress: addresses that are left alone, in the partition of the address.
-- sup:<address> the entry, soft:<address> how often it was refused for a while; sups: all addresses that have an entry
-- ARGV[3] "put" address entry ttl(ms, real; 0 none) | "del" address | "get" address… | "list"
--   | "soft" address entry ttl within(ms, real) max -> how many now, 0 when that suppressed it   | "well" address: half of them
--   | "forget" address: all of them
if ARGV[3] == 'put' then
  if ARGV[6] == '0' then call('SET', P..'sup:'..ARGV[4], ARGV[5]) else call('SET', P..'sup:'..ARGV[4], ARGV[5], 'PX', ARGV[6]) end
  call('ZADD', P..'sups', now, ARGV[4])
  return 1
elseif ARGV[3] == 'del' then
  call('ZREM', P..'sups', ARGV[4])
  call('DEL', P..'soft:'..ARGV[4])
  return call('DEL', P..'sup:'..ARGV[4])
elseif ARGV[3] == 'get' then
  local out = {}
  for i = 4, #ARGV do out[#out + 1] = call('GET', P..'sup:'..ARGV[i]) or '' end
  return out
end
local soft = P..'soft:'..(ARGV[4] or '')
if ARGV[3] == 'soft' then
  local n = call('INCR', soft)
  call('PEXPIRE', soft, ARGV[7])
  if n < tonumber(ARGV[8]) then return n end
  call('DEL', soft)
  -- what stands already may last longer
  if call('SET', P..'sup:'..ARGV[4], ARGV[5], 'PX', ARGV[6], 'NX') then call('ZADD', P..'sups', now, ARGV[4]) end
  return 0
elseif ARGV[3] == 'well' then
  local n = math.floor(tonumber(call('GET', soft) or '0') / 2)
  if n == 0 then call('DEL', soft) else call('SET', soft, int(n), 'KEEPTTL') end
  return n
end
if ARGV[3] == 'forget' then return call('DEL', soft) end
local out = {}
for _, address in ipairs(call('ZRANGE', P..'sups', 0, -1)) do
  local entry = call('GET', P..'sup:'..address)
  if entry then out[#out + 1], out[#out + 2] = address, entry else call('ZREM', P..'sups', address) end
end
return out
