"""Stops: what an operator halts is in force when it is answered, acts on what is queued, and its receipt names what may still go out."""
import collections, datetime, json, os, random, threading, time, unittest

from house import FlowTest, person
from test_gates import at

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing', 'consent': 'none'}}


class Stops(FlowTest):
    def up(self, *options, **settings):
        h = self.house(categories=CATEGORIES, **settings)
        h.start(*options)
        return h

    def stop(self, h, **how):
        status, receipt = h.http('POST', '/v1/stops', how)
        self.assertEqual(status, 200, receipt)
        return receipt

    def halted(self, h, id, channel='email'):
        return h.reason(id, 'halted', channel)

    def lift(self, h, id):
        status, answer = h.http('DELETE', '/v1/stops/' + id)
        self.assertEqual(status, 200, answer)
        return answer

    def test_each_property_halts_what_has_it_and_nothing_else(self):
        h = self.up()
        sends = {'category': ('onboarding', dict(category='onboarding')), 'template': ('order-update', dict(template='order-update', data={'order': '1', 'parcels': 1}, channels=['in_app'])),
                 'source': ('shop', dict(source='shop')), 'tag': ('campaign:winter', dict(tags={'campaign': 'winter'})), 'channel': ('in_app', dict(template='order-update', data={'order': '1', 'parcels': 1}, channels=['in_app']))}
        for by, (value, fields) in sends.items():
            fields = {'channels': ['email'], 'category': 'account', **fields}
            receipt = self.stop(h, **{by: value}, reason='a test')
            self.assertEqual((receipt['id'], receipt['reason'], receipt['held'], receipt['in_flight']), ('%s:%s' % (by, value), 'a test', 0, []))
            one = h.send(person('a'), **fields)
            other = h.send(person('b'), category='account', channels=['email'])
            self.assertEqual(h.settled(other)['status'], 'sent')
            channel = fields['channels'][0]
            self.halted(h, one, channel)
            [entry] = [t for t in h.message(one)['trace'] if t['gate'] == 'halt']
            self.assertEqual((entry['verdict'], entry['detail'][by], entry['detail']['reason']), ('deferred', value, 'a test'))
            order = [t['gate'] for t in h.message(one)['trace'] if t['channel'] == channel]
            self.assertLess(order.index('expiry'), order.index('halt'))
            self.lift(h, receipt['id'])
            self.assertEqual(h.settled(one)['status'], 'sent', by)
        self.assertEqual(h.http('GET', '/v1/stops')[1], {'stops': []})

    def test_all_stops_all_and_what_waits_for_its_time_is_held_when_that_comes(self):
        h = self.up()
        soon = h.send(person('a'), channels=['email'], category='account', send_at=at(3))
        receipt = self.stop(h, all=True)
        self.assertEqual(receipt['held'], 1)
        self.halted(h, soon)
        self.assertEqual(h.message(soon)['status'], 'scheduled')
        self.assertEqual(h.smtp.accepted, [])
        self.lift(h, 'all')
        self.assertEqual(h.settled(soon)['status'], 'sent')

    def test_a_provider_that_is_stopped_gives_what_it_has_to_the_next_and_two_hold(self):
        h = self.house(categories=CATEGORIES)
        first = h.settings['email']['providers'][0]
        h.settings['email']['providers'].append({**first, 'name': 'second'})
        h.write()
        h.start()
        self.stop(h, provider=first['name'])
        id = h.send(person('a'), channels=['email'], category='account')
        self.assertEqual(h.settled(id)['deliveries'][0]['provider'], 'second')
        self.stop(h, provider='second')
        id = h.send(person('a'), channels=['email'], category='account')
        self.halted(h, id)
        self.lift(h, 'provider:' + first['name'])
        self.assertEqual(h.settled(id)['deliveries'][0]['provider'], first['name'])

    def test_until_ends_it_and_cancel_cancels_what_waits(self):
        h = self.up()
        self.stop(h, category='account', until=at(3))
        id = h.send(person('a'), channels=['email'], category='account')
        self.halted(h, id)
        self.assertEqual(h.settled(id)['status'], 'sent')
        waiting = [h.send(person('w%d' % i), channels=['email'], category='marketing', send_at=at(3600)) for i in range(5)]
        kept = h.send(person('k'), channels=['email'], category='onboarding', send_at=at(3600))
        self.assertEqual(self.stop(h, category='marketing', dry_run=True)['held'], 5)
        self.assertEqual([s['id'] for s in h.http('GET', '/v1/stops')[1]['stops']], [])
        receipt = self.stop(h, category='marketing', waiting='cancel', reason='wrong price')
        self.assertEqual((receipt['held'], receipt['cancelled']), (0, 5))
        self.assertEqual({h.message(i)['status'] for i in waiting}, {'cancelled'})
        self.assertEqual(h.message(kept)['status'], 'scheduled')

    def test_the_command_line_says_the_same(self):
        h = self.up()
        id = h.send(person('a'), channels=['email'], category='marketing', send_at=at(3600))
        self.assertIn('would stop category:marketing: 1 held', h.cli('stop', '--category', 'marketing', '--dry-run'))
        receipt = h.cli_json('stop', '--category', 'marketing', '--reason', 'wrong price')
        self.assertEqual((receipt['held'], receipt['category'], receipt['reason']), (1, 'marketing', 'wrong price'))
        self.assertIn('wrong price', h.cli('stops'))
        self.assertEqual([s['id'] for s in h.cli_json('stops')['stops']], ['category:marketing'])
        now = h.send(person('a'), channels=['email'], category='marketing')
        self.halted(h, now)
        self.assertIn('halted', h.cli('why', now))
        h.cli('resume', '--category', 'marketing')
        self.assertEqual(h.settled(now)['status'], 'sent')
        h.cli('resume', 'category:marketing', status=1)
        h.cli('replay', now)

    def test_what_waits_is_cancelled_by_a_property_counted_first(self):
        h = self.up()
        tagged = [h.send(person('t%d' % i), channels=['email'], category='marketing', tags={'campaign': 'winter'}, send_at=at(3600)) for i in range(30)]
        other = h.send(person('o'), channels=['email'], category='marketing', send_at=at(3600))
        self.assertEqual(h.http('POST', '/v1/cancellations', {'tag': 'campaign:winter'}), (200, {'waiting': 30}))
        self.assertIn('30 wait; --confirm 30', h.cli('cancel', '--tag', 'campaign:winter'))
        status, answer = h.http('POST', '/v1/cancellations', {'tag': 'campaign:winter', 'confirm': 10})
        self.assertEqual((status, answer), (200, {'stale': True, 'waiting': 30}))
        h.cli('cancel', '--tag', 'campaign:winter', '--confirm', '10', status=1)
        self.assertEqual({h.message(i)['status'] for i in tagged}, {'scheduled'})
        self.assertIn('cancelled 30', h.cli('cancel', '--tag', 'campaign:winter', '--confirm', '30'))
        self.assertEqual({h.message(i)['status'] for i in tagged}, {'cancelled'})
        self.assertEqual(h.message(other)['status'], 'scheduled')
        self.assertEqual(h.http('GET', '/v1/stops')[1], {'stops': []})
        now = h.send(person('n'), channels=['email'], category='marketing', tags={'campaign': 'winter'})
        self.assertEqual(h.settled(now)['status'], 'sent')
        for how in ({}, {'all': True}, {'channel': 'email'}, {'tag': 'a', 'category': 'b'}, {'tag': 'a', 'confirm': 'x'}):
            self.assertEqual(h.http('POST', '/v1/cancellations', how)[0], 422, how)
        h.cli('cancel', status=2)

    def test_what_was_lifted_while_no_worker_ran_goes_on_when_one_does(self):
        h = self.house(categories=CATEGORIES)
        h.start('--role', 'api')
        w = h.start('--role', 'worker', wait=False)
        self.stop(h, category='marketing')
        id = h.send(person('a'), channels=['email'], category='marketing')
        self.halted(h, id)
        h.stop(w)
        self.lift(h, 'category:marketing')
        h.start('--role', 'worker', wait=False)
        self.assertEqual(h.settled(id)['status'], 'sent')

    def test_what_is_halted_holds_up_nothing_else_of_the_person(self):
        h = self.up()
        self.stop(h, category='marketing')
        halted = h.send(person('a'), channels=['email'], category='marketing')
        self.halted(h, halted)
        h.http('PATCH', '/v1/recipients/a', {'attributes': {'x': 1}})  # what waits because of a gate is looked at again
        time.sleep(0.5)
        h.http('PATCH', '/v1/recipients/a/preferences', {'pause_until': at(3)})
        later = h.send('a', channels=['email'], category='onboarding')
        h.reason(later, 'preference')
        self.assertEqual(h.settled(later)['status'], 'sent')
        self.assertEqual(h.message(halted)['deliveries'][0]['reason'], 'halted')

    def test_a_provider_and_names_that_are_none_are_told(self):
        h = self.house(categories=CATEGORIES)
        h.smtp.slow_body = 2
        h.start()
        name = h.settings['email']['providers'][0]['name']
        self.assertEqual(h.http('POST', '/v1/stops', {'provider': 'nope'})[1]['errors'][0]['pointer'], '/provider')
        for by in ('category', 'template'):
            self.assertIn('warnings', self.stop(h, **{by: 'misspelt'}))
        waits = h.send(person('w'), channels=['email'], category='account', send_at=at(3600))
        text = h.send(person('t'), 'order-update', channels=['sms'], category='account', send_at=at(3600))
        receipt = self.stop(h, provider=name)
        self.assertEqual((receipt['held'], 'warnings' in receipt), (1, False), receipt)  # the mail, which could be its; not the text

    def test_what_is_wrong_is_said_and_stops_nothing(self):
        h = self.up()
        for how, pointer in (({}, ''), ({'category': 'a', 'all': True}, ''), ({'all': 1}, '/all'), ({'channel': 'fax'}, '/channel'), ({'tag': ''}, '/tag'),
                             ({'all': True, 'until': '2020-01-01T00:00:00Z'}, '/until'), ({'all': True, 'until': 'soon'}, '/until'), ({'all': True, 'waiting': 'x'}, '/waiting'),
                             ({'channel': 'sms', 'waiting': 'cancel'}, '/waiting'), ({'all': True, 'resaon': 'x'}, '/resaon'), ({'all': True, 'dry_run': 'yes'}, '/dry_run')):
            status, answer = h.http('POST', '/v1/stops', how)
            self.assertEqual((status, answer['errors'][0]['pointer']), (422, pointer), how)
        h.cli('stop', status=2)
        h.cli('stop', '--category', 'a', '--all', status=2)
        self.assertEqual(h.http('DELETE', '/v1/stops/all')[0], 404)
        self.assertEqual(h.http('GET', '/v1/stops')[1], {'stops': []})

    def test_a_mail_that_waits_for_its_final_dot_is_in_the_receipt_or_does_not_go(self):
        """E44: the relay is slow before the answer to DATA: nothing is committed then, so nothing goes after the stop."""
        h = self.house(categories=CATEGORIES)
        h.smtp.slow_body = 1.5
        h.start()
        id = h.send(person('a'), channels=['email'], category='marketing')
        h.until(lambda: h.message(id)['status'] == 'sending')
        receipt = self.stop(h, category='marketing')
        if id in receipt['in_flight']:
            h.settled(id)
        else:
            self.halted(h, id)
            self.assertEqual(h.smtp.accepted, [])

    def test_after_the_answer_nothing_goes_out_that_the_receipt_does_not_name_with_four_workers_and_ten_thousand(self):
        n = int(os.environ.get('TIDINGS_STOPS', '2000'))
        h = self.house(categories=CATEGORIES)
        h.settings['sms']['providers'][0]['concurrency'] = 32
        h.write()
        h.start('--role', 'api')
        h.cli('enqueue', '--quiet', stdin='\n'.join(json.dumps({'recipient': person('p%d' % i), 'template': 'order-update', 'channels': [['sms', 'in_app'][i % 2]], 'category': ['marketing', 'account'][i % 3 == 0],
                                                                'data': {'order': '1', 'parcels': 1}}) for i in range(n)))
        for _ in range(4):
            h.start('--role', 'worker', wait=False)
        h.until(lambda: len(h.gateway.requests) > n / 20, 60)
        h.redis('client', 'kill', 'type', 'pubsub')  # who has not heard of it is told by Redis when it asks
        receipt = self.stop(h, category='marketing', reason='harm')
        answered = datetime.datetime.now(datetime.timezone.utc)
        h.until(lambda: all(q['due'] == q['in_flight'] == 0 for q in h.cli_json('queue')['channels'].values()), 120, lambda: h.cli_json('queue'))
        late, states = [], collections.Counter()
        for page in pages(h):
            for m in page:
                d = m['deliveries'][0]
                states[m['category'], m['status'], d['reason']] += 1
                if m['category'] == 'marketing' and d['sent_at'] and datetime.datetime.fromisoformat(d['sent_at'].replace('Z', '+00:00')) > answered and m['id'] not in receipt['in_flight']:
                    late.append(m['id'])
        self.assertEqual(late, [])
        marketing = {k[1:]: v for k, v in states.items() if k[0] == 'marketing'}
        self.assertEqual(set(marketing), {('sent', None), ('scheduled', 'halted')}, states)
        self.assertEqual({k[1:] for k in states if k[0] == 'account'}, {('sent', None)}, states)
        self.assertGreater(marketing['scheduled', 'halted'], 0, states)
        h.redis('client', 'kill', 'type', 'pubsub')
        self.lift(h, 'category:marketing')
        h.until(lambda: all(q['waiting'] == q['in_flight'] == 0 for q in h.cli_json('queue')['channels'].values()), 120, lambda: h.cli_json('queue'))
        told = collections.Counter(r['headers']['Idempotency-Key'] for r in h.gateway.requests)
        self.assertEqual((len(told), set(told.values())), (n // 2, {1}))

    def test_a_stop_set_and_lifted_again_and_again_loses_nothing(self):
        h = self.up()
        h.start('--role', 'worker', wait=False)
        done = []

        def toggle():
            while not done:
                self.stop(h, category='marketing')
                time.sleep(random.random() / 20)
                self.lift(h, 'category:marketing')
                time.sleep(random.random() / 20)
        storm = threading.Thread(target=toggle)
        storm.start()
        ids = [h.send(person('t%d' % (i % 7)), template='order-update', data={'order': '1', 'parcels': 1}, channels=['sms'], category='marketing') for i in range(60)]
        done.append(True)
        storm.join()
        for id in ids:
            self.assertEqual(h.settled(id, 30)['status'], 'sent', id)


def pages(h):
    cursor = None
    while True:
        status, page = h.http('GET', '/v1/messages?limit=200' + ('&cursor=' + cursor if cursor else ''))
        assert status == 200, page
        yield page['messages']
        cursor = page['cursor']
        if not cursor:
            return


if __name__ == '__main__':
    unittest.main()
