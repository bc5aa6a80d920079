"""What begins a journey besides an event: a profile that has changed, a date that comes near; who waits at the door, and who walks on over new ground."""
import datetime, json, os, re, signal, threading, unittest, zoneinfo

from house import SLOWNESS, person
from test_sequences import NDJSON, UTC, Journey, define, house, moment, seconds

YEAR_RATE = 1_000_000  # a year is half a minute; no wait is so exact that a slow machine would need more


def lines(*objects):
    return '\n'.join(json.dumps(o) for o in objects) + '\n'


def day(n):
    return (datetime.datetime.now(UTC) + datetime.timedelta(days=n)).strftime('%Y-%m-%d')


def setUpModule():
    Years.open()


class Begun(Journey):
    def entered(self, who, name, n=1):
        """Their runs of this sequence, once there are so many."""
        self.h.until(lambda: len(self.runs(who, name)) >= n, what=lambda: '%s enters %s: %s' % (who, name, self.runs(who)))
        runs = self.runs(who, name)
        self.assertEqual(len(runs), n, runs)
        return runs

    def imported(self, *people, options=(), status=0):
        return self.h.cli('recipient', 'import', *options, stdin=lines(*people), status=status)


class Profiles(Begun):
    """What a write has begun is seen soon after it; what it has not begun is seen once a later write of the same person has begun something."""
    DEFINITIONS = """
sequence: admins
category: onboarding
trigger: {enters: {recipient.role: admin}}
steps:
  - {id: tell, send: {template: tell, channels: [email], data: {what: {from: trigger.data.what, default: nothing}}}}
  - {id: calm, wait: 30d}
---
sequence: users
category: onboarding
trigger: {enters: {recipient.role: user, recipient.attributes.portal: invited}, imports: true}
reentry: never
exit: [{when: {recipient.attributes.portal: none}, reason: uninvited}]
steps:
  - {id: calm, wait: 30d}
---
sequence: silent
category: onboarding
trigger: {enters: {recipient.role: user, recipient.attributes.portal: invited}}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: score
category: onboarding
trigger: {enters: {recipient.attributes.score: {gte: 10}}}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: club
category: onboarding
trigger: {enters: {recipient.attributes.club: true}}
reentry: always
exit: [{when: {recipient.attributes.club: false}, reason: gone}]
steps:
  - {id: calm, wait: 30d}
---
sequence: upgrade
category: onboarding
trigger: {changes: {path: recipient.attributes.plan, from: free, to: gold}}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: city
category: onboarding
trigger: {changes: {path: recipient.attributes.city}}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: tier
category: onboarding
trigger: {changes: {path: recipient.attributes.tier, from: 1, to: 2}, imports: true}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: tier-silent
category: onboarding
trigger: {changes: {path: recipient.attributes.tier, from: 1, to: 2}}
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: either
category: onboarding
trigger: [{event: either.begun}, {enters: {recipient.persona: curious}}]
reentry: always
steps:
  - {id: over, end: seen}
---
sequence: asked
category: onboarding
trigger: {enroll: true}
steps:
  - {id: calm, wait: 30d}
"""

    def test_a_write_that_makes_the_condition_true_begins_what_asks_for_it_and_nothing_else(self):
        self.who('a1', role='user')
        self.patch('a1', role='admin')
        self.entered('a1', 'admins')
        self.assertEqual([r['sequence'] for r in self.runs('a1')], ['admins'])

    def test_it_begins_by_every_door_that_writes_a_profile(self):
        message = lambda who: {'recipient': person(who, role='admin'), 'template': 'hello', 'channels': ['in_app']}
        doors = {'put': lambda who: self.who(who, role='admin'),
                 'patch': lambda who: (self.who(who), self.patch(who, role='admin')),
                 'message': lambda who: self.assertEqual(self.h.http('POST', '/v1/messages', message(who))[0], 202),
                 'lines': lambda who: self.h.http('POST', '/v1/messages', raw=lines(message(who)).encode(), type=NDJSON),
                 'enqueue': lambda who: self.h.cli('enqueue', stdin=lines(message(who))),
                 'known': lambda who: (self.who(who, role='user'), self.h.http('POST', '/v1/messages', message(who))),
                 'event': lambda who: self.event(person(who, role='admin'), 'nobody.asked'),
                 'events': lambda who: self.h.http('POST', '/v1/events', raw=lines({'recipient': person(who, role='admin'), 'name': 'nobody.asked'}).encode(),
                                                   type=NDJSON)}
        for door, write in doors.items():
            write('a2-' + door)
        for door in doors:
            with self.subTest(door=door):
                self.entered('a2-' + door, 'admins')

    def test_such_a_run_knows_no_event(self):
        self.who('a3', role='admin', attributes={'what': 'gold'})
        self.sent('a3', 'tell')
        self.assertEqual(self.mails('a3'), ['tell nothing'])

    def test_who_matches_already_does_not_enter_again_before_it_was_false(self):
        self.who('a4', attributes={'score': 5})
        for score in (10, 15, 12, 3, 11, 9, 10):
            self.patch('a4', attributes={'score': score})
        self.entered('a4', 'score', 3)
        self.patch('a4', attributes={'score': 20})
        self.patch('a4', locale='de')
        self.patch('a4', attributes={'score': 1})
        self.patch('a4', attributes={'score': 10})
        self.entered('a4', 'score', 4)

    def test_a_whole_profile_written_anew_in_which_nothing_has_changed_begins_nothing(self):
        for _ in range(3):
            self.who('a5', attributes={'score': 12})
        self.who('a5', attributes={'score': 1})
        self.who('a5', attributes={'score': 12})
        self.entered('a5', 'score', 2)

    def test_who_leaves_the_condition_and_comes_back_enters_again(self):
        self.who('a6', attributes={'club': True})
        for n in (1, 2):
            self.entered('a6', 'club', n)
            self.assertEqual(len(self.active('a6', 'club')), 1)
            self.patch('a6', attributes={'club': False})
            self.h.until(lambda: not self.active('a6', 'club'), what=lambda: self.runs('a6'))
            self.patch('a6', attributes={'club': True})
        self.entered('a6', 'club', 3)
        self.assertEqual(sorted(r.get('reason') or '' for r in self.runs('a6', 'club')), ['', 'gone', 'gone'])

    def test_re_entry_is_asked_of_a_profile_too(self):
        self.who('a7', role='user', attributes={'portal': 'invited'})
        self.entered('a7', 'users')
        self.patch('a7', attributes={'portal': 'none'})
        self.left('a7', 'uninvited', 'users')
        self.patch('a7', attributes={'portal': 'invited'})
        self.entered('a7', 'silent', 2)  # which asks for the same and lets everybody in
        self.assertEqual([r['reason'] for r in self.runs('a7', 'users')], ['uninvited'])

    def test_a_change_is_from_one_value_to_another(self):
        self.who('a8', attributes={'plan': 'silver'})
        for plan in ('gold', 'free', 'silver', 'gold', 'free', 'free', 'gold', 'gold', 'free', 'gold'):
            self.patch('a8', attributes={'plan': plan})
        self.entered('a8', 'upgrade', 2)
        self.patch('a8', attributes={'plan': 'silver'})
        self.patch('a8', attributes={'plan': 'free'})
        self.patch('a8', attributes={'plan': 'gold'})
        self.entered('a8', 'upgrade', 3)

    def test_every_change_counts_and_what_stays_is_none(self):
        self.who('a9', attributes={'city': 'Wien'})
        self.settle('a9')  # whether the first value is a change is not asked here
        before = len(self.runs('a9', 'city'))
        for city in ('Graz', 'Graz', 'Linz', 'Wien'):
            self.patch('a9', attributes={'city': city})
        self.entered('a9', 'city', before + 3)
        self.patch('a9', locale='de')
        self.patch('a9', attributes={'city': 'Graz'})
        self.entered('a9', 'city', before + 4)

    def settle(self, who):
        """All that was written about them so far has been looked at: something later has begun."""
        self.patch(who, attributes={'score': 0})
        n = len(self.runs(who, 'score'))
        self.patch(who, attributes={'score': 50})
        self.h.until(lambda: len(self.runs(who, 'score')) > n, what=lambda: self.runs(who))

    def test_one_write_may_begin_several(self):
        self.who('a10', role='user', persona='curious', attributes={'portal': 'invited', 'score': 11})
        for name in ('users', 'silent', 'score', 'either'):
            self.entered('a10', name)

    def test_a_sequence_may_have_several_triggers(self):
        self.begin(self.who('a11'), 'either.begun')
        self.patch('a11', persona='curious')
        self.entered('a11', 'either', 2)

    def test_of_many_writes_at_once_one_makes_it_true(self):
        people = [self.who('a12-%d' % i, attributes={'score': 1}) for i in range(8)]
        for who in people:
            threads = [threading.Thread(target=self.patch, args=(who,), kwargs={'attributes': {'score': 20 + i}}) for i in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        for who in people:
            self.patch(who, attributes={'score': 2})
            self.patch(who, attributes={'score': 12})
            self.entered(who, 'score', 2)

    # imports

    def test_an_import_wakes_only_what_says_so(self):
        people = ['b1-%d' % i for i in range(60)]
        self.imported(*(person(who, role='user', attributes={'portal': 'invited', 'score': 99}) for who in people))
        for who in people:
            self.entered(who, 'users')
            self.assertEqual([r['sequence'] for r in self.runs(who)], ['users'])

    def test_whom_an_import_has_made_match_matches_already(self):
        self.imported(person('b2', role='user', attributes={'portal': 'invited'}))
        self.patch('b2', locale='de')
        self.patch('b2', attributes={'portal': 'none'})
        self.patch('b2', attributes={'portal': 'invited'})
        self.entered('b2', 'silent')
        self.entered('b2', 'users')

    def test_an_imported_change_counts_where_imports_do(self):
        self.who('b3', attributes={'tier': 1})
        for tier in (2, 2, 1, 2):
            self.imported(person('b3', attributes={'tier': tier}))
        self.entered('b3', 'tier', 2)
        self.patch('b3', attributes={'tier': 1})
        self.patch('b3', attributes={'tier': 2})
        self.entered('b3', 'tier', 3)
        self.entered('b3', 'tier-silent', 1)

    def test_a_table_is_an_import(self):
        self.h.cli('recipient', 'import', stdin='id,email,role,portal\nb4,b4@example.com,user,invited\n')
        self.entered('b4', 'users')
        self.assertEqual([r['sequence'] for r in self.runs('b4')], ['users'])

    def test_an_import_may_enrol_and_tells_how_many_it_took_and_how_many_it_enrolled(self):
        people = ['b5-%d' % i for i in range(37)]
        for who in people[:8]:
            self.assertEqual(self.enroll('asked', self.who(who))[0], 202)
        out = self.imported(*map(person, people), options=('--enroll', 'asked'))
        said = '\n'.join(line for line in out.splitlines() if '"line"' not in line) + self.h.err
        self.assertRegex(said, r'(?i)enrol')
        for number in (37, 29):
            self.assertRegex(said, r'\b%d\b' % number)
        for who in people:
            self.entered(who, 'asked')
        out = self.imported(*map(person, people), options=('--enroll', 'asked'))
        said = '\n'.join(line for line in out.splitlines() if '"line"' not in line) + self.h.err
        self.assertRegex(said, r'\b37\b')
        self.assertRegex(said, r'\b0\b')
        for who in people:
            self.entered(who, 'asked')

    def test_an_import_into_a_sequence_that_is_none_is_refused(self):
        self.imported(person('b6'), options=('--enroll', 'nope'), status=1)
        self.assertIn('nope', self.h.err)
        self.assertEqual(self.h.http('GET', '/v1/recipients/b6')[0], 404)


class Later(Begun):
    ADMINS = 'sequence: admins\ncategory: onboarding\ntrigger: {enters: {recipient.role: admin}}\nreentry: always\nsteps:\n  - {id: calm, wait: 30d}\n'

    def test_who_matched_before_the_sequence_existed_does_not_enter_but_may_be_enrolled(self):
        h = self.build()
        h.start()
        for who in ('c1', 'd1'):
            self.who(who, role='admin')
        h.stop()
        define(h, self.ADMINS)
        h.start()
        self.patch('c1', locale='de')
        self.who('d1', role='admin')
        self.patch('c1', role='user')
        self.patch('c1', role='admin')
        self.entered('c1', 'admins')
        status, answer = self.enroll('admins', 'd1')
        self.assertEqual((status, self.entry(answer, 'enrolled')['sequence']), (202, 'admins'))
        self.entered('d1', 'admins')

    def test_what_a_profile_begins_is_not_lost_with_the_service(self):
        h = self.build(self.ADMINS, worker={'lease': '1s'})
        p = h.start('--role', 'api')
        self.who('c2', role='admin')
        p.send_signal(signal.SIGKILL)
        p.wait()
        h.processes.remove(p)
        h.redis_end()
        h.start()
        self.entered('c2', 'admins')


class Missed(Begun):
    """Sixty days before a date at nine, looked at where these are past already."""
    DEFINITIONS = '\n---\n'.join("""sequence: %s
category: onboarding
trigger: {date: recipient.attributes.contract_end, before: 60d, at: "09:00"%s}
reentry: {per: date}
goal: {event: contract.renewed, ends: true}
exit: [{changed: recipient.attributes.contract_end, reason: date_moved}]
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: calm, wait: 30d}""" % (name, more) for name, more in {
        'contract-end': ', missed: 14d', 'imported-end': ', missed: 14d, imports: true', 'strict-end': ''}.items()) + """
---
sequence: marked
category: onboarding
trigger: {enters: {recipient.persona: marked}}
steps:
  - {id: over, end: seen}
"""

    def test_what_was_missed_by_little_is_begun_at_once_and_by_more_not_at_all(self):
        self.who('d1', attributes={'contract_end': day(20)})
        self.patch('d1', attributes={'contract_end': day(90)})
        self.patch('d1', attributes={'contract_end': day(50)})
        self.entered('d1', 'contract-end')
        self.sent('d1', 'hello')
        self.assertEqual({r['sequence'] for r in self.runs('d1')}, {'contract-end', 'imported-end'})

    def test_nothing_is_begun_before_its_day(self):
        self.who('d2', attributes={'contract_end': day(62)})
        self.who('e2', attributes={'contract_end': day(50)})
        self.entered('e2', 'contract-end')
        self.patch('d2', locale='de')
        self.assertEqual(self.runs('d2'), [])
        self.patch('d2', attributes={'contract_end': day(55)})
        self.entered('d2', 'contract-end')

    def test_each_date_has_a_run_and_a_date_that_moves_ends_the_one_before(self):
        self.who('d3', attributes={'contract_end': day(50)})
        first = self.entered('d3', 'contract-end')[0]
        self.who('d3', attributes={'contract_end': day(50)})  # as it was
        self.patch('d3', attributes={'contract_end': day(51)})
        self.entered('d3', 'contract-end', 2)
        self.assertEqual([(r['id'], r['reason']) for r in self.runs('d3', 'contract-end') if r.get('ended')], [(first['id'], 'date_moved')])
        self.patch('d3', attributes={'contract_end': day(50)})  # of which they have heard
        self.h.until(lambda: not self.active('d3', 'contract-end'), what=lambda: self.runs('d3'))
        self.patch('d3', attributes={'contract_end': day(52)})
        self.entered('d3', 'contract-end', 3)
        self.assertEqual(len(self.active('d3', 'contract-end')), 1)

    def test_a_goal_ends_it_and_the_same_date_written_again_begins_nothing(self):
        self.who('d4', attributes={'contract_end': day(50)})
        self.entered('d4', 'contract-end')
        self.sent('d4', 'hello')
        gone = [d for d in self.event('d4', 'contract.renewed')['did'] if d['what'] == 'left' and d['sequence'] == 'contract-end']
        self.assertEqual([d['why'] for d in gone], ['goal'])
        self.who('d4', attributes={'contract_end': day(50)})
        self.patch('d4', persona='marked')
        self.entered('d4', 'marked')
        self.assertEqual([r['reason'] for r in self.runs('d4', 'contract-end')], ['goal'])

    def test_what_is_no_date_begins_nothing(self):
        for value in ('soon', 5, '', '2026-13-45', None, True, [day(50)]):
            self.who('d5', attributes={'contract_end': value})
        self.who('d5', attributes={'contract_end': day(50)})
        self.entered('d5', 'contract-end')

    def test_an_import_of_a_date_begins_only_what_says_so(self):
        self.imported(person('d6', attributes={'contract_end': day(50)}))
        self.entered('d6', 'imported-end')
        self.assertEqual([r['sequence'] for r in self.runs('d6')], ['imported-end'])


class Dates(Begun):
    """A second is five hours; each person has a date, and what it begins comes at the target, ten hours ahead, or as much later as the test says."""
    AHEAD, SLACK = datetime.timedelta(hours=10), datetime.timedelta(hours=5.5)
    OPTIONS = ('--clock-rate', str(round(18000 / SLOWNESS)))
    EAST, TOKYO, VIENNA = map(zoneinfo.ZoneInfo, ('Asia/Kathmandu', 'Asia/Tokyo', 'Europe/Vienna'))
    WEST = datetime.timezone(datetime.timedelta(hours=-7))

    @classmethod
    def occurs(cls, march):
        """The next 29 February after the target's date, or what stands for it."""
        year = cls.target.year
        while True:
            leap = year % 4 == 0 and (year % 100 or year % 400 == 0)
            found = datetime.date(year, 2, 29) if leap else datetime.date(year, 3, 1) if march else datetime.date(year, 2, 28)
            if found > cls.target.date():
                return found
            year += 1

    @classmethod
    def setUpClass(cls):
        cls.target = (datetime.datetime.now(UTC) + cls.AHEAD).replace(second=0, microsecond=0)
        at = lambda zone: '"%s"' % cls.target.astimezone(zone).strftime('%H:%M')
        on = lambda days, zone=UTC: (cls.target.astimezone(zone).date() + datetime.timedelta(days=days)).isoformat()
        until_leap = [(cls.occurs(march) - cls.target.date()).days for march in (False, True)]
        triggers = {'end': 'before: 60d, at: ' + at(UTC), 'east': 'before: 3d, at: ' + at(cls.EAST), 'vienna': 'before: 182d, at: ' + at(cls.VIENNA),
                    'zoned': 'before: 1d, at: ' + at(cls.TOKYO), 'after': 'after: 2d, at: ' + at(UTC), 'birthday': 'every: year, at: ' + at(UTC),
                    'february': 'before: %dd, every: year, at: %s' % (until_leap[0], at(UTC)),
                    'march': 'before: %dd, every: year, leap: mar1, at: %s' % (until_leap[1], at(UTC))}
        zone = lambda name: 'zone: Asia/Tokyo\n' if name in ('zoned', 'tokyo') else ''
        steps = '  - {id: nudge, send: {template: nudge, channels: [in_app]}}'
        definitions = ['sequence: %s\ncategory: onboarding\n%strigger: {date: recipient.attributes.%s, %s}\nreentry: {per: date}\nsteps:\n%s'
                       % (name, zone(name), name, trigger, steps) for name, trigger in triggers.items()]
        definitions.append('sequence: tokyo\ncategory: onboarding\n%strigger: {event: tokyo.begun}\nsteps:\n  - {id: pause, wait: {at: %s}}\n%s'
                           % (zone('tokyo'), at(cls.TOKYO), steps))
        definitions += ['sequence: %s\ncategory: onboarding\ntrigger: {event: %s.reached}\nreentry: {per: event.milestone, remember: 5y}\n'
                        'entry: {max: 1, per: 1 calendar day, over: %s}\nsteps:\n'
                        '  - {id: party, send: {template: tell, channels: [email], data: {what: {from: trigger.data.milestone}}}}' % (name, name, over)
                        for name, over in (('milestone', 'queue'), ('medal', 'skip'))]
        cls.DEFINITIONS = '\n---\n'.join(definitions)
        super().setUpClass()
        east_date = cls.target.astimezone(cls.EAST).date()
        people = {'end': {'end': on(60)}, 'later': {'end': on(60)}, 'sooner': {'end': on(300)}, 'never': {'end': on(60)}, 'moved': {'end': on(60)},
                  'east': {'east': (east_date + datetime.timedelta(days=2)).isoformat() + 'T18:30:00Z'},  # a quarter past midnight there, the next day
                  'vienna': {'vienna': on(182, cls.VIENNA)}, 'zoned': {'zoned': on(1, cls.TOKYO)}, 'after': {'after': on(-2)},
                  'birthday': {'birthday': '1992' + on(0)[4:]}, 'february': {'february': '1992-02-29'}, 'march': {'march': '1992-02-29'},
                  'tokyo': {}, 'milestone': {}, 'medal': {}}
        for who, attributes in people.items():
            lives = {'east': 'Asia/Kathmandu', 'vienna': 'Europe/Vienna'}.get(who, 'UTC')
            cls.h.http('PUT', '/v1/recipients/' + who, person(who, timezone=lives, attributes=attributes))
        cls.h.http('PATCH', '/v1/recipients/later', {'attributes': {'end': on(61)}})
        cls.h.http('PATCH', '/v1/recipients/sooner', {'attributes': {'end': on(60)}})
        cls.h.http('PATCH', '/v1/recipients/never', {'attributes': {'end': None}})
        cls.h.http('PATCH', '/v1/recipients/moved', {'timezone': 'America/Phoenix'})
        cls.h.http('PATCH', '/v1/recipients/zoned', {'timezone': 'America/Phoenix'})
        reached = [{'recipient': who, 'name': who + '.reached', 'data': {'milestone': m}, 'id': m}
                   for who in ('milestone', 'medal') for m in ('first', 'tenth', 'tenth', 'hundredth')]
        text = cls.h.http('POST', '/v1/events', raw=lines({'recipient': 'tokyo', 'name': 'tokyo.begun'}, *reached).encode(), type=NDJSON)[1]
        cls.answers = [json.loads(line) for line in text.splitlines()][1:]

    def arrives(self, who, wanted):
        was = moment(self.sent(who, 'nudge')['send_at'])
        self.assertTrue(wanted <= was < wanted + self.SLACK, 'wanted %s, was %s' % (wanted, was))
        self.assertEqual((self.told(who), len(self.runs(who))), ({'nudge': 1}, 1))

    def test_so_many_days_before_a_date(self):
        self.arrives('end', self.target)

    def test_a_date_that_moves_is_reckoned_anew_and_one_that_is_taken_away_is_none(self):
        self.arrives('sooner', self.target)
        self.arrives('later', self.target + datetime.timedelta(days=1))
        self.assertEqual((self.told('never'), self.runs('never')), ({}, []))

    def test_it_is_the_time_where_the_person_lives_and_an_instant_has_a_date_there(self):
        self.arrives('east', self.target)

    def test_who_has_moved_is_told_at_that_time_there_and_once(self):
        self.arrives('moved', self.target.replace(tzinfo=self.WEST))

    def test_days_are_dates_also_where_summer_time_begins_or_ends_between(self):
        self.arrives('vienna', self.target)

    def test_a_definition_may_live_in_a_zone_of_its_own(self):
        self.arrives('zoned', self.target)  # wherever the person moves
        self.arrives('tokyo', self.target)

    def test_so_many_days_after_a_date(self):
        self.arrives('after', self.target)

    def test_a_birthday_is_in_this_year(self):
        self.arrives('birthday', self.target)

    def test_the_last_of_february_or_the_first_of_march_stands_for_a_leap_day(self):
        self.arrives('february', self.target)
        self.arrives('march', self.target)

    def test_of_three_on_one_day_one_is_told_each_day_in_their_order(self):
        mine = self.answers[:4]
        self.assertEqual([a['status'] for a in mine], ['taken', 'taken', 'known', 'taken'], mine)
        self.h.until(lambda: len(self.mails('milestone')) == 3, 30, lambda: self.messages('milestone'))
        self.assertEqual(self.mails('milestone'), ['tell first', 'tell tenth', 'tell hundredth'])
        days = sorted(moment(m['send_at']).date() for m in self.listed('milestone'))
        self.assertEqual([(d - days[0]).days for d in days], [0, 1, 2])

    def test_or_the_others_of_the_day_are_left_out(self):
        whats = [d['what'] for a in self.answers[4:] for d in a['did']]
        self.assertEqual(whats, ['enrolled', 'not_enrolled', 'not_enrolled'], self.answers[4:])
        self.sent('medal', 'tell')
        self.assertEqual(self.mails('medal'), ['tell first'])


class Door(Begun):
    DEFINITIONS = '\n---\n'.join("""sequence: %s
category: onboarding
trigger: {event: %s.begun}
reentry: always
group: {name: %s, one_per: recipient, on_conflict: %s}
goal: {event: %s.won}
steps:
  - {id: tell, send: {template: %s, channels: [email]}}
  - {id: calm, wait: 30d}""" % (name, name, group, conflict, name, template) for name, group, conflict, template in (
        ('first', 'line', 'queue', 'hello'), ('second', 'line', 'queue', 'nudge'), ('third', 'line', 'queue', 'thanks'),
        ('one', 'only', 'skip', 'hello'), ('other', 'only', 'skip', 'nudge'),
        ('old', 'turn', 'replace', 'hello'), ('new', 'turn', 'replace', 'nudge'))) + """
---
sequence: brief
category: onboarding
trigger: {event: brief.begun}
reentry: always
group: {name: line, one_per: recipient, on_conflict: queue}
steps:
  - {id: hello, send: {template: bye, channels: [in_app]}}
---
sequence: capped
category: onboarding
trigger: {event: capped.begun}
reentry: always
while_running: parallel
entry: {max: 2, per: 2s, over: skip}
steps:
  - {id: over, end: seen}
---
sequence: lined
category: onboarding
trigger: {event: lined.begun}
reentry: {per: event.n}
entry: {max: 1, per: 2s, over: queue}
steps:
  - {id: tell, send: {template: tell, channels: [email], data: {what: {from: trigger.data.n}}}}
---
sequence: barred
category: onboarding
trigger: {event: barred.begun}
reentry: always
entry: {unless: {recipient.attributes.vip: true}}
steps:
  - {id: over, end: seen}
"""

    def whats(self, answer, name):
        """How they came in or why not; some have left again in the same answer."""
        return [d['what'] for d in answer['did'] if d['sequence'] == name and d['what'] != 'left']

    def test_of_a_group_one_runs_at_a_time_and_the_next_begins_when_it_has_left(self):
        self.begin(self.who('g1'), 'first.begun')
        self.sent('g1', 'hello')
        for name in ('third', 'second'):
            self.assertNotIn('enrolled', self.whats(self.event('g1', name + '.begun'), name))
        self.begin(self.who('h1'), 'second.begun')
        self.sent('h1', 'nudge')  # another person has a group of their own
        self.assertEqual(self.told('g1'), {'hello': 1})
        self.event('g1', 'first.won')
        self.sent('g1', 'thanks')
        self.assertEqual(self.told('g1'), {'hello': 1, 'thanks': 1})
        self.event('g1', 'third.won')
        self.sent('g1', 'nudge')
        self.assertEqual(self.told('g1'), {'hello': 1, 'thanks': 1, 'nudge': 1})
        self.at_step('g1', 'calm', 'second')

    def test_the_place_is_free_also_when_a_run_has_come_to_its_end(self):
        self.begin(self.who('g2'), 'brief.begun')
        self.event('g2', 'second.begun')
        self.sent('g2', 'nudge')
        self.assertGreaterEqual(*[moment(next(m for m in self.listed('g2') if m['template'] == t)['send_at']) for t in ('nudge', 'bye')])

    def test_the_same_event_again_is_not_a_second_place_at_the_door(self):
        self.begin(self.who('g3'), 'first.begun')
        statuses = [self.event('g3', 'brief.begun', id='b-1')['status'] for _ in range(3)]
        self.assertEqual(statuses, ['taken', 'known', 'known'])
        self.event('g3', 'third.begun')
        self.event('g3', 'first.won')
        self.sent('g3', 'thanks')  # behind whom another one would have stood
        self.assertEqual(self.told('g3'), {'hello': 1, 'bye': 1, 'thanks': 1})

    def test_of_a_group_the_next_may_be_left_out(self):
        self.begin(self.who('g4'), 'one.begun')
        answer = self.event('g4', 'other.begun')
        self.assertEqual(self.whats(answer, 'other'), ['not_enrolled'], answer)
        self.event('g4', 'one.won')
        self.assertEqual(self.active('g4'), [])
        self.begin('g4', 'other.begun')
        self.sent('g4', 'nudge')
        self.assertEqual(self.told('g4'), {'hello': 1, 'nudge': 1})

    def test_of_a_group_the_next_may_take_the_place(self):
        self.pause(self.who('g5'))
        first = self.begin('g5', 'old.begun')
        self.h.reason(first['message'], 'preference')
        second = self.entry(self.event('g5', 'new.begun'), 'enrolled')
        self.assertEqual([r['id'] for r in self.active('g5')], [second['run']])
        self.assertTrue([r.get('reason') for r in self.runs('g5') if r['id'] == first['run'] and r.get('ended')], self.runs('g5'))
        self.assertEqual(self.h.settled(first['message'])['status'], 'cancelled')

    def test_so_many_enter_within_a_span_and_the_others_are_left_out(self):
        who = self.who('g6')
        text = self.h.http('POST', '/v1/events', raw=lines(*({'recipient': who, 'name': 'capped.begun'} for _ in range(4))).encode(), type=NDJSON)[1]
        self.assertEqual([self.whats(json.loads(line), 'capped') for line in text.splitlines()], [['enrolled']] * 2 + [['not_enrolled']] * 2, text)
        self.begin(self.who('h6'), 'capped.begun')  # another person has not entered
        self.h.until(lambda: 'enrolled' in self.whats(self.event(who, 'capped.begun'), 'capped'), what='the span is over')
        begun = sorted(moment(r['started']) for r in self.runs(who))
        self.assertGreaterEqual(begun[2] - begun[0], seconds(1.95))

    def test_or_they_wait_until_there_is_room(self):
        who = self.who('g7')
        events = [{'recipient': who, 'name': 'lined.begun', 'id': n, 'data': {'n': n}} for n in ('a', 'b', 'b', 'c')]
        text = self.h.http('POST', '/v1/events', raw=lines(*events).encode(), type=NDJSON)[1]
        self.assertEqual([json.loads(line)['status'] for line in text.splitlines()], ['taken', 'taken', 'known', 'taken'])
        self.h.until(lambda: len(self.mails(who)) == 3, what=lambda: self.messages(who))
        self.assertEqual(self.mails(who), ['tell a', 'tell b', 'tell c'])
        at = sorted(moment(m['send_at']) for m in self.listed(who))
        for apart in (at[1] - at[0], at[2] - at[1]):
            self.assertTrue(seconds(1.9) <= apart < seconds(2 + 2 * SLOWNESS), at)

    def test_whom_the_entry_excepts_does_not_enter(self):
        answer = self.event(self.who('g8', attributes={'vip': True}), 'barred.begun')
        self.assertEqual(self.whats(answer, 'barred'), ['not_enrolled'], answer)
        self.patch('g8', attributes={'vip': False})
        self.begin('g8', 'barred.begun')
        self.assertEqual(len(self.runs('g8')), 1)


class Versions(Begun):
    FORM = 'sequence: %s\ncategory: onboarding\ntrigger: {event: %s.begun}\n%ssteps:\n  - {id: hello, send: {template: hello, channels: [in_app]}}\n%s' \
           '  - {id: nudge, send: {template: nudge, channels: [in_app]}}\n'
    FOLLOW, LONG = 'version: {follow: true}\n', '  - {id: pause, wait: 30d}\n'

    def reload(self, p):
        """Everything is read again; done when a sequence that is new with it is known."""
        self.serial = getattr(self, 'serial', 0) + 1
        name = 'probe-%d' % self.serial
        define(self.h, 'sequence: %s\ncategory: onboarding\ntrigger: {event: %s.begun}\nsteps:\n  - {id: calm, wait: 30d}\n' % (name, name))
        p.send_signal(signal.SIGHUP)
        self.who(name)
        self.h.until(lambda: self.event(name, name + '.begun')['did'], what='the reload is done')

    def open(self, *definitions):
        """A service with these definitions, and of each a run; the process, and the versions."""
        h = self.build('---\n'.join(definitions))
        p = h.start()
        names = [re.search(r'^sequence: (\S+)', d).group(1) for d in definitions]
        for name in names:
            self.begin(self.who('v-' + name), name + '.begun')
            self.h.until(lambda: self.active('v-' + name)[0]['step'] != 'hello', what=lambda: self.runs('v-' + name))
        return p, {name: self.active('v-' + name)[0]['version'] for name in names}

    def test_a_wait_that_was_shortened_is_due_at_once_for_who_follows_and_as_it_was_for_who_does_not(self):
        p, old = self.open(self.FORM % ('follow', 'follow', self.FOLLOW, self.LONG), self.FORM % ('pinned', 'pinned', '', self.LONG))
        short = '  - {id: pause, wait: 1s}\n'
        define(self.h, self.FORM % ('follow', 'follow', self.FOLLOW, short))
        define(self.h, self.FORM % ('pinned', 'pinned', '', short))
        self.reload(p)
        self.sent('v-follow', 'nudge')
        self.assertNotEqual(self.left('v-follow')['version'], old['follow'])
        self.begin(self.who('w-pinned'), 'pinned.begun')
        self.sent('w-pinned', 'nudge')  # the newcomer has passed the other
        self.at_step('v-pinned', 'pause')
        self.assertEqual((self.active('v-pinned')[0]['version'], self.told('v-pinned')), (old['pinned'], {'hello': 1}))

    def test_who_is_told_to_migrates_and_a_dry_run_only_says_whom(self):
        name, long, renamed = 'moved', self.LONG, '  - {id: rest, wait: 1s}\n'
        p, old = self.open(self.FORM % (name, name, '', long))
        define(self.h, self.FORM % (name, name, '', renamed))
        self.reload(p)
        say = lambda *more, status=0: self.h.cli('sequence', 'migrate', name, *more, status=status)
        self.assertEqual(json.loads(say('--dry-run'))['stuck'], 1)  # the step has another name now
        dry = json.loads(say('--map', 'pause=rest', '--dry-run'))
        self.assertEqual((dry['migrated'], dry['due_within_hour'], dry['steps']), (1, 1, [{'step': 'pause', 'to': 'rest', 'runs': 1}]))
        self.assertEqual(self.active('v-moved')[0]['version'], old[name])
        self.assertEqual(json.loads(say('--map', 'pause=rest'))['migrated'], 1)
        self.sent('v-moved', 'nudge')
        self.assertEqual(json.loads(say('--map', 'pause=rest'))['runs'], 0)
        say('--map', 'pause=nowhere', status=1)
        self.assertIn('pause leads to a step', self.h.err)

    def test_nobody_migrates_to_a_sequence_whose_file_is_gone(self):
        p, old = self.open(self.FORM % ('lost', 'lost', '', self.LONG))
        os.remove(os.path.join(self.h.settings['sequences'], 'lost.yaml'))
        self.h.cli('sequence', 'migrate', 'lost', status=1)
        self.assertEqual(self.h.err.strip(), 'tidings: there is no such sequence now to which runs could go')

    def test_an_exit_that_is_new_holds_for_who_follows(self):
        p, old = self.open(self.FORM % ('follow', 'follow', self.FOLLOW, self.LONG), self.FORM % ('pinned', 'pinned', '', self.LONG))
        for name, follow in (('follow', self.FOLLOW), ('pinned', '')):
            define(self.h, self.FORM % (name, name, follow + 'exit: [{event: all.closed, reason: closed}]\n', self.LONG))
        self.reload(p)
        gone = self.entry(self.event('v-follow', 'all.closed'), 'left')
        self.assertEqual((gone['sequence'], gone['why']), ('follow', 'closed'))
        self.assertEqual([d for d in self.event('v-pinned', 'all.closed')['did'] if d['what'] == 'left'], [])
        self.at_step('v-pinned', 'pause')

    def test_who_stands_at_a_step_that_is_gone_or_is_another_one_stays_in_the_old_version(self):
        rest = '  - {id: rest, wait_for: {any: [{event: rest.over, as: over}], timeout: 30d}}\n'
        other = '  - {id: thanks, send: {template: thanks, channels: [in_app]}}\n'
        p, old = self.open(*(self.FORM % (name, name, self.FOLLOW, rest) for name in ('gone', 'kind')))
        define(self.h, self.FORM % ('gone', 'gone', self.FOLLOW, other))
        define(self.h, self.FORM % ('kind', 'kind', self.FOLLOW, other + '  - {id: rest, wait: 1s}\n'))
        self.reload(p)
        for name in ('gone', 'kind'):
            self.begin(self.who('w-' + name), name + '.begun')
            self.left('w-' + name)
            self.assertEqual(self.told('w-' + name), {'hello': 1, 'thanks': 1, 'nudge': 1})
            self.at_step('v-' + name, 'rest')
            self.assertEqual(self.active('v-' + name)[0]['version'], old[name])
            self.entry(self.event('v-' + name, 'rest.over'), 'matched')
            self.sent('v-' + name, 'nudge')
            self.assertEqual(self.told('v-' + name), {'hello': 1, 'nudge': 1})


class Years(Begun):
    """A second is twelve days.  It has run since the file was opened, so that nobody waits for the year."""
    BIRTHDAY = """sequence: birthday
category: onboarding
trigger: {date: recipient.attributes.birthday, at: "09:00", every: year, missed: 60d}
reentry: {per: date}
steps:
  - {id: hello, send: {template: hello, channels: [email], ttl: 300d}}
"""

    @classmethod
    def open(cls):
        cls.year = house(cls.BIRTHDAY)
        unittest.addModuleCleanup(cls.year.close)
        cls.year.start('--clock-rate', str(YEAR_RATE))
        cls.year.http('PUT', '/v1/recipients/ada', person('ada', attributes={'birthday': '1992' + day(30)[4:]}))

    def test_a_birthday_comes_again_the_next_year(self):
        self.h = self.year
        year = 365 * 86400 / YEAR_RATE
        mails = lambda: [m.at for m in self.h.smtp.accepted]
        self.h.until(lambda: len(mails()) >= 2, 2.5 * year, mails)
        self.assertEqual(len(mails()), 2, mails())
        self.assertTrue(0.7 * year < mails()[1] - mails()[0] < 1.3 * year * SLOWNESS, mails())


if __name__ == '__main__':
    unittest.main()
