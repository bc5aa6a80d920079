"""A rehearsal shows what the service would do, for it is the service: the same gates, caps, waits and words, and nothing leaves the house."""
import datetime, json, os, re, subprocess, unittest

from house import ROOT
from test_sequences import UTC, Journey, define, house, moment, seconds, text_of, write

SIGN_UP = """
sequence: start
category: onboarding
trigger: {event: customer.signed_up}
goal: {event: first.value}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: day, wait: {days: 1, at: "10:00", only: workdays}}
  - {id: nudge, send: {template: nudge, channels: [email]}}
  - {id: rest, wait: 3d}
  - {id: thanks, send: {template: thanks, channels: [in_app]}}
"""
PEOPLE = [('ada', 'Europe/Berlin'), ('bo', 'America/New_York'), ('cy', 'Australia/Lord_Howe'), ('di', 'Asia/Kolkata')]


class Playing(Journey):
    def setUp(self):
        self.h = house(SIGN_UP, quiet_hours={'from': '21:00', 'to': '08:00'})
        self.addCleanup(self.h.close)
        write(self.path('people'), ''.join(json.dumps({'id': who, 'email': who + '@example.com', 'timezone': zone}) + '\n' for who, zone in PEOPLE))
        self.events({'recipient': '*', 'name': 'customer.signed_up', 'at': '2027-03-26T21:30:00Z'})

    def path(self, name):
        return os.path.join(self.h.dir, name)

    def events(self, *events):
        write(self.path('events'), ''.join(json.dumps(one) + '\n' for one in events))

    def play(self, *more, name='start', status=0, json_out=True):
        out = self.h.cli('sequence', 'simulate', name, '--cohort', self.path('people'), '--events', self.path('events'), '--from', '2027-03-20', '--to',
                         '2027-04-20', *(['--json'] if json_out else []), *more, status=status)
        return json.loads(out) if json_out and status == 0 else out

    def sends(self, report, who):
        lines = next(one['entries'] for one in report['timeline'] if one['recipient'] == who)
        return [(line['template'], line['local']) for line in lines if line['what'] == 'sent']


class Rehearsals(Playing):
    def test_quiet_hours_workdays_and_the_change_of_the_clocks_are_as_they_will_be(self):
        report = self.play()
        # Friday 22:30 in Berlin: in the morning, on Saturday; then Monday at ten, after the clocks have changed
        self.assertEqual(self.sends(report, 'ada'), [('hello', 'Sat 27 Mar 2027 08:00 +01:00'), ('nudge', 'Mon 29 Mar 2027 10:00 +02:00'),
                                                     ('thanks', 'Thu 01 Apr 2027 10:00 +02:00')])
        self.assertEqual(self.sends(report, 'bo')[:2], [('hello', 'Fri 26 Mar 2027 17:30 -04:00'), ('nudge', 'Mon 29 Mar 2027 10:00 -04:00')])
        # three days are 72 hours, though the clocks went back half an hour on 4 April
        self.assertEqual(self.sends(report, 'cy'), [('hello', 'Sat 27 Mar 2027 08:30 +11:00'), ('nudge', 'Mon 29 Mar 2027 10:00 +11:00'),
                                                    ('thanks', 'Thu 01 Apr 2027 10:00 +11:00')])
        self.assertEqual(report['messages']['night'], 0)
        self.assertEqual(report['messages']['sent'], 12)
        self.assertEqual(report['sequences']['start']['left'], {'completed': 4})

    def test_who_is_twice_in_the_cohort_is_played_once_and_told_of(self):
        write(self.path('people'), '{"id": "ada", "email": "ada@example.com", "timezone": "Europe/Berlin"}\n' * 2)
        report = self.play()
        self.assertIn('ada', self.h.err)
        self.assertIn('line 2', self.h.err)
        self.assertEqual((report['people'], [one['recipient'] for one in report['timeline']], report['messages']['sent']), (1, ['ada'], 3))

    def test_d5_there_is_no_second_path(self):
        folder = os.path.join(ROOT, 'dispatcher', 'simulator')
        text = ''.join(open(os.path.join(folder, name)).read() for name in os.listdir(folder) if name.endswith('.c'))
        for word in ('worker_start(', 'turns_start(', 'waves_start('):
            self.assertIn(word, text)
        for word in ('policy/gates.h', 'policy/caps.h', 'schedules/machine.h', 'schedules/quiet.h', 'store_script('):
            self.assertNotIn(word, text)

    def test_it_is_the_same_each_time(self):
        ids = lambda text: re.sub(r'"message":"[^"]*"', '', text)
        self.assertEqual(self.play(json_out=False), self.play(json_out=False))

    def test_it_is_the_same_each_time_whatever_begins_it(self):
        write(os.path.join(self.h.settings['sequences'], 'entering.yaml'), SIGN_UP.replace('sequence: start', 'sequence: entering').replace(
            'trigger: {event: customer.signed_up}', 'trigger: {enters: {recipient.role: user}}'))
        self.events({'recipient': {'id': 'bo', 'role': 'user'}, 'name': 'crm.synced', 'at': '2027-03-22T09:00:00Z'})
        plays = [self.play(name='entering,start', json_out=True) for _ in range(2)]
        self.assertEqual(json.dumps(plays[0]), json.dumps(plays[1]))
        self.assertEqual(plays[0]['sequences']['entering']['enrolled'], 1)

    def test_lines_enrol_withdraw_and_hold_a_wave_at_their_time(self):
        write(os.path.join(self.h.settings['sequences'], 'rolled.yaml'), SIGN_UP.replace('sequence: start', 'sequence: rolled').replace(
            'trigger: {event: customer.signed_up}', 'trigger: {enroll: true}\nwaves: {order: [{name: one, where: always}]}'))
        self.events({'sequence': 'rolled', 'recipient': '*', 'at': '2027-03-22T09:00:00Z'},
                    {'recipient': 'ada', 'category': 'onboarding', 'state': 'withdrawn', 'at': '2027-03-22T12:00:00Z'},
                    {'sequence': 'rolled', 'wave': 'one', 'do': 'hold', 'at': '2027-03-24T09:00:00Z'},
                    {'sequence': 'rolled', 'wave': 'none', 'do': 'open', 'at': '2027-03-24T09:00:00Z'})
        report = self.play(name='rolled')
        self.assertEqual([template for template, _ in self.sends(report, 'ada')], ['hello'])
        self.assertEqual([template for template, _ in self.sends(report, 'di')], ['hello', 'nudge'])
        self.assertEqual(report['sequences']['rolled']['left'], {'opted_out': 1})
        self.assertEqual([w['state'] for w in report['waves']['rolled']['waves']], ['held'])
        self.assertEqual([r['at'] for r in report['refused']], ['/wave'])

    def test_a_goal_ends_it_and_what_was_to_come_does_not(self):
        self.events({'recipient': 'ada', 'name': 'customer.signed_up', 'at': '2027-03-22T09:00:00Z'},
                    {'recipient': 'ada', 'name': 'first.value', 'at': '2027-03-22T18:00:00Z'})
        report = self.play()
        self.assertEqual([template for template, _ in self.sends(report, 'ada')], ['hello'])
        self.assertEqual(report['sequences']['start']['goal'], 1)

    def test_caps_and_consent_hold(self):
        self.h.settings['caps'] = [{'name': 'one', 'kinds': ['service'], 'max': 1, 'per': '7d', 'over': 'drop'}]
        self.h.write()
        people = open(self.path('people')).read().splitlines()
        people[0] = json.dumps({**json.loads(people[0]), 'consents': [{'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'at': '2027-01-01T00:00:00Z'}]})
        write(self.path('people'), '\n'.join(people))
        report = self.play()
        self.assertEqual(self.sends(report, 'ada'), [])
        self.assertEqual([template for template, _ in self.sends(report, 'bo')], ['hello'])
        self.assertIn('cap:one', report['messages']['not_sent'])

    def test_expectations_are_asserted(self):
        self.play('--expect', 'messages.per_person.max <= 3', '--expect', 'messages.night == 0', '--expect', 'messages.deferred.cap == 0')
        self.play('--expect', 'messages.per_person.max < 3', status=1)
        self.assertIn('messages.per_person.max is 3', self.h.err)
        write(self.path('expected'), '# what marketing has promised\nmessages.weekend == 0\n')
        self.play('--expect', self.path('expected'), status=1)
        self.play('--expect', 'messages.sent', status=1)
        self.assertIn('is no expectation', self.h.err)

    def test_another_version_is_told_apart(self):
        write(self.path('other.yaml'), SIGN_UP.replace('"10:00"', '"11:00"').replace('  - {id: rest, wait: 3d}\n  - {id: thanks, send: {template: thanks, channels: [in_app]}}\n', ''))
        changes = self.play('--against', self.path('other.yaml'))['changes']
        self.assertEqual({(c['change'], c['step']) for c in changes if c['recipient'] == 'bo'}, {('new', 'thanks'), ('moved', 'nudge')})

    def test_the_page_stands_alone_and_everybody_is_on_it(self):
        self.play('--html', self.path('page.html'), json_out=False)
        page = open(self.path('page.html')).read()
        for who, zone in PEOPLE:
            self.assertIn('%s (3 sent, %s)' % (who, zone), page)
        self.assertNotRegex(page, r'<script|src=|href=|url\(')

    def test_nothing_leaves_the_house_and_nothing_is_left_behind(self):
        before = set(os.listdir('/tmp'))
        self.play()
        self.assertEqual((self.h.smtp.messages if hasattr(self.h.smtp, 'messages') else []), [])
        self.assertFalse(os.path.exists(self.path('data')))
        self.assertEqual({name for name in set(os.listdir('/tmp')) - before if name.startswith('tidings-rehearsal')}, set())

    def test_what_is_wrong_is_said(self):
        self.play(name='nope', status=1)
        self.assertIn('there is no sequence nope', self.h.err)
        self.h.cli('sequence', 'simulate', 'start', status=2)
        self.h.cli('sequence', 'simulate', 'start', '--from', '2027-02-02', '--to', '2027-01-01', status=2)
        self.events({'recipient': 'ada', 'name': 'customer.signed_up'})
        self.play(status=1)
        self.assertRegex(self.h.err, r'events:1: needs "at"')
        write(self.path('people'), '{"id": "ada", "email": "ada@example.com"}\n{"id": "bo", "email": 7}\n')
        self.play(status=1)
        self.assertRegex(self.h.err, r'"pointer":"/email".*"line":2')


def crowd(n):
    return ''.join(json.dumps({'id': 'p%d' % i, 'email': 'p%d@example.com' % i, 'timezone': 'UTC'}) + '\n' for i in range(n))


class Worlds(Playing):
    """A world file says what relays answer and people do (part 5 of the design)."""

    def setUp(self):
        super().setUp()
        self.h.settings.pop('quiet_hours')
        self.h.write()

    def world(self, text, *more, people=1, **options):
        write(self.path('people'), crowd(people))
        write(self.path('world.yaml'), text)
        return self.play('--world', self.path('world.yaml'), *more, **options)

    def test_a_reaction_follows_what_was_sent_after_its_delay(self):
        self.events({'recipient': 'p0', 'name': 'customer.signed_up', 'at': '2027-03-22T09:00:00Z'})
        report = self.world('react:\n  - {after: sent hello, event: first.value, share: 100%, delay: {median: 3h, spread: 1}}\n')
        entries = report['timeline'][0]['entries']
        self.assertEqual([e['template'] for e in entries if e['what'] == 'sent'], ['hello'])
        goal = next(e for e in entries if e['what'] == 'goal')
        self.assertEqual(goal['local'], 'Mon 22 Mar 2027 12:00 +00:00')

    def test_shares_are_as_often_as_they_say_and_the_same_for_the_same_seed(self):
        text = 'react:\n  - {after: sent hello, event: first.value, share: 60%, delay: {median: 3h, spread: 2}}\n'
        goals = [self.world(text, *seed, people=300)['sequences']['start']['goal'] for seed in ((), (), ('--seed', 'another'))]
        self.assertEqual(goals[0], goals[1])
        for n in goals:
            self.assertTrue(150 <= n <= 210, goals)  # 180, and five deviations of 8.5 either way would be 138 to 222
        self.assertNotEqual(goals[0], goals[2])

    def test_half_of_the_delays_are_shorter_than_the_median_and_two_in_three_within_the_spread(self):
        self.events({'recipient': '*', 'name': 'customer.signed_up', 'at': '2027-03-22T09:00:00Z'})
        report = self.world('react:\n  - {after: sent hello, event: first.value, delay: {median: 4h, spread: 2}}\n', people=400)
        at = [e['at'] for one in report['timeline'] for e in one['entries'] if e['what'] == 'goal']
        self.assertEqual(len(at), 400)
        hours = [(moment(t) - moment('2027-03-22T09:00:00Z')).total_seconds() / 3600 for t in at]
        self.assertTrue(160 <= sum(h < 4 for h in hours) <= 240, sorted(hours))
        self.assertTrue(225 <= sum(2 <= h <= 8 for h in hours) <= 320, sorted(hours))  # 68 %: 273

    def test_relays_refuse_and_lose_their_answers_as_often_as_it_says(self):
        report = self.world('outcomes: {email: {bounced: 20%, unknown: 10%}}\n', people=300)
        self.assertEqual(self.world('outcomes: {email: {bounced: 20%, unknown: 10%}}\n', people=300)['messages'], report['messages'])
        hello = [one for one in report['timeline'] if any(e['what'] == 'sent' and e['template'] == 'hello' for e in one['entries'])]
        self.assertTrue(180 <= len(hello) <= 240, len(hello))  # 210
        self.assertIn('provider_rejected', report['messages']['not_sent'])
        self.assertIn('outcome_unknown', report['messages']['not_sent'])

    def test_what_happens_every_so_often_happens_at_each_persons_own_hours(self):
        define(self.h, SIGN_UP.replace('sequence: start', 'sequence: back').replace('customer.signed_up', 'portal.signed_in').replace('category: onboarding', 'category: onboarding\nreentry: always'))
        report = self.world('react:\n  - {every: 10d, event: portal.signed_in}\n', people=20, name='back')
        at = [e['local'] for one in report['timeline'] for e in one['entries'] if e['what'] == 'enrolled']
        self.assertTrue(40 <= len(at) <= 80, len(at))  # 31 days are three or four tens; within a run it does not begin again
        self.assertGreater(len(set(t.split(' ', 4)[4] for t in at)), 15)

    def test_a_card_is_read(self):
        define(self.h, """
sequence: card
category: onboarding
trigger: {event: customer.signed_up}
steps:
  - {id: tell, send: {template: thanks, channels: [in_app]}}
  - {id: wait, wait_for: {any: [{message: tell, is: read, as: read}], timeout: 5d}, then: {read: [], timeout: [{id: mail, send: {template: nudge, channels: [email]}}]}}
""")
        for share, mails in (('100%', 0), ('0%', 1)):
            report = self.world('engagement: {in_app: {read: %s, after: {median: 1h, spread: 1}}}\n' % share, name='card',
                                *() if self.events({'recipient': 'p0', 'name': 'customer.signed_up', 'at': '2027-03-22T09:00:00Z'}) else ())
            self.assertEqual(report['messages']['by_template'].get('nudge', 0), mails, share)

    def test_what_is_wrong_with_it_is_said_with_its_line(self):
        for text, place, words in (('react:\n  - {after: sent hello}\n', 2, 'event: is required'), ('outcomes:\n  email: {bounced: 60%, unknown: 50%}\n', 2, 'more than 100%'),
                                   ('outcomes:\n  fax: {}\n', 2, 'must be one of email, sms, in_app'), ('raect: []\n', 1, 'did you mean "react"'),
                                   ('react:\n  - {event: a.b}\n', 2, 'either after or every'), ('engagement:\n  email: {read: 5%}\n', 2, 'nobody reports'),
                                   ('react:\n  - {every: 3d, event: a.b, delay: {median: 1h, spread: 0.5}}\n', 2, 'must be a number of 1 or more'), ('react: [\n', 1, '')):
            self.world(text, status=1)
            self.assertRegex(self.h.err, r'world.yaml:\d+: .*' + re.escape(words))


class WorldOfAReport(Journey):
    DEFINITIONS = """
sequence: asked
category: onboarding
trigger: {event: customer.signed_up}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: wait, wait_for: {any: [{event: first.value, as: done}], timeout: 3s}}
"""

    def test_it_has_the_shares_and_delays_of_those_who_waited(self):
        for i in range(8):
            self.begin(self.who('r%d' % i), 'customer.signed_up')
        for i in range(2):
            self.at_step('r%d' % i, 'wait')
            self.event('r%d' % i, 'first.value')
        self.h.until(lambda: not any(self.active('r%d' % i) for i in range(8)))
        text = self.h.cli('sequence', 'world', 'asked')
        self.assertRegex(text, r'- \{after: sent hello, event: first.value, share: 25.0%')
        write(os.path.join(self.h.dir, 'world.yaml'), text)
        write(os.path.join(self.h.dir, 'people'), crowd(100))
        report = self.h.cli_json('sequence', 'simulate', 'asked', '--cohort', os.path.join(self.h.dir, 'people'), '--world', os.path.join(self.h.dir, 'world.yaml'),
                                 '--from', '2027-03-20', '--to', '2027-03-22')
        self.assertEqual(report['sequences']['asked']['left'], {'completed': 100})
        self.h.cli('sequence', 'world', 'nope', status=1)


class FromTheStore(Journey):
    """People as they are now, with what others have planned for them; and nothing of it is touched (part 5 of the design)."""

    def setUp(self):
        h = self.build(SIGN_UP.replace('{id: day, wait: {days: 1, at: "10:00", only: workdays}}', '{id: day, wait: 2d}'),
                       caps=[{'name': 'week', 'kinds': ['service'], 'max': 2, 'per': '7d', 'over': 'drop'}])
        h.start()
        for who in ('ada', 'bo', 'cy', 'di'):
            self.who(who, role='user' if who != 'di' else 'admin')
        self.begin('ada', 'customer.signed_up')
        self.sent('ada', 'hello')
        self.at_step('ada', 'day')
        status, _ = h.http('POST', '/v1/recipients/bo/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        self.assertIn(status, (200, 201))
        self.assertIn(h.http('PUT', '/v1/suppressions/cy@example.com', {'reason': 'asked us'})[0], (200, 201))
        self.later = datetime.datetime.now(UTC) + datetime.timedelta(days=1)
        h.send('ada', template='thanks', data={}, channels=['email'], send_at=text_of(self.later), category='onboarding', source='crm')

    def play(self, *more, status=0, to=20):
        until = (datetime.datetime.now(UTC) + datetime.timedelta(days=to)).strftime('%Y-%m-%d')
        out = self.h.cli('sequence', 'simulate', 'start', '--from-store', '{recipient.role: user}', '--to', until, '--json', *more, status=status)
        return json.loads(out) if status == 0 else None

    def of(self, report, who):
        return next((one['entries'] for one in report['timeline'] if one['recipient'] == who), None)

    def everything(self):
        keys = sorted(self.h.redis('keys', '*').split())
        return {k: self.h.redis('dump', k) for k in keys if not re.search(r'worker|clock|count', k)}

    def test_runs_go_on_what_others_have_planned_comes_and_consents_caps_and_lists_hold(self):
        write(os.path.join(self.h.dir, 'none'), '')
        define(self.h, SIGN_UP.replace('sequence: start', 'sequence: draft').replace('trigger: {event: customer.signed_up}', 'trigger: {enters: {recipient.role: user}}'))  # nobody serves it yet
        before = self.everything()
        self.h.cli('sequence', 'check', '--live', status=None)
        report = self.play('--events', os.path.join(self.h.dir, 'none'))
        self.assertEqual(self.everything(), before)
        self.assertEqual(report['people'], 3)
        self.assertIsNone(self.of(report, 'di'))
        sent = [(e.get('sequence'), e['template'], moment(e['at'])) for e in self.of(report, 'ada') if e['what'] == 'sent' and moment(e['at']) > self.later - seconds(60)]
        # hello of today and the card of the other department fill the week: what its run would send after two days, and after five, is over the cap
        self.assertEqual([(s, t) for s, t, _ in sent], [(None, 'thanks')])
        self.assertLess(abs(sent[0][2] - self.later), seconds(5))
        self.assertEqual(report['messages']['not_sent'].get('cap:week'), 2)

    def test_whom_it_would_be_sent_to_if_they_were_enrolled_now(self):
        report = self.play()
        self.assertEqual([e for e in self.of(report, 'bo') if e['what'] == 'sent'], [])
        self.assertEqual([e['template'] for e in self.of(report, 'cy') if e['what'] == 'sent'], ['thanks'])  # the card: the address is suppressed
        self.assertEqual(report['messages']['not_sent'].get('suppressed_address'), 2)

    def test_what_is_wrong_is_said(self):
        self.play('--from', '2020-01-01', status=1)
        self.assertIn('lies in the past', self.h.err)
        self.h.cli('sequence', 'simulate', 'start', '--from-store', '{recipient.role: {gross: 3}}', '--to', '2040-01-01', status=1)
        self.assertIn('gross', self.h.err)
        self.h.cli('sequence', 'simulate', 'start', '--from-store', '{}', '--to', '2040-01-01', status=1)


class Planned(Journey):
    DEFINITIONS = SIGN_UP

    def test_the_timeline_says_what_is_planned_if_nobody_reacts(self):
        self.who('zoe', timezone='Europe/Vienna')
        self.event('zoe', 'customer.signed_up')
        self.sent('zoe', 'hello')
        self.at_step('zoe', 'day')
        planned = self.timeline('zoe')['planned']
        self.assertEqual([(p['step'], p['template'], p['channels'], p['forecast']) for p in planned],
                         [('nudge', 'nudge', ['email'], True), ('thanks', 'thanks', ['in_app'], True)])
        first, second = (moment(p['at']) for p in planned)
        self.assertEqual(first, moment(self.active('zoe')[0]['until']))
        self.assertEqual(second - first, seconds(3 * 86400))
        self.assertEqual(self.told('zoe'), {'hello': 1})

    def test_whoever_is_in_nothing_has_nothing_planned(self):
        self.who('yan')
        self.assertEqual(self.timeline('yan')['planned'], [])


if __name__ == '__main__':
    unittest.main()
