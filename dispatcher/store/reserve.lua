-- reserve: an idempotency key, in the key's own partition.
-- ARGV[3] key  [4] hash of the body  [5] message id proposed  [6] send_at  [7] milliseconds (real) to live
-- Returns "" when the key is new, else id|send_at of the message it stands for, or "other" for another body.
local held = call('GET', P..'k:'..ARGV[3])
if not held then
  call('SET', P..'k:'..ARGV[3], ARGV[4]..'|'..ARGV[5]..'|'..ARGV[6], 'PX', ARGV[7])
  return ''
end
local hash, rest = string.match(held, '^([^|]*)|(.*)$')
if hash ~= ARGV[4] then return 'other' end
return rest
