"""Nothing that one request, one person or one broken connection does is without a bound; agents hold only what is their own."""
import json, os, re, shutil, signal, socket, subprocess, threading, time, unittest, unittest.mock

import test_faults
from house import HANG, ROOT, SLOWNESS, FlowTest, person
from servers import RedisProxy


def later(n, who, **fields):
    """n messages of one person, not yet due."""
    one = {'template': 'order-update', 'category': 'onboarding', 'channels': ['in_app'], 'data': {'order': '1', 'parcels': 1}, 'delay': '1d',
           **fields}
    return '\n'.join(json.dumps({'recipient': person(who), **one}) for _ in range(n))


SLOW_NAMES = r"""#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!host || strcmp(host, "store.test") != 0) return real(host, service, hints, list);
    FILE *f = fopen("ASKED", "a");
    fputc('.', f);
    fclose(f);
    sleep(1);
    return real("127.0.0.1", service, hints, list);
}
"""  # a name server that takes its time over one name


class Bounds(FlowTest):
    external, redis_server = test_faults.Faults.external, test_faults.Faults.redis_server

    def proxied(self, **settings):
        h, path = self.external(**settings)
        proxy = RedisProxy(path)
        self.addCleanup(proxy.close)
        h.settings['redis']['url'] = 'redis://127.0.0.1:%d' % proxy.port
        h.write()
        return h, proxy

    def get(self, h, path, timeout=5):
        """Status and answer; nothing when none came in time."""
        try:
            with socket.create_connection(('127.0.0.1', h.port), timeout * SLOWNESS) as s:
                s.settimeout(timeout * SLOWNESS)
                s.sendall(('GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' % path).encode())
                data = b''
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    data += more
        except OSError:
            return None, None
        head, _, body = data.partition(b'\r\n\r\n')
        try:
            return int(head.split()[1]), json.loads(body)
        except (ValueError, IndexError):
            return int(head.split()[1]) if head else None, body

    def stat(self, h, name):
        found = re.search(name + r'\D+(\d+)', h.redis('info', 'everything'))
        self.assertTrue(found, 'the service has ended')
        return int(found.group(1))

    # -- requests

    def test_a_cursor_from_nowhere_is_answered_at_once_and_leaves_no_work_behind(self):
        h = self.start()
        h.settled(h.send(person(), channels=['in_app']))
        for cursor in ('0.2147483647', '0.99999999999999999999', '15.2147483647', '-1.-1', '16.0', 'x'):
            with self.subTest(cursor=cursor):
                self.assertIn(self.get(h, '/v1/messages?cursor=' + cursor)[0], (200, 400))
        self.quiet(h)

    def quiet(self, h):
        before, began = self.stat(h, 'total_commands_processed'), time.monotonic()
        time.sleep(1)
        self.assertLess((self.stat(h, 'total_commands_processed') - before) / (time.monotonic() - began), 5000, 'commands a second without a request')

    def test_a_client_that_left_stops_its_work(self):
        h = self.start()
        h.cli('enqueue', stdin=later(1500, 'one'))
        before, began = self.scripts(h), time.monotonic()
        for _ in range(15):
            with socket.create_connection(('127.0.0.1', h.port), 5) as s:
                s.sendall(b'GET /v1/messages?recipient=one&status=failed&limit=1 HTTP/1.1\r\nHost: x\r\n\r\n')
                time.sleep(0.02)
        time.sleep(2)
        self.assertLess(self.scripts(h) - before, 15 * 500 + 200 * (time.monotonic() - began))

    def scripts(self, h):
        return sum(int(n) for n in re.findall(r'cmdstat_(?:evalsha|eval|fcall|evalsha_ro|fcall_ro):calls=(\d+)', h.redis('info', 'commandstats')))

    def test_a_page_of_one_costs_a_bounded_number_of_scripts_and_the_pages_are_complete(self):
        h = self.start()
        ids = [json.loads(line)['id'] for line in h.cli('enqueue', stdin=later(1000, 'one')).splitlines()]
        h.cli('cancel', ids[734])
        for query in ('recipient=one&limit=1', 'recipient=one&status=failed&limit=1', 'status=cancelled&limit=1', 'limit=1'):
            with self.subTest(query=query):
                before, began = self.scripts(h), time.monotonic()
                self.assertEqual(self.get(h, '/v1/messages?' + query)[0], 200)
                idle = 200 * (time.monotonic() - began)  # the worker's own
                self.assertLess(self.scripts(h) - before, 500 + idle)
        found, cursor, pages = [], '', 0
        while cursor is not None and pages < 3000:
            status, page = self.get(h, '/v1/messages?recipient=one&status=cancelled&limit=1' + cursor)
            self.assertEqual(status, 200)
            found += [m['id'] for m in page['messages']]
            cursor, pages = None if page['cursor'] is None else '&cursor=' + str(page['cursor']), pages + 1
        self.assertEqual(found, [ids[734]])

    def test_no_command_holds_redis_while_thousands_of_one_person_end(self):
        h = self.start()
        for who in ('one', 'two', 'three'):
            h.cli('enqueue', stdin=later(1000, who))
        h.redis('config', 'set', 'slowlog-log-slower-than', '40000')
        withdrawal = {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'}
        receipt = {}
        for name, end in (('withdraw', lambda: receipt.update(h.http('POST', '/v1/recipients/one/consents', withdrawal)[1])),
                          ('cancel', lambda: receipt.update(n=h.cli_json('cancel', '--recipient', 'two'))),
                          ('erase', lambda: receipt.update(e=h.http('DELETE', '/v1/recipients/three')[1]))):
            with self.subTest(name=name):
                h.redis('slowlog', 'reset')
                end()
                self.assertEqual(h.redis('slowlog', 'len'), '0', h.redis('slowlog', 'get', '1')[:80])
        self.assertEqual((len(set(receipt['cancelled'])), len(set(receipt['n']['cancelled'])), receipt['e']['messages']), (1000, 1000, 1000))
        h.until(lambda: h.cli_json('queue')['channels']['in_app']['waiting'] == 0)

    def test_what_a_receipt_in_the_middle_of_a_burst_calls_cancelled_is_never_sent(self):
        h = self.start()
        out = h.cli('enqueue', stdin=later(800, 'one', template='welcome', channels=['email'], data={'name': 'A', 'count': 1}, delay='3s'))
        ids = {json.loads(line)['id'] for line in out.splitlines()}
        h.until(lambda: len(h.smtp.accepted) >= 50)
        receipt = h.http('POST', '/v1/recipients/one/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})[1]
        h.until(lambda: all(not any(q[k] for k in ('waiting', 'due', 'in_flight')) for q in h.cli_json('queue')['channels'].values()), 30)
        sent = {m.parse()['Message-ID'].strip('<>').split('-e@')[0] for m in h.smtp.received}
        self.assertEqual(sent & set(receipt['cancelled']), set())
        self.assertEqual(ids - sent - set(receipt['cancelled']) - set(receipt['in_flight']), set())

    # -- streams

    def token(self, h, who):
        return h.http('POST', '/v1/recipients/%s/inbox-token' % who, {})[1]['token']

    def stream(self, h, token):
        """A connection that asked for the inbox stream; its status is read later."""
        s = socket.create_connection(('127.0.0.1', h.port), 10)
        self.addCleanup(s.close)
        s.sendall(('GET /v1/inbox/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n' % token).encode())
        return s

    def status(self, s):
        s.settimeout(5 * SLOWNESS)
        try:
            return int(s.recv(4096).split()[1])
        except (OSError, IndexError):
            return None

    def ended(self, s):
        """Everything that came, when the service has ended the stream; None while it is open."""
        s.settimeout(0.3)
        text = b''
        try:
            while True:
                data = s.recv(4096)
                if not data:
                    return text.decode()
                text += data
        except OSError:
            return None

    def test_a_person_has_six_streams_and_one_more_replaces_the_oldest(self):
        """E39, E42: slots are replaced, never refused."""
        h = self.start()
        mine, other = self.token(h, 'a'), self.token(h, 'b')
        streams = []
        for _ in range(40):
            streams.append(self.stream(h, mine))
            time.sleep(0.01)
        said = [self.ended(s) for s in streams]
        self.assertEqual([text is None for text in said], [False] * 34 + [True] * 6)
        self.assertTrue(all('event: bye' in text and '"reason":"replaced"' in text for text in said[:34]), said[:3])
        self.assertEqual(self.status(self.stream(h, other)), 200)
        self.assertEqual(self.get(h, '/healthz')[0], 200)

    def test_a_process_has_so_many_streams_as_the_setting_says(self):
        h = self.house()
        h.settings['http']['max_streams'] = 3
        h.write()
        h.start()
        said = [self.status(self.stream(h, self.token(h, 'p%d' % i))) for i in range(5)]
        self.assertEqual(said[:3], [200] * 3)
        self.assertTrue(set(said[3:]) <= {429, 503}, said)
        self.assertEqual(self.get(h, '/healthz')[0], 200)

    def test_health_and_intake_answer_beside_two_thousand_streams(self):
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 5000:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
        h = self.start()
        said = []
        for i in range(370):
            token = self.token(h, 'p%d' % i)
            streams = [self.stream(h, token) for _ in range(6)]
            said += [self.status(s) for s in streams]
            if None in said or self.get(h, '/healthz')[0] != 200:
                self.fail('no answer beside %d streams' % len(said))
        self.assertEqual(set(said), {200})
        self.assertEqual(self.get(h, '/readyz')[0], 200)
        self.assertEqual(h.settled(h.send(person('p1'), channels=['in_app']))['status'], 'sent')

    def test_health_answers_beside_thousands_of_connections_that_say_nothing(self):
        h = self.start()
        for _ in range(2500):
            s = socket.create_connection(('127.0.0.1', h.port), 10)
            self.addCleanup(s.close)
        self.assertEqual(self.get(h, '/healthz')[0], 200)

    # -- what is remembered

    def remembered(self, h, who):
        return h.redis('--scan', '--pattern', 'tidings:*:h:' + who)

    def test_a_send_that_no_rule_counts_is_not_remembered(self):
        h = self.start()
        for who in ('a', 'b'):
            id = h.send(person(who))
            h.settled(id)
        self.assertEqual((self.remembered(h, 'a'), self.remembered(h, 'b')), ('', ''))
        receipt = h.http('POST', '/v1/recipients/a/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})[1]
        self.assertTrue(receipt['last_sent'])

    def test_only_what_a_rule_counts_is_remembered(self):
        rules = [{'name': 'sms', 'channels': ['sms'], 'kinds': ['service'], 'max': 1, 'per': '7d', 'over': 'drop'},
                 {'name': 'mkt', 'kinds': ['marketing'], 'max': 1, 'per': '7d', 'over': 'drop'}]
        h = self.start(caps=rules)
        h.settled(h.send(person('a'), channels=['email']))
        self.assertEqual(self.remembered(h, 'a'), '')
        for end in ('sent', 'suppressed'):
            self.assertEqual(h.settled(h.send(person('b'), 'order-update', category='onboarding', channels=['sms']))['status'], end)
        self.assertRegex(self.remembered(h, 'b'), r'^tidings:\{\d+\}:h:b$')

    # -- hand-over between workers and Redis

    def deploy(self, slow, script=None):
        """40 mails, a worker that is stopped among them, and the next one: all out long before a lease of 30 s ends."""
        h, _ = self.external(worker={'lease': '30s', 'drain_timeout': '2s'})
        provider = h.settings['email']['providers'][0]
        provider.update(slow)
        h.write()
        h.smtp.script = script
        first = h.start()
        ids = [h.send(person('d%d' % i), channels=['email']) for i in range(40)]
        h.until(lambda: script or len(h.smtp.received) >= 2)
        h.until(lambda: h.cli_json('queue')['in_flight'], 5)
        self.assertEqual(h.stop(first), 0)
        self.assertLess(len(h.smtp.received), 40)
        left = h.cli_json('queue')['in_flight']
        h.smtp.script = None
        provider.pop('rate', None)
        h.write()
        began = time.monotonic()
        h.start()
        while time.monotonic() - began < 12 and len(h.smtp.received) < 40:
            time.sleep(0.05)
        self.assertEqual((len(h.smtp.received), left), (40, 0), 'sent %.0f s after the deploy, and what had a lease' % (time.monotonic() - began))
        self.assertEqual({h.settled(id)['status'] for id in ids}, {'sent'})
        self.assertEqual(len({m.recipient for m in h.smtp.received}), 40)

    def test_what_a_stopped_worker_had_not_begun_goes_out_at_once_from_the_next(self):
        self.deploy({'connections': 1}, lambda verb, arg, s: (time.sleep(0.3), None)[1] if verb == 'RCPT' else None)

    def test_what_waited_for_its_rate_in_a_stopped_worker_goes_out_at_once_from_the_next(self):
        self.deploy({'rate': '2/s'})

    def test_what_a_relay_kept_hanging_before_the_dot_in_a_stopped_worker_goes_out_at_once_from_the_next(self):
        self.deploy({'connections': 1}, lambda verb, arg, s: HANG if verb == 'RCPT' else None)

    def test_a_settlement_whose_answer_was_lost_counts_one_attempt(self):
        h, proxy = self.proxied(retry={'first': '2s', 'max': '2s'})
        h.start()
        lost = []

        def script(verb, arg, session):
            if verb == 'RCPT' and not lost:
                lost.append(1)
                proxy.mute = True
                return '450 4.2.1 mailbox busy'
        h.smtp.script = script
        id = h.send(person(), channels=['email'])
        h.until(lambda: lost)
        time.sleep(0.4)
        proxy.cut()
        proxy.mute = False
        h.until(h.ready)
        h.until(lambda: h.message(id)['status'] == 'sent', 25, lambda: h.message(id))
        self.assertEqual(h.delivery(id)['attempts'], 2, h.message(id)['trace'])
        self.assertEqual(len([t for t in h.gate(id, 'outcome') if t['verdict'] != 'sent']), 1, h.message(id)['trace'])

    def test_an_answer_to_TIME_that_comes_late_does_not_set_service_time_back(self):
        h, proxy = self.proxied()
        h.start()
        proxy.late_time = 2
        h.until(lambda: proxy.times, 20, 'Redis is asked for its time')
        time.sleep(2)
        proxy.late_time = 0
        worst, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            before = time.time()
            answer = h.http('POST', '/v1/messages', {'recipient': person(), 'template': 'order-update', 'data': {'order': '1', 'parcels': 1},
                                                     'delay': '1h'})[1]
            if 'send_at' in answer:
                worst = max(worst, before + 3600 - self.seconds(answer['send_at']))
            time.sleep(0.02)
        self.assertLess(worst, 0.3)

    def seconds(self, at):
        import datetime
        return datetime.datetime.fromisoformat(at.replace('Z', '+00:00')).timestamp()

    # -- subscribers

    def fast(self, h, n):
        """Whether n messages, one after the other, each go out long before a worker looks by itself."""
        for _ in range(n):
            began = time.monotonic()
            id = h.send(person('w'), 'order-update', channels=['in_app'])
            h.until(lambda: h.message(id)['status'] == 'sent')
            if time.monotonic() - began > 1.5:
                return False
        return True

    def apart(self, h):
        """The door and the worker in two processes: one can wake the other through Redis alone."""
        h.start('--role', 'worker', wait=False)
        h.until(lambda: 'service.started' in h.log())
        h.start('--role', 'api')
        self.assertTrue(self.fast(h, 1) or self.fast(h, 3))

    def watch(self, h):
        """What comes over the inbox stream of w, growing."""
        s, seen = self.stream(h, self.token(h, 'w')), []

        def read():
            try:
                while True:
                    data = s.recv(4096)
                    if not data:
                        return
                    seen.append(data.decode())
            except OSError:
                pass
        s.settimeout(None)
        threading.Thread(target=read, daemon=True).start()
        h.until(lambda: 'unread' in ''.join(seen), what='the stream tells the counts')
        return seen

    def unread(self, h):
        return '"unread":%d' % h.http('GET', '/v1/inbox', headers={'Authorization': 'Bearer ' + self.token(h, 'w')})[1]['unread']

    def test_subscribers_whose_connection_is_killed_come_back(self):
        h, _ = self.external()
        self.apart(h)
        seen = self.watch(h)
        for _ in range(3):
            h.redis('client', 'kill', 'type', 'pubsub')
            time.sleep(0.3)
        h.until(lambda: self.fast(h, 3), 20, 'wake-ups work again')
        count = self.unread(h)
        h.until(lambda: count in ''.join(seen), 10, lambda: (count, seen[-3:]))

    def test_subscribers_whose_connection_died_in_silence_are_found_out_and_caught_up(self):
        h, proxy = self.proxied()
        self.apart(h)
        seen = self.watch(h)
        self.assertGreater(proxy.kill_subscribers_silently(), 0)
        began = time.monotonic()
        h.send(person('w'), 'order-update', channels=['in_app'])
        while time.monotonic() - began < 22 and not self.fast(h, 3):
            pass
        self.assertTrue(self.fast(h, 3), 'wake-ups after %.0f s' % (time.monotonic() - began))
        count = self.unread(h)
        h.until(lambda: count in ''.join(seen), 5, lambda: (count, seen[-3:]))

    # -- the loop

    def answers_within(self, h, until, seconds=20):
        """How often health answers, one request after the other, until something is so; each waits while the loop does."""
        end, n = time.monotonic() + seconds * SLOWNESS, 0
        while time.monotonic() < end and not until():
            self.assertEqual(self.get(h, '/healthz', 20)[0], 200)
            n += 1
        self.assertTrue(until(), h.log()[-2000:])
        return n

    def test_health_answers_while_a_name_server_takes_its_time(self):
        h, path = self.external()
        proxy = RedisProxy(path)
        self.addCleanup(lambda: proxy.close())
        library, asked = os.path.join(h.dir, 'slow.so'), os.path.join(h.dir, 'asked')
        subprocess.run(['cc', '-D_GNU_SOURCE', '-shared', '-fPIC', '-x', 'c', '-', '-o', library], check=True, input=SLOW_NAMES.replace('ASKED', asked).encode())
        h.settings['redis']['url'] = 'redis://store.test:%d' % proxy.port
        h.write()
        with unittest.mock.patch.dict(os.environ, {'LD_PRELOAD': library, 'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'}):
            h.start()
        proxy.close()  # from here on each attempt asks for the name, which takes a second
        asks = lambda: os.path.getsize(asked) if os.path.exists(asked) else 0
        before = asks()
        h.until(lambda: asks() > before, what='the name is asked for again')
        before = asks()
        self.assertGreater(self.answers_within(h, lambda: asks() > before + 1), 20)  # two, did the loop wait for each

    def test_health_answers_while_the_private_redis_is_started_again(self):
        h = self.house()
        slow = os.path.join(h.dir, 'redis-server')
        with open(slow, 'w') as f:
            f.write('#!/bin/sh\n[ -e %s.now ] && sleep 2\nexec %s "$@"\n' % (slow, shutil.which('redis-server')))
        os.chmod(slow, 0o755)
        with unittest.mock.patch.dict(os.environ, {'PATH': h.dir + ':' + os.environ['PATH']}):
            h.start()
        h.settled(h.send(person('before'), channels=['in_app']))
        open(slow + '.now', 'w').close()
        [redis] = [pid for pid, name in self.family(h.processes[0].pid).items() if name == 'redis-server']
        os.kill(redis, signal.SIGKILL)
        self.assertGreater(self.answers_within(h, lambda: '"action":"started again"' in h.log() and h.ready()), 30)
        self.assertEqual(h.settled(h.send('before', channels=['in_app']))['status'], 'sent')

    def test_health_answers_at_once_while_many_templates_are_loaded_again(self):
        h = self.house()
        h.settings['templates'] = os.path.join(h.dir, 'templates')
        shutil.copytree(os.path.join(ROOT, 'templates'), h.settings['templates'])
        for i in range(40):
            shutil.copytree(os.path.join(ROOT, 'templates', 'order-update'), os.path.join(h.settings['templates'], 'order-%d' % i))
        h.write()
        p, answered = h.start(), 0
        done = '"event":"reload.done","what":"templates"'
        p.send_signal(signal.SIGHUP)
        while done not in h.log() and answered < 5000:
            self.assertEqual(self.get(h, '/healthz', 20)[0], 200)
            answered += 1
        self.assertGreater(answered, 5)  # between any two templates; two, were they loaded in one go

    # -- agents

    def family(self, pid):
        """Every process below, and what it is."""
        parents = {}
        for name in os.listdir('/proc'):
            if name.isdigit():
                try:
                    with open('/proc/%s/stat' % name) as f:
                        text = f.read()
                    parents[int(name)] = int(text.rpartition(')')[2].split()[1]), text[text.index('(') + 1:text.rindex(')')]
                except OSError:
                    pass
        below = {pid}
        while True:
            more = {p for p, (parent, _) in parents.items() if parent in below} - below
            if not more:
                return {p: parents[p][1] for p in below - {pid}}
            below |= more

    def sockets(self, pid):
        """Each once, however many descriptors it has."""
        found = set()
        for fd in os.listdir('/proc/%d/fd' % pid):
            try:
                target = os.readlink('/proc/%d/fd/%s' % (pid, fd))
            except OSError:
                continue
            found |= {target} if target.startswith('socket:') else set()
        return found

    def test_a_mail_agent_holds_no_secret_of_the_environment_and_no_socket_but_its_own(self):
        os.environ['TIDINGS_TEST_KEY'] = 'top-secret-key-of-a-gateway'
        self.addCleanup(os.environ.pop, 'TIDINGS_TEST_KEY')
        h = self.house()
        h.settings['http']['secret'] = '${TIDINGS_TEST_KEY}'
        h.write()
        p = h.start()
        watcher = self.stream(h, self.token(h, 'w'))  # somebody else's connection
        self.assertEqual(self.status(watcher), 200)
        h.settled(h.send(person('s'), 'order-update', channels=['sms']))
        h.smtp.script = lambda verb, arg, s: HANG if verb == 'RCPT' else None
        for n in range(4):
            h.send(person('m%d' % n), channels=['email'])
        h.until(lambda: sum(line.startswith('RCPT') for line in h.smtp.log) >= 2)
        agents = [pid for pid, name in self.family(p.pid).items() if not name.startswith('redis')]
        self.assertTrue(agents)
        owned = {pid: self.sockets(pid) for pid in [p.pid, *agents]}
        for pid in agents:
            for part in ('environ', 'cmdline'):
                with self.subTest(agent=pid, part=part), open('/proc/%d/%s' % (pid, part), 'rb') as f:
                    self.assertFalse(b'top-secret' in f.read(), 'holds the secret')  # and the rest of it is nobody's business
            with self.subTest(agent=pid, part='sockets'):
                others = {s for other, theirs in owned.items() if other != pid for s in theirs}
                self.assertEqual(owned[pid] & others, set(), 'sockets that another process holds too')
                self.assertLessEqual(len(owned[pid]), 1 + 4)  # its provider's, and one for each mail that hangs
        h.smtp.script = None
        h.smtp.stopping.set()  # the hanging ones go on


if __name__ == '__main__':
    unittest.main()
