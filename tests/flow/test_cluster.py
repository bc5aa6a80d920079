"""More than one Redis: a real cluster of three masters and three replicas, whose slots move and whose masters die; sentinels; TLS.

TIDINGS_CLUSTER says how many messages are sent while it happens (default 3,000; 100,000 is the large run).
"""
import collections, json, os, random, re, subprocess, tempfile, threading, time, unittest

from cluster import Cluster
from house import SLOWNESS, FlowTest, Gateway, SmtpServer, free_port, person
from test_outcomes import certificate

MESSAGES = int(os.environ.get('TIDINGS_CLUSTER', '3000'))
CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}}
CAP = 7


class ClusterTest(FlowTest):
    def cluster(self, **options):
        c = Cluster(**options)
        self.addCleanup(c.close)
        return c

    def on(self, cluster, *options, **settings):
        h = self.house(**{'redis': {'url': cluster.url}, **settings})
        h.start(*options)
        return h


class Clusters(ClusterTest):
    def test_the_main_job_runs_on_a_cluster_found_from_a_list_or_from_one_plain_address(self):
        c = self.cluster()
        for url in (c.url, 'redis://127.0.0.1:%d' % c.ports[1], 'redis://127.0.0.1:%d' % c.ports[5]):
            with self.subTest(url):
                h = self.on(c, redis={'url': url, 'prefix': 'p%d' % random.randrange(10 ** 6)})
                ids = [h.send(person('u%d' % i), 'order-update', channels=['email', 'sms', 'in_app']) for i in range(30)]
                for id in ids:
                    self.assertEqual(h.settled(id)['status'], 'sent')
                self.assertEqual({id[:2] for id in ids} > {ids[0][:2]}, True)  # they lie in several partitions
                page = h.http('GET', '/v1/messages?limit=500')[1]
                while page['cursor']:
                    more = h.http('GET', '/v1/messages?limit=500&cursor=' + page['cursor'])[1]
                    page = {'messages': page['messages'] + more['messages'], 'cursor': more['cursor']}
                self.assertEqual(sorted(m['id'] for m in page['messages']), sorted(ids))
                h.until(lambda: [w['providers'][0]['sent'] for w in h.cli_json('queue')['workers']] == [30], what='the worker says what it has sent')
                prefix = h.settings['redis']['prefix']
                c.call(prefix + ':ingest', 'xadd', prefix + ':ingest', '*', 'message', json.dumps(
                    {'recipient': person('stream'), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'S', 'count': 1}}))
                h.until(lambda: h.http('GET', '/v1/messages?recipient=stream')[1]['messages'], what='taken from the stream')
                h.stop()

    def test_every_key_of_a_partition_carries_its_tag(self):
        c = self.cluster()
        h = self.on(c, caps=[{'name': 'firm', 'scope': 'account', 'max': 5, 'per': '7d', 'over': 'drop'}], categories=CATEGORIES)
        smtp_no = h.smtp
        smtp_no.script = lambda verb, arg, session: '550 5.1.1 no' if verb == 'RCPT' and 'gone' in arg else None
        for who in ('a', 'b', 'gone'):
            h.settled(h.send(person(who, account='acme'), 'order-update', category='onboarding', channels=['email', 'sms', 'in_app'], idempotency_key='k' + who))
        h.http('POST', '/v1/recipients/a/consents', {'category': 'onboarding', 'state': 'withdrawn'})
        h.send(person('c'), channels=['email'], category='account', delay='1h')
        untagged = {'tidings:wake', 'tidings:rules', 'tidings:ingest', 'tidings:dead', 'tidings:worker', 'tidings:workers', 'tidings:zones'}
        loose = [k for k in c.keys() if not re.match(r'tidings:\{\d+\}:', k) and k not in untagged]
        self.assertEqual(loose, [])
        self.assertGreater(len({re.match(r'tidings:\{(\d+)\}:', k).group(1) for k in c.keys() if '{' in k}), 3)

    # ------------------------------------------------------------ while something happens

    def crowd(self, h, count):
        """Messages for people with a cap, in one file, due in a moment."""
        people = max(count // 20, 10)
        lines = [json.dumps({'recipient': person('p%d' % (i % people)), 'template': 'order-update', 'category': 'onboarding', 'channels': ['sms'],
                             'data': {'order': 'N%d.' % i, 'parcels': 1}, 'delay': '2s'}) for i in range(count)]
        ids = []
        for i in range(0, len(lines), 500):
            status, answer = h.http('POST', '/v1/messages', raw='\n'.join(lines[i:i + 500]).encode(), type='application/x-ndjson')
            self.assertEqual(status, 200)
            rows = [json.loads(l) for l in answer.splitlines()]
            self.assertTrue(all('id' in r for r in rows), rows[:3])
            ids += [r['id'] for r in rows]
        return people, ids

    def check(self, h, people, ids, timeout=180):
        """Each message has ended, none is lost, none was sent twice, and of each person as many were sent as the cap allows."""
        end = time.monotonic() + timeout * SLOWNESS
        states, left = {}, set(ids)
        while left and time.monotonic() < end:
            for id in list(left):
                status, m = h.http('GET', '/v1/messages/' + id)
                if status == 200 and m['status'] not in ('scheduled', 'sending'):
                    states[id] = m
                    left.discard(id)
                elif status != 503:
                    time.sleep(0.02)
                    self.assertNotEqual(status, 404, 'lost: ' + id)
        self.assertFalse(left, '%d have not ended, as %s\n%s' % (len(left), h.http('GET', '/v1/messages/' + next(iter(left or ['']))), h.log()[-3000:]))
        copies = collections.Counter(r['json']['text'] for r in h.gateway.requests)
        self.assertEqual([t for t, n in copies.items() if n > 1], [])
        sent = collections.Counter(m['recipient'] for m in states.values() if m['status'] in ('sent', 'unknown'))
        self.assertEqual(sum(m['status'] == 'sent' for m in states.values()) + sum(m['status'] == 'unknown' for m in states.values()), sum(sent.values()))
        self.assertEqual({n for n in sent.values()}, {CAP})
        self.assertEqual(len(sent), people)
        self.assertLessEqual(sum(copies.values()), people * CAP)
        unknown = sum(m['status'] == 'unknown' for m in states.values())
        self.assertGreaterEqual(sum(copies.values()), people * CAP - unknown)
        self.assertEqual({m['status'] for m in states.values()} - {'sent', 'unknown', 'suppressed'}, set())
        return unknown

    def crew(self, c):
        h = self.house(redis={'url': c.url}, categories=CATEGORIES, caps=[{'name': 'few', 'max': CAP, 'per': '7d', 'over': 'drop'}], worker={'lease': '3s'},
                       gateway=Gateway(script=lambda request, handler: time.sleep(0.002)))
        h.start('--role', 'api')
        return h

    def test_nothing_is_lost_or_doubled_and_no_cap_exceeded_while_slots_move(self):
        c = self.cluster()
        h = self.crew(c)
        people, ids = self.crowd(h, MESSAGES)
        workers = [h.start('--role', 'worker', wait=False) for _ in range(2)]
        stop, moved, draw = threading.Event(), [0], random.Random(1)

        def move():
            while not stop.is_set():
                c.move(c.slot('{%d}' % draw.randrange(16)), draw.choice(list(c.masters())))
                moved[0] += 1
        mover = threading.Thread(target=move)
        mover.start()
        try:
            h.until(lambda: moved[0] >= 12 and len(h.gateway.requests) >= people * CAP, 60 + MESSAGES / 100, lambda: '%d slots have moved, %d texts are sent' % (moved[0], len(h.gateway.requests)))
        finally:
            stop.set()
            mover.join()
        unknown = self.check(h, people, ids)
        self.assertEqual(unknown, 0)
        print('%d messages, %d moves of slots' % (len(ids), moved[0]))

    def test_nothing_is_lost_or_doubled_and_no_cap_exceeded_when_a_master_is_killed(self):
        c = self.cluster()
        h = self.crew(c)
        people, ids = self.crowd(h, MESSAGES)
        [h.start('--role', 'worker', wait=False) for _ in range(2)]
        h.until(lambda: len(h.gateway.requests) > people, 60, 'messages flow')
        victim = c.owner(c.slot('{3}'))
        [heir] = c.replicas_of(victim)
        c.kill(victim)
        began = time.monotonic()
        h.until(lambda: heir in c.masters(), 30, 'the replica has taken over')
        took = time.monotonic() - began
        h.until(lambda: h.http('GET', '/readyz')[1] == 'ready\n', 20, lambda: h.http('GET', '/readyz'))
        unknown = self.check(h, people, ids)
        c.again(victim)
        h.until(lambda: victim in c.replicas_of(heir), 30, 'it is back as a replica')
        self.assertEqual(h.settled(h.send(person('later'), channels=['in_app']))['status'], 'sent')
        print('%d messages, failover in %.1f s, %d unknown' % (len(ids), took, unknown))

    def test_the_partitions_of_a_lost_master_wait_and_the_others_go_on(self):
        """A mail also waits while nobody can say whether its address is suppressed."""
        c = self.cluster()
        h = self.on(c, worker={'lease': '2s'})
        victim = c.owner(c.slot('{3}'))
        cards, mails = collections.defaultdict(list), []
        for i in range(40):
            id = h.send(person('w%d' % i), channels=['in_app'], delay='4s')
            cards[c.owner(c.slot('{%d}' % self.partition(id))) == victim].append(id)
            mails.append(h.send(person('w%d' % i), channels=['email'], delay='4s'))
        for replica in c.replicas_of(victim):
            c.kill(replica)
        c.kill(victim)
        for id in cards[False]:
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        status, text = h.http('GET', '/readyz')
        self.assertEqual((status, text.split('\n')[0]), (200, 'ready in part'))
        away = int(re.search(r'(\d+) of 16 partitions wait', text).group(1))
        self.assertIn('tidings_partitions_away %d' % away, h.http('GET', '/metrics')[1])
        self.assertEqual(h.http('GET', '/v1/messages/' + cards[True][0])[0], 503)
        c.again(victim)
        for id in cards[True] + mails:
            h.until(lambda: h.http('GET', '/v1/messages/' + id)[0] == 200, 30, 'its server is back')
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        h.until(lambda: h.http('GET', '/readyz') == (200, 'ready\n'), 30, 'all is well again')
        self.assertEqual(sorted(m.recipient for m in h.smtp.received), sorted('w%d@example.com' % i for i in range(40)))

    @staticmethod
    def partition(id):
        letters = '0123456789abcdefghjkmnpqrstvwxyz'
        return letters.index(id[0]) * 32 + letters.index(id[1])


class Servers(ClusterTest):
    def server(self, port, *options):
        """A redis-server of the test's own, at a port; with AOF unless it is a sentinel."""
        home = tempfile.mkdtemp(prefix='tidings-redis-')
        p = subprocess.Popen(['redis-server', *options, '--dir', home], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (p.kill(), p.wait()))
        return p

    def answers(self, port, *words):
        return subprocess.run(['redis-cli', '-p', str(port), *words], capture_output=True).stdout.decode().strip()


class Tls(Servers):
    def test_tls_is_checked_and_a_user_of_the_acl_is_enough(self):
        context, cert = certificate('localhost')
        other = certificate('localhost')[1]
        port = free_port()
        self.server(port, '--port', '0', '--tls-port', str(port), '--tls-cert-file', cert, '--tls-key-file', os.path.join(os.path.dirname(cert), 'key.pem'),
                    '--tls-ca-cert-file', cert, '--tls-auth-clients', 'no', '--appendonly', 'yes', '--save', '', '--user', *'default off'.split(),
                    '--user', *'clerk on >p@ss ~tidings:* &tidings:* +@all -config -keys -flushall'.split())
        good = {'url': 'rediss://clerk:p%%40ss@localhost:%d' % port, 'tls': {'ca_file': cert}}
        h = self.house(redis=good)
        h.until(lambda: ' version ' in h.cli('check', status=None), what='the server is up')
        h.start()
        self.assertEqual(h.settled(h.send(person('t'), 'order-update', channels=['email', 'sms', 'in_app']))['status'], 'sent')
        for redis, said in (({**good, 'tls': {'ca_file': other}}, 'self-signed certificate'), ({**good, 'url': good['url'].replace('localhost', '127.0.0.1')}, 'IP address mismatch'),
                            ({**good, 'url': good['url'].replace('p%40ss', 'wrong')}, 'WRONGPASS'), ({'url': good['url'], 'tls': {'ca_file': '/nowhere.pem'}}, 'redis.tls.ca_file: /nowhere.pem cannot be used'),
                            ({'url': good['url'].replace('rediss', 'redis')}, 'Redis does not answer'),
                            ({**good, 'url': good['url'].replace('rediss', 'rediss-cluster')}, 'no node of a cluster; write redis:// for it')):
            with self.subTest(said):
                h.settings['redis'] = redis
                h.write()
                self.assertIn(said, h.cli('check', status=1))

    def test_the_cluster_may_speak_tls(self):
        context, cert = certificate('127.0.0.1')
        key = os.path.join(os.path.dirname(cert), 'key.pem')
        c = self.cluster(extra='tls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\ntls-auth-clients no\ntls-replication yes\ntls-cluster yes\n' % (cert, key, cert),
                         tls=True, cli=['--tls', '--cacert', cert])
        h = self.on(c, redis={'url': c.url.replace('redis-cluster', 'rediss-cluster'), 'tls': {'ca_file': cert}})
        for i in range(20):
            self.assertEqual(h.settled(h.send(person('u%d' % i), channels=['in_app']))['status'], 'sent')


class Sentinels(Servers):
    def trio(self):
        """A master, its replica and three sentinels: their ports, and the processes of the first two."""
        one, two, ports = free_port(), free_port(), [free_port() for _ in range(3)]
        plain = ['--appendonly', 'yes', '--save', '', '--repl-diskless-sync-delay', '0']
        servers = [self.server(one, '--port', str(one), *plain), self.server(two, '--port', str(two), '--replicaof', '127.0.0.1 %d' % one, *plain)]
        for port in ports:
            conf = tempfile.mkdtemp(prefix='tidings-sentinel-') + '/sentinel.conf'
            with open(conf, 'w') as out:
                out.write('port %d\nsentinel monitor mymaster 127.0.0.1 %d 2\nsentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n' % (port, one))
            self.server(port, conf, '--sentinel')
        url = 'redis-sentinel://%s/mymaster' % ','.join('127.0.0.1:%d' % p for p in ports)
        h = self.house(redis={'url': url}, worker={'lease': '2s'})
        h.until(lambda: 'master_link_status:up' in self.answers(two, 'info', 'replication'), what='the replica follows')
        h.until(lambda: all('slaves=1,sentinels=3' in self.answers(p, 'info', 'sentinel') for p in ports), 30, 'the sentinels know each other')
        return h, (one, two), servers

    def accepted_while(self, h, act):
        """Sends one message after the other while act() runs, each until it is accepted; their ids."""
        ids, over = [], threading.Event()

        def go():
            while not over.is_set():
                status, answer = h.http('POST', '/v1/messages', {'recipient': person('s%d' % len(ids)), 'template': 'order-update', 'channels': ['sms'],
                                                                 'idempotency_key': 'S%d' % len(ids), 'data': {'order': 'S%d.' % len(ids), 'parcels': 1}})
                if status == 202:
                    ids.append(answer['id'])
                else:
                    time.sleep(0.02)
        sender = threading.Thread(target=go)
        sender.start()
        try:
            act(ids)
        finally:
            over.set()
            sender.join()
        return ids

    def all_sent(self, h, ids):
        for id in ids:
            h.until(lambda: h.http('GET', '/v1/messages/' + id)[0] != 503, what='Redis answers')
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        copies = collections.Counter(r['json']['text'] for r in h.gateway.requests)
        self.assertEqual([t for t, n in copies.items() if n > 1], [])
        self.assertGreaterEqual(len(copies), len(ids))

    def test_what_was_accepted_outlives_a_master_that_dies(self):
        h, (one, two), (master, replica) = self.trio()
        h.start()

        def act(ids):
            h.until(lambda: len(ids) > 50)
            master.kill()
            before = len(ids)
            h.until(lambda: len(ids) > before + 50, 60, 'it goes on with the other')
        self.all_sent(h, self.accepted_while(h, act))
        self.assertIn('role:master', self.answers(two, 'info', 'replication'))

    def test_a_master_that_comes_back_from_a_pause_is_not_believed(self):
        """It does not know that another has taken over, and would answer."""
        h, (one, two), (master, replica) = self.trio()
        h.start()

        def act(ids):
            h.until(lambda: len(ids) > 50)
            master.send_signal(19)
            h.until(lambda: 'role:master' in self.answers(two, 'info', 'replication'), 60, 'the other has taken over')
            master.send_signal(18)
            before = len(ids)
            h.until(lambda: len(ids) > before + 100, 60, 'it goes on with the other')
        self.all_sent(h, self.accepted_while(h, act))
        self.assertIn('"port":%d' % two, h.log())

    def test_sentinels_that_do_not_know_the_name_say_so(self):
        h, ports, servers = self.trio()
        h.settings['redis']['url'] = h.settings['redis']['url'].replace('mymaster', 'nobody')
        h.write()
        self.assertIn('the sentinels know no master called "nobody"', h.cli('check', status=1))


if __name__ == '__main__':
    unittest.main()
