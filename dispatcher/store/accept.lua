-- accept: stores messages of one partition.
-- ARGV[3] retention ms (real)  [4] of events  [5] wake channel
-- then for each message: mid rid body category kind send_at expires strategy channels lane supersede source local old_profile new_profile journey
--   new_profile "": the stored profile stays; else it is set, if what is stored is still old_profile
-- Returns for each: "ok", "dup" (the id is known: nothing is done) or "race" (the profile changed: nothing is done).
-- needs: ending people accepting
ret, ret_events = tonumber(ARGV[3]), tonumber(ARGV[4])
local answers = {}
read_batch(6, 16)
for i = 6, #ARGV, 16 do answers[#answers + 1] = accept(unpack(ARGV, i, i + 15)) end
write_due()
save()
tell_due(ARGV[5])
return answers
