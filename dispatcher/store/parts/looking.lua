-- looking: what the machine of sequences sees of a person.
-- recipient, runs (version|text), profile, kept events, what they have not heard yet, consents (field, entry, …), standings (sequence, JSON, …)
local function sight(rid)
  return { rid, call('GET', P..'q:'..rid) or '', call('GET', P..'u:'..rid) or '', call('LRANGE', P..'qe:'..rid, 0, -1),
    call('LRANGE', P..'qi:'..rid, 0, 127), call('HGETALL', P..'c:'..rid), call('HGETALL', P..'qs') }
end
