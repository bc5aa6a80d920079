-- accept: stores messages of one partition.
-- ARGV[3] retention ms (real)  [4] of events  [5] wake channel
-- then for each message: mid rid body category kind send_at expires strategy channels lane supersede source local old_profile new_profile
--   new_profile "": the stored profile stays; else it is set, if what is stored is still old_profile
-- Returns for each: "ok", "dup" (the id is known: nothing is done) or "race" (the profile changed: nothing is done).
-- needs: ending people
local ret, ret_events, wake_channel = unpack(ARGV, 3, 5)
local answers, wake = {}, nil
ret, ret_events = tonumber(ret), tonumber(ret_events)
for i = 6, #ARGV, 15 do
  local mid, rid, body, cat, kind, at, expires, q, h, lane, u, source, civil, was, will = unpack(ARGV, i, i + 14)
  local s, answer = P..'s:'..mid, 'ok'
  if call('EXISTS', s) == 1 then answer = 'dup'
  elseif will ~= '' and (call('GET', P..'u:'..rid) or '') ~= was then answer = 'race'
  else
    if will ~= '' then put_profile(rid, was, will) end
    if u ~= '' then
      local older = call('HGET', P..'x:'..rid, u)
      if older then stop(older, CHANNELS, IS_CANCELLED, 'superseded', ret, ret_events) end
      call('HSET', P..'x:'..rid, u, mid)
    end
    call('SET', P..'m:'..mid, body)
    call('HSET', s, RECIPIENT, rid, CATEGORY, cat, KIND, kind, SEND_AT, at, EXPIRES, expires, STRATEGY, q, ORDER, h, LANE, lane, SUPERSEDE, u,
      OPEN, q == 'f' and 1 or #h, ACCEPTED_AT, ARGV[1])
    if source ~= '' then call('HSET', s, SOURCE, source) end
    if civil ~= '' then call('HSET', s, CIVIL, civil) end
    call('ZADD', P..'p:'..rid, at, mid)
    for L in string.gmatch(q == 'f' and string.sub(h, 1, 1) or h, '.') do
      local key = P..'due:'..L..lane
      call('ZADD', key, at, mid)
      call('HSET', s, L..STATUS, IS_SCHEDULED, L..DUE, at)
      if not wake or tonumber(at) < wake then
        local head = call('ZRANGE', key, 0, 0)[1]
        if head == mid then wake = tonumber(at) end
      end
    end
  end
  answers[#answers + 1] = answer
end
if wake then call('PUBLISH', wake_channel, P..int(wake)) end
return answers
