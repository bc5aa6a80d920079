-- person: the profile and what hangs on it.
-- ARGV[3] "put" rid old new import -> 1, or 0 when old is no longer what is stored
-- ARGV[3] "get" rid          -> profile, consent entries of the ledger
-- ARGV[3] "mids" rid limit   -> pending mids, finished mids (newest first)
-- ARGV[3] "erase" rid ret ret_events -> erased messages, in flight
-- ARGV[3] "erase_some" rid ret ret_events mid…: a portion of them, before the whole
-- ARGV[3] "civil" rid        -> mid, local time|ttl, send at, of each pending message whose time follows the person's zone
-- ARGV[3] "replan" rid mid was at …  moves those that still wait for `was`
-- flags: allow-oom
-- needs: ending people
local op, rid = ARGV[3], ARGV[4]
local u = P..'u:'..rid
if op == 'put' then
  local was, will = ARGV[5], ARGV[6]
  if (call('GET', u) or '') ~= was then return 0 end
  if will == '' then
    call('DEL', u)
    turn_if_any(rid)
  else put_profile(rid, was, will, ARGV[7] == '1') end
  return saved(1)
elseif op == 'get' then
  return { call('GET', u) or '', call('LRANGE', P..'cl:'..rid, 0, -1) }
elseif op == 'mids' then
  local limit = tonumber(ARGV[5])
  return { call('ZRANGE', P..'p:'..rid, 0, limit - 1), call('ZREVRANGE', P..'r:'..rid, 0, limit - 1) }
end
if op == 'civil' then
  local out = {}
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, -1)) do
    local m = message(mid)
    if m and m[CIVIL] ~= '' then out[#out + 1], out[#out + 2], out[#out + 3] = mid, m[CIVIL], m[SEND_AT] end
  end
  return out
elseif op == 'replan' then
  for i = 5, #ARGV, 3 do replan(rid, ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
  wake()
  return saved(1)
end
local ret, ret_events = tonumber(ARGV[5]), tonumber(ARGV[6])
local erased, flying = 0, 0
local function erase(mid)
  local m = message(mid)
  if not m or m[RECIPIENT] ~= rid then return end
  local _, open = stop(mid, CHANNELS, IS_CANCELLED, 'cancelled', ret, ret_events)
  flying = flying + open
  for L in string.gmatch(CHANNELS, '.') do call('ZREM', P..'dead', mid..L) end
  -- what is in flight has to end first, or a place that it holds would never be given back
  if open > 0 then
    call('UNLINK', P..'m:'..mid, P..'t:'..mid)
    m[ERASED], m[TRACED], lines[mid] = '1', '', nil
  else drop(mid) end
  erased = erased + 1
end
if op == 'erase_some' then
  for i = 7, #ARGV do
    erase(ARGV[i])
    call('ZREM', P..'p:'..rid, ARGV[i])
    call('ZREM', P..'r:'..rid, ARGV[i])
  end
  return saved({ erased, flying })
end
local mids = call('ZRANGE', P..'p:'..rid, 0, -1)
for _, mid in ipairs(call('ZRANGE', P..'r:'..rid, 0, -1)) do mids[#mids + 1] = mid end
for _, mid in ipairs(mids) do erase(mid) end
local text = string.match(call('GET', P..'q:'..rid) or '', '^%d*|(.+)$')
local kept = text and cjson.decode(text) or {}
local function say(what)
  call('RPUSH', P..'qo', cjson.encode(what))
  call('PUBLISH', string.match(P, '^(.*){')..'turn', P..int(now))
end
if kept.mv then say({ person = kept.mv, forget = rid }) end
for other, since in pairs(kept.mg or {}) do -- who only meant to come may be there still
  say({ person = other, erase = rid, claim = tonumber(since) < 0 or nil })
end
for _, run in ipairs(kept.r or {}) do
  call('HINCRBY', P..'qn', run.q, -1)
  if run.wv then
    call('ZREM', P..'qw:'..run.q..':'..run.wv, rid..'|'..run.i)
    call('ZREM', P..'qv:'..run.q..':'..run.wv, rid..'|'..run.i)
  end
  local account, group = string.match(run.pl or '', '^group|(.*)|(.*)$')
  if account then say({ account = account, give = group, owner = rid, run = run.i }) end
end
call('DEL', u, P..'p:'..rid, P..'r:'..rid, P..'h:'..rid, P..'c:'..rid, P..'cl:'..rid, P..'x:'..rid, P..'i:'..rid, P..'io:'..rid, P..'iv:'..rid, P..'iz:'..rid,
  P..'q:'..rid, P..'qi:'..rid, P..'qe:'..rid, P..'qx:'..rid, P..'qt:'..rid, P..'qz:'..rid)
call('ZREM', P..'qd', rid)
call('ZREM', P..'ql', rid)
call('SREM', P..'qm', rid)
return saved({ erased, flying })
