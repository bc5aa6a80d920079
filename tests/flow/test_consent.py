"""What a person has said holds: over clocks, doors, reloads, profiles that come again, and after they have gone."""
import datetime, json, os, shutil, signal, subprocess, threading, unittest

from house import FlowTest, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing'}}
OFFERS = {**CATEGORIES, 'offers': {'kind': 'marketing', 'consent': 'opt_in'}}
FORM = 'application/x-www-form-urlencoded'

# Redis asks gettimeofday for TIME
CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    char shift[32] = "";
    struct timespec now;
    int f = open(getenv("CLOCK_FILE"), O_RDONLY);
    (void)zone;
    if (f >= 0 && read(f, shift, 31) < 0) shift[0] = 0;
    if (f >= 0) close(f);
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec + atol(shift);
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


def at(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S.%fZ')[:-4] + 'Z'


def moment(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


class Consent(FlowTest):
    def say(self, h, who, state, category='marketing', channel='*', status=200, **more):
        entry = {'category': category, 'channel': channel, 'state': state, 'source': 'test', **more}
        answer = h.http('POST', '/v1/recipients/%s/consents' % who, entry)
        self.assertEqual(answer[0], status, answer)
        return answer[1]

    def ledger(self, h, who):
        return h.http('GET', '/v1/recipients/%s/consents' % who)[1]['consents']

    def stands(self, h, id, channel='email'):
        """The delivery once it is settled or has a reason to wait."""
        ready = lambda d: d['reason'] or d['status'] not in ('scheduled', 'sending')
        h.until(lambda: ready(h.delivery(id, channel)), what=lambda: h.message(id))
        return h.delivery(id, channel)

    def ends(self, h, id, status, reason, channel='email'):
        h.settled(id)
        d = h.delivery(id, channel)
        self.assertEqual((d['status'], d['reason']), (status, reason), h.message(id))

    def mail_to(self, h, who):
        return h.until(lambda: [m for m in h.smtp.accepted if m.recipient.startswith(who + '@')], what='the mail for ' + who)[-1].parse()

    def path(self, h, who, room='u'):
        """The path of the unsubscribe link (u) or of the preference page (p) in the last mail to them."""
        mail = self.mail_to(h, who)
        link = mail['List-Unsubscribe'].strip('<>') if room == 'u' else mail.get_body(('html',)).get_content().split('href="')
        return '/' + link.split('/', 3)[3] if room == 'u' else next('/p/' + x.split('/p/')[1].split('"')[0] for x in link if '/p/' in x.split('"')[0])

    def post(self, h, path, raw, type=FORM):
        return h.http('POST', path, raw=raw.encode(), type=type)[0]

    def reload(self, h, p):
        done = lambda: h.log().count('"reload.done"')
        h.write()
        before = done()
        p.send_signal(signal.SIGHUP)
        h.until(lambda: done() > before, what='the reload is done')

    # a withdrawal that has arrived

    def test_a_withdrawal_outlives_a_grant_dated_later(self):
        h = self.start(categories=CATEGORIES)
        for who in ('post', 'cli', 'click', 'page', 'prefs', 'channel'):
            h.http('PUT', '/v1/recipients/' + who, person(who))
        self.say(h, 'click', 'granted')
        self.say(h, 'page', 'granted')
        for who in ('click', 'page'):
            h.settled(h.send(who, 'milestone', channels=['email']))
        withdraw = {
            'post': lambda: self.assertTrue(self.say(h, 'post', 'withdrawn')['withdrawn']),
            'channel': lambda: self.assertTrue(self.say(h, 'channel', 'withdrawn', channel='email')['withdrawn']),
            'cli': lambda: self.assertTrue(json.loads(h.cli('consent', 'withdraw', 'cli', '--category', 'marketing'))['withdrawn']),
            'click': lambda: self.assertEqual(self.post(h, self.path(h, 'click'), 'List-Unsubscribe=One-Click'), 200),
            'page': lambda: self.assertEqual(self.post(h, self.path(h, 'page', 'p'), 'category.marketing=off&channel=email'), 200),
            'prefs': lambda: self.assertEqual(h.http('PATCH', '/v1/recipients/prefs/preferences', {'categories': {'marketing': False}})[0], 200)}
        ids = {}
        for who, do in withdraw.items():
            self.say(h, who, 'granted', at=at(2))
            do()
            ids[who] = h.send(who, 'milestone', channels=['email'], delay='3s')
        for who, id in ids.items():
            with self.subTest(door=who):
                self.ends(h, id, 'suppressed', 'opted_out')

    def test_a_grant_is_never_dated_later_than_it_came(self):
        h = self.start(categories=CATEGORIES)
        self.say(h, 'f', 'granted', at=at(2))
        self.assertLess(moment(self.ledger(h, 'f')[0]['at']), moment(at(0.5)))

    def test_a_later_grant_with_evidence_reopens_and_an_old_one_does_not(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/g', person('g'))
        self.say(h, 'g', 'granted', at=at(2))
        self.say(h, 'g', 'withdrawn')
        self.say(h, 'g', 'granted', at=at(-3600))  # history that comes late
        self.ends(h, h.send('g', 'milestone'), 'suppressed', 'opted_out')
        self.say(h, 'g', 'granted', evidence={'text_version': '2026-03', 'ip': '192.0.2.1'})
        self.ends(h, h.send('g', 'milestone'), 'sent', None)

    def test_a_withdrawal_holds_whatever_its_own_date_says(self):
        h = self.start(categories=CATEGORIES)
        for who, seconds in (('hour', -3600), ('second', -1), ('skew', 2)):
            h.http('PUT', '/v1/recipients/' + who, person(who))
            self.say(h, who, 'granted')
            with self.subTest(who=who):
                self.assertIs(self.say(h, who, 'withdrawn', at=at(seconds))['withdrawn'], True)
                self.ends(h, h.send(who, 'milestone'), 'suppressed', 'opted_out')

    def test_a_withdrawal_holds_after_the_clock_was_set_back(self):
        h = self.house(categories=CATEGORIES)
        set_clock = self.redis_with_a_clock(h)
        set_clock(3600)
        h.start()
        h.http('PUT', '/v1/recipients/b', person('b'))
        self.say(h, 'b', 'granted')
        h.stop()
        set_clock(0)
        h.start()
        self.assertIs(self.say(h, 'b', 'withdrawn')['withdrawn'], True)
        self.ends(h, h.send('b', 'milestone'), 'suppressed', 'opted_out')
        self.say(h, 'b', 'granted', evidence={'text_version': '2026-03'})
        self.ends(h, h.send('b', 'milestone'), 'sent', None)

    def redis_with_a_clock(self, h):
        """A Redis whose wall clock the test sets by seconds."""
        if not shutil.which('cc'):
            self.skipTest('no C compiler')
        name = lambda n: os.path.join(h.dir, n)
        with open(name('clock.c'), 'w') as out:
            out.write(CLOCK)
        subprocess.run(['cc', '-shared', '-fPIC', '-o', name('clock.so'), name('clock.c')], check=True)
        set_clock = lambda seconds: open(name('clock'), 'w').write(str(seconds)) and None
        set_clock(0)
        self.external(h, LD_PRELOAD=name('clock.so'), CLOCK_FILE=name('clock'))
        return set_clock

    def external(self, h, **environment):
        path = os.path.join(h.dir, 'r.sock')
        p = subprocess.Popen(['redis-server', '--port', '0', '--unixsocket', path, '--dir', h.dir, '--appendonly', 'yes', '--save', ''],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
        self.addCleanup(lambda: (p.kill(), p.wait()))
        h.until(lambda: subprocess.run(['redis-cli', '-s', path, 'ping'], capture_output=True).stdout == b'PONG\n', what='Redis answers')
        h.settings['redis'] = {'url': 'unix:' + path, 'partitions': 4}
        h.write()
        h.redis_alive = lambda: False

    # a category that has left the configuration

    def test_what_needed_consent_is_not_sent_when_its_category_is_gone(self):
        for consent in ('opt_in', 'double_opt_in'):
            with self.subTest(consent=consent):
                h = self.house(categories={**CATEGORIES, 'offers': {'kind': 'marketing', 'consent': consent}})
                p = h.start('--clock-rate', '60')
                mail = h.send(person('n'), channels=['email'], category='offers', delay='2m')
                text = h.send('n', 'order-update', channels=['sms'], category='offers', delay='2m')
                out = h.send(person('o'), channels=['email'], category='offers', delay='2m')
                h.settings['categories'] = CATEGORIES
                self.reload(h, p)
                self.nothing_is_sent(h, {mail: 'email', text: 'sms', out: 'email'})

    def test_a_restart_without_the_category_sends_nothing_on_weaker_terms(self):
        h = self.house(categories=OFFERS)
        h.start('--clock-rate', '60')
        id = h.send(person('n'), channels=['email'], category='offers', delay='4m')
        h.stop()
        h.settings['categories'] = CATEGORIES
        h.write()
        h.start('--clock-rate', '60')
        self.nothing_is_sent(h, {id: 'email'})

    def test_a_worker_that_does_not_know_the_category_sends_nothing_on_weaker_terms(self):
        h = self.house(categories=OFFERS)
        self.external(h)
        h.start('--role', 'api')
        h.settings['categories'] = CATEGORIES
        knows, h.config = h.config, os.path.join(h.dir, 'other.yaml')
        h.write()
        h.start('--role', 'worker')
        h.config = knows
        self.nothing_is_sent(h, {h.send(person('n'), channels=['email'], category='offers'): 'email'})

    def nothing_is_sent(self, h, ids):
        for id, channel in ids.items():
            d = self.stands(h, id, channel)
            self.assertIn(d['reason'], ('template_unknown', 'no_consent'), h.message(id))
            self.assertIn(d['status'], ('scheduled', 'suppressed'))
        self.assertEqual((h.smtp.received, h.gateway.requests), ([], []))

    def test_who_opted_out_of_a_category_that_is_gone_is_left_alone_when_it_is_back(self):
        h = self.house(categories={**CATEGORIES, 'offers': {'kind': 'service'}})
        p = h.start()
        people = ('click', 'button', 'post', 'cli', 'prefs')
        for who in people:
            h.settled(h.send(person(who), channels=['email'], category='offers'))
        h.settings['categories'] = CATEGORIES
        self.reload(h, p)
        self.assertEqual(h.http('GET', self.path(h, 'click'))[0], 200)
        self.assertEqual(h.http('GET', self.path(h, 'click', 'p'))[0], 200)
        stop = {
            'click': lambda: self.assertEqual(self.post(h, self.path(h, 'click'), 'List-Unsubscribe=One-Click'), 200),
            'button': lambda: self.assertEqual(self.post(h, self.path(h, 'button'), 'List-Unsubscribe=One-Click&x=1'), 200),
            'post': lambda: self.assertIs(self.say(h, 'post', 'withdrawn', 'offers')['withdrawn'], True),
            'cli': lambda: self.assertIs(json.loads(h.cli('consent', 'withdraw', 'cli', '--category', 'offers'))['withdrawn'], True),
            'prefs': lambda: self.assertEqual(h.http('PATCH', '/v1/recipients/prefs/preferences', {'categories': {'offers': False}})[0], 200)}
        for who in people:
            with self.subTest(door=who):
                stop[who]()
                self.assertEqual([(e['category'], e['state']) for e in self.ledger(h, who)], [('offers', 'withdrawn')])
        h.settings['categories'] = {**CATEGORIES, 'offers': {'kind': 'service'}}
        self.reload(h, p)
        for who in people:
            with self.subTest(door=who, then='it is back'):
                self.ends(h, h.send(who, channels=['email'], category='offers'), 'suppressed', 'opted_out')

    # one channel of several

    def test_the_next_channel_waits_for_its_own_time_when_the_first_is_withdrawn(self):
        h = self.start(categories=CATEGORIES)
        far = (datetime.datetime.now() + datetime.timedelta(days=2)).strftime('%Y-%m-%dT09:00')
        cases = [('delay', 'welcome', ['email', 'in_app'], {'delay': '2d'}, 'post'), ('cli', 'welcome', ['email', 'in_app'], {'delay': '2d'}, 'cli'),
                 ('at', 'order-update', ['sms', 'in_app'], {'send_at': at(172800)}, 'post'),
                 ('local', 'welcome', ['email', 'in_app'], {'send_at_local': far}, 'post'),
                 ('reverse', 'welcome', ['in_app', 'email'], {'delay': '2d'}, 'post')]
        for who, template, channels, when, door in cases:
            with self.subTest(who=who):
                id = h.send(person(who), template, category='onboarding', channels=channels, strategy='first', **when)
                due = h.message(id)['send_at']
                if door == 'cli':
                    h.cli('consent', 'withdraw', who, '--category', 'onboarding', '--channel', channels[0])
                else:
                    self.say(h, who, 'withdrawn', 'onboarding', channels[0])
                h.settled(h.send(who, template, category='account', channels=[channels[1]]))  # what is due has gone by now
                gone, d = (h.delivery(id, c) for c in channels)
                self.assertEqual((gone['reason'], d['status'], d['next_attempt_at']), ('opted_out', 'scheduled', due), h.message(id))

    def test_the_next_channel_goes_at_its_time(self):
        h = self.start('--clock-rate', '3600', categories=CATEGORIES)
        id = h.send(person('t'), channels=['email', 'in_app'], strategy='first', delay='2h')
        self.say(h, 't', 'withdrawn', 'onboarding', 'email')
        self.ends(h, id, 'sent', None, 'in_app')
        self.assertGreaterEqual(moment(h.delivery(id, 'in_app')['sent_at']), moment(h.message(id)['send_at']))
        self.assertEqual(h.smtp.received, [])

    # what the person chose, and what the company knows

    CHOSEN = {'channels': ['in_app'], 'pause_until': '2040-01-01T00:00:00Z', 'max_per_week': 2}

    def chosen(self, h, who):
        return {k: v for k, v in h.http('GET', '/v1/recipients/%s/preferences' % who)[1].items() if k in self.CHOSEN}

    def test_what_a_person_chose_outlives_a_new_profile(self):
        h = self.start(categories=CATEGORIES)
        profile = {'email': 'new@example.com', 'attributes': {'plan': 'gold'}}
        doors = {
            'put': lambda: h.http('PUT', '/v1/recipients/put', profile),
            'patch': lambda: h.http('PATCH', '/v1/recipients/patch', profile),
            'inline': lambda: h.send({'id': 'inline', **profile}, channels=['in_app'], category='account'),
            'ndjson': lambda: h.cli('recipient', 'import', stdin=json.dumps({'id': 'ndjson', **profile}) + '\n'),
            'csv': lambda: h.cli('recipient', 'import', stdin='id,email,plan\ncsv,new@example.com,gold\n')}
        for who, door in doors.items():
            with self.subTest(door=who):
                h.http('PUT', '/v1/recipients/' + who, person(who, attributes={'name': 'Ada'}))
                h.http('PATCH', '/v1/recipients/%s/preferences' % who, self.CHOSEN)
                door()
                self.assertEqual(self.chosen(h, who), self.CHOSEN)
                self.assertEqual(h.http('GET', '/v1/recipients/' + who)[1]['attributes']['plan'], 'gold')
        self.assertEqual(h.http('GET', '/v1/recipients/put')[1]['attributes'], {'plan': 'gold'})  # the company's part is replaced

    def test_what_a_person_chose_is_not_overruled_by_a_profile_that_says_otherwise(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/o', person('o', channels=['email', 'sms']))
        h.http('PATCH', '/v1/recipients/o/preferences', self.CHOSEN)
        self.assertEqual(h.http('PUT', '/v1/recipients/o', person('o', channels=['email', 'sms'], preferences={'max_per_week': 50}))[0], 200)
        self.assertEqual(self.chosen(h, 'o'), self.CHOSEN)

    def test_what_was_chosen_on_the_page_still_decides_after_a_put(self):
        h = self.start(categories=CATEGORIES)
        h.settled(h.send(person('w'), channels=['email']))
        self.assertEqual(self.post(h, self.path(h, 'w', 'p'), 'channel=in_app&max_per_week=1'), 200)
        h.http('PUT', '/v1/recipients/w', {'email': 'w@example.com', 'attributes': {'plan': 'gold'}})
        self.ends(h, h.send('w', channels=['email']), 'suppressed', 'preference')
        self.ends(h, h.send('w', channels=['in_app']), 'suppressed', 'cap:own', 'in_app')

    # one address, two profiles

    def test_erasing_a_duplicate_leaves_the_address_of_who_stays(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/alone', person('alone', phone='+491700000001'))
        plain = h.http('DELETE', '/v1/recipients/alone')[1]
        cases = [('same', 'shared@example.com', 'shared@example.com'), ('case', 'Case@Example.COM', 'case@example.com'),
                 ('cli', 'cli@example.com', 'cli@example.com')]
        for n, (who, theirs, mine) in enumerate(cases):
            with self.subTest(who=who):
                phone = '+49170111222%d' % n
                h.http('PUT', '/v1/recipients/dup-' + who, person(email=theirs, phone=phone, id='dup-' + who))
                h.http('PUT', '/v1/recipients/' + who, person(email=mine, phone=phone, id=who))
                gone = json.loads(h.cli('recipient', 'erase', 'dup-' + who)) if who == 'cli' else h.http('DELETE', '/v1/recipients/dup-' + who)[1]
                self.ends(h, h.send(who, channels=['email']), 'sent', None)
                self.ends(h, h.send(who, 'order-update', channels=['sms']), 'sent', None, 'sms')
                self.assertNotEqual(gone, plain)  # the answer names what happens to the shared addresses
                self.assertEqual(h.http('GET', '/v1/recipients/dup-' + who)[0], 404)

    def test_only_the_address_that_another_profile_holds_is_spared(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/dup', person('dup', email='both@example.com', phone='+491701112220'))
        h.http('PUT', '/v1/recipients/stays', person('stays', email='both@example.com', phone='+491701112229'))
        h.http('DELETE', '/v1/recipients/dup')
        self.ends(h, h.send('stays', channels=['email']), 'sent', None)
        again = h.send(person('again', email=None, phone='+491701112220'), 'order-update', channels=['sms'])
        self.ends(h, again, 'suppressed', 'suppressed_address', 'sms')

    def test_the_address_is_left_alone_when_its_last_profile_is_erased_or_has_moved(self):
        h = self.start(categories=CATEGORIES)
        for who in ('one', 'two'):
            h.http('PUT', '/v1/recipients/' + who, person(who, email='last@example.com'))
            h.http('PUT', '/v1/recipients/m-' + who, person('m-' + who, email='moved@example.com'))
        h.http('DELETE', '/v1/recipients/one')
        h.http('DELETE', '/v1/recipients/two')
        h.http('PATCH', '/v1/recipients/m-two', {'email': 'elsewhere@example.com'})
        h.http('DELETE', '/v1/recipients/m-one')
        for who, email in (('x', 'last@example.com'), ('y', 'moved@example.com')):
            with self.subTest(email=email):
                self.ends(h, h.send(person(who, email=email), channels=['email']), 'suppressed', 'suppressed_address')
        self.ends(h, h.send('m-two', channels=['email']), 'sent', None)

    # the one click

    def test_every_correct_form_of_the_one_click_unsubscribes(self):
        h = self.start(categories=CATEGORIES)
        multipart = '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
        plain = 'List-Unsubscribe=One-Click'
        forms = [('List%2DUnsubscribe=One%2DClick', FORM), ('List%2dUnsubscribe=One%2dClick', FORM), ('%4cist-Unsubscribe=%4Fne-Click', FORM),
                 (plain + '&', FORM), ('a=b&' + plain, FORM), (plain, FORM + '; charset=UTF-8'), (plain, FORM.title()),
                 (multipart, 'multipart/form-data; boundary=b'), (multipart, 'multipart/form-data; boundary="b"')]
        for n, (body, type) in enumerate(forms):
            with self.subTest(body=body, type=type):
                h.settled(h.send(person('f%d' % n), channels=['email']))
                self.assertEqual(self.post(h, self.path(h, 'f%d' % n), body, type), 200)
                self.assertEqual([e['state'] for e in self.ledger(h, 'f%d' % n)], ['withdrawn'])

    def test_what_is_no_one_click_changes_nothing(self):
        h = self.start(categories=CATEGORIES)
        h.settled(h.send(person('n'), channels=['email']))
        for body in ('', 'List-Unsubscribe', 'List-Unsubscribe=', 'List-Unsubscribe=One%20Click', 'List-Unsubscribe=One%2',
                     'x=List-Unsubscribe=One-Click', 'List%252DUnsubscribe=One-Click'):
            with self.subTest(body=body):
                self.assertEqual(self.post(h, self.path(h, 'n'), body), 400)
        self.assertEqual(self.ledger(h, 'n'), [])

    # chosen while the mail is on its way

    def held(self, h, verb='DATA', reply=None):
        """The next session stops at this verb until `go` is set, and answers as told then; `reached` is set when it has come to it."""
        reached, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def script(said, arg, session):
            if said == verb:
                reached.set()
                go.wait(60)
                return reply
        h.smtp.script = script
        return reached, go

    def test_what_is_chosen_before_the_dot_is_seen_at_the_dot(self):
        h = self.start(categories=CATEGORIES)
        until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)).strftime('%Y-%m-%dT00:00:00Z')
        cases = [('data', 'DATA', {'pause_until': until}, 'scheduled', 'preference'),
                 ('rcpt', 'RCPT', {'pause_until': until}, 'scheduled', 'preference'),
                 ('channel', 'DATA', {'channels': ['in_app']}, 'suppressed', 'preference'),
                 ('category', 'DATA', {'categories': {'onboarding': False}}, 'suppressed', 'opted_out')]
        for who, verb, wish, status, reason in cases:
            with self.subTest(who=who):
                reached, go = self.held(h, verb)
                id = h.send(person(who), channels=['email'])
                self.assertTrue(reached.wait(20))
                self.assertEqual(h.http('PATCH', '/v1/recipients/%s/preferences' % who, wish)[0], 200)
                go.set()
                d = self.stands(h, id)
                self.assertEqual((d['status'], d['reason']), (status, reason), h.message(id))
                if status == 'scheduled':
                    self.assertEqual(d['next_attempt_at'], until)
                self.assertEqual([m for m in h.smtp.received if m.recipient.startswith(who)], [])

    def test_a_pause_before_the_dot_does_not_hold_what_an_account_needs(self):
        h = self.start(categories=CATEGORIES)
        reached, go = self.held(h)
        id = h.send(person('a'), channels=['email'], category='account')
        self.assertTrue(reached.wait(20))
        h.http('PATCH', '/v1/recipients/a/preferences', {'pause_until': '2040-01-01T00:00:00Z'})
        go.set()
        self.ends(h, id, 'sent', None)

    # erased

    WHO, EMAIL, PHONE, NAME = 'erasmus-4711', 'Who.Was@example.com', '+491709998877', 'Zebulon'

    def traces(self, h):
        """The keys of Redis that still hold something of the person."""
        found = []
        words = [w.encode() for w in (self.WHO, self.EMAIL, self.EMAIL.lower(), self.PHONE, self.NAME)]
        read = {'string': ['GET'], 'hash': ['HGETALL'], 'set': ['SMEMBERS'], 'zset': ['ZRANGE', 0, -1], 'list': ['LRANGE', 0, -1],
                'stream': ['XRANGE', '-', '+']}
        for key in h.redis('--scan').split('\n'):
            verb, *more = read.get(h.redis('TYPE', key), ['GET'])
            text = subprocess.run(['redis-cli', '-s', h.socket, '--raw', verb, key, *map(str, more)], capture_output=True).stdout + key.encode()
            found += [(key, text[:300])] if any(w in text for w in words) else []
        return found

    def nothing_left(self, h):
        idle = lambda: not any(q[k] for q in h.cli_json('queue')['channels'].values() for k in ('due', 'in_flight'))
        h.until(lambda: idle() and not self.traces(h), 6, lambda: self.traces(h))

    def who(self):
        return {'id': self.WHO, 'email': self.EMAIL, 'phone': self.PHONE, 'locale': 'en', 'timezone': 'UTC', 'attributes': {'name': self.NAME}}

    def test_nothing_is_left_of_who_was_erased_while_a_mail_was_in_flight(self):
        for strategy, verb, reply in (('first', 'BODY', '550 5.1.1 nobody'), ('all', 'BODY', None), ('first', 'RCPT', '451 4.3.0 later')):
            with self.subTest(strategy=strategy, verb=verb, reply=reply):
                h = self.start(categories=CATEGORIES)
                reached, go = self.held(h, verb, reply)
                every = {'channels': ['email', 'in_app'], 'data': {'name': self.NAME, 'count': 2}}
                h.send(self.who(), strategy=strategy, **every)
                later = h.send(self.WHO, strategy='first', delay='1h', **every)
                self.assertTrue(reached.wait(20))
                self.assertIs(h.http('DELETE', '/v1/recipients/' + self.WHO)[1]['erased'], True)
                go.set()
                self.nothing_left(h)
                self.assertEqual(h.http('GET', '/v1/messages/' + later)[0], 404)
                self.assertEqual(h.http('GET', '/v1/recipients/' + self.WHO)[0], 404)

    def test_nothing_is_left_of_who_was_erased_while_a_text_was_in_flight(self):
        h = self.start(categories=CATEGORIES)
        reached, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)
        h.gateway.script = lambda request, handler: (reached.set(), go.wait(60)) and (400, {}, '{}')
        h.send(self.who(), 'order-update', channels=['sms', 'in_app'], strategy='first')
        self.assertTrue(reached.wait(20))
        h.cli('recipient', 'erase', self.WHO)
        go.set()
        self.nothing_left(h)

    def test_the_dead_letters_of_who_was_erased_go_with_them(self):
        letters = {
            'by id': {'recipient': self.WHO, 'template': 'nope', 'data': {}},
            'whole': {'recipient': self.who(), 'template': 'nope', 'data': {'name': self.NAME}},
            'only its address': {'recipient': {'email': self.EMAIL}, 'template': 'welcome'},
            'broken': '{"recipient":{"id":"%s","email":"%s"},' % (self.WHO, self.EMAIL)}
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/' + self.WHO, self.who())
        for letter in [{'recipient': 'other', 'template': 'nope'}, *letters.values()]:
            h.redis('XADD', 'tidings:ingest', '*', 'message', letter if isinstance(letter, str) else json.dumps(letter))
        h.until(lambda: len(h.cli_json('dead', 'list')) == 5, what=lambda: h.cli('dead', 'list', '--json'))
        h.http('DELETE', '/v1/recipients/' + self.WHO)
        self.nothing_left(h)
        self.assertEqual(['other' in h.cli('dead', 'show', d['id']) for d in h.cli_json('dead', 'list')], [True])  # those of others stay

    def test_a_failed_delivery_of_who_was_erased_is_no_dead_letter_any_more(self):
        h = self.start(categories=CATEGORIES)
        h.smtp.script = lambda verb, arg, session: '550 5.7.1 %s not wanted' % arg if verb == 'RCPT' else None
        id = h.send(self.who(), channels=['email'], category='account', data={'name': self.NAME, 'count': 1})
        self.assertEqual(h.settled(id)['status'], 'failed')
        h.http('DELETE', '/v1/recipients/' + self.WHO)
        self.nothing_left(h)
        self.assertEqual(h.cli_json('dead', 'list'), [])

    def test_dead_letters_are_kept_no_longer_than_messages(self):
        h = self.start('--clock-rate', '600', retention={'messages': '1h', 'events': '1h'})
        letter = lambda text: h.redis('XADD', 'tidings:ingest', '*', 'message', text)
        reasons = lambda: [d['reason'] for d in h.cli_json('dead', 'list')]
        letter('{"recipient":"x","template":"nope"}')
        h.until(lambda: 'template' in str(reasons()), 5, reasons)
        h.until(lambda: letter('not json') and 'template' not in str(reasons()), 15, reasons)  # a younger one may be what lets it go


if __name__ == '__main__':
    unittest.main()
