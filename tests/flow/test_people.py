"""Many changes of one person, profiles that cannot be kept, and people and their consents by the thousand."""
import concurrent.futures, json, sys, unittest

from house import FlowTest, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing'}}
NDJSON = 'application/x-ndjson'
sys.setrecursionlimit(20000)  # for reading what is nested deep


def lines(*objects):
    return '\n'.join(o if isinstance(o, str) else json.dumps(o, ensure_ascii=False) for o in objects) + '\n'


def answers(text):
    """The answers of a text, one a line; a single one has been read already."""
    return [json.loads(line) for line in text.splitlines()] if isinstance(text, str) else [text]


def marks(out):
    """Of each answer its line, and whether it was taken."""
    return [(o.get('line'), 'result' in o) for o in out]


def nested(depth):
    return '{"a":' * depth + '1' + '}' * depth


class People(FlowTest):
    def message(self, who, **fields):
        return {'recipient': who, 'template': 'welcome', 'channels': ['in_app'], 'category': 'account', 'data': {'name': 'Ada', 'count': 2}, **fields}

    def profile(self, h, who):
        status, profile = h.http('GET', '/v1/recipients/' + who)
        self.assertEqual(status, 200, (who, profile))
        return profile

    def ledger(self, h, who):
        return h.http('GET', '/v1/recipients/%s/consents' % who)[1]['consents']

    def import_csv(self, h, text, *options, status=0):
        """The answers to the rows, without the one to the header."""
        out = answers(h.cli('recipient', 'import', *options, stdin=text, status=status))
        return [o for o in out if o.get('result') != 'header']

    # one person, changed again and again

    def test_every_line_about_one_person_is_taken_and_the_last_one_stands(self):
        h = self.start(categories=CATEGORIES)
        burst = lambda who: lines(*(self.message(person(who, attributes={'n': n}, email='%s%d@example.com' % (who, n))) for n in range(20)))
        status, text = h.http('POST', '/v1/messages', raw=burst('http').encode(), type=NDJSON)
        self.assertEqual([a['http_status'] for a in answers(text)], [202] * 20, text)
        self.assertEqual([a['status'] for a in answers(h.cli('enqueue', stdin=burst('cli')))], ['scheduled'] * 20)
        for who in ('http', 'cli'):
            self.assertEqual((self.profile(h, who)['attributes'], self.profile(h, who)['email']), ({'n': 19}, who + '19@example.com'))
            self.assertEqual(len(self.all(h, who)), 20)

    def all(self, h, who):
        return h.http('GET', '/v1/messages?recipient=%s&limit=100' % who)[1]['messages']

    def test_the_redis_door_takes_a_burst_about_one_person_at_once_and_in_order(self):
        h = self.start(categories=CATEGORIES)
        burst = [self.message(person('r', attributes={'n': n}, email='r%d@example.com' % n)) for n in range(20)] + [self.message(person('other'))]
        h.redis(stdin='\n'.join("XADD tidings:ingest * message '%s'" % json.dumps(m) for m in burst).encode())
        h.until(lambda: len(self.all(h, 'r')) == 20 and self.all(h, 'other'), 8, lambda: len(self.all(h, 'r')))
        self.assertEqual((self.profile(h, 'r')['attributes'], self.profile(h, 'r')['email']), ({'n': 19}, 'r19@example.com'))
        self.assertEqual(h.cli_json('dead', 'list'), [])

    def test_an_import_takes_every_row_of_one_person_and_the_last_one_stands(self):
        h = self.start(categories=CATEGORIES)
        out = answers(h.cli('recipient', 'import', stdin=lines(*(person('n', attributes={'n': n}, email='n%d@example.com' % n) for n in range(40)))))
        self.assertEqual([o.get('result') for o in out], ['created'] + ['updated'] * 39)
        out = self.import_csv(h, 'id,email,n\n' + ''.join('c,c%d@example.com,%d\n' % (n, n) for n in range(40)))
        self.assertEqual([o.get('result') for o in out], ['created'] + ['updated'] * 39)
        self.assertEqual([self.profile(h, who)['email'] for who in 'nc'], ['n39@example.com', 'c39@example.com'])

    def test_people_who_are_changed_at_the_same_moment_are_no_outage(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/p', person('p'))
        doors = [lambda n: h.http('PUT', '/v1/recipients/p', person('p', attributes={'n': n}))[0],
                 lambda n: h.http('PATCH', '/v1/recipients/p', {'attributes': {'n': n}})[0],
                 lambda n: h.http('PATCH', '/v1/recipients/p/preferences', {'max_per_week': n})[0],
                 lambda n: h.http('POST', '/v1/messages', self.message(person('p', attributes={'n': n})))[0]]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            got = list(pool.map(lambda n: doors[n % 4](n + 1), range(80)))
        self.assertEqual(got, [200, 200, 200, 202] * 20)
        self.assertEqual(len(self.all(h, 'p')), 20)

    # what cannot be kept

    def test_a_profile_nested_too_deep_is_refused_at_every_door_before_anything_is_written(self):
        h = self.start(categories=CATEGORIES)
        one = lambda text: answers(text)[0]
        doors = {
            'put': lambda who, attributes, whole, message: h.http('PUT', '/v1/recipients/' + who, raw=attributes)[0],
            'patch': lambda who, attributes, whole, message: h.http('PATCH', '/v1/recipients/' + who, raw=attributes)[0],
            'message': lambda who, attributes, whole, message: h.http('POST', '/v1/messages', raw=message)[0],
            'lines': lambda who, attributes, whole, message: one(h.http('POST', '/v1/messages', raw=message, type=NDJSON)[1])['http_status'],
            'enqueue': lambda who, attributes, whole, message: one(h.cli('enqueue', stdin=message, status=1))['status'],
            'import': lambda who, attributes, whole, message: one(h.cli('recipient', 'import', stdin=whole, status=1))['status']}
        for depth in (1000, 1500, 5000):
            for door, ask in doors.items():
                with self.subTest(door=door, depth=depth):
                    who = '%s%d' % (door, depth)
                    whole = '{"id":"%s","attributes":%s}' % (who, nested(depth))
                    message = json.dumps(self.message('WHO')).replace('"WHO"', whole)
                    if door == 'patch':
                        h.http('PUT', '/v1/recipients/' + who, {'email': 'd@example.com'})
                    status = ask(who, b'{"attributes":%s}' % nested(depth).encode(), whole.encode() + b'\n', message.encode() + b'\n')
                    # what the reader of a door cannot hold either is no JSON for it
                    self.assertIn(status, (422,) if door in ('put', 'patch') and depth < 2000 else (400, 422))
                    self.assertNotIn('attributes', h.http('GET', '/v1/recipients/' + who)[1])
                    self.assertEqual((h.http('GET', '/v1/recipients/' + who)[0], self.all(h, who)), (200 if door == 'patch' else 404, []))

    def test_what_else_is_nested_too_deep_is_refused_too(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/e', person('e'))
        deep = nested(1500)
        for path, body in (('/v1/messages', json.dumps(self.message('e', tags='DEEP'))), ('/v1/messages', json.dumps(self.message('e', data='DEEP'))),
                           ('/v1/recipients/e/consents', '{"category":"marketing","state":"granted","evidence":"DEEP"}')):
            with self.subTest(path=path, body=body[:60]):
                self.assertIn(h.http('POST', path, raw=body.replace('"DEEP"', deep).encode())[0], (400, 422))
        self.assertEqual((len(self.ledger(h, 'e')), len(self.all(h, 'e'))), (0, 0))
        self.assertEqual(h.http('PATCH', '/v1/recipients/e', raw=('{"attributes":%s}' % nested(20)).encode())[0], 200)  # ordinary depth is none
        self.assertEqual(h.settled(h.send('e', channels=['in_app'], category='account'))['status'], 'sent')

    def test_a_deep_profile_in_the_stream_is_a_dead_letter_and_its_neighbours_go_on(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/stored', raw=('{"attributes":%s}' % nested(1500)).encode())  # refused; else it would be the poison
        deep = json.dumps(self.message('WHO')).replace('"WHO"', '{"id":"deep","attributes":%s}' % nested(1500))
        for text in (*(json.dumps(self.message(person(who))) for who in ('before', 'stored', 'after')), deep):
            h.redis('-x', 'XADD', 'tidings:ingest', '*', 'message', stdin=text.encode())
        h.until(lambda: self.all(h, 'before') and self.all(h, 'after'), 8)
        h.until(lambda: h.redis('XLEN', 'tidings:ingest') == '0', 8, 'nothing is left in the stream')
        self.assertEqual(len(h.cli_json('dead', 'list')), 1)
        self.assertEqual(h.http('GET', '/v1/recipients/deep')[0], 404)

    def test_poison_is_buried_with_its_reason_and_its_neighbours_go_on(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/poison', person('poison'))
        keys = [k for k in h.redis('--scan').split('\n') if 'poison' in k]
        if not keys:
            self.skipTest('no key has the name of a person')
        for key in keys:  # now of a type that no script expects
            other = ('LPUSH', key, 'x') if h.redis('TYPE', key) != 'list' else ('SET', key, 'x')
            h.redis('DEL', key)
            h.redis(*other)
        for who in ('before', 'poison', 'after'):
            h.redis('XADD', 'tidings:ingest', '*', 'message', json.dumps(self.message(person(who))))
        h.until(lambda: self.all(h, 'before') and self.all(h, 'after'), 8)
        self.assertNotEqual(h.http('POST', '/v1/messages', self.message(person('poison')))[0], 503)  # Redis does answer
        self.assertEqual(h.http('POST', '/v1/messages', self.message(person('beside')))[0], 202)
        h.until(lambda: h.redis('XLEN', 'tidings:ingest') == '0', 12, 'nothing is left in the stream')
        dead = h.cli_json('dead', 'list')
        self.assertEqual((len(dead), bool(dead[0]['reason'])), (1, True))
        self.assertIn('poison', h.cli('dead', 'show', dead[0]['id']))

    # CSV as it is found

    def test_header_names_are_matched_without_case(self):
        h = self.start(categories=CATEGORIES)
        for header in ('id,Email,PHONE,Locale,TimeZone', 'ID,EMAIL,Phone,LOCALE,Timezone', ' Id , email , phone , locale , timezone ',
                       '\ufeffid,"Email",phone,locale,timezone'):
            with self.subTest(header=header):
                self.assertEqual(len(self.import_csv(h, header + '\na,a@example.com,+491701234567,de,Europe/Berlin\n')), 1)
                wanted = {'id': 'a', 'email': 'a@example.com', 'phone': '+491701234567', 'locale': 'de', 'timezone': 'Europe/Berlin'}
                self.assertEqual(self.profile(h, 'a'), wanted)
                h.http('DELETE', '/v1/recipients/a')
                h.http('DELETE', '/v1/suppressions/a@example.com')

    PEOPLE = [['id', 'email', 'city'], ['a', 'a@example.com', 'Köln'], ['b', 'b@example.com', 'Málaga, €5; "Süd"'],
              ['c', 'c@example.com', 'plain']]

    def table(self, separator=',', end='\n'):
        cell = lambda c: '"%s"' % c.replace('"', '""') if any(x in c for x in ',;"\t\n') else c
        return end.join(separator.join(map(cell, row)) for row in self.PEOPLE) + end

    def whole(self, h, text, *options):
        out = self.import_csv(h, text, *options)
        for who, email, city in self.PEOPLE[1:]:
            self.assertEqual((self.profile(h, who).get('email'), self.profile(h, who).get('attributes')), (email, {'city': city}))
            h.http('DELETE', '/v1/recipients/' + who)
            h.http('DELETE', '/v1/suppressions/' + email)
        self.assertEqual(marks(out), [(2, True), (3, True), (4, True)])

    def test_a_line_end_within_quotes_belongs_to_its_cell(self):
        h = self.start(categories=CATEGORIES)
        for n, end in enumerate(('\n', '\r\n', '\r')):
            with self.subTest(end=end):
                a, b = 'a%d' % n, 'b%d' % n
                out = self.import_csv(h, end.join(['id,note,email', a + ',"one', 'two, ""2""",a@example.com', b + ',x,b@example.com', '']))
                self.assertEqual([self.profile(h, who)['email'] for who in (a, b)], ['a@example.com', 'b@example.com'])
                self.assertEqual(self.profile(h, a)['attributes'], {'note': 'one%stwo, "2"' % end})
                self.assertEqual(marks(out), [(2, True), (4, True)])

    def test_separators_encodings_and_line_ends_are_found(self):
        h = self.start(categories=CATEGORIES)
        tables = {'comma': self.table(), 'semicolon': self.table(';'), 'tab': self.table('\t'), 'crlf': self.table(end='\r\n'),
                  'cr': self.table(end='\r'), 'cr and semicolon': self.table(';', '\r')}
        for name, text in tables.items():
            for encoding in ('utf-8-sig' if name == 'semicolon' else 'utf-8', 'windows-1252'):
                with self.subTest(table=name, encoding=encoding):
                    self.whole(h, text.encode(encoding))

    def test_separators_and_encodings_are_named_by_flags(self):
        h = self.start(categories=CATEGORIES)
        self.whole(h, self.table(';').encode(), '--separator', ';')
        self.whole(h, self.table('\t').encode(), '--separator', '\t')
        self.whole(h, self.table().encode('windows-1252'), '--encoding', 'windows-1252')
        self.whole(h, self.table(';').encode('windows-1252'), '--separator', ';', '--encoding', 'windows-1252')
        h.cli('recipient', 'import', '--encoding', 'no-such-thing', stdin='id\na\n', status=None)
        self.assertIn('no-such-thing', h.err)
        self.assertEqual(h.http('GET', '/v1/recipients/a')[0], 404)

    def test_every_row_is_answered_with_its_line_and_none_is_dropped_silently(self):
        h = self.start(categories=CATEGORIES)
        text = ('id,email,city\na,a@example.com,"one\ntwo"\n\nb,nonsense,x\nc,c@example.com\nd,d@example.com,x,too much\n'
                ',e@example.com,x\nf,f@example.com,"y"')
        out = self.import_csv(h, text, status=1)
        # blank lines are no rows; a row begins where its first cell does
        self.assertEqual(marks(out), [(2, True), (5, False), (6, True), (7, False), (8, False), (9, True)])
        self.assertEqual(out[1]['errors'][0]['pointer'], '/email')
        self.assertEqual([h.http('GET', '/v1/recipients/' + who)[0] for who in 'abcdf'], [200, 404, 200, 404, 200])

    def test_a_cell_that_is_no_text_of_the_encoding_is_refused_and_not_emptied(self):
        h = self.start(categories=CATEGORIES)
        out = self.import_csv(h, b'id,email,city\na,a@example.com,K\xf6ln\nb,b@example.com,Bonn\n', '--encoding', 'utf-8', status=1)
        self.assertEqual(marks(out), [(2, False), (3, True)])
        self.assertEqual(h.http('GET', '/v1/recipients/a')[0], 404)

    def test_a_quote_that_is_never_closed_is_said_and_what_stands_before_it_is_kept(self):
        h = self.start(categories=CATEGORIES)
        out = self.import_csv(h, 'id,email,city\na,a@example.com,x\nb,b@example.com,"never\nc,c@example.com,y\n', status=1)
        self.assertEqual(marks(out[:2]), [(2, True), (3, False)])

    def test_a_header_without_id_is_refused_before_any_row(self):
        h = self.start(categories=CATEGORIES)
        self.import_csv(h, 'email,city\na@example.com,x\n', status=1)
        self.import_csv(h, 'id,email,Email\na,a@example.com,b@example.com\n', status=1)  # which of the two?
        self.assertEqual(h.http('GET', '/v1/recipients/a')[0], 404)

    def test_lines_of_json_are_answered_with_their_line_too(self):
        h = self.start(categories=CATEGORIES)
        out = answers(h.cli('recipient', 'import', stdin=lines(person('a'), 'rubbish', {'email': 'x@example.com'}, person('b')), status=1))
        self.assertEqual(marks(out), [(1, True), (2, False), (3, False), (4, True)])

    # consents by the thousand

    ENTRY = {'category': 'marketing', 'channel': 'email', 'state': 'granted', 'source': 'signup-form', 'evidence': {'text_version': '2026-03'},
             'at': '2026-03-01T10:00:00Z'}

    def gets(self, h, who, status, reason):
        d = h.settled(h.send(who, 'milestone'))['deliveries'][0]
        self.assertEqual((who, d['status'], d['reason']), (who, status, reason))

    def test_consents_come_with_the_people_as_columns(self):
        h = self.start(categories=CATEGORIES)
        head = 'id,email,consent_category,consent_channel,consent_state,consent_source,consent_at,consent_evidence\n'
        out = self.import_csv(h, head + 'g,g@example.com,marketing,email,granted,signup-form,2026-03-01T10:00:00Z,"{""text_version"":""2026-03""}"\n'
                              'w,w@example.com,marketing,*,withdrawn,letter,2026-03-02T10:00:00Z,\n'
                              'n,n@example.com,,,,,,\nbad,bad@example.com,marketing,email,perhaps,x,,\n', status=1)
        self.assertEqual(marks(out), [(2, True), (3, True), (4, True), (5, False)])
        self.assertEqual({k: v for k, v in self.ledger(h, 'g')[0].items() if k in self.ENTRY}, self.ENTRY)
        self.assertEqual([(e['channel'], e['state'], e['source']) for e in self.ledger(h, 'w')], [('*', 'withdrawn', 'letter')])
        self.assertEqual((self.ledger(h, 'n'), self.ledger(h, 'bad')), ([], []))
        self.assertEqual(h.http('GET', '/v1/recipients/bad')[0], 404)  # a row is taken whole or not at all
        self.assertEqual(self.profile(h, 'g').get('attributes', {}), {})
        self.gets(h, 'g', 'sent', None)
        self.gets(h, 'w', 'suppressed', 'opted_out')
        self.gets(h, 'n', 'suppressed', 'no_consent')

    def test_consents_come_with_the_people_as_json(self):
        h = self.start(categories=CATEGORIES)
        out = {**self.ENTRY, 'category': 'onboarding', 'channel': '*', 'state': 'withdrawn'}
        bad = {**person('bad'), 'consents': [self.ENTRY, {**self.ENTRY, 'state': 'perhaps'}]}
        text = lines({**person('g'), 'consents': [self.ENTRY, out]}, bad, person('n'))
        got = answers(h.cli('recipient', 'import', stdin=text, status=1))
        self.assertEqual(marks(got), [(1, True), (2, False), (3, True)])
        self.assertIn('/consents/1/state', json.dumps(got[1]))
        self.assertEqual([{k: v for k, v in e.items() if k in self.ENTRY} for e in self.ledger(h, 'g')], [self.ENTRY, out])
        self.assertEqual(h.http('GET', '/v1/recipients/bad')[0], 404)
        self.gets(h, 'g', 'sent', None)
        self.gets(h, 'n', 'suppressed', 'no_consent')
        d = h.settled(h.send('g', channels=['email']))['deliveries'][0]
        self.assertEqual((d['status'], d['reason']), ('suppressed', 'opted_out'))

    def test_history_that_is_imported_does_not_silence_who_has_granted_since_without_saying_so(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/s', person('s'))
        h.http('POST', '/v1/recipients/s/consents', {'category': 'marketing', 'state': 'granted', 'evidence': {'text_version': '2026-03'}})
        old = {**self.ENTRY, 'recipient': 's', 'channel': '*', 'state': 'withdrawn', 'at': '2020-01-01T00:00:00Z'}
        answer = answers(h.http('POST', '/v1/consents', raw=lines(old).encode(), type=NDJSON)[1])[0]
        d = h.settled(h.send('s', 'milestone'))['deliveries'][0]
        self.assertEqual(answer.get('withdrawn'), d['reason'] == 'opted_out', (answer, d))  # whichever holds, the receipt says it

    def test_two_thousand_consents_are_one_request_and_each_line_is_answered_in_order(self):
        h = self.start(categories=CATEGORIES)
        everybody = ['p%d' % n for n in range(2000)]
        h.cli('recipient', 'import', stdin=lines(*({'id': p, 'email': p + '@example.com'} for p in everybody[:3])))
        text = lines(*({**self.ENTRY, 'recipient': p} for p in everybody))
        status, got = h.http('POST', '/v1/consents', raw=text.encode(), type=NDJSON)
        self.assertEqual((status, len(answers(got))), (200, 2000), str(got)[:500])
        self.assertTrue(all(a.get('granted') for a in answers(got)), got[:500])
        for who in ('p0', 'p1', 'p1999'):
            self.assertEqual([{k: v for k, v in e.items() if k in self.ENTRY} for e in self.ledger(h, who)], [self.ENTRY])
        self.gets(h, 'p2', 'sent', None)

    def test_each_line_of_consents_stands_for_itself(self):
        h = self.start(categories=CATEGORIES)
        h.cli('recipient', 'import', stdin=lines(person('a'), person('b'), person('c')))
        pending = h.send('b', 'welcome', channels=['email'], delay='1h')
        text = lines({**self.ENTRY, 'recipient': 'a'}, {**self.ENTRY, 'recipient': 'a', 'state': 'perhaps'}, 'rubbish', {**self.ENTRY},
                     {'recipient': 'b', 'category': 'onboarding', 'state': 'withdrawn', 'source': 'letter'},
                     {**self.ENTRY, 'recipient': 'c', 'category': 'typo'},
                     {**self.ENTRY, 'recipient': 'c'}, {**self.ENTRY, 'recipient': 'c', 'state': 'withdrawn', 'at': '2026-03-02T10:00:00Z'})
        status, got = h.http('POST', '/v1/consents', raw=text.encode(), type=NDJSON)
        out = answers(got)
        self.assertEqual((status, len(out)), (200, 8), got)
        self.assertEqual([('errors' in o) for o in out], [False, True, True, True, False, True, False, False], got)
        self.assertEqual([out[n]['errors'][0]['pointer'] for n in (1, 3, 5)], ['/state', '/recipient', '/category'])
        self.assertEqual((out[4]['withdrawn'], out[4]['cancelled']), (True, [pending]))
        self.assertEqual(h.message(pending)['deliveries'][0]['reason'], 'opted_out')
        self.gets(h, 'a', 'sent', None)
        self.gets(h, 'c', 'suppressed', 'opted_out')

    def test_the_bulk_door_asks_for_the_same_key_as_the_single_one(self):
        h = self.start(categories=CATEGORIES, http={'keys': [{'name': 'shop', 'secret': 'x' * 32, 'scopes': ['enqueue']},
                                                             {'name': 'crm', 'secret': 'y' * 32, 'scopes': ['manage']}]})
        text = lines({**self.ENTRY, 'recipient': 'k'}).encode()
        ask = lambda headers: h.http('POST', '/v1/consents', raw=text, type=NDJSON, headers=headers)[0]
        self.assertEqual([ask({}), ask({'Authorization': 'Bearer ' + 'x' * 32}), ask({'Authorization': 'Bearer ' + 'y' * 32})], [401, 403, 200])


if __name__ == '__main__':
    unittest.main()
