-- admit: the last gate.  Decides consent and every cap for a batch, and reserves.
-- ARGV[3] how long the caps' history is kept (ms)  [4] number of rules R
-- then R times: over (0 drop, 1 defer, 2 next channel); what it counts: kinds, channels, lanes, categories, sources (",a,b,",
--   or "" for all); what it counts besides, and what it leaves out, each: kinds, categories, sources ("" for none)
-- then for each delivery: mid..L fence rid category kind consent(0 none, 1 opt_out, 2 opt_in) later render n
--   later: "p" or "q" when preference or quiet hours stand against it already; render: "1" when it could not be rendered
--   and n times: rule (from 1), since, next (start of the next calendar window, or 0), window (ms, of a rolling one), and how
--   many places this delivery's priority may take
-- Returns for each a list: verdict, consent state, consent at, detail
--   ok | gone | crash | no_consent | opted_out | later | render | cap, rule, until, counts "rule=count,…"
local keep, R = tonumber(ARGV[3]), tonumber(ARGV[4])
local rules, i = {}, 5
for r = 1, R do
  rules[r] = { over = tonumber(ARGV[i]), kinds = ARGV[i + 1], channels = ARGV[i + 2], lanes = ARGV[i + 3], cats = ARGV[i + 4],
    sources = ARGV[i + 5], also = { ARGV[i + 6], ARGV[i + 7], ARGV[i + 8] }, free = { ARGV[i + 9], ARGV[i + 10], ARGV[i + 11] } }
  i = i + 12
end

local function has(list, word) return string.find(list, word, 1, true) end

local function singled_out(few, one)
  return has(few[1], one.kind) or has(few[2], ','..one.cat..',') or has(few[3], ','..one.source..',')
end

local function selects(rule, one)
  if singled_out(rule.free, one) then return false end
  return singled_out(rule.also, one) or (has(rule.kinds, one.kind) and has(rule.channels, one.L) and has(rule.lanes, one.lane) and
    (rule.cats == '' or has(rule.cats, ','..one.cat..',')) and (rule.sources == '' or has(rule.sources, ','..one.source..',')))
end

-- The person's history since an instant, oldest first, without the delivery itself.
local function history(rid, self, since)
  local list, sends = call('ZRANGEBYSCORE', P..'h:'..rid, since, '+inf', 'WITHSCORES'), {}
  for j = 1, #list, 2 do
    if list[j] ~= self then
      local one = read_send(list[j])
      one.at = tonumber(list[j + 1])
      sends[#sends + 1] = one
    end
  end
  return sends
end

-- The instants of what a rule counts.
local function counted(sends, rule, since)
  local found = {}
  for _, one in ipairs(sends) do
    if one.at >= since and selects(rule, one) then found[#found + 1] = one.at end
  end
  return found
end

local answers = {}
while i <= #ARGV do
  local member, fence, rid, cat, kind, rule, later, render, n = unpack(ARGV, i, i + 8)
  local first = i + 9
  i = first + 5 * n
  local mid, L = string.sub(member, 1, -2), string.sub(member, -1)
  local s = P..'s:'..mid
  local st, held, tries, lane, source = unpack(call('HMGET', s, L..'s', L..'f', L..'x', 'l', 'w'))
  local self = send(mid, L, kind, lane or '1', cat, source)
  local state, state_at = '', -1
  if rule ~= '0' then state, state_at = consent(rid, cat, L) end
  local answer = { 'ok', state, int(state_at), '' }
  if (st ~= 'c' and st ~= 'a') or held ~= fence then answer[1] = 'gone'
  elseif tonumber(tries or '0') >= 30 then answer[1] = 'crash'
  elseif rule ~= '0' and state == 'w' then answer[1] = 'opted_out'
  elseif rule == '2' and state ~= 'g' then answer[1] = 'no_consent'
  elseif later ~= '' then answer[1] = 'later'
  else
    local worst, wait, counts, oldest = nil, 0, {}, now
    for j = first, i - 1, 5 do oldest = math.min(oldest, tonumber(ARGV[j + 1])) end
    local sends = n ~= '0' and history(rid, self, int(oldest)) or {}
    for j = first, i - 1, 5 do
      local r, since, next, window = tonumber(ARGV[j]), tonumber(ARGV[j + 1]), tonumber(ARGV[j + 2]), tonumber(ARGV[j + 3])
      local sent, max = counted(sends, rules[r], since), tonumber(ARGV[j + 4])
      counts[#counts + 1] = r..'='..#sent
      if #sent >= max then
        local free = next
        if next == 0 then free = max > 0 and sent[#sent - max + 1] + window or now + window end
        local over = rules[r].over
        -- drop is stronger than the next channel, that than waiting; of several waits the longest
        if not worst or (over ~= 1 and rules[worst].over == 1) or (over == 0 and rules[worst].over == 2) or
          (over == 1 and rules[worst].over == 1 and free > wait) then
          worst, wait = r, free
        end
      end
    end
    answer[4] = table.concat(counts, ',')
    if worst then
      answer[1], answer[5], answer[6] = 'cap', worst, int(wait)
    elseif render == '1' then answer[1] = 'render'
    else
      call('HSET', s, L..'s', 'a', L..'x', tonumber(tries or '0') + 1)
      local last = #sends > 0 and sends[#sends].at
      if not last then last = tonumber(call('ZREVRANGE', P..'h:'..rid, 0, 0, 'WITHSCORES')[2] or '0') end
      call('ZADD', P..'h:'..rid, now, self)
      -- once a day and person the old ones leave and the key's life is prolonged
      if last < now - 86400000 then
        call('ZREMRANGEBYSCORE', P..'h:'..rid, '-inf', int(now - keep))
        call('PEXPIRE', P..'h:'..rid, int(keep + 172800000))
      end
    end
  end
  answers[#answers + 1] = answer
end
return answers
