"""Waves: who belongs to which, who stands at the door and who is let in when, what holds them and what opens the next; and one run of a group for an account."""
import datetime, json, os, random, re, signal, threading, time, unittest, urllib.request

from house import SLOWNESS, SmtpServer, free_port, person, until
from test_sequences import NDJSON, UTC, Journey, define, house, moment, seconds

HELLO, NUDGE, THANKS = ('  - {id: %s, send: {template: %s, channels: [email]}}\n' % (t, t) for t in ('hello', 'nudge', 'thanks'))
CALM, REST = '  - {id: calm, wait: 30d}\n', '  - {id: rest, wait: 1s}\n'
ENDS = 'goal: {event: NAME.won}\nexit: [{event: NAME.closed, reason: closed}]\n'
ALL = '{name: all, where: always}'
TWO = ('{name: pilot, where: {recipient.attributes.early: true}}', '{name: rest, where: always}')


def rollout(name, order, steps=HELLO + CALM, more=ENDS, gate=''):
    """A definition with these waves; an event or the door enrols."""
    text = 'sequence: NAME\ncategory: onboarding\ntrigger: [{event: NAME.begun}, {enroll: true}]\n%swaves:\n  order:\n%s%ssteps:\n%s' % (
        more, ''.join('    - %s\n' % wave for wave in ([order] if isinstance(order, str) else order)), '  gate: %s\n' % gate if gate else '', steps)
    return text.replace('NAME', name)


def remains(h, word):
    """The keys of Redis that hold the word, in their name or in what they keep."""
    read = {'string': 'GET %s', 'hash': 'HGETALL %s', 'set': 'SMEMBERS %s', 'zset': 'ZRANGE %s 0 -1', 'list': 'LRANGE %s 0 -1', 'stream': 'XRANGE %s - +'}
    keys = [key for key in h.redis('--scan').split('\n') if key]
    found = [key for key in keys if word in key]
    for kind, verb in read.items():
        for key in h.redis('--scan', '--type', kind).split('\n'):
            if key and key not in found and word in h.redis(*[w.replace('%s', key) for w in verb.split()]):
                found.append(key)
    return found


class Waves(Journey):
    def crowd(self, name, people, port=None, **attributes):
        """All of them are told at once that it has begun; what it did for each."""
        lines = [{'recipient': person(who, attributes=attributes), 'name': name + '.begun', 'id': '%s-%s' % (name, who)} for who in people]
        text = '\n'.join(map(json.dumps, lines)).encode()
        request = urllib.request.Request('http://127.0.0.1:%d/v1/events' % (port or self.h.port), data=text, headers={'Content-Type': NDJSON})
        with urllib.request.urlopen(request, timeout=60) as r:
            answers = [json.loads(line) for line in r.read().decode().splitlines()]
        self.assertEqual([a['status'] for a in answers], ['taken'] * len(people), answers)
        return [next(d for d in a['did'] if d['sequence'] == name) for a in answers]

    def queue(self, name, people, **attributes):
        """They are enrolled one after the other, in this order."""
        for who in people:
            self.assertEqual(self.crowd(name, [who], **attributes)[0]['what'], 'enrolled')
            time.sleep(0.003)  # two of one millisecond would have no order
        return people

    def command(self, name, wave, what, status=200, **body):
        got, answer = self.h.http('POST', '/v1/sequences/%s/waves/%s/%s' % (name, wave, what), body or None)
        self.assertEqual(got, status, answer)
        return answer

    def open(self, name, wave='all'):
        answer = self.command(name, wave, 'open')
        self.assertEqual((answer['sequence'], answer['wave'], answer['state'], answer['lost']), (name, wave, 'open', []), answer)
        return answer

    def hold(self, name, wave='all', **body):
        answer = self.command(name, wave, 'hold', **body)
        self.assertEqual((answer['sequence'], answer['wave'], answer['state'], answer['lost']), (name, wave, 'held', []), answer)
        return answer

    def status(self, name):
        status, answer = self.h.http('GET', '/v1/sequences/%s/waves' % name)
        self.assertEqual(status, 200, answer)
        return answer

    def wave(self, name, wave='all'):
        return next(w for w in self.status(name)['waves'] if w['name'] == wave)

    def log(self, name):
        return [entry[1:] for entry in self.status(name)['log']]

    def let_in(self, name, n, wave='all', timeout=15):
        self.h.until(lambda: self.wave(name, wave)['released'] >= n, timeout, lambda: self.status(name))
        self.assertEqual(self.wave(name, wave)['released'], n)

    def instants(self, name, people):
        """When each of them was let in."""
        runs = {who: self.runs(who, name) for who in people}
        self.assertTrue(all(len(r) == 1 and r[0]['released'] for r in runs.values()), runs)
        return [moment(runs[who][0]['released']) for who in people]

    def begun(self, people, name):
        """Those of them who have a message of this sequence."""
        return {who for who in people if any(m.get('sequence') == name for m in self.listed(who))}

    def all_sent(self, people, template='hello'):
        wanted = lambda who: [m['status'] for m in self.listed(who) if m['template'] == template] == ['sent']
        left = lambda: [who for who in people if not wanted(who)]
        self.h.until(lambda: not left(), 30, lambda: 'not sent once: %s' % {who: self.told(who) for who in left()})

    def beside(self, *options):
        """Another service on the same Redis, with a port of its own."""
        h = self.h
        config, port, settings = h.config, h.port, h.settings
        h.config, h.port = os.path.join(h.dir, 'beside.yaml'), free_port()
        h.settings = {**settings, 'http': {**settings['http'], 'listen': '127.0.0.1:%d' % h.port}}
        try:
            h.write()
            h.start(*options)
            return h.port
        finally:
            h.config, h.port, h.settings = config, port, settings

    def kill(self, p):
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.h.processes.remove(p)
        self.h.redis_end()


class Membership(Waves):
    REGION = ('{name: pilot, where: {recipient.attributes.early: true}, most: 3}', '{name: dach, where: {recipient.attributes.region: DACH}}')
    AGAIN = 'reentry: always\n' + ENDS
    SHARES = ('{name: canary, where: {recipient.attributes.region: DACH}, share: %s}', '{name: dach, where: {recipient.attributes.region: DACH}}')
    DEFINITIONS = '---\n'.join([
        rollout('first', REGION), rollout('second', REGION, more=AGAIN), rollout('refused', REGION, more='reentry: never\n'), rollout('doors', REGION),
        rollout('five', [w % '5%' if '%s' in w else w for w in SHARES], more=AGAIN),
        rollout('half', [w % '50%' if '%s' in w else w for w in SHARES]), rollout('other', [w % '50%' if '%s' in w else w for w in SHARES]),
        rollout('told', TWO, '  - id: which\n    branch:\n      - {when: {run.wave: pilot}, steps: [{id: hello, send: {template: hello, channels: [in_app]}}]}\n'
                             '      - {else: true, steps: [{id: nudge, send: {template: nudge, channels: [in_app]}}]}\n')])

    def waves_of(self, dids):
        return [d.get('wave') or d['why'] for d in dids]

    def test_s55_the_first_that_fits_is_theirs_and_a_full_one_fits_nobody(self):
        dids = self.crowd('first', ['a%d' % i for i in range(5)], early=True, region='DACH')
        self.assertEqual(self.waves_of(dids), ['pilot'] * 3 + ['dach'] * 2)
        self.assertEqual(self.waves_of(self.crowd('first', ['b0'], region='DACH') + self.crowd('first', ['b1'], early=True)), ['dach', 'no_wave'])
        self.assertEqual([self.active(who)[0]['wave'] for who in ('a0', 'a4', 'b0')], ['pilot', 'dach', 'dach'])
        self.assertEqual([(w['name'], w['state'], w['door'], w['released']) for w in self.status('first')['waves']], [('pilot', 'closed', 3, 0), ('dach', 'closed', 3, 0)])

    def test_s55_whom_no_wave_fits_is_refused_by_name_and_may_come_again(self):
        did = self.crowd('refused', ['c0'], region='NORDICS')[0]
        self.assertEqual((did['what'], did['why'], self.runs('c0'), self.told('c0')), ('not_enrolled', 'no_wave', [], {}))
        self.patch('c0', attributes={'region': 'DACH'})
        status, answer = self.enroll('refused', 'c0')
        self.assertEqual((status, self.entry(answer, 'enrolled')['wave']), (202, 'dach'))

    def test_s55_it_is_decided_at_enrolment_whatever_they_become_at_the_door(self):
        self.crowd('second', ['d0'], region='DACH')
        self.patch('d0', attributes={'region': 'NORDICS', 'early': True})
        self.open('second', 'dach')
        self.sent('d0', 'hello')
        self.assertEqual((self.active('d0')[0]['wave'], self.wave('second', 'pilot')['door']), ('dach', 0))

    def test_s55_by_every_door_they_get_a_wave(self):
        self.who('e0', attributes={'region': 'DACH'})
        self.h.cli('sequence', 'enroll', 'doors', '--recipient', 'e0')
        self.h.cli('recipient', 'import', '--enroll', 'doors', stdin=json.dumps(person('e1', attributes={'region': 'DACH'})) + '\n')
        self.who('e2', attributes={'region': 'DACH'})
        self.h.redis('XADD', 'tidings:ingest', '*', 'event', json.dumps({'recipient': 'e2', 'name': 'doors.begun'}))
        for who in ('e0', 'e1', 'e2'):
            self.h.until(lambda: [r.get('wave') for r in self.active(who)] == ['dach'], what=lambda: self.runs(who))
        self.assertEqual(self.wave('doors', 'dach')['door'], 3)

    def test_s55_a_share_of_five_percent_is_about_that_and_always_the_same_people(self):
        people = ['f%d' % i for i in range(800)]
        first = self.waves_of(self.crowd('five', people, region='DACH'))
        self.assertTrue(20 <= first.count('canary') <= 62, first.count('canary'))  # 40, and more than three deviations of 6.2
        self.assertEqual(first.count('canary') + first.count('dach'), 800)
        some = [who for i, (who, wave) in enumerate(zip(people, first)) if wave == 'canary' or i < 30]
        for who in some:
            self.entry(self.event(who, 'five.closed'), 'left')
        again = [self.entry(self.enroll('five', who)[1], 'enrolled')['wave'] for who in some]
        self.assertEqual(again, [first[people.index(who)] for who in some])

    def test_s55_the_same_name_in_another_sequence_draws_other_people(self):
        people = ['g%d' % i for i in range(100)]
        one, other = (self.waves_of(self.crowd(name, people, region='DACH')) for name in ('half', 'other'))
        self.assertTrue(20 < sum(a == b for a, b in zip(one, other)) < 80, (one, other))

    def test_s55_the_run_knows_its_wave(self):
        self.crowd('told', ['i0'], early=True)
        self.crowd('told', ['i1'])
        self.open('told', 'pilot'), self.open('told', 'rest')
        self.sent('i0', 'hello'), self.sent('i1', 'nudge')


class Places(Waves):
    def test_s18_a_share_that_grows_loses_nobody(self):
        form = rollout('grows', ('{name: canary, where: always, share: %s}', '{name: rest, where: always}'), more='reentry: always\n' + ENDS)
        people, found, h = ['a%d' % i for i in range(200)], [], self.build(form % '10%')
        for share in ('10%', '30%'):
            define(h, form % share)
            p = h.start()
            answers = [self.entry(self.enroll('grows', self.who(who))[1], 'enrolled') for who in people]
            found.append({who for who, did in zip(people, answers) if did['wave'] == 'canary'})
            for who in people:
                self.event(who, 'grows.closed')
            h.stop(p)
            h.redis_end()
        self.assertTrue(found[0] < found[1] and 8 <= len(found[0]) <= 34 and 40 <= len(found[1]) <= 80, [len(f) for f in found])

    def test_s55_most_is_exact_also_when_two_services_enrol_many_at_once(self):
        h = self.build(rollout('many', ('{name: pilot, where: always, most: 50}', '{name: rest, where: always, most: 100}')))
        h.start()
        ports, dids, lock = (h.port, self.beside()), [], threading.Lock()

        def enrol(k):
            for i in range(5):
                got = self.crowd('many', ['m%d-%d-%d' % (k, i, j) for j in range(10)], ports[k % 2])
                with lock:
                    dids.extend(got)
        threads = [threading.Thread(target=enrol, args=(k,)) for k in range(8)]
        [t.start() for t in threads], [t.join() for t in threads]
        waves = [d.get('wave') or d['why'] for d in dids]
        self.assertEqual({w: waves.count(w) for w in set(waves)}, {'pilot': 50, 'rest': 100, 'no_wave': 250})
        self.assertEqual([w['door'] for w in self.status('many')['waves']], [50, 100])

    def test_s55_a_person_has_one_place_however_often_they_come(self):
        h = self.build(rollout('again', '{name: few, where: always, most: 2}', more='reentry: always\n' + ENDS))
        h.start()
        for i in range(3):
            self.begin(self.who('n0'), 'again.begun')
            self.entry(self.event('n0', 'again.closed'), 'left')
        self.assertEqual([self.crowd('again', [who])[0]['what'] for who in ('n1', 'n2')], ['enrolled', 'not_enrolled'])
        self.begin('n0', 'again.begun')


class Door(Waves):
    STAY = ENDS + 'opt_out: exit\n'
    DEFINITIONS = '---\n'.join([
        rollout('shut', ALL), rollout('both', TWO), rollout('line', '{name: all, where: always, rate: 20/s}'), rollout('gone', ALL),
        rollout('twice', '{name: all, where: always, rate: 20/s}'), rollout('later', '{name: all, where: always, rate: 10/s}'), rollout('paused', ALL),
        rollout('stopped', ALL), rollout('hurried', '{name: all, where: always, rate: 10/s}'), rollout('edges', ALL),
        rollout('waits', ALL, '  - {id: rest, wait: 2s}\n' + HELLO), rollout('erased', '{name: all, where: always, most: 5}'),
        rollout('heard', ALL, '  - id: ask\n    wait_for: {any: [{event: heard.said, as: said}], timeout: 30d, since: run}\n'
                              '    then:\n      said: [{id: thanks, send: {template: thanks, channels: [email]}}]\n'),
        rollout('many', '{name: all, where: always, rate: 6000/min}')])

    def test_s56_nobody_gets_anything_before_it_is_opened_and_then_all(self):
        people = ['a%d' % i for i in range(30)]
        dids = self.crowd('shut', people)
        self.assertFalse([d for d in dids if d.get('message')], dids)
        self.sent_by('hurried', 'b0')
        time.sleep(1.2)  # a look at all waves
        self.assertEqual((self.begun(people, 'shut'), [w['door'] for w in self.status('shut')['waves']]), (set(), [30]))
        self.assertEqual([self.active(who)[0]['released'] for who in people], [None] * 30)
        self.open('shut')
        self.all_sent(people)
        wave = self.wave('shut')
        self.assertEqual((wave['state'], wave['by'], wave['door'], wave['released']), ('open', 'command', 0, 30))
        self.assertEqual(self.log('shut'), [['opened', 'all', 'command']])

    def sent_by(self, name, who):
        """Somebody of another one, which is open, is served meanwhile."""
        self.open(name)
        self.crowd(name, [who])
        self.sent(who, 'hello')

    def test_s56_one_wave_opens_and_the_other_stays_shut(self):
        self.crowd('both', ['c0', 'c1'], early=True), self.crowd('both', ['c2'])
        self.h.cli('sequence', 'wave', 'open', 'both', 'rest')
        self.all_sent(['c2'])
        self.assertEqual((self.begun(['c0', 'c1'], 'both'), [w['state'] for w in self.status('both')['waves']]), (set(), ['closed', 'open']))
        self.assertEqual(self.log('both'), [['opened', 'rest', 'command']])

    def test_s56_they_are_let_in_in_the_order_of_their_enrolment_and_at_the_rate(self):
        people = self.queue('line', random.sample(['d%d' % i for i in range(40)], 40))
        self.open('line')
        self.all_sent(people)
        self.paced(self.instants('line', people), 0.05)

    def paced(self, at, gap):
        """In their order, no two nearer than the gap, and not slower than it asks for."""
        self.assertEqual(at, sorted(at))
        apart = [(b - a).total_seconds() for a, b in zip(at, at[1:])]
        self.assertGreaterEqual(min(apart), gap - 0.0015, apart)
        self.assertLess((at[-1] - at[0]).total_seconds(), gap * len(at) * 2 * SLOWNESS + 2 * SLOWNESS, apart)

    def test_s56_a_rate_of_many_is_kept_too(self):
        people = ['e%d' % i for i in range(150)]
        self.crowd('many', people)
        self.open('many')
        self.let_in('many', 150)
        at = sorted(self.instants('many', people))
        self.assertGreaterEqual((at[-1] - at[0]).total_seconds(), 1.485)
        for a, b in zip(at, at[25:]):
            self.assertGreaterEqual((b - a).total_seconds(), 0.245)

    def test_s56_opened_twice_it_is_opened_once(self):
        people = self.queue('twice', ['f%d' % i for i in range(20)])
        for _ in range(3):
            self.open('twice')
        self.all_sent(people)
        self.paced(self.instants('twice', people), 0.05)
        self.h.cli('sequence', 'wave', 'open', 'twice', 'all')
        self.assertEqual(([self.told(who) for who in people], self.wave('twice')['released']), ([{'hello': 1}] * 20, 20))
        self.assertEqual(self.log('twice'), [['opened', 'all', 'command']])

    def test_s56_who_comes_when_it_is_open_is_let_in_at_the_rate_too(self):
        self.open('later')
        people = ['g%d' % i for i in range(12)]
        self.crowd('later', people)
        self.all_sent(people)
        at = sorted(self.instants('later', people))
        self.assertGreaterEqual(min((b - a).total_seconds() for a, b in zip(at, at[1:])), 0.0985, at)

    def test_s33_who_leaves_at_the_door_is_never_let_in(self):
        people = ['h%d' % i for i in range(8)]
        self.crowd('gone', people)
        gone = self.entry(self.event('h0', 'gone.won'), 'left'), self.entry(self.event('h1', 'gone.closed'), 'left')
        self.assertEqual([g['why'] for g in gone], ['goal', 'closed'])
        self.h.cli('sequence', 'exit', 'gone', '--recipient', 'h2')
        self.assertEqual(self.h.http('DELETE', '/v1/sequences/gone/runs/h3')[0], 200)
        self.h.http('POST', '/v1/recipients/h4/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        for who, reason in (('h0', 'goal'), ('h1', 'closed'), ('h2', 'exited'), ('h3', 'exited'), ('h4', 'opted_out')):
            self.left(who, reason)
        self.assertEqual(self.wave('gone')['door'], 3)
        self.h.http('POST', '/v1/recipients/h4/consents', {'category': 'onboarding', 'channel': '*', 'state': 'granted', 'source': 'test'})
        self.open('gone')
        self.all_sent(people[5:])
        time.sleep(0.3)
        self.assertEqual((self.begun(people[:5], 'gone'), [self.told(who) for who in people[:5]]), (set(), [{}] * 5))
        self.assertEqual((self.wave('gone')['released'], self.wave('gone')['door']), (3, 0))

    def test_s48_a_pause_holds_what_a_wave_lets_in(self):
        self.crowd('paused', ['i0', 'i1'])
        self.h.cli('sequence', 'pause', 'paused')
        self.open('paused')
        time.sleep(1.3)
        self.assertEqual(self.begun(['i0', 'i1'], 'paused'), set())
        self.h.cli('sequence', 'resume', 'paused')
        self.all_sent(['i0', 'i1'])

    def test_s50_a_stop_ends_also_who_stands_at_the_door(self):
        self.crowd('stopped', ['j0', 'j1'])
        self.assertEqual(self.h.http('POST', '/v1/sequences/stopped/stop', {})[1]['runs'], 2)
        self.left('j0', 'stopped'), self.left('j1', 'stopped')
        self.assertEqual(self.wave('stopped')['door'], 0)
        self.open('stopped')
        time.sleep(1.2)
        self.assertEqual(([self.told(who) for who in ('j0', 'j1')], self.wave('stopped')['released']), ([{}, {}], 0))

    def test_s20_a_wait_begins_when_they_are_let_in(self):
        self.crowd('waits', ['k0'])
        time.sleep(2.1)
        self.open('waits')
        sent = self.sent('k0', 'hello')
        self.assertGreaterEqual(moment(sent['send_at']) - moment(self.runs('k0')[0]['released']), seconds(1.99))

    def test_s14_what_they_have_done_at_the_door_counts_in_a_wait(self):
        self.crowd('heard', ['l0', 'l1'])
        self.event('l0', 'heard.said')
        self.assertEqual(self.told('l0'), {})
        self.open('heard')
        self.sent('l0', 'thanks')
        self.at_step('l1', 'ask')

    def test_s52_of_who_is_erased_at_the_door_nothing_is_left(self):
        self.crowd('erased', ['zacharias', 'm1', 'zebulon'])
        self.assertEqual(self.wave('erased')['door'], 3)
        for who in ('zacharias', 'zebulon'):
            self.assertIs(self.h.http('DELETE', '/v1/recipients/' + who)[1]['erased'], True)
        self.assertEqual(self.wave('erased')['door'], 1)
        for word in ('zacharias', 'zebulon'):
            self.h.until(lambda: not remains(self.h, word), 6, lambda: remains(self.h, word))
        self.open('erased')
        self.all_sent(['m1'])
        self.assertEqual(self.wave('erased')['released'], 1)
        self.assertIs(self.h.http('DELETE', '/v1/recipients/m1')[1]['erased'], True)
        self.h.until(lambda: not [k for k in remains(self.h, 'm1') if re.search(r'\bm1\b', k + ' ' + self.h.redis('DUMP', k))], 6, lambda: remains(self.h, 'm1'))

    def test_a_command_for_what_is_none_is_refused(self):
        for path, status in (('/v1/sequences/shut/waves/nope/open', (404, 422)), ('/v1/sequences/nope/waves/all/hold', (404, 422)), ('/v1/sequences/nope/waves', (404,))):
            got, problem = self.h.http('GET' if path.endswith('waves') else 'POST', path)
            self.assertIn(got, status, (path, problem))
            self.assertIn('application/problem+json', self.h.headers['Content-Type'])
        for body, pointer in (({'every': True}, '/every'), ({'all': 1}, '/all')):
            got, problem = self.h.http('POST', '/v1/sequences/edges/waves/all/hold', body)
            self.assertEqual((got, problem['errors'][0]['pointer']), (422, pointer))
        self.assertEqual((self.wave('edges')['state'], self.log('edges')), ('closed', []))
        for words in (('open', 'shut', 'nope'), ('open', 'nope', 'all'), ('hold', 'edges'), ('status', 'nope'), ('shout', 'edges', 'all')):
            self.h.cli('sequence', 'wave', *words, status=None)
            self.assertTrue(self.h.err, words)
        said = self.h.cli('sequence', 'wave', 'status', 'edges')
        self.assertRegex(said, r'(?m)^all +closed +0 at the door')
        self.assertEqual(self.h.cli_json('sequence', 'wave', 'status', 'edges')['waves'][0]['name'], 'all')


class Doors(Waves):
    """What needs a service of its own."""
    def test_s56_two_workers_let_in_no_more_than_the_rate_and_each_once(self):
        h = self.build(rollout('line', '{name: all, where: always, rate: 25/s}'))
        h.start()
        h.start('--role', 'worker', wait=False)
        people = self.queue('line', ['a%d' % i for i in range(60)])
        self.open('line')
        self.all_sent(people)
        at = self.instants('line', people)
        self.assertEqual(at, sorted(at))
        self.assertGreaterEqual(min((b - a).total_seconds() for a, b in zip(at, at[1:])), 0.0385)
        mails = sorted(m.at for m in h.smtp.accepted)
        self.assertEqual(len(mails), 60)
        self.assertGreaterEqual(mails[-1] - mails[0], 59 * 0.04 - 0.2)

    def test_s56_killed_while_it_lets_in_it_goes_on_where_it_was(self):
        h = self.build(rollout('line', '{name: all, where: always, rate: 20/s}'), worker={'lease': '1s'})
        p = h.start()
        people = self.queue('line', ['b%d' % i for i in range(40)])
        self.open('line')
        for n in (8, 16):
            self.h.until(lambda: self.wave('line')['released'] >= n, what=lambda: self.status('line'))
            self.kill(p)
            p = h.start()
        self.all_sent(people)
        at = self.instants('line', people)
        self.assertEqual((at, self.wave('line')['released'], len(self.h.smtp.accepted)), (sorted(at), 40, 40))
        self.assertGreaterEqual(min((b - a).total_seconds() for a, b in zip(at, at[1:])), 0.0485)
        self.assertEqual(self.log('line'), [['opened', 'all', 'command']])

    def test_s56_opened_by_one_service_the_people_of_another_are_let_in(self):
        h = self.build(rollout('line', ALL))
        h.start('--role', 'api')
        self.crowd('line', ['c0', 'c1'])
        self.h.cli('sequence', 'wave', 'open', 'line', 'all')  # nobody there who lets in
        self.assertEqual((self.told('c0'), self.wave('line')['state']), ({}, 'open'))
        h.start('--role', 'worker', wait=False)
        self.all_sent(['c0', 'c1'])
        h.stop(h.processes[-1], signal.SIGKILL)
        self.crowd('line', ['c2'])
        h.start('--role', 'worker', wait=False)
        self.all_sent(['c2'])


class Windows(Waves):
    """A second is five hours.  Each window lies so far ahead, and the next day comes after five seconds."""
    OPTIONS = ('--clock-rate', str(round(18000 / SLOWNESS)))

    @classmethod
    def setUpClass(cls):
        now = datetime.datetime.now(UTC)
        cls.at = (now + datetime.timedelta(hours=8)).replace(second=0, microsecond=0)
        if cls.at.hour >= 21:  # a window ends with its day
            cls.at = (cls.at + datetime.timedelta(hours=4)).replace(minute=0)
        cls.until = cls.at + datetime.timedelta(hours=2)
        opens, closes = cls.at.strftime('"%H:%M"'), cls.until.strftime('"%H:%M"')
        cls.day = (cls.at + datetime.timedelta(days=1)).date()
        only = 'mon tue wed thu fri sat sun'.split()[cls.day.weekday()]
        cls.DEFINITIONS = '---\n'.join([
            rollout('span', '{name: all, where: always, rate: 3/h, window: {at: %s, until: %s}}' % (opens, closes)),
            rollout('open-end', '{name: all, where: always, window: {at: %s}}' % opens),
            rollout('only', '{name: all, where: always, window: {at: %s, only: [%s]}}' % (opens, only)), rollout('free', ALL)])
        super().setUpClass()
        for name in ('span', 'open-end', 'only', 'free'):
            lines = [{'recipient': person('%s-%d' % (name, i)), 'name': name + '.begun'} for i in range(9)]
            cls.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, lines)).encode(), type=NDJSON)
            cls.h.http('POST', '/v1/sequences/%s/waves/all/open' % name)

    def people(self, name):
        return ['%s-%d' % (name, i) for i in range(9)]

    def test_s56_in_its_window_at_its_rate_and_the_rest_the_next_day(self):
        self.let_in('span', 9, timeout=20)
        at = sorted(self.instants('span', self.people('span')))
        for t in at:
            into = (t - self.at) % datetime.timedelta(days=1)
            self.assertLess(into, self.until - self.at, at)
        first = [t for t in at if t < self.until]
        self.assertTrue(1 <= len(first) <= 6, at)
        self.assertGreaterEqual(min(b - a for a, b in zip(at, at[1:])), datetime.timedelta(minutes=20) - seconds(1))

    def test_s56_without_an_end_it_closes_with_the_day(self):
        self.let_in('open-end', 9)
        at = self.instants('open-end', self.people('open-end'))
        self.assertTrue(all(self.at <= t and t.date() == self.at.date() for t in at), at)

    def test_s56_only_on_its_days(self):
        self.let_in('only', 9, timeout=20)
        at = self.instants('only', self.people('only'))
        self.assertTrue(all(t.date() == self.day and t >= self.at + datetime.timedelta(days=1) for t in at), (at, self.at))

    def test_s56_without_a_window_at_any_time(self):
        self.let_in('free', 9)
        self.assertLess(max(self.instants('free', self.people('free'))), datetime.datetime.now(UTC) + datetime.timedelta(days=4))


if __name__ == '__main__':
    unittest.main()
