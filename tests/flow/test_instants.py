"""When the basis of an instant changes, the instant is looked at again: zones, pauses, rules, providers, versions of a worker."""
import datetime, json, math, os, shutil, signal, subprocess, time, unittest, urllib.parse

from house import ROOT, FlowTest, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing', 'consent': 'opt_out'}}
SOON = 5  # seconds within which what is free must go
AHEAD = '''#include <sys/time.h>
#include <sys/syscall.h>
#include <unistd.h>
int gettimeofday(struct timeval *t, void *z) { int r = syscall(SYS_gettimeofday, t, z); t->tv_sec += YEARS * 31556952L; return r; }
'''  # what Redis takes for the time


def utc(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def day(days=0):
    return str((now() + datetime.timedelta(days)).date())


class InstantTest(FlowTest):
    def reload(self, h, p=None, **settings):
        """New rules, taken in."""
        h.settings.update(settings)
        h.write()
        done = h.log().count('"what":"policy"')
        (p or h.processes[0]).send_signal(signal.SIGHUP)
        h.until(lambda: h.log().count('"what":"policy"') > done, what='the reload is done')

    def patch(self, h, who, path='', **fields):
        status, answer = h.http('PATCH', '/v1/recipients/%s%s' % (who, path), fields)
        self.assertEqual(status, 200, answer)

    def window(self, h, who, channel='email', category='onboarding'):
        return h.http('GET', '/v1/recipients/%s/next-window?channel=%s&category=%s' % (who, channel, category))[1]

    def external(self, h, **environment):
        path = os.path.join(h.dir, 'r.sock')
        os.makedirs(os.path.join(h.dir, 'r'))
        p = subprocess.Popen(['redis-server', '--port', '0', '--unixsocket', path, '--dir', os.path.join(h.dir, 'r'), '--save', ''],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
        self.addCleanup(lambda: (p.kill(), p.wait()))
        h.until(lambda: os.path.exists(path), what='redis is there')
        h.redis_alive = lambda: False
        h.settings['redis'] = {'url': 'unix:' + path, 'partitions': 4}
        h.write()

    def goes(self, h, id):
        self.assertEqual(h.settled(id, SOON)['status'], 'sent')

    def names(self, h):
        """Who got mails, in their order, by the subject's last word."""
        return [m.parse()['Subject'].split()[-1].strip('!') for m in h.smtp.accepted]


class Zones(InstantTest):
    def planned(self, h, id, at):
        h.until(lambda: h.message(id)['send_at'] == at, SOON, lambda: 'not %s: %s' % (at, h.message(id)['send_at']))

    def years_ahead(self, years):
        """A house in a later year: all time is that of Redis, whose clock is ahead."""
        h = self.house()
        library = os.path.join(h.dir, 'ahead.so')
        subprocess.run(['cc', '-shared', '-fPIC', '-DYEARS=%d' % years, '-x', 'c', '-', '-o', library], input=AHEAD.encode(), check=True)
        self.external(h, LD_PRELOAD=library)
        h.start('--role', 'api')
        return h

    def test_dublin_keeps_its_hours_after_2037(self):
        h = self.years_ahead(2033 - now().year)
        zones = (('Europe/Dublin', '2040-01-15T09:00', '2040-01-15T09:00:00Z'), ('Europe/Dublin', '2040-07-15T09:00', '2040-07-15T08:00:00Z'),
                 ('Europe/Dublin', '2037-12-15T09:00', '2037-12-15T09:00:00Z'), ('Europe/Dublin', '2038-01-20T09:00', '2038-01-20T09:00:00Z'),
                 ('Europe/Dublin', '2040-03-25T01:30', '2040-03-25T01:00:00Z'), ('Europe/Dublin', '2040-10-28T01:30', '2040-10-28T00:30:00Z'),
                 ('Eire', '2040-01-15T09:00', '2040-01-15T09:00:00Z'), ('Europe/Berlin', '2040-01-15T09:00', '2040-01-15T08:00:00Z'),
                 ('Europe/London', '2040-01-15T09:00', '2040-01-15T09:00:00Z'), ('Australia/Sydney', '2040-01-15T09:00', '2040-01-14T22:00:00Z'),
                 ('America/New_York', '2040-07-15T09:00', '2040-07-15T13:00:00Z'))
        for zone, local, instant in zones:
            with self.subTest(zone=zone, local=local):
                self.assertEqual(h.message(h.send(person('d', timezone=zone), send_at_local=local, channels=['email']))['send_at'], instant)

    def test_a_local_time_follows_the_person_to_another_zone(self):
        h = self.start()
        id = h.send(person('z', timezone='Europe/Berlin'), send_at_local='2030-06-01T09:00', channels=['email'])
        fixed = h.send('z', send_at='2030-06-01T09:00:00Z', channels=['email'])
        delayed = h.send('z', delay='30d', channels=['email'])
        before = h.message(delayed)['send_at']
        gone = h.send('z', send_at_local='2030-06-01T09:00', channels=['email'])
        h.cli('cancel', gone)
        self.planned(h, id, '2030-06-01T07:00:00Z')
        for zone, at in (('Asia/Kathmandu', '2030-06-01T03:15:00Z'), ('America/New_York', '2030-06-01T13:00:00Z'),
                         ('Asia/Shanghai', '2030-06-01T01:00:00Z')):
            self.patch(h, 'z', timezone=zone)
            self.planned(h, id, at)
        self.patch(h, 'z', timezone=None)  # the default's
        self.planned(h, id, '2030-06-01T09:00:00Z')
        self.assertEqual((h.message(fixed)['send_at'], h.message(delayed)['send_at']), ('2030-06-01T09:00:00Z', before))
        self.assertEqual([h.message(i)['status'] for i in (id, fixed, delayed, gone)], ['scheduled'] * 3 + ['cancelled'])

    def test_a_zone_that_comes_later_or_by_another_door_moves_it_too(self):
        h = self.start(accounts={'tokyo': {'timezone': 'Asia/Tokyo'}, 'lima': {'timezone': 'America/Lima'}})
        plan = lambda who: h.send(who, send_at_local='2030-06-01T09:00', channels=['email'])
        unknown = plan('later')
        self.planned(h, unknown, '2030-06-01T09:00:00Z')
        self.assertIn(h.http('PUT', '/v1/recipients/later', {'email': 'l@example.com', 'timezone': 'Asia/Tokyo'})[0], (200, 201))
        with self.subTest('a profile that comes later'):
            self.planned(h, unknown, '2030-06-01T00:00:00Z')
        inline = plan(person('inline'))
        h.send(person('inline', timezone='Asia/Tokyo'), channels=['in_app'])
        with self.subTest('a later message brings it'):
            self.planned(h, inline, '2030-06-01T00:00:00Z')
        imported = plan(person('imported'))
        h.cli('recipient', 'import', '-', stdin=json.dumps(person('imported', timezone='Asia/Tokyo')) + '\n')
        with self.subTest('an import brings it'):
            self.planned(h, imported, '2030-06-01T00:00:00Z')
        moved = plan({'id': 'moved', 'email': 'm@example.com', 'account': 'lima'})
        self.planned(h, moved, '2030-06-01T14:00:00Z')
        self.patch(h, 'moved', account='tokyo')
        with self.subTest('the account of the person'):
            self.planned(h, moved, '2030-06-01T00:00:00Z')

    def test_a_local_time_that_has_passed_in_the_new_zone_goes_now_and_once(self):
        h = self.start()
        local = (now() + datetime.timedelta(hours=3)).strftime('%Y-%m-%dT%H:%M')
        id = h.send(person('p', timezone='UTC'), send_at_local=local, channels=['email'])
        asked = now()
        self.patch(h, 'p', timezone='Pacific/Kiritimati')  # 14 hours ahead
        self.goes(h, id)
        self.assertGreaterEqual(utc(h.message(id)['send_at']), asked - datetime.timedelta(seconds=1))  # never earlier than now
        self.patch(h, 'p', timezone='Pacific/Pago_Pago')
        time.sleep(0.3)
        self.assertEqual((h.message(id)['status'], len(h.smtp.received)), ('sent', 1))

    def test_it_goes_at_the_new_instant_and_not_at_the_old_one(self):
        h = self.start('--clock-rate', '7200')
        start = utc(h.message(h.send(person('c', timezone='UTC'), channels=['in_app']))['send_at'])
        local = (start + datetime.timedelta(hours=10)).strftime('%Y-%m-%dT%H:%M')
        early, late = [h.send(person(who, timezone='UTC'), send_at_local=local, channels=['email']) for who in ('early', 'late')]
        self.patch(h, 'early', timezone='Etc/GMT-7')  # 7 hours ahead of UTC
        self.patch(h, 'late', timezone='Etc/GMT+3')  # 3 hours behind
        for id, hours in ((early, -7), (late, 3)):
            wanted = utc(local + ':00Z') + datetime.timedelta(hours=hours)
            with self.subTest(hours=hours):
                d = h.settled(id, 15)['deliveries'][0]
                self.assertEqual(utc(h.message(id)['send_at']), wanted)
                self.assertGreaterEqual(utc(d['sent_at']), wanted)
                self.assertLess(utc(d['sent_at']), wanted + datetime.timedelta(hours=2))
        self.assertEqual(len(h.smtp.received), 2)

    def test_what_waits_for_the_end_of_quiet_hours_follows_the_zone(self):
        h = self.start(categories=CATEGORIES, quiet_hours={'from': '00:00', 'to': '23:59'})
        id = h.send(person('q', timezone='UTC'), channels=['email'])
        first = h.reason(id, 'quiet_hours')['next_attempt_at']
        self.patch(h, 'q', timezone='Asia/Kathmandu')
        there = self.window(h, 'q')['at']
        self.assertNotEqual(there, first)
        h.until(lambda: h.delivery(id)['next_attempt_at'] == there, SOON, lambda: (there, h.delivery(id)))


class Lifted(InstantTest):
    def test_a_pause_that_is_taken_back_lets_go_what_waited(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/p', {'email': 'p@example.com'})
        self.patch(h, 'p', '/preferences', pause_until=day(7) + 'T00:00:00Z')
        ids = [h.send('p', channels=[c]) for c in ('email', 'in_app')]
        later = h.send('p', channels=['email'], delay='2d')
        for id, channel in zip(ids, ('email', 'in_app')):
            self.assertEqual(h.reason(id, 'preference', channel)['next_attempt_at'], day(7) + 'T00:00:00Z')
        self.patch(h, 'p', '/preferences', pause_until=None)
        self.assertTrue(self.window(h, 'p')['now'])
        for id in ids:
            with self.subTest(id=id):
                self.goes(h, id)
        self.assertEqual(h.message(later)['status'], 'scheduled')  # its own time stays
        self.assertEqual(len(h.smtp.received), 1)

    def test_a_pause_that_is_made_shorter_or_longer_is_followed(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/s', {'email': 's@example.com'})
        self.patch(h, 's', '/preferences', pause_until=day(7) + 'T00:00:00Z')
        id = h.send('s', channels=['email'])
        h.reason(id, 'preference')
        self.patch(h, 's', '/preferences', pause_until=day(2) + 'T00:00:00Z')
        h.until(lambda: h.delivery(id)['next_attempt_at'] == day(2) + 'T00:00:00Z', SOON, lambda: h.delivery(id))
        self.patch(h, 's', '/preferences', pause_until=now().strftime('%Y-%m-%dT%H:%M:%SZ'))
        self.goes(h, id)

    def test_a_pause_that_is_taken_back_on_the_page_lets_go_what_waited(self):
        h = self.start(categories=CATEGORIES)
        h.settled(h.send(person('w'), channels=['email']))
        path = '/p/' + h.smtp.accepted[0].parse().get_body(('html',)).get_content().split('/p/')[1].split('"')[0]
        form = [('category.onboarding', 'on'), ('category.marketing', 'on'), ('max_per_week', ''),
                *[('channel', c) for c in ('email', 'sms', 'in_app')]]
        choose = lambda until: self.assertEqual(h.http('POST', path, raw=urllib.parse.urlencode(form + [('pause_until', until)]).encode(),
                                                       type='application/x-www-form-urlencoded')[0], 200)
        choose(day(7))
        id = h.send('w', channels=['email'])
        h.reason(id, 'preference')
        choose('')
        self.goes(h, id)

    def test_a_rule_that_a_reload_lifts_lets_go_what_it_held_back(self):
        clock = lambda hours: (now() + datetime.timedelta(hours=hours)).strftime('%H:00')
        hours = lambda begin, end: {'quiet_hours': {'from': clock(begin), 'to': clock(end)}}
        days = {'quiet_hours': {'blackout': ['%s/%s' % (day(-1), day(3))]}}
        window = lambda begin: {'windows': [{'channels': ['email'], 'from': clock(begin), 'to': clock(5)}]}
        cap = lambda most, per: {'caps': [{'name': 'many', 'max': most, 'per': per, 'over': 'defer'}]}
        none = {'categories': CATEGORIES, 'quiet_hours': {'blackout': [day(300)]}, 'windows': [], 'caps': []}
        free = {'categories': {**CATEGORIES, 'onboarding': {'kind': 'service', 'quiet_hours': 'ignore'}}}
        h = self.start(**none)
        cases = {'blackout days': (days, none, 'quiet_hours'), 'quiet hours': (hours(-1, 5), hours(3, 4), 'quiet_hours'),
                 'a window': (window(3), window(-2), 'quiet_hours'),
                 'a category': (days, free, 'quiet_hours'), 'a cap, raised': (cap(1, '1 calendar day'), cap(9, '1 calendar day'), 'cap:many'),
                 'a cap, removed': (cap(1, '7d'), none, 'cap:many')}
        for i, (name, (before, after, reason)) in enumerate(cases.items()):
            with self.subTest(name):
                self.reload(h, **{**none, **before})
                who, got = 'r%d' % i, len(h.smtp.received)
                if 'caps' in before:
                    h.settled(h.send(person(who), channels=['email']))
                ids = [h.send(person(who), channels=['email']) for _ in range(2)]
                waits = [h.reason(id, reason)['next_attempt_at'] for id in ids]
                self.reload(h)  # changes nothing
                time.sleep(0.2)
                self.assertEqual([h.delivery(id)['next_attempt_at'] for id in ids], waits)
                self.reload(h, **{**none, **after})
                for id in ids:
                    self.goes(h, id)
                self.assertEqual(len(h.smtp.received) - got, 3 if 'caps' in before else 2)


class Late(InstantTest):
    def test_what_a_provider_held_up_until_quiet_hours_waits_for_their_end(self):
        h = self.house(categories=CATEGORIES, retry={'first': '10m', 'factor': 1, 'max': '10m', 'max_attempts': 60, 'jitter': 0})
        begin = now() + datetime.timedelta(minutes=45)  # 4.5 s of ours
        clock = [(begin + datetime.timedelta(hours=k)).strftime('%H:%M') for k in (0, 10)]
        h.settings['quiet_hours'] = {'from': clock[0], 'to': clock[1]}
        h.settings['sms']['providers'][0]['concurrency'] = 2
        h.write()
        away, quiet = True, None
        h.smtp.script = lambda verb, arg, session: '421 4.3.2 closed for now' if verb == 'MAIL' and away else None
        h.gateway.script = lambda request, handler: (429, {'Retry-After': '6'}, 'not now') if away else None
        h.start('--clock-rate', '600')
        both = {'template': 'order-update', 'channels': ['email', 'sms'], 'category': 'onboarding', 'data': {'order': '1', 'parcels': 2}}
        lines = '\n'.join(json.dumps({'recipient': person('l%d' % i), **both}) for i in range(12))
        ids = [json.loads(line)['id'] for line in h.cli('enqueue', stdin=lines).splitlines()]
        h.until(lambda: h.gateway.requests and h.smtp.connections, what='admitted before the quiet hours begin')
        self.assertTrue(self.window(h, 'l0')['now'])
        h.until(lambda: not self.window(h, 'l0')['now'], what='the quiet hours begin')
        away, quiet = False, time.time()
        opens = utc(self.window(h, 'l0')['at'])
        all = lambda: [d for id in ids for d in h.message(id)['deliveries']]
        h.until(lambda: {d['reason'] or d['status'] for d in all()} <= {'quiet_hours', 'sent'}, what=lambda: str(all()))
        self.assertEqual({(d['channel'], d['status'], d['reason']) for d in all()}, {(c, 'scheduled', 'quiet_hours') for c in ('email', 'sms')})
        for d in all():
            self.assertLess(abs(utc(d['next_attempt_at']) - opens), datetime.timedelta(minutes=1))
        self.assertEqual((h.smtp.received, [r for r in h.gateway.requests if r['at'] > quiet]), ([], []))

    def test_what_waits_for_a_gateway_holds_no_place_of_a_cap(self):
        h = self.house(categories=CATEGORIES, caps=[{'name': 'one', 'max': 1, 'per': '7d', 'over': 'drop'}])
        h.settings['sms']['providers'][0]['concurrency'] = 2
        h.write()
        h.gateway.script = lambda request, handler: (429, {'Retry-After': '3600'}, 'not now')
        h.start()
        sms = {'template': 'order-update', 'channels': ['sms'], 'category': 'onboarding', 'data': {'order': '1', 'parcels': 2}}
        lines = '\n'.join(json.dumps({'recipient': person('c%d' % i), **sms}) for i in range(12))
        ids = [json.loads(line)['id'] for line in h.cli('enqueue', stdin=lines).splitlines()]
        h.until(lambda: h.gateway.requests, what='the gateway asks for patience')
        end = time.monotonic() + 1
        h.until(lambda: time.monotonic() > end or all(h.delivery(id, 'sms')['reason'] for id in ids))
        for i in range(12):
            with self.subTest(person=i):
                card = h.settled(h.send('c%d' % i, channels=['in_app']), SOON)
                self.assertEqual((card['status'], card['deliveries'][0]['reason']), ('sent', None))

    def test_every_gate_is_asked_again_when_a_relay_is_back(self):
        h = self.house(categories=CATEGORIES, caps=[{'name': 'one', 'categories': ['marketing'], 'max': 1, 'per': '7d', 'over': 'drop'}])
        h.smtp.script = lambda verb, arg, session: '421 4.3.2 closed for now' if verb == 'CONNECT' and closed else None
        closed = True
        h.start()
        category = {'withdrawn': 'onboarding', 'paused': 'onboarding', 'full': 'marketing'}
        ids = {who: h.send(person(who), channels=['email'], category=category[who]) for who in category}
        for id in ids.values():
            h.until(lambda: h.delivery(id)['status'] == 'scheduled' and h.delivery(id)['reason'], SOON, lambda: h.message(id))
        no = {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn'}
        self.assertEqual(h.http('POST', '/v1/recipients/withdrawn/consents', no)[0], 200)
        self.patch(h, 'paused', '/preferences', pause_until=day(7) + 'T00:00:00Z')
        h.until(lambda: h.settled(h.send('full', channels=['in_app'], category='marketing'))['status'] == 'sent')
        closed = False
        h.reason(ids['paused'], 'preference', timeout=30)
        self.assertEqual(h.settled(ids['full'])['deliveries'][0]['reason'], 'cap:one')
        self.assertNotIn(h.settled(ids['withdrawn'])['status'], ('sent', 'unknown'))
        self.assertEqual(h.smtp.received, [])


class Order(InstantTest):
    def one_connection(self, **settings):
        h = self.house(categories=CATEGORIES, **settings)
        h.settings['email']['providers'][0]['connections'] = 1
        h.write()
        return h

    def test_what_blackout_days_put_off_comes_in_the_order_of_its_own_time_and_priority_first(self):
        begin, days = now(), 3
        h = self.one_connection(quiet_hours={'blackout': ['%s/%s' % (day(-1), day(days - 1))]})
        opens = utc(day(days) + 'T00:00:00Z')
        h.start('--clock-rate', str(math.ceil((opens - begin).total_seconds() / 4)))
        times = [begin + datetime.timedelta(hours=7 * i) for i in range(7)]
        order = [4, 1, 6, 0, 3, 5, 2]  # in which they are enqueued
        ids = {i: h.send(person('o'), channels=['email'], data={'name': 'm%d' % i, 'count': 1}, priority='high' if i == 5 else 'normal',
                         send_at=times[i].strftime('%Y-%m-%dT%H:%M:%SZ')) for i in order}
        for i in ids:
            self.assertEqual(h.settled(ids[i], 20)['status'], 'sent')
            self.assertGreaterEqual(utc(h.delivery(ids[i])['sent_at']), opens)
        self.assertEqual(self.names(h), ['m5', 'm0', 'm1', 'm2', 'm3', 'm4', 'm6'])

    def test_what_a_daily_cap_put_off_comes_in_the_order_of_its_own_time_and_priority_first(self):
        h = self.one_connection(caps=[{'name': 'slow', 'max': 1, 'per': '1 calendar day', 'over': 'defer'}])
        h.start('--clock-rate', '30000')
        clock = lambda: utc(h.message(h.send('c', channels=['in_app']))['send_at'])
        h.until(lambda: clock().hour < 2, what='a day begins, 2.9 s of ours')
        h.settled(h.send(person('o'), channels=['email'], data={'name': 'first', 'count': 1}))
        at = lambda i: (clock() + datetime.timedelta(minutes=i)).strftime('%Y-%m-%dT%H:%M:%SZ')
        lines = [json.dumps({'recipient': 'o', 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'm%d' % i, 'count': 1},
                             'priority': 'high' if i == 3 else 'normal', 'send_at': at(i)}) for i in range(5)]
        answers = h.http('POST', '/v1/messages', raw='\n'.join(lines).encode(), type='application/x-ndjson')[1]
        for id in [json.loads(line)['id'] for line in answers.splitlines()]:
            self.assertEqual(h.settled(id, 60)['status'], 'sent')
        self.assertEqual(self.names(h), ['first', 'm3', 'm0', 'm1', 'm2', 'm4'])

    def test_what_a_pause_put_off_comes_in_the_order_of_its_own_time(self):
        h = self.one_connection()
        h.start()
        h.http('PUT', '/v1/recipients/o', {'email': 'o@example.com'})
        end = now() + datetime.timedelta(seconds=3)
        self.patch(h, 'o', '/preferences', pause_until=end.strftime('%Y-%m-%dT%H:%M:%SZ'))
        ids = []
        for i in range(7):
            ids.append(h.send('o', channels=['email'], data={'name': 'm%d' % i, 'count': 1}))
            time.sleep(0.003)  # of one millisecond none is the first
        for id in ids:
            self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertEqual(self.names(h), ['m%d' % i for i in range(7)])


class Versions(InstantTest):
    def fleet(self, **settings):
        """A house on a Redis of its own, with its own copy of the templates, for several workers."""
        h = self.house(**{'categories': CATEGORIES, **settings})
        self.external(h)
        h.settings['templates'] = self.copy(h, 'new')
        h.write()
        return h

    def copy(self, h, name, without=None):
        folder = os.path.join(h.dir, name)
        code = lambda d, names: [n for n in names if n.endswith(('.c', '.h', '.cc', '.cmake')) or n == without]
        shutil.copytree(os.path.join(ROOT, 'templates'), folder, ignore=code)
        return folder

    def old_worker(self, h, **settings):
        """A worker on the same Redis that is not yet told what the others know."""
        new, path, before = dict(h.settings), h.config, len(h.cli_json('queue')['workers'])
        h.settings.update(settings)
        h.config = os.path.join(h.dir, 'old.yaml')
        h.write()
        p = h.start('--role', 'worker', wait=False)
        h.settings, h.config = new, path
        h.until(lambda: len(h.cli_json('queue')['workers']) > before, what='the old worker says its totals')
        return p

    def test_what_the_only_worker_does_not_know_waits_for_one_that_does(self):
        h = self.fleet()
        h.start('--role', 'api')
        old = self.old_worker(h, templates=self.copy(h, 'old', 'welcome'))
        ids = [h.send(person('v%d' % i), channels=['email']) for i in range(20)]
        known = h.send(person('known'), 'order-update', channels=['email'])
        d = h.reason(ids[0], 'template_unknown', timeout=SOON)
        self.assertEqual((d['status'], d['attempts'], h.message(ids[0])['status']), ('scheduled', 0, 'scheduled'))
        self.assertEqual(h.settled(known)['status'], 'sent')  # its neighbours go on
        h.start('--role', 'worker', wait=False)
        ids += [h.send(person('w%d' % i), channels=['email']) for i in range(20)]
        for id in ids:
            self.assertEqual(h.settled(id, 20)['status'], 'sent')
        self.assertEqual((old.poll(), len(h.smtp.received)), (None, 41))
        dead = h.cli('dead', 'list', '--json')
        self.assertEqual([id for id in ids if id in dead], [])

    def test_a_worker_without_the_category_fails_nothing_and_sends_nothing_on_weaker_terms(self):
        known = {**CATEGORIES, 'news': {'kind': 'marketing', 'consent': 'opt_in'}}
        h = self.fleet(categories=known)
        h.start('--role', 'api')
        self.old_worker(h, categories=CATEGORIES)
        for i in range(10):
            h.http('PUT', '/v1/recipients/y%d' % i, {'email': 'y%d@example.com' % i})
            h.http('POST', '/v1/recipients/y%d/consents' % i, {'category': 'news', 'channel': '*', 'state': 'granted'})
        no, yes = [[h.send(person(k + str(i)), channels=['email'], category='news') for i in range(10)] for k in 'ny']
        h.until(lambda: all(h.delivery(id)['reason'] or h.message(id)['status'] == 'sent' for id in no + yes), SOON, lambda: h.message(no[0]))
        self.assertNotIn('sent', [h.message(id)['status'] for id in no])
        h.start('--role', 'worker', wait=False)
        self.assertEqual({h.settled(id, 20)['deliveries'][0]['reason'] for id in no}, {'no_consent'})
        self.assertEqual({h.settled(id, 20)['status'] for id in yes}, {'sent'})
        self.assertEqual({m.recipient[0] for m in h.smtp.received}, {'y'})

    def test_two_services_of_which_one_lacks_the_template_fail_nothing(self):
        h = self.fleet()
        h.start()
        self.old_worker(h, templates=self.copy(h, 'old', 'welcome'))
        ids = [h.send(person('t%d' % i), channels=['email']) for i in range(40)]
        for id in ids:
            self.assertEqual(h.settled(id, 20)['status'], 'sent')
        self.assertEqual(len(h.smtp.received), 40)

    def test_what_nobody_knows_for_an_hour_has_failed_and_not_before(self):
        h = self.fleet()
        h.start('--clock-rate', '1200')
        id = h.send(person('n'), channels=['email'], delay='30m')
        known = utc(h.message(h.send('n', 'order-update', channels=['in_app']))['send_at'])
        shutil.move(os.path.join(h.settings['templates'], 'welcome'), os.path.join(h.dir, 'away'))
        self.reload(h)
        h.until(lambda: '"what":"templates"' in h.log(), what='the reload is done')
        h.reason(id, 'template_unknown', timeout=SOON)
        self.assertEqual(h.delivery(id)['status'], 'scheduled')
        self.assertEqual(h.settled(id, 20)['status'], 'failed')
        self.assertGreaterEqual(utc(h.message(id)['trace'][-1]['at']) - known, datetime.timedelta(minutes=59))
        self.assertIn(id, h.cli('dead', 'list', '--json'))  # kept, for another try


if __name__ == '__main__':
    unittest.main()
