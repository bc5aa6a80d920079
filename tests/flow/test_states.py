"""States that many hands change: batches in which one message looks at another, people with thousands of messages, fences, a Redis that is full."""
import json, time, unittest

from house import FlowTest, SmtpServer, person

P = 'tidings:{0}:'
STATUS, FENCE = 0, 4  # of a delivery (wire/state.h)


class States(FlowTest):
    def delivery_line(self, h, id, channel=1):
        """The fields of a delivery as they are stored."""
        return h.redis('GET', P + 's:' + id).split('\n')[channel].split('\x1f')

    def test_one_that_waited_for_morning_and_a_new_one_are_admitted_together(self):
        h = self.start('--role', 'api', redis={'partitions': 1}, categories={'onboarding': {'kind': 'service'}}, caps=[{'name': 'day', 'max': 50, 'per': '1 calendar day', 'over': 'drop'}])
        old, new, newer = [h.send(person(), 'order-update', channels=['sms'], category='onboarding', send_at=at) for at in ('2026-01-01T00:00:00Z', None, None)]
        text = h.redis('GET', P + 's:' + old).split('\n')
        line = text[2].split('\x1f')
        line[3] = 'quiet_hours'
        h.redis('SET', P + 's:' + old, '\n'.join(text[:2] + ['\x1f'.join(line)] + text[3:]))
        h.redis('ZADD', P + 'held', '1', old + 's')
        h.start('--role', 'worker', wait=False)
        for id in (old, new, newer):
            self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertEqual(len(h.gateway.requests), 3)
        self.assertNotIn('redis.error', h.log())

    def test_a_person_with_thousands_of_messages_changes_the_order_of_channels(self):
        h = self.start('--role', 'api', redis={'partitions': 1}, categories={'onboarding': {'kind': 'service'}})
        n = 4200
        lines = ''.join(json.dumps({'recipient': 'ada', 'template': 'order-update', 'category': 'onboarding', 'channels': ['sms', 'in_app'], 'strategy': 'first',
                                    'data': {'order': str(i), 'parcels': 1}, 'send_at': '2030-01-01T00:00:00Z'}) + '\n' for i in range(n))
        self.assertEqual(h.http('PUT', '/v1/recipients/ada', person())[0], 200)
        h.cli('enqueue', stdin=lines)
        self.assertEqual(h.redis('ZCARD', P + 'due:s1'), str(n))
        self.assertEqual(h.http('PATCH', '/v1/recipients/ada', {'channels': ['in_app', 'sms']})[0], 200)
        self.assertEqual((h.redis('ZCARD', P + 'due:s1'), h.redis('ZCARD', P + 'due:i1')), ('0', str(n)))
        ids = h.redis('ZRANGE', P + 'p:ada', '0', '-1').split()
        states = [s.split('\n') for s in json.loads(h.redis('EVAL', "local out = {} for _, m in ipairs(redis.call('ZRANGE', KEYS[1]..'p:ada', 0, -1)) do out[#out + 1] = redis.call('GET', KEYS[1]..'s:'..m) end return cjson.encode(out)", '1', P))]
        self.assertEqual(({len(s) for s in states}, sum(not s[2] and s[3].startswith('s') for s in states), len(ids)), ({4}, n, n))
        self.assertNotIn('redis.error', h.log())

    def test_a_fence_is_never_used_again_when_a_message_comes_back_to_a_channel(self):
        h = self.start('--role', 'api', redis={'partitions': 1}, categories={'onboarding': {'kind': 'service'}})
        h.http('PUT', '/v1/recipients/ada', person())
        id = h.send('ada', 'order-update', channels=['sms', 'in_app'], strategy='first', category='onboarding', send_at='2030-01-01T00:00:00Z')
        seen = [int(self.delivery_line(h, id, 2)[FENCE])]
        for channels, place in ((['in_app', 'sms'], 3), (['sms', 'in_app'], 2)) * 2:
            self.assertEqual(h.http('PATCH', '/v1/recipients/ada', {'channels': channels})[0], 200)
            seen.append(int(self.delivery_line(h, id, place)[FENCE]))
        self.assertEqual(seen, sorted(set(seen)))

    def test_what_was_committed_for_a_quick_relay_does_not_wait_behind_a_mail_that_takes_long(self):
        slow, seen = [], []
        def script(verb, arg, session):
            if verb == 'RCPT':
                seen.append(arg)
            if verb == 'BODY' and slow and slow[0] in seen[-1]:
                time.sleep(3)
        smtp = SmtpServer(script=script)
        h = self.house(smtp=smtp, redis={'partitions': 1}, categories={'onboarding': {'kind': 'service'}})
        h.settings['email']['providers'][0]['connections'] = 1
        h.write()
        h.start()
        for i in range(4):  # each turn a little more of what makes a relay quick
            for id in [h.send(person('q%d-%d' % (i, j)), channels=['email'], category='onboarding') for j in range(10)]:
                self.assertEqual(h.settled(id)['status'], 'sent')
        slow.append('slow@')
        first = h.send(person('slow'), channels=['email'], category='onboarding')
        h.until(lambda: 'slow@' in seen[-1])
        behind = [h.send(person(who), channels=['email'], category='onboarding') for who in 'bcd']
        time.sleep(1)
        self.assertEqual({self.status_letter(h, id) for id in behind} & {'k', 'T'}, set(), 'nothing is committed behind it any more')
        self.assertEqual(h.http('DELETE', '/v1/messages/' + behind[2])[1]['cancelled'], [behind[2]])
        self.assertEqual([h.settled(id)['status'] for id in (first, *behind)], ['sent', 'sent', 'sent', 'cancelled'])
        self.assertEqual(len(h.smtp.accepted), 43)

    def status_letter(self, h, id):
        return self.delivery_line(h, id)[STATUS]

    def comes(self, h, method, path, fits=lambda m: True):
        """An answer that fits; a Redis that has just refused something answers nobody for a moment."""
        def fitting():
            status, answer = h.http(method, path)
            return status == 200 and fits(answer)
        h.until(fitting, 30, path)

    def test_a_full_redis_refuses_what_is_new_and_lets_go_of_what_is_there(self):
        h = self.start('--role', 'api', redis={'partitions': 1}, categories={'onboarding': {'kind': 'service'}})
        waiting, other = [h.send(person(who), channels=['email'], category='onboarding', send_at='2030-01-01T00:00:00Z') for who in ('ada', 'bob')]
        h.redis('config', 'set', 'maxmemory', '1')
        self.assertNotEqual(h.http('POST', '/v1/messages', {'recipient': person('new'), 'template': 'welcome', 'category': 'onboarding', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}})[0], 202)
        self.comes(h, 'DELETE', '/v1/messages/' + waiting)
        self.comes(h, 'GET', '/v1/messages/' + waiting, lambda m: m['status'] == 'cancelled')
        self.comes(h, 'DELETE', '/v1/recipients/bob')
        self.assertEqual(h.redis('EXISTS', P + 's:' + other, P + 'm:' + other, P + 't:' + other), '0')
        h.redis('config', 'set', 'maxmemory', '0')
        h.until(lambda: h.http('POST', '/v1/messages', {'recipient': person('new'), 'template': 'welcome', 'category': 'onboarding', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}})[0] == 202)


if __name__ == '__main__':
    unittest.main()
