-- common: stands before every script.
-- KEYS[1]  the partition, "tidings:{3}:"; every key is built from it
-- ARGV[1]  service time in ms     ARGV[2]  real time in ms
--
-- Keys of a partition                                  (mid: message id, L: channel letter, rid: recipient)
--   m:<mid>      the body, immutable                   s:<mid>      state, a hash (below)
--   t:<mid>      trace, a list of JSON                 due:<L><lane> when each waiting mid is due
--   lease        mid..L -> end of the lease (real)     fence        grows with each claim
--   u:<rid>      profile, JSON                         p:<rid>      pending mids by send time
--   r:<rid>      finished mids by when they finished     h:<rid>      sends that caps count (send())
--   c:<rid>      consent: category|L -> state:at:seq   cl:<rid>     consent ledger, a list
--   x:<rid>      supersede value -> mid                dead         failed mid..L by time
--   i:<rid> io:<rid>  inbox                            sup:<address> sups  suppression
--   own:<address> whose address it is, at least          held         deliveries that wait because of a gate (by_gate)
--   k:<key>      idempotency                         aq           account reservations to be given back, a list of
--                                                                  JSON [account, member, fence]
-- In the partition of an account:
--   ah:<account>  its people's sends that account-wide caps count, see send()
--   af:<mid>L<account>  the last word on one of them, r (reserved) or x (given back), fence|role, for an hour
--
-- Fields of the state: wire/state.h.  Statuses (IS_…) and reasons that wait for a gate (BY_GATE): base/vocab.h.
local P, now, real = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local call, sub = redis.call, string.sub

local function has(list, word) return string.find(list, word, 1, true) end

local function int(n) return string.format('%d', n) end

local function trace(mid, L, gate, verdict, detail)
  call('RPUSH', P..'t:'..mid, '['..int(now)..',"'..L..'",["'..gate..'","'..verdict..'",'..(detail or '{}')..']]')
end

local function schedule(mid, L, lane, due)
  call('ZADD', P..'due:'..L..lane, due, mid)
  call('HSET', P..'s:'..mid, L..STATUS, IS_SCHEDULED, L..DUE, due)
end

-- Another channel takes a message over: at once, and not late for what a gate has put off.
local function hand_on(mid, L, N, lane, at)
  local s = P..'s:'..mid
  local planned = call('HGET', s, L..PLANNED)
  if planned then call('HSET', s, N..PLANNED, planned) end
  schedule(mid, N, lane, math.max(now, tonumber(at)))
end

-- A message without open deliveries leaves the pending index and begins to age.
local function close(mid, rid, at, supersede, ret, ret_events)
  call('ZREM', P..'p:'..rid, mid)
  call('ZADD', P..'r:'..rid, now, mid)
  call('PEXPIRE', P..'r:'..rid, ret)
  -- every eighth one takes the outdated with it
  if string.find('0123', string.sub(mid, -1), 1, true) then call('ZREMRANGEBYSCORE', P..'r:'..rid, '-inf', int(now - ret)) end
  if supersede ~= '' and call('HGET', P..'x:'..rid, supersede) == mid then call('HDEL', P..'x:'..rid, supersede) end
  -- the state outlives the idempotency key (24 h after the send time), or a replay would make the message anew
  local keep = math.max(ret, tonumber(at) - now + 90000000)
  call('PEXPIRE', P..'m:'..mid, keep)
  call('PEXPIRE', P..'s:'..mid, keep)
  call('PEXPIRE', P..'t:'..mid, ret_events)
end

-- A message that had ended goes on.
local function reopen(mid, rid)
  local s = P..'s:'..mid
  call('HINCRBY', s, OPEN, 1)
  call('PERSIST', s)
  call('PERSIST', P..'m:'..mid)
  call('PERSIST', P..'t:'..mid)
  call('ZREM', P..'r:'..rid, mid)
  call('ZADD', P..'p:'..rid, call('HGET', s, SEND_AT), mid)
end

-- A member of h:<rid>: mid..L|kind|lane|category|source; of ah:<account> the same, a line feed and the person's role.
-- A message id has 22 characters; what follows, from L on, is the kind of send that rules look at.
local function send(mid, L, kind, lane, cat, source)
  return mid..L..'|'..kind..'|'..lane..'|'..cat..'|'..(source or '')
end

local function read_kind(text)
  local L, kind, lane, cat, source, feed, role = string.match(text, '^(.)|(.)|(.)|([^|]*)|([^\n]*)(\n?)(.*)$')
  return { L = L, kind = kind, lane = lane, cat = cat, source = source, role = feed ~= '' and role or nil }
end

-- What ending or settling a delivery needs to know, read once.
local function state(mid, L)
  local v = call('HMGET', P..'s:'..mid, L..STATUS, RECIPIENT, CATEGORY, KIND, STRATEGY, ORDER, LANE, SUPERSEDE, OPEN, SEND_AT, L..MAYBE, L..FENCE, L..REASON, L..ATTEMPTS, SOURCE, L..HOLDER, ERASED)
  return { st = v[1], rid = v[2], cat = v[3], kind = v[4], q = v[5], h = v[6], lane = v[7], u = v[8], n = v[9], at = v[10],
    maybe = v[11], fence = v[12], reason = v[13], attempts = v[14], source = v[15], holder = v[16], erased = v[17] }
end

-- An account's reservation is given back by whoever claims next, for it lives in another partition; they are woken for it.
local woken = false
local function wake()
  if not woken then call('PUBLISH', string.match(P, '^(.*){')..'wake', P..int(now)) end
  woken = true
end
local function give_back(holder, fence, sent)
  local role, account = string.match(holder, '^([^|]*)|(.*)$')
  call('RPUSH', P..'aq', cjson.encode({ account, sent..'\n'..role, tonumber(fence) }))
  wake()
end

-- Nothing was sent: its places in the caps' histories are free again.
local function let_go(mid, L, d)
  local sent = send(mid, L, d.kind, d.lane, d.cat, d.source)
  call('ZREM', P..'h:'..d.rid, sent)
  if d.holder and d.holder ~= '' then
    give_back(d.holder, d.fence, sent)
    call('HDEL', P..'s:'..mid, L..HOLDER)
  end
end

-- Reasons of the gates that depend on person, policy and templates: when those change, what waits is looked at again.  The sorted
-- set "held" has all such deliveries, by when they were put off.
local function by_gate(reason)
  return reason and (BY_GATE[reason] or sub(reason, 1, 4) == 'cap:')
end

-- Ends a delivery.  keep: its place in the caps' history stays.  next: strategy first goes on to the next channel.
-- known: what state() has read.  leases: collects the lease to be ended by the caller, nil to end it here.
-- more: further fields of the state to write with it.
local function finish(mid, L, code, reason, keep, next, ret, ret_events, known, leases, ...)
  local s = P..'s:'..mid
  local d = known or state(mid, L)
  local st, rid, q, h, lane, u, n, at = d.st, d.rid, d.q, d.h, d.lane, d.u, d.n, d.at
  -- what may have arrived stays unknown, whatever ends the next try, and is not repeated on another channel
  if d.maybe and code ~= IS_SENT then code, reason, next = IS_UNKNOWN, 'outcome_unknown', false end
  if st == IS_SCHEDULED then call('ZREM', P..'due:'..L..lane, mid)
  elseif leases then leases[#leases + 1] = mid..L
  else call('ZREM', P..'lease', mid..L) end
  if by_gate(d.reason) then call('ZREM', P..'held', mid..L) end
  -- what may have arrived keeps its place, whatever becomes of the next try
  if not keep and not d.maybe then let_go(mid, L, d) end
  local N = ''
  if next and q == 'f' and not d.erased then
    for after in string.gmatch(string.sub(h, string.find(h, L, 1, true) + 1), '.') do
      if N == '' and not call('HGET', s, after..STATUS) then N = after end
    end
  end
  if code == IS_FAILED and N == '' then
    call('ZADD', P..'dead', now, mid..L)
    call('ZREMRANGEBYSCORE', P..'dead', '-inf', int(now - ret))
  end
  call('HSET', s, L..STATUS, code, L..REASON, reason, L..ADMISSIONS, 0, OPEN, N ~= '' and n or n - 1, ...)
  if N ~= '' then hand_on(mid, L, N, lane, at)
  elseif n - 1 <= 0 and d.erased then call('DEL', s, P..'m:'..mid, P..'t:'..mid)
  elseif n - 1 <= 0 then close(mid, rid, at, u, ret, ret_events) end
  return N
end

-- Cancels what can still be stopped of a message.  Returns cancelled, in flight (or perhaps sent before), other final deliveries.
local function stop(mid, letters, code, reason, ret, ret_events)
  local s, stopped, flying, ended = P..'s:'..mid, 0, 0, 0
  for L in string.gmatch(call('HGET', s, ORDER) or '', '.') do
    local st, maybe = unpack(call('HMGET', s, L..STATUS, L..MAYBE))
    if st and string.find(letters, L, 1, true) then
      if st == IS_SCHEDULED or st == IS_CLAIMED or st == IS_ADMITTED then
        finish(mid, L, code, reason, false, false, ret, ret_events)
        trace(mid, L, 'outcome', code == IS_CANCELLED and 'cancelled' or 'superseded', '{"reason":"'..reason..'"}')
        if maybe then flying = flying + 1 else stopped = stopped + 1 end
      elseif st == IS_COMMITTING then flying = flying + 1
      else ended = ended + 1 end
    end
  end
  return stopped, flying, ended
end

-- The letters of a profile's channels in the person's order, "" when there is no list.
local letter_of = {}
for L, name in pairs(NAME_OF) do letter_of[name] = L end
local function own_order(p)
  local list, letters = p.channels, ''
  for _, name in ipairs(type(list) == 'table' and list or {}) do letters = letters..(letter_of[name] or '') end
  return letters
end

-- What a person has chosen, as one text to compare; what is not there is "".
local function own_choice(p)
  local own = type(p.preferences) == 'table' and p.preferences or {}
  local function said(v) return (v == nil or v == cjson.null) and '' or tostring(v) end
  local channels = type(p.channels) == 'table' and cjson.encode(p.channels) or ''
  return said(own.pause_until)..'|'..said(own.max_per_week)..'|'..channels..'|'..said(p.timezone)
end

-- A message of strategy first goes on in the person's order with what has not been tried; one that only waits begins anew with it.
local function follow_order(mid, order)
  local s = P..'s:'..mid
  local q, h, lane, at = unpack(call('HMGET', s, STRATEGY, ORDER, LANE, SEND_AT))
  if q ~= 'f' then return end
  local tried, rest, waits = '', '', nil
  for L in string.gmatch(h, '.') do
    local st, attempts, maybe = unpack(call('HMGET', s, L..STATUS, L..ATTEMPTS, L..MAYBE))
    if st == IS_SCHEDULED and (attempts or '0') == '0' and not maybe then waits, rest = L, rest..L
    elseif st then tried = tried..L
    else rest = rest..L end
  end
  local sorted = ''
  for L in string.gmatch(order..rest, '.') do
    if string.find(rest, L, 1, true) and not string.find(sorted, L, 1, true) then sorted = sorted..L end
  end
  call('HSET', s, ORDER, tried..sorted)
  local first = sub(sorted, 1, 1)
  if not waits or waits == first then return end
  call('ZREM', P..'due:'..waits..lane, mid)
  let_go(mid, waits, state(mid, waits)) -- of an admission whose worker died
  hand_on(mid, waits, first, lane, at)
  call('HDEL', s, waits..STATUS, waits..DUE, waits..REASON, waits..ATTEMPTS, waits..FENCE, waits..ADMISSIONS, waits..PLANNED)
  wake()
  trace(mid, first, 'preference', 'pass', '{"detail":"the person now prefers this channel","instead_of":"'..NAME_OF[waits]..'"}')
end

-- A message whose local time means another instant now; one that has begun, or was put off, stays.
local function replan(rid, mid, was, at)
  local s = P..'s:'..mid
  local held, civil, h, lane, expires = unpack(call('HMGET', s, SEND_AT, CIVIL, ORDER, LANE, EXPIRES))
  if held ~= was then return end
  for L in string.gmatch(h, '.') do
    local st, due = unpack(call('HMGET', s, L..STATUS, L..DUE))
    if st and (st ~= IS_SCHEDULED or due ~= was) then return end
  end
  call('HSET', s, SEND_AT, at)
  if tonumber(string.match(civil, '|(%d+)$') or '0') > 0 then call('HSET', s, EXPIRES, int(expires + at - was)) end
  call('ZADD', P..'p:'..rid, at, mid)
  for L in string.gmatch(h, '.') do
    if call('HEXISTS', s, L..STATUS) == 1 then schedule(mid, L, lane, at) end
  end
end

-- What waits because of a gate is due again, and what was admitted goes back, for it was admitted on other terms.
local AGAIN_MOST = 500
local function look_again(rid)
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, AGAIN_MOST - 1)) do
    local s = P..'s:'..mid
    local h, lane, at = unpack(call('HMGET', s, ORDER, LANE, SEND_AT))
    for L in string.gmatch(h or '', '.') do
      local d = state(mid, L)
      if d.st == IS_SCHEDULED and by_gate(d.reason) then
        schedule(mid, L, lane, int(math.max(now, tonumber(at))))
        call('HSET', s, L..PLANNED, int(now))
      elseif d.st == IS_ADMITTED or d.st == IS_CLAIMED then
        if not d.maybe then let_go(mid, L, d) end
        call('ZREM', P..'lease', mid..L)
        call('HSET', s, L..ADMISSIONS, 0)
        schedule(mid, L, lane, int(now))
      end
    end
  end
  wake()
end

-- The person's own limit counts what was sent before it was set, too.
local function own_limit(p)
  local own = p.preferences
  return type(own) == 'table' and type(own.max_per_week) == 'number'
end
local function recall_sends(rid)
  local mids, week = call('ZRANGEBYSCORE', P..'r:'..rid, int(now - 604800000), '+inf'), now - 604800000
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, AGAIN_MOST - 1)) do mids[#mids + 1] = mid end
  for _, mid in ipairs(mids) do
    local kind, lane, cat, source = unpack(call('HMGET', P..'s:'..mid, KIND, LANE, CATEGORY, SOURCE))
    for L in string.gmatch(kind and CHANNELS or '', '.') do
      local st, at, due = unpack(call('HMGET', P..'s:'..mid, L..STATUS, L..SENT_AT, L..DUE))
      at = tonumber(at or due or now)
      if st and (st == IS_SENT or st == IS_DELIVERED or st == IS_UNKNOWN or st == IS_COMMITTING) and at > week then call('ZADD', P..'h:'..rid, 'NX', int(at), send(mid, L, kind, lane, cat, source)) end
    end
  end
  call('PEXPIRE', P..'h:'..rid, 691200000)
end

-- Stores a profile; what is pending follows a new order of channels.
local function put_profile(rid, was, will)
  call('SET', P..'u:'..rid, will)
  was, will = was ~= '' and cjson.decode(was) or {}, will ~= '' and cjson.decode(will) or {}
  if own_choice(was) ~= own_choice(will) then
    if not own_limit(was) and own_limit(will) then recall_sends(rid) end
    look_again(rid)
  end
  local order = own_order(will)
  if order == '' or order == own_order(was) then return end
  for _, mid in ipairs(call('ZRANGE', P..'p:'..rid, 0, -1)) do follow_order(mid, order) end
end

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
      local st, holder = unpack(call('HMGET', P..'s:'..mid, L..STATUS, L..HOLDER))
      if st == IS_ADMITTED and holder and holder ~= '' then open = open + 1 end
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
