-- account: caps that hold for all people of an account together, in the partition of the account.
--
--   admit (the person's partition) ──▶ reserve (here) ──▶ sent: it stays
--     writes Ly down first                └──▶ not sent: finish() or settle puts it on the list aq ──▶ give (here)
--
-- So a reservation without a delivery that answers for it cannot be: whatever ends the delivery knows of it, and what is on the
-- list is given back by whoever claims next.  Fences keep late words of sleeping workers out.
-- ARGV[3] "reserve"  [4] how long the history is kept (ms)  [5] number of rules R, and the rules (read_rules)
--   then for each delivery: mid..L fence account role kind lane category source questions (read_questions)
--   Returns for each a list: ok | gone | cap, "", -1, "rule=count,…", rule, until
-- ARGV[3] "give"  then for each: account, member, fence
-- flags: allow-oom
-- needs: caps
local function last_word(mark)
  local op, fence, role = string.match(call('GET', mark) or '', '^(.)(%d+)|(.*)$')
  return op, tonumber(fence or '0'), role
end

if ARGV[3] == 'give' then
  for i = 4, #ARGV, 3 do
    local account, member, fence = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    local delivery, role = string.sub(member, 1, 23), string.match(member, '\n(.*)$')
    local mark = P..'af:'..delivery..account
    local op, held, as = last_word(mark)
    if not (op == 'r' and held > fence and as == role) then call('ZREM', P..'ah:'..account, member) end
    if fence >= held then call('SET', mark, 'x'..int(fence)..'|'..role, 'PX', 3600000) end
  end
  return 1
end

local keep, R = tonumber(ARGV[4]), tonumber(ARGV[5])
local rules, i = read_rules(6, R)
local answers = {}
while i <= #ARGV do
  local delivery, fence, account, role, kind, lane, cat, source, questions = unpack(ARGV, i, i + 8)
  i = i + 9
  local mid, L = string.sub(delivery, 1, -2), string.sub(delivery, -1)
  local key, mark, answer = P..'ah:'..account, P..'af:'..delivery..account, { 'ok', '', -1, '' }
  local op, held, as = last_word(mark)
  local sent = send(mid, L, kind, lane, cat, source)
  if op and (held > tonumber(fence) or (op == 'x' and held == tonumber(fence))) then answer[1] = 'gone'
  else
    if op == 'r' and as ~= role then call('ZREM', key, sent..'\n'..as) end
    local worst, wait, counts, last = ask_rules(key, sent..'\n'..role, rules, read_questions(questions))
    answer[4] = counts
    if worst then
      answer[1], answer[5], answer[6] = 'cap', worst, int(wait)
      call('ZREM', key, sent..'\n'..role) -- of a worker that died; so who is refused owes nothing
    else
      count_send(key, sent..'\n'..role, keep, last)
      call('SET', mark, 'r'..fence..'|'..role, 'PX', 3600000)
    end
  end
  answers[#answers + 1] = answer
end
return answers
