"""A rehearsal shows what the service would do, for it is the service: the same gates, caps, waits and words, and nothing leaves the house."""
import json, os, re, subprocess, unittest

from house import ROOT
from test_sequences import Journey, house, moment, seconds, write

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


class Rehearsals(Journey):
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
