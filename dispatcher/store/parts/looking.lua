-- looking: what the machine of sequences sees of people.
-- Of each a list: recipient, runs (version|text), profile, kept events, what they have not heard yet, consents (field, entry, …)
local function sights(people)
  local keys, lists = {}, {}
  for i, rid in ipairs(people) do keys[2 * i - 1], keys[2 * i] = P..'q:'..rid, P..'u:'..rid end
  if #keys == 0 then return lists end
  local texts = call('MGET', unpack(keys))
  -- where nobody has any, one question is enough
  local function all_of(kind, command, ...)
    local found = {}
    keys = {}
    for i, rid in ipairs(people) do keys[i] = P..kind..rid end
    local any = call('EXISTS', unpack(keys)) > 0
    for i, key in ipairs(keys) do found[i] = any and call(command, key, ...) or {} end
    return found
  end
  local kept, unheard, consents = all_of('qe:', 'LRANGE', 0, -1), all_of('qi:', 'LRANGE', 0, 127), all_of('c:', 'HGETALL')
  for i, rid in ipairs(people) do
    lists[i] = { rid, texts[2 * i - 1] or '', texts[2 * i] or '', kept[i], unheard[i], consents[i] }
  end
  return lists
end

-- How sequences stand: sequence, JSON, …
local function standings() return call('HGETALL', P..'qs') end
