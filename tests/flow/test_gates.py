"""Every gate, status and reason that a message can meet before it is handed over."""
import datetime, os, shutil, time, unittest

from house import ROOT, FlowTest, person


def at(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%SZ')


CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing'}}


class Gates(FlowTest):
    def end(self, h, id, status, reason, channel='email'):
        h.settled(id)
        d = h.delivery(id, channel)
        self.assertEqual((d['status'], d['reason']), (status, reason), h.message(id))

    def test_address_suppression_consent_and_preference_each_have_their_reason(self):
        h = self.start()
        self.end(h, h.send(person('noaddr', email=None), channels=['email']), 'suppressed', 'no_address')
        self.end(h, h.send('unknown', channels=['email']), 'suppressed', 'no_address')
        self.assertEqual(h.http('PUT', '/v1/suppressions/Sup@Example.com', {'reason': 'complaint'})[0], 200)
        self.end(h, h.send(person('sup'), channels=['email']), 'suppressed', 'suppressed_address')
        self.assertEqual(h.http('DELETE', '/v1/suppressions/sup@example.com')[0], 200)
        self.end(h, h.send('sup', channels=['email']), 'sent', None)
        self.end(h, h.send(person('none'), 'milestone'), 'suppressed', 'no_consent')
        h.cli('consent', 'grant', 'none', '--category', 'marketing', '--channel', 'email')
        self.end(h, h.send('none', 'milestone'), 'sent', None)
        h.http('POST', '/v1/recipients/out/consents', {'category': 'onboarding', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        out = h.send(person('out'), channels=['email'])
        self.end(h, out, 'suppressed', 'opted_out')
        self.assertEqual(h.gate(out, 'consent')[0]['detail']['state'], 'withdrawn')
        self.end(h, h.send(person('pref', channels=['sms'])), 'suppressed', 'preference')
        self.end(h, h.send('pref', 'order-update', channels=['sms']), 'sent', None, 'sms')

    def test_strategy_first_goes_on_to_the_next_channel_that_policy_admits(self):
        h = self.start()
        id = h.send(person('a', phone=None), 'order-update', channels=['sms', 'in_app'], strategy='first')
        self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertEqual([(d['channel'], d['status'], d['reason']) for d in h.message(id)['deliveries']], [('sms', 'suppressed', 'no_address'), ('in_app', 'sent', None)])
        one = h.send(person('b'), 'order-update', channels=['sms', 'in_app'], strategy='first')
        self.assertEqual([d['channel'] for d in h.settled(one)['deliveries']], ['sms'])
        mine = h.send(person('c', channels=['in_app', 'sms']), 'order-update', channels=['sms', 'in_app'], strategy='first')
        self.assertEqual([d['channel'] for d in h.settled(mine)['deliveries']], ['in_app'])

    def test_a_message_past_its_expiry_is_never_sent(self):
        h = self.house()
        h.settings['email']['providers'][0]['rate'] = '1/h'
        h.write()
        h.start()
        h.settled(h.send(person('x'), channels=['email']))  # spends the hour's token
        id = h.send(person('y'), channels=['email'], ttl='1s')
        time.sleep(1.2)
        h.settings['email']['providers'][0].pop('rate')
        h.write()
        h.stop()
        h.start()
        self.end(h, id, 'expired', 'expired')

    def test_quiet_hours_put_off_service_mail_and_leave_transactional_alone(self):
        # quiet from one hour ago until one hour from now, in a zone without summer time
        now = datetime.datetime.now(datetime.timezone.utc)
        hour = lambda h: (now + datetime.timedelta(hours=h)).strftime('%H:%M')
        h = self.start(quiet_hours={'from': hour(-1), 'to': hour(1)}, categories={**CATEGORIES, 'drop': {'kind': 'service', 'quiet_hours': 'drop'}})
        id = h.send(person('q'), channels=['email'])
        d = h.reason(id, 'quiet_hours')
        self.assertEqual(d['status'], 'scheduled')
        until = datetime.datetime.fromisoformat(d['next_attempt_at'].replace('Z', '+00:00'))
        self.assertEqual(until.strftime('%H:%M:%S'), hour(1) + ':00')
        self.end(h, h.send('q', 'order-update', channels=['sms']), 'sent', None, 'sms')
        self.end(h, h.send('q', channels=['in_app']), 'sent', None, 'in_app')
        self.end(h, h.send('q', channels=['email'], category='drop'), 'suppressed', 'quiet_hours')
        far = h.send(person('far', timezone='Pacific/Kiritimati' if now.hour in range(3, 21) else 'Pacific/Pago_Pago'), channels=['email'])
        self.end(h, far, 'sent', None)
        short = h.send('q', channels=['email'], ttl='30m')
        d = h.reason(short, 'quiet_hours')
        self.assertEqual(d['next_attempt_at'], h.message(short)['expires_at'])  # told at its expiry, not when the window opens

    def test_caps_drop_defer_and_pass_on_and_a_refused_send_gives_its_place_back(self):
        caps = [{'name': 'weekly', 'categories': ['marketing'], 'max': 2, 'per': '7d', 'over': 'drop'},
                {'name': 'daily', 'categories': ['onboarding'], 'channels': ['email'], 'max': 1, 'per': '1 calendar day', 'over': 'defer'},
                {'name': 'sms', 'channels': ['sms'], 'kinds': ['service'], 'max': 1, 'per': '7d', 'over': 'next_channel'},
                {'name': 'short', 'categories': ['news'], 'max': 1, 'per': '1h', 'over': 'defer'}]
        h = self.start(caps=caps, categories={**CATEGORIES, 'marketing': {'kind': 'marketing', 'consent': 'none'}, 'news': {'kind': 'service'}})
        h.smtp.script = lambda verb, arg, s: '550 5.1.1 nobody' if verb == 'RCPT' and arg.startswith('refused') else None
        ids = [h.send(person('c'), 'milestone') for _ in range(3)]
        reasons = sorted(str(h.settled(i)['deliveries'][0]['reason']) for i in ids)
        self.assertEqual(reasons, ['None', 'None', 'cap:weekly'])
        first, second = h.send('c', channels=['email']), None
        self.end(h, first, 'sent', None)
        second = h.send('c', channels=['email'])
        d = h.reason(second, 'cap:daily')
        self.assertEqual((d['status'], d['next_attempt_at'][11:]), ('scheduled', '00:00:00Z'))
        self.assertEqual(h.gate(second, 'cap')[0]['detail']['rules'], [{'name': 'daily', 'sent': 1, 'max': 1}])
        for expected in (['sms'], ['sms', 'in_app']):
            id = h.send('c', 'order-update', channels=['sms', 'in_app'], category='onboarding', strategy='first')
            self.assertEqual([x['channel'] for x in h.settled(id)['deliveries']], expected)
        self.assertEqual(h.delivery(id, 'sms')['reason'], 'cap:sms')
        rolling = h.send('c', channels=['email'], category='news')
        sent = h.settled(rolling)['deliveries'][0]['sent_at']
        again = h.reason(h.send('c', channels=['email'], category='news'), 'cap:short')
        parse = lambda t: datetime.datetime.fromisoformat(t.replace('Z', '+00:00'))
        self.assertAlmostEqual((parse(again['next_attempt_at']) - parse(sent)).total_seconds(), 3600, delta=2)
        self.end(h, h.send(person('refused'), channels=['email']), 'failed', 'provider_rejected')
        h.http('PATCH', '/v1/recipients/refused', {'email': 'better@example.com'})
        self.end(h, h.send('refused', channels=['email']), 'sent', None)  # the daily place was given back

    def test_caps_select_by_source_and_priority_keep_places_count_only_and_exempt(self):
        h = self.start(categories={**CATEGORIES, 'news': {'kind': 'service'}, 'vip': {'kind': 'service'}}, caps=[
            {'name': 'shop', 'sources': ['shop'], 'max': 1, 'per': '1h'},
            {'name': 'low', 'priorities': ['low'], 'max': 1, 'per': '1h'},
            {'name': 'kept', 'categories': ['news'], 'max': 2, 'per': '1h', 'keep': {'high': 1}},
            {'name': 'all', 'max': 3, 'per': '1h', 'count_only': {'kinds': ['transactional']}, 'exempt': {'categories': ['vip']}}])
        send = lambda who, **more: h.settled(h.send(who, channels=['email'], **more))['deliveries'][0]['reason']
        self.assertEqual([send(person('a'), source='shop'), send('a', source='shop'), send('a', source='crm')], [None, 'cap:shop', None])
        self.assertEqual([send(person('b'), priority='low'), send('b', priority='low'), send('b')], [None, 'cap:low', None])
        self.assertEqual([send(person('c'), category='news'), send('c', category='news'), send('c', category='news', priority='high'), send('c', category='news', priority='high')],
                         [None, 'cap:kept', None, 'cap:kept'])
        self.assertEqual([send(person('d'), category='account') for _ in range(3)] + [send('d'), send('d', category='account'), send('d', category='vip')],
                         [None, None, None, 'cap:all', None, None])

    def test_a_person_may_say_how_many_a_week(self):
        h = self.start()
        self.assertEqual(h.http('PUT', '/v1/recipients/o', {'email': 'o@example.com', 'preferences': {'max_per_week': 1}})[0], 200)
        reasons = [h.settled(h.send('o', channels=['email'], **more))['deliveries'][0]['reason'] for more in ({}, {}, {'category': 'account'})]
        self.assertEqual(reasons, [None, 'cap:own', None])
        self.assertEqual(h.http('PUT', '/v1/recipients/o', {'preferences': {'max_per_week': -1}})[1]['errors'][0]['pointer'], '/preferences/max_per_week')

    def test_a_template_that_cannot_render_keeps_the_message_and_sends_nothing(self):
        h = self.house()
        h.settings['templates'] = os.path.join(h.dir, 'templates')
        shutil.copytree(os.path.join(ROOT, 'templates'), h.settings['templates'])
        with open(h.settings['templates'] + '/welcome/email.text.mustache', 'w') as out:
            out.write('{{name}}\n{{#link}}{{nobody}}{{/link}}\n')
        h.write()
        h.start()
        id = h.send(person('r'), channels=['email'])
        self.end(h, id, 'failed', 'render_error')
        detail = h.gate(id, 'render')[0]['detail']['detail']
        self.assertIn('welcome/email.text.mustache:2', detail)
        self.assertIn('"nobody"', detail)
        self.assertEqual(h.smtp.received, [])
        dead = h.cli_json('dead', 'list')
        self.assertEqual([(d['id'], d['reason']) for d in dead], [(id + '-e', 'render_error')])
        subject = h.send(person('s'), channels=['email'], data={'name': 'a\r\nBcc: x@example.com', 'count': 1})
        self.end(h, subject, 'failed', 'render_error')

    def test_cancel_and_supersede_end_what_is_pending_and_count_it(self):
        h = self.start()
        later = [h.send(person('c'), channels=['email'], delay='1h') for _ in range(3)]
        done = h.send('c', channels=['in_app'])
        h.settled(done)
        self.assertEqual(h.http('DELETE', '/v1/messages/' + later[0])[1]['cancelled'], [later[0]])
        self.end(h, later[0], 'cancelled', 'cancelled')
        self.assertEqual(h.http('DELETE', '/v1/messages/nope')[0], 404)
        counts = h.cli_json('cancel', later[1], done)['counts']
        self.assertEqual((counts['cancelled'], counts['already_sent']), (1, 1))
        self.assertEqual(h.cli('cancel', '--recipient', 'c', '--category', 'onboarding').split(',')[0], 'cancelled 1')
        old = h.send('c', channels=['email'], delay='1h', supersede='offer')
        new = h.send('c', channels=['email'], supersede='offer')
        self.end(h, old, 'cancelled', 'superseded')
        self.end(h, new, 'sent', None)

    def test_a_withdrawal_ends_what_it_covers_and_its_receipt_is_complete(self):
        h = self.start(categories={**CATEGORIES, 'marketing': {'kind': 'marketing', 'consent': 'opt_out'}})
        sent = h.send(person('w'), 'milestone')
        h.settled(sent)
        pending = [h.send('w', 'milestone', delay='1h') for _ in range(3)]
        other = h.send('w', channels=['email'], delay='1h')
        account = h.send('w', 'order-update', channels=['sms'], delay='1h')
        status, receipt = h.http('POST', '/v1/recipients/w/consents', {'category': 'marketing', 'channel': '*', 'state': 'withdrawn', 'source': 'test'})
        self.assertEqual(status, 200)
        self.assertEqual((sorted(receipt['cancelled']), receipt['in_flight'], receipt['withdrawn']), (sorted(pending), [], True))
        self.assertEqual(receipt['last_sent']['id'], sent + '-e')
        self.end(h, pending[0], 'suppressed', 'opted_out')
        self.assertEqual([h.message(i)['status'] for i in (other, account)], ['scheduled', 'scheduled'])
        ledger = h.http('GET', '/v1/recipients/w/consents')[1]['consents']
        self.assertEqual([(e['state'], e['source']) for e in ledger], [('withdrawn', 'test')])
        both = h.http('POST', '/v1/recipients/w/consents', {'category': '*', 'state': 'withdrawn'})[1]
        self.assertEqual(both['cancelled'], [other])  # transactional mail asks for no consent

    def test_links_in_a_mail_unsubscribe_on_post_only(self):
        h = self.start()
        h.settled(h.send(person('u', locale='pl'), channels=['email']))
        link = h.smtp.accepted[0].parse()['List-Unsubscribe'].strip('<>')
        path = '/' + link.split('/', 3)[3]
        status, page = h.http('GET', path)
        self.assertEqual(status, 200)
        self.assertIn('lang="pl"', page)
        self.assertIn('Zrezygnuj', page)
        self.assertEqual(h.http('GET', '/v1/recipients/u/consents')[1]['consents'], [])
        bad = path[:-1] + ('A' if path[-1] != 'A' else 'B')
        self.assertEqual(h.http('POST', bad, raw=b'List-Unsubscribe=One-Click', type='application/x-www-form-urlencoded')[0], 400)
        self.assertEqual(h.http('POST', path, raw=b'hello', type='application/x-www-form-urlencoded')[0], 400)
        self.assertEqual(h.http('POST', path, raw=b'List-Unsubscribe=One-Click', type='application/x-www-form-urlencoded')[0], 200)
        self.end(h, h.send('u', channels=['email']), 'suppressed', 'opted_out')
        prefs = '/' + h.smtp.accepted[0].parse().get_body(('text', 'plain')).get_content().split('/p/')[1].split(')')[0].strip()
        self.assertEqual(h.http('GET', '/p' + prefs)[0], 200)

    def test_local_times_and_delays_are_placed_in_the_recipients_zone(self):
        h = self.start()
        id = h.send(person('z', timezone='Asia/Kathmandu'), send_at_local='2030-06-01T09:00', channels=['email'])
        self.assertEqual(h.message(id)['send_at'], '2030-06-01T03:15:00Z')
        gap = h.send(person('g', timezone='Europe/Berlin'), send_at_local='2030-03-31T02:30', channels=['email'])
        self.assertEqual(h.message(gap)['send_at'], '2030-03-31T01:00:00Z')
        twice = h.send('g', send_at_local='2030-10-27T02:30', channels=['email'])
        self.assertEqual(h.message(twice)['send_at'], '2030-10-27T00:30:00Z')

    def test_a_rule_about_the_clock_rate_hours_pass_in_seconds(self):
        h = self.start('--clock-rate', '3600')
        id = h.send(person('t'), channels=['email'], delay='2h')
        self.assertEqual(h.settled(id, 10)['status'], 'sent')


if __name__ == '__main__':
    unittest.main()
