-- place: places of which there are only so many.  In a wave, in the partition of its sequence: kept for whoever got one.
-- ARGV[3] "wave"  [4] "sequence:wave"  [5] rid  [6] how many there are  -> {"1"} when it is theirs, else {"0"}
-- In a group, one an account, in the partition of the account: until it is given back.
-- ARGV[3] "take"  [4] account  [5] group  [6] rid  [7] "1": who does not get it waits  -> {"1"}, else {"0", whose it is, for how long (ms, real)}
-- ARGV[3] "give"  [4] account  [5] group  [6] rid  [7] "1": those who wait are told  -> who they are; who still wants it asks again
-- ARGV[3] "pass"  [4] account  [5] group  [6] rid  [7] who has it now
-- ARGV[3] "gone"  [4] account  [5] rid             nobody waits any more
local op = ARGV[3]
if op == 'wave' then
  local key, member = P..'wm:'..ARGV[4], redis.sha1hex(ARGV[5])
  if call('SISMEMBER', key, member) == 1 then return { '1' } end
  if call('SCARD', key) >= tonumber(ARGV[6]) then return { '0' } end
  call('SADD', key, member)
  return { '1' }
end
local account = ARGV[4]
local function waiters(pattern)
  local found = {}
  for _, member in ipairs(call('ZRANGE', P..'aw:'..account, 0, -1)) do
    local who = string.match(member, pattern)
    if who then found[#found + 1] = { member, who } end
  end
  return found
end
local function plain(text) return (string.gsub(text, '%p', '%%%0')) end
if op == 'gone' then
  for _, one in ipairs(waiters('^.*|('..plain(ARGV[5])..')$')) do call('ZREM', P..'aw:'..account, one[1]) end
  return {}
end
local group, rid = ARGV[5], ARGV[6]
local owner, since = string.match(call('HGET', P..'ap:'..account, group) or '', '^(.*)|(%d+)$')
if op == 'take' then
  if owner and owner ~= rid then
    if ARGV[7] == '1' then call('ZADD', P..'aw:'..account, 'NX', real, group..'|'..rid) end
    return { '0', owner, int(real - tonumber(since)) }
  end
  call('HSET', P..'ap:'..account, group, rid..'|'..int(real))
  call('ZREM', P..'aw:'..account, group..'|'..rid)
  return { '1' }
end
if owner ~= rid then return {} end
if op == 'pass' then
  call('HSET', P..'ap:'..account, group, ARGV[7]..'|'..int(real))
  return {}
end
call('HDEL', P..'ap:'..account, group)
if ARGV[7] ~= '1' then return {} end
local told = {}
for _, one in ipairs(waiters('^'..plain(group)..'|(.*)$')) do
  call('ZREM', P..'aw:'..account, one[1])
  told[#told + 1] = one[2]
end
return told
