"""Real relays: what Postfix and Exim say, and that every mail which they have accepted is in a mailbox, once."""
import base64, collections, os, threading, time, unittest

from house import FlowTest, person
from relays import Authority, Exim, Postfix

EAGER = {'first': '100ms', 'factor': 1.5, 'max': '1s', 'max_attempts': 6, 'jitter': 0}


class Once:
    """A policy's memory: True so many times for each name."""

    def __init__(self, times=1):
        self.times, self.seen, self.lock = times, collections.Counter(), threading.Lock()

    def __call__(self, name):
        with self.lock:
            self.seen[name] += 1
            return self.seen[name] <= self.times


class Cases:
    """The same for both; `make` is the relay's class."""

    def relay(self, make=None, **settings):
        r = (make or self.make)(**settings)
        self.addCleanup(r.close)
        return r

    def before(self, *relays, retry=EAGER, **provider):
        """A running house in front of these relays."""
        h = self.house(retry=retry)
        h.settings['email']['providers'] = [{'name': 'relay%d' % i, 'url': r.url(), 'tls': 'none', 'connections': 4, **provider}
                                            for i, r in enumerate(relays)]
        h.write()
        h.start()
        return h

    def send(self, h, *people, **more):
        """A message to each of these, people of their own; their ids."""
        ids = ['%d-%s' % (i, p.encode('ascii', 'ignore').decode()) for i, p in enumerate(people)]
        return [h.send(person(id, email=p + '@example.com'), channels=['email'], **more) for id, p in zip(ids, people)]

    def asked_at_data(self, chunking):
        return True

    def many(self, n, name='m%d'):
        return [name % i for i in range(n)]

    def takes_nothing(self, h):
        """A service with this configuration reaches no relay: a mail waits, and no attempt of it is burnt."""
        h.write()
        h.start()
        id, = self.send(h, 'never')
        self.assertEqual(h.reason(id, 'provider_unavailable')['attempts'], 0)
        h.http('DELETE', '/v1/messages/' + id)
        h.stop()

    def account(self, h, relays, sent, failed=(), attempts=None):
        """Every message is in its final state, what was sent is in a mailbox once, and nothing else is."""
        for id in sent:
            d = h.settled(id, 30)['deliveries'][0]
            self.assertEqual((d['status'], d['reason']), ('sent', None), h.gate(id, 'outcome'))
            self.assertIn(d['attempts'], attempts or range(1, 7), h.gate(id, 'outcome'))
        for id in failed:
            d = h.settled(id, 30)['deliveries'][0]
            self.assertEqual((d['status'], d['reason'], d['attempts']), ('failed', 'provider_rejected', 1), h.gate(id, 'outcome'))
        wanted = collections.Counter('<%s-e@example.com>' % id for id in sent)
        there = lambda: sum((r.mails() for r in relays), collections.Counter())
        h.until(lambda: not wanted - there(), 20, lambda: '%s\n%s' % (wanted - there(), relays[0].log()[-3000:]))
        self.assertEqual(there(), wanted)

    # ---- TLS, log-in

    def test_mails_arrive_over_starttls_verified_by_a_private_authority(self):
        authority, other = Authority(), Authority()
        self.addCleanup(authority.close)
        self.addCleanup(other.close)
        r = self.relay(tls=authority)  # refuses what is not encrypted
        h = self.before(r, url=r.url(host='localhost'), tls='required', ca_file=authority.ca)
        ids = self.send(h, *self.many(20))
        self.account(h, [r], ids, attempts=[1])
        h.stop()
        for change in ({'ca_file': other.ca}, {'url': r.url()}):  # another authority; a name that is not in the certificate
            with self.subTest(change=change):
                h.settings['email']['providers'][0].update({'url': r.url(host='localhost'), 'ca_file': authority.ca, **change})
                self.takes_nothing(h)
        self.assertEqual(len(r.mails()), 20)

    def test_a_log_in_is_needed_and_given_over_tls(self):
        authority = Authority()
        self.addCleanup(authority.close)
        r = self.relay(tls=authority, users={'joe': 's3cret'})
        h = self.before(r, url=r.url('joe:s3cret', 'localhost'), tls='required', ca_file=authority.ca)
        ids = self.send(h, *self.many(10), 'ü')
        self.account(h, [r], ids, attempts=[1])
        h.stop()
        for user in ('joe:wrong', None):
            with self.subTest(user=user):
                h.settings['email']['providers'][0]['url'] = r.url(user, 'localhost')
                self.takes_nothing(h)
        self.assertEqual(len(r.mails()), 11)

    # ---- CHUNKING

    def test_mails_arrive_whole_with_chunking_and_without(self):
        file = os.urandom(200000)
        attachments = [{'filename': 'a.bin', 'content_type': 'application/octet-stream', 'content': base64.b64encode(file).decode()},
                       {'filename': 'dots.txt', 'content_type': 'text/plain', 'content': base64.b64encode(b'.\r\n..\r\n.a\r\n\r\n.').decode()}]
        for chunking in (True, False):
            with self.subTest(chunking=chunking):
                r = self.relay(chunking=chunking)
                h = self.before(r)
                ids = self.send(h, *self.many(10)) + self.send(h, 'large0', 'large1', attachments=attachments)
                self.account(h, [r], ids, attempts=[1])
                for id in ids[-2:]:
                    parts = {p.get_filename(): p.get_payload(decode=True) for p in r.mail('<%s-e@example.com>' % id).walk() if p.get_filename()}
                    self.assertEqual(parts['a.bin'], file)
                    self.assertEqual(parts['dots.txt'].split(), b'.\n..\n.a\n.'.split())

    # ---- refusals at every stage

    def test_a_refusal_for_a_while_at_any_stage_is_followed_by_the_mail_once(self):
        for chunking in (True, False):
            with self.subTest(chunking=chunking):
                first, senders = Once(), Once(3)

                def policy(stage, who):
                    refused = senders('') if stage == 'MAIL' else who.startswith(stage.lower()) and first(who)
                    return '451 4.3.0 not just now' if refused else None
                r = self.relay(chunking=chunking, policy=policy)
                h = self.before(r)
                ids = self.send(h, *self.many(4, 'rcpt%d'), *self.many(4, 'data%d'), *self.many(4, 'body%d'), *self.many(4))
                self.account(h, [r], ids)
                told = collections.Counter(stage for stage, who, said in r.refusals)
                self.assertEqual(told, {'MAIL': 3, 'RCPT': 4, 'BODY': 4, **({'DATA': 4} if self.asked_at_data(chunking) else {})})

    def test_a_final_refusal_at_any_stage_ends_that_message_and_no_other(self):
        for chunking in (True, False):
            with self.subTest(chunking=chunking):
                r = self.relay(chunking=chunking, policy=lambda s, who: '554 5.7.1 not wanted' if who.startswith(s.lower()) else None)
                h = self.before(r)
                bad, good = [], []
                for stage in ('rcpt', 'data', 'body'):
                    good += self.send(h, *self.many(2, stage[:2] + '%d'))
                    (bad if stage != 'data' or self.asked_at_data(chunking) else good).extend(self.send(h, *self.many(2, stage + '%d')))
                bad += self.send(h, 'words', data={'name': 'unwanted', 'count': 1})
                good += self.send(h, *self.many(4))
                self.account(h, [r], good, bad, attempts=[1])

    def test_a_sender_that_is_refused_once_for_good_costs_one_message(self):
        first = Once()
        r = self.relay(policy=lambda s, who: '550 5.7.1 this sender not' if s == 'MAIL' and first('') else None)
        h = self.before(r)
        ids = self.send(h, *self.many(6))
        ends = [h.settled(id, 30)['status'] for id in ids]
        self.assertEqual(collections.Counter(ends), {'sent': 5, 'failed': 1})
        self.account(h, [r], [id for id, end in zip(ids, ends) if end == 'sent'], [id for id, end in zip(ids, ends) if end == 'failed'])

    def test_a_greylisted_mail_arrives_at_a_later_try_and_holds_up_nobody(self):
        first = {}

        def policy(stage, who):
            if stage == 'RCPT' and who.startswith('grey') and time.time() - first.setdefault(who, time.time()) < 1:
                return self.greylisted
            return None
        r = self.relay(policy=policy)
        h = self.before(r, retry={**EAGER, 'first': '300ms', 'factor': 2})
        grey, known = self.send(h, *self.many(4, 'grey%d')), self.send(h, *self.many(8))
        for id in known:
            self.assertEqual(h.settled(id, 10)['deliveries'][0]['attempts'], 1)
        self.account(h, [r], grey + known)
        self.assertTrue(all(h.delivery(id)['attempts'] > 1 for id in grey))

    # ---- limits

    def test_a_limit_of_connections_loses_no_mail_and_is_found_out(self):
        r = self.relay(**self.two_connections)
        h = self.before(r, connections=8)
        ids = self.send(h, *self.many(60))
        self.account(h, [r], ids, attempts=[1])
        self.assertLessEqual(r.log().count(self.too_many_connections), 25)

    def test_a_limit_of_mails_in_a_time_loses_none(self):
        r = self.relay(**self.few_mails)
        h = self.before(r, retry={**EAGER, 'max_attempts': 3})
        ids = self.send(h, *self.many(80))
        self.account(h, [r], ids, attempts=[1])
        self.assertIn(self.too_many_mails, r.log())

    # ---- SMTPUTF8

    def test_an_address_beyond_ascii_arrives_where_smtputf8_is_offered_and_fails_where_it_is_not(self):
        for offered in (True, False):
            with self.subTest(offered=offered):
                r = self.relay(smtputf8=offered)
                h = self.before(r)
                ids, plain = self.send(h, *self.many(4, 'jürgen%d')), self.send(h, *self.many(6))
                self.account(h, [r], plain + ids if offered else plain, [] if offered else ids, attempts=[1])


class WithPostfix(Cases, FlowTest):
    make = Postfix
    greylisted = '450 4.2.0 Greylisted, come back in a second'
    two_connections = {'smtpd_client_connection_count_limit': '2'}
    too_many_connections = 'Connection concurrency limit exceeded'
    few_mails = {'smtpd_client_message_rate_limit': '20', 'anvil_rate_time_unit': '1s'}
    too_many_mails = 'Message delivery request rate limit exceeded'

    def test_a_relay_that_closes_after_two_errors_gets_all_the_others(self):
        r = self.relay(smtpd_hard_error_limit='2', smtpd_error_sleep_time='0',
                       policy=lambda s, who: '550 5.1.1 nobody' if s == 'RCPT' and who[0] == 'n' else None)
        h = self.before(r)
        ids = self.send(h, *[w for pair in zip(self.many(12, 'n%d'), self.many(12)) for w in pair])
        self.account(h, [r], ids[1::2], ids[0::2], attempts=[1])
        self.assertIn('too many errors', r.log())

    def test_what_the_first_relay_cannot_carry_goes_to_the_second(self):
        first, second = self.relay(smtputf8=False), self.relay(make=Exim)
        h = self.before(first, second)
        ids = self.send(h, *self.many(4, 'jürgen%d')) + self.send(h, *self.many(4))
        self.account(h, [first, second], ids)
        self.assertEqual([h.delivery(id)['provider'] for id in ids], ['relay1'] * 4 + ['relay0'] * 4)


class WithExim(Cases, FlowTest):
    make = Exim
    greylisted = '451 4.7.1 Greylisted, come back in a second'
    two_connections = {'smtp_accept_max': '2'}
    too_many_connections = 'too many connections'
    few_mails = {'acl_mail': '  defer ratelimit = 10 / 1s / leaky / per_mail\n        message = 450 4.7.1 too much mail\n'}
    too_many_mails = 'too much mail'

    def asked_at_data(self, chunking):
        return True  # CHUNKING is not used, so there is always a DATA to ask at

    def test_a_relay_that_closes_after_five_mails_is_called_again(self):
        r = self.relay(smtp_accept_max_per_connection='5')
        h = self.before(r)
        ids = self.send(h, *self.many(60))
        self.account(h, [r], ids, attempts=[1])


if __name__ == '__main__':
    unittest.main()
