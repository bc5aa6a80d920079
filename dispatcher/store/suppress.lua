-- suppress: addresses that are left alone, in the partition of the address.
-- sup:<address> the entry, soft:<address> how often it was refused for a while; sups: all addresses that have an entry
-- ARGV[3] "put" address entry ttl(ms, real; 0 none) | "del" address | "get" address… | "list"
--   | "soft" address entry ttl within(ms, real) max -> how many now, 0 when that suppressed it   | "well" address: half of them
--   | "forget" address: all of them
-- flags: allow-oom
local op, address, entry, ttl, within, max = unpack(ARGV, 3, 8)
if op == 'put' then
  if ttl == '0' then call('SET', P..'sup:'..address, entry) else call('SET', P..'sup:'..address, entry, 'PX', ttl) end
  call('ZADD', P..'sups', now, address)
  return 1
elseif op == 'del' then
  call('ZREM', P..'sups', address)
  call('DEL', P..'soft:'..address)
  return call('DEL', P..'sup:'..address)
elseif op == 'get' then
  local out = {}
  for i = 4, #ARGV do out[#out + 1] = call('GET', P..'sup:'..ARGV[i]) or '' end
  return out
end
local soft = P..'soft:'..(address or '')
if op == 'soft' then
  local n = call('INCR', soft)
  call('PEXPIRE', soft, within)
  if n < tonumber(max) then return n end
  call('DEL', soft)
  -- what stands already may last longer
  if call('SET', P..'sup:'..address, entry, 'PX', ttl, 'NX') then call('ZADD', P..'sups', now, address) end
  return 0
elseif op == 'well' then
  local n = math.floor(tonumber(call('GET', soft) or '0') / 2)
  if n == 0 then call('DEL', soft) else call('SET', soft, int(n), 'KEEPTTL') end
  return n
end
if op == 'forget' then return call('DEL', soft) end
local out = {}
for _, one in ipairs(call('ZRANGE', P..'sups', 0, -1)) do
  local its = call('GET', P..'sup:'..one)
  if its then out[#out + 1], out[#out + 2] = one, its else call('ZREM', P..'sups', one) end
end
return out
