"""Waves: who belongs to which, who stands at the door, who is let in when, what holds and what opens them; and one run of a group for an account."""
import datetime, json, os, random, re, signal, threading, time, unittest, urllib.request

from house import SLOWNESS, SmtpServer, free_port, person
from test_sequences import NDJSON, UTC, Journey, define, house, moment, seconds

HELLO, NUDGE, THANKS = ('  - {id: %s, send: {template: %s, channels: [email]}}\n' % (t, t) for t in ('hello', 'nudge', 'thanks'))
CALM, REST = '  - {id: calm, wait: 30d}\n', '  - {id: rest, wait: 1s}\n'
LATER = HELLO + REST + NUDGE + CALM
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


def setUpModule():
    Windows.ahead()
    Gate.ahead()


class Waves(Journey):
    def crowd(self, name, people, port=None, **attributes):
        """All of them are told at once that it has begun; what it did for each."""
        lines = [{'recipient': person(who, attributes=attributes), 'name': name + '.begun', 'id': '%s-%s' % (name, who)} for who in people]
        answers = self.post(lines, port)
        self.assertEqual([a['status'] for a in answers], ['taken'] * len(people), answers)
        dids = [[d for d in a['did'] if d['sequence'] == name][:1] for a in answers]
        self.assertTrue(all(dids), answers[:3])
        return [did for did, in dids]

    def post(self, lines, port=None):
        """The answer to each event, of this service or of another one."""
        text = '\n'.join(map(json.dumps, lines)).encode()
        request = urllib.request.Request('http://127.0.0.1:%d/v1/events' % (port or self.h.port), data=text, headers={'Content-Type': NDJSON})
        with urllib.request.urlopen(request, timeout=60) as r:
            return [json.loads(line) for line in r.read().decode().splitlines()]

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
        """Each of them has this message, and no other of it."""
        left = lambda: set(people) - {m.recipient.split('@')[0] for m in list(self.h.smtp.accepted) if b'Subject: %s\r' % template.encode() in m.data}
        self.h.until(lambda: not left(), 30, lambda: 'not sent: %s' % {who: (self.told(who), self.runs(who)) for who in left()})
        self.assertEqual({who: self.told(who).get(template) for who in people}, {who: 1 for who in people})

    def paced(self, at, gap):
        """Let in in this order, one each gap: what each is late for that differs by no more than a busy machine makes it."""
        off = [(t - at[0]).total_seconds() - i * gap for i, t in enumerate(at)]
        self.assertLess(max(off) - min(off), 0.5 * SLOWNESS, off)

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
        rollout('told', TWO, '  - id: which\n    branch:\n'
                             '      - {when: {run.wave: pilot}, steps: [{id: hello, send: {template: hello, channels: [in_app]}}]}\n'
                             '      - {else: true, steps: [{id: nudge, send: {template: nudge, channels: [in_app]}}]}\n')])

    def waves_of(self, dids):
        return [d.get('wave') or d['why'] for d in dids]

    def test_s55_the_first_that_fits_is_theirs_and_a_full_one_fits_nobody(self):
        dids = self.crowd('first', ['a%d' % i for i in range(5)], early=True, region='DACH')
        self.assertEqual(sorted(self.waves_of(dids)), ['dach'] * 2 + ['pilot'] * 3)  # told at once: which three is not said
        self.assertEqual(self.waves_of(self.crowd('first', ['b0'], region='DACH') + self.crowd('first', ['b1'], early=True)), ['dach', 'no_wave'])
        self.assertEqual([self.active(who)[0]['wave'] for who in ['a%d' % i for i in range(5)] + ['b0']], self.waves_of(dids) + ['dach'])
        waves = [(w['name'], w['state'], w['door'], w['released']) for w in self.status('first')['waves']]
        self.assertEqual(waves, [('pilot', 'closed', 3, 0), ('dach', 'closed', 3, 0)])

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
        rollout('waits', ALL, REST + HELLO), rollout('erased', '{name: all, where: always, most: 5}'),
        rollout('heard', ALL, '  - id: ask\n    wait_for: {any: [{event: heard.said, as: said}], timeout: 30d, since: run}\n'
                              '    then:\n      said: [{id: thanks, send: {template: thanks, channels: [email]}}]\n'),
        rollout('many', '{name: all, where: always, rate: 12000/min}')])

    def test_s56_nobody_gets_anything_before_it_is_opened_and_then_all(self):
        people = ['a%d' % i for i in range(30)]
        dids = self.crowd('shut', people)
        self.assertFalse([d for d in dids if d.get('message')], dids)
        self.sent_by('hurried', 'b0')
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
        people = self.queue('line', random.sample(['d%d' % i for i in range(30)], 30))
        self.open('line')
        self.all_sent(people)
        self.paced(self.instants('line', people), 0.05)

    def test_s56_a_rate_of_many_is_kept_too(self):
        people = ['e%d' % i for i in range(100)]
        self.crowd('many', people)
        self.open('many')
        self.let_in('many', 100)
        self.paced(sorted(self.instants('many', people)), 0.005)

    def test_s56_opened_twice_it_is_opened_once(self):
        people = self.queue('twice', ['f%d' % i for i in range(15)])
        for _ in range(3):
            self.open('twice')
        self.all_sent(people)
        self.paced(self.instants('twice', people), 0.05)
        self.h.cli('sequence', 'wave', 'open', 'twice', 'all')
        self.assertEqual(([self.told(who) for who in people], self.wave('twice')['released']), ([{'hello': 1}] * 15, 15))
        self.assertEqual(self.log('twice'), [['opened', 'all', 'command']])

    def test_s56_who_comes_when_it_is_open_is_let_in_at_the_rate_too(self):
        self.open('later')
        people = ['g%d' % i for i in range(8)]
        self.crowd('later', people)
        self.all_sent(people)
        self.paced(sorted(self.instants('later', people)), 0.1)

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
        time.sleep(1.1)
        self.open('waits')
        sent = self.sent('k0', 'hello')
        self.assertGreaterEqual(moment(sent['send_at']) - moment(self.runs('k0')[0]['released']), seconds(0.99))

    def test_s14_what_they_have_done_at_the_door_counts_in_a_wait(self):
        self.crowd('heard', ['l0', 'l1'])
        self.event('l0', 'heard.said')
        self.assertEqual(self.told('l0'), {})
        self.open('heard')
        self.sent('l0', 'thanks')
        self.at_step('l1', 'ask')

    def test_s52_of_who_is_erased_at_the_door_nothing_is_left(self):
        self.crowd('erased', ['zacharias', 'mordecai', 'zebulon'])
        self.assertEqual(self.wave('erased')['door'], 3)
        for who in ('zacharias', 'zebulon'):
            self.assertIs(self.h.http('DELETE', '/v1/recipients/' + who)[1]['erased'], True)
        self.assertEqual(self.wave('erased')['door'], 1)
        for word in ('zacharias', 'zebulon'):
            self.h.until(lambda: not remains(self.h, word), 6, lambda: remains(self.h, word))
        self.open('erased')
        self.all_sent(['mordecai'])
        self.assertEqual(self.wave('erased')['released'], 1)
        self.assertIs(self.h.http('DELETE', '/v1/recipients/mordecai')[1]['erased'], True)  # and of who was let in, neither
        self.h.until(lambda: not remains(self.h, 'mordecai'), 6, lambda: remains(self.h, 'mordecai'))

    def test_a_command_for_what_is_none_is_refused(self):
        for path in ('shut/waves/nope/open', 'nope/waves/all/hold', 'nope/waves'):
            got, problem = self.h.http('GET' if path.endswith('waves') else 'POST', '/v1/sequences/' + path)
            self.assertIn(got, (404, 422), (path, problem))
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
        people = self.queue('line', ['a%d' % i for i in range(40)])
        self.open('line')
        self.all_sent(people)
        self.paced(self.instants('line', people), 0.04)
        mails = sorted(m.at for m in h.smtp.accepted)
        self.assertEqual(len(mails), 40)
        self.assertGreaterEqual(mails[-1] - mails[0], 39 * 0.04 - 0.2)

    def test_s56_killed_while_it_lets_in_it_goes_on_where_it_was(self):
        h = self.build(rollout('line', '{name: all, where: always, rate: 20/s}'), worker={'lease': '1s'})
        p = h.start()
        people = self.queue('line', ['b%d' % i for i in range(30)])
        self.open('line')
        for n in (6, 12):
            self.h.until(lambda: self.wave('line')['released'] >= n, what=lambda: self.status('line'))
            self.kill(p)
            p = h.start()
        self.all_sent(people)
        at = self.instants('line', people)
        self.assertEqual((self.wave('line')['released'], len(self.h.smtp.accepted)), (30, 30))
        for i, t in enumerate(at):
            self.assertLess(max(at[:i + 1]) - t, seconds(0.3 * SLOWNESS), at)
        self.assertEqual(self.log('line'), [['opened', 'all', 'command']])

    def test_s56_an_outage_is_not_made_up_for_at_once(self):
        h = self.build(rollout('line', '{name: all, where: always, rate: 20/s}'))
        p = h.start()
        people = self.queue('line', ['d%d' % i for i in range(100)])
        self.open('line')
        self.h.until(lambda: self.wave('line')['released'] >= 3)
        self.kill(p)
        time.sleep(2.5)
        h.start()
        self.h.until(lambda: self.wave('line')['released'] >= 50)
        at = sorted(moment(r['released']) for who in people for r in self.runs(who) if r['released'])
        n = max(sum(t <= u < t + seconds(1) for u in at) for t in at)
        self.assertLess(n, 20 * 2 + 8, '%d in a second' % n)  # so many may have had their instant when it died

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
        pass  # it has run since the file was opened, so that nobody waits for the day

    @classmethod
    def ahead(cls):
        now = datetime.datetime.now(UTC)
        cls.at = (now + datetime.timedelta(hours=8)).replace(second=0, microsecond=0)
        if cls.at.hour >= 21:  # a window ends with its day
            cls.at = (cls.at + datetime.timedelta(hours=4)).replace(minute=0)
        cls.until = cls.at + datetime.timedelta(hours=2, minutes=30)
        opens, closes = cls.at.strftime('"%H:%M"'), cls.until.strftime('"%H:%M"')
        cls.day = (cls.at + datetime.timedelta(days=1)).date()
        only = 'mon tue wed thu fri sat sun'.split()[cls.day.weekday()]
        cls.DEFINITIONS = '---\n'.join([
            rollout('span', '{name: all, where: always, rate: 1/h, window: {at: %s, until: %s}}' % (opens, closes)),
            rollout('open-end', '{name: all, where: always, window: {at: %s}}' % opens),
            rollout('only', '{name: all, where: always, window: {at: %s, only: [%s]}}' % (opens, only)), rollout('free', ALL)])
        cls.h = house(cls.DEFINITIONS)
        unittest.addModuleCleanup(cls.h.close)
        cls.h.start(*cls.OPTIONS)
        for name in ('span', 'open-end', 'only', 'free'):
            lines = [{'recipient': person('%s-%d' % (name, i)), 'name': name + '.begun'} for i in range(6)]
            cls.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, lines)).encode(), type=NDJSON)
            cls.h.http('POST', '/v1/sequences/%s/waves/all/open' % name)

    def people(self, name):
        return ['%s-%d' % (name, i) for i in range(6)]

    def test_s56_in_its_window_at_its_rate_and_the_rest_the_next_day(self):
        self.let_in('span', 6, timeout=20)
        at = sorted(self.instants('span', self.people('span')))
        for t in at:
            into = (t - self.at) % datetime.timedelta(days=1)
            self.assertLess(into, self.until - self.at + datetime.timedelta(hours=1.5), at)  # a third of a second late
        days = [[t for t in at if t.date() == self.at.date() + datetime.timedelta(days=n)] for n in (0, 1)]
        self.assertEqual([len(d) for d in days], [3, 3], at)
        for day in days:
            self.assertGreater(day[-1] - day[0], datetime.timedelta(hours=1), at)

    def test_s56_without_an_end_it_closes_with_the_day(self):
        self.let_in('open-end', 6)
        at = self.instants('open-end', self.people('open-end'))
        self.assertTrue(all(self.at <= t and t.date() == self.at.date() for t in at), at)

    def test_s56_only_on_its_days(self):
        self.let_in('only', 6, timeout=20)
        at = self.instants('only', self.people('only'))
        self.assertTrue(all(t.date() == self.day and t >= self.at + datetime.timedelta(days=1) for t in at), (at, self.at))

    def test_s56_without_a_window_at_any_time(self):
        self.let_in('free', 6)
        self.assertLess(max(self.instants('free', self.people('free'))), datetime.datetime.now(UTC) + datetime.timedelta(days=4))


class Hold(Waves):
    """All of it with two workers on one Redis."""
    DEFINITIONS = '---\n'.join([
        rollout('cut', '{name: all, where: always, rate: 50/s}'), rollout('slow', '{name: all, where: always, rate: 40/s}'), rollout('two', TWO, LATER),
        *(rollout(name, ALL) for name in ('counted', 'queued', 'kept', 'told', 'shut')),
        *(rollout(name, ALL, LATER) for name in ('steps', 'free', 'left', 'again')),
        rollout('edge', ALL, HELLO + NUDGE + CALM), rollout('walk', ALL, REST + '  - {id: say, emit: {event: walk.said}}\n' + NUDGE + CALM)])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.h.start('--role', 'worker', wait=False)

    def quiet(self):
        """Somebody who is not held has gone the same way after all that was done before."""
        who = 'free%d' % random.randrange(10 ** 9)
        self.open('free')
        self.crowd('free', [who])
        self.sent(who, 'nudge')

    def test_s58_a_pause_of_the_sequence_that_ends_sends_nothing_of_a_held_wave(self):
        self.build(rollout('w', ALL))
        self.h.start()
        self.open('w')
        self.who('ada', preferences={'pause_until': '2040-01-01T00:00:00Z'})
        self.h.http('POST', '/v1/events', {'recipient': 'ada', 'name': 'w.begun'})
        self.h.until(lambda: self.messages('ada'))
        self.assertEqual(self.command('w', 'all', 'hold', all=True)['state'], 'held')
        self.patch('ada', preferences={'pause_until': None})
        for word in ('pause', 'resume'):
            self.assertEqual(self.h.http('POST', '/v1/sequences/w/' + word, {})[0], 200)
        time.sleep(0.5)
        status = lambda: [m['status'] for m in self.messages('ada')]
        self.assertEqual((self.wave('w')['state'], status()), ('held', ['scheduled']))
        self.open('w')
        self.h.until(lambda: status() == ['sent'], what=status)

    def test_s58_opening_again_wakes_whom_the_first_opener_did_not(self):
        h = self.build(rollout('w', ALL, LATER))
        h.start()
        self.open('w')
        self.crowd('w', ['ada'])
        self.h.until(lambda: self.told('ada') == {'hello': 1})
        self.hold('w')
        time.sleep(2.5)  # the next step is there, and waits
        for key in h.redis('--raw', '--scan', '--pattern', '*:qs').split():  # as from somebody who died behind the compare-and-set
            was = json.loads(h.redis('--raw', 'HGET', key, 'w'))
            was['n'] += 1
            was['waves']['all']['state'] = 'open'
            h.redis('HSET', key, 'w', json.dumps(was, separators=(',', ':')))
            h.redis('HINCRBY', key, '*', '1')
        self.open('w')
        self.h.until(lambda: self.told('ada').get('nudge') == 1, what=lambda: self.told('ada'))

    def test_s58_x56_it_is_in_force_when_it_is_answered(self):
        people = self.queue('cut', random.sample(['a%d' % i for i in range(100)], 100))
        self.open('cut')
        self.h.until(lambda: self.wave('cut')['released'] >= 15, what=lambda: self.status('cut'))
        answer = self.hold('cut')
        first = self.begun(people, 'cut')
        self.assertEqual((answer['held'] + answer['released'], answer['partitions']), (100, 16), answer)
        self.assertTrue(15 <= answer['released'] < 100, answer)
        self.quiet()
        begun, wave = self.begun(people, 'cut'), self.wave('cut')
        self.assertEqual((wave['state'], wave['by'], wave['door'], wave['released']), ('held', 'command', answer['held'], answer['released']))
        self.assertEqual(begun, first)
        self.assertEqual(begun, set(people[:len(begun)]))  # in their order, nobody passed over
        self.assertLessEqual(len(begun), answer['released'])
        self.open('cut')
        self.all_sent(people)
        self.assertEqual(self.log('cut'), [[what, 'all', 'command'] for what in ('opened', 'held', 'opened')])

    def test_s56_opened_again_it_goes_on_at_its_rate_and_what_the_hold_has_cost_is_not_made_up_for_at_once(self):
        people = self.queue('slow', ['l%d' % i for i in range(60)])
        self.open('slow')
        self.h.until(lambda: self.wave('slow')['released'] >= 5)
        before = self.hold('slow')['released']
        time.sleep(1.3)
        self.open('slow')
        self.all_sent(people)
        at = sorted(self.instants('slow', people))
        for t in at[before:]:
            n = sum(t <= u < t + seconds(0.5) for u in at)
            self.assertLess(n, 0.5 * 40 + 16, '%d in half a second' % n)

    def test_s59_the_status_counts_whom_a_wave_has_let_in_as_the_answer_of_a_command_does(self):
        self.open('counted')
        self.crowd('counted', ['m0', 'm1'])
        self.let_in('counted', 2)
        self.assertEqual(self.hold('counted')['released'], 2)
        self.assertEqual(self.open('counted')['released'], 2)
        self.assertEqual(self.wave('counted')['released'], 2)

    def test_s58_who_was_let_in_parks_before_the_next_send(self):
        people = ['b%d' % i for i in range(12)]
        self.open('steps')
        self.crowd('steps', people)
        self.all_sent(people)
        answer = self.hold('steps')
        self.assertEqual((answer['held'], answer['released']), (0, 12))
        self.quiet()
        self.assertEqual([self.told(who) for who in people], [{'hello': 1}] * 12)
        self.assertEqual(len(self.active('b0')), 1)
        self.open('steps')
        self.all_sent(people, 'nudge')
        for who in people:
            self.at_step(who, 'calm')

    def test_s58_before_its_next_send_and_no_earlier(self):
        self.open('walk')
        self.crowd('walk', ['c0'])
        self.h.until(lambda: self.active('c0', 'walk')[0]['step'] == 'rest')
        self.hold('walk')
        said = lambda: [t for t in self.trace('c0') if 'say' in json.dumps(t)]
        self.h.until(said, what=lambda: self.trace('c0'))
        self.assertEqual(self.told('c0'), {})
        self.open('walk')
        self.sent('c0', 'nudge')

    def trace(self, who):
        run, keys = self.runs(who)[0]['id'], self.h.redis('--scan', '--pattern', '*:qt:*').split()
        return [text for text in (self.h.redis('LRANGE', key, '0', '-1') for key in keys) if run in text]

    def test_s58_another_wave_goes_on(self):
        self.open('two', 'pilot'), self.open('two', 'rest')
        self.crowd('two', ['d0'], early=True), self.crowd('two', ['d1'])
        self.all_sent(['d0', 'd1'])
        self.hold('two', 'pilot')
        self.sent('d1', 'nudge')
        self.quiet()
        self.assertEqual(self.told('d0'), {'hello': 1})
        self.assertEqual([w['state'] for w in self.status('two')['waves']], ['held', 'open'])

    def test_s48_goals_and_exits_still_work_and_who_has_left_is_not_sent_anything_when_it_goes_on(self):
        people = ['e0', 'e1', 'e2']
        self.open('left')
        self.crowd('left', people)
        self.all_sent(people)
        self.hold('left')
        self.assertEqual(self.entry(self.event('e0', 'left.won'), 'left')['why'], 'goal')
        self.quiet()
        self.assertEqual(self.entry(self.event('e1', 'left.closed'), 'left')['why'], 'closed')
        self.open('left')
        self.sent('e2', 'nudge')
        self.assertEqual([self.told(who) for who in people], [{'hello': 1}, {'hello': 1}, {'hello': 1, 'nudge': 1}])

    def enqueued(self, name, who):
        """A message of this sequence that waits for the end of their pause."""
        self.pause(self.who(who))
        self.open(name)
        self.begin(who, name + '.begun')
        return self.held(who)['id']

    def test_s58_all_holds_what_is_enqueued_until_it_is_opened_again(self):
        id = self.enqueued('queued', 'f0')
        self.assertGreaterEqual(self.hold('queued', all=True)['released'], 1)
        self.patch('f0', preferences={'pause_until': None})
        self.h.settled(self.h.send('f0', 'thanks', {}, channels=['email']))
        self.quiet()
        message = self.h.message(id)
        self.assertEqual((message['status'], self.mails('f0')), ('scheduled', ['thanks']), message)
        self.assertNotIn(message['deliveries'][0]['reason'], (None, 'preference'))
        self.open('queued')
        self.sent('f0', 'hello')
        self.assertEqual(self.told('f0'), {'hello': 1, 'thanks': 1})

    def test_s58_the_command_holds_all_too(self):
        id = self.enqueued('told', 'g0')
        answer = self.h.cli_json('sequence', 'wave', 'hold', 'told', 'all', '--all')
        self.assertEqual((answer['state'], answer['wave'], answer['lost']), ('held', 'all', []))
        self.patch('g0', preferences={'pause_until': None})
        self.quiet()
        self.assertEqual(self.h.message(id)['status'], 'scheduled')
        self.h.cli('sequence', 'wave', 'open', 'told', 'all')
        self.sent('g0', 'hello')

    def test_s58_without_all_what_is_enqueued_is_sent(self):
        self.enqueued('kept', 'h0')
        self.hold('kept')
        self.patch('h0', preferences={'pause_until': None})
        self.sent('h0', 'hello')

    def test_s58_a_wave_that_was_never_open_may_be_held_and_repeating_is_harmless(self):
        self.crowd('shut', ['i0'])
        answers = [self.hold('shut') for _ in range(3)]
        self.assertEqual([(a['held'], a['released'], a['in_flight']) for a in answers], [(1, 0, 0)] * 3)
        self.assertEqual(self.log('shut'), [['held', 'all', 'command']])
        self.quiet()
        self.assertEqual(self.told('i0'), {})
        self.open('shut')
        self.sent('i0', 'hello')

    def test_s58_who_comes_while_it_is_held_stands_at_the_door(self):
        self.open('again')
        self.hold('again')
        self.crowd('again', ['j0'])
        self.quiet()
        self.assertEqual((self.told('j0'), self.wave('again')['door'], self.active('j0')[0]['released']), ({}, 1, None))
        self.open('again')
        self.sent('j0', 'nudge')

    def test_s58_between_two_sends_in_a_row_too(self):
        people = ['k%d' % i for i in range(20)]
        self.crowd('edge', people)
        for _ in range(4):
            self.open('edge')
            time.sleep(random.random() * 1.1)
            self.hold('edge')
            before = [self.told(who) for who in people]
            time.sleep(0.2)
            self.assertEqual([self.told(who) for who in people], before)
        self.open('edge')
        self.all_sent(people, 'nudge')
        self.all_sent(people, 'hello')


class Held(Waves):
    """What needs a service of its own."""
    def test_s58_a_hold_outlives_the_service_and_its_death(self):
        h = self.build(rollout('line', '{name: all, where: always, rate: 30/s}', LATER), worker={'lease': '1s'})
        p = h.start()
        people = self.queue('line', ['a%d' % i for i in range(30)])
        self.open('line')
        self.h.until(lambda: self.wave('line')['released'] >= 6)
        answer = self.hold('line')
        told = {who: self.told(who) for who in people}
        self.kill(p)
        p = h.start()
        time.sleep(1.1)
        h.stop(p)
        h.redis_end()
        h.start()
        time.sleep(1.1)
        wave = self.wave('line')
        self.assertEqual((wave['state'], wave['released'], wave['door']), ('held', answer['released'], 30 - answer['released']))
        self.assertEqual({who: self.told(who) for who in people}, told)
        self.open('line')
        self.all_sent(people, 'nudge')
        self.all_sent(people)
        self.assertEqual(self.log('line'), [['opened', 'all', 'command'], ['held', 'all', 'command'], ['opened', 'all', 'command']])


class Gate(Waves):
    """An hour is a second, and there are two workers."""
    RATE = round(3600 / SLOWNESS)
    OPTIONS = ('--clock-rate', str(RATE))
    GOAL, FAILED, SCORE = 'goal: {above: 25%}', 'hold: {failed: 3%}', 'answered_score: {event: NAME.answered, field: event.score, mean_above: 6}'
    FORMS = {'few-fail': (20, FAILED), 'more-fail': (60, FAILED), 'new-fail': (60, FAILED), 'withdrawn': (60, 'hold: {opted_out: 3%}'),
             'above': (12, 'open: {%s}' % GOAL), 'below': (12, 'open: {%s}' % GOAL), 'scarce': (9, 'open: {%s}' % GOAL), 'unsettled': (12, 'open: {%s}' % GOAL),
             'approved': (12, 'open: {%s, approve: true}' % GOAL), 'high': (12, 'open: {%s}' % SCORE), 'six': (12, 'open: {%s}' % SCORE),
             'both': (12, 'open: {%s, %s}' % (GOAL, SCORE)), 'harmed': (60, '%s, open: {%s}' % (FAILED, GOAL)), 'forbidden': (12, 'open: {%s}' % GOAL),
             'silent': (12, FAILED), 'finished': (12, 'open: {%s}' % SCORE)}
    GOALS = {'above': 8, 'below': 4, 'scarce': 9, 'unsettled': 12, 'approved': 12, 'both': 12, 'harmed': 40, 'forbidden': 12}
    BAD = {'few-fail': 1, 'more-fail': 6, 'new-fail': 6, 'harmed': 6}
    SCORES = {'high': 7, 'six': 6, 'both': 5}
    DEFINITIONS = '---\n'.join(
        rollout(name, TWO, gate='{settle: %s, least: 10, %s}' % ('5000h' if name == 'unsettled' else '1h', gate), more='goal: {event: NAME.won}\n')
        for name, (n, gate) in FORMS.items())

    @classmethod
    def people(cls, name):
        return ['%s%s%d' % ('bad-' if i < cls.BAD.get(name, 0) else '', name, i) for i in range(cls.FORMS[name][0])]

    @classmethod
    def setUpClass(cls):
        time.sleep(max(0, 4 * SLOWNESS - (time.monotonic() - cls.since)))  # an hour to settle, and two looks at the gates

    @classmethod
    def ahead(cls):
        """All of it has happened since the file was opened."""
        refuse = lambda verb, arg, session: '550 5.7.1 no' if verb == 'RCPT' and arg.startswith('bad-') else None
        cls.h = house(cls.DEFINITIONS, smtp=SmtpServer(script=refuse))
        unittest.addModuleCleanup(cls.h.close)
        cls.h.start(*cls.OPTIONS)
        cls.h.start('--role', 'worker', wait=False)
        post = lambda lines: cls.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, lines)).encode(), type=NDJSON)
        for name in cls.FORMS:
            post([{'recipient': person(who, attributes={'early': True}), 'name': name + '.begun'} for who in cls.people(name)])
            post([{'recipient': person(name + '-next'), 'name': name + '.begun'}])
            if name == 'forbidden':
                cls.h.http('POST', '/v1/sequences/%s/waves/rest/hold' % name)
            cls.h.http('POST', '/v1/sequences/%s/waves/pilot/open' % name)
        counted = lambda name: next(w for w in cls.h.http('GET', '/v1/sequences/%s/waves' % name)[1]['waves'])['released'] == cls.FORMS[name][0]
        cls.h.until(lambda: all(map(counted, cls.FORMS)), 20, 'all are let in')
        mails = sum(n for n, gate in cls.FORMS.values()) - sum(cls.BAD.values())
        cls.h.until(lambda: len({m.recipient for m in list(cls.h.smtp.accepted)}) >= mails, 20, 'all are told')
        for name, score in cls.SCORES.items():
            post([{'recipient': who, 'name': name + '.answered', 'data': {'score': score}} for who in cls.people(name)])
        for name, n in cls.GOALS.items():
            post([{'recipient': who, 'name': name + '.won'} for who in cls.people(name)[-n:]])
        for who in cls.people('withdrawn')[:6]:
            cls.h.http('POST', '/v1/recipients/%s/consents' % who, {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        cls.since = time.monotonic()

    def pair(self, name):
        pilot, rest = self.status(name)['waves']
        return pilot, rest

    def states(self, name):
        pilot, rest = self.pair(name)
        return pilot['state'], pilot['gate'], rest['state']

    def test_s57_x58_one_of_twenty_is_no_evidence(self):
        pilot, rest = self.pair('few-fail')
        self.assertEqual((pilot['figures']['failed']['reached'], pilot['figures']['failed']['of']), (1, 20))
        self.assertAlmostEqual(pilot['figures']['failed']['low'], 0.0089, 4)
        self.assertEqual(self.states('few-fail'), ('open', 'undecided', 'closed'))
        failed = self.messages('bad-few-fail0')[0]
        self.assertEqual((failed['status'], failed['deliveries'][0]['reason']), ('failed', 'provider_rejected'))

    def test_s57_x58_six_of_sixty_are_and_hold_it(self):
        pilot, rest = self.pair('more-fail')
        self.assertEqual((pilot['figures']['failed']['reached'], pilot['figures']['failed']['of']), (6, 60))
        self.assertAlmostEqual(pilot['figures']['failed']['low'], 0.0466, 4)
        self.assertEqual((pilot['state'], pilot['by'], rest['state']), ('held', 'gate', 'closed'))
        self.assertEqual(self.log('more-fail'), [['opened', 'pilot', 'command'], ['held', 'pilot', 'gate']])
        self.assertIn('failed', ' '.join(pilot['why']))

    def test_s57_who_withdraws_counts(self):
        pilot, rest = self.pair('withdrawn')
        self.assertEqual((pilot['figures']['opted_out']['reached'], pilot['state'], pilot['by']), (6, 'held', 'gate'))

    def test_s58_what_the_gate_holds_lets_nobody_in(self):
        name = 'more-fail'
        self.crowd(name, ['late-' + name], early=True)
        self.open(name, 'rest')  # by a person: another wave is another matter
        self.sent(name + '-next', 'hello')
        self.assertEqual((self.told('late-' + name), self.wave(name, 'pilot')['door']), ({}, 1))

    def test_s60_x57_enough_goals_open_the_next_and_two_workers_open_it_once(self):
        self.assertEqual(self.states('above')[0::2], ('open', 'open'))
        self.assertEqual(self.log('above'), [['opened', 'pilot', 'command'], ['opened', 'rest', 'gate']])
        self.assertEqual((self.wave('above', 'rest')['by'], self.wave('above', 'pilot')['figures']['goal']['reached']), ('gate', 8))
        self.sent('above-next', 'hello')

    def shut(self, name, *words):
        pilot, rest = self.pair(name)
        self.assertEqual((pilot['state'], pilot['gate'], rest['state'], rest['door']), ('open', 'undecided', 'closed', 1))
        for word in words:
            self.assertIn(word, ' '.join(pilot['why']))
        self.assertEqual((self.told(name + '-next'), self.log(name)), ({}, [['opened', 'pilot', 'command']]))

    def test_s57_too_few_goals_do_not_and_it_says_what_is_missing(self):
        self.shut('below', 'goal', '4 of 12', '25')

    def test_s57_goals_of_too_few_people_do_not(self):
        self.shut('scarce', '9', '10')

    def test_s57_goals_of_people_who_have_not_settled_do_not(self):
        self.assertEqual((self.wave('unsettled', 'pilot')['settled'], self.wave('above', 'pilot')['settled']), (0, 12))
        self.shut('unsettled', '0', '10')

    def test_s57_a_gate_without_open_only_holds(self):
        self.shut('silent')

    def test_s57_where_a_person_must_approve_it_says_so_and_waits(self):
        self.assertEqual(self.states('approved'), ('open', 'open', 'closed'))
        self.assertEqual(self.told('approved-next'), {})
        self.open('approved', 'rest')
        self.sent('approved-next', 'hello')
        self.assertEqual(self.log('approved'), [['opened', 'pilot', 'command'], ['opened', 'rest', 'command']])

    def test_s57_a_mean_above_opens_and_one_that_is_just_that_does_not(self):
        self.assertEqual(self.states('high')[0::2], ('open', 'open'))
        self.sent('high-next', 'hello')
        self.shut('six', '6')

    def test_s57_the_answer_of_somebody_who_has_left_counts_also_when_they_had_settled_before(self):
        name, people = 'finished', self.people('finished')
        self.post([{'recipient': who, 'name': name + '.won'} for who in people])
        self.assertEqual(self.active(people[0]), [])
        self.post([{'recipient': who, 'name': name + '.answered', 'data': {'score': 9}} for who in people])
        self.h.until(lambda: self.wave(name, 'rest')['state'] == 'open', 5, lambda: self.status(name))

    def test_s57_every_line_must_hold(self):
        self.shut('both', '5')

    def test_s57_harm_comes_before_success(self):
        self.assertEqual((self.states('harmed')[0::2], self.log('harmed')), (('held', 'closed'), [['opened', 'pilot', 'command'], ['held', 'pilot', 'gate']]))

    def test_s58_what_a_person_has_held_no_gate_opens(self):
        self.assertEqual(self.states('forbidden')[0::2], ('open', 'held'))
        self.assertEqual((self.log('forbidden'), self.told('forbidden-next')), ([['held', 'rest', 'command'], ['opened', 'pilot', 'command']], {}))

    def test_s57_opened_again_by_a_person_old_evidence_holds_it_no_more_but_new_does(self):
        name = 'new-fail'
        self.assertEqual(self.wave(name, 'pilot')['state'], 'held')
        self.open(name, 'pilot')
        self.crowd(name, ['calm-%d' % i for i in range(10)], early=True)
        self.all_sent(['calm-%d' % i for i in range(10)])
        time.sleep(2.5 * SLOWNESS)
        wave = self.wave(name, 'pilot')
        self.assertEqual((wave['state'], wave['by'], wave['figures']['failed']['reached']), ('open', 'command', 0), wave)
        self.crowd(name, ['bad-new%d' % i for i in range(10)], early=True)
        self.h.until(lambda: self.wave(name, 'pilot')['state'] == 'held', 10, lambda: self.status(name))
        self.assertEqual(self.log(name), [['opened', 'pilot', 'command'], ['held', 'pilot', 'gate']] * 2)


class Accounts(Waves):
    """Two workers; a company has one place in a group."""
    @staticmethod
    def grouped(name, group=None, conflict='queue', steps=HELLO + CALM, more='reentry: always\n' + ENDS):
        text = 'sequence: NAME\ncategory: onboarding\ntrigger: {event: NAME.begun}\n%sgroup: {name: %s, one_per: account, on_conflict: %s}\nsteps:\n%s'
        return (text % (more, group or name, conflict, steps)).replace('NAME', name)

    @classmethod
    def setUpClass(cls):
        one = cls.grouped
        signed = '{event: contract.signed, of: account, where: {recipient.role: decider}}'
        decider = one('decider', more='reentry: {per: event.contract}\ngoal: {event: portal.live, of: account, ends: true}\n')
        cls.DEFINITIONS = '---\n'.join([
            *(one(name) for name in ('queue', 'left', 'erased', 'moved', 'again', 'stopped', 'race')), one('other', 'queue'), one('skip', conflict='skip'),
            one('brief', steps=HELLO), decider.replace('{event: decider.begun}', signed),
            rollout('wave', TWO, more=ENDS + 'group: {name: wave, one_per: account, on_conflict: queue}\n'),
            'sequence: mine\ncategory: onboarding\ntrigger: {event: mine.begun}\nreentry: always\n' + ENDS.replace('NAME', 'mine') + 'steps:\n' + HELLO + CALM])
        super().setUpClass()
        cls.h.start('--role', 'worker', wait=False)

    def members(self, account, n, **fields):
        return [self.who('%s%d' % (account, i), account=account, **fields) for i in range(n)]

    def what(self, who, name):
        return [d.get('why') or d['what'] for d in self.event(who, name + '.begun')['did'] if d['sequence'] == name]

    def gone(self, who, name, how='won'):
        return self.entry(self.event(who, '%s.%s' % (name, how)), 'left')

    def running(self, people, name):
        """Who of them has been told and has not left."""
        return [who for who in people if self.active(who, name) and self.told(who)]

    def next_is(self, who, name, people):
        self.h.until(lambda: self.told(who).get('hello'), 3, lambda: 'it is the turn of %s: %s' % (who, {w: (self.told(w), self.runs(w)) for w in people}))
        self.assertEqual(self.running(people, name), [who])

    def test_s64_one_of_a_company_at_a_time_in_the_order_they_came(self):
        people = [self.members('acme', 10)[i] for i in (4, 7, 2, 9, 3)]
        self.assertEqual([self.what(who, 'queue') for who in people], [['enrolled'], ['queued'], ['queued'], ['queued'], ['queued']])
        for i, who in enumerate(people):
            self.next_is(who, 'queue', people)
            time.sleep(0.2)
            self.assertEqual([self.told(w) for w in people], [{'hello': 1}] * (i + 1) + [{}] * (4 - i))
            self.gone(who, 'queue')
        self.h.until(lambda: self.what(people[0], 'queue') == ['enrolled'], 3)

    def test_s64_other_companies_and_who_has_none_are_another_matter(self):
        first = self.members('bolt', 2)
        self.assertEqual([self.what(who, 'queue') for who in first], [['enrolled'], ['queued']])
        for who in self.members('cone', 1) + [self.who('single%d' % i) for i in range(3)]:
            self.assertEqual(self.what(who, 'queue'), ['enrolled'])
            self.sent(who, 'hello')
        self.begin(first[1], 'mine.begun')  # what has no group
        self.assertEqual([r['sequence'] for r in self.active(first[1]) if r['step']], ['mine'])

    def test_s64_the_place_is_the_group_s_whichever_sequence_asks(self):
        people = self.members('dune', 2)
        self.assertEqual([self.what(people[0], 'queue'), self.what(people[1], 'other'), self.what(people[0], 'other')], [['enrolled'], ['queued'], ['queued']])
        self.gone(people[0], 'queue')
        self.next_is(people[1], 'other', people[1:])
        self.assertEqual(self.told(people[0]), {'hello': 1})
        self.gone(people[1], 'other')
        self.h.until(lambda: self.told(people[0]) == {'hello': 2}, 3, lambda: self.runs(people[0]))

    def test_s64_or_the_second_is_left_out(self):
        people = self.members('east', 2)
        self.assertEqual([self.what(who, 'skip') for who in people], [['enrolled'], ['group']])
        self.gone(people[0], 'skip')
        self.h.until(lambda: self.what(people[1], 'skip') == ['enrolled'], 3)
        self.assertEqual([self.told(who) for who in people], [{'hello': 1}] * 2)

    def test_s64_the_place_is_free_also_when_a_run_has_come_to_its_end(self):
        people = self.members('fern', 6)
        for who in people:
            self.event(who, 'brief.begun')
        for who in people:
            self.left(who)
        self.apart(people)

    def apart(self, people):
        """No two of them at a time; each has one run, which has ended, and whose first step was a message."""
        spans = sorted((moment(self.listed(who)[0]['accepted_at']), moment(self.runs(who)[0]['ended'])) for who in people)
        for (_, ended), (begun, _) in zip(spans, spans[1:]):
            self.assertLessEqual(ended, begun, spans)

    def test_s64_the_second_decider_stands_at_the_door_until_the_first_has_left(self):
        people = self.members('gulf', 3, role='decider') + self.members('gulfuser', 1, role='user')
        self.patch(people[3], account='gulf')
        signed = lambda contract: self.h.http('POST', '/v1/events', {'account': 'gulf', 'name': 'contract.signed', 'data': {'contract': contract}})
        self.assertEqual(signed('k')[0], 202)
        self.h.until(lambda: len(self.running(people, 'decider')) == 1, what=lambda: {w: self.runs(w) for w in people})
        time.sleep(0.3)
        first = self.running(people, 'decider')
        self.assertEqual(sum(self.told(who).get('hello', 0) for who in people), 1)
        self.h.cli('sequence', 'exit', 'decider', '--recipient', first[0])
        self.h.until(lambda: len(self.running(people, 'decider')) == 1, 3, what=lambda: {w: self.runs(w) for w in people})
        self.assertEqual(sum(self.told(who).get('hello', 0) for who in people), 2)
        self.assertEqual(self.h.http('POST', '/v1/events', {'account': 'gulf', 'name': 'portal.live'})[0], 202)  # who waits has reached it, too
        time.sleep(1.2)
        self.assertEqual((self.running(people, 'decider'), sum(self.told(who).get('hello', 0) for who in people)), ([], 2))

    def test_s33_who_leaves_the_line_is_passed_over(self):
        people = self.members('hill', 5)
        for who in people:
            self.event(who, 'left.begun')
        self.event(people[1], 'left.won'), self.event(people[2], 'left.closed')
        self.h.cli('sequence', 'exit', 'left', '--recipient', people[3], status=None)
        self.gone(people[0], 'left')
        self.next_is(people[4], 'left', people)
        self.gone(people[4], 'left')
        time.sleep(1.2)
        self.assertEqual([self.told(who) for who in people], [{'hello': 1}, {}, {}, {}, {'hello': 1}])

    def test_s52_who_is_erased_frees_the_place_and_of_who_is_erased_in_the_line_nothing_is_left(self):
        people = [self.who(who, account='isle') for who in ('zacharias', 'zebulon', 'i2', 'i3')]
        for who in people:
            self.event(who, 'erased.begun')
        self.sent('zacharias', 'hello')
        for who in ('zebulon', 'zacharias'):
            self.assertIs(self.h.http('DELETE', '/v1/recipients/' + who)[1]['erased'], True)
        self.next_is('i2', 'erased', ['i2', 'i3'])
        for word in ('zacharias', 'zebulon'):
            self.h.until(lambda: not remains(self.h, word), 6, lambda: remains(self.h, word))
        self.gone('i2', 'erased')
        self.next_is('i3', 'erased', ['i2', 'i3'])

    def test_s64_who_changes_the_company_while_they_wait_is_never_a_second_there(self):
        jade, kiln = self.members('jade', 2), self.members('kiln', 2)
        for who in (jade[0], kiln[0], jade[1], kiln[1]):
            self.event(who, 'moved.begun')
        self.patch(jade[1], account='kiln')
        self.gone(jade[0], 'moved')
        time.sleep(1.2)
        at_kiln = [kiln[0], kiln[1], jade[1]]
        self.assertEqual(self.running(at_kiln, 'moved'), [kiln[0]], {w: self.runs(w) for w in at_kiln})
        self.gone(kiln[0], 'moved')
        for n in (2, 3):  # in whichever order: each has their turn
            self.h.until(lambda: len(self.running(at_kiln, 'moved')) == 1 and sum(self.told(w).get('hello', 0) for w in at_kiln) == n, 4,
                         lambda: {w: self.runs(w) for w in at_kiln})
            self.gone(self.running(at_kiln, 'moved')[0], 'moved')
        self.assertEqual(self.what(self.members('jade', 1)[0], 'moved'), ['enrolled'])

    def test_s64_who_changes_the_company_while_they_run_gives_the_old_place_back_when_they_leave(self):
        lake = self.members('lake', 2)
        for who in lake:
            self.event(who, 'moved.begun')
        self.patch(lake[0], account='mill')
        self.gone(lake[0], 'moved')
        self.next_is(lake[1], 'moved', lake)

    def test_s38_who_comes_again_stands_behind_the_others(self):
        people = self.members('nest', 3)
        for who in people:
            self.event(who, 'again.begun')
        self.gone(people[0], 'again')
        self.next_is(people[1], 'again', people)
        self.assertEqual(self.what(people[0], 'again'), ['queued'])
        self.gone(people[1], 'again')
        self.next_is(people[2], 'again', people)
        self.gone(people[2], 'again')
        self.h.until(lambda: self.told(people[0]) == {'hello': 2}, 3)

    def test_s10_the_same_event_again_is_not_a_second_place_in_the_line(self):
        people = self.members('opal', 3)
        self.event(people[0], 'again.begun')
        self.assertEqual([self.event(people[1], 'again.begun', id='o-1')['status'] for _ in range(3)], ['taken', 'known', 'known'])
        self.event(people[2], 'again.begun')
        self.gone(people[0], 'again')
        self.next_is(people[1], 'again', people)
        self.gone(people[1], 'again')
        self.next_is(people[2], 'again', people)
        self.assertEqual(self.told(people[1]), {'hello': 1})

    def test_s50_a_stop_ends_the_run_and_the_line(self):
        people = self.members('pine', 3)
        for who in people:
            self.event(who, 'stopped.begun')
        self.sent(people[0], 'hello')
        self.h.http('POST', '/v1/sequences/stopped/stop', {})
        time.sleep(1.3)
        self.assertEqual((self.running(people, 'stopped'), [self.told(who) for who in people]), ([], [{'hello': 1}, {}, {}]))
        self.h.until(lambda: 'enrolled' in self.what(people[1], 'stopped'), 3)

    def test_s64_many_at_once_from_two_services_and_one_begins(self):
        people, port, found = self.members('quay', 12), self.beside('--role', 'api'), []

        def enrol(k):
            for i in range(k, 12, 4):
                found.extend(d['what'] for d in self.post([{'recipient': people[i], 'name': 'race.begun'}], (self.h.port, port)[k % 2])[0]['did'])
        threads = [threading.Thread(target=enrol, args=(k,)) for k in range(4)]
        [t.start() for t in threads], [t.join() for t in threads]
        self.assertEqual((found.count('enrolled'), found.count('queued')), (1, 11), found)
        for n in range(1, 13):
            self.h.until(lambda: len(self.running(people, 'race')) == 1, 4, lambda: '%d have run' % n)
            self.assertEqual(sum(self.told(who).get('hello', 0) for who in people), n)
            self.gone(self.running(people, 'race')[0], 'race')

    def test_s55_s64_who_is_let_in_by_a_wave_waits_for_the_place(self):
        people = self.members('reef', 3)
        whats = [self.event(who, 'wave.begun')['did'][0]['what'] for who in people]
        self.assertNotIn('not_enrolled', whats)
        self.assertEqual([self.told(who) for who in people], [{}] * 3)
        self.open('wave', 'rest')
        for n in (1, 2, 3):
            self.h.until(lambda: len(self.running(people, 'wave')) == 1, 4, lambda: {w: self.runs(w) for w in people})
            time.sleep(0.3)
            self.assertEqual((len(self.running(people, 'wave')), sum(self.told(who).get('hello', 0) for who in people)), (1, n))
            self.gone(self.running(people, 'wave')[0], 'wave')


class Killed(Waves):
    apart = Accounts.apart

    def test_s64_killed_again_and_again_there_are_never_two_and_nobody_is_forgotten(self):
        steps = '  - {id: hello, send: {template: hello, channels: [in_app]}}\n  - {id: rest, wait: 100ms}\n'
        h = self.build(Accounts.grouped('line', steps=steps, more=''), worker={'lease': '1s'})
        p, companies = h.start(), {'c%d' % c: ['c%dp%d' % (c, i) for i in range(6)] for c in range(16)}
        lines = [{'recipient': person(companies[c][i], account=c), 'name': 'line.begun', 'id': companies[c][i]} for i in range(6) for c in companies]
        self.post(lines)
        for _ in range(8):
            time.sleep(0.05 + random.random() / 5)
            self.kill(p)
            p = h.start()
        open_ = lambda: [who for people in companies.values() for who in people if [bool(r.get('ended')) for r in self.runs(who)] != [True]]
        self.h.until(lambda: not open_(), 10, lambda: 'without a turn: %s' % open_())
        for people in companies.values():
            self.assertEqual([self.told(who) for who in people], [{'hello': 1}] * 6)
            self.apart(people)


class Check(Waves):
    HEAD = 'sequence: x\ncategory: onboarding\ntrigger: {enroll: true}\n'

    @classmethod
    def setUpClass(cls):
        cls.h = house()
        cls.addClassCleanup(cls.h.close)

    def refuses(self, text, word='', steps='steps:\n' + HELLO):
        """The check refuses this at the line that ends with "# here", with this word."""
        text = self.HEAD + text.strip('\n') + '\n' + steps
        line = next(i for i, line in enumerate(text.split('\n'), 1) if line.endswith('# here'))
        define(self.h, text, 'x')
        with self.subTest(text=text):
            said = self.h.cli('sequence', 'check', status=1) + self.h.err
            self.assertRegex(said, r'(?m)x\.yaml:%d: .*%s' % (line, re.escape(word)))

    def takes(self, text):
        define(self.h, self.HEAD + text.strip('\n') + '\nsteps:\n' + HELLO, 'x')
        with self.subTest(text=text):
            self.h.cli('sequence', 'check')

    def wave(self, text, word=''):
        self.refuses('waves:\n  order:\n    - {name: b, where: {recipient.role: admin}}\n    - %s # here' % text, word)

    def gate(self, text, word='', more=''):
        self.refuses(more + 'waves:\n  order:\n    - {name: b, where: always}\n  gate:\n    settle: 1h\n    least: 30\n    %s # here' % text, word)

    def test_a_wave_that_is_wrong(self):
        for text, word in (('{name: a}', 'where'), ('{where: always}', 'name'), ('{name: b, where: always}', 'name'), ('{name: a b, where: always}', 'name'),
                           ('{name: a, where: {}}', 'where'), ('{name: a, where: {recipient.id: {like: 1}}}', 'like'), ('pilot', '')):
            self.wave(text, word)
        for text in ('colour: red', 'share: 120%', 'share: most', 'most: 0', 'most: 1.5', 'most: many', 'rate: 500', 'rate: 500/x',
                     'rate: 0/h', 'rate: -1/h', 'rate: fast', 'rate: /h', 'window: {at: "25:00"}', 'window: {}'):
            self.wave('{name: a, where: always, %s}' % text, text.split(':')[0])
        for text, word in (('at: "09:00", until: "09:00"', 'until'), ('at: "09:00", only: [mun]', 'only'), ('at: "09:00", to: "10:00"', 'to')):
            self.wave('{name: a, where: always, window: {%s}}' % text, word)
        for text, word in (('waves: {} # here', 'order'), ('waves:\n  order: [] # here', 'order'),
                           ('waves:\n  colour: red # here\n  order: [{name: a, where: always}]', 'colour')):
            self.refuses(text, word)

    def test_a_gate_that_is_wrong(self):
        for text, word in (('open: {goal: {above: 25%}}', 'goal'), ('colour: red', 'colour'), ('hold: {crashed: 3%}', 'crashed'),
                           ('hold: {failed: much}', 'failed'), ('open: {luck: true}', 'luck'), ('open: {approve: perhaps}', 'approve')):
            self.gate(text, word)
        for text, word in (('event: e, mean_above: 6', 'field'), ('field: event.score, mean_above: 6', 'event'),
                           ('event: e, field: event.score', 'mean_above')):
            self.gate('open: {answered_score: {%s}}' % text, word)
        for text, word in (('above: 125%', 'above'), ('', 'above'), ('above: 25%, below: 5%', 'below')):
            self.gate('open: {goal: {%s}}' % text, word, 'goal: {event: won}\n')
        for text, word in (('settle: soon, least: 3', 'settle'), ('settle: 1h, least: 0', 'least')):
            self.refuses('waves:\n  order: [{name: a, where: always}]\n  gate: {%s, hold: {failed: 3%%}} # here' % text, word)

    def test_a_group_of_accounts_that_is_wrong(self):
        for text, word in (('name: g, one_per: account, on_conflict: replace', 'on_conflict'), ('name: g, one_per: account, on_conflict: wait', 'on_conflict'),
                           ('name: g, one_per: company', 'one_per'), ('one_per: account', 'name')):
            self.refuses('group: {%s} # here' % text, word)

    def test_what_is_sound(self):
        self.takes('group: {name: g, one_per: account, on_conflict: skip}')
        for rate in ('500/h', '1/s', '30/min', '10000/d'):
            self.takes('waves:\n  order:\n    - {name: pilot, where: {recipient.attributes.early: true}, most: 50}\n'
                       '    - {name: dach-canary, where: always, share: 5%%}\n'
                       '    - {name: rest, where: always, rate: %s, window: {at: "09:00", until: "17:00", only: workdays}}\n'
                       '  gate: {settle: 72h, least: 30, hold: {bounced: 3%%, complained: 0.3%%, opted_out: 2%%, failed: 5%%},\n'
                       '         open: {approve: true}}' % rate)


if __name__ == '__main__':
    unittest.main()
