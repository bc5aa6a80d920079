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
        later, claimed, sent = [h.send(person(), channels=['email'], category='account', send_at=at) for at in ('2030-01-01T00:00:00Z', None, None)]
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
        h.redis('HSET', P + 'meta', 'schema', '1')
        return h, later, claimed, sent

    def test_it_is_taken_over_at_start_and_goes_on_from_where_it_was(self):
        h, later, claimed, sent = self.filled()
        h.cli('check', status=1)
        self.assertIn('schema 1', h.err)
        h.start('--role', 'worker', wait=False)
        h.until(lambda: h.redis('HGET', P + 'meta', 'schema') == '2', what='it is taken over')
        self.assertEqual(h.settled(claimed)['status'], 'sent')
        self.assertEqual(len(h.smtp.accepted), 1)
        self.assertEqual((h.delivery(claimed)['attempts'], [t['verdict'] for t in h.gate(claimed, 'quiet_hours')]), (2, ['deferred', 'pass']))
        seen = h.delivery(sent)
        self.assertEqual((seen['status'], seen['provider'], seen['provider_ref'], seen['attempts']), ('sent', 'sink', '250 as Q1', 1))
        self.assertEqual([t['verdict'] for t in h.gate(sent, 'outcome')], ['sent'])
        self.assertEqual(h.message(later)['send_at'], '2030-01-01T00:00:00Z')
        self.assertEqual(h.http('DELETE', '/v1/messages/' + later)[0], 200)
        self.assertEqual(h.settled(later)['status'], 'cancelled')
        self.assertEqual({m['id'] for m in h.http('GET', '/v1/recipients/ada/timeline')[1]['past']}, {later, claimed, sent})
        self.assertIn('schema 2', h.cli('check', status=None))

    def test_what_redis_was_to_forget_is_on_the_list_of_what_goes(self):
        h, _, _, sent = self.filled()
        h.start('--role', 'worker', wait=False)
        h.until(lambda: h.redis('HGET', P + 'meta', 'schema') == '2', what='it is taken over')
        [over] = [o for o in h.redis('ZRANGE', P + 'gone', '0', '-1').split() if sent in h.redis('LRANGE', P + 'gone:' + o, '0', '-1')]
        self.assertAlmostEqual(int(over) / 1000, time.time() + 86400, delta=2 * 30 * 86400 / 512)
        for key in ('s:', 'm:', 't:', 'r:ada'):
            self.assertEqual(h.redis('PTTL', P + key + (sent if key != 'r:ada' else '')), '-1', key)

    def test_a_worker_of_the_earlier_version_is_named_and_nothing_touched(self):
        h, later, _, _ = self.filled()
        h.redis('ZADD', 'tidings:workers', str(int(time.time() * 1000) + 60000), 'old-4711')
        p = h.start('--role', 'worker', wait=False)
        h.until(lambda: p.poll() is not None, 10, 'it ends')
        h.processes.remove(p)
        self.assertIn('old-4711', h.log())
        self.assertEqual((p.returncode, h.redis('TYPE', P + 's:' + later)), (1, 'hash'))


if __name__ == '__main__':
    unittest.main()
