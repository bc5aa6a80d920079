"""What meets in one moment: events with the writing of profiles, pauses with waits, exits with all that is enqueued, reloads with what was watched."""
import concurrent.futures, datetime, hashlib, json, signal, time, unittest, urllib.request

from test_sequences import NDJSON, UTC, Journey, define, moment, seconds

TRIAL = """
sequence: trial
category: onboarding
trigger: {event: trial.begun}
reentry: always
exit: [{event: trial.over, reason: over}]
steps:
  - {id: hello, send: {template: hello, channels: [email], done: enqueued}}
  - {id: nudge, send: {template: nudge, channels: [email], done: enqueued}}
  - {id: calm, wait: 30d}
"""
PINGS = """
sequence: pings
category: onboarding
trigger: {event: pings.begun}
steps:
  - {id: first, wait_for: {any: [{event: ping, as: one}], timeout: 30d, since: step}}
  - {id: second, wait_for: {any: [{event: ping, as: one}], timeout: 30d, since: step}}
  - {id: thanks, send: {template: thanks, channels: [in_app]}}
"""
CHANNELS = """
sequence: channels
category: onboarding
trigger: {event: channels.begun}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: thanks, send: {template: thanks, channels: [in_app]}}
"""
ASKED = """
sequence: asked
category: onboarding
trigger: {event: asked.begun}
steps:
  - id: ask
    wait_for: {any: [{event: yes_please, as: yes_please}], timeout: 4s}
    then:
      yes_please: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
      timeout: [{id: nudge, send: {template: nudge, channels: [in_app]}}]
"""
QUEUED = """
sequence: queued
category: onboarding
trigger: {event: queued.begun}
reentry: always
while_running: queue
goal: {event: queued.won}
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: calm, wait: 30d}
"""
CAPPED = """
sequence: capped
category: onboarding
trigger: {event: capped.begun}
reentry: always
while_running: parallel
entry: {max: 1, per: 2s, over: queue}
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: calm, wait: 30d}
"""
SIGNED = """
sequence: signed
category: onboarding
trigger: {event: su.begun}
exit: [{event: paid, reason: paid}]
steps:
  - {id: calm, wait: 30d}
"""


class Meetings(Journey):
    DEFINITIONS = '---\n'.join((TRIAL, PINGS, CHANNELS, ASKED, QUEUED, CAPPED, SIGNED))

    def order(self, name, what, **body):
        status, answer = self.h.http('POST', '/v1/sequences/%s/%s' % (name, what), body)
        self.assertEqual(status, 200, answer)
        return answer

    def test_lines_of_one_person_are_applied_in_their_order_also_when_the_first_brings_the_person_along(self):
        for i in range(12):
            who = 'a%d' % i
            lines = [{'recipient': {'id': who, 'email': who + '@example.com'}, 'name': 'su.begun'}, {'recipient': who, 'name': 'paid'}]
            status, answers = self.lines(lines)
            self.assertEqual([[d['what'] for d in a['did'] if d['sequence'] == 'signed'] for a in answers], [['enrolled'], ['left']], who)

    def lines(self, lines):
        request = urllib.request.Request('http://127.0.0.1:%d/v1/events' % self.h.port, '\n'.join(map(json.dumps, lines)).encode(), {'Content-Type': NDJSON})
        with urllib.request.urlopen(request, timeout=20) as r:
            return r.status, [json.loads(line) for line in r.read().decode().splitlines()]

    def test_an_exit_cancels_all_that_is_enqueued_not_only_the_last(self):
        self.pause(self.who('b1'))
        self.begin('b1', 'trial.begun')
        self.h.until(lambda: len(self.listed('b1')) == 2 and all(m['deliveries'][0]['reason'] == 'preference' for m in self.messages('b1')))
        left = self.entry(self.event('b1', 'trial.over'), 'left')
        self.assertEqual(len(left['cancelled']), 2)
        self.assertEqual({m['status'] for m in self.listed('b1')}, {'cancelled'})

    def test_what_has_led_to_a_step_does_not_happen_anew_in_it(self):
        for i in range(10):
            who = self.who('c%d' % i)
            self.begin(who, 'pings.begun')
            self.event(who, 'ping')
            self.assertEqual(self.active(who)[0]['step'], 'second')
            time.sleep(0.002)
            self.event(who, 'ping')
            self.sent(who, 'thanks')

    def test_who_cannot_be_reached_on_one_channel_goes_on_where_another_is_left(self):
        self.who('d1')
        status, _ = self.h.http('POST', '/v1/recipients/d1/consents', {'category': 'onboarding', 'channel': 'email', 'state': 'withdrawn', 'source': 'test'})
        self.begin('d1', 'channels.begun')
        self.sent('d1', 'thanks')
        self.assertEqual(self.runs('d1')[0]['reason'], 'completed')

    def test_what_was_awaited_and_came_in_a_pause_counts_when_the_pause_is_added(self):
        self.begin(self.who('e1'), 'asked.begun')
        self.order('asked', 'pause')
        begun = moment(self.active('e1')[0]['started'])
        self.h.until(lambda: datetime.datetime.now(UTC) > begun + seconds(4.3), 20)
        self.event('e1', 'yes_please')
        self.order('asked', 'resume', waits='shift')
        self.sent('e1', 'thanks')
        self.assertEqual(self.told('e1'), {'thanks': 1})

    def test_who_stands_in_line_waits_while_the_entry_is_closed(self):
        self.begin(self.who('f1'), 'queued.begun')
        self.sent('f1', 'hello')
        self.event('f1', 'queued.begun')
        self.order('queued', 'pause', entry=True)
        self.event('f1', 'queued.won')
        self.assertEqual(self.active('f1'), [])
        self.order('queued', 'resume')
        self.h.until(lambda: len(self.active('f1')) == 1)

    def test_who_stands_in_line_for_the_limit_of_entries_comes_in_when_it_opens(self):
        self.begin(self.who('g1'), 'capped.begun')
        self.event('g1', 'capped.begun')
        self.h.until(lambda: len(self.active('g1')) == 2)

    def test_a_pause_that_becomes_one_of_the_entry_lets_the_runs_go_on(self):
        self.begin(self.who('h1'), 'asked.begun')
        self.order('asked', 'pause')
        self.order('asked', 'pause', entry=True)
        self.sent('h1', 'nudge')
        self.order('asked', 'resume')

    def test_stop_misses_nobody_who_is_just_being_moved(self):
        people = ['i%d' % i for i in range(300)]
        self.lines([{'recipient': {'id': who, 'email': who + '@example.com'}, 'name': 'trial.begun'} for who in people])
        figures = self.order('trial', 'stop')
        self.assertEqual([who for who in people if self.active(who, 'trial')], [], figures)


class Reloads(Journey):
    SPLIT = 'sequence: drawn\ncategory: onboarding\ntrigger: {event: drawn.begun}\nsteps:\n  - {id: calm, wait: 2s}\n' \
            '  - {id: draw, split: {name: NAME, parts: {video: 50, guide: 50}}, then: {video: [{id: v, send: {template: hello, channels: [in_app]}}], ' \
            'guide: [{id: g, send: {template: nudge, channels: [in_app]}}]}}\n'

    def test_a_person_keeps_their_part_when_the_definition_comes_from_the_store(self):
        h = self.build(self.SPLIT.replace('NAME', 'one'))
        p = h.start()
        for i in range(10):
            self.begin(self.who('a%d' % i), 'drawn.begun')
        part = lambda who: 'hello' if int.from_bytes(hashlib.sha256(('one|' + who).encode()).digest()[:8], 'big') % 10000 < 5000 else 'nudge'
        h.stop(p)
        define(h, self.SPLIT.replace('NAME', 'other'))
        h.start()
        for i in range(10):
            self.sent('a%d' % i, part('a%d' % i))
            self.assertEqual(self.told('a%d' % i), {part('a%d' % i): 1})

    def test_a_date_that_is_no_trigger_any_more_keeps_nobody_busy(self):
        dated = 'sequence: da\ncategory: onboarding\ntrigger: {date: recipient.attributes.end, before: 0d, at: "00:00"}\nsteps:\n  - {id: calm, wait: 30d}\n'
        h = self.build(dated)
        p = h.start('--clock-rate', '86400')
        self.who('b1', timezone='UTC', attributes={'end': (datetime.datetime.now(UTC) + datetime.timedelta(days=4)).strftime('%Y-%m-%d')})
        define(h, dated.replace('{date: recipient.attributes.end, before: 0d, at: "00:00"}', '{event: x}'))
        p.send_signal(signal.SIGHUP)
        time.sleep(6)  # six days: the instant has passed
        calls = lambda: int(next(l for l in h.redis('info', 'stats').splitlines() if l.startswith('total_commands_processed')).split(':')[1])
        before = calls()
        time.sleep(1)
        self.assertLess(calls() - before, 1500)

    def test_two_dates_of_one_sequence_are_both_watched(self):
        h = self.build('sequence: two\ncategory: onboarding\nreentry: {per: date}\ntrigger:\n  - {date: recipient.attributes.first, before: 0d, at: "00:00"}\n'
                       '  - {date: recipient.attributes.second, before: 0d, at: "00:00"}\nsteps:\n  - {id: hello, send: {template: hello, channels: [in_app]}}\n')
        h.start('--clock-rate', '86400')
        day = lambda n: (datetime.datetime.now(UTC) + datetime.timedelta(days=n)).strftime('%Y-%m-%d')
        self.who('c1', timezone='UTC', attributes={'first': day(4), 'second': day(7)})
        h.until(lambda: self.told('c1').get('hello') == 2, 30, what=lambda: self.runs('c1'))


class Withdrawn(Journey):
    DEFINITIONS = """sequence: heard
category: onboarding
trigger: {event: begun}
steps:
  - {id: calm, wait: 30d}
  - {id: hi, send: {template: hello, channels: [email]}}
---
sequence: other
category: onboarding
trigger: {enroll: true}
steps:
  - {id: calm, wait: 30d}
"""

    def test_s35_who_withdraws_leaves_whatever_else_happens_to_them_in_that_instant(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            people = [self.who('w%d' % i) for i in range(80)]
            for who in people:
                self.h.http('POST', '/v1/events', {'recipient': who, 'name': 'begun'})
                both = [pool.submit(self.h.http, 'POST', '/v1/recipients/%s/consents' % who, {'category': 'onboarding', 'channel': 'email', 'state': 'withdrawn'}),
                        pool.submit(self.h.http, 'POST', '/v1/sequences/other/enroll', {'recipient': who})]
                self.assertTrue({f.result()[0] for f in both} <= {200, 202})
        reason = lambda who: next(r.get('reason') for r in self.h.http('GET', '/v1/recipients/%s/timeline' % who)[1]['runs'] if r['sequence'] == 'heard')
        self.h.until(lambda: {reason(who) for who in people} == {'opted_out'}, 5, lambda: [who for who in people if reason(who) != 'opted_out'])


class Together(Journey):
    """People of one partition who are looked at and moved in one script."""
    DEFINITIONS = CHANNELS.replace('sequence: channels', 'sequence: many').replace('channels.begun', 'many.begun')
    SETTINGS = {'redis': {'partitions': 1}}

    def many(self, names):
        body = ''.join(json.dumps({'recipient': n, 'name': 'many.begun', 'id': '1'}) + '\n' for n in names)
        status, answer = self.h.http('POST', '/v1/events', raw=body.encode(), type=NDJSON)
        self.assertEqual(status, 200, answer)
        return answer if isinstance(answer, list) else [json.loads(line) for line in answer.splitlines()]

    def test_an_error_over_one_of_them_holds_up_nobody_else(self):
        names = [self.who('t%d' % i) for i in range(40)]
        for key, who in (('qt', 't7'), ('qe', 't13')):  # written in the step, and looked at before it
            self.h.redis('set', 'tidings:{0}:%s:%s' % (key, who), 'x')
        answers = self.many(names)
        failed = [n for n, a in zip(names, answers) if a.get('status') != 'taken']
        self.assertEqual(failed, ['t7', 't13'], answers)
        for n in names:
            if n not in failed:
                self.sent(n, 'thanks')
                self.assertEqual(self.told(n), {'hello': 1, 'thanks': 1})

    def test_the_same_person_many_times_in_one_batch_is_moved_once_each_in_order(self):
        self.who('u')
        self.assertEqual([a['status'] for a in self.many(['u'] * 20)], ['taken'] + ['known'] * 19)
        self.sent('u', 'thanks')
        self.assertEqual(self.told('u'), {'hello': 1, 'thanks': 1})


if __name__ == '__main__':
    unittest.main()
