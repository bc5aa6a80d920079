-- admit: the last gate.  Decides consent and every cap of the person for a batch, and reserves.
-- ARGV[3] how long the caps' history is kept (ms)  [4] number of rules R, and the rules (read_rules)
-- then for each delivery: send() fence rid category terms holder questions believed next
--   terms: four characters, "-" for none, and the number of the list of stops by which it was judged: 1 opt_out, 2 opt_in; p or q when preference or quiet hours stand against it already; 1 when it
--     could not be rendered; r or h (commit.lua) where handing over follows at once, so that there is nothing to ask in between
--   holder: role|account when the account is to be asked next, else ""
--   questions: read_questions     believed, next: swap(), "" where there is more to look at
-- Returns for each a list: verdict, consent state, consent at, "rule=count,…", rule, until
--   ok (its state is next) | changed (ok, and its state is another one) | gone | crash | no_consent | opted_out | later | render | cap |
--   wait (what the person's other messages wait for must be known first) | stops (the list is a newer one, number `until`)
-- needs: caps
-- flags: allow-oom
local keep, R = tonumber(ARGV[3]), tonumber(ARGV[4])
local rules, i = read_rules(5, R)
local stops = tonumber(call('GET', P..'hv') or '0')

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
local function older_first(rid, mid, L, m)
  local mids, lane, at = call('ZRANGE', P..'p:'..rid, 0, 63), m[LANE], tonumber(m[SEND_AT])
  read(mids)
  for _, other in ipairs(mids) do
    local its = message(other)
    local d = other ~= mid and its and delivery(its, L)
    if d and by_gate(d[REASON]) then
      local st, its_at = d[STATUS], tonumber(its[SEND_AT])
      local due = st == IS_SCHEDULED and d[REASON] ~= 'halted' and (tonumber(d[PLANNED]) or 0) <= now
      local open = st == IS_ADMITTED or st == IS_COMMITTING or due
      if open and (its[LANE] < lane or (its[LANE] == lane and (its_at < at or (its_at == at and other < mid)))) then return true end
    end
  end
end

-- It has room.
local function reserve(mid, L, m, fence, holder, commit, sent)
  local d = delivery(m, L)
  local before = d[HOLDER]
  d[STATUS], d[ADMISSIONS] = commit ~= '-' and IS_COMMITTING or IS_ADMITTED, int((tonumber(d[ADMISSIONS]) or 0) + 1)
  if commit ~= '-' then d[ON_LOST] = commit end
  -- a worker died over it, and the person has moved since; what may have arrived keeps its place
  if before ~= '' and before ~= holder and d[MAYBE] == '' then give_back(before, fence - 1, sent) end
  d[HOLDER] = holder
end

-- Whether it is still as its worker believes, or what speaks against it; and its state, taken apart, unless it is as believed.
local function look_at(mid, L, fence, commit, rid, believed)
  if believed ~= '' and held[mid] == nil and texts[mid] == believed then return nil end
  local m = message(mid)
  local d = m and delivery(m, L)
  if not is_of(d, fence) or (d[STATUS] == IS_COMMITTING and commit == '-') then return 'gone' end
  if (tonumber(d[ADMISSIONS]) or 0) >= 30 then return 'crash' end
  return by_gate(d[REASON]) and older_first(rid, mid, L, m) and 'wait' or nil, m
end

local function admit(sent, fence, rid, cat, terms, holder, questions, believed, next)
  local mid, L = sub(sent, 1, 22), sub(sent, 23, 23)
  local rule, later, render, commit, judged = string.match(terms, '(.)(.)(.)(.)(%d*)')
  if stops > tonumber(judged) then return { 'stops', '', '-1', '', '', int(stops) } end
  local state, state_at = '', -1
  if rule ~= '-' then state, state_at = consent(rid, cat, L) end
  local why, m = look_at(mid, L, fence, commit, rid, believed)
  if why and why ~= 'wait' then return { why, state, int(state_at), '' } end
  if rule ~= '-' and state == 'w' then why = 'opted_out'
  elseif rule == '2' and state ~= 'g' then why = 'no_consent'
  elseif later ~= '-' then why = 'later' end
  if why then return { why, state, int(state_at), '' } end
  local worst, wait, counts, last = ask_rules(P..'h:'..rid, sent, rules, read_questions(questions), holder ~= '')
  if worst == 'wait' then return { 'wait', state, int(state_at), counts } end
  if worst then return { 'cap', state, int(state_at), counts, worst, int(wait) } end
  if render == '1' then return { 'render', state, int(state_at), counts } end
  local swapped = not m and swap(mid, believed, next)
  if not swapped then reserve(mid, L, m, fence, holder, commit, sent) end
  if is_counted(rules, R, sent, questions) then count_send(P..'h:'..rid, sent, keep, last) end
  return { swapped and 'ok' or 'changed', state, int(state_at), counts }
end

local answers = {}
read_batch(i, 9)
for k = i, #ARGV, 9 do answers[#answers + 1] = admit(unpack(ARGV, k, k + 8)) end
return saved(answers)
