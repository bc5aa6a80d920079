"""Two recipients who are one person: their runs go on under the other id, what happens to the old one is handed on, and nothing is lost or said twice."""
import collections, concurrent.futures, datetime, itertools, json, os, random, signal, threading, time, unittest, urllib.error, urllib.request

from house import SLOWNESS, free_port, person
from test_pausing import DIGEST
from test_sequences import CATEGORIES, NDJSON, UTC, Journey, moment, write

HELLO, NUDGE, THANKS = ('  - {id: %s, send: {template: %s, channels: [email]}}\n' % (t, t) for t in ('hello', 'nudge', 'thanks'))
SHOWN, CALM = '  - {id: thanks, send: {template: thanks, channels: [in_app]}}\n', '  - {id: calm, wait: 30d}\n'
ENDS = 'goal: {event: NAME.won}\nexit: [{event: NAME.closed, reason: closed}]\n'
ASK = '  - {id: %s, wait_for: {any: [{event: %s, as: said}], timeout: 30d, since: %s}}\n'
GROUP = 'group: {name: %s, one_per: %s, on_conflict: %s}\n'


def sequence(name, steps, more=ENDS, trigger='{event: NAME.begun}'):
    return ('sequence: NAME\ncategory: onboarding\ntrigger: %s\n%ssteps:\n%s' % (trigger, more, steps)).replace('NAME', name)


def remains(h, word):
    """The keys of Redis that hold the word, in their name or in what they keep."""
    read = {'string': 'GET %s', 'hash': 'HGETALL %s', 'set': 'SMEMBERS %s', 'zset': 'ZRANGE %s 0 -1', 'list': 'LRANGE %s 0 -1', 'stream': 'XRANGE %s - +'}
    keys = {key for key in h.redis('--scan').split('\n') if key}
    found = [key for key in keys if word in key]
    for kind, verb in read.items():
        for key in h.redis('--scan', '--type', kind).split('\n'):
            if key and key not in found and word in h.redis(*[w.replace('%s', key) for w in verb.split()]):
                found.append(key)
    return found


def at_once(n, *calls):
    """What the calls give, each made by one of n threads."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return [f.result() for f in [pool.submit(*call) for call in calls]]


class Merging(Journey):
    serial = itertools.count()

    def pair(self, *names, old=(), new=(), **fields):
        """Two people, the lead and the customer, whom these events have reached."""
        n = next(Merging.serial)
        lead, customer = 'lead%dx' % n, 'cust%dx' % n
        for who, events in ((lead, [*names, *old]), (customer, [*names, *new])):
            self.who(who, **fields)
            for name in events:
                self.event(who, name)
        return lead, customer

    def post_merge(self, old, new):
        return self.h.http('POST', '/v1/recipients/%s/merge' % old, {'into': new})

    def merge(self, old, new):
        status, answer = self.post_merge(old, new)
        self.assertEqual((status, answer.get('recipient'), answer.get('into')), (200, old, new), answer)
        return answer['did']

    def moved(self, did):
        """The runs that are said to have moved, those that have ended then, and why."""
        return ({d['run'] for d in did if d['what'] == 'moved'}, {d['run']: d['why'] for d in did if d['what'] == 'left'})

    def one(self, who, name=None):
        """Their only run of this name that goes on."""
        runs = self.active(who, name)
        self.assertEqual(len(runs), 1, runs)
        return runs[0]

    def quiet(self, who):
        """Whoever has been merged has nothing that runs and nothing that is pending."""
        self.assertEqual((self.active(who), [m for m in self.messages(who) if m['status'] in ('scheduled', 'sending')]), ([], []))

    def told_both(self, lead, customer):
        """How many mails of each kind both have got together, under whichever address."""
        return dict(collections.Counter(self.mails(lead) + self.mails(customer)))

    def sequences(self):
        return {s['name']: s for s in self.h.http('GET', '/v1/sequences')[1]}

    def report(self, name):
        status, answer = self.h.http('GET', '/v1/sequences/%s/report' % name)
        self.assertEqual(status, 200, answer)
        return answer

    def balance(self, name, running):
        """Of all who have entered, so many run; the others have left."""
        even = lambda: (self.sequences()[name]['running'], self.report(name)['enrolled'] - sum(self.report(name)['left'].values())) == (running, running)
        self.h.until(even, what=lambda: '%d run: %s %s' % (running, self.sequences()[name], self.report(name)))

    def exit(self, who, name):
        return self.h.http('DELETE', '/v1/sequences/%s/runs/%s' % (name, who))

    def ended(self, who, run):
        """The run of theirs of this id, once it has ended."""
        found = lambda: [r for r in self.runs(who) if r['id'] == run and r.get('ended')]
        self.h.until(found, what=lambda: '%s has left: %s' % (run, self.runs(who)))
        return found()[0]

    def withdraw(self, who, channel='email', category='onboarding', state='withdrawn'):
        status, answer = self.h.http('POST', '/v1/recipients/%s/consents' % who,
                                     {'category': category, 'channel': channel, 'state': state, 'source': 'test'})
        self.assertEqual(status, 200, answer)

    def hang(self, prefix, reply=None):
        """The mail to whoever begins so hangs when it has been handed over whole, until the second is set."""
        reached, go = threading.Event(), threading.Event()
        self.addCleanup(lambda: (go.set(), setattr(self.h.smtp, 'script', None)))
        once = iter([reply])
        def script(verb, arg, session):
            if verb == 'BODY' and str(arg).startswith(prefix + '@') and not go.is_set():
                reached.set()
                go.wait(60)
                return next(once, None)
        self.h.smtp.script = script
        return reached, go


class Together(Merging):
    """One service for all that needs none of its own."""
    DEFINITIONS = '---\n'.join([
        sequence('welcome', HELLO + ASK % ('ask', 'welcome.answered', 'run') + NUDGE + ASK % ('more', 'welcome.more', 'run') + SHOWN + CALM),
        sequence('other', CALM), sequence('third', CALM),
        sequence('late', '  - {id: pause, wait: 2s}\n' + NUDGE + CALM),
        sequence('looks-back', '  - {id: pause, wait: 1s}\n' + ASK % ('ask', 'looks-back.answered', 'run') + SHOWN + CALM),
        sequence('heard', '  - {id: hello, send: {template: hello, channels: [email], done: enqueued}}\n'
                          '  - {id: ear, wait_for: {any: [{message: hello, is: sent, as: sent}], timeout: 30d}, '
                          'then: {sent: [{id: nudge, send: {template: nudge, channels: [email]}}]}}\n' + CALM),
        sequence('two', HELLO.replace('}}', ', done: enqueued}}') + NUDGE.replace('}}', ', done: enqueued}}') + CALM),
        sequence('once', CALM, 'reentry: never\n' + ENDS), sequence('seldom', CALM, 'reentry: {after: 90d}\n' + ENDS),
        sequence('keyed', CALM, 'reentry: {per: event.n}\n' + ENDS),
        sequence('seat', CALM, 'key: event.seat\nreentry: always\n' + ENDS),
        sequence('afterwards', CALM, 'goal: {event: NAME.won, within: 14d}\nexit: [{event: NAME.closed, reason: closed}]\n'),
        sequence('lined', HELLO + CALM, 'reentry: always\nwhile_running: queue\n' + ENDS),
        sequence('many', CALM, 'reentry: always\nwhile_running: parallel\n' + ENDS),
        sequence('capped', SHOWN + CALM, 'reentry: always\nwhile_running: parallel\nentry: {max: 1, per: 3s, over: queue}\n' + ENDS),
        sequence('enrols', CALM, trigger='{enroll: true}'),
        sequence('leaves', HELLO + CALM, 'exit: [{when: {recipient.attributes.blocked: true}, reason: blocked}]\n'),
        sequence('mailed', HELLO + CALM + NUDGE),
        sequence('company', CALM, 'reentry: {per: event.contract}\ngoal: {event: portal.live, of: account}\n', '{event: contract.signed, of: account}'),
        sequence('profile', CALM, 'reentry: always\n', '{enters: {recipient.role: admin}}'),
        sequence('line-a', HELLO + CALM, 'reentry: always\n' + GROUP % ('line', 'recipient', 'queue') + ENDS),
        sequence('line-b', NUDGE + CALM, 'reentry: always\n' + GROUP % ('line', 'recipient', 'queue') + ENDS),
        sequence('place', HELLO + CALM, 'reentry: always\n' + GROUP % ('place', 'account', 'queue') + ENDS),
        sequence('wave', HELLO + CALM, ENDS + 'waves:\n  order:\n    - {name: all, where: always}\n'),
        sequence('wave-both', HELLO + CALM, ENDS + 'waves:\n  order:\n    - {name: all, where: always}\n'),
        sequence('wave-busy', CALM, ENDS + 'waves:\n  order:\n    - {name: all, where: always}\n'),
        sequence('wave-left', HELLO + CALM, ENDS + 'waves:\n  order:\n    - {name: all, where: always}\n'),
        sequence('halted', ASK % ('ask', 'halted.answered', 'run') + THANKS + CALM),
        *(sequence('full-%d' % i, CALM, '', '{event: full-%s.begun}' % ('odd' if i % 2 else 'even')) for i in range(26))])

    # what is said

    def test_s54_of_the_same_sequence_the_run_that_is_further_stays(self):
        for further, way in (('customer', 1), ('lead', 0)):
            with self.subTest(further=further):
                pair = self.pair('welcome.begun')
                for who in pair:
                    self.sent(who, 'hello')
                ahead = pair[way]
                self.event(ahead, 'welcome.answered')
                self.at_step(ahead, 'more')
                stays, ends = self.one(pair[way])['id'], self.one(pair[1 - way])['id']
                did = self.merge(*pair)
                self.assertEqual(self.moved(did)[1], {ends: 'merged'}, did)
                run = self.one(pair[1])
                self.assertEqual((run['id'], run['step']), (stays, 'more'))
                self.quiet(pair[0])
                self.assertEqual([r['reason'] for who in pair for r in self.runs(who) if r['id'] == ends and r.get('ended')], ['merged'])
                self.event(pair[0], 'welcome.more')
                self.sent(pair[1], 'thanks')
                self.at_step(pair[1], 'calm')
                self.assertEqual(self.told_both(*pair), {'hello': 2, 'nudge': 1})

    def test_s54_of_two_that_are_equally_far_one_stays(self):
        pair = self.pair('welcome.begun')
        both = {self.at_step(who, 'ask') or self.one(who)['id'] for who in pair}
        left = self.moved(self.merge(*pair))[1]
        stays = self.one(pair[1])['id']
        self.assertEqual((set(left) | {stays}, list(left.values())), (both, ['merged']))
        self.event(pair[1], 'welcome.answered')
        self.sent(pair[1], 'nudge')
        self.assertEqual(self.told_both(*pair), {'hello': 2, 'nudge': 1})

    def test_s54_different_sequences_go_on_beside_each_other_with_their_ids(self):
        lead, customer = self.pair(old=['other.begun', 'welcome.begun'], new=['third.begun'])
        runs = {r['sequence']: r['id'] for who in (lead, customer) for r in self.active(who)}
        did = self.merge(lead, customer)
        self.assertEqual(self.moved(did), ({runs['other'], runs['welcome']}, {}))
        self.assertEqual({d['sequence'] for d in did}, {'other', 'welcome'})
        self.assertEqual({r['sequence']: r['id'] for r in self.active(customer)}, runs)
        self.quiet(lead)

    def test_s54_repeated_it_has_nothing_to_do(self):
        lead, customer = self.pair('other.begun', old=['third.begun'])
        self.assertTrue(self.merge(lead, customer))
        before = self.active(customer)
        for _ in range(3):
            self.assertEqual(self.merge(lead, customer), [])
        self.assertEqual(self.active(customer), before)

    def test_s54_who_has_no_runs_may_be_merged_all_the_same(self):
        lead, customer = self.pair()
        self.assertEqual(self.merge(lead, customer), [])
        self.event(lead, 'other.begun')
        self.assertEqual((self.one(customer)['sequence'], self.active(lead)), ('other', []))

    def test_s54_what_cannot_be_is_refused_and_changes_nothing(self):
        lead, customer = self.pair('other.begun')
        stranger = self.pair()[0]
        before = [self.active(who) for who in (lead, customer)]
        post = lambda who, body: self.h.http('POST', '/v1/recipients/%s/merge' % who, body)
        for who, body, status in (('nobody', {'into': customer}, 404), (lead, {'into': 'nobody'}, 404), (lead, {'into': lead}, 422), (lead, {}, 422),
                                  (lead, {'into': 5}, 422), (lead, {'into': None}, 422), (lead, {'into': 'a b'}, 422), (lead, {'into': ''}, 422),
                                  (lead, {'into': {'id': customer}}, 422), (lead, {'into': customer, 'colour': 'red'}, 422), ('a b', {'into': customer}, 400)):
            with self.subTest(who=who, body=body):
                got, problem = post(who.replace(' ', '%20'), body)
                self.assertEqual(got, status, problem)
                self.assertIn('application/problem+json', self.h.headers['Content-Type'])
                if status == 422:
                    self.assertIn(problem['errors'][0]['pointer'], ('/into', '/colour'))
        for raw in (b'', b'{', b'[]', b'{"into":"%s","into":"x"}' % customer.encode(), b'\xff'):
            self.assertEqual(self.h.http('POST', '/v1/recipients/%s/merge' % lead, raw=raw)[0], 400)
        self.assertEqual(self.h.http('GET', '/v1/recipients/%s/merge' % lead)[0], 405)
        self.assertEqual([self.active(who) for who in (lead, customer)], before)
        self.merge(lead, customer)
        for old, new in ((lead, stranger), (customer, lead)):
            self.assertEqual(self.post_merge(old, new)[0], 409)
        self.assertEqual((len(self.active(customer)), self.active(stranger)), (1, []))

    # what happens to the old id is handed on

    def test_s54_by_every_door_the_old_id_is_the_new_one_from_then_on(self):
        line = lambda who, name, id: json.dumps({'recipient': who, 'name': name, 'id': id})
        send = {'http': lambda who, name, id: self.event(who, name, id=id),
                'lines': lambda who, name, id: self.h.http('POST', '/v1/events', raw=line(who, name, id).encode(), type=NDJSON),
                'inline': lambda who, name, id: self.event(person(who), name, id=id),
                'command': lambda who, name, id: self.h.cli('event', stdin=line(who, name, id) + '\n'),
                'stream': lambda who, name, id: self.h.redis('XADD', 'tidings:ingest', '*', 'event', line(who, name, id))}
        for door, tell in send.items():
            with self.subTest(door=door):
                lead, customer = self.pair(old=['welcome.begun'])
                self.sent(lead, 'hello')
                self.merge(lead, customer)
                run = self.one(customer, 'welcome')['id']
                tell(lead, 'welcome.answered', '1')
                self.at_step(customer, 'more', 'welcome')
                tell(lead, 'other.begun', '2')
                self.h.until(lambda: self.active(customer, 'other'), what=lambda: self.runs(customer))
                tell(lead, 'welcome.won', '3')
                self.assertEqual(self.ended(customer, run)['reason'], 'goal')
                self.quiet(lead)
                self.assertEqual(self.event(lead, 'welcome.won', id='3')['status'], 'known')

    FIVE = ['many.begun', 'many.begun', 'many.closed', 'many.begun', 'many.closed']

    def lines(self, told):
        """What each of these events, told in one go, has begun and ended."""
        raw = '\n'.join(json.dumps({'recipient': who, 'name': name, 'id': 'o%d' % i}) for i, (who, name) in enumerate(told)).encode()
        answers = [json.loads(line) for line in self.h.http('POST', '/v1/events', raw=raw, type=NDJSON)[1].splitlines()]
        self.assertEqual([a['status'] for a in answers], ['taken'] * len(told), answers)
        return [sum(d['what'] in ('left', 'enrolled') for d in a['did']) for a in answers]

    def test_s12_lines_of_the_old_id_are_applied_in_their_order(self):
        for _ in range(3):
            lead, customer = self.pair()
            self.merge(lead, customer)
            self.assertEqual(self.lines([(lead, name) for name in self.FIVE] * 6), [1, 1, 2, 1, 1] * 6)
            self.quiet(lead)

    def test_s12_lines_of_both_ids_are_of_one_person_and_applied_in_their_order(self):
        for _ in range(3):
            pair = self.pair()
            self.merge(*pair)
            self.assertEqual(self.lines([(pair[i % 2], name) for i, name in enumerate(self.FIVE * 6)]), [1, 1, 2, 1, 1] * 6)

    def test_s54_enrolments_of_the_old_id_are_for_the_new_one(self):
        lead, customer = self.pair()
        self.merge(lead, customer)
        status, answer = self.enroll('enrols', lead, id='e1')
        run = self.entry(answer, 'enrolled')['run']
        self.assertEqual((status, self.one(customer)['id'], self.active(lead)), (202, run, []))
        self.assertEqual(self.enroll('enrols', customer)[1]['did'][0]['why'], 'running')
        self.assertEqual(self.enroll('enrols', lead, id='e1')[1]['status'], 'known')
        for by in (lambda who: self.h.cli('sequence', 'enroll', 'enrols', '--recipient', who),
                   lambda who: self.h.cli('recipient', 'import', '--enroll', 'enrols', stdin=json.dumps(person(who)) + '\n')):
            lead, customer = self.pair()
            self.merge(lead, customer)
            by(lead)
            self.h.until(lambda: self.active(customer, 'enrols'), what=lambda: self.runs(customer))
            self.quiet(lead)

    def test_s54_a_run_is_taken_away_by_either_id(self):
        for by in (lambda who: self.assertEqual(self.exit(who, 'other')[0], 200), lambda who: self.h.cli('sequence', 'exit', 'other', '--recipient', who)):
            for way in (0, 1):
                pair = self.pair(old=['other.begun', 'third.begun'])
                run = self.one(pair[0], 'other')['id']
                self.merge(*pair)
                by(pair[way])
                self.assertEqual(self.ended(pair[1], run)['reason'], 'exited')
                self.assertEqual(self.one(pair[1])['sequence'], 'third')

    def test_s54_goals_and_exits_to_either_id_end_the_run(self):
        for origin, told, event in itertools.product((0, 1), (0, 1), ('welcome.won', 'welcome.closed')):
            with self.subTest(origin=origin, told=told, event=event):
                pair = self.pair()
                self.event(pair[origin], 'welcome.begun')
                run = self.one(pair[origin])['id']
                self.merge(*pair)
                gone = self.entry(self.event(pair[told], event), 'left')
                self.assertEqual((gone['run'], gone['why']), (run, 'goal' if event == 'welcome.won' else 'closed'))
                for who in pair:  # what was in flight lands
                    self.h.until(lambda: not self.h.http('GET', '/v1/recipients/%s/timeline' % who)[1]['pending'])
                self.quiet(pair[0]), self.quiet(pair[1])

    def test_s61_what_happens_to_the_account_of_the_old_id_reaches_the_new_one_once(self):
        for n, other in enumerate((None, 'acme', 'other')):
            with self.subTest(account=other):
                (lead, customer), account = self.pair(), 'acme%d' % n
                self.patch(lead, account=account)
                if other:
                    self.patch(customer, account=other + str(n))
                company = lambda name, **more: self.h.http('POST', '/v1/events', {'account': account, 'name': name, **more})
                status, answer = company('contract.signed', id='s0', data={'contract': 'k0'})
                self.assertEqual((status, self.one(lead, 'company')['sequence']), (202, 'company'))
                self.merge(lead, customer)
                self.assertEqual(company('contract.signed', id='s1', data={'contract': 'k1'})[0], 202)
                self.h.until(lambda: len(self.active(customer, 'company')) >= 2, 5, lambda: self.runs(customer))
                time.sleep(0.1)
                self.assertEqual(len(self.active(customer, 'company')), 2, self.runs(customer))
                self.assertEqual(company('portal.live', id='p')[0], 202)
                self.h.until(lambda: not self.active(customer), what=lambda: self.runs(customer))
                self.quiet(lead)

    def test_s10_an_event_that_either_has_had_is_known(self):
        lead, customer = self.pair()
        for who in (lead, customer):
            self.event(who, 'many.begun', id='of-' + who)
        self.merge(lead, customer)
        for told, had in itertools.product((lead, customer), (lead, customer)):
            if (told, had) != (customer, lead):  # that one is another event
                self.assertEqual(self.event(told, 'many.begun', id='of-' + had)['status'], 'known', (told, had))
        self.event(lead, 'third.begun', id='n-1')
        self.assertEqual([self.event(who, 'third.begun', id='n-1')['status'] for who in (lead, customer)], ['known'] * 2)

    def test_s14_what_happened_to_either_before_counts_for_a_wait_of_the_run(self):
        for way in (0, 1):
            pair = self.pair()
            self.event(pair[way], 'looks-back.begun')
            self.event(pair[way], 'looks-back.answered')
            self.merge(*pair)
            self.sent(pair[1], 'thanks')
            self.at_step(pair[1], 'calm')

    # where the run stood

    def test_x36_a_wait_is_over_at_its_time_and_what_follows_goes_to_the_new_address(self):
        lead, customer = self.pair(old=['late.begun'])
        run = self.one(lead)
        self.merge(lead, customer)
        self.assertEqual((self.one(customer)['id'], self.one(customer)['step']), (run['id'], 'pause'))
        mail = self.sent(customer, 'nudge')
        self.assertEqual((mail['run'], mail['step'], mail['recipient']), (run['id'], 'nudge', customer))
        self.assertTrue(1.9 <= (moment(mail['deliveries'][0]['sent_at']) - moment(run['started'])).total_seconds() < 4 * SLOWNESS)
        self.at_step(customer, 'calm')
        self.assertEqual((self.mails(lead), self.mails(customer)), ([], ['nudge']))

    def test_x36_what_is_awaited_may_come_to_either(self):
        for way in (0, 1):
            pair = self.pair(old=['welcome.begun'])
            self.at_step(pair[0], 'ask')
            self.merge(*pair)
            self.assertEqual(self.entry(self.event(pair[way], 'welcome.answered'), 'matched')['as'], 'said')
            self.sent(pair[1], 'nudge')
            self.assertEqual((self.mails(pair[0]), self.mails(pair[1])), (['hello'], ['nudge']))

    def test_s54_what_the_old_one_had_open_is_cancelled_and_sent_anew_under_the_same_step(self):
        lead, customer = self.pair()
        self.pause(lead)
        did = self.begin(lead, 'welcome.begun')
        self.held(lead)
        self.merge(lead, customer)
        self.assertEqual(self.h.message(did['message'])['status'], 'cancelled')  # no waiting
        mail = self.sent(customer, 'hello')
        self.assertEqual((mail['run'], mail['step'], mail['recipient']), (did['run'], 'hello', customer))
        self.assertNotEqual(mail['id'], did['message'])
        self.at_step(customer, 'ask')
        self.patch(lead, preferences={'pause_until': None})
        self.h.settled(self.h.send(lead, 'bye', {}, channels=['email']))
        self.assertEqual((self.mails(lead), self.mails(customer)), (['bye'], ['hello']))

    def test_s54_what_is_pending_of_steps_that_are_past_is_cancelled_and_not_sent_anew(self):
        lead, customer = self.pair()
        self.pause(lead)
        self.begin(lead, 'two.begun')
        self.h.until(lambda: [m['deliveries'][0]['reason'] for m in self.messages(lead)] == ['preference'] * 2, what=lambda: self.messages(lead))
        self.assertEqual(self.one(lead)['step'], 'calm')
        self.merge(lead, customer)
        self.assertEqual([m['status'] for m in self.messages(lead)], ['cancelled'] * 2)
        self.patch(lead, preferences={'pause_until': None})
        self.h.settled(self.h.send(customer, 'bye', {}, channels=['email']))
        self.assertEqual((self.mails(lead), self.mails(customer), self.one(customer)['step']), ([], ['bye'], 'calm'))

    def test_s54_what_a_run_that_ends_merged_had_open_is_cancelled_and_sent_to_nobody(self):
        lead, customer = self.pair(new=['welcome.begun'])
        self.at_step(customer, 'ask')
        self.pause(lead)
        did = self.begin(lead, 'welcome.begun')
        self.held(lead)
        self.assertEqual(self.moved(self.merge(lead, customer))[1], {did['run']: 'merged'})
        self.assertEqual(self.h.message(did['message'])['status'], 'cancelled')
        self.event(customer, 'welcome.answered')
        self.sent(customer, 'nudge')
        self.assertEqual(self.told_both(lead, customer), {'hello': 1, 'nudge': 1})

    def test_s54_the_new_one_had_it_open_and_ends_as_the_old_one_is_further(self):
        lead, customer = self.pair(old=['welcome.begun'])
        self.at_step(lead, 'ask')
        self.pause(customer)
        did = self.begin(customer, 'welcome.begun')
        self.held(customer)
        self.assertEqual(self.moved(self.merge(lead, customer))[1], {did['run']: 'merged'})
        self.h.until(lambda: self.h.message(did['message'])['status'] == 'cancelled', 5, lambda: self.h.message(did['message']))
        self.patch(customer, preferences={'pause_until': None})
        self.event(lead, 'welcome.answered')
        self.sent(customer, 'nudge')
        self.assertEqual(self.told_both(lead, customer), {'hello': 1, 'nudge': 1})

    def test_s54_when_both_have_the_same_mail_open_one_is_sent(self):
        lead, customer = self.pair()
        for who in (lead, customer):
            self.pause(who)
            self.begin(who, 'welcome.begun')
            self.held(who)
        self.merge(lead, customer)
        self.patch(customer, preferences={'pause_until': None}), self.patch(lead, preferences={'pause_until': None})
        self.sent(customer, 'hello')
        self.at_step(customer, 'ask')
        self.assertEqual((self.mails(lead), self.mails(customer)), ([], ['hello']))

    def test_s54_a_message_that_is_no_runs_does_not_go_to_both(self):
        lead, customer = self.pair()
        id = self.h.send(lead, 'thanks', {}, channels=['email'], delay='1s')
        self.merge(lead, customer)
        self.h.until(lambda: self.h.message(id)['status'] in ('sent', 'cancelled'), what=lambda: self.h.message(id))
        self.assertLessEqual(len(self.mails(lead) + self.mails(customer)), 1)

    def test_s54_the_outcome_of_the_old_ones_mail_is_what_the_run_waits_for(self):
        lead, customer = self.pair()
        reached, go = self.hang(lead)
        did = self.begin(lead, 'heard.begun')
        self.assertTrue(reached.wait(15 * SLOWNESS))
        self.assertEqual(self.one(lead)['step'], 'ear')
        self.merge(lead, customer)
        go.set()
        self.assertEqual(self.sent(customer, 'nudge')['run'], did['run'])
        self.assertEqual((self.mails(lead), self.mails(customer)), (['hello'], ['nudge']))

    def test_x42_what_is_in_flight_has_its_outcome_later_and_the_run_goes_on_once(self):
        for reply, way in ((None, 'ends well'), ('550 5.1.1 nobody', 'is refused'), ('451 4.3.0 later', 'is tried again')):
            with self.subTest(outcome=way):
                lead, customer = self.pair()
                reached, go = self.hang(lead, reply)
                did = self.begin(lead, 'welcome.begun')
                self.assertTrue(reached.wait(15 * SLOWNESS))
                self.merge(lead, customer)
                self.assertEqual(self.one(customer)['id'], did['run'])
                self.assertEqual(self.active(lead), [])
                go.set()
                self.at_step(customer, 'ask')
                self.event(lead, 'welcome.answered')
                self.sent(customer, 'nudge')
                self.assertEqual(self.told_both(lead, customer).get('nudge'), 1)
                self.assertLessEqual(self.told_both(lead, customer).get('hello', 0), 1)
                if reply is None:
                    self.assertEqual((self.h.message(did['message'])['status'], self.mails(lead)), ('sent', ['hello']))
                self.at_step(customer, 'more')
                self.quiet(lead)

    def test_x42_in_flight_for_a_run_that_ends_merged_it_moves_nothing(self):
        lead, customer = self.pair(new=['welcome.begun'])
        self.at_step(customer, 'ask')
        reached, go = self.hang(lead)
        did = self.begin(lead, 'welcome.begun')
        self.assertTrue(reached.wait(15 * SLOWNESS))
        self.assertEqual(self.moved(self.merge(lead, customer))[1], {did['run']: 'merged'})
        go.set()
        self.assertEqual(self.h.settled(did['message'])['status'], 'sent')
        self.assertEqual(self.one(customer)['step'], 'ask')
        self.quiet(lead)

    def test_s34_the_answer_names_what_was_cancelled_and_what_is_in_flight(self):
        names = lambda ids: [id[:22] for id in ids]
        for origin in (0, 1):
            pair = self.pair()
            self.event(pair[1 - origin], 'welcome.begun')
            self.at_step(pair[1 - origin], 'ask')
            self.pause(pair[origin])
            did = self.begin(pair[origin], 'welcome.begun')
            self.held(pair[origin])
            gone = self.entry({'did': self.merge(*pair)}, 'left')
            self.assertEqual((gone['run'], names(gone['cancelled']), gone['in_flight']), (did['run'], [did['message']], []), 'of %s' % pair[origin])
        pair = self.pair(new=['welcome.begun'])
        self.at_step(pair[1], 'ask')
        reached, go = self.hang(pair[0])
        did = self.begin(pair[0], 'welcome.begun')
        self.assertTrue(reached.wait(15 * SLOWNESS))
        gone = self.entry({'did': self.merge(*pair)}, 'left')
        self.assertEqual((gone['cancelled'], names(gone['in_flight'])), ([], [did['message']]))

    def test_s48_a_sequence_that_is_paused_stays_so_over_a_merge(self):
        lead, customer = self.pair(old=['halted.begun'])
        self.assertEqual(self.h.http('POST', '/v1/sequences/halted/pause', {})[0], 200)
        self.merge(lead, customer)
        self.event(lead, 'halted.answered')
        self.assertEqual(self.h.http('POST', '/v1/sequences/halted/resume', {})[0], 200)
        self.sent(customer, 'thanks')
        self.at_step(customer, 'calm')
        self.assertEqual(self.told_both(lead, customer), {'thanks': 1})

    # re-entry, keys, places

    def test_s36_never_is_remembered_from_either(self):
        for had, told, name in itertools.product((0, 1), (0, 1), ('once', 'seldom')):
            with self.subTest(had=had, told=told, name=name):
                pair = self.pair()
                self.begin(pair[had], name + '.begun')
                self.event(pair[had], name + '.closed')
                self.merge(*pair)
                did = [d for d in self.event(pair[told], name + '.begun')['did'] if d['sequence'] == name]
                self.assertEqual([(d['what'], d['why']) for d in did], [('not_enrolled', 'reentry')])

    def test_s37_keys_are_remembered_from_both(self):
        lead, customer = self.pair()
        self.event(lead, 'keyed.begun', data={'n': 'a'}), self.event(lead, 'keyed.closed'), self.event(customer, 'keyed.begun', data={'n': 'b'})
        self.merge(lead, customer)
        whats = [self.event(who, 'keyed.begun', data={'n': n})['did'][0]['what'] for who, n in ((customer, 'a'), (lead, 'b'), (lead, 'c'), (customer, 'c'))]
        self.assertEqual(whats, ['not_enrolled', 'not_enrolled', 'enrolled', 'not_enrolled'])

    def test_s54_other_keys_of_a_sequence_are_other_runs(self):
        lead, customer = self.pair()
        runs = {who + seat: self.begin(who, 'seat.begun', data={'seat': seat})['run']
                for who, seat in ((lead, 'a'), (lead, 'b'), (customer, 'b'), (customer, 'c'))}
        left = self.moved(self.merge(lead, customer))[1]
        self.assertEqual(list(left.values()), ['merged'])
        self.assertTrue(set(left) < {runs[lead + 'b'], runs[customer + 'b']})
        self.assertEqual({r['id'] for r in self.active(customer)}, set(runs.values()) - set(left))

    def test_s54_runs_that_may_be_many_at_once_have_no_other_of_the_same_left(self):
        lead, customer = self.pair(old=['many.begun', 'many.begun'], new=['many.begun', 'many.begun', 'many.begun'])
        ids = {r['id'] for who in (lead, customer) for r in self.active(who)}
        did = self.merge(lead, customer)
        self.assertEqual({r['id'] for r in self.active(customer)} | set(self.moved(did)[1]), ids)  # whichever: none is lost
        self.assertFalse({r['id'] for r in self.active(customer)} & set(self.moved(did)[1]))
        self.quiet(lead)

    def test_s32_a_goal_counts_for_its_term_after_the_end_of_either(self):
        lead, customer = self.pair(old=['afterwards.begun', 'afterwards.closed'])
        self.merge(lead, customer)
        self.assertEqual([d['what'] for d in self.event(customer, 'afterwards.won')['did']], ['counted'])
        self.assertEqual([d['what'] for d in self.event(lead, 'afterwards.won')['did']], [])

    def test_s53_of_too_many_runs_none_is_lost_without_a_word(self):
        lead, customer = self.pair(old=['full-odd.begun'], new=['full-even.begun'])
        ids = {r['id'] for who in (lead, customer) for r in self.active(who)}
        self.assertEqual(len(ids), 26)
        did = self.merge(lead, customer)
        self.assertEqual({r['id'] for r in self.active(customer)} | set(self.moved(did)[1]), ids)
        self.quiet(lead)
        self.event(customer, 'other.begun')  # nobody is stuck by it
        self.exit(customer, 'full-0'), self.exit(lead, 'full-1')
        self.assertFalse(self.active(customer, 'full-0') + self.active(customer, 'full-1'))

    def test_s38_who_stands_in_line_comes_in_when_the_other_has_left(self):
        for origin in (0, 1):
            with self.subTest(origin=origin):
                pair = self.pair()
                self.begin(pair[origin], 'lined.begun')
                self.sent(pair[origin], 'hello')
                self.event(pair[origin], 'lined.begun', id='second')
                first = self.one(pair[origin])['id']
                self.merge(*pair)
                self.assertEqual(self.one(pair[1])['id'], first)
                self.event(pair[0], 'lined.won')
                self.h.until(lambda: [r['id'] for r in self.active(pair[1])] not in ([], [first]), what=lambda: self.runs(pair[1]))
                self.h.until(lambda: self.told_both(*pair) == {'hello': 2}, what=lambda: self.told_both(*pair))

    def test_s38_lines_of_both_become_one_line(self):
        pair = self.pair('lined.begun')
        for who in pair:
            self.sent(who, 'hello')
            self.event(who, 'lined.begun')
        self.merge(*pair)
        self.assertEqual(len(self.active(pair[1])), 1)
        for n in (3, 4):  # one of the two that ran and then the two in the line
            self.event(pair[0], 'lined.won')
            self.h.until(lambda: self.told_both(*pair) == {'hello': n}, 5, lambda: (self.told_both(*pair), self.runs(pair[1])))
        self.event(pair[0], 'lined.won')
        self.assertEqual(self.active(pair[1]), [])

    def test_s42_who_waits_for_the_limit_of_entries_comes_in_under_the_new_id(self):
        lead, customer = self.pair(old=['capped.begun', 'capped.begun'])
        self.assertEqual(len(self.active(lead)), 1)
        self.merge(lead, customer)
        self.h.until(lambda: self.told(customer).get('thanks') == 1, what=lambda: (self.runs(customer), self.runs(lead)))
        self.assertEqual(self.told(lead), {'thanks': 1})
        self.quiet(lead)

    def test_s41_who_waits_behind_another_of_the_group_comes_in_under_the_new_id(self):
        lead, customer = self.pair(old=['line-a.begun', 'line-b.begun'])
        self.sent(lead, 'hello')
        self.assertEqual([r['sequence'] for r in self.active(lead)], ['line-a'])
        self.merge(lead, customer)
        self.event(customer, 'line-a.won')
        self.sent(customer, 'nudge')
        self.assertEqual(self.told_both(lead, customer), {'hello': 1, 'nudge': 1})
        self.quiet(lead)

    def test_s41_of_two_of_a_group_none_is_lost(self):
        lead, customer = self.pair(old=['line-a.begun'], new=['line-b.begun'])
        self.sent(lead, 'hello'), self.sent(customer, 'nudge')
        self.merge(lead, customer)
        ends = lambda name: (self.event(lead, name + '.won'), self.h.until(lambda: not self.active(customer, name), 5, lambda: self.runs(customer)))
        for name in [r['sequence'] for r in self.active(customer)]:
            ends(name)
        for name in [r['sequence'] for r in self.active(customer)]:  # who has waited meanwhile
            ends(name)
        self.begin(customer, 'line-a.begun')
        self.h.until(lambda: self.told(customer).get('hello') == 1, what=lambda: self.told(customer))

    def place(self, n, *accounts):
        """So many people of these accounts, in their order."""
        return [self.who('place%d-%d' % (n, i), account=account) for i, account in enumerate(accounts)]

    def test_s64_the_place_of_an_account_is_kept_and_given_back_under_the_new_id(self):
        for n, mine in enumerate(('inc0', 'elsewhere', None)):
            with self.subTest(account=mine):
                lead, customer, waits = self.place(n, 'inc%d' % n, mine, 'inc%d' % n)
                run = self.begin(lead, 'place.begun')['run']
                self.sent(lead, 'hello')
                self.event(waits, 'place.begun')
                self.merge(lead, customer)
                self.assertEqual((self.one(customer)['id'], self.told(waits)), (run, {}))
                time.sleep(0.3)
                self.assertEqual(self.told(waits), {})  # the place is not free
                self.event(lead, 'place.won')
                self.assertEqual(self.ended(customer, run)['reason'], 'goal')
                self.sent(waits, 'hello')
                self.event(waits, 'place.won')

    def test_s64_a_place_is_given_back_when_the_run_ends_merged(self):
        lead, customer, waits = self.place(10, 'won', 'lost', 'won')
        for who in (customer, lead):
            self.begin(who, 'place.begun')
            self.sent(who, 'hello')
        self.event(waits, 'place.begun')
        stays = self.one(customer)['id']
        left = self.moved(self.merge(lead, customer))[1]
        self.assertEqual(list(left.values()), ['merged'])
        if stays in left:  # then the place of its account is free
            self.event(lead, 'place.won')
        self.sent(waits, 'hello')

    def test_s64_who_waits_for_the_place_comes_in_under_the_new_id(self):
        for n, mine in enumerate(('door', None)):
            holder, lead, customer, third = self.place(11 + n, 'door', 'door', mine, 'door')
            self.begin(holder, 'place.begun')
            self.sent(holder, 'hello')
            self.event(lead, 'place.begun')
            self.merge(lead, customer)
            if mine:
                time.sleep(0.3)
                self.assertEqual(self.told_both(lead, customer), {})
            self.event(holder, 'place.won')
            self.sent(customer, 'hello')
            self.assertEqual((self.mails(lead), self.mails(customer)), ([], ['hello']))
            if mine:
                self.event(third, 'place.begun')
                self.assertEqual(self.told(third), {})
            self.event(lead, 'place.won')
            self.event(third, 'place.begun')
            self.sent(third, 'hello')
            self.event(third, 'place.won')

    # waves

    def wave(self, name):
        return self.h.http('GET', '/v1/sequences/%s/waves' % name)[1]['waves'][0]

    def open(self, name):
        status, answer = self.h.http('POST', '/v1/sequences/%s/waves/all/open' % name)
        self.assertEqual(status, 200, answer)

    def test_s56_who_stands_at_the_door_of_a_wave_is_let_in_under_the_new_id(self):
        lead, customer = self.pair(old=['wave.begun'])
        run = self.one(lead)['id']
        self.merge(lead, customer)
        self.assertEqual((self.one(customer)['id'], self.wave('wave')['door'], self.mails(customer)), (run, 1, []))
        self.open('wave')
        mail = self.sent(customer, 'hello')
        self.assertEqual((mail['run'], self.told_both(lead, customer)), (run, {'hello': 1}))
        self.at_step(customer, 'calm')
        self.assertEqual([self.wave('wave')[k] for k in ('door', 'released')], [0, 1])

    def test_s56_of_two_at_the_door_one_is_let_in(self):
        lead, customer = self.pair('wave-both.begun')
        self.assertEqual(list(self.moved(self.merge(lead, customer))[1].values()), ['merged'])
        run = self.one(customer)['id']
        self.assertEqual(self.wave('wave-both')['door'], 1)
        self.open('wave-both')
        self.assertEqual(self.sent(customer, 'hello')['run'], run)
        self.at_step(customer, 'calm')
        self.assertEqual(([self.wave('wave-both')[k] for k in ('door', 'released')], self.told_both(lead, customer)), ([0, 1], {'hello': 1}))

    def test_s33_who_leaves_at_the_door_under_the_old_id_is_not_let_in(self):
        lead, customer = self.pair(old=['wave-left.begun'])
        self.merge(lead, customer)
        self.entry(self.event(lead, 'wave-left.closed'), 'left')
        self.assertEqual(self.wave('wave-left')['door'], 0)
        self.open('wave-left')
        witness = self.pair(new=['wave-left.begun'])[1]
        self.sent(witness, 'hello')
        self.assertEqual(self.told_both(lead, customer), {})

    # chains and many at once

    def test_s54_a_chain_ends_at_the_last(self):
        a, b = self.pair(old=['welcome.begun'])
        c, d = self.pair()
        self.at_step(a, 'ask')
        run = self.one(a)['id']
        self.merge(a, b), self.merge(b, c)
        self.assertEqual((self.one(c)['id'], self.active(a), self.active(b)), (run, [], []))
        self.entry(self.event(a, 'welcome.answered'), 'matched')
        self.sent(c, 'nudge')
        self.event(b, 'other.begun')
        self.assertEqual({r['sequence'] for r in self.active(c)}, {'welcome', 'other'})
        for old, new in ((c, a), (c, b), (b, a)):
            self.assertEqual(self.post_merge(old, new)[0], 409, (old, new))
        self.assertEqual(self.post_merge(a, d)[0], 409)
        self.assertEqual(self.merge(c, d)[0]['what'], 'moved')
        self.assertEqual(self.entry(self.event(a, 'welcome.won'), 'left')['run'], run)
        for who in (a, b, c):
            self.quiet(who)
        self.assertEqual([r['sequence'] for r in self.active(d)], ['other'])

    def test_s54_a_long_chain_built_from_either_end_ends_at_the_last(self):
        for backwards in (False, True):
            people = [who for _ in range(6) for who in self.pair()]
            self.begin(people[0], 'welcome.begun')
            self.at_step(people[0], 'ask')
            links = list(zip(people, people[1:]))
            for old, new in links[::-1] if backwards else links:
                self.assertEqual(self.post_merge(old, new)[0], 200)
            self.entry(self.event(people[0], 'welcome.answered'), 'matched')
            self.sent(people[-1], 'nudge')
            for who in people:
                self.event(who, 'many.begun')
            self.assertEqual((len(self.active(people[-1], 'many')), [self.active(who) for who in people[:-1]]), (12, [[]] * 11))

    def test_s54_all_links_of_chains_at_once(self):
        chains = [[self.pair(old=['other.begun', 'welcome.begun'])[0], *self.pair('welcome.begun'), self.pair()[1]] for _ in range(5)]
        answers = at_once(12, *((self.post_merge, old, new) for chain in chains for old, new in zip(chain, chain[1:])))
        self.assertEqual({status for status, _ in answers}, {200}, answers)
        for chain in chains:
            for who in chain:
                self.entry(self.event(who, 'many.begun'), 'enrolled')
            self.assertEqual(sorted(r['sequence'] for r in self.active(chain[3])), ['many'] * 4 + ['other', 'welcome'])
            self.assertEqual([self.active(who) for who in chain[:3]], [[]] * 3)

    def test_s54_many_into_one_at_once(self):
        leads, customer = [self.pair()[0] for _ in range(12)], self.pair()[1]
        runs = {self.begin(who, 'seat.begun', data={'seat': who})['run'] for who in leads}
        answers = at_once(12, *((self.post_merge, who, customer) for who in leads))
        self.assertEqual({status for status, _ in answers}, {200}, answers)
        self.assertEqual({r['id'] for r in self.active(customer)}, runs)
        for who in leads:
            self.quiet(who)
        self.assertEqual(len([d for d in self.event(leads[7], 'seat.closed')['did'] if d['what'] == 'left']), 12)
        self.h.http('DELETE', '/v1/recipients/' + customer)
        self.gone(*leads, customer)

    def test_s54_repeated_after_the_chain_has_grown_it_has_nothing_to_do(self):
        a, b = self.pair('other.begun')
        c = self.pair()[1]
        self.merge(a, b), self.merge(b, c)
        status, answer = self.post_merge(a, b)
        self.assertEqual((status, answer.get('did')), (200, []), answer)

    def test_s54_into_somebody_who_has_been_merged_is_refused_or_handed_on(self):
        a, b = self.pair(old=['other.begun'])
        c, d = self.pair()
        self.merge(b, c)
        status, answer = self.post_merge(a, b)
        self.assertIn(status, (200, 409), answer)
        self.event(a, 'third.begun')
        last = c if status == 200 else a
        self.assertEqual({r['sequence'] for r in self.active(last)}, {'other', 'third'})
        self.assertFalse(self.active(b))

    def test_s54_the_same_merge_by_many_at_once_moves_each_run_once(self):
        lead, customer = self.pair('welcome.begun', old=['other.begun', 'third.begun'])
        ids = {r['id'] for who in (lead, customer) for r in self.active(who)}
        answers = at_once(8, *[(self.post_merge, lead, customer)] * 8)
        self.assertEqual({status for status, _ in answers}, {200}, answers)
        moved = [d['run'] for _, a in answers for d in a['did'] if d['what'] == 'moved']
        left = [d['run'] for _, a in answers for d in a['did'] if d['what'] == 'left']
        self.assertEqual((len(moved), len(set(moved)), len(left)), (3, 3, 1), answers)
        self.assertEqual({r['id'] for r in self.active(customer)}, ids - set(left))
        self.quiet(lead)

    def test_s54_fifty_pairs_at_once(self):
        pairs = [self.pair('mailed.begun', old=['other.begun']) for _ in range(50)]
        before = self.report('mailed')['left'].get('merged', 0)
        dids = at_once(16, *((self.merge, *pair) for pair in pairs))
        for pair, did in zip(pairs, dids):
            self.assertEqual(list(self.moved(did)[1].values()), ['merged'])
            self.assertEqual(sorted(r['sequence'] for r in self.active(pair[1])), ['mailed', 'other'])
            self.quiet(pair[0])
        for pair in pairs:
            self.at_step(pair[1], 'calm', 'mailed')
        self.assertEqual(self.report('mailed')['left']['merged'] - before, 50)

    def test_s54_of_two_that_contradict_each_other_one_wins_and_both_live(self):
        pairs = [self.pair('other.begun', old=['welcome.begun'], new=['third.begun']) for _ in range(12)]
        answers = at_once(16, *itertools.chain.from_iterable(((self.post_merge, a, b), (self.post_merge, b, a)) for a, b in pairs))
        for i, (a, b) in enumerate(pairs):
            statuses = [status for status, _ in answers[2 * i:2 * i + 2]]
            with self.subTest(statuses=statuses):
                self.assertEqual(sorted(statuses), [200, 409], answers[2 * i:2 * i + 2])
                old, new = (a, b) if statuses[0] == 200 else (b, a)
                self.assertEqual(sorted(r['sequence'] for r in self.active(new)), ['other', 'third', 'welcome'])
                self.quiet(old)
                for who in (old, new):
                    self.assertEqual(self.event(who, 'many.begun')['did'][0]['what'], 'enrolled')
                self.assertEqual(len(self.active(new, 'many')), 2)
                self.assertEqual(self.merge(old, new), [])

    def test_s54_rings_of_three_at_once_end_with_one(self):
        for _ in range(4):
            a, b = self.pair('other.begun')
            c = self.pair('other.begun')[0]
            answers = at_once(3, (self.post_merge, a, b), (self.post_merge, b, c), (self.post_merge, c, a))
            self.assertTrue({s for s, _ in answers} <= {200, 409} and 1 <= [s for s, _ in answers].count(200) <= 2, answers)
            for who in (a, b, c):
                self.event(who, 'many.begun')
            runs = [r['id'] for who in (a, b, c) for r in self.active(who, 'many')]
            self.assertEqual((len(runs), len(set(runs))), (3, 3))
            self.assertEqual(sum(len(self.active(who, 'other')) for who in (a, b, c)), 3 - [s for s, _ in answers].count(200), answers)

    # consent and profile

    def test_s54_what_the_old_one_has_withdrawn_the_new_one_has(self):
        lead, customer = self.pair('mailed.begun')
        for who in (lead, customer):
            self.at_step(who, 'calm')
        self.withdraw(customer, 'sms')
        self.withdraw(lead, 'email')
        self.left(lead, 'opted_out')
        self.merge(lead, customer)
        id = self.h.send(customer, 'bye', {}, channels=['email'])
        self.assertEqual(self.h.settled(id)['deliveries'][0]['reason'], 'opted_out')
        self.h.until(lambda: not self.active(customer), 5, lambda: self.runs(customer))
        self.assertIn('opted_out', [r.get('reason') for r in self.runs(customer, 'mailed')])

    def test_s54_what_the_new_one_has_withdrawn_stays_withdrawn_whatever_the_old_one_has_granted(self):
        lead, customer = self.pair()
        self.withdraw(customer, 'email')
        self.withdraw(lead, 'email', state='granted')
        self.merge(lead, customer)
        self.assertEqual(self.h.settled(self.h.send(customer, 'bye', {}, channels=['email']))['deliveries'][0]['reason'], 'opted_out')

    def test_s35_a_run_that_moves_to_whom_it_cannot_reach_sends_nothing_and_leaves(self):
        lead, customer = self.pair()
        self.withdraw(customer, 'email')
        self.pause(lead)
        did = self.begin(lead, 'mailed.begun')
        self.held(lead)
        self.merge(lead, customer)
        self.assertEqual(self.ended(customer, did['run'])['reason'], 'opted_out')
        self.assertEqual(self.told_both(lead, customer), {})

    def test_s54_a_withdrawal_of_the_old_id_afterwards_holds_for_the_new_one_too(self):
        lead, customer = self.pair('mailed.begun')
        self.at_step(customer, 'calm')
        self.merge(lead, customer)
        self.withdraw(lead, 'email')  # say, by the link in a mail they got before
        self.h.until(lambda: not self.active(customer), 5, lambda: self.runs(customer))
        id = self.h.send(customer, 'bye', {}, channels=['email'])
        self.assertEqual(self.h.settled(id)['deliveries'][0]['reason'], 'opted_out')

    def test_s54_writing_the_old_profile_afterwards_harms_nothing(self):
        lead, customer = self.pair('leaves.begun', old=['welcome.begun'])
        self.at_step(lead, 'ask', 'welcome')
        self.merge(lead, customer)
        before = {r['id'] for r in self.active(customer)}
        self.who(lead, timezone='Asia/Tokyo', role='user')
        self.patch(lead, role='admin', timezone='Europe/Berlin', account='somewhere')
        self.h.cli('recipient', 'import', stdin=json.dumps(person(lead, role='admin', attributes={'blocked': True})) + '\n')
        self.h.http('POST', '/v1/messages', {'recipient': person(lead, role='admin', locale='de'), 'template': 'bye', 'channels': ['in_app'], 'data': {}})
        self.event(lead, 'welcome.answered')
        self.at_step(customer, 'more', 'welcome')
        self.assertLessEqual(before, {r['id'] for r in self.active(customer)})
        time.sleep(0.5)
        self.quiet(lead)
        self.assertLessEqual(before, {r['id'] for r in self.active(customer)})

    def test_s54_writing_the_new_profile_afterwards_reaches_the_runs_that_have_moved(self):
        lead, customer = self.pair(old=['leaves.begun'])
        self.merge(lead, customer)
        self.patch(customer, attributes={'blocked': True})
        self.h.until(lambda: not self.active(customer), 5, lambda: self.runs(customer))
        self.assertEqual(self.runs(customer)[0]['reason'], 'blocked')

    def test_s33_a_profile_on_which_an_exit_holds_is_sent_nothing_and_the_run_leaves(self):
        lead, customer = self.pair()
        self.patch(customer, attributes={'blocked': True})
        self.pause(lead)
        did = self.begin(lead, 'leaves.begun')
        self.held(lead)
        self.merge(lead, customer)
        self.assertEqual(self.ended(customer, did['run'])['reason'], 'blocked')
        self.assertEqual(self.told_both(lead, customer), {})
        lead, customer = self.pair(old=['leaves.begun'])
        self.at_step(lead, 'calm')
        self.patch(customer, attributes={'blocked': True})
        self.merge(lead, customer)
        self.event(customer, 'other.begun')  # at the latest the next fact
        self.h.until(lambda: not self.active(customer, 'leaves'), 5, lambda: self.runs(customer))

    def test_s54_an_import_of_either_afterwards_is_only_an_import(self):
        lead, customer = self.pair(old=['other.begun'])
        self.merge(lead, customer)
        self.h.cli('recipient', 'import', stdin=''.join(json.dumps(person(who, locale='de')) + '\n' for who in (lead, customer)))
        self.assertEqual((self.one(customer)['sequence'], self.active(lead)), ('other', []))
        self.assertEqual(self.merge(lead, customer), [])
        self.assertEqual(self.entry(self.event(lead, 'other.won'), 'left')['why'], 'goal')

    # erased

    def named(self):
        n = next(Merging.serial)
        return [self.who(name + str(n) + 'q') for name in ('zacharias', 'zebulon', 'zoroaster')]

    def gone(self, *whos):
        for who in whos:
            self.h.until(lambda: not remains(self.h, who), 3, lambda: (who, remains(self.h, who)))
            self.assertEqual(self.h.http('GET', '/v1/recipients/' + who)[0], 404)

    def busy(self, *whos):
        """Each has runs of all kinds: that wait, that stand at a door, that have ended, whose message is open; and events with their id."""
        for who in whos:
            self.patch(who, account='of-' + who, attributes={'name': who})
            for name in ('welcome', 'place', 'line-a', 'line-b', 'once', 'lined', 'wave-busy'):
                self.event(who, name + '.begun', id=who + name, data={'of': who})
            self.event(who, 'once.closed', id=who + 'closed', data={'of': who})
            self.event(who, 'lined.begun', id=who + 'again')
            self.sent(who, 'hello')
            self.pause(who)
            self.event(who, 'mailed.begun', data={'of': who})
            self.event(who, 'nobody.asked', data={'of': who})

    def test_s52_who_erases_the_new_id_erases_the_old_one(self):
        lead, customer, _ = self.named()
        self.busy(lead, customer)
        self.merge(lead, customer)
        self.event(lead, 'other.begun', id=lead + 'later', data={'of': lead})
        self.assertIs(self.h.http('DELETE', '/v1/recipients/' + customer)[1]['erased'], True)
        self.gone(lead, customer)

    def test_s52_who_erases_the_new_id_erases_also_an_old_one_that_was_in_no_sequence(self):
        for old, new in itertools.product(((), ('other',), ('once', 'once.closed')), ((), ('other',))):
            with self.subTest(old=old, new=new):
                lead, customer, _ = self.named()
                for who, names in ((lead, old), (customer, new)):
                    for name in names:
                        self.event(who, name if '.' in name else name + '.begun')
                self.merge(lead, customer)
                self.h.http('DELETE', '/v1/recipients/' + customer)
                self.gone(lead, customer)

    def test_s52_who_erases_the_old_id_leaves_nothing_of_it_and_the_new_one_as_it_was(self):
        lead, customer, _ = self.named()
        self.busy(lead, customer)
        self.merge(lead, customer)
        profile, before = self.h.http('GET', '/v1/recipients/' + customer), {r['id'] for r in self.active(customer)}
        self.assertGreater(len(before), 4)
        self.assertIs(self.h.http('DELETE', '/v1/recipients/' + lead)[1]['erased'], True)
        self.gone(lead)
        self.assertEqual((self.h.http('GET', '/v1/recipients/' + customer), {r['id'] for r in self.active(customer)}), (profile, before))
        self.entry(self.event(customer, 'welcome.won'), 'left')

    def test_s52_of_a_chain_all_are_erased_with_the_last_and_the_first_alone_with_the_first(self):
        a, b, c = self.named()
        self.busy(a, b, c)
        self.merge(a, b), self.merge(b, c)
        self.h.http('DELETE', '/v1/recipients/' + a)
        self.gone(a)
        self.event(b, 'other.begun')
        self.assertEqual(len(self.active(c, 'other')), 1)
        self.h.http('DELETE', '/v1/recipients/' + c)
        self.gone(a, b, c)
        a, b, c = self.named()
        self.busy(a, b, c)
        self.merge(a, b), self.merge(b, c)
        self.h.http('DELETE', '/v1/recipients/' + c)
        self.gone(a, b, c)

    def test_s52_the_middle_of_a_chain_takes_with_it_who_was_merged_into_it(self):
        a, b, c = self.named()
        self.busy(a, b, c)
        self.merge(a, b), self.merge(b, c)
        before = {r['id'] for r in self.active(c)}
        self.h.http('DELETE', '/v1/recipients/' + b)
        self.gone(b)
        self.assertEqual({r['id'] for r in self.active(c)}, before)
        self.h.http('DELETE', '/v1/recipients/' + c), self.h.http('DELETE', '/v1/recipients/' + a)
        self.gone(a, b, c)

    def test_s52_an_erased_old_id_that_comes_again_is_somebody_new(self):
        lead, customer, _ = self.named()
        self.event(lead, 'once.begun')
        self.merge(lead, customer)
        self.h.http('DELETE', '/v1/recipients/' + lead)
        self.gone(lead)
        self.who(lead)
        self.begin(lead, 'once.begun')
        self.assertEqual((len(self.active(lead)), len(self.active(customer))), (1, 1))
        self.h.http('DELETE', '/v1/recipients/' + customer)
        self.gone(customer)
        self.assertEqual(len(self.active(lead)), 1)
        self.h.http('DELETE', '/v1/recipients/' + lead)
        self.gone(lead)

    def test_s52_an_erased_pair_that_comes_again_are_two_people(self):
        lead, customer, _ = self.named()
        self.merge(lead, customer)
        self.h.http('DELETE', '/v1/recipients/' + customer)
        self.gone(lead, customer)
        self.who(lead), self.who(customer)
        self.event(lead, 'other.begun')
        self.assertEqual((len(self.active(lead)), len(self.active(customer))), (1, 0))
        self.assertEqual(self.moved(self.merge(customer, lead))[1], {})  # now the other way round

    def test_s52_erased_while_a_mail_of_the_old_id_is_in_flight(self):
        for way in (0, 1):
            pair = self.named()[:2]
            reached, go = self.hang(pair[0])
            self.begin(pair[0], 'welcome.begun')
            self.assertTrue(reached.wait(15 * SLOWNESS))
            self.merge(*pair)
            self.h.http('DELETE', '/v1/recipients/' + pair[way])
            go.set()
            if way:
                self.gone(*pair)
            else:
                self.gone(pair[0])
                self.at_step(pair[1], 'ask')  # what it waited for is gone; it does not wait for ever

    def vanish(self, gone):
        """No key has one of their ids."""
        def left():
            keys = self.h.redis('--scan').split('\n')
            return [(who, key) for who in gone for key in keys if who in key]
        self.h.until(lambda: not left(), 4, left)

    def test_s52_erased_as_soon_as_they_are_merged(self):
        for way in (1, 0):
            pairs = [self.named()[:2] for _ in range(25)]
            for i, pair in enumerate(pairs):
                for who in pair[:1 + i % 2]:
                    self.begin(who, 'welcome.begun', data={'of': who})
                self.merge(*pair)
                self.assertIs(self.h.http('DELETE', '/v1/recipients/' + pair[way])[1]['erased'], True)
            time.sleep(1)  # whatever was still on its way has arrived
            self.vanish([who for pair in pairs for who in pair[:1 + way]])
            self.gone(*(who for pair in pairs[:4] for who in pair[:1 + way]))

    def test_s52_erased_and_merged_at_once(self):
        pairs, chance = [self.named()[:2] for _ in range(60)], random.Random(52)
        for pair in pairs:
            self.event(pair[0], 'third.begun')
            for who in pair:
                self.event(who, 'other.begun', data={'of': who})
        erase = lambda who, delay: (time.sleep(delay), self.h.http('DELETE', '/v1/recipients/' + who))[1]
        answers = [at_once(2, (self.post_merge, *pair), (erase, pair[i % 2], chance.random() * 0.006 * SLOWNESS)) for i, pair in enumerate(pairs)]
        self.assertTrue({merged for (merged, _), _ in answers} <= {200, 404}, answers)
        self.assertEqual({erased for _, (erased, _) in answers}, {200})
        self.vanish([who for i, (pair, ((merged, _), _)) in enumerate(zip(pairs, answers))
                     for k, who in enumerate(pair) if k == i % 2 or i % 2 == 1 and merged == 200])
        for pair in pairs:
            for who in pair:
                self.h.http('DELETE', '/v1/recipients/' + who)
        self.gone(*(who for pair in pairs[:6] for who in pair))


class Circles(Journey):
    """Nobody ever becomes themselves, by whatever ways and processes."""

    def build_up(self):
        h = self.build('sequence: s\ncategory: onboarding\ntrigger: {event: s.begun}\nsteps:\n  - {id: calm, wait: 30d}\n')
        h.start()
        return h

    def event(self, who):
        return self.h.http('POST', '/v1/events', {'recipient': who, 'name': 's.begun'})[0]

    def test_s54_a_long_chain_does_not_close(self):
        h, n = self.build_up(), 19
        for i in range(n):
            self.who('p%d' % i)
        self.assertEqual([h.http('POST', '/v1/recipients/p%d/merge' % i, {'into': 'p%d' % (i + 1)})[0] for i in range(n - 1)], [200] * (n - 1))
        self.assertEqual(h.http('POST', '/v1/recipients/p%d/merge' % (n - 1), {'into': 'p0'})[0], 409)
        self.assertEqual([self.event('p0'), self.event('p%d' % (n - 1))], [202, 202])

    def test_s54_two_services_that_merge_the_other_way_round_do_not_both(self):
        h, port = self.build_up(), free_port()
        own, h.port = h.port, port
        h.settings['http'] = {'listen': '127.0.0.1:%d' % port}
        h.write()
        h.start('--role', 'api')
        both = []

        def merge(port, who, into):
            request = urllib.request.Request('http://127.0.0.1:%d/v1/recipients/%s/merge' % (port, who), data=json.dumps({'into': into}).encode(),
                                             headers={'Content-Type': 'application/json'}, method='POST')
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status
            except urllib.error.HTTPError as refused:
                return refused.code
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for i in range(60):
                a, b = self.who('a%d' % i), self.who('b%d' % i)
                answers = [f.result() for f in (pool.submit(merge, own, a, b), pool.submit(merge, port, b, a))]
                self.assertTrue(set(answers) <= {200, 409}, answers)
                both += [(a, b)] if answers == [200, 200] else []
                self.assertEqual([self.event(a), self.event(b)], [202, 202])  # whatever has become of them, they can be told
        self.assertEqual(both, [])


class Digests(Journey):
    DEFINITIONS = """sequence: digest
category: onboarding
trigger: {event: activity}
reentry: always
steps:
  - {id: gather, collect: {until: {at: "00:00"}, most: 100, keep: 20}}
  - {id: tell, send: {template: tell, channels: [email], data: {what: {from: steps.gather.total}}}}
"""

    def test_s29_what_both_have_gathered_is_in_one_digest(self):
        lead, customer = self.who('lea'), self.who('carl')
        for who, n in ((lead, 3), (customer, 2)):
            for i in range(n):
                self.h.http('POST', '/v1/events', {'recipient': who, 'name': 'activity', 'data': {'n': i}})
        did = self.h.http('POST', '/v1/recipients/lea/merge', {'into': 'carl'})[1]['did']
        self.assertEqual([d['items'] for d in did if d['what'] == 'gathered'], [5], did)
        did = self.h.http('POST', '/v1/events', {'recipient': lead, 'name': 'activity'})[1]['did']
        self.assertEqual(did[0]['items'], 6)


class Doors(Merging):
    def test_s54_who_may_merge_is_who_may_write_people(self):
        keys = [{'name': 'crm', 'secret': 'a' * 24, 'scopes': ['enqueue']}, {'name': 'eye', 'secret': 'c' * 24, 'scopes': ['read']},
                {'name': 'ops', 'secret': 'b' * 24, 'scopes': ['manage']}]
        h = self.build(sequence('other', CALM), http={'keys': keys})
        h.start()
        as_key = lambda k: {'Authorization': 'Bearer ' + k * 24} if k else {}
        for who in ('l_9', 'c_9'):
            self.assertEqual(h.http('PUT', '/v1/recipients/' + who, person(who), headers=as_key('b'))[0], 200)
        statuses = [h.http('POST', '/v1/recipients/l_9/merge', {'into': 'c_9'}, headers=as_key(k))[0] for k in (None, 'x', 'a', 'c', 'b')]
        self.assertEqual(statuses, [401, 401, 403, 403, 200])
        neighbour = [h.http('PATCH', '/v1/recipients/l_9', {'locale': 'de'}, headers=as_key(k))[0] for k in (None, 'x', 'c', 'b')]
        self.assertEqual(neighbour, [401, 401, 403, 200])


class PutOff(Merging):
    """Hours are a second: quiet hours and caps end while one looks on."""
    WELCOME = sequence('welcome', HELLO + ASK % ('ask', 'welcome.answered', 'run') + CALM)

    def put_off(self, lead, reason):
        did = self.begin(lead, 'welcome.begun')
        self.h.until(lambda: (self.h.delivery(did['message']) or {}).get('reason') == reason, what=lambda: self.h.message(did['message']))
        return did

    def late(self, lead, customer, did):
        """They are merged, and what was put off is cancelled."""
        self.merge(lead, customer)
        self.assertEqual(self.h.message(did['message'])['status'], 'cancelled')
        self.assertEqual(self.mails(lead).count('hello'), 0)

    def arrived(self, lead, customer, did):
        """When the mail has been sent to the new address."""
        self.h.until(lambda: self.mails(customer), 30, lambda: self.messages(customer))
        self.at_step(customer, 'ask')
        mail = [m for m in self.messages(customer) if m['template'] == 'hello']
        self.assertEqual([(m['run'], m['step'], m['status']) for m in mail], [(did['run'], 'hello', 'sent')])
        return moment(mail[0]['deliveries'][0]['sent_at'])

    def test_s54_what_quiet_hours_put_off_is_cancelled_there_and_sent_once_to_the_new_address(self):
        now = datetime.datetime.now(UTC)
        until = (now + datetime.timedelta(hours=5)).replace(second=0, microsecond=0)
        h = self.build(self.WELCOME)
        h.settings['categories'] = {**CATEGORIES, 'onboarding': {'kind': 'service', 'quiet_hours': 'defer'}}
        h.settings['quiet_hours'] = {'from': '%02d:00' % ((now.hour - 2) % 24), 'to': until.strftime('%H:%M'), 'days': 'all', 'channels': ['email']}
        h.write()
        h.start('--clock-rate', '3600')
        pairs = [self.pair() for _ in range(3)]
        dids = [self.put_off(lead, 'quiet_hours') for lead, _ in pairs]
        for pair, did in zip(pairs, dids):
            self.late(*pair, did)
        sent = [self.arrived(*pair, did) for pair, did in zip(pairs, dids)]
        self.assertTrue(all(at >= until for at in sent), (sent, until))
        time.sleep(0.5)
        self.assertEqual([(self.mails(lead), self.mails(customer)) for lead, customer in pairs], [([], ['hello'])] * 3)

    def test_s54_what_a_cap_put_off_is_cancelled_there_and_sent_once_to_the_new_address(self):
        h = self.build(self.WELCOME, caps=[{'name': 'few', 'max': 1, 'per': '6h', 'over': 'defer'}])
        h.start('--clock-rate', '7200')
        lead, customer = self.pair()
        self.h.settled(self.h.send(lead, 'bye', {}, channels=['email']))
        did = self.put_off(lead, 'cap:few')
        self.late(lead, customer, did), self.arrived(lead, customer, did)
        self.h.until(lambda: self.h.settled(self.h.send(lead, 'bye', {}, channels=['email'])), 15)  # there the cap is over
        self.assertEqual((self.mails(lead), self.mails(customer)), (['bye'] * 2, ['hello']))

    def test_s23_a_time_of_day_becomes_the_one_where_the_new_one_lives(self):
        at = (datetime.datetime.now(UTC) + datetime.timedelta(hours=18)).replace(minute=0, second=0, microsecond=0)
        h = self.build(sequence('dawn', '  - {id: sleep, wait: {at: "%s"}}\n' % at.strftime('%H:%M') + HELLO + CALM))
        h.start('--clock-rate', '14400')
        lead, customer = self.pair()
        self.patch(customer, timezone='Etc/GMT-4')  # where it is four hours later
        self.begin(lead, 'dawn.begun')
        self.merge(lead, customer)
        self.h.until(lambda: self.mails(customer), 20, lambda: self.runs(customer))
        sent = moment(self.sent(customer, 'hello')['deliveries'][0]['sent_at'])
        wanted = at - datetime.timedelta(hours=4)
        self.assertTrue(wanted <= sent < wanted + datetime.timedelta(hours=3 * SLOWNESS), (wanted, sent))
        self.assertEqual(self.mails(lead), [])

    def test_s8_a_date_of_both_is_kept_once_and_by_the_new_one(self):
        h = self.build(sequence('birthday', HELLO, 'reentry: {per: date}\n', '{date: recipient.attributes.birthday, before: 0d, at: "00:00"}'))
        h.start('--clock-rate', '86400')
        day = (datetime.datetime.now(UTC) + datetime.timedelta(days=4)).strftime('%Y-%m-%d')
        pairs = [self.pair(attributes={'birthday': day}) for _ in range(3)]
        for pair in pairs:
            self.merge(*pair)
        witness = self.who('witness', attributes={'birthday': (datetime.datetime.now(UTC) + datetime.timedelta(days=6)).strftime('%Y-%m-%d')})
        self.h.until(lambda: self.mails(witness), 20, lambda: self.timeline(witness))
        self.assertEqual([(self.mails(lead), self.mails(customer)) for lead, customer in pairs], [([], ['hello'])] * 3)


class Storms(Merging):
    """Events come to both ids from several sides while these become one."""
    COUNT = sequence('count', '  - {id: over, end: seen}\n', 'reentry: always\nwhile_running: parallel\n', '{event: tick}')
    STAND = sequence('stand', HELLO + CALM, 'reentry: never\n' + ENDS)
    SEATS = sequence('seats', CALM, 'key: event.seat\nreentry: always\n' + ENDS)

    def tell(self, who, id, name='tick', **more):
        """The event, until it is taken, as a producer repeats it; how often it was told to come again."""
        for again in range(50):
            status, answer = self.h.http('POST', '/v1/events', {'recipient': who, 'name': name, 'id': id, **more})
            if status == 202:
                return answer['status'], again
            self.assertEqual(status, 503, answer)
            time.sleep(0.02)
        self.fail('an event is never taken: %s' % answer)

    def test_s54_each_event_counts_once_whichever_id_it_names_and_whenever(self):
        self.storm(1)

    def test_s10_an_event_that_is_told_twice_meanwhile_counts_once(self):
        self.storm(2)

    def storm(self, told):
        h = self.build('---\n'.join([self.COUNT, self.STAND, self.SEATS]))
        h.start()
        pairs = [self.pair() for _ in range(4)]
        for pair in pairs:
            self.event(pair[0], 'stand.begun'), self.event(pair[1], 'seats.begun', data={'seat': 'first'})
        chance, each = random.Random(54), 40
        jobs = [(pair[chance.randrange(2)], '%s-%d' % (pair[0], i)) for pair in pairs for i in range(each)]
        chance.shuffle(jobs)
        known = collections.Counter()
        def post(part):
            for who, id in part:
                for _ in range(told):
                    known[self.tell(who, id)[0]] += 1
        def seats(pair):
            for i in range(5):
                self.tell(pair[i % 2], 'seat-%d' % i, 'seats.begun', data={'seat': 'n%d' % i})
        def join(pair):
            time.sleep(chance.random() * 0.2)
            return self.merge(*pair)
        at_once(14, *((post, jobs[i::6]) for i in range(6)), *((seats, pair) for pair in pairs), *((join, pair) for pair in pairs))
        self.assertEqual(known, {k: n for k, n in (('taken', len(jobs)), ('known', len(jobs) * (told - 1))) if n})
        self.h.until(lambda: self.report('count')['enrolled'] == len(jobs), 5, lambda: self.report('count'))
        self.balance('count', 0)
        for pair in pairs:
            self.quiet(pair[0])
            self.assertEqual(len([r for r in self.active(pair[1])]), 1 + 6, self.active(pair[1]))
        self.balance('stand', 4), self.balance('seats', 24)
        self.assertEqual({k: n for pair in pairs for k, n in self.told_both(*pair).items()}, {'hello': 1})
        if told > 1:
            self.assertEqual([self.tell(who, id)[0] for who, id in jobs[:40]], ['known'] * 40)

    def test_s29_s54_of_what_is_gathered_meanwhile_nothing_is_in_two_digests(self):
        h = self.build(sequence('gather', '  - {id: gather, collect: {until: 3s}}\n  - {id: mail, send: {template: digest, channels: [email], '
                                          'data: {total: {from: steps.gather.total}}}}\n', 'reentry: always\n', '{event: tick}'))
        for part, text in DIGEST.items():
            write(os.path.join(h.settings['templates'], 'digest', part), text)
        h.start()
        pairs = [self.pair() for _ in range(3)]
        def storm(pair, k):
            for i in range(8):
                self.tell(pair[0], 'g%d-%d' % (k, i))
        at_once(9, *((storm, pair, k) for pair in pairs for k in range(2)), *((self.merge, *pair) for pair in pairs))
        totals = lambda pair: [int(s.split()[1]) for who in pair for s in self.mails(who)]
        for pair in pairs:
            self.h.until(lambda: totals(pair), 20, lambda: self.runs(pair[1]))
        time.sleep(0.5)
        self.assertEqual([sum(totals(pair)) for pair in pairs], [16] * 3, [totals(pair) for pair in pairs])
        self.assertEqual([self.mails(pair[0]) for pair in pairs], [[]] * 3)

    def test_s61_s54_account_events_meanwhile_reach_each_person_once(self):
        h = self.build(sequence('company', '  - {id: over, end: seen}\n', 'reentry: always\nwhile_running: parallel\n', '{event: tick, of: account}'))
        h.start()
        pairs = [self.pair(account='acme') for _ in range(5)]
        for lead, customer in pairs:
            self.patch(customer, account='other')
        def company():
            for i in range(25):
                for _ in range(2):
                    self.assertEqual(h.http('POST', '/v1/events', {'account': 'acme', 'name': 'tick', 'id': 't%d' % i})[0], 202)
        at_once(6, (company,), *((lambda pair: (time.sleep(0.05), self.merge(*pair)), pair) for pair in pairs))
        self.h.until(lambda: self.report('company')['enrolled'] >= 125, 10, lambda: self.report('company'))
        time.sleep(0.3)
        self.assertEqual(self.report('company')['enrolled'], 125)
        self.balance('company', 0)


class Killed(Merging):
    CHAIN = sequence('chain', HELLO + '  - {id: pause, wait: 1s}\n' + NUDGE + CALM, 'reentry: never\n' + ENDS)
    ASKED = sequence('asked', ASK % ('ask', 'asked.answered', 'run') + THANKS + CALM)

    def kill(self, p):
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.h.processes.remove(p)
        self.h.redis_end()

    def test_x61_killed_at_any_moment_and_repeated_each_run_is_there_once_and_no_message_went_to_both(self):
        chance = random.Random(61)
        h = self.build('---\n'.join([self.CHAIN, self.ASKED, sequence('place', CALM, GROUP % ('place', 'account', 'queue') + ENDS)]), worker={'lease': '1s'})
        p = h.start()
        seen, everybody = {}, []
        for round in range(4):
            pairs = [self.pair(account='r%d' % round) for _ in range(10)]
            for i, (lead, customer) in enumerate(pairs):
                if i % 5 == 4:
                    self.pause(lead)
                for who, names in ((lead, ['chain.begun', 'asked.begun']), (customer, ['chain.begun'] if i % 3 == 2 else [])):
                    for name in names:
                        seen.setdefault((lead, customer), {}).setdefault(name.split('.')[0], []).append(self.begin(who, name)['run'])
            self.event(pairs[0][0], 'place.begun'), self.event(pairs[1][0], 'place.begun')
            everybody += pairs
            delay = chance.random() * 0.03 * SLOWNESS
            ended = threading.Timer(delay, self.kill, (p,))
            def attempt(pair):
                try:
                    return self.post_merge(*pair)[0]
                except OSError:
                    return None
            ended.start()
            at_once(4, *((attempt, pair) for pair in pairs))
            ended.join()
            p = h.start()
            for pair in pairs[::2]:
                self.assertIn(attempt(pair), (200, 409))
        for pair in everybody:  # repeated, all are merged
            self.assertEqual(self.post_merge(*pair)[0], 200, pair)
        for lead, customer in everybody:
            self.at_step(customer, 'calm', 'chain')
            self.event(lead, 'asked.answered')
            self.sent(customer, 'thanks')
            self.at_step(customer, 'calm', 'asked')
        for lead, customer in everybody:
            with self.subTest(pair=(lead, customer)):
                self.quiet(lead)
                for name, ids in seen[lead, customer].items():
                    active = [r['id'] for r in self.active(customer, name)]
                    self.assertEqual(len(active), 1, self.runs(customer))
                    self.assertIn(active[0], ids)
                    others = [r['reason'] for who in (lead, customer) for r in self.runs(who, name) if r['id'] in ids and r['id'] != active[0]]
                    self.assertEqual(others, ['merged'] * (len(ids) - 1), (self.runs(lead), self.runs(customer)))
                messages = self.messages(lead) + self.messages(customer)
                steps = collections.Counter((m['run'], m['step']) for m in messages if m['status'] not in ('cancelled', 'suppressed'))
                self.assertEqual([k for k, n in steps.items() if n > 1], [], messages)
                mails = self.told_both(lead, customer)
                self.assertLessEqual(mails.get('hello', 0), len(seen[lead, customer]['chain']))
                self.assertLessEqual(mails.get('nudge', 0), len(seen[lead, customer]['chain']))
                self.assertEqual(mails.get('thanks'), 1)
        self.balance('chain', 40), self.balance('asked', 40)
        for round in range(4):  # the place of the account is passed on
            holders = [c for l, c in everybody[round * 10:round * 10 + 2]]
            self.h.until(lambda: sum(len(self.active(c, 'place')) for c in holders) >= 1, 10, lambda: [self.runs(c, 'place') for c in holders])
            first = next(c for c in holders if self.active(c, 'place') and not any(r.get('step') is None for r in self.active(c, 'place')))
            self.event(first, 'place.won')
            other = next(c for c in holders if c != first)
            self.h.until(lambda: any(r.get('step') == 'calm' for r in self.active(other, 'place')), 10, lambda: self.runs(other, 'place'))

    def test_x61_killed_while_a_mail_is_handed_over_and_merged_it_comes_to_one_of_them(self):
        h = self.build(self.CHAIN, worker={'lease': '1s'})
        p = h.start()
        pairs = [self.pair() for _ in range(3)]
        reached, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)
        h.smtp.script = lambda verb, arg, session: (reached.set(), go.wait(60), '451 4.3.0 later')[2] if verb == 'RCPT' and not go.is_set() else None
        for lead, _ in pairs:
            self.begin(lead, 'chain.begun')
        self.assertTrue(reached.wait(15 * SLOWNESS))
        for pair in pairs:
            self.merge(*pair)
        self.kill(p)
        go.set()
        h.start()
        for lead, customer in pairs:
            self.at_step(customer, 'calm')
            self.assertEqual(self.told_both(lead, customer), {'hello': 1, 'nudge': 1})
            self.assertEqual(self.mails(customer)[-1], 'nudge')

    def test_x61_two_services_merge_the_same_people_at_once(self):
        h = self.build('---\n'.join([self.CHAIN, self.ASKED]))
        h.start()
        ports = [h.port]
        config, port, settings = h.config, h.port, h.settings
        h.config, h.port = os.path.join(h.dir, 'beside.yaml'), free_port()
        h.settings = {**settings, 'http': {**settings['http'], 'listen': '127.0.0.1:%d' % h.port}}
        h.write()
        h.start()
        ports.append(h.port)
        h.config, h.port, h.settings = config, port, settings
        def post(port, old, new):
            request = urllib.request.Request('http://127.0.0.1:%d/v1/recipients/%s/merge' % (port, old), json.dumps({'into': new}).encode(),
                                             {'Content-Type': 'application/json'})
            try:
                with urllib.request.urlopen(request, timeout=20) as r:
                    return r.status, json.loads(r.read())
            except urllib.error.HTTPError as e:
                return e.code, json.loads(e.read())
        pairs = [self.pair('chain.begun', old=['asked.begun']) for _ in range(10)]
        answers = at_once(16, *((post, port, *pair) for pair in pairs for port in ports * 2))
        self.assertEqual({s for s, _ in answers}, {200}, [a for a in answers if a[0] != 200])
        moved = [d['run'] for _, a in answers for d in a['did'] if d['what'] == 'moved']
        self.assertEqual(len(moved), len(set(moved)))
        for lead, customer in pairs:
            self.at_step(customer, 'calm', 'chain')
            self.assertEqual(sorted(r['sequence'] for r in self.active(customer)), ['asked', 'chain'])
            self.quiet(lead)
        self.balance('chain', 10), self.balance('asked', 10)


if __name__ == '__main__':
    unittest.main()
