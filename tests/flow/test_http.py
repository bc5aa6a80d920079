"""The HTTP interface: who may, what is refused before it is read, recipients, the inbox, the operator's pages."""
import json, os, socket, time, unittest

from house import ROOT, FlowTest, House, person


class Http(FlowTest):
    def test_keys_and_scopes_decide_who_may(self):
        keys = [{'name': 'crm', 'secret': 'a' * 24, 'scopes': ['enqueue']}, {'name': 'ops', 'secret': 'b' * 24, 'scopes': ['read', 'manage']}]
        h = self.house()
        h.settings['http']['keys'] = keys
        h.write()
        h.start()
        body = {'recipient': person(), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'A', 'count': 1}}
        key = lambda c: {'Authorization': 'Bearer ' + c * 24}
        self.assertEqual(h.http('POST', '/v1/messages', body)[0], 401)
        self.assertEqual(h.http('POST', '/v1/messages', body, headers=key('c'))[0], 401)
        self.assertEqual(h.http('POST', '/v1/messages', body, headers=key('b'))[0], 403)
        status, answer = h.http('POST', '/v1/messages', body, headers=key('a'))
        self.assertEqual(status, 202)
        self.assertEqual(h.http('GET', '/v1/messages/' + answer['id'], headers=key('a'))[0], 403)
        self.assertEqual(h.http('GET', '/v1/messages/' + answer['id'], headers=key('b'))[1]['source'], 'crm')

    def raw(self, h, data):
        with socket.create_connection(('127.0.0.1', h.port), 5) as s:
            s.sendall(data)
            s.settimeout(5)
            try:
                return int(s.recv(4096).split()[1])
            except (IndexError, OSError):
                return None

    def test_requests_that_are_not_well_formed_are_refused(self):
        h = self.start()
        for text, status in ((b'GET /..%2f..%2fetc HTTP/1.1\r\nHost: x\r\n\r\n', 404), (b'GET /healthz%00x HTTP/1.1\r\nHost: x\r\n\r\n', 404),
                             (b'POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n', 400),
                             (b'POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}', 400),
                             (b'POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n', 413),
                             (b'POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}', 415),
                             (b'POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}', 415),
                             (b'BREW /v1/messages HTTP/1.1\r\nHost: x\r\n\r\n', 405), (b'GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n', 404)):
            with self.subTest(text=text):
                self.assertEqual(self.raw(h, text), status)
        self.assertEqual(h.http('GET', '/healthz')[0], 200)

    def test_recipients_are_stored_changed_listed_and_erased(self):
        h = self.start()
        self.assertEqual(h.http('PUT', '/v1/recipients/ada', {'email': 'Ada@BÜCHER.example', 'locale': 'de_at', 'attributes': {'a': 1, 'b': 2}})[1],
                         {'id': 'ada', 'email': 'Ada@xn--bcher-kva.example', 'locale': 'de-AT', 'attributes': {'a': 1, 'b': 2}})
        self.assertEqual(h.http('PATCH', '/v1/recipients/ada', {'attributes': {'b': None}, 'phone': '+49 (170) 123-4567'})[1],
                         {'id': 'ada', 'email': 'Ada@xn--bcher-kva.example', 'phone': '+491701234567', 'locale': 'de-AT', 'attributes': {'a': 1}})
        self.assertEqual(h.http('PATCH', '/v1/recipients/bob', {'locale': 'de'})[0], 404)
        self.assertEqual(h.http('PUT', '/v1/recipients/ada', {'colour': 1})[1]['errors'][0]['pointer'], '/colour')
        ids = [h.send('ada', channels=['in_app']) for _ in range(3)] + [h.send('ada', channels=['in_app'], delay='1h')]
        for id in ids[:3]:
            h.settled(id)
        status, page = h.http('GET', '/v1/messages?recipient=ada&limit=3')
        self.assertEqual((status, len(page['messages'])), (200, 3))
        rest = h.http('GET', '/v1/messages?recipient=ada&limit=3&cursor=' + page['cursor'])[1]
        self.assertEqual((len(rest['messages']), rest['cursor']), (1, None))
        self.assertEqual(len(h.http('GET', '/v1/messages?status=scheduled')[1]['messages']), 1)
        self.assertEqual([len(h.http('GET', '/v1/recipients/ada/timeline')[1][k]) for k in ('pending', 'past')], [1, 3])
        self.assertEqual(len(json.loads(h.cli('recipient', 'export', 'ada'))['messages']['past']), 3)
        self.assertEqual(h.http('DELETE', '/v1/recipients/ada')[1], {'erased': True, 'messages': 4, 'in_flight': 0, 'addresses': {'email': 'suppressed', 'phone': 'suppressed'}})
        self.assertEqual(h.http('GET', '/v1/recipients/ada')[0], 404)
        self.assertEqual(h.http('GET', '/v1/messages/' + ids[0])[0], 404)
        self.assertEqual(h.redis('--scan', '--pattern', '*ada*'), '')

    def test_people_are_imported_from_csv_and_ndjson(self):
        h = self.start()
        csv = 'id,email,locale,plan\na,a@example.com,de,"gold, ""big"""\nb,nonsense,de,x\n'
        out = [json.loads(l) for l in h.cli('recipient', 'import', stdin=csv, status=1).splitlines()]
        self.assertEqual([o.get('result') or o['errors'][0]['pointer'] for o in out], ['header', 'created', '/email'])
        self.assertEqual(h.http('GET', '/v1/recipients/a')[1]['attributes'], {'plan': 'gold, "big"'})
        self.assertEqual(json.loads(h.cli('recipient', 'import', stdin='{"id":"a","locale":"pl"}\n'))['result'], 'updated')

    def test_the_inbox_lists_counts_and_streams(self):
        h = self.start()
        for n in (1, 2):
            h.settled(h.send(person('i'), 'order-update', channels=['in_app'], data={'order': str(n), 'parcels': n}))
            time.sleep(0.01)
        token = h.http('POST', '/v1/recipients/i/inbox-token', {})[1]['token']
        me = {'Authorization': 'Bearer ' + token}
        self.assertEqual(h.http('GET', '/v1/inbox')[0], 401)
        inbox = h.http('GET', '/v1/inbox', headers=me)[1]
        self.assertEqual([(i['title'], i['url']) for i in inbox['items']], [('Order 2 is on its way', '/orders/2'), ('Order 1 is on its way', '/orders/1')])
        self.assertEqual((inbox['unread'], inbox['unseen']), (2, 2))
        with socket.create_connection(('127.0.0.1', h.port), 5) as s:
            s.sendall(('GET /v1/inbox/stream?token=%s HTTP/1.1\r\nHost: x\r\n\r\n' % token).encode())
            read = lambda word: h.until(lambda: word in self.fill(s), 5, lambda: self.seen)
            self.seen = ''
            read('"unread":2')
            card = inbox['items'][0]['id']
            self.assertEqual(h.http('POST', '/v1/inbox/%s/read' % card, {}, headers=me)[1]['unread'], 1)
            read('"unread":1')
            self.assertEqual(h.http('POST', '/v1/inbox/%s/read' % card, {}, headers=me)[1]['unread'], 1)
            h.settled(h.send('i', 'order-update', channels=['in_app']))
            read('"unread":2,"unseen":2')
        self.assertEqual(h.http('POST', '/v1/inbox/%s/archive' % card, {}, headers=me)[1]['unread'], 2)
        self.assertEqual(len(h.http('GET', '/v1/inbox', headers=me)[1]['items']), 2)
        self.assertEqual(h.http('POST', '/v1/inbox/nope/seen', {}, headers=me)[0], 404)

    def inbox(self, h, who):
        token = h.http('POST', '/v1/recipients/%s/inbox-token' % who, {})[1]['token']
        inbox = h.http('GET', '/v1/inbox', headers={'Authorization': 'Bearer ' + token})[1]
        return len(inbox['items']), inbox['unread'], inbox['unseen']

    def test_an_inbox_keeps_so_many_cards_and_so_long(self):
        h = self.start('--role', 'api', in_app={'max_per_recipient': 10})
        first = h.send(person('i'), 'order-update', channels=['in_app'])
        ids = [h.send('i', 'order-update', channels=['in_app']) for _ in range(24)]
        h.start('--role', 'worker', wait=False)
        for id in [first] + ids:
            h.settled(id)
        self.assertEqual(self.inbox(h, 'i'), (10, 10, 10))
        [key] = h.redis('--scan', '--pattern', '*:i:i').split()
        h.redis('HDEL', key, '_count', '_last')  # as an earlier version left it
        h.settled(h.send('i', 'order-update', channels=['in_app']))
        self.assertEqual(self.inbox(h, 'i'), (10, 10, 10))
        self.assertEqual(h.redis('HGET', key, '_count'), '10')

    def test_an_inbox_lets_go_of_what_is_old_also_while_cards_come(self):
        h = self.start('--clock-rate', '3000', in_app={'keep': '1h'})
        h.settled(h.send(person('o'), 'order-update', channels=['in_app']))
        for _ in range(8):  # every ten minutes or so
            time.sleep(0.2)
            h.settled(h.send('o', 'order-update', channels=['in_app']))
        cards, unread, unseen = self.inbox(h, 'o')
        self.assertEqual((unread, unseen), (cards, cards))
        self.assertLess(cards, 9)

    def fill(self, s):
        s.settimeout(0.2)
        try:
            self.seen += s.recv(4096).decode()
        except OSError:
            pass
        return self.seen

    def test_the_operator_sees_health_metrics_and_the_interface_described(self):
        h = self.start()
        h.settled(h.send(person('m'), channels=['email']))
        h.until(lambda: 'tidings_queue_depth{channel="email"} 0' in h.http('GET', '/metrics')[1])
        text = h.http('GET', '/metrics')[1]
        for name in ('tidings_messages_total{channel="email",status="sent"} 1', 'tidings_due_lag_seconds 0', 'tidings_redis_up 1'):
            self.assertIn(name, text)
        doc = h.http('GET', '/openapi.json')[1]
        self.assertIn('/v1/messages/{id}', doc['paths'])
        log = h.log()
        self.assertNotIn('m@example.com', log)
        for line in log.splitlines():
            json.loads(line)


class Configuration(FlowTest):
    def refused(self, text, *words, env=None):
        h = self.house()
        with open(h.config, 'w') as out:
            out.write(text)
        h.cli('check', '--json', status=1)
        for word in words:
            self.assertIn(word, h.err)

    def test_what_is_wrong_in_the_file_is_named_with_its_line(self):
        for text, words in (
                ('redis:\n  ulr: x\n', ('tidings.yaml:2:', 'redis.ulr', 'did you mean "url"')), ('data_dir: [a]\n', ('tidings.yaml:1:', 'data_dir')),
                ('retry:\n  first: 5 parsecs\n', ('tidings.yaml:2:', 'retry.first', 'unit')), ('retry: {jitter: 7}\n', ('between 0 and 1',)),
                ('a: 1\na: 2\n', ('tidings.yaml:2:', 'twice')), ('http: { listen: "0.0.0.0:80000" }\n', ('http.listen', 'port')),
                ('email: { providers: [ { name: x } ] }\n', ('email.providers[0]', 'needs "url"')), ('caps: [ { name: a, max: 1, per: fortnight } ]\n', ('caps[0].per', 'window')),
                ('caps: [ { name: a, max: 1, per: 7d, categories: [nope] } ]\n', ('caps[0].categories[0]', 'does not exist')), ('defaults: { timezone: Mars/Base }\n', ('time zone',)),
                ('redis: { url: "${NOT_SET_ANYWHERE}" }\n', ('NOT_SET_ANYWHERE', 'tidings.yaml:1')), ('quiet_hours: { from: "25:00", to: "08:00" }\n', ('quiet_hours.from',)),
                ('\t- x\n', ('tidings.yaml:1:', 'YAML')), ('data_dir: "${A"\n', ('data_dir', 'not closed')), ('http: { public_url: "https://x/\\r\\nA: b" }\n', ('http.public_url',)),
                ('sms: { providers: [ { name: a, url: "http://x", signing_secret: "whsec_!!!" } ] }\n', ('signing_secret', 'base64')),
                ('sms: { providers: [ { name: a, url: "http://x" }, { name: a, url: "http://y" } ] }\n', ('sms.providers[1].name', 'another one')), ('x: &a 1\ny: *a\n', ('tidings.yaml',)), ('categories: { "a b": {} }\n', ('categories.a b',))):
            with self.subTest(text=text):
                self.refused(text, *words)

    def test_the_environment_fills_in_and_an_empty_file_is_enough(self):
        import os
        h = self.house()
        os.environ['TIDINGS_TEST_DATA'] = h.settings['data_dir']
        self.addCleanup(os.environ.pop, 'TIDINGS_TEST_DATA')
        with open(h.config, 'w') as out:
            out.write('data_dir: "${TIDINGS_TEST_DATA}"\ntemplates: ${NOPE:-%s}\nhttp: { listen: "127.0.0.1:${PORT:-%d}" }\n' % (h.settings['templates'], h.port))
        h.start()
        id = h.send(person('e'), channels=['email', 'in_app'])
        h.settled(id)
        self.assertEqual([(d['channel'], d['status'], d['reason']) for d in h.message(id)['deliveries']],
                         [('email', 'failed', 'provider_unavailable'), ('in_app', 'sent', None)])

    def test_check_tries_redis_and_every_provider(self):
        h = self.house()
        h.start()
        findings = {f['what']: f['level'] for f in h.cli_json('check') if f['level'] != 'warning'}
        self.assertEqual(findings, {'configuration': 'ok', 'redis': 'ok', 'email primary': 'ok', 'sms gateway': 'ok'})
        warnings = [f['what'] for f in h.cli_json('check') if f['level'] == 'warning']
        self.assertEqual(set(warnings), {'http', 'email primary', 'sms gateway'})  # no keys, in the clear, unsigned
        h.smtp.close()
        h.cli('check', status=1)
        self.assertIn('must be mended', h.err)
        reference = h.cli('check', '--settings')
        self.assertIn('| `redis.url` |', reference)
        with open(os.path.join(ROOT, 'deploy', 'OPERATING.md')) as f:
            self.assertIn(reference.strip(), f.read())  # the document says what the program does

    def test_wrong_usage_is_2_and_a_refusal_1(self):
        h = self.house()
        h.cli('show', status=2)
        h.cli('nonsense', status=2)
        h.cli('serve', '--role', 'king', status=2)
        h.start()
        h.cli('show', 'nope', status=1)
        h.cli('template', 'render', 'nope', status=1)
        h.cli('suppress', 'add', 'nonsense', status=1)
        h.cli('consent', 'grant', 'x', '--category', 'nope', status=1)
        self.assertEqual(h.cli('template', 'render', 'welcome', '--locale', 'pl', '--part', 'subject'), 'Witaj, Ada!')
        self.assertIn('0 error(s)', h.cli('template', 'check'))


if __name__ == '__main__':
    unittest.main()
