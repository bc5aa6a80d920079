"""What an operator and a script see and ask: figures and health of every role, reports, waiting, bulk doors, signals."""
import json, os, re, shutil, signal, socket, subprocess, time, unittest, urllib.error, urllib.request

import house
from house import BINARY, ROOT, FlowTest, free_port, person

KNOWN = {'no_address', 'suppressed_address', 'no_consent', 'opted_out', 'preference', 'quiet_hours', 'render_error', 'expired', 'cancelled',
         'superseded', 'provider_rejected',
         'provider_unavailable', 'outcome_unknown', 'hard_bounce', 'complaint', 'halted', 'soft_bounce', 'refused_by_policy', 'template_unknown',
         'cap', 'none', ''}


def get(port, path):
    """Status and text; nothing while nobody listens."""
    try:
        with urllib.request.urlopen('http://127.0.0.1:%d%s' % (port, path), timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError:
        return None, ''


class Figures(FlowTest):
    def beside(self, role):
        """A service of this role that has an address of its own for figures."""
        h, port = self.house(), free_port()
        h.settings['http']['metrics_listen'] = '127.0.0.1:%d' % port
        h.write()
        p = h.start('--role', role, wait=False)
        h.until(lambda: p.poll() is not None or get(port, '/readyz')[0] == 200, what='ready at the address of its own')
        if p.poll() is not None:
            h.processes.remove(p)
            self.fail(h.log())
        return h, port

    def test_every_role_tells_its_health_and_figures_at_an_address_of_its_own(self):
        for role in ('worker', 'api', 'all'):
            with self.subTest(role=role):
                h, port = self.beside(role)
                self.assertEqual(get(port, '/healthz')[0], 200)
                self.assertIn('tidings_redis_up 1', get(port, '/metrics')[1])
                for path in ('/v1/messages', '/v1/recipients/a', '/openapi.json'):
                    self.assertNotEqual(get(port, path)[0], 200, path)

    def test_a_worker_counts_what_it_sent_where_it_shows_its_figures(self):
        h, port = self.beside('worker')
        h.cli('enqueue', stdin=json.dumps({'recipient': person(), 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}}))
        h.until(lambda: h.smtp.accepted)
        h.until(lambda: re.search(r'tidings_messages_total\{[^}]*channel="email"[^}]*\} 1\n', get(port, '/metrics')[1]), 5)

    def test_two_services_cannot_have_one_address_for_figures(self):
        h, port = self.beside('worker')
        p = h.start('--role', 'worker', wait=False)
        h.until(lambda: p.poll() is not None, 5, 'the second ends')
        h.processes.remove(p)
        self.assertEqual(p.returncode, 1)
        self.assertIn(str(port), h.log())

    def totals(self, h):
        """{(channel, status, reason): count} of tidings_messages_total"""
        found = {}
        for labels, n in re.findall(r'^tidings_messages_total\{(.*)\} (\d+)', h.http('GET', '/metrics')[1], re.M):
            label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            self.assertLessEqual(set(label), {'channel', 'status', 'reason'})
            found[label['channel'], label['status'], label.get('reason', '')] = int(n)
        return found

    def test_the_figures_tell_opted_out_from_over_a_cap(self):
        h = self.start(caps=[{'name': 'daily', 'kinds': ['service'], 'max': 1, 'per': '7d', 'over': 'drop'}])
        h.http('POST', '/v1/recipients/out/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        for who in ('a', 'a', 'a', 'out', 'out', 'none'):
            h.settled(h.send(person(who) if who != 'none' else 'none', channels=['email']))
        h.until(lambda: sum(self.totals(h).values()) == 6, 5, lambda: self.totals(h))
        totals = self.totals(h)
        self.assertEqual({reason.split(':')[0]: n for (_, status, reason), n in totals.items() if status == 'suppressed'},
                         {'cap': 2, 'opted_out': 2, 'no_address': 1})
        self.assertEqual(sum(n for (_, status, _), n in totals.items() if status == 'sent'), 1)

    def test_the_words_of_a_relay_and_of_a_producer_make_no_series(self):
        h = self.start()
        h.smtp.script = lambda verb, arg, s: '550 5.7.1 number %d' % len(h.smtp.log) if verb == 'RCPT' else None
        for n in range(12):
            h.settled(h.send(person('p%d' % n), channels=['email'], source='s%d' % n, tags={'t': str(n)}))
        h.until(lambda: sum(self.totals(h).values()) == 12, 5, lambda: self.totals(h))
        self.assertEqual(len(self.totals(h)), 1, self.totals(h))
        self.assertLessEqual({reason for _, _, reason in self.totals(h)}, KNOWN)
        self.assertEqual(list(self.totals(h))[0][2], 'provider_rejected')


class Reports(FlowTest):
    def stocked(self):
        h = self.start(caps=[{'name': 'daily', 'kinds': ['service'], 'max': 1, 'per': '7d', 'over': 'drop'}])
        h.http('POST', '/v1/recipients/out/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        winter = {'tags': {'campaign': 'winter'}, 'channels': ['email']}
        for who in ('a', 'a', 'b', 'out'):
            h.settled(h.send(person(who), **winter))
        h.settled(h.send(person('c'), channels=['email'], tags={'campaign': 'winter-sale'}))
        h.settled(h.send(person('d'), 'order-update', channels=['sms'], tags={'campaign': 'winter'}))
        return h

    def by(self, report):
        self.assertEqual(report['total'], sum(row['count'] for row in report['by']))
        return {(row['channel'], row['status'], row['reason'] or None): row['count'] for row in report['by']}

    def test_a_report_counts_by_channel_status_and_reason_of_a_template_a_tag_or_a_category(self):
        h = self.stocked()
        mails = {('email', 'suppressed', 'cap:daily'): 1, ('email', 'suppressed', 'opted_out'): 1}
        text = {('sms', 'sent', None): 1}
        for words, want in ((('--template', 'welcome'), {**mails, ('email', 'sent', None): 3}),
                            (('--tag', 'campaign=winter'), {**mails, **text, ('email', 'sent', None): 2}),
                            (('--category', 'account'), text), (('--category', 'onboarding'), {**mails, ('email', 'sent', None): 3}),
                            (('--tag', 'campaign=winter-sale'), {('email', 'sent', None): 1}),
                            (('--tag', 'campaign=win'), {}), (('--template', 'welcome', '--tag', 'campaign=winter'),
                                                              {**mails, ('email', 'sent', None): 2})):
            with self.subTest(words=words):
                h.until(lambda: h.cli_json('report', *words)['total'] == sum(want.values()), 5, lambda: h.cli_json('report', *words))
                self.assertEqual(self.by(h.cli_json('report', *words)), want)

    def test_a_report_for_people_has_the_same_numbers_in_lines(self):
        h = self.stocked()
        h.until(lambda: h.cli_json('report', '--template', 'welcome')['total'] == 5, 5)
        said = h.cli('report', '--template', 'welcome')
        self.assertTrue([line for line in said.splitlines() if {'email', 'sent', '3'} <= set(line.split())], said)
        self.assertIn('opted_out', said)

    def test_a_report_without_a_tag_value_is_wrong_usage(self):
        h = self.start()
        h.cli('report', '--tag', 'campaign', status=2)


class Waiting(FlowTest):
    def test_a_script_waits_until_nothing_is_due_or_in_flight(self):
        h = self.start()
        h.smtp.slow_body = 0.005
        for n in range(20):
            h.send(person('p%d' % n), channels=['email'])
        h.send(person('later'), channels=['email'], delay='1d')
        h.cli('queue', '--wait', '--timeout', '60s')
        self.assertEqual(len(h.smtp.accepted), 20)
        h.cli('queue', '--wait')  # and at once when there is nothing to wait for

    def test_a_wait_that_was_too_long_ends_with_status_1_and_says_what_is_left(self):
        h = self.start()
        h.smtp.script = lambda verb, arg, s: (time.sleep(4), None)[1] if verb == 'MAIL' else None
        id = h.send(person(), channels=['email'])
        h.until(lambda: h.message(id)['status'] == 'sending')
        began = time.monotonic()
        h.cli('queue', '--wait', '--timeout', '500ms', status=1)
        self.assertLess(time.monotonic() - began, 3.5)
        self.assertIn('1', h.err)


class Bulk(FlowTest):
    def lines(self, n, bad=()):
        return '\n'.join('{"recipient":"p%d","template":"nope"}' % i if i in bad else json.dumps(
            {'recipient': person('p%d' % i), 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}}) for i in range(n))

    def file(self, h, text, name='messages.ndjson'):
        path = os.path.join(h.dir, name)
        with open(path, 'w') as out:
            out.write(text)
        return path

    def test_a_file_is_enqueued_for_one_instant(self):
        h = self.start()
        at = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 86400))
        out = h.cli('enqueue', self.file(h, self.lines(5)), '--send-at', at)
        self.assertEqual([json.loads(line)['send_at'] for line in out.splitlines()], [at] * 5)
        self.assertEqual(len(h.smtp.received), 0)

    def test_quiet_enqueueing_says_one_line(self):
        h = self.start()
        at = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 86400))
        out = h.cli('enqueue', self.file(h, self.lines(30)), '--send-at', at, '--quiet')
        self.assertEqual((len(out.splitlines()), out.count('30')), (1, 1), out)
        self.assertEqual(h.cli_json('enqueue', self.file(h, self.lines(30)), '--quiet', '--send-at', at), {'accepted': 30, 'refused': 0})
        self.assertEqual(h.cli_json('queue')['channels']['email']['waiting'], 60)

    def test_what_was_refused_is_counted_named_and_the_exit_status_1(self):
        h = self.start()
        path = self.file(h, self.lines(20, bad=(3, 7)))
        self.assertEqual(h.cli_json('enqueue', path, '--quiet', status=1), {'accepted': 18, 'refused': 2})
        out = h.cli('enqueue', '--quiet', stdin=self.lines(20, bad=(3, 7)), status=1)
        self.assertEqual(len(out.splitlines()), 1)
        self.assertRegex(out, r'\b18\b.*\b2\b|\b2\b.*\b18\b')
        self.assertIn('4', h.err)  # the first bad line
        self.assertNotIn('example.com', h.err)

    def test_an_instant_that_is_none_is_refused_before_anything_is_read(self):
        h = self.start()
        h.cli('enqueue', self.file(h, self.lines(5)), '--send-at', 'tomorrow', status=2)
        self.assertEqual(h.cli_json('queue')['channels']['email']['waiting'], 0)
        self.assertEqual(h.http('GET', '/v1/messages')[1]['messages'], [])

    # -- consents

    ENTRY = {'category': 'marketing', 'channel': 'email', 'state': 'granted', 'source': 'import-2026',
             'evidence': {'text_version': '2026-03', 'ip': '192.0.2.7'}, 'at': '2026-03-01T10:00:00Z'}

    def assertGranted(self, h, who, **fields):
        ledger = h.http('GET', '/v1/recipients/%s/consents' % who)[1]['consents']
        self.assertEqual(len(ledger), 1, ledger)
        for key, value in {**self.ENTRY, **fields}.items():
            self.assertEqual(ledger[0][key].replace('.000Z', 'Z') if key == 'at' else ledger[0][key], value, ledger)
        self.assertEqual(h.settled(h.send(who, 'milestone', channels=['email']))['status'], 'sent')

    def test_people_are_imported_with_their_consents_and_evidence(self):
        h = self.start()
        rows = [{**person('a'), 'consents': [self.ENTRY]}, {**person('b'), 'consents': [{**self.ENTRY, 'category': 'nope'}]}, person('c')]
        out = [json.loads(line) for line in h.cli('recipient', 'import', stdin='\n'.join(map(json.dumps, rows)), status=1).splitlines()]
        self.assertIn('errors', out[1])
        self.assertRegex(out[1]['errors'][0]['pointer'], '^/consents/0/category')
        self.assertGranted(h, 'a')

    def test_people_are_imported_from_csv_with_their_consents_and_evidence(self):
        h = self.start()
        columns = ('category', 'channel', 'state', 'source', 'at', 'evidence.text_version', 'evidence.ip')
        rows = ['id,email,locale,' + ','.join('consent.' + c for c in columns),
                'a,a@example.com,en,marketing,email,granted,import-2026,2026-03-01T10:00:00Z,2026-03,192.0.2.7', 'b,b@example.com,en,,,,,,,']
        h.cli('recipient', 'import', stdin='\n'.join(rows) + '\n')
        self.assertGranted(h, 'a')
        self.assertEqual(h.http('GET', '/v1/recipients/b/consents')[1]['consents'], [])
        self.assertFalse(h.http('GET', '/v1/recipients/a')[1].get('attributes'))

    def test_consents_come_over_http_line_by_line_with_an_answer_each(self):
        h = self.start()
        people = ['p%d' % n for n in range(20)]
        for who in people:
            h.http('PUT', '/v1/recipients/' + who, {'email': who + '@example.com', 'locale': 'en'})
        rows = [{'recipient': who, **self.ENTRY} for who in people] + [{'recipient': 'p0', **self.ENTRY, 'state': 'perhaps'}]
        status, text = h.http('POST', '/v1/consents', raw='\n'.join(map(json.dumps, rows)).encode(), type='application/x-ndjson')
        self.assertIn(status, (200, 202), text)
        answers = [json.loads(line) for line in text.splitlines()]
        self.assertEqual((len(answers), ['errors' in a for a in answers]), (21, [False] * 20 + [True]))
        self.assertGranted(h, 'p0')
        self.assertGranted(h, 'p19')


class Signals(FlowTest):
    def begun(self, p, more):
        """Waits until the program itself runs, which the loader has begun: SIGTERM is blocked or caught; then so many seconds more."""
        def ours():
            with open('/proc/%d/status' % p.pid) as f:
                masks = dict(line.split(':\t') for line in f.read().splitlines() if line.startswith('Sig'))
            return any(int(masks[k], 16) >> (signal.SIGTERM - 1) & 1 for k in ('SigBlk', 'SigCgt'))
        end = time.monotonic() + 20
        while not ours() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(more)

    def test_a_stop_right_after_the_start_is_a_clean_end(self):
        h = self.house()
        for more in (0, 0.005, 0.02, 0.04, 0.08, 0.15, 0.3):
            with self.subTest(after=more):
                p = h.start('--role', 'worker', wait=False)
                self.begun(p, more)
                self.assertEqual(h.stop(p, timeout=10), 0)

    def test_a_reload_right_after_the_start_lets_it_go_on(self):
        h = self.house()
        for more in (0, 0.005, 0.02, 0.04, 0.08, 0.15):
            with self.subTest(after=more):
                p = h.start(wait=False)
                self.begun(p, more)
                p.send_signal(signal.SIGHUP)
                h.until(lambda: p.poll() is not None or h.ready())
                if p.poll() is not None:
                    h.processes.remove(p)
                    self.fail('ended with %d' % p.returncode)
                self.assertEqual(h.settled(h.send(person(), channels=['email']))['status'], 'sent')
                self.assertEqual(h.stop(p), 0)


class Supervision(FlowTest):
    """A service manager (sd_notify, sd_listen_fds) is told what is, and may hand over the socket."""

    def under(self, h, environment, listen=None):
        """The service as systemd would start it: LISTEN_PID is its own, a socket of the manager's is descriptor 3."""
        script = 'exec 3<&%d; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' % listen.fileno() if listen else 'exec "$@"'
        with open(os.path.join(h.dir, 'serve-1.log'), 'wb') as log:
            h.serial = 1
            p = subprocess.Popen(['bash', '-c', script, 'bash', BINARY, 'serve', '--config', h.config], stdout=log, stderr=log,
                                 env={**os.environ, **environment}, pass_fds=[listen.fileno()] if listen else [])
        h.processes.append(p)
        return p

    def test_a_manager_hears_ready_watchdog_and_stopping(self):
        h = self.house()
        path = os.path.join(h.dir, 'notify')
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(20)
            p = self.under(h, {'NOTIFY_SOCKET': path, 'WATCHDOG_USEC': '400000'})
            self.assertEqual(manager.recv(100), b'READY=1')
            self.assertEqual(h.http('GET', '/readyz')[0], 200)
            began = time.monotonic()
            self.assertEqual([manager.recv(100) for _ in range(5)], [b'WATCHDOG=1'] * 5)
            self.assertLess(time.monotonic() - began, 5 * 0.4 * 2)
            p.send_signal(signal.SIGTERM)
            said = manager.recv(100)
            while said == b'WATCHDOG=1':
                said = manager.recv(100)
            self.assertEqual(said, b'STOPPING=1')
            self.assertEqual(p.wait(20), 0)

    def test_the_socket_of_a_manager_is_listened_on(self):
        h = self.house()
        with socket.create_server(('127.0.0.1', 0)) as given:
            h.port = given.getsockname()[1]  # another one than the configuration names
            self.under(h, {}, given)
            h.until(h.ready, what='the service answers at the socket that it was given')
            self.assertIn('"port":%d' % h.port, h.log())

    def answers(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(path)
                s.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
                return s.recv(100).startswith(b'HTTP/1.1 200')
            except OSError:
                return False

    def test_a_path_is_taken_from_nobody_who_listens_there_and_no_file_is_lost(self):
        h = self.house()
        path = os.path.join(h.dir, 'http.sock')
        h.settings['http']['listen'] = 'unix:' + path
        h.write()
        first = h.start(wait=False)
        h.until(lambda: self.answers(path), what='the first answers')
        with self.subTest('somebody listens'):
            second = h.start(wait=False)
            self.assertNotEqual(second.wait(20), 0)
            h.processes.remove(second)
            self.assertIn('Address already in use', h.log())
            self.assertTrue(self.answers(path))
        with self.subTest('what a dead one has left'):
            h.stop(first, signal.SIGKILL)
            h.redis_end()
            self.assertTrue(os.path.exists(path))
            p = h.start(wait=False)
            h.until(lambda: self.answers(path), what='the next one answers')
            self.assertEqual(h.stop(p), 0)
            self.assertFalse(os.path.exists(path))
        with self.subTest('a file'):
            with open(path, 'w') as f:
                f.write('precious')
            p = h.start(wait=False)
            self.assertNotEqual(p.wait(20), 0)
            h.processes.remove(p)
            with open(path) as f:
                self.assertEqual(f.read(), 'precious')


class Figures(FlowTest):
    """What watches the service asks for figures that there are."""

    def names(self, h):
        text = urllib.request.urlopen('http://127.0.0.1:%d/metrics' % h.port).read().decode()
        return set(re.findall(r'^# TYPE (tidings_\w+) ', text, re.M))

    def test_alerts_and_dashboard_ask_for_figures_that_there_are(self):
        h = self.start()
        there, deploy = self.names(h), os.path.join(ROOT, 'deploy')
        with open(os.path.join(deploy, 'alerts.yaml')) as f:
            alerts = f.read()
        rules = re.findall(r'- alert: (\w+)\n +expr: (.+)\n((?: +\w+: .*\n?)+)', alerts)
        self.assertEqual((len(rules), len(set(name for name, _, _ in rules))), (alerts.count('- alert: '),) * 2)
        for name, expr, rest in rules:
            asked = set(re.findall(r'tidings_\w+', expr))
            self.assertTrue(asked and asked <= there, (name, asked - there))
            self.assertRegex(rest, r'severity: (page|ticket)')
            self.assertIn('OPERATING.md#at-night', rest)
        if shutil.which('promtool'):
            subprocess.run(['promtool', 'check', 'rules', os.path.join(deploy, 'alerts.yaml')], check=True, capture_output=True)
        with open(os.path.join(deploy, 'grafana.json')) as f:
            board = json.load(f)
        panels = [p for p in board['panels'] if p['type'] != 'row']
        self.assertEqual(len({p['id'] for p in board['panels']}), len(board['panels']))
        for p in panels:
            asked = {n for t in p['targets'] for n in re.findall(r'tidings_\w+', t['expr'])}
            self.assertTrue(asked and asked <= there, (p['title'], asked - there))
            self.assertTrue(p['fieldConfig']['defaults']['unit'] and len(p['fieldConfig']['defaults']['thresholds']['steps']) > 1, p['title'])

    def test_the_description_of_the_interface_validates_and_names_every_parameter(self):
        h = self.start()
        path = os.path.join(h.dir, 'openapi.json')
        with open(path, 'w') as out:
            json.dump(h.http('GET', '/openapi.json')[1], out)
        done = subprocess.run(['node', os.path.join(ROOT, 'tests/node_modules/@seriousme/openapi-schema-validator/bin/validate-api-cli.js'), path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
        with open(path) as f:
            doc = json.load(f)
        ids = [o['operationId'] for methods in doc['paths'].values() for o in methods.values()]
        self.assertEqual(len(ids), len(set(ids)))
        listed = {p['name'] for p in doc['paths']['/v1/messages']['get']['parameters']}
        self.assertEqual(listed, {'recipient', 'status', 'category', 'template', 'source', 'tag', 'limit', 'cursor'})
        for path, methods in doc['paths'].items():
            for method, operation in methods.items():
                self.assertEqual({p['name'] for p in operation['parameters'] if p['in'] == 'path'}, set(re.findall(r'{(\w+)}', path)), path)

    def test_figures_beyond_this_host_need_a_key_or_an_address_of_their_own(self):
        h = self.house()
        figures = free_port()
        h.settings['http'].update(listen='0.0.0.0:%d' % h.port, metrics_listen='127.0.0.1:%d' % figures, keys=[{'name': 'prom', 'secret': 'p', 'scopes': ['read']}])
        h.write()
        h.start()
        self.assertEqual(h.http('GET', '/metrics', headers={'Authorization': ''})[0], 401)
        for url, headers in (('http://127.0.0.1:%d/metrics' % h.port, {'Authorization': 'Bearer p'}), ('http://127.0.0.1:%d/metrics' % figures, {})):
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as r:
                self.assertIn('tidings_redis_up', r.read().decode())
        self.assertEqual(h.http('GET', '/healthz', headers={'Authorization': ''})[0], 200)

    def test_what_an_outage_made_late_is_reported_by_category_and_sender(self):
        h = self.house(categories={'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}})
        h.start('--role', 'api')
        since = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 60))
        late = [h.send(person('l%d' % i), channels=['email'], category='account', source='shop') for i in range(3)]
        gone = h.send(person('g'), channels=['email'], category='onboarding', source='crm', ttl='1s')
        time.sleep(2.5)
        h.start('--role', 'worker', wait=False)
        for id in late + [gone]:
            h.settled(id)
        h.settled(h.send(person('x'), channels=['email'], category='account', source='shop'))
        rows = {(r['category'], r['source']): r for r in h.cli_json('late-report', '--since', since, '--over', '2s')['by']}
        self.assertEqual({k: (r['late'], r['dropped'], r['waiting']) for k, r in rows.items()}, {('account', 'shop'): (3, 0, 0), ('onboarding', 'crm'): (0, 1, 0)})
        self.assertGreaterEqual(rows['account', 'shop']['worst_seconds'], 2)
        self.assertIn('shop', h.cli('late-report', '--since', since, '--over', '2s'))
        h.cli('late-report', status=2)
        h.cli('late-report', '--since', 'soon', status=2)


if __name__ == '__main__':
    unittest.main()
