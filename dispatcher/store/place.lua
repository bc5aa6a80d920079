-- place: places of which there are only so many.  In a wave, in the partition of its sequence: kept for whoever got one.
-- ARGV[3] "wave"  [4] "sequence:wave"  [5] rid  [6] how many there are  -> {"1"} when it is theirs, else {"0"}
-- In a group, one an account, in the partition of the account: a run's, until it is given back.  Who waits is told in the order in which
-- they first asked.
-- ARGV[3] "take"  [4] account  [5] group  [6] rid  [7] run  [8] "1": who does not get it waits  -> {"1"}, else {"0", whose it is, for how long (ms, real)}; {"0", ""} when it is
--   nobody's, and others are before them
-- ARGV[3] "give"  [4] account  [5] group  [6] rid  [7] run  -> those who might have it now, the next one first; also when it is told again
-- ARGV[3] "pass"  [4] account  [5] group  [6] rid  [7] run  [8] rid  [9] run: whose it is now
-- ARGV[3] "free"  [4] account  [5] group  [6] rid  [7] ms   whose it has been for so long has it no more
-- ARGV[3] "owner" [4] account  [5] group                    -> {rid} of whoever has it
-- ARGV[3] "gone"  [4] account  [5] rid  [6] group, "" for all   nobody waits any more
local op = ARGV[3]
if op == 'wave' then
  local key, member = P..'wm:'..ARGV[4], redis.sha1hex(ARGV[5])
  if call('SISMEMBER', key, member) == 1 then return { '1' } end
  if call('SCARD', key) >= tonumber(ARGV[6]) then return { '0' } end
  call('SADD', key, member)
  return { '1' }
end
local account = ARGV[4]
local function plain(text) return (string.gsub(text, '%p', '%%%0')) end
local function waiters(pattern)
  local found = {}
  for _, member in ipairs(call('ZRANGE', P..'aw:'..account, 0, -1)) do
    local who = string.match(member, pattern)
    if who then found[#found + 1] = who end
  end
  return found
end
if op == 'gone' then
  local group = ARGV[6] ~= '' and plain(ARGV[6]) or '.*'
  for _, member in ipairs(waiters('^('..group..'|'..plain(ARGV[5])..')$')) do call('ZREM', P..'aw:'..account, member) end
  return {}
end
local group, rid, run = ARGV[5], ARGV[6], ARGV[7]
local owner, its, since = string.match(call('HGET', P..'ap:'..account, group) or '', '^(.*)|(.*)|(%d+)$')
if op == 'free' then -- it has not been used for so long: [6] rid  [7] ms
  if owner == rid and real - tonumber(since) >= tonumber(run) then call('HDEL', P..'ap:'..account, group) end
  return {}
end
if op == 'owner' then return { owner or '' } end
if op == 'take' then
  local next = waiters('^'..plain(group)..'|(.*)$')[1]
  local turn = not owner and (not next or next == rid)
  if not turn and not (owner == rid and its == run) then
    if ARGV[8] == '1' then call('ZADD', P..'aw:'..account, 'NX', call('HINCRBY', P..'ap:'..account, '|', 1), group..'|'..rid) end
    return { '0', owner or '', int(since and real - tonumber(since) or 0) }
  end
  call('HSET', P..'ap:'..account, group, rid..'|'..run..'|'..int(real))
  call('ZREM', P..'aw:'..account, group..'|'..rid)
  return { '1' }
end
if owner == rid and its == run then
  if op == 'pass' then call('HSET', P..'ap:'..account, group, ARGV[8]..'|'..ARGV[9]..'|'..int(real))
  else
    call('HDEL', P..'ap:'..account, group)
    owner = nil
  end
end
local told = waiters('^'..plain(group)..'|(.*)$')
if owner then table.insert(told, 1, owner) end -- perhaps it died before it began
return told
