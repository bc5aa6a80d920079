"""An operator pauses a sequence, lets it go on, or stops it: what stands still meanwhile, what does not, and when the rest is due."""
import datetime, itertools, json, math, os, signal, threading, unittest

from house import SLOWNESS
from test_sequences import NDJSON, UTC, Journey, house, moment, seconds, write

S, WITNESSES = math.ceil(SLOWNESS), itertools.count()
HELLO, NUDGE, THANKS = ('  - {id: %s, send: {template: %s, channels: [email]}}\n' % (t, t) for t in ('hello', 'nudge', 'thanks'))
REST, AGAIN, CALM = '  - {id: rest, wait: %ds}\n' % S, '  - {id: again, wait: %ds}\n' % S, '  - {id: calm, wait: 30d}\n'
ASK = '  - {id: ask, wait_for: {any: [{event: NAME.answered, as: yes_please}], timeout: %s}, then: {yes_please: [%s], timeout: [%s]}}\n'
ARM = '{id: %s, send: {template: %s, channels: [email]}}'
DIGEST = {'template.yaml': 'category: onboarding\nchannels: [email]\ndata:\n  total: { type: integer, required: true, sample: 1 }\n',
          'email.subject.mustache': 'digest {{total}}', 'email.text.mustache': 'of {{total}}\n'}
GATHER = '  - {id: gather, collect: {until: %ds}}\n' \
         '  - {id: mail, send: {template: digest, channels: [email], data: {total: {from: steps.gather.total}}}}\n' % (2 * S)


def sequence(name, steps, more=''):
    head = 'sequence: NAME\ncategory: onboarding\ntrigger: {event: NAME.begun}\nreentry: always\n%ssteps:\n' % more
    return (head + steps).replace('NAME', name)


def pausing(*definitions, **settings):
    h = house('---\n'.join(definitions), **settings)
    for part, text in DIGEST.items():
        write(os.path.join(h.settings['templates'], 'digest', part), text)
    return h


class Operated(Journey):
    @classmethod
    def setUpClass(cls):
        if cls.DEFINITIONS:
            cls.h = pausing(*cls.DEFINITIONS)
            cls.addClassCleanup(cls.h.close)
            cls.h.start(*cls.OPTIONS)

    def build(self, *definitions, **settings):
        self.h = pausing(*definitions, **settings)
        self.addCleanup(self.h.close)
        return self.h

    def order(self, name, what, **body):
        """What the service answers to pause, resume or stop."""
        status, answer = self.h.http('POST', '/v1/sequences/%s/%s' % (name, what), body)
        self.assertIn(status, (200, 202), answer)
        return answer

    def begun(self, who, name, step=None):
        """Somebody new in this sequence, who stands at this step."""
        did = self.begin(self.who(who), name + '.begun')
        if step:
            self.at_step(who, step, name)
        return did

    def refused(self, who, name, **fields):
        answer = self.event(who, name + '.begun', **fields)
        self.assertEqual([(d['sequence'], d['what'], d['why']) for d in answer['did']], [(name, 'not_enrolled', 'paused')], answer)

    def lapse(self):
        """The term of the waits has passed: of somebody who has begun another sequence after all that was done before."""
        who = 'witness-%d' % next(WITNESSES)
        self.begun(who, 'witness')
        self.sent(who, 'nudge')

    def now(self):
        return datetime.datetime.now(UTC)

    def passed(self, until):
        self.h.until(lambda: self.now() >= until)


class Pausing(Operated):
    DEFINITIONS = [sequence(name, HELLO + REST + NUDGE + CALM) for name in (
        'witness', 'door', 'whole', 'line', 'other', 'twice', 'kept', 'dropped', 'unsaid', 'enrolled', 'many')]
    DEFINITIONS += [sequence('held', HELLO + NUDGE + CALM),
                    sequence('asked', ASK % ('30d', ARM % ('thanks', 'thanks'), ARM % ('bye', 'bye')) + CALM),
                    sequence('silent', ASK % ('%ds' % S, ARM % ('thanks', 'thanks'), ARM % ('bye', 'bye')) + CALM),
                    sequence('goal', HELLO + CALM, 'goal: {event: goal.won}\nexit: [{event: goal.closed, reason: closed}]\n'),
                    sequence('digest', GATHER),
                    sequence('chain', HELLO + REST + NUDGE + AGAIN + THANKS),
                    sequence('tardy', HELLO + REST + NUDGE + CALM, 'late: {max: 1s, then: exit}\n')]

    # who may enter

    def test_an_entry_that_is_closed_lets_nobody_in_and_who_is_in_goes_on(self):
        self.begun('a1', 'door', 'rest')
        self.h.cli('sequence', 'pause', 'door', '--entry')
        self.refused(self.who('b1'), 'door', id='b-1')
        self.sent('a1', 'nudge')
        self.h.cli('sequence', 'resume', 'door')
        self.assertEqual(self.event('b1', 'door.begun', id='b-1')['status'], 'known')  # that was its chance
        self.begin('b1', 'door.begun')
        self.assertEqual(len(self.runs('b1')), 1)
        self.sent('b1', 'nudge')

    def test_the_entry_is_closed_over_http_too(self):
        self.order('line', 'pause', entry=True)
        self.refused(self.who('a2'), 'line')
        self.order('line', 'resume')
        self.begin('a2', 'line.begun')

    def test_who_is_enrolled_by_hand_is_told_the_same(self):
        self.order('enrolled', 'pause', entry=True)
        status, answer = self.enroll('enrolled', self.who('a3'))
        self.assertEqual((status, [(d['what'], d['why']) for d in answer['did']]), (202, [('not_enrolled', 'paused')]))
        self.assertEqual(self.runs('a3'), [])
        self.order('enrolled', 'resume')
        self.assertEqual(self.entry(self.enroll('enrolled', 'a3')[1], 'enrolled')['sequence'], 'enrolled')

    def test_it_holds_for_everybody_from_the_answer_on_and_only_for_this_one(self):
        people = [self.who('a4-%d' % i) for i in range(40)]
        self.order('many', 'pause')
        lines = [{'recipient': who, 'name': name + '.begun'} for who in people for name in ('many', 'other')]
        text = self.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, lines)).encode(), type=NDJSON)[1]
        did = [json.loads(line)['did'][0] for line in text.splitlines()]
        self.assertEqual([(d['sequence'], d['what'], d.get('why')) for d in did], [('many', 'not_enrolled', 'paused'), ('other', 'enrolled', None)] * 40)
        self.order('many', 'resume')
        self.begin(people[0], 'many.begun')

    def test_paused_twice_it_goes_on_when_it_is_told_once_and_told_again_it_stays_so(self):
        for _ in range(2):
            self.order('twice', 'pause')
        self.refused(self.who('a5'), 'twice')
        for _ in range(2):
            self.order('twice', 'resume')
        self.begin('a5', 'twice.begun')
        self.sent('a5', 'nudge')
        self.assertEqual(self.told('a5'), {'hello': 1, 'nudge': 1})

    # who is in

    def test_what_is_due_stands_still_and_is_done_when_it_goes_on(self):
        self.begun('c1', 'whole', 'rest')
        self.h.cli('sequence', 'pause', 'whole')
        self.refused(self.who('d1'), 'whole')
        self.lapse()
        self.at_step('c1', 'rest')
        self.assertEqual(self.told('c1'), {'hello': 1})
        self.h.cli('sequence', 'resume', 'whole')
        self.sent('c1', 'nudge')
        self.at_step('c1', 'calm')
        self.assertEqual(self.mails('c1'), ['hello', 'nudge'])

    def test_an_awaited_event_is_taken_and_its_answer_is_said_afterwards(self):
        self.begun('c2', 'asked', 'ask')
        self.order('asked', 'pause')
        self.assertEqual(self.event('c2', 'asked.answered', id='y-1')['status'], 'taken')
        self.lapse()
        self.assertEqual(self.mails('c2'), [])
        self.order('asked', 'resume')
        self.sent('c2', 'thanks')
        self.assertEqual((self.told('c2'), self.event('c2', 'asked.answered', id='y-1')['status']), ({'thanks': 1}, 'known'))

    def test_nobody_gives_up_waiting_for_an_event_meanwhile(self):
        self.begun('c3', 'silent', 'ask')
        self.order('silent', 'pause')
        self.lapse()
        self.assertEqual(self.told('c3'), {})
        self.at_step('c3', 'ask')
        self.order('silent', 'resume')
        self.sent('c3', 'bye')
        self.assertEqual(self.told('c3'), {'bye': 1})

    def test_a_goal_and_an_exit_still_end_it(self):
        for who in ('c4', 'd4'):
            self.begun(who, 'goal', 'calm')
        self.order('goal', 'pause')
        gone = self.entry(self.event('c4', 'goal.won'), 'left')
        self.assertEqual((gone['sequence'], gone['why']), ('goal', 'goal'))
        self.assertEqual(self.entry(self.event('d4', 'goal.closed'), 'left')['why'], 'closed')
        self.left('c4', 'goal')
        self.left('d4', 'closed')
        self.order('goal', 'resume')

    def test_a_digest_gathers_and_is_told_afterwards(self):
        self.begun('c5', 'digest', 'gather')
        self.order('digest', 'pause')
        self.entry(self.event('c5', 'digest.begun'), 'gathered')
        self.refused(self.who('d5'), 'digest')
        self.lapse()
        self.lapse()  # the window is twice as long
        self.assertEqual(self.mails('c5'), [])
        self.order('digest', 'resume')
        self.sent('c5', 'digest')
        self.assertEqual(self.mails('c5'), ['digest 2'])

    def test_what_comes_late_for_it_follows_the_rule_for_what_is_late(self):
        self.begun('c6', 'tardy', 'rest')
        self.order('tardy', 'pause')
        self.lapse()
        self.passed(self.now() + seconds(1.2))
        self.order('tardy', 'resume')
        self.left('c6')
        self.assertEqual(self.told('c6'), {'hello': 1})

    def test_a_chain_is_shifted_and_does_not_burst(self):
        self.begun('c7', 'chain', 'rest')
        self.order('chain', 'pause')
        self.lapse()
        self.lapse()
        self.order('chain', 'resume')
        thanks = self.sent('c7', 'thanks')
        apart = moment(thanks['send_at']) - moment(self.sent('c7', 'nudge')['deliveries'][0]['sent_at'])
        self.assertTrue(seconds(S) <= apart < seconds(S + 1.5 * SLOWNESS), apart)
        self.assertEqual(self.mails('c7'), ['hello', 'nudge', 'thanks'])

    # what is enqueued

    def enqueued(self, who, name):
        """A message of this sequence that waits for the person's own pause to end."""
        self.pause(self.who(who))
        id = self.begin(who, name + '.begun')['message']
        self.held(who)
        return id

    def lift(self, who):
        self.patch(who, preferences={'pause_until': None})

    def test_what_is_enqueued_is_held(self):
        id = self.enqueued('e1', 'held')
        self.h.cli('sequence', 'pause', 'held')
        self.lift('e1')
        self.assertEqual(self.h.reason(id, 'sequence_paused')['status'], 'scheduled')
        self.h.settled(self.h.send('e1', 'thanks', {}, channels=['email']))  # what is of no sequence goes
        self.assertEqual((self.mails('e1'), self.h.message(id)['status']), (['thanks'], 'scheduled'))
        self.h.cli('sequence', 'resume', 'held')
        self.assertEqual(self.h.settled(id)['status'], 'sent')
        self.sent('e1', 'nudge')
        self.assertEqual(self.mails('e1'), ['thanks', 'hello', 'nudge'])

    def test_or_it_goes_and_the_run_stands_still_behind_it(self):
        id = self.enqueued('e2', 'kept')
        self.h.cli('sequence', 'pause', 'kept', '--messages', 'keep')
        self.lift('e2')
        self.assertEqual(self.h.settled(id)['status'], 'sent')
        self.lapse()
        self.assertEqual(self.told('e2'), {'hello': 1})
        self.h.cli('sequence', 'resume', 'kept')
        self.sent('e2', 'nudge')

    def test_or_it_is_cancelled(self):
        id = self.enqueued('e3', 'dropped')
        self.order('dropped', 'pause', messages='cancel')
        self.assertEqual(self.h.settled(id)['status'], 'cancelled')
        self.lift('e3')
        self.order('dropped', 'resume')
        self.h.settled(self.h.send('e3', 'thanks', {}, channels=['email']))
        self.assertEqual((self.h.message(id)['status'], self.mails('e3').count('hello')), ('cancelled', 0))

    # orders that are none

    def test_an_unknown_sequence_is_not_found(self):
        for what in ('pause', 'resume', 'stop'):
            self.assertEqual(self.h.http('POST', '/v1/sequences/nope/' + what, {})[0], 404)
            self.h.cli('sequence', what, 'nope', status=1)
            self.assertIn('nope', self.h.err)

    def test_an_order_that_cannot_be_understood_changes_nothing(self):
        for what, body in (('pause', {'messages': 'burn'}), ('pause', {'entry': 'yes'}), ('pause', {'colour': 'red'}), ('resume', {'waits': 'soon'}),
                           ('resume', {'colour': 'red'}), ('stop', {'colour': 'red'})):
            with self.subTest(what=what, body=body):
                status, problem = self.h.http('POST', '/v1/sequences/unsaid/' + what, body)
                self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/' + list(body)[0]), problem)
        for words in (('pause', 'unsaid', '--messages', 'burn'), ('resume', 'unsaid', '--waits', 'soon')):
            with self.assertRaisesRegex(AssertionError, 'exit status [12], not 0'):
                self.h.cli('sequence', *words)
        self.begun('f1', 'unsaid')


class Resuming(Operated):
    """Of a wait of W the example in small: begun, paused a third later, gone on when half of it has passed besides."""
    W = 3 * S
    DEFINITIONS = [sequence(name, '  - {id: pause, wait: %ds}\n' % (S if '-' in name else 3 * S) + NUDGE) for name in (
        'keep', 'shift', 'restart', 'usual', 'late-keep', 'late-shift', 'late-restart')]

    def test_a_wait_is_kept_or_shifted_or_begins_anew(self):
        names = ['keep', 'shift', 'restart', 'usual', 'late-keep', 'late-shift', 'late-restart']
        for name in names:
            self.who('r-' + name)
        lines = [{'recipient': 'r-' + name, 'name': name + '.begun'} for name in names]
        self.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, lines)).encode(), type=NDJSON)
        begun = {name: moment(self.active('r-' + name)[0]['started']) for name in names}
        self.passed(begun['usual'] + seconds(S / 2))
        spans = {name: {} for name in names}
        for name in names:
            before = self.now()
            self.order(name, 'pause')
            spans[name]['pause'] = before, self.now()
        self.passed(begun['usual'] + seconds(2.2 * S))
        for name in names:
            waits, before = name.split('-')[-1], self.now()
            if name in ('usual', 'keep'):
                self.h.cli('sequence', 'resume', name, *(['--waits', 'keep'] if name == 'keep' else []))
            else:
                self.order(name, 'resume', waits=waits)
            spans[name]['resume'] = before, self.now()
        for name in names:
            wait, (p0, p1), (r0, r1) = seconds(S if '-' in name else self.W), spans[name]['pause'], spans[name]['resume']
            least, most = {'keep': (max(begun[name] + wait, r0), max(begun[name] + wait, r1)), 'restart': (r0 + wait, r1 + wait),
                           'shift': (begun[name] + wait + (r0 - p1), begun[name] + wait + (r1 - p0))}[name.split('-')[-1].replace('usual', 'keep')]
            was = moment(self.sent('r-' + name, 'nudge')['send_at'])
            with self.subTest(name=name):
                self.assertTrue(least - seconds(0.02) <= was < most + seconds(0.6 * S), 'begun %s, wanted %s to %s, was %s' % (begun[name], least, most, was))
                self.left('r-' + name)
                self.assertEqual(self.told('r-' + name), {'nudge': 1})


class Stopping(Operated):
    DEFINITIONS = [sequence(name, HELLO + CALM + NUDGE) for name in ('all', 'crowd', 'parked', 'bystander')]

    def test_everybody_leaves_and_the_answer_counts_them(self):
        reached, go = threading.Event(), threading.Event()
        self.addCleanup(lambda: (go.set(), setattr(self.h.smtp, 'script', None)))
        self.h.smtp.script = lambda verb, arg, session: (reached.set(), go.wait(60), None)[2] if verb == 'BODY' and str(arg).startswith('s5@') else None
        for who in ('s1', 's2'):
            self.begun(who, 'all', 'calm')
        for who in ('s3', 's4'):
            self.pause(self.who(who))
        held = [self.begun_again(who) for who in ('s3', 's4')]
        self.begun('bystander', 'bystander', 'calm')
        flying = self.begun('s5', 'all')['message']
        self.assertTrue(reached.wait(15 * SLOWNESS))
        answer = self.h.cli_json('sequence', 'stop', 'all')
        self.assertEqual({k: answer[k] for k in ('runs', 'cancelled', 'in_flight')}, {'runs': 5, 'cancelled': 2, 'in_flight': 1})
        for who in ('s1', 's2', 's3', 's4', 's5'):
            self.assertEqual([r['reason'] for r in self.runs(who)], ['stopped'])  # no waiting
        self.assertEqual([self.h.message(id)['status'] for id in held], ['cancelled'] * 2)
        again = self.order('all', 'stop')
        self.assertEqual({k: again[k] for k in ('runs', 'cancelled', 'in_flight')}, {'runs': 0, 'cancelled': 0, 'in_flight': 0})
        go.set()
        self.assertEqual(self.h.settled(flying)['status'], 'sent')
        for who in ('s3', 's4'):
            self.patch(who, preferences={'pause_until': None})
            self.h.settled(self.h.send(who, 'thanks', {}, channels=['email']))
            self.assertEqual(self.mails(who), ['thanks'])
        self.at_step('bystander', 'calm')

    def begun_again(self, who):
        """The message of a run that waits for the person's own pause to end."""
        id = self.begin(who, 'all.begun')['message']
        self.held(who)
        return id

    def test_a_crowd_is_counted_whole(self):
        people = [self.who('c%d' % i) for i in range(60)]
        lines = [{'recipient': who, 'name': 'crowd.begun'} for who in people]
        self.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, lines)).encode(), type=NDJSON)
        for who in people:
            self.at_step(who, 'calm')
        answers = self.order('crowd', 'stop'), self.h.cli_json('sequence', 'stop', 'crowd')
        counts = [{k: answer[k] for k in ('runs', 'cancelled', 'in_flight')} for answer in answers]
        self.assertEqual(counts, [{'runs': 60, 'cancelled': 0, 'in_flight': 0}, {'runs': 0, 'cancelled': 0, 'in_flight': 0}])
        self.assertEqual({(r['sequence'], r.get('reason')) for who in people for r in self.runs(who)}, {('crowd', 'stopped')})

    def test_what_is_paused_can_be_stopped(self):
        self.begun('p1', 'parked', 'calm')
        self.order('parked', 'pause')
        self.assertEqual(self.order('parked', 'stop')['runs'], 1)
        self.left('p1', 'stopped')


class Restarts(Operated):
    def test_a_pause_outlives_the_service_and_its_death(self):
        h = self.build(sequence('whole', HELLO + REST + NUDGE + CALM), sequence('witness', REST + NUDGE), worker={'lease': '1s'})
        p = h.start()
        self.begun('k1', 'whole', 'rest')
        self.order('whole', 'pause')
        h.stop(p)
        p = h.start()
        self.refused(self.who('l1'), 'whole')
        p.send_signal(signal.SIGKILL)
        p.wait()
        h.processes.remove(p)
        h.redis_end()
        h.start()
        self.refused('l1', 'whole')
        self.lapse()
        self.assertEqual(self.told('k1'), {'hello': 1})
        self.order('whole', 'resume')
        self.sent('k1', 'nudge')
        self.begin('l1', 'whole.begun')

    def test_the_order_is_obeyed_by_every_process(self):
        h = self.build(sequence('whole', HELLO + REST + NUDGE + CALM), sequence('witness', REST + NUDGE))
        h.start('--role', 'api')
        for _ in range(2):
            h.start('--role', 'worker', wait=False)
        people = ['m%d' % i for i in range(20)]
        for who in people:
            self.begun(who, 'whole')
        self.order('whole', 'pause')
        told = lambda: sum(self.told(who).get('nudge', 0) for who in people)
        before = told()
        self.lapse()
        self.assertEqual(told(), before)
        self.order('whole', 'resume')
        for who in people:
            self.sent(who, 'nudge')
        self.assertEqual(told(), 20)

    def test_after_an_outage_a_chain_is_shifted_and_does_not_burst(self):
        h = self.build(sequence('chain', HELLO + REST + NUDGE + AGAIN + THANKS))
        p = h.start()
        self.begun('o1', 'chain', 'rest')
        due = self.now() + seconds(2.5 * S)  # by then both would have been due
        h.stop(p)
        self.passed(due)
        h.start()
        thanks = self.sent('o1', 'thanks')
        apart = moment(thanks['send_at']) - moment(self.sent('o1', 'nudge')['deliveries'][0]['sent_at'])
        self.assertTrue(seconds(S) <= apart < seconds(S + 1.5 * SLOWNESS), apart)
        self.assertEqual(self.mails('o1'), ['hello', 'nudge', 'thanks'])


if __name__ == '__main__':
    unittest.main()
