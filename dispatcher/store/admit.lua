-- admit: the last gate.  Decides consent and every cap of the person for a batch, and reserves.
-- ARGV[3] how long the caps' history is kept (ms)  [4] number of rules R, and the rules (read_rules)
-- then for each delivery: mid..L fence rid category consent(0 none, 1 opt_out, 2 opt_in) later render holder commit questions
--   later: "p" or "q" when preference or quiet hours stand against it already; render: "1" when it could not be rendered
--   holder: role|account when the account is to be asked next, else ""
--   commit: "r" or "h" (commit.lua) where handing over follows at once, so that there is nothing to ask in between; else ""
--   questions: read_questions
-- Returns for each a list: verdict, consent state, consent at, "rule=count,…", rule, until
--   ok | gone | crash | no_consent | opted_out | later | render | cap | wait (what the person's other messages wait for must be known first)
-- needs: caps
local keep, R = tonumber(ARGV[3]), tonumber(ARGV[4])
local rules, i = read_rules(5, R)
local fields = {}
for L in string.gmatch(CHANNELS, '.') do fields[L] = { L..STATUS, L..FENCE, L..ADMISSIONS, L..HOLDER, L..MAYBE, L..REASON, L..ON_LOST } end

-- Whether a rule counts such a send; the last one is the person's own, which counts when it is asked.
local counted = {}
local function is_counted(rules, R, sent, questions)
  local kind = sub(sent, 23)
  local is = counted[kind]
  if is == nil then
    is = false
    for r = 1, R - 1 do is = is or selects(rules[r], read_kind(kind)) end
    counted[kind] = is
  end
  return is or string.find(';'..questions, ';'..R..' ', 1, true) ~= nil
end

-- Of one person, what was put off goes in the order of its own time, high priority first: while an older one is due or under
-- way, a younger one waits.
local function older_first(rid, mid, L, lane, at)
  for _, other in ipairs(call('ZRANGE', P..'p:'..rid, 0, 63)) do
    if other ~= mid then
      local st, planned, reason, its_lane, its_at = unpack(call('HMGET', P..'s:'..other, L..STATUS, L..PLANNED, L..REASON, LANE, SEND_AT))
      local open = by_gate(reason) and (st == IS_CLAIMED or st == IS_ADMITTED or st == IS_COMMITTING or (st == IS_SCHEDULED and tonumber(planned or '0') <= now))
      if open and (its_lane < lane or (its_lane == lane and (tonumber(its_at) < at or (tonumber(its_at) == at and other < mid)))) then
        return true
      end
    end
  end
end

local answers = {}
while i <= #ARGV do
  local member, fence, rid, cat, rule, later, render, holder, commit, questions = unpack(ARGV, i, i + 9)
  i = i + 10
  local mid, L = sub(member, 1, 22), sub(member, 23)
  local s, f = P..'s:'..mid, fields[L]
  local st, held, tries, lane, kind, source, was, maybe, reason, at = unpack(call('HMGET', s, f[1], f[2], f[3], LANE, KIND, SOURCE, f[4], f[5], f[6], SEND_AT))
  local state, state_at = '', -1
  if rule ~= '0' then state, state_at = consent(rid, cat, L) end
  local answer = { 'ok', state, int(state_at), '' }
  local again = st == IS_COMMITTING and commit ~= '' -- asked twice, for its neighbour made the script fail
  if (st ~= IS_CLAIMED and st ~= IS_ADMITTED and not again) or held ~= fence then answer[1] = 'gone'
  elseif tonumber(tries or '0') >= 30 then answer[1] = 'crash'
  elseif rule ~= '0' and state == 'w' then answer[1] = 'opted_out'
  elseif rule == '2' and state ~= 'g' then answer[1] = 'no_consent'
  elseif later ~= '' then answer[1] = 'later'
  elseif by_gate(reason) and older_first(rid, mid, L, lane, tonumber(at)) then answer[1] = 'wait'
  else
    local key, sent = P..'h:'..rid, send(mid, L, kind, lane, cat, source)
    local worst, wait, counts, last = ask_rules(key, sent, rules, read_questions(questions), holder ~= '')
    answer[4] = counts
    if worst == 'wait' then answer[1] = 'wait'
    elseif worst then
      answer[1], answer[5], answer[6] = 'cap', worst, int(wait)
    elseif render == '1' then answer[1] = 'render'
    else
      if commit ~= '' then call('HSET', s, f[1], IS_COMMITTING, f[3], int((tries or 0) + 1), f[7], commit)
      else call('HSET', s, f[1], IS_ADMITTED, f[3], int((tries or 0) + 1)) end
      if is_counted(rules, R, sent, questions) then count_send(key, sent, keep, last) end
      -- a worker died over it, and the person has moved since; what may have arrived keeps its place
      if was and was ~= '' and was ~= holder and not maybe then give_back(was, fence - 1, sent) end
      if holder ~= '' or was then call('HSET', s, f[4], holder) end
    end
  end
  answers[#answers + 1] = answer
end
return answers
