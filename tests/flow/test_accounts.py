"""Caps that hold for all people of an account, who live in several partitions."""
import datetime, json, signal, threading, unittest, zoneinfo

from house import HANG, FlowTest, SmtpServer, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'news': {'kind': 'marketing', 'consent': 'opt_out'}}


class Accounts(FlowTest):
    def rule(self, **more):
        return {'name': 'company', 'scope': 'account', 'max': 1, 'per': '1 calendar day', 'over': 'defer', **more}

    def ends(self, h, ids):
        """How each has ended, or why it waits."""
        def end(id):
            d = h.delivery(id)
            return d if d['status'] not in ('sending', 'scheduled') or (d['status'] == 'scheduled' and d['reason']) else None
        return [h.until(lambda: end(id), what=lambda: h.message(id)) for id in ids]

    def said(self, h, *ids):
        return [d['reason'] or d['status'] for d in self.ends(h, ids)]

    def held(self, h, account):
        keys = [k for k in h.redis('--scan', '--pattern', '*:ah:' + account).split('\n') if k]
        self.assertLessEqual(len(keys), 1)
        return sum(int(h.redis('ZCARD', k)) for k in keys)

    def owed(self, h):
        return sum(int(h.redis('LLEN', k)) for k in h.redis('--scan', '--pattern', '*:aq').split())

    def test_one_decider_of_a_company_and_day_whichever_partition_they_live_in(self):
        h = self.start(categories=CATEGORIES, caps=[self.rule(roles=['decider'])], accounts={'acme': {'timezone': 'Asia/Tokyo'}})
        people = [person('d%d' % i, account='acme', role='decider') for i in range(12)]
        ids = [h.send(p, channels=['email']) for p in people]
        self.assertGreater(len({k.split(':')[1] for k in h.redis('--scan', '--pattern', '*:u:d*').split()}), 1)  # partitions
        deliveries = self.ends(h, ids)
        self.assertEqual(sorted(d['status'] for d in deliveries), ['scheduled'] * 11 + ['sent'])
        tomorrow = datetime.datetime.now(zoneinfo.ZoneInfo('Asia/Tokyo')).date() + datetime.timedelta(1)
        midnight = datetime.datetime.combine(tomorrow, datetime.time(), zoneinfo.ZoneInfo('Asia/Tokyo')).astimezone(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
        self.assertEqual({(d['reason'], d['next_attempt_at']) for d in deliveries if d['status'] == 'scheduled'}, {('cap:company', midnight)})
        waiting = next(i for i, d in zip(ids, deliveries) if d['status'] == 'scheduled')
        detail = h.gate(waiting, 'cap')[0]['detail']
        self.assertEqual((detail['account'], detail['over'], detail['rules']), ('acme', 'company', [{'name': 'company', 'sent': 1, 'max': 1}]))
        self.assertTrue(h.cli_json('replay', waiting)['agrees'])
        # others of the company, other companies, people without one, and what must go
        for who in (person('clerk', account='acme', role='clerk'), person('e', account='emca', role='decider'), person('nobody', role='decider')):
            self.assertEqual(h.settled(h.send(who, channels=['email']))['status'], 'sent', who)
        self.assertEqual(h.settled(h.send('d3', channels=['email'], category='account'))['status'], 'sent')

    def test_what_was_not_sent_gives_the_place_of_the_account_back(self):
        smtp = SmtpServer(script=lambda verb, arg, session: '550 5.1.1 nobody' if verb == 'RCPT' and arg.startswith('gone') else None)
        h = self.start(smtp=smtp, categories=CATEGORIES, caps=[self.rule(per='1h', over='drop', max=2)])
        gone = [h.send(person('gone%d' % i, account='acme'), channels=['email']) for i in range(4)]
        self.assertEqual(set(self.said(h, *gone)) - {'cap:company'}, {'provider_rejected'})
        h.until(lambda: not self.owed(h) and not self.held(h, 'acme'), what='all is given back')
        self.assertEqual([self.said(h, h.send(person('p%d' % i, account='acme'), channels=['email']))[0] for i in range(4)], ['sent'] * 2 + ['cap:company'] * 2)
        h.until(lambda: not self.owed(h), what='the refused ones are taken off the list')
        self.assertEqual(self.held(h, 'acme'), 2)

    def test_the_person_and_the_account_must_both_have_room_and_what_one_refuses_takes_no_place_of_the_other(self):
        h = self.start(categories=CATEGORIES, caps=[{'name': 'each', 'max': 1, 'per': '1h'}, self.rule(max=3, per='1h', over='drop', count_only={'kinds': ['transactional']})])
        one = lambda who, **more: self.said(h, h.send(person(who, account='acme'), channels=['email'], **more))[0]
        self.assertEqual([one('a') for _ in range(3)], ['sent', 'cap:each', 'cap:each'])
        self.assertEqual(self.held(h, 'acme'), 1)
        self.assertEqual([one('b', category='account'), one('c'), one('d'), one('d', category='account')], ['sent', 'sent', 'cap:company', 'sent'])
        history = h.redis('--scan', '--pattern', '*:h:d')
        self.assertEqual(h.redis('ZCARD', history), '1')  # the account's refusal gave the person's place back
        h.until(lambda: not self.owed(h))

    def test_who_is_refused_by_the_account_owes_nothing(self):
        h = self.start(categories=CATEGORIES, caps=[self.rule(over='drop')], redis={'partitions': 1})
        lines = [json.dumps({'recipient': person('m%d' % i, account='acme'), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'M', 'count': 1}}) for i in range(300)]
        ids = [json.loads(l)['id'] for l in h.http('POST', '/v1/messages', raw='\n'.join(lines).encode(), type='application/x-ndjson')[1].splitlines()]
        ends = [h.settled(i)['status'] for i in ids]
        self.assertEqual((ends.count('sent'), ends.count('suppressed'), self.owed(h), self.held(h, 'acme')), (1, 299, 0, 1))

    def test_a_refusal_that_comes_after_an_erasure_or_after_it_was_given_up_frees_the_place(self):
        answer = threading.Event()
        smtp = SmtpServer(script=lambda verb, arg, session: (lambda s: (answer.wait(30), '550 5.1.1 nobody')[1]) if verb == 'BODY' and arg.startswith('gone') else None)
        h = self.start('--role', 'api', smtp=smtp, categories=CATEGORIES, caps=[self.rule(per='7d', over='drop')], worker={'lease': '1s'})
        first = h.start('--role', 'worker', wait=False)
        h.send(person('gone1', account='acme'), channels=['email'])
        h.until(lambda: h.smtp.received)
        self.assertEqual(h.http('DELETE', '/v1/recipients/gone1')[1]['in_flight'], 1)
        answer.set()
        h.until(lambda: not self.held(h, 'acme') and not self.owed(h), what='the place of the erased one is free')
        self.assertFalse([k for k in h.redis('--scan').split() if 'gone1' in k])
        answer.clear()
        id = h.send(person('gone2', account='acme'), channels=['email'])
        h.until(lambda: len(h.smtp.received) == 2)
        first.send_signal(signal.SIGSTOP)
        h.start('--role', 'worker', wait=False)
        h.until(lambda: h.message(id)['status'] == 'unknown')
        self.assertEqual(self.held(h, 'acme'), 1)
        answer.set()
        first.send_signal(signal.SIGCONT)
        h.until(lambda: h.message(id)['status'] == 'failed')
        h.until(lambda: not self.held(h, 'acme') and not self.owed(h), what='the place of the late refusal is free')
        self.assertEqual(h.redis('ZCARD', h.redis('--scan', '--pattern', '*:h:gone2') or 'none'), '0')
        self.assertEqual(self.said(h, h.send(person('colleague', account='acme'), channels=['email'])), ['sent'])

    def test_what_may_have_arrived_keeps_its_place_and_its_channel_whatever_the_person_changes(self):
        hang = threading.Event()
        smtp = SmtpServer(script=lambda verb, arg, session: HANG if verb == 'BODY' and not hang.is_set() else None)
        h = self.start('--role', 'api', smtp=smtp, categories=CATEGORIES, caps=[self.rule(per='7d', over='drop', count_only={'kinds': ['transactional']})], worker={'lease': '1s'})
        worker = h.start('--role', 'worker', wait=False)
        id = h.send(person('p', account='old'), 'order-update', channels=['email', 'sms'], strategy='first', category='account')
        h.until(lambda: h.smtp.received)
        worker.kill()
        worker.wait()
        h.processes.remove(worker)
        hang.set()
        h.start('--role', 'worker', wait=False)
        h.reason(id, 'outcome_unknown')
        h.http('PATCH', '/v1/recipients/p', {'channels': ['sms', 'email'], 'account': 'new'})
        self.assertEqual([d['channel'] for d in h.message(id)['deliveries']], ['email'])
        self.assertEqual([d['status'] for d in h.settled(id, 20)['deliveries']], ['sent'])
        self.assertFalse(h.gateway.requests)
        h.until(lambda: not self.owed(h))
        self.assertEqual((self.held(h, 'old'), self.held(h, 'new')), (1, 1))

    def test_a_rule_for_accounts_must_make_sense(self):
        h = self.house(categories=CATEGORIES, caps=[self.rule(scope='company')])
        h.cli('check', status=1)
        self.assertIn('scope', h.err)


if __name__ == '__main__':
    unittest.main()
