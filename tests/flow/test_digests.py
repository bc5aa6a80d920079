"""Digests: what is gathered for a person while a window is open, closed at the right instant, and each thing told in exactly one of them."""
import collections, datetime, http.client, json, math, os, random, re, signal, threading, time, unittest

from house import SLOWNESS, person
from test_sequences import NDJSON, UTC, Journey, define, house, moment, seconds, write

DIGEST = {'template.yaml': 'category: onboarding\nchannels: [email]\ndata:\n  items: { type: array, required: true, sample: [{ n: 1 }] }\n'
                           '  total: { type: integer, required: true, sample: 1 }\n',
          'email.subject.mustache': 'digest {{total}}', 'email.text.mustache': '{{#items}}[{{n}}]{{/items}}\n'}
WINDOW = math.ceil(SLOWNESS)  # seconds in which a few requests are surely answered


def sequence(name, collect, more='', after=''):
    """One that gathers NAME.item of a project and mails it."""
    return """sequence: %s
category: onboarding
trigger: {event: %s.item, where: {event.kind: {ne: noise}}}
key: event.project
reentry: always
%ssteps:
  - {id: gather, collect: {%s}}
  - {id: mail, send: {template: digest, channels: [email], data: {items: {from: steps.gather.items}, total: {from: steps.gather.total}}}}
%s""" % (name, name, more, collect, after)


def answers_of(text):
    """The answers to lines; that to a single one has been read already."""
    return [json.loads(line) for line in text.splitlines()] if isinstance(text, str) else [text]


def gathering(*definitions, **settings):
    h = house('---\n'.join(definitions), **settings)
    for part, text in DIGEST.items():
        write(os.path.join(h.settings['templates'], 'digest', part), text)
    return h


class Gathering(Journey):
    @classmethod
    def setUpClass(cls):
        if cls.DEFINITIONS:
            cls.h = gathering(*cls.DEFINITIONS)
            cls.addClassCleanup(cls.h.close)
            cls.h.start(*cls.OPTIONS)

    def build(self, *definitions, **settings):
        self.h = gathering(*definitions, **settings)
        self.addCleanup(self.h.close)
        return self.h

    def item(self, who, n, name, project='p', **data):
        return {'recipient': who, 'name': name + '.item', 'id': 'i-%s' % n, 'data': {'n': n, 'project': project, **data}}

    def post(self, *events):
        """These events as lines of one request; the answers, all of which must have been taken or known."""
        status, text = self.h.http('POST', '/v1/events', raw='\n'.join(json.dumps(e) for e in events).encode(), type=NDJSON)
        self.assertIn(status, (200, 202), text)
        answers = answers_of(text)
        self.assertTrue(all(a['status'] in ('taken', 'known', 'kept') for a in answers), text)
        return answers

    def items(self, who, name, *numbers, **data):
        return self.post(*(self.item(who, n, name, **data) for n in numbers))

    def digests(self, who):
        """Of each mail the total and the items, in the order in which they were accepted; a mail said twice counts once."""
        found = {}
        for mail in list(self.h.smtp.accepted):
            subject = str(mail.parse()['Subject'])
            if mail.recipient.startswith(who + '@') and subject.startswith('digest '):
                found[mail.parse()['Message-ID']] = (int(subject.split()[1]), re.findall(r'\[(.*?)\]', mail.parse().get_body(('plain',)).get_content()))
        return list(found.values())

    def digest(self, who, n=1):
        """Their digests, items sorted, once there are n of them and everybody has left."""
        self.h.until(lambda: len(self.digests(who)) >= n and not self.active(who), what=lambda: (self.digests(who), self.runs(who), self.messages(who)))
        found = self.digests(who)
        self.assertEqual(len(found), n, found)
        return sorted((total, sorted(items)) for total, items in found)

    def passed(self, span):
        end = time.monotonic() + span
        self.h.until(lambda: time.monotonic() > end)

    def whats(self, answer):
        return [d['what'] for d in answer['did']]


class Digests(Gathering):
    DEFINITIONS = (
        sequence('feed', 'until: %ds' % WINDOW, 'exit: [{event: feed.closed, reason: closed}]\n'),
        sequence('full', 'until: 30d, most: 3'), sequence('few', 'until: 30d, most: 5, keep: 2'),
        sequence('flow', 'quiet: %ds, most_time: %ds, keep: 100' % (2 * WINDOW, 4 * WINDOW)),
        sequence('pick', 'until: %ds, remove: {event: pick.deleted, match: event.n}' % WINDOW),
        sequence('teller', 'until: %ds, first: {template: hello, channels: [in_app]}' % WINDOW),
        sequence('flood', 'quiet: 1s, most_time: 20s, most: 40, keep: 100'),
        sequence('twice', 'until: %ds' % WINDOW, after='  - {id: again, collect: {until: 30d, most: 2}}\n'
                 '  - {id: remail, send: {template: digest, channels: [email], data: {items: {from: steps.again.items}, total: {from: steps.again.total}}}}\n'))

    def test_two_in_one_instant_are_one_digest(self):
        first, second = self.items(self.who('d1'), 'feed', 'a', 'b')
        opened, gathered = self.entry(first, 'enrolled'), self.entry(second, 'gathered')
        self.assertEqual((gathered['sequence'], gathered['run'], self.whats(second)), ('feed', opened['run'], ['gathered']))
        self.assertEqual(self.digest('d1'), [(2, ['a', 'b'])])
        self.assertEqual([r['id'] for r in self.runs('d1')], [opened['run']])

    def test_one_alone_is_a_digest(self):
        self.items(self.who('d2'), 'feed', 'a')
        self.assertEqual(self.digest('d2'), [(1, ['a'])])

    def test_each_key_has_a_digest_of_its_own(self):
        who = self.who('d3')
        self.post(*(self.item(who, n, 'feed', project) for n, project in zip('abcdef', 'xyxyxy')))
        self.assertEqual(self.digest(who, 2), [(3, ['a', 'c', 'e']), (3, ['b', 'd', 'f'])])
        self.assertEqual(sorted(r['key'] for r in self.runs(who)), ['x', 'y'])

    def test_each_person_has_a_digest_of_their_own(self):
        self.post(*(self.item(self.who('d4-%d' % (i % 2)), i, 'feed') for i in range(6)))
        self.assertEqual([self.digest('d4-%d' % i) for i in (0, 1)], [[(3, ['0', '2', '4'])], [(3, ['1', '3', '5'])]])

    def test_a_repeated_event_is_no_second_item(self):
        answers = self.items(self.who('d5'), 'feed', *'aabab')
        self.assertEqual([a['status'] for a in answers], ['taken', 'known', 'taken', 'known', 'known'])
        self.assertEqual(self.digest('d5'), [(2, ['a', 'b'])])

    def test_what_does_not_trigger_is_not_gathered(self):
        who = self.who('d6')
        self.items(who, 'feed', 'a')
        self.items(who, 'feed', 'noise', kind='noise')
        self.assertEqual(self.whats(self.post({**self.item(who, 'old', 'feed'), 'backfill': True})[0]), [])
        self.assertEqual(self.digest(who), [(1, ['a'])])

    def test_the_window_is_fixed_when_it_opens(self):
        who, n = self.who('d7'), 0
        while not self.digests(who):  # things come all the time
            self.items(who, 'feed', n)
            n += 1
            self.passed(0.1)
        self.h.until(lambda: not self.active(who))
        runs, told = {r['id']: r for r in self.runs(who)}, self.messages(who)
        for message in told:
            apart = moment(message['send_at']) - moment(runs[message['run']]['started'])
            self.assertTrue(seconds(WINDOW - 0.05) <= apart < seconds(WINDOW + 1.5 * SLOWNESS), apart)
        self.assertEqual((sum(total for total, _ in self.digests(who)), len(told)), (n, len(runs)))

    def test_enough_of_it_closes_early(self):
        self.items(self.who('d8'), 'full', *'abc')
        self.assertEqual(self.digest('d8'), [(3, ['a', 'b', 'c'])])

    def test_what_comes_after_the_closing_opens_the_next_also_while_the_mail_has_not_gone(self):
        self.pause(self.who('d9'))
        answers = self.items('d9', 'full', *'abcd')
        self.assertEqual([a['did'][0]['what'] for a in answers], ['enrolled', 'gathered', 'gathered', 'enrolled'], answers)
        self.held('d9')
        self.assertEqual(self.whats(self.items('d9', 'full', 'e')[0]), ['gathered'])
        self.items('d9', 'full', 'f')
        self.patch('d9', preferences={'pause_until': None})
        self.assertEqual(self.digest('d9', 2), [(3, ['a', 'b', 'c']), (3, ['d', 'e', 'f'])])

    def test_the_newest_are_told_and_all_are_counted(self):
        self.items(self.who('d10'), 'few', *'abcde')
        self.assertEqual(self.digest('d10'), [(5, ['d', 'e'])])

    def test_quiet_closes_and_a_stream_that_is_never_quiet_is_closed_in_the_end(self):
        who, n = self.who('d11'), 0
        opened = datetime.datetime.now(UTC)
        while not self.digests(who):
            self.items(who, 'flow', n)
            n += 1
            self.passed(0.3)
            self.assertLess(datetime.datetime.now(UTC) - opened, seconds(4 * WINDOW + 3 * SLOWNESS))
        self.assertGreaterEqual(datetime.datetime.now(UTC) - opened, seconds(4 * WINDOW))
        last = self.items(who, 'flow', n)[0]
        self.entry(last, 'gathered' if 'gathered' in self.whats(last) else 'enrolled')
        n, last = n + 1, datetime.datetime.now(UTC)
        digests = self.digest(who, 2)
        self.assertEqual(sum((total for total, _ in digests)), n)
        self.assertEqual(sorted(int(i) for _, items in digests for i in items), list(range(n)))
        second = max(moment(m['send_at']) for m in self.listed(who))
        self.assertTrue(seconds(2 * WINDOW - 1) <= second - last < seconds(2 * WINDOW + 1.5 * SLOWNESS), second - last)

    def test_what_is_deleted_meanwhile_is_not_told(self):
        who = self.who('d12')
        deleted = lambda n: {'recipient': who, 'name': 'pick.deleted', 'id': 'x-' + n, 'data': {'n': n, 'project': 'p'}}
        self.items(who, 'pick', *'abcd')
        self.post(deleted('a'), deleted('c'), deleted('z'))  # the opener, too
        self.assertEqual(len(self.active(who)), 1)
        self.assertEqual(self.digest(who), [(2, ['b', 'd'])])

    def test_where_everything_was_deleted_nothing_is_sent(self):
        who = self.who('d13')
        self.items(who, 'pick', *'ab')
        self.post(*({'recipient': who, 'name': 'pick.deleted', 'data': {'n': n, 'project': 'p'}} for n in 'ab'))
        self.left(who)
        self.assertEqual((self.told(who), self.digests(who)), ({}, []))
        self.assertEqual(self.whats(self.items(who, 'pick', 'c')[0]), ['enrolled'])

    def test_the_first_may_be_told_at_once_beside_the_digest(self):
        self.items(self.who('d14'), 'teller', *'abc')
        self.assertEqual(self.told('d14'), {'hello': 1})  # no waiting
        self.assertEqual(self.digest('d14'), [(3, ['a', 'b', 'c'])])
        self.assertEqual(self.told('d14'), {'hello': 1, 'digest': 1})

    def test_an_exit_closes_the_window_and_tells_nothing(self):
        who = self.who('d15')
        self.items(who, 'feed', *'ab')
        self.assertEqual(self.entry(self.event(who, 'feed.closed'), 'left')['why'], 'closed')
        self.items(who, 'feed', 'c')
        self.assertEqual(self.digest(who), [(1, ['c'])])
        self.assertEqual(len(self.runs(who)), 2)

    def test_a_sequence_may_gather_twice(self):
        self.items(self.who('d16'), 'twice', *'ab')
        self.at_step('d16', 'again')
        self.assertEqual(self.digests('d16'), [(2, ['a', 'b'])])
        answers = self.items('d16', 'twice', *'cd')
        self.assertEqual(self.entry(answers[0], 'gathered')['run'], self.runs('d16')[0]['id'])
        self.assertEqual(self.digest('d16', 2), [(2, ['a', 'b']), (2, ['c', 'd'])])
        self.assertEqual(len(self.runs('d16')), 1)

    def test_three_hundred_and_a_fifth_of_them_twice_are_three_hundred(self):
        who, chance = self.who('d17'), random.Random(17)
        numbers = list(range(300)) + chance.sample(range(300), 60)
        chance.shuffle(numbers)
        taken, lock = collections.Counter(), threading.Lock()

        def producer(mine):
            while mine:  # what was not answered well is said again
                raw = '\n'.join(json.dumps(self.item(who, n, 'flood')) for n in mine[:30]).encode()
                answers = answers_of(self.h.http('POST', '/v1/events', raw=raw, type=NDJSON)[1])
                with lock:
                    taken.update(a['status'] for a in answers)
                mine = [n for n, a in zip(mine[:30], answers) if a['status'] not in ('taken', 'known')] + mine[30:]
        threads = [threading.Thread(target=producer, args=(numbers[i::4],)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual((taken['taken'], taken['known']), (300, 60), taken)
        self.h.until(lambda: not self.active(who), 30, lambda: self.runs(who))
        digests = self.digests(who)
        self.assertEqual(sum(total for total, _ in digests), 300, [total for total, _ in digests])
        self.assertEqual(sorted(int(n) for _, items in digests for n in items), list(range(300)))
        self.assertGreaterEqual(len(digests), 8)


class Calendar(Gathering):
    """A second is five hours; the windows close at a time of day."""
    AHEAD, SLACK = datetime.timedelta(hours=10), datetime.timedelta(hours=5.5)
    OPTIONS = ('--clock-rate', str(round(18000 / SLOWNESS)))

    @classmethod
    def setUpClass(cls):
        cls.target = (datetime.datetime.now(UTC) + cls.AHEAD).replace(second=0, microsecond=0)
        at = cls.target.strftime('%H:%M')
        other = 'mon tue wed thu fri sat sun'.split()[(cls.target + datetime.timedelta(days=1)).weekday()]
        cls.DEFINITIONS = (sequence('daily', 'until: {days: 0, at: "%s"}' % at), sequence('weekly', 'until: {days: 0, at: "%s", only: [%s]}' % (at, other)))
        super().setUpClass()
        for who in ('daily', 'weekly'):
            cls.h.http('PUT', '/v1/recipients/' + who, person(who))
            raw = '\n'.join(json.dumps({'recipient': who, 'name': who + '.item', 'data': {'n': n}}) for n in 'ab').encode()
            cls.h.http('POST', '/v1/events', raw=raw, type=NDJSON)

    def closes(self, who, wanted):
        self.assertEqual(self.digest(who), [(2, ['a', 'b'])])
        was = moment(self.listed(who)[0]['send_at'])
        self.assertTrue(wanted <= was < wanted + self.SLACK, 'wanted %s, was %s' % (wanted, was))

    def test_a_window_closes_at_the_next_such_time(self):
        self.closes('daily', self.target)

    def test_a_window_closes_at_that_time_of_the_next_day_that_is_allowed(self):
        self.closes('weekly', self.target + datetime.timedelta(days=1))


class Faults(Gathering):
    def kill(self, p):
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.h.processes.remove(p)
        self.h.redis_end()

    def test_a_window_survives_the_death_of_the_service(self):
        h = self.build(sequence('feed', 'until: %ds' % (2 + WINDOW)), worker={'lease': '1s'})
        p = h.start()
        run = self.entry(self.items(self.who('k1'), 'feed', *'abcd')[0], 'enrolled')['run']
        self.kill(p)
        h.start()
        answers = self.items('k1', 'feed', *'abcdef')
        self.assertEqual([a['status'] for a in answers], ['known'] * 4 + ['taken'] * 2)
        self.assertEqual([self.entry(a, 'gathered')['run'] for a in answers[4:]], [run] * 2)
        self.assertEqual(self.digest('k1'), [(6, list('abcdef'))])

    def test_killed_at_any_time_each_item_is_in_one_digest(self):
        h, chance, n = self.build(sequence('feed', 'quiet: 1s, most_time: 10s, most: 7, keep: 100'), worker={'lease': '1s'}), random.Random(2), 0
        h.settings['categories'] = {'onboarding': {'kind': 'service', 'on_unknown': 'resend'}}  # a lost answer is asked for again, under the same Message-ID
        h.write()
        p = h.start()
        who, said = self.who('k2'), []
        for _ in range(4):
            said += [self.item(who, n + i, 'feed') for i in range(25)]
            mine = said[-30:]  # the last of the round before once more
            n += 25
            thread = threading.Thread(target=self.careless, args=(mine,))
            thread.start()
            threading.Event().wait(chance.uniform(0.002, 0.08))
            self.kill(p)
            thread.join()
            p = h.start()
            self.post(*mine)
        self.h.until(lambda: not self.active(who), 30, lambda: self.runs(who))
        digests = self.digests(who)
        self.assertEqual(sorted(int(i) for _, items in digests for i in items), list(range(n)), digests)
        self.assertEqual([total for total, _ in digests], [len(items) for _, items in digests])

    def careless(self, events):
        """A producer that is not told what became of its lines."""
        try:
            self.h.http('POST', '/v1/events', raw='\n'.join(json.dumps(e) for e in events).encode(), type=NDJSON)
        except (OSError, http.client.HTTPException):
            pass

    def test_two_workers_and_many_people_and_each_has_one_digest(self):
        h = self.build(sequence('feed', 'until: %ds' % (2 * WINDOW)))
        h.start('--role', 'api')
        for _ in range(2):
            h.start('--role', 'worker', wait=False)
        people = ['m%d' % i for i in range(40)]
        h.cli('recipient', 'import', stdin='\n'.join(json.dumps(person(who)) for who in people) + '\n')
        events = [self.item(who, n, 'feed') for n in range(5) for who in people]
        for i in range(0, 200, 50):
            self.post(*events[i:i + 50])
        h.until(lambda: len(h.smtp.accepted) >= 40, 30, lambda: len(h.smtp.accepted))
        for who in people:
            self.assertEqual(self.digest(who), [(5, list('01234'))])
        self.assertEqual(len(h.smtp.accepted), 40)

    def test_a_window_that_is_open_closes_as_it_was_defined(self):
        h = self.build(sequence('feed', 'until: %ds' % (1 + WINDOW)))
        p = h.start()
        self.items(self.who('k4'), 'feed', 'a')
        define(h, sequence('feed', 'until: 30d, keep: 1'))
        define(h, sequence('probe', 'until: 30d'))
        p.send_signal(signal.SIGHUP)
        self.who('k5')
        h.until(lambda: self.event('k5', 'probe.item')['did'], what='the reload is done')
        self.assertEqual(self.whats(self.items('k4', 'feed', 'b')[0]), ['gathered'])
        self.assertEqual(self.digest('k4'), [(2, ['a', 'b'])])


class Check(Gathering):
    @classmethod
    def setUpClass(cls):
        cls.h = gathering()
        cls.addClassCleanup(cls.h.close)

    def test_a_window_that_never_closes_or_says_what_it_does_not_know_is_refused(self):
        for collect in ('quiet: 10m', 'keep: 20', 'most: 20', 'until: 1d, colour: red', 'until: 1d, most: 0', 'until: 1d, most: many', 'until: soon',
                        'until: 1d, first: {template: nope, channels: [in_app]}', 'until: 1d, remove: {event: x.deleted}', 'until: 1d, remove: {}'):
            with self.subTest(collect=collect):
                define(self.h, sequence('x', collect))
                self.assertRegex(self.h.cli('sequence', 'check', status=1) + self.h.err, r'x\.yaml:\d+: ')

    def test_a_sound_one_is_not(self):
        for collect in ('until: 1d', 'until: {days: 0, at: "08:00", only: workdays}, most: 200, keep: 20', 'quiet: 10m, most_time: 2h',
                        'until: 1d, remove: {event: x.deleted, match: event.n}, first: {template: hello, channels: [in_app]}'):
            with self.subTest(collect=collect):
                define(self.h, sequence('x', collect))
                self.h.cli('sequence', 'check')


if __name__ == '__main__':
    unittest.main()
