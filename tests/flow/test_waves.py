"""Waves: who belongs to which, who stands at the door and who is let in when, what holds them and what opens the next; and one run of a group for an account."""
import datetime, json, math, os, random, signal, threading, time, unittest, urllib.request

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


if __name__ == '__main__':
    unittest.main()
