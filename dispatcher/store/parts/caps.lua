-- caps: consent that holds, and how many sends the rules of caps count.
-- The consent that holds for a category on a channel: the latest entry that covers it; withdrawal wins a tie.
local covering = {}
local function consent(rid, cat, L)
  local fields = covering[cat..L]
  if not fields then
    fields = { cat..'|'..L, cat..'|*', '*|'..L, '*|*' }
    covering[cat..L] = fields
  end
  local best, best_at, best_seq = '', -1, -1
  local held = call('HMGET', P..'c:'..rid, fields[1], fields[2], fields[3], fields[4])
  for k = 1, 4 do
    local v = held[k]
    if v then
      local state, at, seq = string.match(v, '^(%a):(%-?%d+):(%d+)')
      at, seq = tonumber(at), tonumber(seq)
      if at > best_at or (at == best_at and (state == 'w' or (seq > best_seq and best ~= 'w'))) then
        best, best_at, best_seq = state, at, seq
      end
    end
  end
  return best, best_at
end

-- Rules of caps: R of them from ARGV[i], each: over (0 drop, 1 defer, 2 next channel); what it counts: kinds, channels, lanes,
-- categories, sources, roles (each name between unit separators, or "" for all); what it counts besides, and what it leaves out, each: kinds, categories,
-- sources ("" for none).  Returns them, and where they end.
local function read_rules(i, R)
  local rules = {}
  for r = 1, R do
    rules[r] = { over = tonumber(ARGV[i]), kinds = ARGV[i + 1], channels = ARGV[i + 2], lanes = ARGV[i + 3], cats = ARGV[i + 4],
      sources = ARGV[i + 5], roles = ARGV[i + 6], also = { ARGV[i + 7], ARGV[i + 8], ARGV[i + 9] },
      free = { ARGV[i + 10], ARGV[i + 11], ARGV[i + 12] }, known = {} }
    i = i + 13
  end
  return rules, i
end

local function singled_out(few, one)
  return has(few[1], one.kind) or has(few[2], '\31'..one.cat..'\31') or has(few[3], '\31'..one.source..'\31')
end

-- one.role: of the person at that time, nil in a person's own history, where all of it is theirs.
local function selects(rule, one)
  if singled_out(rule.free, one) then return false end
  if one.role and rule.roles ~= '' and not has(rule.roles, '\31'..one.role..'\31') then return false end
  return (singled_out(rule.also, one) or (has(rule.kinds, one.kind) and has(rule.channels, one.L) and has(rule.lanes, one.lane) and
    (rule.cats == '' or has(rule.cats, '\31'..one.cat..'\31')) and (rule.sources == '' or has(rule.sources, '\31'..one.source..'\31')))) and true or false
end

-- What a delivery asks of the rules: "rule since next window max;…", rule from 1, next the start of the next calendar window or 0,
-- window the ms of a rolling one, max how many places its priority may take.  Many of a batch ask the same.
local asked = {}
local function read_questions(text)
  local list = asked[text]
  if list then return list end
  list = {}
  for r, since, next, window, max in string.gmatch(text, '(%d+) (%-?%d+) (%d+) (%d+) (%-?%d+);') do
    list[#list + 1] = { rule = tonumber(r), since_at = tonumber(since), label = (#list > 0 and ',' or '')..r..'=', since = since, next = tonumber(next), window = tonumber(window), max = tonumber(max) }
    if not list.oldest or tonumber(since) < tonumber(list.oldest) then list.oldest = since end
  end
  asked[text] = list
  return list
end

-- How many sends of a history, from its place `from` on, a rule counts.
local function count(rule, kinds, from)
  local known, n = rule.known, 0
  for j = from, #kinds do
    local kind = kinds[j]
    local is = known[kind]
    if is == nil then
      is = kind ~= '' and selects(rule, read_kind(kind))
      known[kind] = is
    end
    if is then n = n + 1 end
  end
  return n
end

-- The place of the one with this number, once they have been counted.
local function place_of(rule, kinds, from, number)
  for j = from, #kinds do
    if rule.known[kinds[j]] then number = number - 1 end
    if number == 0 then return j end
  end
end

-- A place is open while its delivery has been admitted for the person and the account may still say no; it says so at once, so
-- what is older has its yes, and only the provider is slow.
local OPEN_MS = 10000
local function open_places(key, rule, kinds, list, from)
  local open = 0
  for j = from, #kinds do
    if rule.known[kinds[j]] and now - tonumber(call('ZSCORE', key, list[j])) < OPEN_MS then
      local mid, L = sub(list[j], 1, 22), sub(list[j], 23, 23)
      local m = message(mid)
      local d = m and delivery(m, L)
      if d and d[STATUS] == IS_ADMITTED and d[HOLDER] ~= '' then open = open + 1 end
    end
  end
  return open
end

-- Asks the rules whether a delivery, which itself is the member `self` of the history, has room.  wait_for_open: not before it is known what
-- becomes of open places; then the answer is "wait".
-- Returns the strongest rule that has none or nil, when it will have some again, "rule=count,…", and the instant of the
-- newest member (nil: not known).
local function ask_rules(key, self, rules, questions, wait_for_open)
  if #questions == 0 then return nil, 0, '', nil end
  local list, kinds, oldest = call('ZRANGEBYSCORE', key, questions.oldest, '+inf'), {}, questions.oldest
  local size = #list
  local last = size > 0 and tonumber(call('ZSCORE', key, list[size])) or 0
  for j = 1, size do
    local member = list[j]
    kinds[j] = member == self and '' or sub(member, 23)
  end
  local worst, wait, counts = nil, 0, ''
  for k = 1, #questions do
    local q, from = questions[k], 1
    if last < q.since_at then from = size + 1
    elseif q.since ~= oldest then from = size - call('ZCOUNT', key, q.since, '+inf') + 1 end
    local sent, rule = count(rules[q.rule], kinds, from), rules[q.rule]
    counts = counts..q.label..sent
    if sent >= q.max then
      if wait_for_open and sent - open_places(key, rule, kinds, list, from) < q.max then return 'wait', 0, '', last end
      local free, over = q.next, rule.over
      if free == 0 then -- of a rolling window: as soon as one more has left it than it has now too many
        free = (q.max > 0 and tonumber(call('ZSCORE', key, list[place_of(rule, kinds, from, sent - q.max + 1)])) or now) + q.window
      end
      -- drop is stronger than the next channel, that than waiting; of several waits the longest
      if not worst or (over ~= 1 and rules[worst].over == 1) or (over == 0 and rules[worst].over == 2) or
        (over == 1 and rules[worst].over == 1 and free > wait) then
        worst, wait = q.rule, free
      end
    end
  end
  return worst, wait, counts, last
end

-- Puts a send into a history; last is the instant of its newest member, when known.  The first one of a week takes the outdated with it
-- and prolongs the key's life.
local function count_send(key, member, keep, last)
  last = last or tonumber(call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2] or '0')
  call('ZADD', key, ARGV[1], member)
  if last - last % 604800000 ~= now - now % 604800000 then
    call('ZREMRANGEBYSCORE', key, '-inf', int(now - keep))
    call('PEXPIRE', key, int(keep + 691200000))
  end
end
