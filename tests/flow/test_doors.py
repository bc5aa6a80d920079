"""Three doors, one intake: what is accepted arrives in the recipient's language; what is not names the place."""
import json, unittest

from house import FlowTest, person


class Doors(FlowTest):
    def test_one_message_through_each_door_arrives_in_polish_and_arabic(self):
        h = self.start()
        pl = person('ola', locale='pl', attributes={'name': 'Ola'})
        message = {'recipient': pl, 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'Ola', 'count': 5}}
        by_http = h.send(**{k: v for k, v in message.items()})
        h.redis('XADD', 'tidings:ingest', '*', 'message', json.dumps({**message, 'recipient': 'ola', 'data': {'name': 'Ola', 'count': 2}}))
        by_cli = json.loads(h.cli('enqueue', stdin=json.dumps({**message, 'recipient': person('amal', locale='ar'), 'data': {'name': 'Amal', 'count': 2}}) + '\n'))
        self.assertEqual(by_cli['status'], 'scheduled')
        h.until(lambda: len(h.smtp.accepted) == 3)
        texts = {}
        for m in h.smtp.accepted:
            mail = m.parse()
            self.assertEqual(mail.get_content_type(), 'multipart/alternative')
            self.assertEqual([p.get_content_type() for p in mail.iter_parts()], ['text/plain', 'text/html'])
            texts.setdefault(m.recipient, []).append(mail.get_body(('plain',)).get_content())
        self.assertTrue(any('Pozostało 5 kroków' in t for t in texts['ola@example.com']))
        self.assertTrue(any('Pozostały 2 kroki' in t for t in texts['ola@example.com']))
        self.assertIn('تبقت خطوتان', texts['amal@example.com'][0])
        self.assertIn('dir="rtl"', next(m for m in h.smtp.accepted if m.recipient.startswith('amal')).parse().get_body(('html',)).get_content())
        why = h.cli('why', by_http)
        for gate in ('accepted', 'expiry', 'address', 'suppression', 'consent', 'preference', 'quiet_hours', 'cap', 'render', 'provider', 'outcome'):
            self.assertIn(' %s ' % gate, why)

    def test_a_mail_carries_what_the_contract_says(self):
        h = self.start()
        id = h.send(person('ada', attributes={'name': 'Ada Łuk'}), channels=['email'])
        h.settled(id)
        mail = h.smtp.accepted[0].parse()
        self.assertEqual(mail['Message-ID'], '<%s-e@example.com>' % id)
        self.assertEqual(mail['Auto-Submitted'], 'auto-generated')
        self.assertEqual(mail['List-Unsubscribe-Post'], 'List-Unsubscribe=One-Click')
        self.assertTrue(mail['List-Unsubscribe'].startswith('<http'))
        self.assertEqual(str(mail['To']), 'Ada Łuk <ada@example.com>')
        d = h.delivery(id)
        self.assertEqual((d['status'], d['provider'], d['attempts'], d['reason']), ('sent', 'primary', 1, None))
        self.assertTrue(d['provider_ref'].startswith('250 2.0.0'))
        account = h.send('ada', 'order-update', channels=['in_app'])
        self.assertEqual(h.settled(account)['status'], 'sent')

    def test_an_sms_is_posted_signed_and_counted(self):
        from servers import signature
        secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
        h = self.house()
        h.settings['sms']['providers'][0].update(signing_secret=secret, sender='tidings')
        h.write()
        h.start()
        id = h.send(person('ada', locale='de'), 'order-update', channels=['sms'])
        d = h.settled(id)['deliveries'][0]
        r = h.gateway.requests[0]
        self.assertEqual(r['json'], {'id': id + '-s', 'to': '+491701234567', 'text': 'Bestellung 1: 2 Pakete sind unterwegs.', 'encoding': 'gsm7', 'segments': 1,
                                     'sender': 'tidings'})
        head = {k.lower(): v for k, v in r['headers'].items()}
        self.assertEqual(head['idempotency-key'], id + '-s')
        self.assertEqual(head['webhook-signature'], signature(secret, head, r['body']))
        self.assertEqual(d['provider_ref'], 'sms-1')

    def test_an_idempotency_key_answers_the_same_and_refuses_another_body(self):
        h = self.start()
        body = {'recipient': person(), 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}, 'idempotency_key': 'k1'}
        s1, a1 = h.http('POST', '/v1/messages', body)
        self.assertIsNone(h.headers['Idempotency-Replayed'])
        s2, a2 = h.http('POST', '/v1/messages', body)
        self.assertEqual((s1, s2, a1), (202, 202, a2))
        self.assertEqual(h.headers['Idempotency-Replayed'], 'true')
        s3, a3 = h.http('POST', '/v1/messages', {k: v for k, v in body.items() if k != 'idempotency_key'}, headers={'Idempotency-Key': 'k1'})
        self.assertEqual((s3, a3['id']), (202, a1['id']))
        for other in ({'data': {'name': 'B', 'count': 1}}, {'recipient': person('bob')}):
            status, problem = h.http('POST', '/v1/messages', {**body, **other})
            self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/idempotency_key'))
        replay = json.loads(h.cli('enqueue', stdin=json.dumps(body)))
        self.assertEqual(replay['id'], a1['id'])
        h.settled(a1['id'])
        self.assertEqual(len(h.smtp.received), 1)

    def test_bad_input_names_the_place_at_each_door(self):
        h = self.start()
        good = {'recipient': person(), 'template': 'welcome', 'data': {'name': 'A', 'count': 1}}
        cases = [
            ({'template': None}, '/template'), ({'template': '../x'}, '/template'), ({'recipient': 'a b'}, '/recipient'), ({'recipient': {'email': 'a@b.example'}}, '/recipient/id'),
            ({'recipient': person(email='a@b.example\r\nRCPT TO:<x@y.example>')}, '/recipient/email'), ({'recipient': person(phone='0170')}, '/recipient/phone'),
            ({'recipient': person(timezone='Mars/Base')}, '/recipient/timezone'), ({'data': {'name': 'A', 'count': 'x'}}, '/data/count'), ({'data': {'name': 'A'}}, '/data/count'),
            ({'channels': ['fax']}, '/channels/0'), ({'channels': ['sms']}, '/channels/0'), ({'send_at': 'tomorrow'}, '/send_at'), ({'send_at': '2026-12-01T09:00:00'}, '/send_at'),
            ({'delay': '5 parsecs'}, '/delay'), ({'delay': '1d', 'send_at': '2026-12-01T09:00:00Z'}, '/delay'), ({'priority': 'urgent'}, '/priority'), ({'strategy': 'any'}, '/strategy'),
            ({'category': 'news'}, '/category'), ({'colour': 'red'}, '/colour'), ({'tags': []}, '/tags'), ({'ttl': '0s'}, '/ttl'),
            ({'send_at': '2036-01-01T00:00:00Z', 'expires_at': '2035-01-01T00:00:00Z'}, '/expires_at'), ({'send_at': '9999-12-31T00:00:00Z'}, '/send_at'),
        ]
        for change, pointer in cases:
            body = {k: v for k, v in {**good, **change}.items() if v is not None}
            with self.subTest(pointer=pointer, change=change):
                status, problem = h.http('POST', '/v1/messages', body)
                self.assertEqual(status, 422, problem)
                self.assertIn(pointer, [e['pointer'] for e in problem['errors']])
        for raw in (b'', b'{', b'[]', b'{"recipient":"a","recipient":"b"}', b'\xff', b'{"a":' * 50 + b'1' + b'}' * 50):
            status, problem = h.http('POST', '/v1/messages', raw=raw)
            self.assertEqual(status, 400, raw)
        line = h.cli('enqueue', stdin='{"template":"welcome"}\nnot json\n', status=1)
        self.assertEqual([json.loads(l)['status'] for l in line.splitlines()], [422, 400])
        h.redis('XADD', 'tidings:ingest', '*', 'message', '{"template":"nope","recipient":"ada"}')
        h.redis('XADD', 'tidings:ingest', '*', 'other', 'x')
        dead = h.until(lambda: (lambda l: l if len(l) == 2 else None)(h.cli_json('dead', 'list')))
        self.assertTrue(any('/template names no template' in d['reason'] for d in dead), dead)
        self.assertEqual(h.redis('XLEN', 'tidings:ingest'), '0')
        self.assertEqual(h.http('GET', '/healthz')[0], 200)

    def test_a_null_is_a_missing_field_at_every_door(self):
        h = self.start()
        message = {'recipient': person(), 'template': 'welcome', 'channels': ['in_app'], 'category': None, 'data': {'name': 'A', 'count': 1}}
        id = h.send(**{**message, 'template': 'welcome'})  # the template's category stands in
        self.assertEqual(h.settled(id)['category'], 'onboarding')
        for key in ('template', 'recipient'):
            self.assertEqual(h.http('POST', '/v1/messages', {**message, key: None})[0], 422)
        h.redis('XADD', 'tidings:ingest', '*', 'message', json.dumps({**message, 'template': None}))
        h.until(lambda: h.cli_json('dead', 'list'))

    def test_the_stream_door_survives_the_loss_of_its_key(self):
        h = self.start()
        message = json.dumps({'recipient': person(), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'A', 'count': 1}})
        for n in (1, 2):
            h.redis('DEL', 'tidings:ingest')
            h.redis('XADD', 'tidings:ingest', '*', 'message', message)
            h.until(lambda: 'status="sent"} %d' % n in h.http('GET', '/metrics')[1])

    def test_each_line_of_ndjson_gets_its_answer_whatever_it_holds(self):
        h = self.start()
        good = json.dumps({'recipient': person(), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'A', 'count': 1}}).encode()
        status, text = h.http('POST', '/v1/messages', raw=b'\0\n' + good + b'\n' + good + b'\0\n\n' + good, type='application/x-ndjson')
        self.assertEqual([json.loads(l)['http_status'] for l in text.splitlines()], [400, 202, 400, 202])
        self.assertEqual(h.http('POST', '/v1/messages', raw=good, type='application/x-ndjson', headers={'Idempotency-Key': 'k'})[0], 400)
        out = h.cli('enqueue', stdin=b'\0\n' + good + b'\n', status=1)
        self.assertEqual(len(out.splitlines()), 2)

    def test_a_key_is_remembered_even_when_the_message_would_be_refused_by_now(self):
        import datetime, time
        h = self.start()
        soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).strftime('%Y-%m-%dT%H:%M:%SZ')
        body = {'recipient': person(), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'A', 'count': 1}, 'expires_at': soon, 'idempotency_key': 'late'}
        first = h.http('POST', '/v1/messages', body)
        if first[0] == 202:  # else the second was over already
            time.sleep(1.5)
            self.assertEqual(h.http('POST', '/v1/messages', body), first)
            self.assertEqual(h.headers['Idempotency-Replayed'], 'true')
            self.assertEqual(h.http('POST', '/v1/messages', {**body, 'data': {'name': 'B', 'count': 1}})[0], 422)

    def test_what_could_not_be_accepted_can_be_redriven(self):
        h = self.start()
        payload = json.dumps({'recipient': person(), 'template': 'later', 'channels': ['email'], 'category': 'onboarding'})
        h.redis('XADD', 'tidings:ingest', '*', 'message', payload)
        dead = h.until(lambda: h.cli_json('dead', 'list'))[0]
        self.assertEqual(json.loads(h.cli('dead', 'show', dead['id']))['payload'], payload)
        h.cli('dead', 'redrive', dead['id'], status=1)
        import os, shutil
        templates = os.path.join(h.dir, 'templates')
        shutil.copytree(h.settings['templates'], templates)
        os.mkdir(templates + '/later')
        for part, text in (('subject', 'Later'), ('text', 'Hello')):
            with open('%s/later/email.%s.mustache' % (templates, part), 'w') as out:
                out.write(text)
        h.settings['templates'] = templates
        h.write()
        h.stop()
        h.start()
        h.cli('dead', 'redrive', dead['id'])
        h.until(lambda: h.smtp.accepted)
        self.assertEqual(h.cli_json('dead', 'list'), [])

    def test_many_lines_get_one_answer_each_in_their_order(self):
        h = self.start()
        lines = [json.dumps({'recipient': person('r%d' % (i % 50)), 'template': 'order-update', 'channels': ['in_app'], 'data': {'order': str(i), 'parcels': 1}} if i % 10 else {'x': i})
                 for i in range(1000)]
        out = [json.loads(l) for l in h.cli('enqueue', stdin='\n'.join(lines), status=1).splitlines()]
        self.assertEqual([i for i, a in enumerate(out) if a['status'] == 422], list(range(0, 1000, 10)))
        status, text = h.http('POST', '/v1/messages', raw='\n'.join(lines[:20]).encode(), type='application/x-ndjson')
        self.assertEqual([json.loads(l)['http_status'] for l in text.splitlines()], [422 if i % 10 == 0 else 202 for i in range(20)])


if __name__ == '__main__':
    unittest.main()
