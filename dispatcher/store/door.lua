-- door: who stands before the waves of a sequence, and what became of those who were let in.
-- ARGV[3] "look" sequence  [5] how many of the first at each door  [6] who was let in before that has settled (service time), then for each wave:
--   its name, since when what did harm counts, and "1" when somebody wants to know of answers
--   -> {number of its standing, then for each wave {at the door, let in, of those bounced, complained, opted out, failed, settled, of those goals,
--   answers, their sum, let in ever}, then for each {member, since, …}}
-- ARGV[3] "release" sequence  [5] wave  [6] number of its standing, then members ("rid|run")  -> how many were let in; -1: it stands otherwise now
-- ARGV[3] "quota" sequence  [5] wave  [6] ms between two  [7] how many would like to  [8] ms that are made up for when nobody looked
--   -> how many may, and when the next one may; in the partition of its name
-- flags: allow-oom
local op, sequence = ARGV[3], ARGV[4]

local function number()
  return string.match(call('HGET', P..'qs', sequence) or '', '"n":(%d+)') or '0'
end

local function between(key, from, before)
  return call('ZCOUNT', key, from, before)
end

local SLICE_RUNS = 1000
local function scores(wave, before)
  local runs = call('ZRANGEBYSCORE', P..'qr:'..sequence..':'..wave..':answered', '-inf', before)
  local sum = 0
  for first = 1, #runs, SLICE_RUNS do
    local list = call('HMGET', P..'qr:'..sequence..':'..wave..':scores', unpack(runs, first, math.min(first + SLICE_RUNS - 1, #runs)))
    for _, score in ipairs(list) do sum = sum + tonumber(score or '0') end
  end
  return #runs, sum
end

local function figures(wave, from, before, asks)
  local of = P..'qr:'..sequence..':'..wave..':'
  local out = { call('ZCARD', P..'qw:'..sequence..':'..wave) + call('ZCARD', P..'qv:'..sequence..':'..wave), between(of..'released', from, '+inf') }
  for _, harm in ipairs({ 'bounced', 'complained', 'opted_out', 'failed' }) do out[#out + 1] = between(of..harm, from, '+inf') end
  out[#out + 1] = between(of..'released', '-inf', before)
  out[#out + 1] = between(of..'goal', '-inf', before)
  local n, sum = 0, 0
  if asks == '1' then n, sum = scores(wave, before) end
  out[#out + 1], out[#out + 2] = n, string.format('%.17g', sum)
  out[#out + 1] = call('ZCARD', P..'qr:'..sequence..':'..wave..':released')
  return out
end

if op == 'look' then
  local out, heads = { number() }, {}
  for k = 7, #ARGV, 3 do
    out[#out + 1] = figures(ARGV[k], ARGV[k + 1], ARGV[6], ARGV[k + 2])
    heads[#heads + 1] = tonumber(ARGV[5]) > 0 and call('ZRANGE', P..'qw:'..sequence..':'..ARGV[k], 0, tonumber(ARGV[5]) - 1, 'WITHSCORES') or {}
  end
  for _, head in ipairs(heads) do out[#out + 1] = head end
  return out
elseif op == 'quota' then
  local key, wave, gap, wish = P..'qg:'..sequence, ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
  local next = math.max(tonumber(call('HGET', key, wave) or '0'), now - tonumber(ARGV[8]))
  if call('HEXISTS', key, wave) == 0 then next = now end
  local may = next > now and 0 or math.min(wish, math.floor((now - next) / gap) + 1)
  next = next + may * gap
  if may > 0 then call('HSET', key, wave, string.format('%.17g', next)) end
  return { may, int(math.ceil(next)) }
end

local wave, released = ARGV[5], 0
if number() ~= ARGV[6] then return -1 end
for k = 7, #ARGV do
  if call('ZREM', P..'qw:'..sequence..':'..wave, ARGV[k]) == 1 then
    local rid, run = string.match(ARGV[k], '^(.*)|(.*)$')
    call('ZADD', P..'qv:'..sequence..':'..wave, int(now), ARGV[k]) -- until their turn says which side they are on
    call('RPUSH', P..'qi:'..rid, '{"k":"w","r":"'..run..'"}')
    turn(rid)
    released = released + 1
  end
end
return released
