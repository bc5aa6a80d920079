"""Exactness under load: several workers, some of them killed, and withdrawals while they send.

TIDINGS_LOAD multiplies the numbers (default 1; 25 is the large run: 8 workers, 1,000 people, 100,000 messages).
"""
import collections, json, os, random, threading, time, unittest

from house import FlowTest, SmtpServer, person

LOAD = int(os.environ.get('TIDINGS_LOAD', '1'))
CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'news': {'kind': 'marketing', 'consent': 'opt_out'}}


class Load(FlowTest):
    def test_what_a_receipt_calls_cancelled_is_never_sent(self):
        smtp = SmtpServer()
        smtp.slow_body = 0.001
        h = self.start('--role', 'api', smtp=smtp, categories=CATEGORIES)
        messages = '\n'.join(json.dumps({'recipient': person('w'), 'template': 'milestone', 'category': 'news', 'channels': ['email'], 'delay': '2s',
                                         'data': {'name': 'W', 'years': 1, 'since': '2024-12-01'}}) for _ in range(1000))
        answers = [json.loads(l) for l in h.http('POST', '/v1/messages', raw=messages.encode(), type='application/x-ndjson')[1].splitlines()]
        ids = {a['id'] for a in answers}
        self.assertEqual(len(ids), 1000)
        for _ in range(4):
            h.start('--role', 'worker', wait=False)
        h.until(lambda: len(smtp.received) > 50, 30, 'sending has begun')
        status, receipt = h.http('POST', '/v1/recipients/w/consents', {'category': 'news', 'state': 'withdrawn'})
        self.assertEqual(status, 200)
        cancelled, flying = {i[:22] for i in receipt['cancelled']}, {i[:22] for i in receipt['in_flight']}
        h.until(lambda: all(m['status'] not in ('scheduled', 'sending') for m in self.all_of(h, 'w')), 60, 'all is settled')
        states = {m['id']: m['status'] for m in self.all_of(h, 'w')}
        sent = {i for i, s in states.items() if s in ('sent', 'unknown')}
        self.assertFalse(cancelled & sent)
        self.assertFalse(cancelled & flying)
        self.assertLessEqual(len(flying), 4 * 4 * 3)  # connections, and what waits behind them
        self.assertTrue(flying <= sent | {i for i in flying if states[i] == 'failed'}, flying - sent)
        self.assertEqual(set(states), ids)
        self.assertEqual({s for i, s in states.items() if i not in sent}, {'suppressed'})
        print('withdrawn while sending: %d sent, %d cancelled, %d in flight' % (len(sent), len(cancelled), len(flying)))

    def all_of(self, h, who):
        found, cursor = [], None
        while True:
            status, page = h.http('GET', '/v1/messages?recipient=%s&limit=500%s' % (who, '&cursor=' + cursor if cursor else ''))
            self.assertEqual(status, 200)
            found += page['messages']
            cursor = page.get('next_cursor') or page.get('cursor')
            if not cursor:
                return found

    RULES = [{'name': 'day', 'max': 6, 'per': '1 calendar day', 'over': 'drop'},
             {'name': 'hour', 'kinds': ['service'], 'max': 4, 'per': '2h', 'over': 'drop', 'keep': {'high': 1}},
             {'name': 'shop', 'sources': ['shop'], 'max': 2, 'per': '7d', 'over': 'drop'},
             {'name': 'company', 'scope': 'account', 'max': 20, 'per': '7d', 'over': 'drop', 'exempt': {'kinds': ['service']}}]

    def test_no_rule_is_exceeded_while_workers_are_killed_and_nothing_stays_reserved(self):
        people, each, crew = 40 * LOAD, 80 if LOAD == 1 else 100, 4 if LOAD == 1 else 8
        h = self.start('--role', 'api', categories=CATEGORIES, caps=self.RULES, worker={'lease': '2s'})
        draw = random.Random(4)
        lines = [json.dumps({'recipient': person('p%d' % (i % people), account='a%d' % (i % people // 10)), 'template': 'welcome', 'category': draw.choice(['onboarding', 'news']), 'channels': ['email'],
                             'priority': draw.choice(['high', 'normal', 'low']), 'source': draw.choice(['shop', 'crm']), 'data': {'name': 'P', 'count': 1}, 'delay': '3s'}) for i in range(people * each)]
        for i in range(0, len(lines), 2000):
            self.assertEqual(h.http('POST', '/v1/messages', raw='\n'.join(lines[i:i + 2000]).encode(), type='application/x-ndjson')[0], 200)
        workers, killed = [h.start('--role', 'worker', wait=False) for _ in range(crew)], 0
        stop = time.monotonic() + 20 + 10 * LOAD
        size = lambda what, pattern: sum(int(h.redis(what, k) or 0) for k in h.redis('--scan', '--pattern', pattern).split())
        depth = lambda: size('ZCARD', 'tidings:*:due:*')
        while time.monotonic() < stop and (depth() or killed < 5 * min(LOAD, 6)):
            time.sleep(random.uniform(0.3, 1))
            victim = random.choice(workers)
            victim.kill()
            victim.wait()
            h.processes.remove(victim)
            workers[workers.index(victim)] = h.start('--role', 'worker', wait=False)
            killed += 1
        open_ends = lambda: (depth(), size('ZCARD', 'tidings:*:lease'), size('LLEN', 'tidings:*:aq'))
        h.until(lambda: not any(open_ends()), 120, lambda: 'quiet: %d due, %d leased, %d to give back' % open_ends())
        self.check(h, people, '%d messages for %d people of %d accounts, %d workers, %d killed' % (len(lines), people, people // 10, crew, killed))

    def check(self, h, people, run):
        counted, companies, bodies = collections.Counter(), collections.Counter(), self.bodies(h)
        for p in range(people):
            sent = [json.loads(h.redis('GET', bodies[m['id']])) for m in self.all_of(h, 'p%d' % p) if m['status'] in ('sent', 'unknown')]
            facts = [(full['category'], full['priority'], full['source']) for full in sent]
            self.assertLessEqual(len(facts), 6)
            self.assertLessEqual(sum(c == 'onboarding' for c, _, _ in facts), 4)
            self.assertLessEqual(sum(c == 'onboarding' and l != 'high' for c, l, _ in facts), 3)  # the kept slot
            self.assertLessEqual(sum(s == 'shop' for _, _, s in facts), 2)
            self.assertEqual(self.reserved(h, 'h:p%d' % p), len(facts))  # what is reserved is what was sent
            counted[len(facts)] += 1
            companies['a%d' % (p // 10)] += sum(c == 'news' for c, _, _ in facts)
        for a in range(people // 10):
            self.assertLessEqual(companies['a%d' % a], 20)
            self.assertEqual(self.reserved(h, 'ah:a%d' % a), companies['a%d' % a])
        print('%s: sends per person %s, per account of those that its rule holds %s' % (run, dict(counted), dict(collections.Counter(companies['a%d' % a] for a in range(people // 10)))))

    def reserved(self, h, key):
        """In the one partition that has it."""
        keys = [k for k in h.redis('EVAL', "local o = {} for n = 0, 15 do local k = 'tidings:{'..n..'}:'..ARGV[1] if redis.call('EXISTS', k) == 1 then o[#o + 1] = k end end return o", '0', key).split('\n') if k]
        return sum(int(h.redis('ZCARD', k)) for k in keys)

    def bodies(self, h):
        keys = [k for k in h.redis('--scan', '--pattern', '*:m:*').split() if ':m:' in k]
        return {k.rsplit(':', 1)[1]: k for k in keys}


if __name__ == '__main__':
    unittest.main()
