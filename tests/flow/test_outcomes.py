"""What relays and gateways may answer, and what becomes of the message: faults.md 1.4, as a table."""
import os, ssl, subprocess, tempfile, time, unittest

from house import DROP, HANG, FlowTest, Gateway, House, SmtpServer, person
from servers import RedisProxy


def certificate(host):
    d = tempfile.mkdtemp(prefix='tidings-cert-')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=' + host, '-addext',
                    'subjectAltName=%s:%s' % ('IP' if host[0].isdigit() else 'DNS', host), '-keyout', d + '/key.pem', '-out', d + '/cert.pem'], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(d + '/cert.pem', d + '/key.pem')
    return context, d + '/cert.pem'


class Outcomes(FlowTest):
    def test_each_answer_of_a_mail_server_has_its_outcome(self):
        """verb, reply, status, reason, attempts, copies that the server had whole"""
        table = [
            ('MAIL', '450 4.2.0 later', 'failed', 'provider_unavailable', 3, 0), ('MAIL', '550 5.1.0 no', 'failed', 'provider_rejected', 1, 0),
            ('RCPT', '450 4.2.1 greylisted', 'failed', 'provider_unavailable', 3, 0), ('RCPT', '550 5.1.1 nobody', 'failed', 'provider_rejected', 1, 0),
            ('RCPT', '552 5.2.2 full', 'failed', 'provider_rejected', 1, 0), ('DATA', '451 4.3.0 busy', 'failed', 'provider_unavailable', 3, 0),
            ('DATA', '554 5.7.1 no', 'failed', 'provider_rejected', 1, 0), ('BODY', '452 4.3.1 disk', 'failed', 'provider_unavailable', 3, 3),
            ('BODY', '554 5.7.1 spam', 'failed', 'provider_rejected', 1, 1),
            ('BODY', DROP, 'unknown', 'outcome_unknown', 1, 1), ('BODY', '250 ', 'sent', None, 1, 1), ('BODY', '250-2.0.0 two\n250 2.0.0 lines', 'sent', None, 1, 1),
            ('DATA', '250 2.0.0 what?', 'failed', 'provider_unavailable', 3, 0), ('QUIT', HANG, 'sent', None, 1, 1),
        ]
        h = self.start(retry={'first': '100ms', 'factor': 1, 'max': '100ms', 'max_attempts': 3, 'jitter': 0})
        for i, (verb, reply, status, reason, attempts, copies) in enumerate(table):
            with self.subTest(verb=verb, reply=reply):
                who = 'r%d@example.com' % i
                h.smtp.script = lambda v, arg, s: reply if v == verb and (v not in ('RCPT', 'BODY') or arg == who) else None
                id = h.send(person('r%d' % i), channels=['email'])
                h.settled(id, 20)
                d = h.delivery(id)
                self.assertEqual((d['status'], d['reason'], d['attempts']), (status, reason, attempts), h.gate(id, 'outcome'))
                self.assertEqual(len([m for m in h.smtp.received if m.recipient == who]), copies)
        h.smtp.script = None
        self.assertEqual(h.settled(h.send(person('last'), channels=['email']))['status'], 'sent')

    def test_a_fault_of_the_relay_burns_no_attempt_and_mends_itself(self):
        h = self.start()
        for verb, reply in (('CONNECT', '554 5.3.2 closed'), ('CONNECT', DROP), ('MAIL', '421 4.7.0 too many'), ('MAIL', '530 5.7.0 log in')):
            with self.subTest(verb=verb, reply=reply):
                h.stop()  # so that no connection is open
                h.start()
                h.smtp.script = lambda v, arg, s: reply if v == verb else None
                id = h.send(person('f'), channels=['email'])
                d = h.reason(id, 'provider_unavailable')
                self.assertEqual((d['status'], d['attempts']), ('scheduled', 0))
                h.smtp.script = None
                self.assertEqual(h.settled(id, 30)['deliveries'][0]['attempts'], 1)

    def test_a_relay_that_cannot_be_reached_leaves_the_message_scheduled_until_it_can(self):
        h = self.house()
        h.smtp.close()
        h.start()
        id = h.send(person('n'), channels=['email'])
        self.assertEqual(h.reason(id, 'provider_unavailable')['attempts'], 0)
        self.assertIn('tidings_provider_up{provider="primary"} 0', h.http('GET', '/metrics')[1])
        h.smtp = SmtpServer(port=h.smtp.port)
        self.assertEqual(h.settled(id, 30)['status'], 'sent')

    def test_the_second_relay_takes_over_when_the_first_is_away(self):
        second = SmtpServer()
        self.addCleanup(second.close)
        h = self.house()
        h.settings['email']['providers'].append({'name': 'backup', 'url': 'smtp://127.0.0.1:%d' % second.port, 'tls': 'none'})
        h.write()
        h.smtp.close()
        h.start()
        self.assertEqual(h.settled(h.send(person('n'), channels=['email']), 20)['deliveries'][0]['provider'], 'backup')

    def test_a_server_that_closes_after_each_mail_loses_none(self):
        h = self.start()
        h.smtp.script = lambda v, arg, s: DROP if v == 'MAIL' and s.count >= 2 else None
        ids = [h.send(person('k%d' % i), channels=['email']) for i in range(20)]
        for id in ids:
            self.assertEqual(h.settled(id, 60)['status'], 'sent')
        self.assertEqual(len(h.smtp.accepted), 20)

    def test_an_unknown_outcome_is_held_for_service_and_repeated_for_transactional_mail(self):
        h = self.start(categories={'held': {'kind': 'service'}, 'again': {'kind': 'transactional'}})
        first = []
        h.smtp.script = lambda v, arg, s: (first.append(arg), DROP)[1] if v == 'BODY' and arg not in first else None
        held, again = h.send(person('h'), channels=['email'], category='held'), h.send(person('a'), channels=['email'], category='again')
        self.assertEqual(h.settled(again, 30)['status'], 'sent')
        self.assertEqual(h.settled(held)['status'], 'unknown')
        copies = [m for m in h.smtp.received if m.recipient.startswith('a@')]
        self.assertEqual(len(copies), 2)
        self.assertEqual(len({m.parse()['Message-ID'] for m in copies}), 1)

    def test_what_is_withdrawn_cancelled_or_suppressed_before_the_final_dot_is_not_sent(self):
        h = self.start()
        stops = {'w': (lambda id: h.http('POST', '/v1/recipients/w/consents', {'category': 'onboarding', 'state': 'withdrawn'}), 'suppressed', 'opted_out'),
                 'c': (lambda id: h.http('DELETE', '/v1/messages/' + id), 'cancelled', 'cancelled'),
                 's': (lambda id: h.http('PUT', '/v1/suppressions/s@example.com', {'reason': 'complaint'}), 'suppressed', 'suppressed_address')}
        for who, (stop, status, reason) in stops.items():
            with self.subTest(who=who):
                waiting, go = [], __import__('threading').Event()
                h.smtp.script = lambda v, arg, s: (waiting.append(1), go.wait(5), None)[2] if v == 'RCPT' else None
                id = h.send(person(who), channels=['email'])
                h.until(lambda: waiting)
                receipt = stop(id)[1]
                go.set()
                h.settled(id)
                d = h.delivery(id)
                self.assertEqual((d['status'], d['reason']), (status, reason))
                if who != 's':
                    self.assertEqual(receipt['cancelled'], [id])
        h.smtp.script = None
        self.assertEqual(h.settled(h.send(person('after'), channels=['email']))['status'], 'sent')
        self.assertEqual([m.recipient for m in h.smtp.received], ['after@example.com'])

    def test_starttls_is_required_verified_and_carries_the_login(self):
        context, ca = certificate('localhost')
        smtp = SmtpServer(tls=context, users={'joe': 's3cret: /@'}, extensions=('SMTPUTF8',))
        h = self.house(smtp=smtp)
        provider = {'name': 'tls', 'url': 'smtp://joe:s3cret%%3A%%20%%2F%%40@localhost:%d' % smtp.port, 'tls': 'required', 'ca_file': ca}
        h.settings['email']['providers'] = [provider]
        h.write()
        h.start()
        self.assertEqual(h.settled(h.send(person('t'), channels=['email']))['status'], 'sent')
        self.assertEqual((smtp.accepted[0].session.authed, smtp.accepted[0].session.tls), ('joe', True))
        self.assertEqual(h.settled(h.send(person('u', email='ü@example.com'), channels=['email']))['status'], 'sent')
        self.assertEqual((smtp.accepted[1].session.authed, smtp.accepted[1].session.tls), ('joe', True))
        ids = [h.send(person('t%d' % i), channels=['email']) for i in range(10)]
        for id in ids:
            h.settled(id)
        self.assertLessEqual(smtp.connections, 10)
        h.stop()
        for change in ({'url': 'smtp://joe:wrong@localhost:%d' % smtp.port}, {'ca_file': certificate('localhost')[1]},
                       {'url': 'smtp://joe:s3cret%%3A%%20%%2F%%40@127.0.0.1:%d' % smtp.port}):
            with self.subTest(change=change):
                before = len(smtp.received)
                h.settings['email']['providers'] = [{**provider, **change}]
                h.write()
                p = h.start()
                for email in ('bad@example.com', 'bäd@example.com'):
                    id = h.send(person('bad', email=email), channels=['email'])
                    self.assertEqual(h.reason(id, 'provider_unavailable')['attempts'], 0)
                    self.assertEqual(len(smtp.received), before)
                    h.http('DELETE', '/v1/messages/' + id)
                h.stop(p)
        smtp.tls = None  # a server, or somebody between, that does not offer STARTTLS
        h.settings['email']['providers'] = [provider]
        h.write()
        h.start()
        id = h.send(person('strip'), channels=['email'])
        h.reason(id, 'provider_unavailable')
        self.assertFalse([l for l in smtp.log if l.startswith('AUTH') and l.endswith('never')])
        self.assertNotIn('strip@example.com', [m.recipient for m in smtp.received])

    def test_bytes_before_the_tls_handshake_are_an_attack_and_no_reply(self):
        context, ca = certificate('localhost')
        smtp = SmtpServer(tls=context)
        h = self.house(smtp=smtp)
        h.settings['email']['providers'] = [{'name': 'tls', 'url': 'smtp://localhost:%d' % smtp.port, 'tls': 'required', 'ca_file': ca}]
        h.write()
        h.start()
        smtp.script = lambda v, arg, s: '220 go ahead\n250 2.0.0 injected' if v == 'STARTTLS' else None
        id = h.send(person('i'), channels=['email'])
        h.reason(id, 'provider_unavailable')
        self.assertIn('injection', h.gate(id, 'outcome')[0]['detail']['detail'])
        smtp.script = None
        self.assertEqual(h.settled(id, 30)['status'], 'sent')

    def test_a_relay_that_says_nothing_or_trickles_is_left_in_time(self):
        h = self.house()
        h.settings['email']['providers'][0].update(connect_timeout='1s', send_timeout='1s')
        h.write()
        h.start()

        def trickle(session):
            for _ in range(40):  # each byte would start libesmtp's own timer anew
                session.wfile.write(b'2')
                session.wfile.flush()
                time.sleep(0.2)
            return '220 late'
        for script, detail in ((HANG, 'while connecting'), (trickle, 'no answer in time')):
            with self.subTest(detail=detail):
                h.smtp.script = lambda v, arg, s: script if v == 'CONNECT' else None
                id = h.send(person('s'), channels=['email'])
                self.assertEqual(h.reason(id, 'provider_unavailable', timeout=20)['attempts'], 0)
                self.assertIn('no answer in time', h.gate(id, 'outcome')[0]['detail']['detail'])
                h.http('DELETE', '/v1/messages/' + id)

    def test_smtps_speaks_tls_from_the_first_byte(self):
        context, ca = certificate('localhost')
        smtp = SmtpServer(tls=context, implicit=True, users={'joe': 'pw'})
        h = self.house(smtp=smtp)
        h.settings['email']['providers'] = [{'name': 'smtps', 'url': 'smtps://joe:pw@localhost:%d' % smtp.port, 'tls': 'implicit', 'ca_file': ca, 'connections': 2}]
        h.write()
        h.start()
        for id in [h.send(person('s%d' % i), channels=['email']) for i in range(6)]:
            self.assertEqual(h.settled(id)['status'], 'sent')

    def test_a_server_that_offers_chunking_gets_the_same_mail_and_the_same_question(self):
        h = self.start(smtp=SmtpServer(extensions=('PIPELINING', '8BITMIME', 'CHUNKING', 'SIZE 10000000')))
        ids = [h.send(person('c%d' % i), channels=['email']) for i in range(10)]
        for id in ids:
            self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertFalse([l for l in h.smtp.log if l.startswith('BDAT')])  # libesmtp tells the last refusal of a transaction there
        self.assertEqual(sorted(m.parse()['Message-ID'] for m in h.smtp.accepted), sorted('<%s-e@example.com>' % i for i in ids))
        self.assertEqual(h.smtp.accepted[0].parse().get_content_type(), 'multipart/alternative')
        refused = lambda v, arg, s: '550 5.1.1 nobody' if v == 'RCPT' and arg.startswith('no') else None
        for script, status, reason, copies in ((refused, 'failed', 'provider_rejected', 0), (lambda v, a, s: '554 5.7.1 no' if v == 'BODY' else None, 'failed', 'provider_rejected', 1),
                                               (lambda v, a, s: DROP if v == 'BODY' else None, 'unknown', 'outcome_unknown', 1)):
            with self.subTest(reason=reason, copies=copies):
                h.smtp.script, before = script, len(h.smtp.received)
                id = h.send(person('no'), channels=['email'])
                h.settled(id)
                self.assertEqual((h.delivery(id)['status'], h.delivery(id)['reason'], len(h.smtp.received) - before), (status, reason, copies), h.gate(id, 'outcome'))
        h.smtp.script = None
        self.assertEqual(h.settled(h.send(person('after'), channels=['email']))['status'], 'sent')

    def test_each_answer_of_a_gateway_has_its_outcome(self):
        ok = lambda n: (202, {}, '{"id":%d}' % n)
        table = [
            (lambda r, s: (400, {}, '{"error":"bad"}'), 'failed', 'provider_rejected', 1, 1), (lambda r, s: (404, {}, ''), 'failed', 'provider_rejected', 1, 1),
            (lambda r, s: (301, {'Location': 'http://127.0.0.1:1/'}, ''), 'failed', 'provider_rejected', 1, 1),
            (lambda r, s: (500, {}, ''), 'failed', 'provider_unavailable', 4, 4), (lambda r, s: DROP, 'unknown', 'outcome_unknown', 1, 1),
            (lambda r, s: (200, {}, 'x' * 200000), 'sent', None, 1, 1), (lambda r, s: ok(7), 'sent', None, 1, 1),
        ]
        h = self.start(categories={'account': {'kind': 'transactional', 'on_unknown': 'hold'}}, retry={'first': '100ms', 'factor': 1, 'max': '100ms', 'max_attempts': 4, 'jitter': 0})
        for i, (script, status, reason, attempts, posts) in enumerate(table):
            with self.subTest(i=i):
                h.gateway.script, h.gateway.requests[:] = script, []
                id = h.send(person('g%d' % i), 'order-update', channels=['sms'])
                h.settled(id, 20)
                d = h.delivery(id, 'sms')
                self.assertEqual((d['status'], d['reason'], d['attempts']), (status, reason, attempts), h.gate(id, 'outcome', 'sms'))
                self.assertEqual(len(h.gateway.requests), posts)
        self.assertEqual(d['provider_ref'], '7')

    def test_a_gateway_that_is_too_slow_is_asked_again_under_the_same_key(self):
        h = self.house()
        h.settings['sms']['providers'][0]['timeout'] = '500ms'
        h.write()
        h.start()
        h.gateway.script = lambda r, s: HANG if len(h.gateway.requests) == 1 else None
        d = h.settled(h.send(person('slow'), 'order-update', channels=['sms'], category='onboarding'))['deliveries'][0]
        self.assertEqual((d['status'], d['attempts']), ('sent', 2))
        self.assertEqual(len({r['headers']['Idempotency-Key'] for r in h.gateway.requests}), 1)

    def test_strategy_first_falls_back_when_the_relay_is_away_and_a_redrive_says_nothing_twice(self):
        h = self.house(templates=None)
        import os, shutil
        from house import ROOT
        h.settings['templates'] = os.path.join(h.dir, 'templates')
        shutil.copytree(os.path.join(ROOT, 'templates'), h.settings['templates'])
        with open(h.settings['templates'] + '/welcome/sms.text.mustache', 'w') as out:
            out.write('{{t.greeting}}')
        h.write()
        h.start()
        h.smtp.script = lambda v, arg, s: '550 5.1.1 nobody' if v == 'RCPT' else None
        id = h.send(person('f'), channels=['email', 'sms'], strategy='first')
        self.assertEqual([(d['channel'], d['status']) for d in h.settled(id)['deliveries']], [('email', 'failed'), ('sms', 'sent')])
        self.assertEqual(h.cli_json('dead', 'list'), [])  # it arrived: nothing to repeat
        h.cli('dead', 'redrive', id + '-e', status=1)
        h.smtp.close()
        h.stop()
        h.start()
        away = h.send(person('g'), channels=['email', 'sms'], strategy='first')
        self.assertEqual([(d['channel'], d['status'], d['reason']) for d in h.settled(away)['deliveries']],
                         [('email', 'failed', 'provider_unavailable'), ('sms', 'sent', None)])
        self.assertEqual(len(h.gateway.requests), 2)

    def test_retry_after_slows_the_whole_gateway(self):
        h = self.start()
        times = []
        h.gateway.script = lambda r, s: (times.append(time.time()), (429, {'Retry-After': '2'}, '') if len(times) == 1 else None)[1]
        first = h.send(person('a'), 'order-update', channels=['sms'])
        h.reason(first, 'provider_unavailable', 'sms')
        second = h.send(person('b'), 'order-update', channels=['sms'])
        for id in (first, second):
            self.assertEqual(h.settled(id, 20)['status'], 'sent')
        self.assertGreaterEqual(min(times[1:]) - times[0], 1.9)

    def test_a_gateway_that_wants_another_form_gets_it(self):
        h = self.house()
        h.settings['sms']['providers'][0]['request'] = {'format': 'form', 'headers': {'X-Api-Key': 'k'}, 'body': {'To': '{to}', 'Body': '{text}', 'n': '{segments}'}}
        h.write()
        h.start()
        h.settled(h.send(person('f', phone='+491701234567'), 'order-update', channels=['sms'], data={'order': 'a&To=x', 'parcels': 1}))
        import urllib.parse
        r = h.gateway.requests[0]
        self.assertEqual(urllib.parse.parse_qs(r['body'].decode()), {'To': ['+491701234567'], 'Body': ['Order a&To=x: one parcel is on the way.'], 'n': ['1']})
        self.assertEqual(r['headers']['X-Api-Key'], 'k')


    def test_an_address_beyond_ascii_goes_by_smtputf8_and_only_that(self):
        smtp = SmtpServer(extensions=('8BITMIME', 'SMTPUTF8'))
        h = self.start(smtp=smtp)
        ids = [h.send(person('p%d' % i, email='jürgen%d@bücher.example' % i if i % 2 else 'jurgen%d@bücher.example' % i), channels=['email']) for i in range(6)]
        self.assertEqual({h.settled(id)['status'] for id in ids}, {'sent'})
        self.assertEqual(h.delivery(ids[1])['provider_ref'][:3], '250')
        mails = {m.recipient.encode('latin1').decode(): m for m in smtp.accepted}
        self.assertEqual(sorted(mails), sorted(['jürgen%d@xn--bcher-kva.example' % i if i % 2 else 'jurgen%d@xn--bcher-kva.example' % i for i in range(6)]))
        self.assertEqual(mails['jürgen1@xn--bcher-kva.example'].parse()['To'], 'jürgen1@xn--bcher-kva.example')
        announced = [line for line in smtp.log if line.startswith('MAIL')]
        self.assertEqual((len(announced), sum('SMTPUTF8' in line for line in announced)), (6, 3))

    def test_a_server_without_smtputf8_gets_no_mail_that_needs_it(self):
        h = self.start()
        d = h.settled(h.send(person('j', email='jürgen@example.com'), channels=['email']))['deliveries'][0]
        self.assertEqual((d['status'], d['reason']), ('failed', 'provider_rejected'))
        self.assertEqual(h.smtp.received, [])

    def test_refusals_and_lost_answers_mean_the_same_beyond_ascii(self):
        replies = {'r': ('RCPT', '550 5.1.1 nobody'), 't': ('RCPT', '450 4.2.0 later'), 'b': ('BODY', '554 5.6.0 no'), 'd': ('BODY', DROP)}
        current = {}

        def script(verb, arg, session):
            return current['reply'] if verb == current.get('verb') else None
        h = self.start(smtp=SmtpServer(script=script, extensions=('SMTPUTF8',)))
        for who, status in (('r', 'failed'), ('b', 'failed'), ('d', 'unknown')):
            current['verb'], current['reply'] = replies[who]
            d = h.settled(h.send(person(who, email='ü%s@example.com' % who), channels=['email']))['deliveries'][0]
            self.assertEqual((who, d['status']), (who, status))
        current['verb'], current['reply'] = replies['t']
        id = h.send(person('t', email='üt@example.com'), channels=['email'])
        h.until(lambda: h.delivery(id)['attempts'] >= 1, what=lambda: h.message(id))
        current.clear()
        self.assertEqual(h.settled(id)['status'], 'sent')


    def test_a_refusal_that_speaks_against_the_address_suppresses_it_by_rule(self):
        replies = {'gone': '550 5.1.1 no such user', 'full': '552 5.2.2 mailbox full'}
        smtp = SmtpServer(script=lambda verb, arg, session: replies.get(arg.split('@')[0]) if verb == 'RCPT' else None)
        h = self.house(smtp=smtp)
        h.settings['email']['suppress'] = ['5.1.1']
        h.write()
        h.start()
        for who in ('gone', 'full'):
            self.assertEqual(h.settled(h.send(person(who), channels=['email']))['deliveries'][0]['reason'], 'provider_rejected')
        h.until(lambda: h.http('GET', '/v1/suppressions/gone@example.com')[0] == 200, what='the address is suppressed')
        self.assertEqual(h.http('GET', '/v1/suppressions/gone@example.com')[1]['reason'], 'hard_bounce')
        self.assertEqual(h.http('GET', '/v1/suppressions/full@example.com')[0], 404)
        self.assertEqual(h.settled(h.send('gone', channels=['email']))['deliveries'][0]['reason'], 'suppressed_address')

    def test_what_is_too_late_after_an_outage_is_dropped_where_the_category_says_so(self):
        h = self.house(categories={'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service', 'max_lateness': '2s', 'late': 'drop'}, 'patient': {'kind': 'service'}})
        p = h.start()
        ids = [h.send(person('l'), channels=['email'], category=c, delay='1s') for c in ('onboarding', 'patient')]
        h.stop(p)
        time.sleep(4)
        h.start()
        self.assertEqual([h.settled(id)['status'] for id in ids], ['expired', 'sent'])
        self.assertEqual(h.gate(ids[0], 'expiry')[0]['detail']['max_lateness_ms'], 2000)
        self.assertEqual(h.settled(h.send('l', channels=['email']))['status'], 'sent')

    def test_another_channel_is_not_late_for_what_a_gate_put_off(self):
        """A pause ends long after the send time; what goes on to the next channel then, refused or by the person's order, still goes."""
        smtp = SmtpServer(script=lambda verb, arg, session: '550 5.1.1 nobody' if verb == 'RCPT' else None)
        h = self.start(smtp=smtp, categories={'onboarding': {'kind': 'service', 'max_lateness': '2s', 'late': 'drop'}})
        for who in ('refused', 'moved'):
            h.http('PUT', '/v1/recipients/' + who, {**person(who), 'preferences': {'pause_until': '2040-01-01T00:00:00Z'}})
        ids = {who: h.send(who, 'order-update', channels=['email', 'in_app'], strategy='first', category='onboarding') for who in ('refused', 'moved')}
        for id in ids.values():
            h.until(lambda: h.gate(id, 'preference'), what='the pause holds it')
        time.sleep(3)
        h.http('PATCH', '/v1/recipients/refused', {'preferences': {'pause_until': None}})
        h.http('PATCH', '/v1/recipients/moved', {'channels': ['in_app', 'email'], 'preferences': {'pause_until': None}})
        for who, id in ids.items():
            with self.subTest(who):
                self.assertEqual(h.settled(id)['deliveries'][-1], {**h.message(id)['deliveries'][-1], 'channel': 'in_app', 'status': 'sent'}, h.message(id))

    def test_a_number_that_is_suppressed_while_its_text_waits_for_its_turn_gets_none(self):
        h = self.house()
        h.settings['sms']['providers'][0]['rate'] = '2/s'
        h.write()
        h.start()
        ids = [h.send(person('n%d' % i, phone='+49170123450%d' % i), 'order-update', channels=['sms'], category='account') for i in range(6)]
        h.until(lambda: h.gateway.requests, what='the first has gone')
        self.assertEqual(h.http('PUT', '/v1/suppressions/%2B491701234505', {'reason': 'complaint'})[0], 200)
        states = [h.settled(id) for id in ids]
        self.assertEqual([m['deliveries'][0]['reason'] for m in states], [None] * 5 + ['suppressed_address'])
        self.assertEqual(len(h.gateway.requests), 5)

    def test_texts_whose_answers_from_redis_are_lost_go_once_and_none_is_unknown(self):
        """The admission of a text is its point of no return: when the answer to it is lost, it is undone."""
        home = tempfile.mkdtemp(prefix='tidings-redis-')
        redis = subprocess.Popen(['redis-server', '--port', '0', '--unixsocket', home + '/s', '--dir', home, '--appendonly', 'yes', '--save', ''], stdout=subprocess.DEVNULL)
        self.addCleanup(lambda: (redis.kill(), redis.wait()))
        while not os.path.exists(home + '/s'):
            time.sleep(0.02)
        proxy = RedisProxy(home + '/s')
        self.addCleanup(proxy.close)
        h = self.start('--role', 'api', redis={'url': 'redis://127.0.0.1:%d' % proxy.port}, worker={'lease': '2s'},
                       gateway=Gateway(script=lambda request, handler: time.sleep(0.02)))
        ids = [h.send(person('k%d' % (i % 20)), 'order-update', {'order': 'K%d.' % i, 'parcels': 1}, channels=['sms'], category='onboarding', delay='2s') for i in range(300)]
        h.start('--role', 'worker', wait=False)
        h.until(lambda: h.gateway.requests, what='texts flow')
        while len({r['json']['text'] for r in h.gateway.requests}) < 300 and proxy.lost < 60:
            proxy.lose()
            h.until(lambda: not proxy.losing)
            time.sleep(0.1)
        for id in ids:
            h.until(lambda: h.http('GET', '/v1/messages/' + id)[0] == 200)
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        self.assertEqual(len(h.gateway.requests), 300)
        self.assertEqual(len({r['json']['text'] for r in h.gateway.requests}), 300)
        self.assertGreater(proxy.lost, 3)

    def test_texts_go_though_redis_stumbles_over_a_neighbour(self):
        """A script writes nothing back when it throws an error over the next one: those before it are committed already."""
        h = self.start('--role', 'api', redis={'partitions': 1}, categories={'onboarding': {'kind': 'service'}}, worker={'lease': '2s'},
                       caps=[{'name': 'day', 'max': 50, 'per': '1 calendar day', 'over': 'drop'}])
        ids = [h.send(person('p%d' % i), 'order-update', {'order': 'P%d.' % i, 'parcels': 1}, channels=['sms'], category='onboarding') for i in range(12)]  # all are due when the worker comes
        for i in (3, 8):
            h.redis('SET', 'tidings:{0}:c:p%d' % i, 'no hash')
        h.start('--role', 'worker', wait=False)
        states = [h.settled(id, 20)['deliveries'][0] for id in ids]
        self.assertEqual([(d['status'], d['reason']) for d in states], [('failed', 'provider_unavailable') if i in (3, 8) else ('sent', None) for i in range(12)])
        self.assertEqual(len(h.gateway.requests), 10)

    def test_what_has_outlived_its_time_goes_and_what_went_on_meanwhile_stays(self):
        answers = {'RCPT': '550 5.1.1 no'}
        smtp = SmtpServer(script=lambda verb, arg, session: answers.get(verb))
        h = self.start(smtp=smtp, email={'suppress': ['9.9.9']}, categories={'account': {'kind': 'transactional'}})
        again = h.send(person('r'), channels=['email'], category='account')
        self.assertEqual(h.settled(again)['status'], 'failed')
        time.sleep(0.05)
        answers.clear()
        old = h.send('r', channels=['email'], category='account')
        self.assertEqual(h.settled(old)['status'], 'sent')
        part = '0123456789abcdefghjkmnpqrstvwxyz'
        P = 'tidings:{%d}:' % (part.index(old[0]) * 32 + part.index(old[1]))
        [over] = h.redis('ZRANGE', P + 'gone', '0', '-1').split()
        self.assertGreater(int(over), (time.time() + 29 * 86400) * 1000)
        self.assertLess(int(over), (time.time() + 31 * 86400) * 1000)
        h.cli('dead', 'redrive', again + '-e')
        h.until(lambda: h.message(again)['status'] == 'sent')
        entries = h.redis('LRANGE', P + 'gone:' + over, '0', '-1').split()
        self.assertEqual([e[:22] for e in entries], [again, old, again])
        h.redis('LTRIM', P + 'gone:' + over, '0', '1')  # as if their time were over, but not that of the last
        h.redis('RENAME', P + 'gone:' + over, P + 'gone:1')
        h.redis('ZADD', P + 'gone', '1', '1')
        h.until(lambda: h.http('GET', '/v1/messages/' + old)[0] == 404, 20, 'its time is over')
        self.assertEqual(h.message(again)['status'], 'sent')
        h.until(lambda: h.redis('ZSCORE', P + 'gone', '1') == '', what='the list is done')
        self.assertEqual([k for k in h.redis('--scan', '--pattern', '*' + old + '*').split()], [])
        self.assertEqual(h.redis('ZRANGE', P + 'r:r', '0', '-1'), again)

    def test_what_may_have_arrived_is_never_called_cancelled_or_expired(self):
        answers = {'BODY': HANG}
        smtp = SmtpServer(script=lambda verb, arg, session: answers.get(verb))
        h = self.start('--role', 'api', smtp=smtp, worker={'lease': '1s'})
        worker = h.start('--role', 'worker', wait=False)
        ids = [h.send(person('m%d' % i), 'order-update', channels=['email'], category='account', **more) for i, more in enumerate(({}, {'ttl': '8s'}))]
        h.until(lambda: len(smtp.received) == 2)
        worker.kill()
        worker.wait()
        h.processes.remove(worker)
        h.start('--role', 'worker', wait=False)
        for id in ids:
            h.reason(id, 'outcome_unknown')
        self.assertEqual(h.cli_json('cancel', ids[0])['in_flight'], [ids[0]])
        for id in ids:
            d = h.settled(id, 20)['deliveries'][0]
            self.assertEqual((d['status'], d['reason']), ('unknown', 'outcome_unknown'))
        self.assertEqual(len(smtp.received), 2)

    def test_mails_that_failed_for_a_while_count_and_are_forgotten_again(self):
        full = {'now': True}
        smtp = SmtpServer(script=lambda verb, arg, session: ('452 4.2.2 mailbox full' if arg.startswith('full') else '451 4.7.1 try again' if arg.startswith('grey') else None)
                          if verb == 'RCPT' and full['now'] else None)
        h = self.start(smtp=smtp, email={'soft_bounces': {'max': 3, 'suppress_for': '2d'}}, retry={'first': '100ms', 'max_attempts': 2, 'max': '200ms'}, worker={'lease': '2s'})
        def end(who):
            d = h.settled(h.send(person(who), channels=['email']))['deliveries'][0]
            return d['reason'] or d['status']
        self.assertEqual([end('full'), end('full')], ['provider_unavailable'] * 2)  # two of three
        full['now'] = False
        self.assertEqual(end('full'), 'sent')  # halves them: one
        full['now'] = True
        self.assertEqual(end('full'), 'provider_unavailable')
        self.assertEqual(h.http('GET', '/v1/suppressions/full@example.com')[0], 404)
        id = h.send('full', channels=['email'])
        h.settled(id)
        self.assertEqual(h.gate(id, 'suppression')[0]['detail'], {'soft_bounces': 2})
        entry = h.until(lambda: h.http('GET', '/v1/suppressions/full@example.com')[1] if h.http('GET', '/v1/suppressions/full@example.com')[0] == 200 else None)
        self.assertEqual((entry['reason'], entry['source']), ('soft_bounces', 'smtp'))
        self.assertEqual(end('full'), 'suppressed_address')
        h.cli('suppress', 'remove', 'full@example.com')
        self.assertEqual([end('full'), end('full')], ['provider_unavailable'] * 2)  # the count begins anew
        self.assertEqual([end('grey') for _ in range(4)], ['provider_unavailable'] * 4)  # a matter of the relay


if __name__ == '__main__':
    unittest.main()
