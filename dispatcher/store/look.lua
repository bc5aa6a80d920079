-- look: what the machine of sequences sees of people; and with "ended", the runs that ended, newest first.
-- ARGV[3] "" or "ended"  [4..] recipients.  Returns for each what sight() says.
-- flags: no-writes
-- needs: looking
local answers = {}
for i = 4, #ARGV do
  local one = sight(ARGV[i])
  if ARGV[3] == 'ended' then one[#one + 1] = call('LRANGE', P..'qz:'..ARGV[i], 0, -1) end
  answers[#answers + 1] = one
end
return answers
