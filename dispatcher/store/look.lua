-- look: what the machine of sequences sees of people; and with "ended", the runs that ended, newest first.
-- ARGV[3] "" or "ended"  [4..] recipients.  Returns how sequences stand, then for each what sights() says.
-- flags: no-writes
-- needs: looking
local answers = sights({ unpack(ARGV, 4) })
if ARGV[3] == 'ended' then
  for i, one in ipairs(answers) do
    local key = P..'qz:'..ARGV[3 + i]
    one[#one + 1] = call('LRANGE', key, 0, -1)
  end
end
table.insert(answers, 1, standings())
return answers
