-- reserve: an idempotency key, in the key's own partition.
-- ARGV[3] key  [4] hash of the body  [5] message id proposed  [6] send_at  [7] milliseconds (real) to live
-- Returns "" when the key is new, else id|send_at of the message it stands for, or "other" for another body.
local key, hash, mid, at, life = unpack(ARGV, 3, 7)
local held = call('GET', P..'k:'..key)
if not held then
  call('SET', P..'k:'..key, hash..'|'..mid..'|'..at, 'PX', life)
  return ''
end
local its_hash, rest = string.match(held, '^([^|]*)|(.*)$')
if its_hash ~= hash then return 'other' end
return rest
