"""The inbox in real time: versions that never go back, exact resume, absolute counts, snoozes, tickets, pages of other origins."""
import json, os, re, socket, threading, time, unittest, urllib.request

from house import SLOWNESS, FlowTest, person

UPDATE = {'template': 'order-update', 'category': 'account', 'channels': ['in_app']}


class Stream:
    """One open stream: frames as (event, id, data), growing."""

    def __init__(self, h, token=None, after=None, query='', origin=None):
        self.frames, self.text, self.closed = [], '', False
        self.s = socket.create_connection(('127.0.0.1', h.port), 10)
        self.s.settimeout(None)
        lines = ['GET /v1/inbox/stream%s HTTP/1.1' % query, 'Host: 127.0.0.1:%d' % h.port]
        lines += ['Authorization: Bearer ' + token] if token else []
        lines += ['Last-Event-ID: %s' % after] if after is not None else []
        self.s.sendall(('\r\n'.join(lines) + '\r\n\r\n').encode())
        self.head, self.raw = None, b''
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while True:
                data = self.s.recv(65536)
                if not data:
                    break
                self.raw += data
                self.parse()
        except OSError:
            pass
        self.closed = True

    def parse(self):
        text = self.raw.decode(errors='replace')
        if '\r\n\r\n' not in text:
            return
        self.head, body = text.split('\r\n\r\n', 1)
        body = re.sub(r'\r\n', '\n', re.sub(r'(^|\r\n)[0-9a-f]+\r\n', '', body))  # chunks
        frames = []
        for block in body.split('\n\n'):
            fields = dict(line.split(': ', 1) for line in block.strip('\n').split('\n') if ': ' in line)
            if 'event' in fields:
                try:
                    frames.append((fields['event'], fields.get('id'), json.loads(fields['data'])))
                except (ValueError, KeyError):
                    pass  # not whole yet
        self.frames = frames

    def status(self):
        return int(self.head.split()[1]) if self.head else None

    def of(self, event):
        return [data for e, _, data in self.frames if e == event]

    def close(self):
        self.s.close()


class Inbox(FlowTest):
    @classmethod
    def setUpClass(cls):
        pass

    def up(self, **settings):
        h = self.house(**settings)
        h.start()
        return h

    def token(self, h, who):
        return h.http('POST', '/v1/recipients/%s/inbox-token' % who, {})[1]['token']

    def me(self, h, who):
        return {'Authorization': 'Bearer ' + self.token(h, who)}

    def card(self, h, who, n=1):
        id = h.send(who, data={'order': str(n), 'parcels': 1}, **UPDATE)
        self.assertEqual(h.settled(id)['status'], 'sent')
        return id + '-i'

    def stream(self, h, *a, **k):
        s = Stream(h, *a, **k)
        self.addCleanup(s.close)
        return s

    def hello(self, h, s):
        h.until(lambda: s.of('hello'), what=lambda: (s.head, s.raw[:500]))
        return s.of('hello')[0]

    def post(self, h, who, path, body=None):
        status, answer = h.http('POST', '/v1/inbox/' + path, body if body is not None else {}, headers=self.me(h, who))
        self.assertEqual(status, 200, answer)
        return answer

    def inbox(self, h, who, query=''):
        status, answer = h.http('GET', '/v1/inbox' + query, headers=self.me(h, who))
        self.assertEqual(status, 200, answer)
        return answer

    # the stream

    def test_hello_counts_and_each_change_tells_the_whole_card_and_absolute_counts(self):
        h = self.up()
        first = self.card(h, 'a')
        s = self.stream(h, self.token(h, 'a'))
        hello = self.hello(h, s)
        self.assertEqual((hello['unread'], hello['unseen'], hello['beat']), (1, 1, 15))
        self.assertIn('X-Accel-Buffering: no', s.head)
        self.assertRegex(s.head, r'Cache-Control: no-store, no-transform')
        second = self.card(h, 'a', 2)
        h.until(lambda: s.of('inbox'))
        news = s.of('inbox')[-1]
        self.assertEqual((news['since'], news['unread'], [i['id'] for i in news['items']], news['gone']), (hello['version'], 2, [second], []))
        self.assertEqual(news['items'][0]['title'], 'Order 2 is on its way')
        self.assertGreater(news['version'], hello['version'])
        self.assertEqual([i for e, i, d in s.frames if e == 'inbox'][-1], str(news['version']))
        self.post(h, 'a', first + '/read')
        h.until(lambda: len(s.of('inbox')) > 1)
        read = s.of('inbox')[-1]
        self.assertEqual(([i['id'] for i in read['items']], read['unread'], read['unseen']), ([first], 1, 1))
        self.assertIsNotNone(read['items'][0]['read_at'])

    def test_who_comes_back_is_told_exactly_what_has_changed_since(self):
        """E34: cards read elsewhere, new ones, and those that went, in one frame."""
        h = self.up(in_app={'max_per_recipient': 3})
        cards = [self.card(h, 'a', n) for n in range(3)]
        s = self.stream(h, self.token(h, 'a'))
        version = self.hello(h, s)['version']
        s.close()
        same = self.stream(h, self.token(h, 'a'), after=version)
        self.hello(h, same)
        time.sleep(0.3)
        self.assertEqual([e for e, _, _ in same.frames], ['hello'])
        self.post(h, 'a', cards[2] + '/read')
        new = self.card(h, 'a', 9)  # the oldest leaves
        back = self.stream(h, self.token(h, 'a'), after=version)
        hello = self.hello(h, back)
        h.until(lambda: back.of('inbox'))
        self.assertEqual([e for e, _, _ in back.frames], ['hello', 'inbox'])
        news = back.of('inbox')[0]
        self.assertEqual((news['since'], news['version'], {i['id'] for i in news['items']}, news['gone']), (version, hello['version'], {cards[2], new}, [cards[0]]))
        self.assertEqual((news['unread'], hello['unread']), (2, 2))

    def test_a_version_that_is_not_known_or_too_long_ago_says_list_again(self):
        h = self.up()
        cards = [self.card(h, 'a', n) for n in range(2)]
        ahead = self.stream(h, self.token(h, 'a'), after=9999999999999)
        h.until(lambda: ahead.of('resync'), what=lambda: ahead.frames)
        self.assertEqual(ahead.of('resync')[0]['unread'], 2)
        s = self.stream(h, self.token(h, 'a'), after=1)
        h.until(lambda: s.of('inbox'))
        self.assertEqual({i['id'] for i in s.of('inbox')[0]['items']}, set(cards))
        for n in range(60):
            self.card(h, 'b', n)
        many = self.stream(h, self.token(h, 'b'), after=1)
        h.until(lambda: many.of('resync'), what=lambda: many.frames)
        bad = self.stream(h, self.token(h, 'a'), after='x')
        h.until(lambda: bad.status() == 400)

    def test_versions_never_go_back_whatever_becomes_of_the_inbox(self):
        """E37, F6."""
        h = self.up()
        self.card(h, person('a'))
        before = self.inbox(h, 'a')['version']
        self.assertEqual(h.http('DELETE', '/v1/recipients/a')[0], 200)
        empty = self.inbox(h, 'a')
        self.assertEqual((empty['items'], empty['unread']), ([], 0))
        self.assertGreater(empty['version'], before)
        self.card(h, person('a'))
        after = self.inbox(h, 'a')
        self.assertGreater(after['version'], empty['version'])
        for i in range(20):
            self.card(h, 'a', i)
        versions = [i['v'] for i in self.inbox(h, 'a')['items']]
        self.assertEqual(versions, sorted(set(versions), reverse=True))

    def test_streams_end_with_their_token_and_with_the_service_and_say_so(self):
        h = self.up(in_app={'token': '1m'})
        h.stop()
        h.start('--clock-rate', '20')  # a minute in three seconds
        s = self.stream(h, self.token(h, 'a'))
        self.hello(h, s)
        h.until(lambda: s.of('bye') and s.closed, 20)
        self.assertEqual(s.of('bye')[0]['reason'], 'expired')
        ticket = h.http('POST', '/v1/inbox/ticket', {}, headers=self.me(h, 'b'))[1]['ticket']
        s = self.stream(h, query='?ticket=' + ticket)
        self.hello(h, s)
        h.until(lambda: s.of('bye') and s.closed, 20)
        self.assertEqual(s.of('bye')[0]['reason'], 'expired')  # as long as the token that bought it
        streams = [self.stream(h, self.token(h, 'p%d' % i)) for i in range(30)]
        for s in streams:
            self.hello(h, s)
        h.stop()
        h.until(lambda: all(s.of('bye') and s.closed for s in streams), what=lambda: [s.frames for s in streams][:3])
        again = [s.of('bye')[0]['again'] for s in streams]
        self.assertEqual({s.of('bye')[0]['reason'] for s in streams}, {'shutdown'})
        self.assertTrue(1 <= min(again) and max(again) <= 10 and max(again) - min(again) > 3, again)

    def test_reconnects_are_told_apart(self):
        """E33: retry is another one for each connection."""
        h = self.up()
        streams = [self.stream(h, self.token(h, 'p%d' % i)) for i in range(20)]
        for s in streams:
            self.hello(h, s)
        waits = [int(re.search(rb'retry: (\d+)', s.raw).group(1)) for s in streams]
        self.assertTrue(all(3000 <= w <= 7000 for w in waits) and len(set(waits)) > 15, waits)

    # marks

    def test_marks_can_be_taken_back_and_counts_follow(self):
        h = self.up()
        a, b, c = (self.card(h, 'a', n) for n in range(3))
        step = lambda path, body=None: (lambda t: (t['unread'], t['unseen'], t['changed']))(self.post(h, 'a', path, body))
        self.assertEqual(step(a + '/read'), (2, 2, 1))
        self.assertEqual(step(a + '/read'), (2, 2, 0))
        self.assertEqual(step(a + '/unread'), (3, 2, 1))
        self.assertEqual(step(b + '/archive'), (2, 1, 1))
        self.assertEqual([i['id'] for i in self.inbox(h, 'a')['items']], [c, a])
        self.assertEqual([i['id'] for i in self.inbox(h, 'a', '?state=archived')['items']], [b])
        self.assertEqual(step(b + '/unarchive'), (3, 2, 1))
        self.assertEqual(step(b + '/seen'), (3, 1, 1))
        self.assertEqual(step('all/read'), (0, 0, 3))
        for path in ('nope-i/read', 'nope-i/unread', 'nope-i/snooze'):
            self.assertEqual(h.http('POST', '/v1/inbox/' + path, {'for': '1d'} if 'snooze' in path else {}, headers=self.me(h, 'a'))[0], 404, path)

    def test_all_until_a_version_leaves_what_came_since(self):
        """E36."""
        h = self.up()
        for n in range(3):
            self.card(h, 'a', n)
        version = self.inbox(h, 'a')['version']
        late = self.card(h, 'a', 9)
        marked = self.post(h, 'a', 'all/read', {'until': version})
        self.assertEqual((marked['changed'], marked['unread']), (3, 1))
        self.assertEqual([i['id'] for i in self.inbox(h, 'a', '?state=unread')['items']], [late])
        self.assertEqual(h.http('POST', '/v1/inbox/all/read', {'until': 'x'}, headers=self.me(h, 'a'))[0], 422)

    def test_a_snoozed_card_is_hidden_and_not_counted_until_it_comes_back_by_itself(self):
        h = self.up()
        a, b = self.card(h, 'a', 1), self.card(h, 'a', 2)
        s = self.stream(h, self.token(h, 'a'))
        self.hello(h, s)
        self.assertEqual(self.post(h, 'a', a + '/snooze', {'for': '2s'})['unread'], 1)
        self.assertEqual([i['id'] for i in self.inbox(h, 'a')['items']], [b])
        h.until(lambda: s.of('inbox'))
        self.assertIsNotNone(s.of('inbox')[0]['items'][0]['snoozed_until'])
        h.until(lambda: len(s.of('inbox')) > 1, 8)  # nobody has asked for it
        back = s.of('inbox')[-1]
        self.assertEqual((back['unread'], [i['id'] for i in back['items']], back['items'][0]['snoozed_until']), (2, [a], None))
        self.assertEqual([i['id'] for i in self.inbox(h, 'a')['items']], [b, a])
        for body in ({}, {'for': 'soon'}, {'for': '1d', 'until': '2030-01-01T00:00:00Z'}, {'until': '2020-01-01T00:00:00Z'}, {'for': '400d'}):
            self.assertEqual(h.http('POST', '/v1/inbox/%s/snooze' % a, body, headers=self.me(h, 'a'))[0], 422, body)

    def test_a_card_leaves_at_its_time_while_the_inbox_is_open(self):
        """E38."""
        h = self.house()
        h.settings['templates'] = os.path.join(h.dir, 'templates')
        for name, more in (('news', 'in_app: { expires: 3s, pin: true, importance: high }\n'), ('plain', '')):
            os.makedirs(os.path.join(h.dir, 'templates', name))
            for part, text in (('template.yaml', 'category: account\nchannels: [in_app]\n' + more), ('in_app.title.mustache', name), ('in_app.body.mustache', 'it says "expires":1')):
                with open(os.path.join(h.dir, 'templates', name, part), 'w') as out:
                    out.write(text)
        h.write()
        h.start()
        for name in ('plain', 'news'):
            h.settled(h.send('a', name, {}, channels=['in_app']))
        s = self.stream(h, self.token(h, 'a'))
        self.assertEqual(self.hello(h, s)['unread'], 2)
        news, plain = self.inbox(h, 'a')['items']
        self.assertEqual((news['pinned'], news['importance'], plain['pinned'], plain['importance'], plain['expires_at']), (True, 'high', False, 'normal', None))
        self.assertIsNotNone(news['expires_at'])
        h.until(lambda: s.of('inbox'), 10)
        self.assertEqual((s.of('inbox')[0]['unread'], s.of('inbox')[0]['gone'], s.of('inbox')[0]['items']), (1, [news['id']], []))
        self.assertEqual([i['title'] for i in self.inbox(h, 'a')['items']], ['plain'])
        with open(os.path.join(h.dir, 'templates', 'news', 'template.yaml'), 'w') as out:
            out.write('category: account\nchannels: [in_app]\nin_app: { expires: soon }\n')
        h.cli('template', 'check', status=1)

    def test_who_knows_the_version_gets_no_list(self):
        h = self.up()
        self.card(h, 'a')
        for path in ('/v1/inbox', '/v1/inbox/count'):
            request = urllib.request.Request('http://127.0.0.1:%d%s' % (h.port, path), headers=self.me(h, 'a'))
            with urllib.request.urlopen(request) as r:
                tag, body = r.headers['ETag'], json.load(r)
            self.assertEqual(tag, '"%d"' % body['version'])
            request.add_header('If-None-Match', tag)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            self.assertEqual(refused.exception.code, 304)
        self.assertEqual(set(h.http('GET', '/v1/inbox/count', headers=self.me(h, 'a'))[1]), {'unread', 'unseen', 'version'})

    # who may

    def test_a_ticket_opens_one_stream_once(self):
        """E31."""
        h = self.up()
        self.card(h, 'a')
        status, answer = h.http('POST', '/v1/inbox/ticket', {}, headers=self.me(h, 'a'))
        self.assertEqual(status, 201)
        s = self.stream(h, query='?ticket=' + answer['ticket'])
        self.assertEqual(self.hello(h, s)['unread'], 1)
        again = self.stream(h, query='?ticket=' + answer['ticket'])
        h.until(lambda: again.status() == 401)
        none = self.stream(h, query='?ticket=abc')
        h.until(lambda: none.status() == 401)

    def test_a_token_that_is_over_says_so(self):
        h = self.up(in_app={'token': '1m'})
        h.stop()
        h.start('--clock-rate', '60')
        me = self.me(h, 'a')
        h.until(lambda: h.http('GET', '/v1/inbox', headers=me)[0] == 401)
        self.assertEqual(h.http('GET', '/v1/inbox', headers=me)[1]['code'], 'token_expired')
        self.assertNotIn('code', h.http('GET', '/v1/inbox', headers={'Authorization': 'Bearer x'})[1])

    def ask(self, h, method, path, **headers):
        request = urllib.request.Request('http://127.0.0.1:%d%s' % (h.port, path), method=method, headers={k.replace('_', '-'): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request) as r:
                return r.status, dict(r.headers), r.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def test_pages_of_listed_origins_may_read_inboxes_and_nothing_else(self):
        h = self.up(in_app={'origins': ['https://portal.example.com']})
        token = self.me(h, 'a')['Authorization']
        status, headers, _ = self.ask(h, 'OPTIONS', '/v1/inbox/stream', Origin='https://portal.example.com', Access_Control_Request_Method='GET',
                                      Access_Control_Request_Headers='authorization, last-event-id')
        self.assertEqual((status, headers['Access-Control-Allow-Origin'], headers['Vary'], headers['Access-Control-Max-Age']), (204, 'https://portal.example.com', 'Origin', '7200'))
        for word in ('Authorization', 'Last-Event-ID', 'Content-Type'):
            self.assertIn(word, headers['Access-Control-Allow-Headers'])
        self.assertNotIn('Access-Control-Allow-Credentials', headers)
        status, headers, _ = self.ask(h, 'GET', '/v1/inbox', Origin='https://portal.example.com', Authorization=token)
        self.assertEqual((status, headers['Access-Control-Allow-Origin']), (200, 'https://portal.example.com'))
        for origin in ('https://evil.example.com', 'https://portal.example.com.evil.example', 'http://portal.example.com', 'null'):
            status, headers, body = self.ask(h, 'GET', '/v1/inbox', Origin=origin, Authorization=token)
            self.assertEqual((status, json.loads(body)['code'], 'Access-Control-Allow-Origin' in headers), (403, 'origin', False), origin)
            self.assertEqual(self.ask(h, 'OPTIONS', '/v1/inbox', Origin=origin, Access_Control_Request_Method='GET')[0], 403)
        self.assertEqual(self.ask(h, 'GET', '/v1/inbox', Origin='http://127.0.0.1:%d' % h.port, Authorization=token)[0], 200)
        status, headers, _ = self.ask(h, 'GET', '/v1/queue', Origin='https://portal.example.com')
        self.assertNotIn('Access-Control-Allow-Origin', headers)
        self.assertEqual(self.ask(h, 'OPTIONS', '/v1/messages', Origin='https://portal.example.com', Access_Control_Request_Method='POST')[0], 405)

    # many at once

    def test_a_burst_becomes_few_frames_and_the_last_one_is_right(self):
        h = self.up()
        s = self.stream(h, self.token(h, 'a'))
        self.hello(h, s)
        h.cli('enqueue', '--quiet', stdin='\n'.join(json.dumps({'recipient': 'a', **UPDATE, 'data': {'order': str(n), 'parcels': 1}}) for n in range(40)))
        h.until(lambda: s.of('inbox') and s.of('inbox')[-1]['unread'] == 40, what=lambda: s.frames[-1:])
        seen = [i['id'] for data in s.of('inbox') for i in data['items']]
        self.assertEqual((len(seen), len(set(seen))), (40, 40))
        self.assertLess(len(s.of('inbox')), 25)
        versions = [d['version'] for e, _, d in s.frames if e in ('hello', 'inbox')]
        self.assertEqual(versions, sorted(set(versions)))

    def test_two_streams_of_a_person_know_the_same(self):
        """E35."""
        h = self.up()
        card = self.card(h, 'a')
        one, two = (self.stream(h, self.token(h, 'a')) for _ in range(2))
        self.hello(h, one), self.hello(h, two)
        self.post(h, 'a', card + '/read')
        for s in (one, two):
            h.until(lambda: s.of('inbox') and s.of('inbox')[-1]['unread'] == 0)

    def test_a_reader_that_does_not_read_costs_little_and_lists_again(self):
        h = self.up()
        token = self.token(h, 'a')
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.addCleanup(s.close)
        s.connect(('127.0.0.1', h.port))
        s.sendall(('GET /v1/inbox/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n' % token).encode())
        time.sleep(0.5)
        deadline = time.time() + 60 * SLOWNESS
        while not re.search(r'tidings_inbox_resyncs_total [1-9]', self.metrics(h)) and time.time() < deadline:
            h.cli('enqueue', '--quiet', stdin='\n'.join(json.dumps({'recipient': 'a', **UPDATE, 'data': {'order': 'x' * 3000, 'parcels': 1}}) for n in range(40)))
        self.assertRegex(self.metrics(h), r'tidings_inbox_resyncs_total [1-9]')
        self.assertEqual(h.http('GET', '/healthz')[0], 200)
        text, s_end = b'', time.time() + 20
        s.settimeout(1)
        while b'event: resync' not in text[-3000:] and time.time() < s_end:
            try:
                text += s.recv(1 << 20)
            except OSError:
                break
        self.assertIn(b'event: resync', text)  # and it is told, behind what had begun

    def metrics(self, h):
        return urllib.request.urlopen('http://127.0.0.1:%d/metrics' % h.port).read().decode()


if __name__ == '__main__':
    unittest.main()
