"""What a relay or a gateway says, taken for what it means: of this message, of this connection, or of the relay itself."""
import atexit, base64, email.utils, json, os, shutil, signal, ssl, subprocess, tempfile, time, unittest
from datetime import datetime, timezone

from house import BINARY, FlowTest, Gateway, House, SmtpServer, person
from servers import closing

EAGER = {'first': '100ms', 'factor': 1, 'max': '100ms', 'jitter': 0}


def certificate(names, expired=False):
    """A server's TLS context, and the file with the certificate, which is its own authority; names: DNS:… or IP:…"""
    d = tempfile.mkdtemp(prefix='tidings-cert-')
    atexit.register(shutil.rmtree, d, ignore_errors=True)
    config = os.path.join(d, 'openssl.cnf')
    with open(config, 'w') as out:
        out.write('[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=relay\n[ext]\nsubjectAltName=%s\n'
                  '[ca]\ndefault_ca=own\n[own]\ndatabase=%s/index\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=any\nserial=%s/serial\n'
                  'x509_extensions=ext\nunique_subject=no\n[any]\ncommonName=supplied\n' % (names, d, d, d))
    for name, text in (('index', ''), ('serial', '01\n')):
        with open(os.path.join(d, name), 'w') as out:
            out.write(text)
    key, cert, request = d + '/key.pem', d + '/cert.pem', d + '/request.pem'
    span = ('20200101000000Z', '20210101000000Z') if expired else ('20200101000000Z', '20490101000000Z')
    curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    for command in (['req', '-new', *curve, '-config', config, '-keyout', key, '-out', request],
                    ['ca', '-batch', '-notext', '-selfsign', '-config', config, '-keyfile', key, '-in', request, '-out', cert,
                     '-startdate', span[0], '-enddate', span[1]]):
        subprocess.run(['openssl', *command], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def instant(text):
    return datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()


def soon(seconds):
    return datetime.fromtimestamp(time.time() + seconds, timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')


class Replies(FlowTest):
    def relays(self, *servers, **settings):
        """A house, not yet started, with these relays in this order."""
        h = self.house(smtp=servers[0], **settings)
        for s in servers[1:]:
            self.addCleanup(s.close)
        h.settings['email']['providers'] = [{'name': 'relay%d' % i, 'url': 'smtp://127.0.0.1:%d' % s.port, 'tls': 'none', 'connections': 4}
                                            for i, s in enumerate(servers)]
        h.write()
        return h

    def check(self, h):
        """What `tidings check` says: exit status and text."""
        done = subprocess.run([BINARY, 'check', '--config', h.config], capture_output=True, timeout=120)
        return done.returncode, (done.stdout + done.stderr).decode('utf-8', 'replace')

    def mail(self, h, id):
        d = h.delivery(id)
        return d['status'], d['reason'], d['attempts']

    # ---- the first refusal of a transaction speaks (row 15)

    def test_a_refusal_for_a_while_before_the_last_chunk_is_no_final_one(self):
        first = {}

        def script(verb, arg, session):
            if verb == 'MAIL':
                session.refused = first.pop('451', None)
            if verb == 'BDAT' and session.refused:
                said, session.refused = session.refused, '551 5.0.0 Discarded %s bytes after earlier error' % arg.split()[0]
                return said
            return None
        h = self.start(smtp=SmtpServer(script=script, extensions=('PIPELINING', '8BITMIME', 'SMTPUTF8', 'CHUNKING')), retry=EAGER)
        for who, said in (('a', '451 4.3.0 queue file write error'), ('b', '452 4.3.1 insufficient system storage'), ('c', '451 4.7.1 later')):
            for address in (who + '@example.com', 'ü%s@example.com' % who):
                with self.subTest(said=said, address=address):
                    first['451'] = said
                    before = len(h.smtp.accepted)
                    id = h.send(person(who, email=address), channels=['email'])
                    h.settled(id)
                    self.assertEqual(self.mail(h, id)[:2], ('sent', None), h.gate(id, 'outcome'))
                    self.assertEqual([m.parse()['Message-ID'] for m in h.smtp.accepted[before:]], ['<%s-e@example.com>' % id])

    def test_a_final_refusal_before_the_last_chunk_is_no_passing_one(self):
        def script(verb, arg, session):
            if verb == 'MAIL':
                session.refused = False
            if verb in ('BDAT', 'DATA'):
                said, session.refused = '451 4.3.0 later' if session.refused else '554 5.7.1 no such content here', True
                return said
            return None
        h = self.start(smtp=SmtpServer(script=script, extensions=('PIPELINING', '8BITMIME', 'CHUNKING')), retry=EAGER)
        id = h.send(person('p'), channels=['email'])
        h.settled(id)
        self.assertEqual(self.mail(h, id), ('failed', 'provider_rejected', 1), h.gate(id, 'outcome'))

    def test_what_follows_from_an_earlier_refusal_does_not_speak_over_it(self):
        """All that comes after the first refusal is answered 503 or 554, as servers do to a client that has sent it already."""
        table = [('MAIL', '451 4.3.0 later'), ('MAIL', '452 4.3.1 no space'), ('RCPT', '450 4.2.0 greylisted'), ('RCPT', '452 4.2.2 full'),
                 ('DATA', '451 4.3.0 later')]
        now = {}

        def script(verb, arg, session):
            if verb == 'MAIL':
                session.spoiled = False
            if verb == now.get('verb'):
                session.spoiled = True
                return now['reply']
            spoiled = verb in ('RCPT', 'DATA', 'BDAT') and getattr(session, 'spoiled', False)
            return ('554 5.5.1 no valid recipients' if now['verb'] == 'RCPT' else '503 5.5.1 bad sequence') if spoiled else None
        for extensions in (('PIPELINING', '8BITMIME'), ('PIPELINING', '8BITMIME', 'CHUNKING')):
            h = self.start(smtp=SmtpServer(script=script, extensions=extensions), retry={**EAGER, 'max_attempts': 3})
            for i, (verb, reply) in enumerate(table):
                if (verb, extensions[-1]) == ('DATA', 'CHUNKING'):
                    continue
                with self.subTest(verb=verb, reply=reply, extensions=extensions):
                    now.update(verb=verb, reply=reply)
                    id = h.send(person('s%d' % i), channels=['email'])
                    h.settled(id)
                    self.assertEqual(self.mail(h, id), ('failed', 'provider_unavailable', 3), h.gate(id, 'outcome'))
            now.update(verb=None)

    # ---- replies are judged by their code (row 16)

    def test_any_250_after_the_dot_means_sent_and_is_sent_once(self):
        replies = ['250', '250 ', '250-a\n250 b', '250-2.0.0 a\n250 b', '250-2.0.0 a\n250 2.6.0 b', '250-a\n250 2.0.0 b', '250-\n250',
                   '250-a\n250-b\n250-c\n250', '250 ok 2.0', '250 2.0.0', '250 9.9.9 odd', '250 4.0.0 odder', '250 ' + 'x' * 5000]
        h = self.start(smtp=SmtpServer(extensions=('PIPELINING', '8BITMIME', 'SMTPUTF8')), retry=EAGER)
        for i, reply in enumerate(replies):
            for address in ('d%d@example.com' % i, 'ü%d@example.com' % i):
                with self.subTest(reply=reply[:30], address=address):
                    h.smtp.script, before = lambda v, arg, s: reply if v == 'BODY' else None, len(h.smtp.received)
                    id = h.send(person('d%d' % i, email=address), channels=['email'], category='account')  # would be sent again
                    h.settled(id)
                    self.assertEqual(self.mail(h, id), ('sent', None, 1), h.gate(id, 'outcome'))
                    self.assertEqual(len(h.smtp.received) - before, 1)

    def test_any_250_after_the_last_chunk_means_sent_and_is_sent_once(self):
        h = self.start(smtp=SmtpServer(extensions=('PIPELINING', '8BITMIME', 'CHUNKING')), retry=EAGER)
        for i, reply in enumerate(('250', '250-a\n250 b', '250-2.0.0 a\n250 2.6.0 b')):
            with self.subTest(reply=reply):
                h.smtp.script, before = lambda v, arg, s: reply if v == 'BODY' else None, len(h.smtp.received)
                id = h.send(person('d%d' % i), channels=['email'], category='account')
                h.settled(id)
                self.assertEqual(self.mail(h, id), ('sent', None, 1), h.gate(id, 'outcome'))
                self.assertEqual(len(h.smtp.received) - before, 1)

    def test_a_reply_without_text_is_as_good_at_every_step(self):
        bare = {'CONNECT': '220', 'EHLO': '250-catcher\n250-8BITMIME\n250', 'MAIL': '250', 'RCPT': '250', 'DATA': '354', 'BODY': '250', 'QUIT': '221'}
        several = {'CONNECT': '220-catcher\n220 ready', 'MAIL': '250-2.1.0 a\n250 b', 'RCPT': '250-a\n250 2.1.5 b', 'DATA': '354-a\n354 b',
                   'BODY': '250-a\n250 2.0.0 b'}
        for replies in (bare, several):
            with self.subTest(replies=replies):
                h = self.start(smtp=SmtpServer(script=lambda v, arg, s: replies.get(v)), retry=EAGER)
                id = h.send(person('b'), channels=['email'])
                h.settled(id)
                self.assertEqual(self.mail(h, id), ('sent', None, 1), h.gate(id, 'outcome'))
                self.assertEqual(len(h.smtp.received), 1)

    def test_a_refusal_without_text_or_with_several_codes_is_judged_by_its_code(self):
        h = self.start(smtp=SmtpServer(extensions=('PIPELINING', '8BITMIME', 'SMTPUTF8')), retry={**EAGER, 'max_attempts': 2})
        table = [('550', 'provider_rejected', 1), ('550 no', 'provider_rejected', 1), ('450', 'provider_unavailable', 2),
                 ('550-5.1.1 a\n550 5.7.1 b', 'provider_rejected', 1),
                 ('450-a\n450 4.2.0 b', 'provider_unavailable', 2), ('450-4.2.0 a\n450 b', 'provider_unavailable', 2)]
        for verb in ('RCPT', 'BODY'):
            for i, (reply, reason, attempts) in enumerate(table):
                for address in ('n%d@example.com' % i, 'ü%d@example.com' % i):
                    with self.subTest(verb=verb, reply=reply, address=address):
                        h.smtp.script = lambda v, arg, s: reply if v == verb else None
                        id = h.send(person('n%d' % i, email=address), channels=['email'])
                        h.settled(id, 5)
                        self.assertEqual(self.mail(h, id), ('failed', reason, attempts), h.gate(id, 'outcome'))

    # ---- what a relay says of itself (row 17)

    def test_what_a_relay_says_of_itself_is_charged_to_no_message(self):
        table = [('MAIL', '450 4.7.1 too much mail'), ('MAIL', '432 busy'), ('MAIL', '451 4.3.2 system not accepting network messages'),
                 ('MAIL', '554 5.3.2 not today'), ('CONNECT', '421 4.3.2 all server ports are busy'),
                 ('EHLO', '450 4.7.1 too many'), ('RCPT', '451 4.3.2 shutting down'), ('DATA', '421 4.3.2 shutting down')]
        houses = []
        for verb, reply in table:  # a house each, all at once: one refusal that counts would be the end
            said = closing(reply) if reply[:3] == '421' else reply
            smtp = SmtpServer(script=lambda v, arg, s, verb=verb, said=said: said if v == verb else None)
            h = self.house(smtp=smtp, retry={**EAGER, 'max_attempts': 1})
            h.start(wait=False)
            houses.append(h)
        for h in houses:
            h.until(h.ready, what='the service is ready')
        ids = [h.send(person('o'), channels=['email']) for h in houses]
        for (verb, reply), h, id in zip(table, houses, ids):
            with self.subTest(verb=verb, reply=reply):
                h.until(lambda: h.delivery(id)['reason'] or h.delivery(id)['status'] == 'failed', what=lambda: h.message(id))
                self.assertIn(self.mail(h, id), [(s, 'provider_unavailable', 0) for s in ('scheduled', 'sending')], h.gate(id, 'outcome'))  # it may be at its next try
                h.smtp.script = None
        for (verb, reply), h, id in zip(table, houses, ids):
            with self.subTest(verb=verb, reply=reply):
                h.settled(id, 30)
                self.assertEqual(self.mail(h, id), ('sent', None, 1), h.gate(id, 'outcome'))
                self.assertEqual(len(h.smtp.accepted), 1)

    def test_a_relay_that_bears_only_so_much_gets_all_of_it_in_the_end(self):
        bucket, refused = {'tokens': 10.0, 'at': time.time()}, []

        def script(verb, arg, session):
            if verb != 'MAIL':
                return None
            with session.server.owner.lock:
                now = time.time()
                bucket['tokens'], bucket['at'] = min(10.0, bucket['tokens'] + 40 * (now - bucket['at'])), now
                if bucket['tokens'] >= 1:
                    bucket['tokens'] -= 1
                    return None
                refused.append(arg)
            return '450 4.7.1 too much mail'
        h = self.start(smtp=SmtpServer(script=script), retry={**EAGER, 'max_attempts': 4})
        ids = [h.send(person('m%d' % i), channels=['email'], send_at=soon(2)) for i in range(150)]
        ends = [h.settled(id, 30)['deliveries'][0] for id in ids]
        self.assertTrue(refused)
        self.assertEqual({(d['status'], d['attempts']) for d in ends}, {('sent', 1)})
        self.assertEqual(len(h.smtp.accepted), len(ids))

    def test_a_relay_that_never_has_room_ends_a_message_by_its_own_time_and_not_before(self):
        refused = []
        h = self.start(smtp=SmtpServer(script=lambda v, arg, s: (refused.append(v), '450 4.7.1 too much mail')[1] if v == 'MAIL' else None),
                       retry={**EAGER, 'max_attempts': 1}, categories={'account': {'kind': 'transactional'},
                                                                       'onboarding': {'kind': 'service', 'max_lateness': '3s', 'late': 'drop'}})
        ids = {name: h.send(person(name), channels=['email'], **more) for name, more in
               (('expires_at', {'category': 'account', 'ttl': '3s'}), ('max_lateness', {'category': 'onboarding'}))}
        for name, id in ids.items():
            with self.subTest(name=name):
                self.assertEqual(h.settled(id, 30)['status'], 'expired', h.gate(id, 'outcome'))
        self.assertTrue(refused)

    # ---- as many connections as the relay bears (row 18)

    def run_of(self, mails, busy=0.005, connections=8, script=None, **server):
        """Sends so many mails, due at once; the relay and the seconds from the first accepted to the last."""
        def slow(verb, arg, session):
            if verb == 'BODY':
                time.sleep(busy)
            return script(verb, arg, session) if script else None
        smtp = SmtpServer(script=slow, **server)
        h = self.house(smtp=smtp, retry={**EAGER, 'max_attempts': 2})
        h.settings['email']['providers'][0]['connections'] = connections
        h.write()
        h.start()
        due = time.time() + 1 + mails / 400
        lines = [{'recipient': person('r%d' % i), 'template': 'welcome', 'data': {'name': 'Ada', 'count': 1}, 'channels': ['email'],
                  'send_at': soon(due - time.time())} for i in range(mails)]
        answers = [json.loads(line) for line in h.cli('enqueue', stdin='\n'.join(json.dumps(line) for line in lines)).splitlines()]
        ids = [a['id'] for a in answers]
        h.until(lambda: len(smtp.accepted) >= mails, 45, lambda: 'accepted %d of %d, refused %d' % (len(smtp.accepted), mails, smtp.refused))
        ends = {(d['status'], d['attempts']) for id in ids for d in [h.settled(id)['deliveries'][0]]}
        self.assertEqual(ends, {('sent', 1)})
        self.assertEqual(sorted(m.parse()['Message-ID'] for m in smtp.accepted), sorted('<%s-e@example.com>' % id for id in ids))
        h.stop()
        return smtp, max(m.at for m in smtp.accepted) - due

    def test_a_relay_that_allows_two_connections_is_served_by_two(self):
        _, plain = self.run_of(120, connections=2)
        smtp, limited = self.run_of(120, connections=8, max_connections=2)
        self.assertEqual(smtp.peak, 2)
        self.assertLessEqual(smtp.refused, 25)  # six at the start, then a careful try now and then
        self.assertLess(limited, 2.5 * plain + 3)

    def test_a_relay_that_closes_after_twenty_mails_is_simply_called_again(self):
        def script(verb, arg, session):
            return closing('421 4.7.0 enough for one connection') if verb == 'MAIL' and session.count >= 20 else None
        free, plain = self.run_of(300, busy=0)
        smtp, limited = self.run_of(300, busy=0, script=script)
        self.assertLessEqual(smtp.connections, 2 * 300 // 20 + 8)
        self.assertLess(limited, 2.5 * plain + 2)

    def test_connections_come_back_when_the_relay_bears_more(self):
        smtp = SmtpServer(script=lambda v, arg, s: time.sleep(0.05) if v == 'BODY' else None, max_connections=1)
        h = self.house(smtp=smtp)
        h.settings['email']['providers'][0]['connections'] = 8
        h.write()
        h.start()
        ids = []

        def feed():
            ids.extend(h.send(person('r%d' % (len(ids) + i)), channels=['email']) for i in range(8))
        feed()
        h.until(lambda: len(smtp.accepted) >= 8, 30)
        self.assertEqual(smtp.peak, 1)
        smtp.max_connections = 0
        h.until(lambda: (len(ids) - len(smtp.accepted) > 24 or feed(), smtp.peak >= 4)[1], 40, lambda: 'no more than %d connections' % smtp.peak)
        for id in ids:
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        self.assertEqual(len(smtp.accepted), len(ids))

    # ---- who we say we are (row 19)

    def test_the_name_in_ehlo_is_a_full_one_or_an_address(self):
        h = self.start()
        h.settled(h.send(person('e'), channels=['email']))
        h.settled(h.send(person('u', email='ü@example.com'), channels=['email']))
        said = {line.split(' ', 1)[1] for line in h.smtp.log if line.upper().startswith(('EHLO', 'HELO'))}
        for name in said:
            self.assertRegex(name, r'^(\[(IPv6:[0-9a-fA-F:.]+|[0-9.]+)\]|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)$')
        self.check(h)
        self.assertEqual({line.split(' ', 1)[1] for line in h.smtp.log if line.upper().startswith(('EHLO', 'HELO'))}, said)

    def test_a_complaint_about_our_name_is_no_fault_of_the_message(self):
        complaint = '504 5.5.2 <%s>: Helo command rejected: need fully-qualified hostname'
        for verb in ('EHLO', 'MAIL', 'RCPT'):  # servers say it at once, or put it off until they know for whom
            with self.subTest(verb=verb):
                names = []

                def script(v, arg, session):
                    if v == 'EHLO':
                        names.append(arg)
                    return complaint % names[-1] if v == verb else None
                h = self.start(smtp=SmtpServer(script=script), retry=EAGER)
                id = h.send(person('i'), channels=['email'])
                h.until(lambda: h.delivery(id)['reason'] or h.delivery(id)['status'] == 'failed', what=lambda: h.message(id))
                self.assertEqual(self.mail(h, id), ('scheduled', 'provider_unavailable', 0), h.gate(id, 'outcome'))
                if verb == 'EHLO':
                    status, text = self.check(h)
                    self.assertEqual(status, 1, text)
                    self.assertIn('504', text)
                h.smtp.script = None
                h.settled(id, 30)
                self.assertEqual(self.mail(h, id), ('sent', None, 1), h.gate(id, 'outcome'))

    # ---- the next relay that can (row 20)

    def test_an_address_beyond_ascii_goes_to_the_first_relay_that_takes_it(self):
        plain, able = SmtpServer(), SmtpServer(extensions=('8BITMIME', 'SMTPUTF8'))
        h = self.relays(plain, able)
        h.start()
        for i in range(3):
            id = h.send(person('u%d' % i, email='jürgen%d@example.com' % i), channels=['email'])
            h.settled(id)
            self.assertEqual(self.mail(h, id)[:2], ('sent', None), h.gate(id, 'outcome'))
            self.assertEqual(h.delivery(id)['provider'], 'relay1')
        id = h.send(person('plain'), channels=['email'])
        h.settled(id)
        self.assertEqual((h.delivery(id)['status'], h.delivery(id)['provider']), ('sent', 'relay0'))
        self.assertEqual([line for line in plain.log if not line.isascii() or 'SMTPUTF8' in line], [])
        self.assertEqual((len(plain.received), len(able.received)), (1, 3))

    def test_a_relay_that_has_lost_smtputf8_gets_nothing_beyond_ascii_any_more(self):
        fickle, able = SmtpServer(extensions=('8BITMIME', 'SMTPUTF8')), SmtpServer(extensions=('8BITMIME', 'SMTPUTF8'))
        h = self.relays(fickle, able)
        h.start()
        self.assertEqual(h.settled(h.send(person('a', email='ä@example.com'), channels=['email']))['deliveries'][0]['provider'], 'relay0')
        fickle.extensions = ('8BITMIME',)
        fickle.script = lambda v, arg, s: closing('421 4.3.2 upgrade') if v in ('MAIL', 'RSET', 'NOOP') and s.count else None  # old connections end
        marks = len(fickle.log)
        for who in ('b', 'c', 'd'):
            id = h.send(person(who, email='ä%s@example.com' % who), channels=['email'])
            self.assertEqual(h.settled(id, 30)['status'], 'sent', h.gate(id, 'outcome'))
        after = fickle.log[marks:]
        fresh = [line for line in after[next((i for i, line in enumerate(after) if line.startswith('EHLO')), len(after)):] if not line.isascii()]
        self.assertEqual((fresh, len(fickle.received), len(able.received)), ([], 1, 3))

    def test_a_mail_too_large_for_one_relay_goes_to_the_next(self):
        small, large = SmtpServer(extensions=('8BITMIME', 'SIZE 20000')), SmtpServer(extensions=('8BITMIME', 'SIZE 10000000'))
        large_said = lambda arg: any(int(word[5:]) > 20000 for word in arg.split() if word.startswith('SIZE='))
        small.script = lambda v, arg, s: '552 5.3.4 message too big' if v == 'MAIL' and large_said(arg) else None
        h = self.relays(small, large)
        h.start()
        file = {'filename': 'a.bin', 'content_type': 'application/octet-stream', 'content': base64.b64encode(os.urandom(60000)).decode()}
        id = h.send(person('large'), channels=['email'], attachments=[file])
        h.settled(id)
        self.assertEqual((self.mail(h, id)[:2], h.delivery(id)['provider']), (('sent', None), 'relay1'), h.gate(id, 'outcome'))
        id = h.send(person('small'), channels=['email'])
        h.settled(id)
        self.assertEqual((self.mail(h, id)[:2], h.delivery(id)['provider']), (('sent', None), 'relay0'), h.gate(id, 'outcome'))
        self.assertEqual((len(small.received), len(large.received)), (1, 1))

    def test_a_relay_without_the_log_in_is_passed_over(self):
        for first in (SmtpServer(), SmtpServer(users={'joe': 'pw'}, mechanisms='GSSAPI')):  # offers none; offers one that we have not
            with self.subTest(offers=first.users and first.mechanisms):
                second = SmtpServer(users={'joe': 'pw'})
                h = self.relays(first, second)
                for p, s in zip(h.settings['email']['providers'], (first, second)):
                    p['url'] = 'smtp://joe:pw@127.0.0.1:%d' % s.port
                h.write()
                h.start()
                id = h.send(person('l'), channels=['email'])
                h.settled(id, 20)
                self.assertEqual((self.mail(h, id), h.delivery(id)['provider']), (('sent', None, 1), 'relay1'), h.gate(id, 'outcome'))
                self.assertEqual((first.received, len(second.received)), ([], 1))

    def test_a_mail_that_no_relay_can_take_has_failed(self):
        h = self.relays(SmtpServer(), SmtpServer())
        h.start()
        id = h.send(person('j', email='jürgen@example.com'), channels=['email'])
        h.settled(id)
        self.assertEqual(self.mail(h, id)[:2], ('failed', 'provider_rejected'), h.gate(id, 'outcome'))
        self.assertEqual(h.settled(h.send(person('after'), channels=['email']))['status'], 'sent')

    # ---- Retry-After has a limit (row 21)

    def test_an_endless_retry_after_rests_a_gateway_for_a_quarter_of_an_hour_at_most(self):
        for said in ('86400', email.utils.formatdate(time.time() + 86400, usegmt=True), '99999999999999999999'):
            with self.subTest(said=said):
                h = self.start(gateway=Gateway(script=lambda r, s: (429, {'Retry-After': said}, '')))
                first = h.send(person('a'), 'order-update', channels=['sms'])
                waits = [h.reason(first, 'provider_unavailable', 'sms')['next_attempt_at']]
                self.assertLessEqual(instant(waits[0]) - time.time(), 15 * 60 * 1.25)
                second = h.send(person('b'), 'order-update', channels=['sms'])  # not tried at all, and says why
                d = h.reason(second, 'provider_unavailable', 'sms', timeout=5)
                self.assertEqual(d['attempts'], 0)
                self.assertLessEqual(instant(d['next_attempt_at']) - time.time(), 15 * 60 * 1.25)
                self.assertEqual(len(h.gateway.requests), 1)

    def test_after_the_limit_one_probe_asks_whether_the_gateway_is_back(self):
        gateway = Gateway()
        gateway.script = lambda r, s: (429, {'Retry-After': '86400'}, '') if len(gateway.requests) <= 2 else None
        h = self.house(gateway=gateway)
        h.settings['sms']['providers'][0]['max_retry_after'] = '3s'
        h.write()
        h.start()
        first = h.send(person('a'), 'order-update', channels=['sms'])
        h.reason(first, 'provider_unavailable', 'sms')
        others = [h.send(person('b%d' % i), 'order-update', channels=['sms']) for i in range(10)]
        for id in others:
            self.assertEqual(h.reason(id, 'provider_unavailable', 'sms')['attempts'], 0)
        for id in [first] + others:
            self.assertEqual(h.settled(id, 30)['status'], 'sent')
        times = [r['at'] for r in gateway.requests]
        self.assertEqual(len(times), 2 + 11)  # one, its probe, and when the next probe is well each message once
        self.assertGreaterEqual(times[1] - times[0], 2.5)
        self.assertGreaterEqual(times[2] - times[1], 2.5)

    # ---- only what is sent costs (row 22)

    def test_what_the_gates_refuse_costs_nothing_of_the_rate(self):
        h = self.house(categories={'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'},
                                   'marketing': {'kind': 'marketing', 'consent': 'opt_in'}})
        h.settings['email']['providers'][0]['rate'] = '2/s'
        h.settings['sms']['providers'][0]['rate'] = '1/s'
        h.write()
        h.start()
        h.http('PUT', '/v1/suppressions/left@example.com', {'reason': 'complaint'})
        at = soon(1)
        refused = [(h.send(person('n%d' % i), channels=['email'], category='marketing', send_at=at), 'email') for i in range(10)]
        refused += [(h.send(person('s%d' % i, email='left@example.com'), channels=['email'], send_at=at), 'email') for i in range(10)]
        refused += [(h.send(person('t%d' % i), 'order-update', channels=['sms'], category='marketing', send_at=at), 'sms') for i in range(20)]
        ends = [h.settled(id, 60) and h.delivery(id, channel) for id, channel in refused]
        self.assertEqual([d['reason'] for d in ends], ['no_consent'] * 10 + ['suppressed_address'] * 10 + ['no_consent'] * 20)
        last = max(instant(t['at']) for id, channel in refused for t in h.message(id)['trace'])
        self.assertLess(last - instant(at), 6)  # twenty texts at one a second would take twenty
        sent = [h.send(person('o%d' % i), channels=['email'], category='account') for i in range(4)]
        for id in sent:
            self.assertEqual(h.settled(id)['status'], 'sent')
        times = sorted(m.at for m in h.smtp.accepted)
        self.assertGreater(times[-1] - times[0], 0.5)  # what is sent still keeps to it; the first may have waited for its connection

    # ---- text from outside (row 23)

    TEXTS = [lead + '\U0001f600' * 60 for lead in ('', 'x', 'xx', 'xxx')]
    TEXTS += ['\udcff broken \udcf0\udc9f', '\udced\udca0\udc80 half a pair', 'a\0b\x1b[31m\x07']

    def readable(self, h, id, status, channel='email'):
        """The delivery is there in this state, and its texts can be read through every door."""
        h.until(lambda: h.message(id)['status'] == status, 4, lambda: h.http('GET', '/v1/messages/' + id))
        d = h.delivery(id, channel)
        self.assertIsNotNone(d, h.message(id))
        self.assertEqual((d['status'], d['attempts']), (status, 1))
        texts = [d['provider_ref'] or ''] + [str(t['detail'].get('detail', '')) for t in h.gate(id, 'outcome', channel)]
        for text in texts:
            text.encode('utf-8')  # no half of a pair
            self.assertNotRegex(text, '[\x00-\x1f\x7f]')
        return ''.join(texts)

    def test_a_reply_in_any_letters_keeps_the_delivery_readable(self):
        h = self.start(smtp=SmtpServer(extensions=('PIPELINING', '8BITMIME', 'SMTPUTF8')), retry=EAGER)
        for i, text in enumerate(self.TEXTS):
            for verb, said, status in (('BODY', '250 2.0.0 ' + text, 'sent'), ('RCPT', '550 ' + text, 'failed')):
                address = ('ü%d@example.com' if i % 2 else 't%d@example.com') % i
                with self.subTest(text=ascii(text[:12]), said=said[:4]):
                    h.smtp.script, before = lambda v, arg, s: said if v == verb else None, len(h.smtp.received)
                    id = h.send(person('t%d' % i, email=address), channels=['email'])
                    self.assertIn(said[:3], self.readable(h, id, status))
                    self.assertEqual(len(h.smtp.received) - before, int(verb == 'BODY'))
            self.assertEqual(h.cli_json('show', id)['id'], id)

    def test_a_gateways_answer_in_any_letters_keeps_the_delivery_readable(self):
        h = self.start(retry=EAGER)
        for i, text in enumerate(self.TEXTS):
            for status, body, end in ((202, json.dumps({'id': text}, ensure_ascii=False), 'sent'), (400, text, 'failed'), (202, text, 'sent')):
                with self.subTest(text=ascii(text[:12]), status=status):
                    h.gateway.script = lambda r, s: (status, {}, body)
                    self.readable(h, h.send(person('g%d' % i), 'order-update', channels=['sms']), end, 'sms')

    def test_a_reply_in_four_byte_letters_survives_that_redis_is_away(self):
        h = self.start(smtp=SmtpServer(), retry=EAGER)
        p, store = h.processes[0], next(int(line.split(':')[1]) for line in h.redis('info', 'server').splitlines() if line.startswith('process_id'))

        def script(verb, arg, session):
            if verb == 'BODY':
                os.kill(store, signal.SIGSTOP)
                return '250 2.0.0 ' + '\U0001f600' * 60
            return None
        h.smtp.script = script
        id = h.send(person('r'), channels=['email'])
        try:
            h.until(lambda: h.smtp.accepted and (p.poll() is not None or not h.ready()), 20, 'the service sees that its store is away')
        finally:
            os.kill(store, signal.SIGCONT)
            h.smtp.script = None
        h.until(lambda: h.ready() or p.poll() is not None, 20)
        self.assertIsNone(p.poll(), h.log()[-2000:])
        self.assertEqual(h.settled(id, 30)['status'], 'sent', h.gate(id, 'outcome'))
        self.assertEqual(len(h.smtp.received), 1)
        self.readable(h, id, 'sent')

    # ---- check speaks as the worker does, and the trace names the reason (row 24)

    def agree(self, h):
        """Whether `check` says what the worker then does; True when both are well."""
        h.start()
        status, text = self.check(h)
        id = h.send(person('c'), channels=['email'])
        h.until(lambda: h.delivery(id)['status'] == 'sent' or h.delivery(id)['reason'], 20, lambda: h.message(id))
        sent = h.delivery(id)['status'] == 'sent'
        self.assertEqual(status, 0 if sent else 1, '%s\n%s' % (text, h.gate(id, 'outcome')))
        if not sent:
            self.assertEqual(self.mail(h, id), ('scheduled', 'provider_unavailable', 0))
        return sent, text, '' if sent else h.gate(id, 'outcome')[-1]['detail']['detail']

    def with_tls(self, names, url='smtp://localhost', expired=False, ca=None):
        context, own = certificate(names, expired)
        smtp = SmtpServer(tls=context)
        h = self.house(smtp=smtp)
        h.settings['email']['providers'] = [{'name': 'tls', 'url': '%s:%d' % (url, smtp.port), 'tls': 'required', 'ca_file': ca or own}]
        h.write()
        return h

    def test_check_and_worker_agree_on_a_certificate_of_an_address(self):
        for names, url in (('IP:127.0.0.1', 'smtp://127.0.0.1'), ('DNS:localhost', 'smtp://127.0.0.1'), ('DNS:127.0.0.1', 'smtp://127.0.0.1')):
            with self.subTest(names=names):
                sent = self.agree(self.with_tls(names, url))[0]
                if names == 'DNS:localhost':
                    self.assertFalse(sent)

    def test_check_and_worker_agree_on_a_relay_with_cram_md5_only(self):
        smtp = SmtpServer(users={'joe': 'pw'}, mechanisms='CRAM-MD5')
        h = self.house(smtp=smtp)
        h.settings['email']['providers'] = [{'name': 'cram', 'url': 'smtp://joe:pw@127.0.0.1:%d' % smtp.port, 'tls': 'none'}]
        h.write()
        sent, text, trace = self.agree(h)
        if not sent:
            self.assertRegex(text + trace, r'(?i)mechanism|CRAM|log.?in|auth')

    def test_check_and_worker_agree_on_refused_and_missing_log_ins(self):
        for smtp in (SmtpServer(), SmtpServer(users={'joe': 'other'}), SmtpServer(users={'joe': 'pw'}),
                     SmtpServer(users={'joe': 'pw'}, mechanisms='LOGIN')):
            with self.subTest(users=smtp.users, mechanisms=smtp.mechanisms):
                h = self.house(smtp=smtp)
                h.settings['email']['providers'] = [{'name': 'auth', 'url': 'smtp://joe:pw@127.0.0.1:%d' % smtp.port, 'tls': 'none'}]
                h.write()
                self.assertEqual(self.agree(h)[0], smtp.users.get('joe') == 'pw')

    def test_the_trace_says_what_is_wrong_with_a_certificate(self):
        other = certificate('DNS:localhost')[1]
        table = [({'names': 'DNS:localhost', 'expired': True}, r'(?i)expired'), ({'names': 'DNS:elsewhere.example'}, r'(?i)\bname|\bhost|match'),
                 ({'names': 'DNS:localhost', 'ca': other}, r'(?i)authority|issuer|self.?signed|trust|unknown ca')]
        for make, words in table:
            with self.subTest(make=make):
                sent, text, trace = self.agree(self.with_tls(**make))
                self.assertFalse(sent)
                self.assertRegex(trace, words)
                self.assertNotIn('last reply 220', trace)
                self.assertRegex(text, words)
        self.assertTrue(self.agree(self.with_tls('DNS:localhost'))[0])


if __name__ == '__main__':
    unittest.main()
