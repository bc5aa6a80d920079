"""Journeys: what an event begins, what a person waits for, how they leave, and that nothing of it is lost or said twice."""
import collections, datetime, json, math, os, re, signal, threading, time, unittest

from house import SLOWNESS, FlowTest, House, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}}
UTC = datetime.timezone.utc
NDJSON = 'application/x-ndjson'

BOTH = {'template.yaml': 'category: onboarding\nchannels: [in_app, email]\n', 'in_app.title.mustache': 'NAME', 'in_app.body.mustache': 'NAME to you\n',
        'email.subject.mustache': 'NAME', 'email.text.mustache': 'NAME to you\n'}
TELL = {'template.yaml': 'category: onboarding\nchannels: [email]\ndata:\n  what: { type: string, required: true, sample: rain }\n',
        'email.subject.mustache': 'tell {{what}}', 'email.text.mustache': 'tell {{what}}\n'}
TEMPLATES = {**{name: BOTH for name in ('hello', 'nudge', 'thanks', 'bye')}, 'tell': TELL}


def moment(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


def text_of(instant):
    return instant.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3] + 'Z'


def ago(**span):
    return text_of(datetime.datetime.now(UTC) - datetime.timedelta(**span))


def seconds(n):
    return datetime.timedelta(seconds=n)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as out:
        out.write(text)


def house(definitions='', **settings):
    """A House, not yet started, with small templates and these definitions, one YAML document a file."""
    h = House(categories=CATEGORIES, **settings)
    h.settings.update(templates=os.path.join(h.dir, 'templates'), sequences=os.path.join(h.dir, 'schedules'))
    for name, parts in TEMPLATES.items():
        for part, text in parts.items():
            write(os.path.join(h.settings['templates'], name, part), text.replace('NAME', name))
    os.makedirs(h.settings['sequences'])
    for text in definitions.strip('\n').split('\n---\n') if definitions else ():
        define(h, text + '\n')
    h.write()
    return h


def define(h, text, name=None):
    write(os.path.join(h.settings['sequences'], (name or re.search(r'^sequence: (\S+)', text, re.M).group(1)) + '.yaml'), text)


class Journey(FlowTest):
    """self.h is the House that the tests of a class share, or the one that a test has built for itself."""
    DEFINITIONS, SETTINGS, OPTIONS = '', {}, ()

    @classmethod
    def setUpClass(cls):
        if cls.DEFINITIONS:
            cls.h = house(cls.DEFINITIONS, **cls.SETTINGS)
            cls.addClassCleanup(cls.h.close)
            cls.h.start(*cls.OPTIONS)

    def build(self, definitions='', **settings):
        self.h = house(definitions, **settings)
        self.addCleanup(self.h.close)
        return self.h

    # doing

    def who(self, id, **fields):
        status, answer = self.h.http('PUT', '/v1/recipients/' + id, person(id, **fields))
        self.assertEqual(status, 200, answer)
        return id

    def patch(self, who, **fields):
        status, answer = self.h.http('PATCH', '/v1/recipients/' + who, fields)
        self.assertEqual(status, 200, answer)

    def pause(self, who, until='2040-01-01T00:00:00Z'):
        self.patch(who, preferences={'pause_until': until})

    def event(self, who, name, **fields):
        status, answer = self.h.http('POST', '/v1/events', {'recipient': who, 'name': name, **fields})
        self.assertEqual(status, 202, answer)
        return answer

    def begin(self, who, name, **fields):
        """The entry that says that this event has enrolled them."""
        answer = self.event(who, name, **fields)
        self.assertEqual([d['what'] for d in answer['did']].count('enrolled'), 1, answer)
        return self.entry(answer, 'enrolled')

    def enroll(self, name, who, **fields):
        return self.h.http('POST', '/v1/sequences/%s/enroll' % name, {'recipient': who, **fields})

    def entry(self, answer, what):
        found = [d for d in answer['did'] if d['what'] == what]
        self.assertTrue(found, answer)
        return found[0]

    # seeing

    def timeline(self, who):
        status, answer = self.h.http('GET', '/v1/recipients/%s/timeline' % who)
        self.assertEqual(status, 200, answer)
        return answer

    def runs(self, who, name=None):
        return [r for r in self.timeline(who).get('runs', []) if name in (None, r['sequence'])]

    def active(self, who, name=None):
        return [r for r in self.runs(who, name) if not r.get('ended')]

    def listed(self, who):
        status, page = self.h.http('GET', '/v1/messages?limit=100&recipient=' + who)
        self.assertEqual(status, 200, page)
        return page['messages']

    def messages(self, who):
        return [self.h.message(m['id']) for m in self.listed(who)]

    def told(self, who):
        """How many messages of each template they have, whatever their status."""
        return dict(collections.Counter(m['template'] for m in self.listed(who)))

    def sent(self, who, template):
        """The first message of this template to them, once it is sent."""
        found = lambda: [m for m in self.listed(who) if m['template'] == template and m['status'] == 'sent']
        self.h.until(found, what=lambda: '%s sent to %s: %s, %s' % (template, who, self.told(who), self.runs(who)))
        return self.h.message(found()[0]['id'])

    def held(self, who):
        """Their one message that is put off by their pause, once it is."""
        found = lambda: [m for m in self.listed(who) if m['status'] == 'scheduled' and m['deliveries'][0]['reason'] == 'preference']
        self.h.until(found, what=lambda: 'a message of %s is put off: %s' % (who, self.messages(who)))
        self.assertEqual(len(found()), 1)
        return found()[0]

    def at_step(self, who, step, name=None):
        self.h.until(lambda: [r.get('step') for r in self.active(who, name)] == [step], what=lambda: '%s stands at %s: %s' % (who, step, self.runs(who)))

    def left(self, who, reason=None, name=None):
        """Their one run once it has ended; and why it has."""
        self.h.until(lambda: self.runs(who, name) and not self.active(who, name), what=lambda: '%s has left: %s' % (who, self.runs(who)))
        runs = self.runs(who, name)
        self.assertEqual(len(runs), 1, runs)
        if reason:
            self.assertEqual(runs[0]['reason'], reason, runs)
        return runs[0]

    def mails(self, who):
        return [str(m.parse()['Subject']) for m in list(self.h.smtp.accepted) if m.recipient.startswith(who + '@')]

    def log_has(self, text):
        self.h.until(lambda: text in self.h.log(), what='the log says ' + text)


class Events(Journey):
    DEFINITIONS = """
sequence: signup
category: onboarding
trigger: {event: customer.signed_up, where: {event.kind: {ne: internal}}}
goal: {event: first.value}
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: calm, wait: 30d}
---
sequence: visit
category: onboarding
trigger: {event: visit.made}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: stale
category: onboarding
trigger: {event: stale.begun, late: 1h}
reentry: always
steps:
  - {id: calm, wait: 30d}
---
sequence: usual
category: onboarding
trigger: {event: usual.begun}
goal: {event: usual.won, since: -7d}
steps:
  - id: answer
    wait_for: {any: [{event: usual.answered, as: yes_please}], timeout: 30d}
"""

    def test_an_event_answers_what_it_did(self):
        answer = self.event(self.who('a1'), 'customer.signed_up', data={'kind': 'private'}, id='s-1')
        self.assertEqual((answer['id'], answer['status'], len(answer['did'])), ('s-1', 'taken', 1))
        did = answer['did'][0]
        self.assertEqual((did['what'], did['sequence']), ('enrolled', 'signup'))
        self.assertEqual([r['id'] for r in self.active('a1')], [did['run']])
        self.assertEqual([m['id'] for m in self.messages('a1')], [did['message']])

    def test_an_event_whose_where_does_not_hold_enrols_nobody_and_says_where(self):
        answer = self.event(self.who('a2'), 'customer.signed_up', data={'kind': 'internal'})
        self.assertEqual([(d['sequence'], d['what'], d['why']) for d in answer['did']], [('signup', 'not_enrolled', 'where')])
        self.assertEqual((self.runs('a2'), self.told('a2')), ([], {}))

    def test_an_event_that_nobody_asks_for_does_nothing(self):
        answer = self.event(self.who('a3'), 'nobody.asked')
        self.assertEqual(answer['did'], [])
        self.assertIn(answer['status'], ('taken', 'kept'))

    def test_lines_are_answered_one_by_one_and_applied_in_their_order(self):
        self.who('a4')
        lines = [{'recipient': 'a4', 'name': 'customer.signed_up', 'id': 'n-1'}, {'name': 'customer.signed_up'},
                 {'recipient': 'a4', 'name': 'first.value', 'id': 'n-2'}, {'recipient': 'a4', 'name': 'first.value', 'id': 'n-2'}]
        raw = '\n'.join([json.dumps(l) for l in lines] + ['not json']).encode()
        status, text = self.h.http('POST', '/v1/events', raw=raw, type=NDJSON)
        self.assertIn(status, (200, 202), text)
        answers = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([a['status'] for a in answers], ['taken', 422, 'taken', 'known', 400], text)
        self.assertEqual([a.get('id') for a in (answers[0], answers[2], answers[3])], ['n-1', 'n-2', 'n-2'])
        self.assertEqual(answers[1]['errors'][0]['pointer'], '/recipient')
        self.assertEqual(self.entry(answers[0], 'enrolled')['run'], self.entry(answers[2], 'left')['run'])
        self.left('a4', 'goal')

    def test_a_bad_event_names_the_place(self):
        self.who('a5')
        good = {'recipient': 'a5', 'name': 'customer.signed_up'}
        ahead = text_of(datetime.datetime.now(UTC) + datetime.timedelta(hours=1))
        for change, pointer in (({'recipient': None}, '/recipient'), ({'recipient': 'a b'}, '/recipient'), ({'name': None}, '/name'), ({'name': ''}, '/name'),
                                ({'name': 'two words'}, '/name'), ({'name': 5}, '/name'), ({'colour': 'red'}, '/colour'), ({'at': ahead}, '/at'),
                                ({'at': 'yesterday'}, '/at'), ({'data': [1]}, '/data'), ({'data': {'x': 'y' * 17000}}, '/data'), ({'id': 7}, '/id'),
                                ({'backfill': 'please'}, '/backfill')):
            with self.subTest(pointer=pointer, change=str(change)[:60]):
                status, problem = self.h.http('POST', '/v1/events', {k: v for k, v in {**good, **change}.items() if v is not None})
                self.assertEqual(status, 422, problem)
                self.assertIn(pointer, [e['pointer'] for e in problem['errors']])
                self.assertIn('application/problem+json', self.h.headers['Content-Type'])
        self.assertEqual((self.runs('a5'), self.told('a5')), ([], {}))

    def test_what_is_no_json_is_a_bad_request(self):
        for raw in (b'', b'{', b'[]', b'{"name":"a","name":"b"}', b'\xff'):
            with self.subTest(raw=raw):
                self.assertEqual(self.h.http('POST', '/v1/events', raw=raw)[0], 400)

    def test_an_event_three_minutes_ahead_is_taken_as_now(self):
        self.begin(self.who('a6'), 'customer.signed_up', at=ago(minutes=-3))
        run = self.active('a6')[0]
        self.assertLess(moment(run['started']), datetime.datetime.now(UTC) + seconds(60))
        self.sent('a6', 'hello')

    def test_a_repeated_id_is_known_and_does_nothing(self):
        run = self.begin(self.who('a7'), 'visit.made', id='v-1')['run']
        self.assertIsNone(self.h.headers['Idempotency-Replayed'])
        for _ in range(2):
            answer = self.event('a7', 'visit.made', id='v-1')
            self.assertEqual((answer['id'], answer['status']), ('v-1', 'known'))
            self.assertEqual(self.h.headers['Idempotency-Replayed'], 'true')
        self.assertEqual([r['id'] for r in self.runs('a7')], [run])

    def test_the_same_id_for_another_person_is_another_event(self):
        one, other = self.begin(self.who('a8'), 'visit.made', id='v-2'), self.begin(self.who('b8'), 'visit.made', id='v-2')
        self.assertNotEqual(one['run'], other['run'])

    def test_without_an_id_the_time_and_the_words_are_the_id_and_without_a_time_each_is_new(self):
        at = ago(minutes=5)
        self.who('a9')
        statuses = [self.event('a9', 'visit.made', at=at, data=data)['status'] for data in ({'n': 1}, {'n': 1}, {'n': 2})]
        self.assertEqual(statuses, ['taken', 'known', 'taken'])
        self.assertEqual([self.event('a9', 'visit.made')['status'] for _ in range(2)], ['taken', 'taken'])
        self.assertEqual(len(self.runs('a9')), 4)

    def test_the_command_takes_events_as_lines(self):
        self.who('a10')
        lines = [json.dumps({'recipient': 'a10', 'name': 'customer.signed_up', 'id': 'c-1'})] * 2
        out = [json.loads(line) for line in self.h.cli('event', stdin='\n'.join(lines) + '\n').splitlines()]
        self.assertEqual([(a['id'], a['status']) for a in out], [('c-1', 'taken'), ('c-1', 'known')])
        self.assertEqual(self.entry(out[0], 'enrolled')['run'], self.active('a10')[0]['id'])
        path = os.path.join(self.h.dir, 'events.ndjson')
        write(path, json.dumps({'recipient': 'a10', 'name': 'first.value'}) + '\n{"recipient":"a10"}\nnot json\n')
        out = [json.loads(line) for line in self.h.cli('event', path, status=1).splitlines()]
        self.assertEqual([a['status'] for a in out], ['taken', 422, 400])
        self.left('a10', 'goal')

    def test_an_event_in_the_stream_begins_a_run_and_rubbish_there_is_a_dead_letter(self):
        self.who('a11')
        add = lambda text: self.h.redis('XADD', 'tidings:ingest', '*', 'event', text)
        letters = lambda: [d['reason'] for d in self.h.cli_json('dead', 'list')]
        before = len(letters())
        add('not json')
        add(json.dumps({'recipient': 'a11', 'name': 'two words'}))
        add(json.dumps({'recipient': 'a11', 'name': 'customer.signed_up', 'id': 'x-1'}))
        self.sent('a11', 'hello')
        self.h.until(lambda: len(letters()) == before + 2, what=letters)
        self.assertTrue(any('/name' in reason for reason in letters()), letters())
        self.assertEqual(self.event('a11', 'customer.signed_up', id='x-1')['status'], 'known')
        self.assertEqual(len(self.runs('a11')), 1)

    def test_a_backfilled_event_is_kept_and_wakes_nothing(self):
        answer = self.event(self.who('a12'), 'usual.begun', backfill=True, at=ago(minutes=5))
        self.assertEqual((answer['status'], answer['did'], self.runs('a12')), ('kept', [], []))
        self.begin('a12', 'usual.begun')
        self.assertEqual(self.event('a12', 'usual.answered', backfill=True)['did'], [])
        self.assertEqual(self.event('a12', 'usual.won', backfill=True)['did'], [])
        self.at_step('a12', 'answer')
        self.event(self.who('b12'), 'usual.won', backfill=True, at=ago(days=2))
        answer = self.event('b12', 'usual.begun')
        self.assertEqual([(d['what'], d['why']) for d in answer['did']], [('not_enrolled', 'goal_before')])

    def test_a_trigger_that_comes_too_late_enrols_nobody(self):
        refused = lambda answer: [(d['what'], d['why']) for d in answer['did']]
        self.assertEqual(refused(self.event(self.who('a13'), 'stale.begun', at=ago(hours=2))), [('not_enrolled', 'late')])
        self.assertEqual(refused(self.event('a13', 'usual.begun', at=ago(hours=25))), [('not_enrolled', 'late')])
        self.assertEqual(self.runs('a13'), [])
        at = ago(minutes=50)
        self.begin('a13', 'stale.begun', at=at)
        self.assertEqual(moment(self.active('a13', 'stale')[0]['started']), moment(at))
        self.begin('a13', 'usual.begun', at=ago(hours=23))


class Entering(Journey):
    DEFINITIONS = """
sequence: invited
category: onboarding
trigger: {enroll: true}
steps:
  - {id: tell, send: {template: tell, channels: [email], data: {what: {from: trigger.data.what, default: nothing}}}}
  - {id: calm, wait: 30d}
---
sequence: deal
category: onboarding
trigger: {event: deal.closed, where: {recipient.role: admin, event.amount: {gte: 100}}}
steps:
  - {id: hello, send: {template: hello, channels: [in_app, email]}}
  - {id: calm, wait: 30d}
---
sequence: once
category: onboarding
trigger: {event: once.begun}
exit: [{event: once.closed, reason: closed}]
steps:
  - {id: calm, wait: 30d}
---
sequence: milestone
category: onboarding
trigger: {event: milestone.reached}
reentry: {per: event.milestone, remember: 5y}
steps:
  - {id: party, send: {template: hello, channels: [in_app]}}
---
sequence: again
category: onboarding
trigger: {event: again.begun}
reentry: {after: 2s}
steps:
  - {id: over, end: seen}
---
sequence: restart
category: onboarding
trigger: {event: restart.begun}
reentry: always
while_running: restart
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: calm, wait: 30d}
---
sequence: parallel
category: onboarding
trigger: {event: parallel.begun}
reentry: always
while_running: parallel
steps:
  - {id: calm, wait: 30d}
---
sequence: queued
category: onboarding
trigger: {event: queued.begun}
reentry: always
while_running: queue
goal: {event: queued.won}
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: calm, wait: 30d}
---
sequence: paid
category: account
trigger: {event: invoice.issued}
reentry: {per: event.invoice}
goal: {event: invoice.paid, where: {event.invoice: {path: trigger.data.invoice}}, since: -7d, ends: true}
steps:
  - {id: calm, wait: 30d}
---
sequence: win-back
category: onboarding
trigger: {event: portal.signed_in}
while_running: restart
reentry: always
goal: {event: portal.signed_in, from: miss_you, within: 14d, ends: true}
steps:
  - {id: silence, wait: 1s}
  - {id: miss_you, send: {template: hello, channels: [in_app]}}
  - {id: back, wait_for: {any: [{event: portal.signed_in, as: back}], timeout: 10d}}
"""

    def refused(self, who, name, why, **fields):
        answer = self.event(who, name, **fields)
        self.assertEqual([(d['what'], d['why']) for d in answer['did']], [('not_enrolled', why)], answer)

    def test_the_door_enrols_whom_it_names_once_for_one_id(self):
        self.who('e1')
        status, answer = self.enroll('invited', 'e1', data={'what': 'gold'}, id='i-1')
        self.assertEqual((status, answer['status']), (202, 'taken'))
        run = self.entry(answer, 'enrolled')['run']
        status, answer = self.enroll('invited', 'e1', data={'what': 'gold'}, id='i-1')
        self.assertEqual((status, answer['status'], self.h.headers['Idempotency-Replayed']), (202, 'known', 'true'))
        self.sent('e1', 'tell')
        self.assertEqual((self.mails('e1'), [r['id'] for r in self.runs('e1')]), (['tell gold'], [run]))

    def test_an_unknown_sequence_is_not_found(self):
        self.who('e2')
        self.assertEqual(self.enroll('nope', 'e2')[0], 404)
        self.h.cli('sequence', 'enroll', 'nope', '--recipient', 'e2', status=1)
        self.assertIn('nope', self.h.err)
        status, problem = self.h.http('POST', '/v1/sequences/invited/enroll', {'data': {}})
        self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/recipient'))

    def test_the_command_enrols(self):
        self.who('e3')
        self.h.cli('sequence', 'enroll', 'invited', '--recipient', 'e3')
        self.sent('e3', 'tell')
        self.assertEqual((self.mails('e3'), [r['sequence'] for r in self.active('e3')]), (['tell nothing'], ['invited']))

    def test_an_event_of_the_trigger_s_name_enrols_nobody_where_only_the_door_does(self):
        self.assertEqual([d for d in self.event(self.who('e4'), 'invited')['did'] if d['what'] == 'enrolled'], [])
        self.assertEqual(self.runs('e4'), [])

    def test_a_trigger_asks_the_event_and_the_person(self):
        self.who('e5', role='admin')
        self.refused('e5', 'deal.closed', 'where', data={'amount': 99})
        self.refused('e5', 'deal.closed', 'where', data={'amount': '100'})
        self.refused('e5', 'deal.closed', 'where')
        self.refused(self.who('f5', role='user'), 'deal.closed', 'where', data={'amount': 100})
        self.begin('e5', 'deal.closed', data={'amount': 100})

    def test_the_first_step_is_an_ordinary_message_at_once(self):
        did = self.begin(self.who('e6', role='admin'), 'deal.closed', data={'amount': 500})
        self.assertEqual([m['id'] for m in self.listed('e6')], [did['message']])  # before anything is waited for
        message = self.h.settled(did['message'])
        self.assertEqual([message[k] for k in ('source', 'run', 'sequence', 'step', 'template', 'category', 'status')],
                         ['sequence:deal', did['run'], 'deal', 'hello', 'hello', 'onboarding', 'sent'])
        self.assertEqual({d['channel']: d['status'] for d in message['deliveries']}, {'in_app': 'sent', 'email': 'sent'})
        self.assertEqual(self.mails('e6'), ['hello'])
        self.assertEqual({t['gate'] for t in message['trace']} & {'accepted', 'consent', 'cap', 'render'}, {'accepted', 'consent', 'cap', 'render'})
        self.assertEqual([m['id'] for m in self.timeline('e6')['past']], [did['message']])
        self.assertEqual([m['id'] for m in self.h.http('GET', '/v1/messages?source=sequence:deal&recipient=e6')[1]['messages']], [did['message']])

    def test_who_is_in_it_or_was_in_it_does_not_enter_again_unless_somebody_says_so(self):
        self.begin(self.who('e7'), 'once.begun')
        self.refused('e7', 'once.begun', 'running')
        self.event('e7', 'once.closed')
        self.left('e7', 'closed')
        self.refused('e7', 'once.begun', 'reentry')
        self.assertEqual(len(self.runs('e7')), 1)
        self.h.cli('sequence', 'enroll', 'once', '--recipient', 'e7', '--again')
        self.assertEqual(len(self.active('e7')), 1)

    def test_each_milestone_is_celebrated_once(self):
        self.who('e8')
        for milestone in ('first', 'tenth'):
            self.begin('e8', 'milestone.reached', data={'milestone': milestone})
            self.h.until(lambda: not self.active('e8'))
        self.refused('e8', 'milestone.reached', 'reentry', data={'milestone': 'first'})
        self.assertEqual(self.told('e8'), {'hello': 2})
        self.assertEqual(sorted(r['key'] for r in self.runs('e8')), ['first', 'tenth'])

    def test_a_term_of_re_entry_counts_from_the_start_of_the_last_run(self):
        self.begin(self.who('e9'), 'again.begun')
        self.left('e9', 'seen')
        self.refused('e9', 'again.begun', 'reentry')
        self.h.until(lambda: [d['what'] for d in self.event('e9', 'again.begun')['did']][0] == 'enrolled')
        begun = sorted(moment(r['started']) for r in self.runs('e9'))
        self.assertGreaterEqual(begun[1] - begun[0], seconds(2))

    def test_a_restart_ends_the_old_run_cancels_its_message_and_begins_anew(self):
        self.pause(self.who('e10'))
        first = self.begin('e10', 'restart.begun')
        self.h.reason(first['message'], 'preference')
        second = self.begin('e10', 'restart.begun')
        self.assertNotEqual(first['run'], second['run'])
        self.assertEqual({r['id']: r.get('reason') for r in self.runs('e10')}, {first['run']: 'restarted', second['run']: None})
        self.assertEqual(self.h.message(first['message'])['status'], 'cancelled')
        self.assertEqual(self.h.message(second['message'])['status'], 'scheduled')

    def test_parallel_runs_stand_beside_each_other(self):
        runs = {self.begin(self.who('e11'), 'parallel.begun')['run'], self.begin('e11', 'parallel.begun')['run']}
        self.assertEqual({r['id'] for r in self.active('e11')}, runs)
        self.assertEqual(len(runs), 2)

    def test_a_queued_run_begins_when_the_other_has_ended(self):
        self.begin(self.who('e12'), 'queued.begun', id='q-1')
        self.sent('e12', 'hello')
        self.event('e12', 'queued.begun', id='q-2')
        self.assertEqual(self.told('e12'), {'hello': 1})
        self.entry(self.event('e12', 'queued.won'), 'left')
        self.h.until(lambda: self.told('e12') == {'hello': 2}, what=lambda: self.runs('e12'))
        self.at_step('e12', 'calm')

    def test_who_has_reached_the_goal_before_is_not_enrolled(self):
        self.event(self.who('e13'), 'invoice.paid', data={'invoice': 'A'})
        self.refused('e13', 'invoice.issued', 'goal_before', data={'invoice': 'A'})
        self.event('e13', 'invoice.paid', data={'invoice': 'B'}, at=ago(days=8))
        self.begin('e13', 'invoice.issued', data={'invoice': 'B'})

    def test_one_event_may_restart_a_run_and_later_end_it_and_begin_the_next(self):
        first = self.begin(self.who('e14'), 'portal.signed_in', at=ago(minutes=1))  # of one instant both would be of the second run
        second = self.begin('e14', 'portal.signed_in')  # the goal does not count yet
        self.assertEqual({r['id']: r.get('reason') for r in self.runs('e14')}, {first['run']: 'restarted', second['run']: None})
        self.sent('e14', 'hello')
        self.at_step('e14', 'back')  # the sign-in that began the run satisfies nothing in it
        answer = self.event('e14', 'portal.signed_in')
        gone, new = self.entry(answer, 'left'), self.entry(answer, 'enrolled')
        self.assertEqual((gone['run'], gone['why']), (second['run'], 'goal'))
        self.assertEqual([r['id'] for r in self.active('e14')], [new['run']])
        self.assertEqual(self.told('e14'), {'hello': 1})


class Steps(Journey):
    DEFINITIONS = """
sequence: elapsed
category: onboarding
trigger: {event: elapsed.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: pause, wait: 1s}
  - {id: nudge, send: {template: nudge, channels: [email]}}
---
sequence: brief
category: onboarding
trigger: {event: brief.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email], ttl: 1s}}
  - {id: over, end: gave_up}
---
sequence: setup
category: onboarding
trigger: {event: setup.begun}
steps:
  - id: ready
    wait_for: {any: [{event: profile.completed, as: done}, {event: help.requested, where: {event.topic: setup}, as: help}], timeout: 30d}
    then:
      done: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
      help: [{id: nudge, send: {template: nudge, channels: [in_app]}}]
  - {id: calm, wait: 30d}
---
sequence: silent
category: onboarding
trigger: {event: silent.begun}
steps:
  - id: ready
    wait_for: {any: [{event: silent.answered, as: done}], timeout: 1s}
    then:
      done: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
      timeout: [{id: nudge, send: {template: nudge, channels: [in_app]}}]
---
sequence: early
category: onboarding
trigger: {event: early.begun}
steps:
  - {id: pause, wait: 1s}
  - id: ready
    wait_for: {any: [{event: early.answered, as: done}], timeout: 30d, since: run}
    then:
      done: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
  - id: anew
    wait_for: {any: [{event: early.answered, as: done}], timeout: 1s, since: step}
    then:
      done: [{id: bye, send: {template: bye, channels: [in_app]}}]
      timeout: [{id: nudge, send: {template: nudge, channels: [in_app]}}]
---
sequence: same
category: onboarding
trigger: {event: same.happened}
steps:
  - id: next
    wait_for: {any: [{event: same.happened, as: again}], timeout: 30d}
    then:
      again: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
---
sequence: invoice
category: onboarding
trigger: {event: invoice.issued}
reentry: {per: event.invoice}
steps:
  - id: paid
    wait_for: {any: [{event: invoice.paid, where: {event.invoice: {path: trigger.data.invoice}}, as: paid}], timeout: 30d}
    then:
      paid: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
---
sequence: survey
category: onboarding
trigger: {event: survey.begun}
steps:
  - id: answer
    wait_for: {any: [{event: survey.answered, where: {event.survey: onboarding}, as: answered}], timeout: 30d}
    then:
      answered:
        - id: choice
          branch:
            - when: {steps.answer.event.score: {lt: 7}}
              steps: [{id: sorry, send: {template: bye, channels: [in_app]}}]
            - else: true
              steps: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
---
sequence: judge
category: onboarding
trigger: {event: judge.begun}
steps:
  - id: choice
    branch:
      - when: {trigger.data.n: {gte: 7}}
        steps: [{id: nudge, send: {template: nudge, channels: [in_app]}}]
      - when: {trigger.data.n: "7"}
        steps: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
      - when: {any: [{recipient.persona: admin}, {recipient.attributes.interest: {in: [reports, billing]}}]}
        steps: [{id: hello, send: {template: hello, channels: [in_app]}}]
      - when: {trigger.data.colour: {ne: red}, not: {trigger.data.colour: {exists: true}}}
        steps: [{id: bye, send: {template: bye, channels: [in_app]}}]
  - {id: over, end: judged}
---
sequence: chase
category: onboarding
trigger: {event: chase.begun}
steps:
  - id: chase
    repeat:
      max: 2
      until: {happened: {event: chase.done, since: run}}
      steps:
        - {id: nudge, send: {template: nudge, channels: [in_app]}}
        - {id: pause, wait_for: {any: [{event: chase.done, as: done}], timeout: 1s, since: run}}
  - {id: bye, send: {template: bye, channels: [in_app]}}
---
sequence: tardy
category: onboarding
trigger: {event: tardy.begun}
steps:
  - {id: ready, wait_for: {any: [{event: tardy.done, as: done}], timeout: 1s}}
  - id: chase
    repeat:
      max: 5
      until: {happened: {event: tardy.done, since: run}}
      steps:
        - {id: nudge, send: {template: nudge, channels: [in_app]}}
        - {id: pause, wait: 1s}
  - {id: bye, send: {template: bye, channels: [in_app]}}
---
sequence: before
category: onboarding
trigger: {event: before.begun}
steps:
  - {id: week_before, wait: {until: trigger.data.due, before: 7d, at: "09:00", past: day_before}}
  - {id: friendly, send: {template: hello, channels: [in_app]}}
  - {id: day_before, wait: {until: trigger.data.due, before: 1d, at: "09:00", past: after_due}}
  - {id: tomorrow, send: {template: nudge, channels: [in_app]}}
  - {id: after_due, wait: {until: trigger.data.due, after: 3d, at: "09:00", past: go}}
  - {id: overdue, send: {template: bye, channels: [in_app]}}
---
sequence: never-late
category: onboarding
trigger: {event: dated.begun}
steps:
  - {id: day, wait: {until: trigger.data.due, past: exit}}
  - {id: hello, send: {template: hello, channels: [in_app]}}
"""

    def test_an_elapsed_wait_counts_from_the_step_before_it(self):
        self.begin(self.who('s1'), 'elapsed.begun')
        self.assertLess(self.told('s1').get('nudge', 0), 1)
        apart = moment(self.sent('s1', 'nudge')['send_at']) - moment(self.sent('s1', 'hello')['deliveries'][0]['sent_at'])
        self.assertTrue(seconds(1) <= apart < seconds(1 + 2 * SLOWNESS), apart)
        self.left('s1')
        self.assertEqual(self.mails('s1'), ['hello', 'nudge'])

    def test_a_message_that_is_put_off_stretches_the_journey(self):
        wake = datetime.datetime.fromtimestamp(math.ceil(time.time()) + 1, UTC)
        self.pause(self.who('s2'), wake.strftime('%Y-%m-%dT%H:%M:%SZ'))
        self.begin('s2', 'elapsed.begun')
        hello = self.sent('s2', 'hello')
        self.assertGreaterEqual(moment(hello['deliveries'][0]['sent_at']), wake)
        self.assertEqual(self.told('s2'), {'hello': 1})
        self.assertGreaterEqual(moment(self.sent('s2', 'nudge')['send_at']) - moment(hello['deliveries'][0]['sent_at']), seconds(1))

    def test_a_message_that_expires_does_not_hold_its_run(self):
        self.pause(self.who('s3'))
        id = self.begin('s3', 'brief.begun')['message']
        self.left('s3', 'gave_up')
        self.assertEqual(self.h.message(id)['status'], 'expired')

    def test_the_awaited_event_moves_the_run_at_once(self):
        run = self.begin(self.who('s4'), 'setup.begun')['run']
        self.at_step('s4', 'ready')
        did = self.entry(self.event('s4', 'profile.completed'), 'matched')
        self.assertEqual((did['sequence'], did['run']), ('setup', run))
        self.assertEqual(self.told('s4'), {'thanks': 1})  # not some time later

    def test_the_first_of_several_events_decides_and_the_others_are_forgotten(self):
        self.begin(self.who('s5'), 'setup.begun')
        self.assertEqual(self.event('s5', 'help.requested', data={'topic': 'billing'})['did'], [])
        self.entry(self.event('s5', 'help.requested', data={'topic': 'setup'}), 'matched')
        self.at_step('s5', 'calm')
        self.assertEqual(self.event('s5', 'profile.completed')['did'], [])
        self.assertEqual((self.told('s5'), len(self.active('s5'))), ({'nudge': 1}, 1))

    def test_silence_takes_the_arm_of_the_timeout(self):
        self.begin(self.who('s6'), 'silent.begun')
        self.assertEqual(self.told('s6'), {})
        nudge = self.sent('s6', 'nudge')
        run = self.left('s6')
        self.assertGreaterEqual(moment(nudge['send_at']) - moment(run['started']), seconds(1))
        self.assertEqual(self.event('s6', 'silent.answered')['did'], [])
        self.assertEqual(self.told('s6'), {'nudge': 1})

    def test_an_event_that_came_before_the_wait_counts_unless_it_must_happen_anew(self):
        self.begin(self.who('s7'), 'early.begun')
        self.event('s7', 'early.answered')
        self.at_step('s7', 'pause')
        self.sent('s7', 'thanks')
        self.sent('s7', 'nudge')  # the second wait asks for another one
        self.assertEqual(self.told('s7'), {'thanks': 1, 'nudge': 1})

    def test_an_event_from_before_the_run_satisfies_no_wait(self):
        self.event(self.who('s8'), 'silent.answered', at=ago(seconds=5))
        self.begin('s8', 'silent.begun')
        self.sent('s8', 'nudge')
        self.assertEqual(self.told('s8'), {'nudge': 1})

    def test_the_trigger_itself_is_not_what_the_run_waits_for(self):
        self.begin(self.who('s9'), 'same.happened')
        self.at_step('s9', 'next')
        self.entry(self.event('s9', 'same.happened'), 'matched')
        self.sent('s9', 'thanks')
        self.left('s9')

    def test_the_payment_of_another_invoice_does_not_count(self):
        self.who('s10')
        runs = {i: self.begin('s10', 'invoice.issued', data={'invoice': i})['run'] for i in ('A', 'B')}
        self.assertEqual(self.event('s10', 'invoice.paid', data={'invoice': 'C'})['did'], [])
        did = self.event('s10', 'invoice.paid', data={'invoice': 'B'})['did']
        self.assertEqual([(d['what'], d['run']) for d in did if d['what'] == 'matched'], [('matched', runs['B'])])
        self.h.until(lambda: [r['key'] for r in self.active('s10')] == ['A'], what=lambda: self.runs('s10'))
        self.assertEqual(self.told('s10'), {'thanks': 1})

    def test_a_branch_looks_at_what_was_answered(self):
        for who, score, template in (('s11', 6, 'bye'), ('t11', 7, 'thanks')):
            self.begin(self.who(who), 'survey.begun')
            self.assertEqual(self.event(who, 'survey.answered', data={'survey': 'other', 'score': 1})['did'], [])
            self.event(who, 'survey.answered', data={'survey': 'onboarding', 'score': score})
            self.sent(who, template)
            self.assertEqual(self.told(who), {template: 1})

    def test_a_condition_converts_no_types_and_what_is_missing_equals_nothing(self):
        cases = [({'n': 7}, {}, 'nudge'), ({'n': 6}, {}, 'bye'), ({'n': '7'}, {}, 'thanks'), ({}, {}, 'bye'), ({'colour': 'blue'}, {}, None),
                 ({'n': 6}, {'persona': 'admin'}, 'hello'), ({}, {'attributes': {'interest': 'billing'}}, 'hello'), ({}, {'attributes': {'interest': 'tax'}}, 'bye')]
        for i, (data, fields, template) in enumerate(cases):
            with self.subTest(data=data, fields=fields):
                who = self.who('s12-%d' % i, **fields)
                self.begin(who, 'judge.begun', data=data)
                self.left(who, 'judged')
                self.assertEqual(self.told(who), {template: 1} if template else {})

    def test_a_repeat_ends_with_its_last_round(self):
        self.begin(self.who('s13'), 'chase.begun')
        self.sent('s13', 'bye')
        self.assertEqual(self.told('s13'), {'nudge': 2, 'bye': 1})
        self.assertEqual(len({m['id'] for m in self.messages('s13')}), 3)

    def test_a_repeat_ends_when_what_it_asks_for_has_happened(self):
        self.begin(self.who('s14'), 'chase.begun')
        self.sent('s14', 'nudge')
        self.event('s14', 'chase.done')
        self.sent('s14', 'bye')
        self.assertEqual(self.told('s14'), {'nudge': 1, 'bye': 1})

    def test_an_event_that_comes_after_the_timeout_winds_nothing_back_but_ends_the_reminders(self):
        self.begin(self.who('s15'), 'tardy.begun')
        self.sent('s15', 'nudge')
        inside = moment(self.active('s15')[0]['started']) + seconds(0.5)
        answer = self.event('s15', 'tardy.done', at=text_of(inside))
        self.assertEqual([d for d in answer['did'] if d['what'] == 'matched'], [])
        self.sent('s15', 'bye')
        self.assertEqual(self.told('s15'), {'nudge': 1, 'bye': 1})

    def test_a_date_that_has_passed_is_stepped_over_and_not_caught_up_at_once(self):
        day = lambda n: (datetime.datetime.now(UTC) + datetime.timedelta(days=n)).strftime('%Y-%m-%d')
        self.begin(self.who('s16'), 'before.begun', data={'due': day(3)})
        self.at_step('s16', 'day_before')
        self.begin(self.who('t16'), 'before.begun', data={'due': day(0)})
        self.at_step('t16', 'after_due')
        self.begin(self.who('u16'), 'before.begun', data={'due': day(30)})
        self.at_step('u16', 'week_before')
        self.assertEqual([self.told(who) for who in ('s16', 't16', 'u16')], [{}, {}, {}])
        self.begin(self.who('v16'), 'before.begun', data={'due': day(-10)})
        self.sent('v16', 'bye')
        self.assertEqual(self.told('v16'), {'bye': 1})

    def test_a_wait_for_a_date_that_has_passed_or_is_missing_may_end_the_run(self):
        for who, data in (('s17', {'due': ago(hours=1)}), ('t17', {}), ('u17', {'due': 'soon'})):
            with self.subTest(data=data):
                self.begin(self.who(who), 'dated.begun', data=data)
                self.left(who)
                self.assertEqual(self.told(who), {})

    def test_the_timeline_shows_the_runs_with_the_active_ones_first(self):
        self.begin(self.who('s18'), 'judge.begun')
        self.h.until(lambda: not self.active('s18'))
        run = self.begin('s18', 'setup.begun')['run']
        self.begin('s18', 'invoice.issued', data={'invoice': 'Z'})
        now = datetime.datetime.now(UTC)
        runs = self.timeline('s18')['runs']
        self.assertEqual([bool(r.get('ended')) for r in runs], [False, False, True], runs)
        self.assertEqual((runs[2]['sequence'], runs[2]['reason']), ('judge', 'judged'))
        self.assertLessEqual(moment(runs[2]['started']), moment(runs[2]['ended']))
        one, invoice = [next(r for r in runs if r['sequence'] == name) for name in ('setup', 'invoice')]
        self.assertEqual((one['id'], one['step'], invoice['key'], invoice['step']), (run, 'ready', 'Z', 'paid'))
        self.assertRegex(one['version'], '^[0-9a-f]{12}$')
        self.assertLess(abs(moment(one['started']) - now), seconds(60))


class Calendar(Journey):
    """A second is five hours; every wait begins at once, and each test looks at one."""
    AHEAD, SLACK = datetime.timedelta(hours=10), datetime.timedelta(hours=5.5)
    EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
    WEST = datetime.timezone(datetime.timedelta(hours=-7))
    OPTIONS = ('--clock-rate', str(round(18000 / SLOWNESS)))

    @classmethod
    def setUpClass(cls):
        now = datetime.datetime.now(UTC)
        ahead = now + cls.AHEAD
        cls.at, cls.at_east = ahead.strftime('%H:%M'), ahead.astimezone(cls.EAST).strftime('%H:%M')
        cls.weekday = (now + datetime.timedelta(days=1)).weekday()
        cls.due = (now + datetime.timedelta(hours=14)).replace(microsecond=0)
        cls.day = (now + datetime.timedelta(days=2)).date()
        waits = {'next': '{at: "%s"}' % cls.at, 'morrow': '{days: 1, at: "%s"}' % cls.at, 'east': '{at: "%s"}' % cls.at_east, 'elapsed': '1d2h',
                 'only': '{days: 0, at: "%s", only: [%s]}' % (cls.at, 'mon tue wed thu fri sat sun'.split()[cls.weekday]),
                 'until': '{until: trigger.data.due, before: 4h}', 'day': '{until: trigger.data.day, before: 1d, at: "%s"}' % cls.at}
        form = 'sequence: %s\ncategory: onboarding\ntrigger: {event: %s.begun}\nsteps:\n' \
               '  - {id: pause, wait: %s}\n  - {id: nudge, send: {template: nudge, channels: [in_app]}}'
        cls.DEFINITIONS = '\n---\n'.join(form % (name, name, wait) for name, wait in waits.items())
        super().setUpClass()
        begin = {who: {'name': who + '.begun', 'data': {}} for who in waits}
        begin['moved'] = {'name': 'next.begun', 'data': {}}
        begin['until']['data'], begin['day']['data'] = {'due': text_of(cls.due)}, {'day': cls.day.isoformat()}
        for who in begin:
            cls.h.http('PUT', '/v1/recipients/' + who, person(who, timezone='Asia/Kathmandu' if who == 'east' else 'UTC'))
        cls.h.http('POST', '/v1/events', raw='\n'.join(json.dumps({'recipient': who, **e}) for who, e in begin.items()).encode(), type=NDJSON)
        cls.h.http('PATCH', '/v1/recipients/moved', {'timezone': 'America/Phoenix'})

    def target(self, started, at, days=0, zone=UTC, only=None):
        """The civil time that a calendar wait is for."""
        local, (hour, minute) = started.astimezone(zone), map(int, at.split(':'))
        day = local.date() + datetime.timedelta(days=days)
        while True:
            found = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            if found > local and only in (None, day.weekday()):
                return found
            day += datetime.timedelta(days=1)

    def arrives(self, who, when):
        message = self.sent(who, 'nudge')
        run = self.left(who)
        wanted, was = when(moment(run['started'])), moment(message['send_at'])
        self.assertTrue(wanted <= was < wanted + self.SLACK, 'begun %s, wanted %s, was %s' % (run['started'], wanted, was))
        self.assertEqual(self.told(who), {'nudge': 1})

    def test_a_time_of_day_is_the_next_one(self):
        self.arrives('next', lambda started: self.target(started, self.at))

    def test_days_are_dates_and_not_spans(self):
        self.arrives('morrow', lambda started: self.target(started, self.at, 1))

    def test_a_time_of_day_is_the_one_where_the_person_lives(self):
        self.arrives('east', lambda started: self.target(started, self.at_east, zone=self.EAST))

    def test_who_moves_while_waiting_is_told_at_that_time_there_and_once(self):
        def there(started):
            return self.target(started, self.at).replace(tzinfo=self.WEST)
        self.arrives('moved', there)

    def test_only_some_days_of_the_week_are_waited_for(self):
        self.arrives('only', lambda started: self.target(started, self.at, only=self.weekday))

    def test_an_elapsed_wait_is_so_many_hours(self):
        self.arrives('elapsed', lambda started: started + datetime.timedelta(hours=26))

    def test_a_span_before_an_instant(self):
        self.arrives('until', lambda started: self.due - datetime.timedelta(hours=4))

    def test_a_day_before_a_date_at_a_time(self):
        hour, minute = map(int, self.at.split(':'))
        day = self.day - datetime.timedelta(days=1)
        self.arrives('day', lambda started: datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC))


class Limits(Journey):
    DEFINITIONS = """
sequence: ping
category: onboarding
trigger: {event: ball.ping}
reentry: always
steps:
  - {id: say, emit: {event: ball.pong}}
---
sequence: pong
category: onboarding
trigger: {event: ball.pong}
reentry: always
steps:
  - {id: say, emit: {event: ball.ping}}
---
sequence: crowd
category: onboarding
trigger: {event: crowd.joined}
reentry: always
while_running: parallel
steps:
  - {id: calm, wait: 30d}
---
sequence: asked
category: onboarding
trigger: {event: asked.begun}
steps:
  - {id: answer, wait_for: {any: [{event: asked.answered, as: yes_please}], timeout: 30d}}
  - {id: thanks, send: {template: thanks, channels: [in_app]}}
---
sequence: through
category: onboarding
trigger: {event: through.begun}
reentry: always
steps:
  - {id: hello, send: {template: hello, channels: [in_app], done: enqueued}}
"""

    def test_two_that_wake_each_other_end_after_five_hops(self):
        who = self.who('l-hops')
        self.event(who, 'ball.ping')
        over = lambda: [r for r in self.runs(who) if r.get('reason') == 'hop_limit']
        self.h.until(over, what=lambda: 'the sixth hop is refused: %s' % self.runs(who))
        self.assertEqual(collections.Counter(r['sequence'] for r in self.runs(who)), {'ping': 3, 'pong': 3})
        self.assertEqual((len(over()), over()[0]['sequence'], self.active(who)), (1, 'pong', []))

    def test_nobody_is_in_more_than_twenty_runs(self):
        who = self.who('l-crowd')
        for i in range(20):
            self.begin(who, 'crowd.joined')
        refused = self.entry(self.event(who, 'crowd.joined'), 'not_enrolled')
        self.assertEqual((refused['why'], len(self.active(who))), ('too_many', 20))

    def test_the_answer_to_a_run_that_was_taken_away_begins_nothing_and_leaves_the_others_alone(self):
        who = self.who('l-late')
        self.begin(who, 'asked.begun')
        self.begin(who, 'crowd.joined')
        self.assertEqual(self.h.http('DELETE', '/v1/sequences/asked/runs/' + who)[0], 200)
        self.assertEqual(self.event(who, 'asked.answered')['did'], [])
        self.assertEqual([r['sequence'] for r in self.active(who)], ['crowd'])
        self.assertEqual(self.told(who), {})

    def test_a_journey_without_a_wait_goes_through_on_each_trigger(self):
        who = self.who('l-through')
        for i in range(5):
            self.begin(who, 'through.begun')
        self.assertEqual((self.told(who), self.active(who)), ({'hello': 5}, []))


class Leaving(Journey):
    DEFINITIONS = """
sequence: trial
category: onboarding
trigger: {event: trial.begun}
goal: {event: trial.bought}
exit:
  - {event: trial.closed, reason: closed}
  - {event: trial.bought, reason: bought}
  - {when: {recipient.attributes.blocked: true}, reason: blocked}
  - {changed: recipient.role, reason: role_changed}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: calm, wait: 30d}
  - {id: bye, send: {template: bye, channels: [email]}}
---
sequence: counted
category: onboarding
trigger: {event: counted.begun}
goal: {event: counted.won, ends: false}
steps:
  - {id: calm, wait: 30d}
---
sequence: afterwards
category: onboarding
trigger: {event: afterwards.begun}
goal: {event: afterwards.won, within: 14d}
exit: [{event: afterwards.closed, reason: closed}]
steps:
  - {id: calm, wait: 30d}
---
sequence: seat
category: onboarding
trigger: {event: seat.taken}
key: event.seat
reentry: always
exit: [{event: seat.cancelled, where: {event.seat: {path: trigger.data.seat}}, reason: cancelled}]
steps:
  - {id: calm, wait: 30d}
---
sequence: mailed
category: onboarding
trigger: {event: mailed.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: calm, wait: 30d}
  - {id: nudge, send: {template: nudge, channels: [email]}}
---
sequence: either
category: onboarding
trigger: {event: either.begun}
steps:
  - {id: calm, wait: 30d}
  - {id: nudge, send: {template: nudge, channels: [email, in_app]}}
---
sequence: stubborn
category: onboarding
opt_out: stay
trigger: {event: stubborn.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: over, end: walked}
---
sequence: soon
category: onboarding
trigger: {event: soon.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: pause, wait: 2s}
  - {id: nudge, send: {template: nudge, channels: [email]}}
"""

    def withdraw(self, who, channel):
        status, receipt = self.h.http('POST', '/v1/recipients/%s/consents' % who,
                                      {'category': 'onboarding', 'channel': channel, 'state': 'withdrawn', 'source': 'test'})
        self.assertEqual(status, 200, receipt)
        return receipt

    def never(self, id):
        """A message that was cancelled stays so, also when what held it back is gone."""
        message = self.h.message(id)
        self.patch(message['recipient'], preferences={'pause_until': None})
        marker = self.h.send(message['recipient'], 'thanks', {}, channels=['email'])
        self.h.settled(marker)
        self.assertEqual((self.h.message(id)['status'], self.mails(message['recipient'])), ('cancelled', ['thanks']))

    def open(self, who):
        """A run of theirs whose first message is put off; what the enrolment said."""
        self.pause(self.who(who))
        did = self.begin(who, 'trial.begun')
        self.held(who)
        return did

    def cancelled(self, entry):
        return [id[:-2] if re.search('-[a-z]$', id) else id for id in entry['cancelled']]

    def test_a_goal_ends_the_run_and_cancels_what_is_enqueued_and_the_answer_says_so(self):
        did = self.open('l1')
        gone = self.entry(self.event('l1', 'trial.bought'), 'left')
        self.assertEqual((gone['sequence'], gone['run'], gone['why']), ('trial', did['run'], 'goal'))  # an exit of the same name does not come before it
        self.assertEqual((self.cancelled(gone), gone['in_flight']), ([did['message']], []))
        message = self.h.message(did['message'])  # no waiting
        self.assertEqual(message['status'], 'cancelled')
        self.assertTrue([t for t in message['trace'] if t['detail'].get('by') == 'sequence' and t['detail'].get('why') == 'goal'], message['trace'])
        self.left('l1', 'goal')
        self.never(did['message'])

    def test_an_exit_cancels_what_is_enqueued(self):
        did = self.open('l2')
        gone = self.entry(self.event('l2', 'trial.closed'), 'left')
        self.assertEqual((gone['run'], gone['why'], self.cancelled(gone)), (did['run'], 'closed', [did['message']]))
        self.left('l2', 'closed')
        self.never(did['message'])

    def test_an_exit_in_the_middle_of_a_wait_is_now(self):
        self.begin(self.who('l3'), 'trial.begun')
        self.at_step('l3', 'calm')
        gone = self.entry(self.event('l3', 'trial.closed'), 'left')
        self.assertEqual((gone['why'], gone['cancelled'], gone['in_flight']), ('closed', [], []))
        run = [r for r in self.runs('l3')][0]  # no waiting
        self.assertEqual(run['reason'], 'closed')
        self.assertLess(moment(run['ended']) - moment(run['started']), seconds(60))
        self.assertEqual(self.event('l3', 'trial.closed')['did'], [])
        self.assertEqual(self.told('l3'), {'hello': 1})

    def test_a_profile_on_which_the_exit_condition_holds_ends_the_run(self):
        did = self.open('l4')
        self.patch('l4', attributes={'name': 'Ada'})
        self.assertEqual(len(self.active('l4')), 1)
        self.patch('l4', attributes={'blocked': True})
        self.left('l4', 'blocked')
        self.assertEqual(self.h.settled(did['message'])['status'], 'cancelled')

    def test_a_change_of_what_an_exit_watches_ends_the_run(self):
        self.begin(self.who('l5', role='user'), 'trial.begun')
        self.at_step('l5', 'calm')
        self.patch('l5', locale='de', role='user')
        self.assertEqual(len(self.active('l5')), 1)
        self.patch('l5', role='admin')
        self.left('l5', 'role_changed')

    def test_what_is_being_handed_over_is_told_as_in_flight(self):
        reached, go = threading.Event(), threading.Event()
        self.addCleanup(lambda: (go.set(), setattr(self.h.smtp, 'script', None)))
        self.h.smtp.script = lambda verb, arg, session: (reached.set(), go.wait(60), None)[2] if verb == 'BODY' and str(arg).startswith('l6@') else None
        did = self.begin(self.who('l6'), 'trial.begun')
        self.assertTrue(reached.wait(15 * SLOWNESS))
        gone = self.entry(self.event('l6', 'trial.closed'), 'left')
        self.assertEqual((gone['cancelled'], [id[:len(did['message'])] for id in gone['in_flight']]), ([], [did['message']]))
        self.left('l6', 'closed')
        go.set()
        self.assertEqual(self.h.settled(did['message'])['status'], 'sent')

    def test_a_goal_that_does_not_end_is_counted_once_and_the_journey_goes_on(self):
        self.begin(self.who('l7'), 'counted.begun')
        counts = lambda: [d['what'] for d in self.event('l7', 'counted.won')['did']]
        first = counts()
        self.assertTrue(first == ['goal'] or first == ['counted'], first)
        self.assertEqual(counts(), [])
        self.at_step('l7', 'calm')

    def test_a_goal_after_the_end_still_counts_for_its_term(self):
        self.begin(self.who('l8'), 'afterwards.begun')
        self.entry(self.event('l8', 'afterwards.closed'), 'left')
        self.assertEqual([d['what'] for d in self.event('l8', 'afterwards.won')['did']], ['counted'])
        self.assertEqual([d['what'] for d in self.event('l8', 'afterwards.won')['did']], [])
        self.left('l8', 'closed')

    def test_one_of_several_keys_leaves_alone(self):
        self.who('l9')
        runs = {seat: self.begin('l9', 'seat.taken', data={'seat': seat})['run'] for seat in ('a', 'b', 'c')}
        did = self.event('l9', 'seat.cancelled', data={'seat': 'b'})['did']
        self.assertEqual([(d['what'], d['run'], d['why']) for d in did], [('left', runs['b'], 'cancelled')])
        self.assertEqual({r['id'] for r in self.active('l9')}, {runs['a'], runs['c']})

    def test_who_withdraws_the_only_channel_leaves(self):
        self.begin(self.who('l10'), 'mailed.begun')
        self.at_step('l10', 'calm')
        self.withdraw('l10', 'email')
        self.left('l10', 'opted_out')
        self.pause(self.who('m10'))
        did = self.begin('m10', 'mailed.begun')
        self.held('m10')
        self.assertEqual(self.withdraw('m10', '*')['cancelled'], [did['message']])
        self.left('m10', 'opted_out')

    def test_who_can_still_be_reached_stays(self):
        self.begin(self.who('l11'), 'either.begun')
        self.withdraw('l11', 'email')
        self.at_step('l11', 'calm')
        self.withdraw('l11', 'in_app')
        self.left('l11', 'opted_out')

    def test_a_suppressed_address_is_noticed_when_the_send_ends(self):
        self.who('l12')
        self.assertEqual(self.h.http('PUT', '/v1/suppressions/l12@example.com', {'reason': 'complaint'})[0], 200)
        self.begin('l12', 'mailed.begun')
        self.left('l12', 'opted_out')

    def test_where_an_opt_out_does_not_end_it_the_run_walks_on_in_silence(self):
        self.withdraw(self.who('l13'), '*')
        id = self.begin('l13', 'stubborn.begun')['message']
        self.left('l13', 'walked')
        self.assertEqual((self.h.message(id)['status'], self.mails('l13')), ('suppressed', []))

    def test_an_operator_ends_a_run(self):
        did = self.open('l14')
        self.h.cli('sequence', 'exit', 'trial', '--recipient', 'l14')
        self.left('l14', 'exited')
        self.assertEqual(self.h.message(did['message'])['status'], 'cancelled')
        self.never(did['message'])

    def remains(self, word):
        """The keys of Redis that hold the word, in their name or in what they keep."""
        read = {'string': 'GET %s', 'hash': 'HGETALL %s', 'set': 'SMEMBERS %s', 'zset': 'ZRANGE %s 0 -1', 'list': 'LRANGE %s 0 -1', 'stream': 'XRANGE %s - +'}
        found = []
        for key in self.h.redis('--scan').split('\n'):
            verb = read.get(self.h.redis('TYPE', key))
            if word in key or verb and word in self.h.redis(*[w.replace('%s', key) for w in verb.split()]):
                found.append(key)
        return found

    def test_nothing_is_left_of_who_is_erased_in_the_middle_and_nothing_more_is_sent(self):
        self.pause(self.who('zacharias'))
        late = self.begin('zacharias', 'trial.begun')['message']
        self.held('zacharias')
        self.who('zebulon', attributes={'name': 'Zeb'})
        for name in ('soon.begun', 'mailed.begun', 'trial.begun', 'either.begun'):
            self.begin('zebulon', name, data={'of': 'zebulon'}, id='zebulon-' + name)
        self.event('zebulon', 'trial.closed', data={'of': 'zebulon'})
        self.at_step('zebulon', 'pause', 'soon')
        for who in ('zebulon', 'zacharias'):
            self.assertIs(self.h.http('DELETE', '/v1/recipients/' + who)[1]['erased'], True)
        self.assertEqual(self.h.http('GET', '/v1/messages/' + late)[0], 404)
        self.begin(self.who('l15'), 'soon.begun')
        self.sent('l15', 'nudge')  # by now the other's would have come, too
        self.assertEqual((self.mails('zebulon').count('nudge'), self.mails('zacharias')), (0, []))
        for word in ('zebulon', 'zacharias'):
            self.h.until(lambda: not self.remains(word), 6, lambda: self.remains(word))


class Faults(Journey):
    TWO = """
sequence: two
category: onboarding
trigger: {event: two.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: pause, wait: 2s}
  - {id: nudge, send: {template: nudge, channels: [email]}}
"""

    def kill(self, p):
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.h.processes.remove(p)
        self.h.redis_end()

    def both(self, who):
        self.sent(who, 'nudge')
        self.left(who)
        self.assertEqual((self.mails(who), self.told(who)), (['hello', 'nudge'], {'hello': 1, 'nudge': 1}))

    def test_killed_in_the_middle_of_a_wait_it_goes_on_where_it_was(self):
        h = self.build(self.TWO, worker={'lease': '1s'})
        p = h.start()
        run = self.begin(self.who('k1'), 'two.begun', id='k-1')['run']
        self.at_step('k1', 'pause')
        self.kill(p)
        h.start()
        self.assertEqual([r['id'] for r in self.runs('k1')], [run])
        self.assertEqual(self.event('k1', 'two.begun', id='k-1')['status'], 'known')
        self.both('k1')

    def test_killed_between_the_enrolment_and_the_send_it_sends_once(self):
        h = self.build(self.TWO, worker={'lease': '1s'})
        p = h.start('--role', 'api')  # nobody there to send
        did = self.begin(self.who('k2'), 'two.begun', id='k-2')
        self.kill(p)
        h.start()
        self.assertEqual(self.event('k2', 'two.begun', id='k-2')['status'], 'known')
        self.both('k2')
        self.assertEqual((self.messages('k2')[0]['run'], self.left('k2')['id']), (did['run'], did['run']))
        self.assertIn(did['message'], [m['id'] for m in self.messages('k2')])

    def test_killed_while_it_sends_it_sends_once(self):
        h = self.build(self.TWO, worker={'lease': '1s'})
        p, reached, go = h.start(), threading.Event(), threading.Event()
        self.addCleanup(go.set)
        h.smtp.script = lambda verb, arg, session: (reached.set(), go.wait(60), '451 4.3.0 later')[2] if verb == 'RCPT' else None
        self.begin(self.who('k3'), 'two.begun')
        self.assertTrue(reached.wait(15 * SLOWNESS))
        self.kill(p)
        h.smtp.script = None
        go.set()
        h.start()
        self.both('k3')

    def test_two_workers_and_a_hundred_people_and_each_message_once(self):
        h = self.build(self.TWO)
        h.start('--role', 'api')
        for _ in range(2):
            h.start('--role', 'worker', wait=False)
        people = ['p%d' % i for i in range(100)]
        lines = lambda objects: '\n'.join(json.dumps(o) for o in objects)
        h.cli('recipient', 'import', stdin=lines(person(who) for who in people) + '\n')
        events = lines({'recipient': who, 'name': 'two.begun', 'id': 'e-' + who} for who in people for _ in range(2)).encode()
        status, text = h.http('POST', '/v1/events', raw=events, type=NDJSON)
        self.assertIn(status, (200, 202), text)
        self.assertEqual(collections.Counter(json.loads(line)['status'] for line in text.splitlines()), {'taken': 100, 'known': 100}, text[:500])
        h.until(lambda: len(h.smtp.accepted) >= 200, 30, lambda: len(h.smtp.accepted))
        for who in people:
            self.left(who)
        copies = collections.Counter((m.recipient.split('@')[0], str(m.parse()['Subject'])) for m in h.smtp.received)
        self.assertEqual(copies, {(who, subject): 1 for who in people for subject in ('hello', 'nudge')})
        self.assertEqual(sum(sum(self.told(who).values()) for who in people), 200)

    def test_nothing_is_enrolled_twice_by_a_race_of_the_same_trigger(self):
        h = self.build(self.TWO)
        h.start()
        self.who('race')
        answers = []
        post = lambda i: answers.append(self.event('race', 'two.begun', id='r-%d' % i))
        threads = [threading.Thread(target=post, args=(i,)) for i in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        said = collections.Counter((d['what'], d.get('why') if d['what'] != 'enrolled' else None) for a in answers for d in a['did'])
        self.assertEqual(said, {('enrolled', None): 1, ('not_enrolled', 'running'): 11})
        self.both('race')


class Check(Journey):
    HEAD = 'sequence: x\ncategory: onboarding\ntrigger: {event: x.begun}\nsteps:\n'

    @classmethod
    def setUpClass(cls):
        cls.h = house()
        cls.addClassCleanup(cls.h.close)

    def setUp(self):
        for name in os.listdir(self.h.settings['sequences']):
            os.remove(os.path.join(self.h.settings['sequences'], name))

    def said(self, *names, status=1):
        return self.h.cli('sequence', 'check', *names, status=status) + self.h.err

    def refuses(self, steps, word='', head=HEAD):
        """The check refuses this at the line that ends with "# here", with this word."""
        text = head + ''.join('  ' + line + '\n' for line in steps.strip('\n').split('\n'))
        define(self.h, text, 'x')
        line = next((i for i, line in enumerate(text.split('\n'), 1) if line.endswith('# here')), None)
        with self.subTest(text=text):
            said = self.said()
            self.assertRegex(said, r'(?m)x\.yaml:%s: .*%s' % (line or r'\d+', re.escape(word)))

    def test_what_is_sound_is_told_with_its_longest_path(self):
        define(self.h, """
sequence: lengthy
category: onboarding
trigger: {event: lengthy.begun}
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: pause, wait: 2d}
  - id: ready
    wait_for: {any: [{event: lengthy.done, as: done}], timeout: 3d}
    then:
      done: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
      timeout:
        - id: chase
          repeat:
            max: 2
            until: {happened: {event: lengthy.done, since: run}}
            steps:
              - {id: nudge, send: {template: nudge, channels: [in_app]}}
              - {id: rest, wait: 4d}
  - {id: bye, send: {template: bye, channels: [in_app]}}
""")
        define(self.h, 'sequence: brief\ncategory: onboarding\ntrigger: {enroll: true}\nsteps:\n  - {id: hello, send: {template: hello, channels: [in_app]}}\n')
        said = self.said(status=0)
        line = lambda name: next((l for l in said.splitlines() if re.search(r'\b%s\b' % name, l)), said)
        self.assertRegex(line('lengthy'), r'\b13(\.0)? ?d')
        self.assertRegex(line('lengthy'), r'\b4 messages\b')
        self.assertRegex(line('brief'), r'\b1 message\b')
        self.assertNotIn('brief', self.said('lengthy', status=0))

    def test_who_goes_through_at_once_on_each_trigger_is_warned_of(self):
        steps = 'steps:\n  - {id: hello, send: {template: hello, channels: [in_app]}}\n'
        for more, warned in (('reentry: always\n', True), ('', False), ('reentry: {per: event.order}\n', False),
                             ('reentry: always\nentry: {max: 1, per: 1h, over: skip}\n', False)):
            define(self.h, 'sequence: x\ncategory: onboarding\ntrigger: {event: x.begun}\n' + more + steps)
            with self.subTest(more=more):
                self.assertEqual('no step waits' in self.said(status=0), warned)
        define(self.h, 'sequence: x\ncategory: onboarding\ntrigger: {event: x.begun}\nreentry: always\n' + steps + '  - {id: calm, wait: 1d}\n')
        self.assertNotIn('no step waits', self.said(status=0))

    def test_a_key_that_is_none_is_refused(self):
        self.refuses('- {id: a, wait: 1d, colour: red} # here', 'colour')
        self.refuses('- {id: a, send: {template: hello, chanels: [in_app]}} # here', 'chanels')
        self.refuses('- {id: a, wait: 1d}', 'colour', self.HEAD.replace('steps:', 'colour: red # here\nsteps:'))
        self.refuses('- {id: a, wait: 1d}', 'wher', self.HEAD.replace('x.begun}', 'x.begun, wher: {event.a: 1}} # here'))

    def test_every_step_has_an_id_of_its_own(self):
        self.refuses('- {id: twin, wait: 1d}\n- {id: other, wait: 1d}\n- {id: twin, wait: 2d} # here', 'twin')
        self.refuses('- {id: twin, wait_for: {any: [{event: x.done, as: done}], timeout: 1d}, then: {done: [{id: twin, wait: 2d}]}} # here', 'twin')
        self.refuses('- {id: a, wait: 1d}\n- {wait: 1d} # here', 'id')
        self.refuses('- {id: "Two Words", wait: 1d} # here', 'id')

    def test_a_step_is_one_thing_and_can_be_reached(self):
        self.refuses('- {id: both, wait: 1d, send: {template: hello, channels: [in_app]}} # here')
        self.refuses('- {id: none} # here')
        self.refuses('- {id: a, end: over}\n- {id: beyond, wait: 1d} # here')

    def test_an_arm_answers_to_an_outcome(self):
        self.refuses('- {id: a, wait_for: {any: [{event: x.done, as: done}], timeout: 1d}, then: {dun: [{id: b, wait: 1d}]}} # here', 'dun')

    def test_what_is_sent_can_be_sent(self):
        self.refuses('- {id: a, send: {template: helo, channels: [in_app]}} # here', 'helo')
        self.refuses('- {id: a, send: {template: hello, channels: [sms]}} # here', 'sms')
        self.refuses('- {id: a, send: {template: tell, channels: [email]}} # here', 'what')
        self.refuses('- {id: a, send: {template: tell, channels: [email], data: {wat: rain}}} # here', 'what')
        self.refuses('- {id: a, send: {template: tell, channels: [email], data: {what: 5}}} # here', 'what')

    def test_an_empty_filter_is_never_everything(self):
        self.refuses('- {id: a, wait: 1d}', '', self.HEAD.replace('x.begun}', 'x.begun, where: {}} # here'))
        self.refuses('- {id: a, wait_for: {any: [{event: x.done, where: {}, as: done}], timeout: 1d}} # here')
        self.refuses('- {id: a, branch: [{when: {}, steps: [{id: b, wait: 1d}]}]} # here')

    def test_nothing_lasts_for_ever(self):
        self.refuses('- {id: a, wait_for: {any: [{event: x.done, as: done}]}} # here', 'timeout')
        self.refuses('- {id: a, repeat: {steps: [{id: b, wait: 1d}]}} # here', 'max')
        self.refuses('- {id: a, repeat: {max: 51, steps: [{id: b, wait: 1d}]}} # here', 'max')

    def test_what_is_past_leads_to_a_later_step(self):
        self.refuses('- {id: a, wait: {until: trigger.data.due, past: nowhere}} # here', 'nowhere')
        self.refuses('- {id: early, wait: 1d}\n- {id: a, wait: {until: trigger.data.due, past: early}} # here', 'early')

    def test_a_sequence_has_a_trigger_and_the_name_of_its_file(self):
        self.refuses('- {id: a, wait: 1d}', 'trigger', self.HEAD.replace('trigger: {event: x.begun}\n', ''))
        self.refuses('- {id: a, wait: 1d}', '', self.HEAD.replace('sequence: x', 'sequence: y # here'))
        self.refuses('- {id: a, wait: 1d}', 'offers', self.HEAD.replace('category: onboarding', 'category: offers # here'))

    def test_every_broken_file_is_named_and_a_sound_one_alone_passes(self):
        good = self.HEAD + '  - {id: a, wait: 1d}\n'
        define(self.h, good)
        for name in ('y', 'z'):
            define(self.h, good.replace('sequence: x', 'sequence: ' + name) + '  - {id: a, wait: 1d}\n')
        said = self.said()
        for name in ('y', 'z'):
            self.assertIn(name + '.yaml:6: ', said)
        self.assertNotRegex(said, r'\bx\.yaml:\d')
        self.said('x', status=0)
        self.assertIn('y.yaml:6: ', self.said('y'))
        self.said('nope', status=1)


class Files(Journey):
    KEPT = 'sequence: kept\ncategory: onboarding\ntrigger: {event: kept.begun}\nsteps:\n' \
           '  - {id: hello, send: {template: hello, channels: [email]}}\n  - {id: pause, wait: 2s}\n  - {id: nudge, send: {template: nudge, channels: [email]}}\n'
    PROBE = 'sequence: probe\ncategory: onboarding\ntrigger: {event: probe.begun}\nsteps:\n  - {id: pause, wait: 30d}\n'
    BROKEN = 'sequence: kept\ncategory: onboarding\ntrigger: {event: kept.begun}\nsteps:\n  - {id: pause, wait: 30d}\n  - {id: pause, wait: 1d}\n'

    def reload(self, p):
        """Everything is read again; done when a sequence that has changed with the others is the new one."""
        self.serial = getattr(self, 'serial', 0) + 1
        define(self.h, self.PROBE.replace('30d', '%dd' % (30 + self.serial)))
        tries = iter(range(1000))

        def version():
            who = self.who('probe-%d-%d' % (self.serial, next(tries)))
            self.begin(who, 'probe.begun')
            return self.active(who)[0]['version']
        before = getattr(self, 'probed', None)
        p.send_signal(signal.SIGHUP)
        self.h.until(lambda: version() != before, what='the reload is done')
        self.probed = version()

    def open(self):
        """A service that knows `kept` and `probe`."""
        h = self.build(self.KEPT + '---\n' + self.PROBE)
        p = h.start()
        self.begin(self.who('probe-0'), 'probe.begun')
        self.probed = self.active('probe-0')[0]['version']
        return h, p

    def version(self, who):
        self.begin(self.who(who), 'kept.begun')
        return self.active(who, 'kept')[0]['version']

    def test_a_changed_file_is_for_new_runs_and_changed_words_are_for_everybody(self):
        h, p = self.open()
        old = self.version('f1')
        self.sent('f1', 'hello')
        define(h, self.KEPT.replace('wait: 2s', 'wait: 30d'))
        write(h.settings['templates'] + '/nudge/email.subject.mustache', 'a better nudge')
        self.reload(p)
        self.assertNotEqual(self.version('g1'), old)
        self.left('f1')
        self.assertEqual((self.mails('f1'), self.runs('f1')[0]['version']), (['hello', 'a better nudge'], old))
        self.at_step('g1', 'pause')
        self.assertEqual(self.told('g1'), {'hello': 1})

    def test_a_comment_or_a_title_makes_no_new_version(self):
        h, p = self.open()
        old = self.version('f2')
        define(h, '# for newcomers\ntitle: Something else\n' + self.KEPT)
        self.reload(p)
        self.assertEqual(self.version('g2'), old)

    def test_a_file_that_has_gone_ends_no_run_and_lets_nobody_in(self):
        h, p = self.open()
        old = self.version('f3')
        self.at_step('f3', 'pause', 'kept')
        os.remove(h.settings['sequences'] + '/kept.yaml')
        self.reload(p)
        self.assertEqual([d for d in self.event(self.who('g3'), 'kept.begun')['did'] if d['what'] == 'enrolled'], [])
        self.assertTrue([line for line in h.log().splitlines() if 'kept' in line and '"level":"warn' in line], h.log()[-2000:])
        self.assertIn('kept', h.cli('sequence', 'list'))
        h.stop(p)
        h.start()  # also a process that never saw the file goes on
        self.assertEqual(self.left('f3')['version'], old)
        self.assertEqual((self.mails('f3'), self.runs('g3'), self.told('g3')), (['hello', 'nudge'], [], {}))

    def test_a_file_that_breaks_keeps_the_old_one_and_the_log_says_where(self):
        h, p = self.open()
        old = self.version('f4')
        define(h, self.BROKEN)
        self.reload(p)
        self.log_has('kept.yaml:6')
        self.assertEqual(self.version('g4'), old)
        self.sent('g4', 'nudge')
        define(h, self.KEPT.replace('wait: 2s', 'wait: 1s'))
        self.reload(p)
        self.assertNotEqual(self.version('i4'), old)

    def test_a_file_that_is_broken_at_the_start_stops_neither_the_service_nor_the_others(self):
        h = self.build(self.PROBE)
        define(h, self.BROKEN)
        p = h.start()
        self.log_has('kept.yaml:6')
        self.begin(self.who('f5'), 'probe.begun')
        self.assertEqual(self.event('f5', 'kept.begun')['did'], [])
        self.assertEqual(self.enroll('kept', 'f5')[0], 404)
        self.h.settled(h.send('f5', 'hello', {}, channels=['in_app']))
        define(h, self.KEPT)
        p.send_signal(signal.SIGHUP)
        h.until(lambda: [d['what'] for d in self.event('f5', 'kept.begun')['did']] == ['enrolled'], what='the mended file is taken')

    def test_a_service_without_a_folder_sends_messages_and_takes_events(self):
        h = self.build()
        os.rmdir(h.settings['sequences'])
        h.start()
        self.h.settled(h.send(person('f6'), 'hello', {}, channels=['in_app']))
        self.assertEqual(self.event('f6', 'kept.begun')['did'], [])
        self.assertEqual(self.enroll('kept', 'f6')[0], 404)

    def test_the_list_counts_who_is_running_and_show_tells_the_steps(self):
        h, p = self.open()
        for who in ('f7', 'g7'):
            self.begin(self.who(who), 'probe.begun')
        self.begin(self.who('i7'), 'kept.begun')
        self.left('i7')
        h.until(lambda: re.search(r'(?m)^.*\bprobe\b.*\b3\b', h.cli('sequence', 'list')), what=lambda: h.cli('sequence', 'list'))
        self.assertRegex(h.cli('sequence', 'list'), r'(?m)^.*\bkept\b.*\b0\b')
        json.loads(h.cli('sequence', 'list', '--json'))
        shown = h.cli('sequence', 'show', 'kept')
        for word in ('kept', 'hello', 'pause', 'nudge', self.runs('i7')[0]['version']):
            self.assertIn(word, shown)
        h.cli('sequence', 'show', 'nope', status=1)
        h.cli('sequence', 'exit', 'probe', '--recipient', 'f7')
        self.left('f7', 'exited')
        h.until(lambda: re.search(r'(?m)^.*\bprobe\b.*\b2\b', h.cli('sequence', 'list')), what=lambda: h.cli('sequence', 'list'))


if __name__ == '__main__':
    unittest.main()
