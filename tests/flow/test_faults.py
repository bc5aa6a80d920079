"""Workers that die, freeze and race; a Redis that goes away: nothing is lost, nothing is said twice without need, no cap is exceeded."""
import collections, json, os, random, re, signal, subprocess, tempfile, time, unittest

import house, relays
from house import DROP, HANG, FlowTest, person


def lines(n, template='welcome', channels=('email',), recipients=None, **fields):
    data = {'welcome': {'name': 'A', 'count': 2}, 'order-update': {'order': '1', 'parcels': 1}, 'milestone': {'name': 'A', 'years': 1, 'since': '2024-01-01T00:00:00Z'}}[template]
    return '\n'.join(json.dumps({'recipient': person('p%d' % (i % (recipients or n))), 'template': template, 'channels': list(channels), 'data': data, **fields}) for i in range(n))


class Faults(FlowTest):
    def external(self, **settings):
        """A house on a Redis of its own that outlives every worker."""
        h = self.house(**settings)
        path = os.path.join(h.dir, 'r.sock')
        os.makedirs(os.path.join(h.dir, 'r'))
        self.redis_server(h, path)
        h.settings['redis'] = {'url': 'unix:' + path, 'partitions': 4}
        h.write()
        h.redis = lambda *w, **k: subprocess.run(['redis-cli', '-s', path, *w], capture_output=True).stdout.decode('utf-8', 'replace').rstrip('\n')
        h.redis_alive = lambda: False
        return h, path

    def redis_server(self, h, path):
        p = subprocess.Popen(['redis-server', '--port', '0', '--unixsocket', path, '--dir', os.path.join(h.dir, 'r'), '--appendonly', 'yes', '--save', ''],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait()))
        self.redis_processes = getattr(self, 'redis_processes', []) + [p]
        h.until(lambda: os.path.exists(path) and subprocess.run(['redis-cli', '-s', path, 'ping'], capture_output=True).stdout == b'PONG\n')
        return p

    def settled_queue(self, h, timeout=60):
        h.until(lambda: all(not any(q[k] for k in ('waiting', 'due', 'in_flight')) for q in h.cli_json('queue')['channels'].values()), timeout, lambda: h.cli_json('queue'))

    def test_workers_and_agents_that_die_while_a_quick_relay_takes_mails_lose_none_and_send_none_twice(self):
        """Mails are committed with their admission there; smtp-sink counts what arrives."""
        port, n = house.free_port(), 4000
        out = open(os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'sink'), 'wb')
        sink = relays.smtp_sink('-c', '-u', 'nobody', '127.0.0.1:%d' % port, '1024', stdout=out, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (sink.kill(), sink.wait(), out.close()))
        h, _ = self.external(worker={'lease': '1s'}, categories={'onboarding': {'kind': 'service', 'on_unknown': 'hold'}})
        h.settings['email']['providers'] = [{'name': 'sink', 'url': 'smtp://127.0.0.1:%d' % port, 'tls': 'none', 'connections': 4}]
        h.write()
        h.start('--role', 'api')
        h.cli('enqueue', '--quiet', stdin=lines(n, category='onboarding'))
        deaths = 0
        while deaths < 12:
            w = h.start('--role', 'worker', wait=False)
            time.sleep(0.7)
            if deaths % 3:
                agents = subprocess.run(['pgrep', '-P', str(w.pid), '-f', 'smtp-agent'], capture_output=True).stdout.split()
                for pid in agents:
                    os.kill(int(pid), signal.SIGKILL)
                time.sleep(0.3)
            h.stop(w, signal.SIGKILL)
            deaths += 1
        w = h.start('--role', 'worker', wait=False)
        self.settled_queue(h, 120)
        counts = collections.Counter()
        cursor = ''
        while cursor is not None:
            page = h.http('GET', '/v1/messages?limit=1000' + ('&cursor=' + cursor if cursor else ''))[1]
            counts.update(m['status'] for m in page['messages'])
            cursor = page['cursor']
        h.stop(w)
        with open(out.name) as f:
            arrived = int(re.findall(r'mesg=(\d+)', f.read())[-1])
        print('a quick relay: %s, %d arrived' % (dict(counts), arrived))
        self.assertEqual(set(counts) - {'sent', 'unknown'}, set(), counts)
        self.assertEqual(sum(counts.values()), n)
        self.assertLessEqual(counts['unknown'], 12 * 4 * 4)
        self.assertGreaterEqual(arrived, counts['sent'])
        self.assertLessEqual(arrived, n)

    def test_kill_9_twenty_times_loses_nothing_and_repeats_nothing_before_the_point_of_no_return(self):
        h, _ = self.external(worker={'lease': '1s'}, categories={'onboarding': {'kind': 'service', 'on_unknown': 'hold'}})
        h.smtp.slow_body = 0.0005
        ids = [json.loads(l)['id'] for l in h.cli('enqueue', stdin=lines(1500)).splitlines()]
        chance = random.Random(4711)
        for _ in range(20):
            p = h.start(wait=False)
            time.sleep(chance.uniform(0.25, 0.7))
            p.kill()
            p.wait()
            h.processes.remove(p)
        h.start()
        self.settled_queue(h)
        counts = collections.Counter(h.message(i)['status'] for i in ids)
        self.assertEqual(set(counts) - {'sent', 'unknown'}, set(), counts)
        copies = collections.Counter(m.parse()['Message-ID'] for m in h.smtp.received)
        self.assertEqual(max(copies.values()), 1)  # held: nothing is said twice
        for id in ids:
            if h.message(id)['status'] == 'sent':
                self.assertEqual(copies['<%s-e@example.com>' % id], 1)
        print('twenty kills: %s, %d copies' % (dict(counts), sum(copies.values())))

    def test_four_workers_share_the_work_and_no_cap_is_exceeded(self):
        caps = [{'name': 'daily', 'kinds': ['service'], 'max': 3, 'per': '1 calendar day', 'over': 'drop'}, {'name': 'week', 'kinds': ['service'], 'max': 4, 'per': '7d', 'over': 'drop'}]
        h, _ = self.external(caps=caps)
        h.cli('enqueue', stdin=lines(1000, channels=('in_app', 'email'), recipients=100))
        for i in range(4):
            h.start('--role', 'worker', wait=False)
        self.settled_queue(h)
        h.start('--role', 'api')
        per_person = collections.Counter()
        for person_id in ('p%d' % i for i in range(100)):
            timeline = h.http('GET', '/v1/messages?recipient=%s&limit=1000' % person_id)[1]['messages']
            per_person[person_id] = sum(d['status'] == 'sent' for m in timeline for d in m['deliveries'])
            self.assertTrue(all(d['reason'] == 'cap:daily' for m in timeline for d in m['deliveries'] if d['status'] == 'suppressed'))
        self.assertEqual(set(per_person.values()), {3})
        h.until(lambda: len(h.cli_json('queue')['workers']) == 4, what='each worker says its totals once a second')

    def test_ten_thousand_due_at_one_instant_all_go_out(self):
        h = self.start()
        due = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 15))
        out = h.cli('enqueue', stdin=lines(10000, 'order-update', ('in_app',), 1000, send_at=due))
        self.assertEqual(len(out.splitlines()), 10000)
        watch = subprocess.Popen([os.environ.get('TIDINGS', __import__('house').BINARY), 'queue', '--watch', '--json', '--config', h.config], stdout=subprocess.PIPE)
        self.settled_queue(h)
        self.assertIn('tidings_messages_total{channel="in_app",status="sent"} 10000', h.http('GET', '/metrics')[1])
        watch.kill()
        depths = [json.loads(l)['channels']['in_app']['waiting'] for l in watch.communicate()[0].decode().splitlines()]
        self.assertGreater(depths[0], depths[-1])

    def test_sigterm_drains_and_leaves_nothing_unknown(self):
        h = self.start()
        h.smtp.slow_body = 0.002
        ids = [h.send(person('d%d' % i), channels=['email']) for i in range(60)]
        h.until(lambda: len(h.smtp.received) > 5)
        p = h.processes[0]
        self.assertEqual(h.stop(p), 0)
        h.start()
        for id in ids:
            self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertEqual(len(h.smtp.received), 60)

    def test_killed_before_the_point_of_no_return_it_goes_out_once_within_seconds(self):
        h, _ = self.external(worker={'lease': '1s'})
        for verb in ('CONNECT', 'MAIL', 'RCPT', 'DATA'):
            with self.subTest(verb=verb):
                h.smtp.script = lambda v, arg, s: HANG if v == verb else None
                p = h.start()
                id = h.send(person('k' + verb.lower()), channels=['email'])
                h.until(lambda: h.delivery(id)['status'] == 'sending')
                time.sleep(0.3)
                p.kill()
                p.wait()
                h.processes.remove(p)
                h.smtp.script = None
                h.start()
                self.assertEqual(h.settled(id, 10)['status'], 'sent')
                h.stop()
        self.assertEqual(len(h.smtp.received), 4)

    def test_killed_after_the_dot_it_is_unknown_and_held_or_sent_again_with_the_same_id(self):
        h, _ = self.external(worker={'lease': '1s'}, categories={'held': {'kind': 'service'}, 'again': {'kind': 'transactional'}})
        for category, status, copies in (('held', 'unknown', 1), ('again', 'sent', 2)):
            with self.subTest(category=category):
                h.smtp.script = lambda v, arg, s: HANG if v == 'BODY' else None
                p = h.start()
                id = h.send(person(category), channels=['email'], category=category)
                h.until(lambda: [m for m in h.smtp.received if m.recipient.startswith(category)])
                p.kill()
                p.wait()
                h.processes.remove(p)
                h.smtp.script = None
                h.start()
                self.assertEqual(h.settled(id, 30)['status'], status)
                mine = [m.parse()['Message-ID'] for m in h.smtp.received if m.recipient.startswith(category)]
                self.assertEqual((len(mine), len(set(mine))), (copies, 1))
                h.stop()

    def test_a_worker_that_slept_through_its_lease_neither_commits_nor_settles(self):
        h, _ = self.external(worker={'lease': '1s'})
        slow = []
        h.smtp.script = lambda v, arg, s: (slow.append(1), time.sleep(3), None)[2] if v == 'RCPT' and not slow else None
        first = h.start('--role', 'worker', wait=False)
        h.until(lambda: 'service.started' in h.log())
        api = h.start('--role', 'api')
        id = h.send(person('z'), channels=['email'])
        h.until(lambda: slow)
        first.send_signal(signal.SIGSTOP)
        second = h.start('--role', 'worker', wait=False)
        self.assertEqual(h.settled(id, 15)['status'], 'sent')
        time.sleep(3)
        first.send_signal(signal.SIGCONT)
        time.sleep(1)
        self.assertEqual(len(h.smtp.received), 1)
        self.assertEqual(h.message(id)['status'], 'sent')

    def test_redis_gone_answers_503_and_what_was_sent_meanwhile_is_settled_from_the_journal(self):
        h, path = self.external()
        h.start()
        gate = []
        h.smtp.script = lambda v, arg, s: (gate.append(1), time.sleep(1.5), None)[2] if v == 'BODY' else None
        id = h.send(person('j'), channels=['email'])
        h.until(lambda: gate)
        subprocess.run(['redis-cli', '-s', path, 'shutdown'], capture_output=True)
        h.until(lambda: h.http('GET', '/readyz')[0] == 503)
        status, problem = h.http('POST', '/v1/messages', {'recipient': person(), 'template': 'welcome', 'data': {'name': 'A', 'count': 1}})
        self.assertEqual((status, h.headers['Retry-After'] is not None), (503, True))
        self.assertEqual(h.http('GET', '/healthz')[0], 200)
        time.sleep(2.5)
        self.redis_server(h, path)
        h.until(h.ready)
        self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertEqual(len(h.smtp.received), 1)
        self.assertEqual(h.settled(h.send(person('after'), channels=['email']))['status'], 'sent')

    def test_a_redis_that_refuses_writes_for_a_while_costs_no_result(self):
        h, path = self.external(worker={'lease': '1s'})
        h.start()
        gate = []
        h.smtp.script = lambda v, arg, s: (gate.append(1), time.sleep(1), '250 2.0.0 f\xfcr immer')[2] if v == 'BODY' else None  # and not in UTF-8
        id = h.send(person('oom'), channels=['email'])
        h.until(lambda: gate)
        h.redis('config', 'set', 'maxmemory', '1')
        time.sleep(3)
        self.assertEqual(h.http('GET', '/readyz')[0], 503)
        h.redis('config', 'set', 'maxmemory', '0')
        h.until(h.ready)
        self.assertEqual(h.settled(id)['status'], 'sent')
        time.sleep(2)
        self.assertEqual(len(h.smtp.received), 1)

    def test_a_redis_that_freezes_is_given_up_and_found_again(self):
        h, path = self.external()
        server = self.redis_processes[-1]
        h.start()
        h.settled(h.send(person('before'), channels=['email']))
        server.send_signal(signal.SIGSTOP)
        try:
            h.until(lambda: h.http('GET', '/readyz')[0] == 503, 20)
            self.assertEqual(h.http('GET', '/healthz')[0], 200)
        finally:
            server.send_signal(signal.SIGCONT)
        h.until(h.ready)
        self.assertEqual(h.settled(h.send(person('after'), channels=['email']))['status'], 'sent')

    def test_somebody_elses_data_in_a_key_is_an_error_and_no_end(self):
        h, path = self.external()
        h.start()
        h.http('PUT', '/v1/recipients/w', {'locale': 'de'})
        key = h.redis('--scan', '--pattern', '*:u:w')
        h.redis('set', key, 'x')
        self.assertEqual(h.http('GET', '/v1/recipients/w')[0], 500)
        self.assertEqual(h.http('GET', '/healthz')[0], 200)

    def test_reloads_in_a_storm_touch_no_message_that_is_under_way(self):
        h = self.start()
        stop = []
        import threading
        storm = threading.Thread(target=lambda: [(h.processes[0].send_signal(signal.SIGHUP), time.sleep(0.004)) for _ in range(150)])
        storm.start()
        ids = [h.send(person('s%d' % i), channels=['in_app', 'email']) for i in range(60)]
        storm.join()
        for id in ids:
            self.assertEqual(h.settled(id)['status'], 'sent')

    def test_a_redis_that_evicts_is_refused_and_one_without_a_file_is_named(self):
        h, path = self.external()
        h.redis('config', 'set', 'maxmemory-policy', 'allkeys-lru')
        h.cli('queue', status=1)
        self.assertIn('maxmemory-policy noeviction', h.err)
        h.redis('config', 'set', 'maxmemory-policy', 'noeviction')
        h.redis('config', 'set', 'appendonly', 'no')
        p = h.start()
        status, answer = h.http('POST', '/v1/messages', {'recipient': person(), 'template': 'welcome', 'data': {'name': 'A', 'count': 1}})
        self.assertEqual((status, answer['durability']), (202, 'memory'))
        self.assertIn('append-only', h.log())
        h.stop(p)
        h.settings['redis']['partitions'] = 8
        h.write()
        h.cli('queue', status=1)
        self.assertIn('partitions', h.err)

    def test_scripts_that_redis_has_forgotten_are_sent_again(self):
        h, path = self.external()
        h.start()
        for _ in range(5):
            h.redis('script', 'flush')
            self.assertEqual(h.settled(h.send(person('s'), channels=['email']))['status'], 'sent')

    def test_a_sighup_takes_good_templates_and_keeps_the_old_one_of_a_broken(self):
        import shutil
        h = self.house()
        h.settings['templates'] = os.path.join(h.dir, 'templates')
        shutil.copytree(os.path.join(__import__('house').ROOT, 'templates'), h.settings['templates'])
        h.write()
        p = h.start()

        def put(text):
            with open(h.settings['templates'] + '/welcome/email.subject.mustache', 'w') as out:
                out.write(text)
            before = h.log().count('reload.done')
            p.send_signal(signal.SIGHUP)
            h.until(lambda: h.log().count('reload.done') >= before + 2)
            id = h.send(person('r'), channels=['email'])
            h.settled(id)
            return str(h.smtp.accepted[-1].parse()['Subject'])
        self.assertEqual(put('One {{name}}'), 'One Ada')
        self.assertEqual(put('Broken {{name'), 'One Ada')
        self.assertIn('welcome/email.subject.mustache:1:8', h.log())
        self.assertEqual(put('Two'), 'Two')
        text = h.settings['templates'] + '/welcome/email.text.mustache'
        for make in (lambda: os.symlink('/etc/passwd', text), lambda: os.mkfifo(text)):
            make()
            self.assertEqual(put('Three'), 'Two')  # the folder cannot be used; the old one goes on
            os.unlink(text)
        self.assertIn('leads out of the folder', h.log())
        self.assertIn('is no plain file', h.log())


    def test_who_is_told_to_stop_while_starting_stops(self):
        away = self.house(redis={'url': 'redis://127.0.0.1:1/0'})
        p = away.start('--role', 'worker', wait=False)
        time.sleep(0.7)
        self.assertEqual(away.stop(p, timeout=5), 0)
        h = self.start('--role', 'api')
        for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
            p = h.start('--role', 'worker', wait=False)
            time.sleep(delay)
            self.assertIn(h.stop(p, timeout=5), (0, -15))  # -15: before it could hear of it


if __name__ == '__main__':
    unittest.main()
