"""When people are reached: windows, blackout days, holidays, the account's zone, spreading."""
import datetime, os, time, unittest

from house import ROOT, FlowTest, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'drop': {'kind': 'service', 'quiet_hours': 'drop'}}


def utc(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


def today(days=0, zone=datetime.timezone.utc):
    return (datetime.datetime.now(zone) + datetime.timedelta(days)).date()


class Times(FlowTest):
    def window(self, h, who, channel='email', category='onboarding'):
        status, answer = h.http('GET', '/v1/recipients/%s/next-window?channel=%s&category=%s' % (who, channel, category))
        self.assertEqual(status, 200, answer)
        return answer

    def test_a_blackout_day_defers_to_the_next_and_a_transactional_message_passes(self):
        h = self.start(categories=CATEGORIES, quiet_hours={'blackout': ['%s/%s' % (today(-1), today(1))]})
        id = h.send(person('b'), channels=['email'])
        d = h.reason(id, 'quiet_hours')
        self.assertEqual(d['next_attempt_at'], '%sT00:00:00Z' % today(2))
        self.assertEqual(h.gate(id, 'quiet_hours')[0]['detail']['cause'], 'blackout')
        self.assertEqual(h.settled(h.send('b', channels=['email'], category='account'))['status'], 'sent')
        self.assertEqual(h.settled(h.send('b', channels=['email'], category='drop'))['status'], 'suppressed')
        self.assertEqual(h.settled(h.send('b', channels=['in_app']))['status'], 'sent')
        answer = self.window(h, 'b')
        self.assertEqual((answer['now'], answer['at'], answer['cause']), (False, '%sT00:00:00Z' % today(2), 'blackout'))
        self.assertTrue(self.window(h, 'b', category='account')['now'])

    def test_windows_of_a_kind_and_channel_in_the_zone_of_the_person_or_the_account(self):
        h = self.start(categories=CATEGORIES, accounts={'acme': {'timezone': 'Pacific/Kiritimati'}}, windows=[
            {'channels': ['sms'], 'kinds': ['service'], 'from': '00:00', 'to': '00:01'}, {'channels': ['sms'], 'kinds': ['service'], 'from': '23:58', 'to': '23:59'}])
        for who, zone, hours in (('u', {'timezone': 'UTC'}, 0), ('a', {'timezone': None, 'account': 'acme'}, 14), ('n', {'timezone': 'Asia/Kathmandu', 'account': 'acme'}, 5.75)):
            self.assertEqual(h.http('PUT', '/v1/recipients/' + who, {k: v for k, v in {**person(who), **zone}.items() if k != 'id' and v})[0], 200)
            answer = self.window(h, who, 'sms')
            if answer['now']:
                continue  # this very minute
            local = utc(answer['at']) + datetime.timedelta(hours=hours)
            self.assertIn(local.strftime('%H:%M:%S'), ('00:00:00', '23:58:00'))
            self.assertEqual(answer['cause'], 'window')
            self.assertTrue(self.window(h, who, 'email')['now'])
            d = h.reason(h.send(who, 'order-update', channels=['sms'], category='onboarding'), 'quiet_hours', 'sms')
            self.assertEqual(d['next_attempt_at'], self.window(h, who, 'sms')['at'])

    def test_what_was_deferred_is_spread_with_high_priority_first(self):
        h = self.start(categories=CATEGORIES, quiet_hours={'blackout': [str(today())], 'spread': '3h'})
        opens = utc('%sT00:00:00Z' % today(1))
        for priority, third in (('high', 0), ('normal', 1), ('low', 2)):
            waits = [utc(h.reason(h.send(person('s%d' % i), channels=['email'], priority=priority), 'quiet_hours')['next_attempt_at']) - opens for i in range(5)]
            self.assertTrue(all(datetime.timedelta(hours=third) <= w <= datetime.timedelta(hours=third + 1) for w in waits), waits)
            self.assertGreater(len(set(waits)), 1)

    def test_the_spread_ends_before_the_window_closes(self):
        clock = lambda hours: (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).strftime('%Y-%m-%dT%H:00:00Z')
        h = self.start(categories=CATEGORIES, quiet_hours={'spread': '12h'}, windows=[{'channels': ['email'], 'from': clock(3)[11:16], 'to': clock(4)[11:16]}])
        waits = [h.reason(h.send(person('s%d' % i), channels=['email'], priority=['high', 'normal', 'low'][i % 3]), 'quiet_hours')['next_attempt_at'] for i in range(12)]
        self.assertTrue(all(utc(clock(3)) <= utc(w) < utc(clock(4)) for w in waits), waits)
        self.assertGreater(len(set(waits)), 6)

    def test_the_shipped_holidays_hold_by_region(self):
        holidays = os.path.join(ROOT, 'schedules/holidays/dach.yaml')
        h = self.start(categories=CATEGORIES, quiet_hours={'holidays': {'region': 'DE-BY', 'file': holidays}})
        h.http('PUT', '/v1/recipients/x', {'email': 'x@example.com', 'attributes': {'region': 'CH'}})
        self.assertIn('now', self.window(h, 'x'))
        for bad in ({'blackout': ['tomorrow']}, {'holidays': {'region': 'XX', 'file': holidays}}):
            h.settings['quiet_hours'] = bad
            h.write()
            self.assertIn('quiet_hours' if 'blackout' in bad else 'XX', h.cli('check', status=1) + h.err)

    def test_questions_that_cannot_be_answered_say_why(self):
        h = self.start(categories=CATEGORIES)
        for query, pointer in (('channel=fax&category=onboarding', '/channel'), ('channel=email&category=none', '/category')):
            status, problem = h.http('GET', '/v1/recipients/x/next-window?' + query)
            self.assertEqual((status, problem['errors'][0]['pointer']), (422, pointer))


    def test_what_is_too_late_goes_when_the_next_time_begins_to_reach_the_person(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        clock = lambda hours: (now + datetime.timedelta(hours=hours)).strftime('%H:00')
        late = {'max_lateness': '2s', 'late': 'next_window'}
        h = self.house(categories={'account': {'kind': 'transactional'}, 'calm': {'kind': 'service', **late}, 'any': {'kind': 'service', 'quiet_hours': 'ignore', **late}},
                       quiet_hours={'from': clock(4), 'to': clock(7)})
        p = h.start()
        ids = [h.send(person('l'), channels=['email'], category=c, delay='1s') for c in ('calm', 'any')]
        due = [utc(h.message(id)['send_at']) for id in ids]
        h.stop(p)
        time.sleep(4)
        h.start()
        waits = [h.reason(id, 'quiet_hours') for id in ids]
        self.assertEqual(waits[0]['next_attempt_at'], (now + datetime.timedelta(hours=7)).strftime('%Y-%m-%dT%H:00:00Z'))
        self.assertAlmostEqual((utc(waits[1]['next_attempt_at']) - due[1]).total_seconds(), 86400, delta=1)  # nothing ever closes: the same clock time
        fact = h.gate(ids[0], 'expiry')[0]
        self.assertEqual((fact['verdict'], fact['detail']['late'], fact['detail']['until']), ('deferred', 'next_window', waits[0]['next_attempt_at']))
        for id in ids:
            self.assertTrue(h.cli_json('replay', id)['agrees'])
        self.assertEqual(h.settled(h.send('l', channels=['email'], category='calm'))['status'], 'sent')
        h.settings['categories']['calm'].pop('max_lateness')
        h.write()
        h.cli('check', status=1)
        self.assertIn('categories.calm.late', h.err)

    def test_after_an_outage_the_backlog_goes_at_its_own_rate_behind_high_priority_and_beside_what_is_due_now(self):
        h = self.start('--role', 'api', categories=CATEGORIES, worker={'catch_up': '20/s', 'late_after': '2s'})
        late = [h.send(person('n%d' % i), channels=['email'], priority='normal') for i in range(60)]
        high = [h.send(person('h%d' % i), channels=['email'], priority='high') for i in range(30)]
        time.sleep(3)
        h.start('--role', 'worker', wait=False)
        h.until(lambda: len(h.smtp.received) >= 30)
        fresh = h.send(person('fresh'), channels=['email'])
        h.settled(fresh)
        for id in late + high:
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        at = {m.recipient.split('@')[0]: m.at for m in h.smtp.received}
        first, last = min(at.values()), max(at.values())
        self.assertGreater(last - first, 60 / 20 - 1)
        partition = {m['recipient']: m['id'][:2] for m in (h.message(id) for id in late)}
        served = [partition[n] for n in sorted(partition, key=at.get)]
        self.assertGreater(len(set(served[:len(served) // 2])), len(set(served)) * 2 // 3)  # none waits for another to be empty
        self.assertLess(sum(at[n] < max(at['h%d' % i] for i in range(30)) for n in at if n.startswith('n')), 20)
        self.assertLess(at['fresh'], sorted(at[n] for n in at if n.startswith('n'))[-10])

    def test_a_replay_agrees_until_the_rules_change(self):
        settings = dict(categories={**CATEGORIES, 'marketing': {'kind': 'marketing'}}, quiet_hours={'blackout': ['%s/%s' % (today(-1), today(1))], 'channels': ['sms']},
                        caps=[{'name': 'one', 'channels': ['email'], 'max': 1, 'per': '1h'}])
        h = self.start(**settings)
        ids = [h.send(person('r'), channels=['email']), h.send('r', channels=['email']), h.send('r', 'milestone'), h.send('r', channels=['email'], ttl='1h', category='account'),
               h.send(person('q', channels=['in_app']), channels=['email']), h.send('nobody', channels=['email'])]
        for id in ids:
            h.settled(id)
        ids.append(h.send('r', 'order-update', channels=['sms'], category='onboarding'))
        h.reason(ids[-1], 'quiet_hours', 'sms')
        gates = set()
        for id in ids:
            answer = h.cli_json('replay', id)
            self.assertEqual((answer['id'], answer['agrees']), (id, True))
            gates |= {(g['gate'], g['recorded']) for g in answer['gates']}
        self.assertTrue({('consent', 'pass'), ('consent', 'suppressed'), ('cap', 'pass'), ('cap', 'suppressed'), ('quiet_hours', 'deferred'), ('expiry', 'pass'), ('preference', 'suppressed'), ('address', 'suppressed'), ('suppression', 'pass')} <= gates, gates)
        h.settings['quiet_hours']['blackout'] = [str(today(-1))]
        h.write()
        h.cli('replay', ids[-1], status=1)
        self.assertIn('the rules were', h.err)


if __name__ == '__main__':
    unittest.main()
