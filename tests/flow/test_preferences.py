"""What people choose for themselves: by the API, and on the page behind the link in a mail."""
import datetime, html.parser, unittest, urllib.parse

from house import FlowTest, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing'}}


class Preferences(FlowTest):
    def choose(self, h, who, **wish):
        return h.http('PATCH', '/v1/recipients/%s/preferences' % who, wish)

    def test_the_api_reads_and_changes_them_and_says_what_is_wrong(self):
        h = self.start(categories=CATEGORIES)
        h.http('PUT', '/v1/recipients/a', {'email': 'a@example.com', 'attributes': {'name': 'Ada'}})
        empty = {'channels': None, 'categories': {'marketing': False, 'onboarding': True}, 'pause_until': None, 'max_per_week': None}
        self.assertEqual(h.http('GET', '/v1/recipients/a/preferences'), (200, empty))
        status, after = self.choose(h, 'a', channels=['sms', 'email'], categories={'marketing': True, 'onboarding': False}, max_per_week=2)
        self.assertEqual((status, after), (200, {**empty, 'channels': ['sms', 'email'], 'categories': {'marketing': True, 'onboarding': False}, 'max_per_week': 2}))
        self.assertEqual(self.choose(h, 'a', max_per_week=None)[1]['max_per_week'], None)
        self.assertEqual(h.http('GET', '/v1/recipients/a')[1]['attributes'], {'name': 'Ada'})
        self.assertEqual([(e['category'], e['state'], e['source']) for e in h.http('GET', '/v1/recipients/a/consents')[1]['consents']],
                         [('marketing', 'granted', 'api'), ('onboarding', 'withdrawn', 'api')])
        for wish, pointer in (({'channels': ['fax']}, '/channels/0'), ({'categories': {'account': False}}, '/categories/account'), ({'categories': {'marketing': 'yes'}}, '/categories/marketing'),
                              ({'pause_until': 'soon'}, '/preferences/pause_until'), ({'max_per_week': -1}, '/preferences/max_per_week'), ({'colour': 'red'}, '/colour')):
            status, problem = self.choose(h, 'a', **wish)
            self.assertEqual((status, problem['errors'][0]['pointer']), (422, pointer))

    def test_a_pause_holds_what_can_wait(self):
        h = self.start(categories=CATEGORIES)
        until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)).strftime('%Y-%m-%dT00:00:00Z')
        h.http('PUT', '/v1/recipients/p', {'email': 'p@example.com'})
        self.assertEqual(self.choose(h, 'p', pause_until=until)[0], 200)
        id = h.send('p', channels=['email'])
        self.assertEqual(h.reason(id, 'preference')['next_attempt_at'], until)
        self.assertEqual(h.gate(id, 'preference')[0]['detail']['pause_until'], until)
        self.assertEqual(h.settled(h.send('p', channels=['email'], category='account'))['status'], 'sent')
        short = h.send('p', channels=['email'], ttl='1s')
        self.assertEqual(h.settled(short)['status'], 'expired')

    def test_the_page_changes_the_same_and_only_by_post(self):
        h = self.start(categories=CATEGORIES)
        h.settled(h.send(person('w', locale='de'), channels=['email']))
        html = h.smtp.accepted[0].parse().get_body(('html',)).get_content()
        path = '/p/' + html.split('/p/')[1].split('"')[0]
        before = h.http('GET', '/v1/recipients/w/preferences')[1]
        status, page = h.http('GET', path)
        self.assertEqual(status, 200)
        self.assertNotIn('Was für Sie geplant', page)
        today = '%d. ' % datetime.date.today().day
        self.assertIn('Sie war geplant für den ' + today, page)
        self.assertIn('Sie haben nicht widersprochen.', page)
        h.send('w', channels=['email'], send_at='2030-03-01T12:00:00Z')
        self.assertIn('<li>1. März 2030: erste Schritte</li>', h.http('GET', path)[1])
        for words in ('<html lang="de"', 'von dieser Art: erste Schritte', 'Neuigkeiten und Angebote', 'eine Nachricht pro Woche', 'Nichts bis', 'In der App'):
            self.assertIn(words, page)
        self.assertEqual(h.http('GET', '/v1/recipients/w/preferences')[1], before)
        form = [('category.marketing', 'on'), ('category.onboarding', 'off'), ('category.account', 'off'), ('channel', 'email'), ('max_per_week', '2'), ('pause_until', '2027-01-01')]
        post = lambda fields: h.http('POST', path, raw=urllib.parse.urlencode([tuple(f) for f in fields]).encode(), type='application/x-www-form-urlencoded')
        self.assertEqual(post(form)[0], 400)  # what an account needs cannot be left
        self.assertEqual(h.http('GET', '/v1/recipients/w/preferences')[1], before)
        status, page = post([f for f in form if f[0] != 'category.account'])
        self.assertEqual(status, 200)
        self.assertIn('Ihre Auswahl gilt', page)
        self.assertEqual(h.http('GET', '/v1/recipients/w/preferences')[1],
                         {'channels': ['email'], 'categories': {'marketing': True, 'onboarding': False}, 'pause_until': '2027-01-01T00:00:00Z', 'max_per_week': 2})
        page = h.http('GET', path)[1]
        self.assertIn('value="2027-01-01"', page)
        self.assertIn('Sie haben am ' + today, page)
        self.assertIn('widersprochen', page)
        self.assertIn('<option value="2" selected>', page)


    def test_who_saves_the_page_as_it_came_changes_nothing(self):
        many = {'c%d' % i: {'kind': 'service'} for i in range(70)}
        h = self.start(categories={**CATEGORIES, **many, 'news': {'kind': 'marketing', 'consent': 'opt_out'}})
        h.settled(h.send(person('s'), channels=['email']))
        path = '/p/' + h.smtp.accepted[0].parse().get_body(('html',)).get_content().split('/p/')[1].split('"')[0]
        for category, channel, state in (('news', 'sms', 'withdrawn'), ('marketing', 'email', 'granted')):
            h.http('POST', '/v1/recipients/s/consents', {'category': category, 'channel': channel, 'state': state})
        self.choose(h, 's', max_per_week=4, pause_until='2030-01-01T15:00:00Z')
        before, ledger = h.http('GET', '/v1/recipients/s/preferences'), h.http('GET', '/v1/recipients/s/consents')
        class Form(html.parser.HTMLParser):
            def __init__(self, page):
                super().__init__()
                self.fields, self.select = [], None
                self.feed(page)
            def handle_starttag(self, tag, attrs):
                a = dict(attrs)
                if tag == 'input' and (a['type'] not in ('radio', 'checkbox') or 'checked' in a):
                    self.fields.append([a['name'], a['value']])
                elif tag == 'select':
                    self.select = a['name']
                    self.fields.append([self.select, None])
                elif tag == 'option' and ('selected' in a or self.fields[-1][1] is None):
                    self.fields[-1] = [self.select, a['value']]
        post = lambda fields: h.http('POST', path, raw=urllib.parse.urlencode([tuple(f) for f in fields]).encode(), type='application/x-www-form-urlencoded')
        fields = Form(h.http('GET', path)[1]).fields
        self.assertGreater(len(fields), 75)
        self.assertEqual(post(fields)[0], 200)
        self.assertEqual((h.http('GET', '/v1/recipients/s/preferences'), h.http('GET', '/v1/recipients/s/consents')), (before, ledger))
        status, page = post([f for f in fields if f[0] != 'channel'])
        self.assertEqual((status, 'choose at least one way' in page), (400, True))
        for name, value in (('place.email', '2147483647'), ('place.sms', '-1'), ('max_per_week', '4')):
            self.assertEqual(post([f for f in fields if f[0] != name] + [[name, value]])[0], 200)
        self.assertEqual(post([f for f in fields if f[0] != 'max_per_week'] + [['max_per_week', 'abc']])[0], 400)
        self.assertEqual(post([[f[0], 'off' if f[0].startswith('category.c') else f[1]] for f in fields])[0], 200)
        self.assertEqual({k: v for k, v in h.http('GET', '/v1/recipients/s/preferences')[1]['categories'].items() if v}, {'onboarding': True, 'news': True})

    def test_the_order_of_channels_is_chosen_on_the_page_and_pending_messages_follow_it(self):
        h = self.start(categories=CATEGORIES, quiet_hours={'blackout': ['2020-01-01']})
        h.settled(h.send(person('o', channels=['email', 'sms', 'in_app']), channels=['email']))
        path = '/p/' + h.smtp.accepted[0].parse().get_body(('html',)).get_content().split('/p/')[1].split('"')[0]
        pending = h.send('o', 'order-update', channels=['sms', 'in_app'], strategy='first', category='onboarding', send_at='2030-01-01T00:00:00Z')
        both = h.send('o', 'order-update', channels=['sms', 'in_app'], category='onboarding', send_at='2030-01-01T00:00:00Z')
        self.assertEqual([d['channel'] for d in h.message(pending)['deliveries']], ['sms'])
        post = lambda *fields: self.assertEqual(h.http('POST', path, raw=urllib.parse.urlencode(fields).encode(), type='application/x-www-form-urlencoded')[0], 200)
        order = lambda: h.http('GET', '/v1/recipients/o/preferences')[1]['channels']
        post(('channel', 'email'), ('place.email', '1'), ('channel', 'sms'), ('place.sms', '2'), ('channel', 'in_app'), ('place.in_app', '1'))
        self.assertEqual(order(), ['in_app', 'email', 'sms'])
        self.assertEqual([(d['channel'], d['status'], d['next_attempt_at']) for d in h.message(pending)['deliveries']], [('in_app', 'scheduled', '2030-01-01T00:00:00Z')])
        self.assertEqual([d['channel'] for d in h.message(both)['deliveries']], ['sms', 'in_app'])
        self.assertEqual(h.gate(pending, 'preference', 'in_app')[0]['detail']['instead_of'], 'sms')
        page = h.http('GET', path)[1]
        self.assertLess(page.index('value="in_app"'), page.index('value="email"'))
        post(('channel', 'in_app'), ('place.in_app', '3'), ('channel', 'email'), ('place.email', '2'), ('place.sms', '3'))
        self.assertEqual(order(), ['email', 'in_app'])
        h.http('PATCH', '/v1/recipients/o', {'channels': ['sms', 'in_app']})
        self.assertEqual([d['channel'] for d in h.message(pending)['deliveries']], ['sms'])

    def test_a_double_opt_in_counts_when_the_person_has_confirmed_it(self):
        h = self.start(categories={**CATEGORIES, 'marketing': {'kind': 'marketing', 'consent': 'double_opt_in'}})
        h.http('PUT', '/v1/recipients/d', {'email': 'd@example.com', 'locale': 'pl'})
        grant = lambda **more: h.http('POST', '/v1/recipients/d/consents', {'category': 'marketing', 'state': 'granted', 'source': 'signup', **more})
        status, receipt = grant()
        self.assertEqual((status, receipt['pending']), (200, True))
        self.assertEqual(h.settled(receipt['confirmation'])['status'], 'sent')
        mail = h.smtp.accepted[-1].parse()
        self.assertEqual(mail['Subject'], 'Potwierdź, że chcesz otrzymywać od nas wiadomości')
        self.assertEqual(h.settled(h.send('d', 'milestone'))['deliveries'][0]['reason'], 'no_consent')
        path = '/c/' + mail.get_body(('html',)).get_content().split('/c/')[1].split('"')[0]
        status, page = h.http('GET', path)
        self.assertEqual((status, 'Tak, chcę' in page), (200, True))
        self.assertEqual(h.settled(h.send('d', 'milestone'))['deliveries'][0]['reason'], 'no_consent')  # looking changes nothing
        self.assertEqual(h.http('POST', path.replace('/c/', '/u/'), raw=b'List-Unsubscribe=One-Click', type='application/x-www-form-urlencoded')[0], 400)
        self.assertEqual(h.http('POST', path, raw=b'', type='application/x-www-form-urlencoded')[0], 200)
        self.assertEqual(h.settled(h.send('d', 'milestone'))['status'], 'sent')
        self.assertEqual([(e['state'], e['source']) for e in h.http('GET', '/v1/recipients/d/consents')[1]['consents']], [('pending', 'signup'), ('granted', 'double-opt-in')])
        self.assertEqual(grant()[1], {'granted': True})  # no second mail to who has confirmed
        for channel in ('in_app', 'email'):  # one closed channel is enough to ask again for all of them
            self.assertEqual(h.http('POST', '/v1/recipients/d/consents', {'category': 'marketing', 'channel': channel, 'state': 'withdrawn'})[0], 200)
            self.assertTrue(grant()[1].get('pending'), channel)
        status, problem = grant(category='*')
        self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/category'))

    def test_a_link_of_a_confirmation_works_until_its_time(self):
        h = self.start('--clock-rate', '3600', categories={**CATEGORIES, 'marketing': {'kind': 'marketing', 'consent': 'double_opt_in', 'confirm_within': '1h'}})
        h.http('PUT', '/v1/recipients/e', {'email': 'e@example.com'})
        receipt = h.http('POST', '/v1/recipients/e/consents', {'category': 'marketing', 'state': 'granted'})[1]
        h.settled(receipt['confirmation'])
        path = '/c/' + h.smtp.accepted[-1].parse().get_body(('html',)).get_content().split('/c/')[1].split('"')[0]
        h.until(lambda: h.http('POST', path, raw=b'', type='application/x-www-form-urlencoded')[0] == 400 or None, what='the link has died')


    def test_an_erased_person_is_not_written_to_again_after_a_re_import(self):
        h = self.start(categories=CATEGORIES)
        h.settled(h.send(person('g', email='Gone@Example.com', phone='+491709999999'), channels=['email']))
        self.assertEqual(h.http('DELETE', '/v1/recipients/g')[1]['erased'], True)
        self.assertEqual(h.http('GET', '/v1/recipients/g')[0], 404)
        kept = h.redis('--scan').split('\n')
        self.assertFalse([k for k in kept if 'gone@' in k.lower() or ':g' == k[-2:]])
        self.assertFalse([v for v in (h.redis('GET', k) for k in kept) if 'gone@' in v.lower() or '9999999' in v])
        for channels, template in ((['email'], 'welcome'), (['sms'], 'order-update')):
            d = h.settled(h.send(person('again', email='gone@example.com', phone='+491709999999'), template, channels=channels, category='account'))['deliveries'][0]
            self.assertEqual((d['status'], d['reason']), ('suppressed', 'suppressed_address'))
        self.assertEqual(h.http('DELETE', '/v1/suppressions/gone@example.com')[0], 200)
        self.assertEqual(h.settled(h.send('again', channels=['email']))['status'], 'sent')


if __name__ == '__main__':
    unittest.main()
