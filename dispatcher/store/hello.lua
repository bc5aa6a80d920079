-- hello: what a prefix was created with; run on every connection, in partition 0.
-- ARGV[3] partitions  [4] schema  [5] a secret in case there is none  [6] clock rate wanted, "" for as it is
-- Returns partitions, schema, secret, rate, base real, base service, the schema that is being taken over ("": none).
-- flags: allow-oom
local meta = P..'meta'
call('HSETNX', meta, 'partitions', ARGV[3])
call('HSETNX', meta, 'schema', ARGV[4])
call('HSETNX', meta, 'secret', ARGV[5])
local rate, base_real, base_service = unpack(call('HMGET', meta, 'rate', 'base_real', 'base_service'))
if ARGV[6] ~= '' and tonumber(ARGV[6]) ~= tonumber(rate or '1') then
  -- service time goes on from where it is
  local service = real
  if rate then service = tonumber(base_service) + (real - tonumber(base_real)) * tonumber(rate) end
  rate, base_real, base_service = ARGV[6], int(real), int(service)
  call('HSET', meta, 'rate', rate, 'base_real', base_real, 'base_service', base_service)
end
local v = call('HMGET', meta, 'partitions', 'schema', 'secret', 'upgrading')
return { v[1], v[2], v[3], rate or '1', base_real or '0', base_service or '0', v[4] or '' }
