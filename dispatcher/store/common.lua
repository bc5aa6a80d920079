-- common: stands before every script; behind it the parts that the script names ("-- needs: ending"), from parts/.
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
--   gone         when a list gone:<ms> is over, in real time: mid and ENDED of what is taken away then ("!" before it: the trace alone)
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

-- A member of h:<rid>: mid..L|kind|lane|category|source; of ah:<account> the same, a line feed and the person's role.
-- A message id has 22 characters; what follows, from L on, is the kind of send that rules look at.
local function send(mid, L, kind, lane, cat, source)
  return mid..L..'|'..kind..'|'..lane..'|'..cat..'|'..(source or '')
end

local function read_kind(text)
  local L, kind, lane, cat, source, feed, role = string.match(text, '^(.)|(.)|(.)|([^|]*)|([^\n]*)(\n?)(.*)$')
  return { L = L, kind = kind, lane = lane, cat = cat, source = source, role = feed ~= '' and role or nil }
end

-- Reasons of the gates that depend on person, policy and templates: when those change, what waits is looked at again.  The sorted
-- set "held" has all such deliveries, by when they were put off.
local function by_gate(reason)
  return reason and (BY_GATE[reason] or sub(reason, 1, 4) == 'cap:')
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
