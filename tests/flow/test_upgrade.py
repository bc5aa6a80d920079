"""Data that an earlier version wrote: schema 1 had a hash for a state and a list for a trace, and let Redis forget what had ended."""
import time, unittest

from house import FlowTest, person

P = 'tidings:{0}:'


class Upgrade(FlowTest):
    def as_schema_1(self, h, id, trace=(), **fields):
        """The state of a message as version 1 would have it: letters of the message, and those of its mail behind an e."""
        at = int(time.time() * 1000)
        state = {'r': 'ada', 'c': 'account', 'k': 't', 'a': at, 'x': 0, 'q': 'a', 'h': 'e', 'l': 0, 'u': '', 'n': 1, 'z': at, 'w': 'shop', 'es': 's', 'ed': at, **fields}
        h.redis('DEL', P + 's:' + id, P + 't:' + id)
        h.redis('HSET', P + 's:' + id, *[str(x) for pair in state.items() for x in pair])
        for line in trace:
            h.redis('RPUSH', P + 't:' + id, line)

    def filled(self):
        """Redis is the private one of a service that accepts, and has nothing to do meanwhile."""
        h = self.start('--role', 'api', redis={'partitions': 1}, categories={'account': {'kind': 'transactional'}})
        later, claimed, sent, due = [h.send(person(), channels=['email'], category='account', send_at=at) for at in ('2030-01-01T00:00:00Z', None, None, None)]
        self.as_schema_1(h, later, a=1893456000000, ed=1893456000000)
        self.as_schema_1(h, claimed, ['[1764512800000,"e",["quiet_hours","deferred",{"until":"x"}]]'], es='c', ef=7, ea=1)
        h.redis('ZREM', P + 'due:e0', claimed, sent)
        h.redis('ZADD', P + 'lease', '1', claimed + 'e')
        self.as_schema_1(h, sent, ['[1764512800000,"e",["outcome","sent",{}]]'], es='T', n=0, ea=1, ep='sink', et=1764512800000, ei='250 as Q1', ef=3)
        h.redis('ZREM', P + 'p:ada', sent)
        h.redis('ZADD', P + 'r:ada', '1764512800000', sent)
        for key in ('s:', 'm:', 't:'):
            h.redis('PEXPIRE', P + key + sent, '86400000')
        h.redis('PEXPIRE', P + 'r:ada', '86400000')
        self.as_schema_1(h, due)
        h.redis('HSET', P + 'meta', 'schema', '1')
        return h, later, claimed, sent, due

    def test_it_is_taken_over_at_start_and_goes_on_from_where_it_was(self):
        h, later, claimed, sent, due = self.filled()
        h.cli('check', status=1)
        self.assertIn('schema 1', h.err)
        h.start('--role', 'worker', wait=False)
        self.taken_over(h)
        self.assertEqual(h.settled(claimed)['status'], 'sent')
        self.assertEqual(h.settled(due)['status'], 'sent')
        self.assertEqual(len(h.smtp.accepted), 2)
        self.assertEqual((h.delivery(claimed)['attempts'], [t['verdict'] for t in h.gate(claimed, 'quiet_hours')]), (2, ['deferred', 'pass']))
        seen = h.delivery(sent)
        self.assertEqual((seen['status'], seen['provider'], seen['provider_ref'], seen['attempts']), ('sent', 'sink', '250 as Q1', 1))
        self.assertEqual([t['verdict'] for t in h.gate(sent, 'outcome')], ['sent'])
        self.assertEqual(h.message(later)['send_at'], '2030-01-01T00:00:00Z')
        self.assertEqual(h.http('DELETE', '/v1/messages/' + later)[0], 200)
        self.assertEqual(h.settled(later)['status'], 'cancelled')
        self.assertEqual({m['id'] for m in h.http('GET', '/v1/recipients/ada/timeline')[1]['past']}, {later, claimed, sent, due})
        self.assertIn('schema 2', h.cli('check', status=None))

    def test_what_never_was_claimed_is_put_off_and_tried_again_like_any_other(self):
        h, _, claimed, _, due = self.filled()
        refused = []
        h.smtp.script = lambda verb, arg, s: '451 4.3.0 not now' if verb == 'RCPT' and len(refused) < 2 and not refused.append(arg) else None
        h.start('--role', 'worker', wait=False)
        self.taken_over(h)
        for id, attempts in ((due, 1), (claimed, 2)):
            h.until(lambda: self.tried(h, id, attempts), 20, lambda: h.message(id))

    def taken_over(self, h):
        h.until(lambda: h.redis('HMGET', P + 'meta', 'schema', 'upgrading') == '2', what='it is taken over')

    def tried(self, h, id, attempts):
        d = h.delivery(id)
        return (d['status'], d['reason'], d['attempts']) == ('scheduled', 'provider_unavailable', attempts)

    def test_what_a_process_of_the_earlier_version_accepts_beside_it_is_taken_over_too(self):
        h, _, _, _, _ = self.filled()
        h.start('--role', 'worker', wait=False)
        self.taken_over(h)
        late = h.send(person(), channels=['email'], category='account', send_at='2030-01-01T00:00:00Z')
        self.as_schema_1(h, late)
        h.redis('ZADD', P + 'due:e0', '1', late)
        h.until(lambda: h.redis('TYPE', P + 's:' + late) == 'string')
        self.assertEqual(h.settled(late)['status'], 'sent')

    def test_what_redis_was_to_forget_is_on_the_list_of_what_goes(self):
        h, _, _, sent, _ = self.filled()
        h.start('--role', 'worker', wait=False)
        self.taken_over(h)
        [over] = [o for o in h.redis('ZRANGE', P + 'gone', '0', '-1').split() if sent in h.redis('LRANGE', P + 'gone:' + o, '0', '-1')]
        self.assertAlmostEqual(int(over) / 1000, time.time() + 86400, delta=2 * 30 * 86400 / 512)
        for key in ('s:', 'm:', 't:', 'r:ada'):
            self.assertEqual(h.redis('PTTL', P + key + (sent if key != 'r:ada' else '')), '-1', key)

    def test_a_worker_of_the_earlier_version_is_named_and_nothing_touched(self):
        h, later, _, _, _ = self.filled()
        h.redis('ZADD', 'tidings:workers', str(int(time.time() * 1000) + 60000), 'old-4711')
        p = h.start('--role', 'worker', wait=False)
        h.until(lambda: p.poll() is not None, 10, 'it ends')
        h.processes.remove(p)
        self.assertIn('old-4711', h.log())
        self.assertEqual((p.returncode, h.redis('TYPE', P + 's:' + later)), (1, 'hash'))


if __name__ == '__main__':
    unittest.main()
