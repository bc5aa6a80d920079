"""What the configuration says is understood or named with its line; what a request asks for is what it gets."""
import json, os, re, signal, unittest

from house import FlowTest, person

LINE = r'tidings\.yaml:\d+'
SECRET = 'whsec_' + 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0'  # 27 bytes in base64


class Understood(FlowTest):
    def refusal(self, h):
        """What check says of the configuration, all of it."""
        out = h.cli('check', '--json', status=None)
        return out + h.err

    def assertNamed(self, said, setting):
        """Refused or warned about: one and the same sentence has the file with its line and the setting."""
        whole = json.loads(said) if said.startswith('[') else []
        sentences = ['%(what)s %(detail)s' % f for f in whole if f['level'] != 'ok'] or said.splitlines()
        self.assertTrue([s for s in sentences if re.search(LINE, s) and setting in s], said)

    def gateway(self, **more):
        h = self.house()
        h.settings['sms']['providers'][0].update(more)
        h.write()
        return h

    def text_sent(self, h):
        h.start()
        h.settled(h.send(person(), 'order-update', channels=['sms']))
        return h.gateway.requests[0]

    def test_numbers_and_truth_values_of_a_request_body_keep_their_types(self):
        body = {'n': 5, 'b': True, 'f': False, 'half': 2.5, 'below': -3, 'nothing': None, 'digits': '5', 'word': 'true',
                'deep': {'to': '{to}', 'ttl': 60, 'list': [1, '1', False]}}
        sent = self.text_sent(self.gateway(request={'body': body}))['json']
        self.assertEqual(sent, {**body, 'deep': {**body['deep'], 'to': '+491701234567'}})
        for key in ('n', 'b', 'f', 'digits', 'word'):  # in Python True equals 1
            self.assertIs(type(sent[key]), type(body[key]), key)

    def test_plain_words_of_yaml_in_a_request_body_keep_their_types_and_quoted_ones_are_texts(self):
        h = self.house()
        with open(h.config, 'w') as out:
            out.write('data_dir: %s\ntemplates: %s\nhttp: { listen: "127.0.0.1:%d" }\n'
                      'sms:\n  providers:\n    - name: gateway\n      url: http://127.0.0.1:%d/send\n'
                      '      request:\n        body:\n          n: 5\n          b: true\n          s: "5"\n'
                      '          t: \'true\'\n          to: "{to}"\n          w: word\n'
                      % (h.settings['data_dir'], h.settings['templates'], h.port, h.gateway.port))
        self.assertEqual(json.dumps(self.text_sent(h)['json'], sort_keys=True),
                         '{"b": true, "n": 5, "s": "5", "t": "true", "to": "+491701234567", "w": "word"}')

    def test_a_signing_secret_that_is_none_is_refused_or_named_with_its_line(self):
        for secret in ('v1,' + SECRET, SECRET[6:], 'whsec_YWJj', 'whsec_'):
            with self.subTest(secret=secret):
                self.assertNamed(self.refusal(self.gateway(signing_secret=secret)), 'signing_secret')

    def test_a_good_signing_secret_is_taken_in_silence_and_signs(self):
        from servers import signature
        h = self.gateway(signing_secret=SECRET)
        self.assertNotIn('signing_secret', self.refusal(h))
        request = self.text_sent(h)
        headers = {k.lower(): v for k, v in request['headers'].items()}
        self.assertEqual(headers['webhook-signature'], signature(SECRET, headers, request['body']))

    def test_a_sender_that_is_not_one_mailbox_is_refused_with_its_line(self):
        for sender in ('A <a@example.com>, B <b@example.com>', 'a@example.com, b@example.com', 'a@example.com b@example.com',
                       'Group: a@example.com;', 'A <a@example.com'):
            with self.subTest(sender=sender):
                self.assertNamed(self.refusal(self.house(email={'from': sender})), 'email.from')

    def mail_or_refusal(self, url):
        """The raw head of a mail under this public_url, or what check says against it."""
        h = self.house()
        h.settings['http']['public_url'] = url
        h.write()
        said = self.refusal(h)
        if re.search(LINE + '.*public_url', said):
            return None, said
        h.start()
        h.settled(h.send(person(), channels=['email']))
        return h.smtp.accepted[0].data.split(b'\r\n\r\n')[0].decode('latin1'), said

    def test_an_international_public_url_never_goes_raw_into_a_header(self):
        head, said = self.mail_or_refusal('https://b\u00fccher.example/n')
        if head is not None:
            self.assertTrue(head.isascii(), head)
            self.assertIn('<https://xn--bcher-kva.example/n/u/', head.replace('\r\n ', ''))

    def test_one_click_is_promised_over_https_only(self):
        head, said = self.mail_or_refusal('http://notify.example.com')
        if head is not None:
            self.assertNotIn('List-Unsubscribe-Post', head)
        head, said = self.mail_or_refusal('https://notify.example.com')
        self.assertIn('List-Unsubscribe-Post: List-Unsubscribe=One-Click', head)

    def test_a_reference_inside_braces_works_or_the_refusal_says_to_quote_it(self):
        h = self.house()
        with open(h.config, 'w') as out:
            out.write('data_dir: %s\ntemplates: %s\nhttp: { listen: "127.0.0.1:%d" }\nemail:\n'
                      '  providers: [ { name: primary, url: "smtp://127.0.0.1:%d", tls: none, connections: ${TIDINGS_TEST_UNSET:-8} } ]\n'
                      % (h.settings['data_dir'], h.settings['templates'], h.port, h.smtp.port))
        said = self.refusal(h)
        if said.startswith('['):
            h.start()
            self.assertEqual(h.settled(h.send(person(), channels=['email']))['status'], 'sent')
        else:
            self.assertRegex(said, LINE)
            self.assertIn('${', said)
            self.assertIn('quot', said)

    def test_a_quoted_reference_inside_braces_is_a_number_where_a_number_is_wanted(self):
        h = self.house()
        os.environ['TIDINGS_TEST_MANY'] = '3'
        self.addCleanup(os.environ.pop, 'TIDINGS_TEST_MANY')
        with open(h.config, 'w') as out:
            out.write('data_dir: %s\nemail:\n'
                      '  providers: [ { name: primary, url: "smtp://127.0.0.1:%d", tls: none, connections: "${TIDINGS_TEST_MANY:-8}" } ]\n'
                      % (h.settings['data_dir'], h.smtp.port))
        self.assertNotRegex(self.refusal(h), LINE)

    def test_zones_that_are_names_of_no_place_are_refused_everywhere(self):
        h = self.start()
        for zone in ('localtime', 'posixrules', 'Factory'):
            with self.subTest(zone=zone):
                status, problem = h.http('PUT', '/v1/recipients/z', {'timezone': zone})
                self.assertEqual((status, problem.get('errors', [{}])[0].get('pointer')), (422, '/timezone'), problem)
                status, problem = h.http('POST', '/v1/messages', {'recipient': person('y', timezone=zone), 'template': 'order-update',
                                                                  'data': {'order': '1', 'parcels': 1}})
                self.assertEqual((status, problem.get('errors', [{}])[0].get('pointer')), (422, '/recipient/timezone'), problem)
                self.assertNamed(self.refusal(self.house(defaults={'timezone': zone})), 'defaults.timezone')
        self.assertEqual(h.http('PUT', '/v1/recipients/z', {'timezone': 'Europe/Dublin'})[0], 200)

    def test_an_address_that_no_relay_takes_is_refused_at_the_door(self):
        h = self.start()
        for address in ('"a b"@example.com', '"a\\"b"@example.com', 'a b@example.com'):
            with self.subTest(address=address):
                status, problem = h.http('PUT', '/v1/recipients/q', {'email': address})
                self.assertEqual((status, problem.get('errors', [{}])[0].get('pointer')), (422, '/email'), problem)
                status, problem = h.http('POST', '/v1/messages', {'recipient': {'id': 'q', 'email': address}, 'template': 'order-update',
                                                                  'data': {'order': '1', 'parcels': 1}})
                self.assertEqual((status, problem.get('errors', [{}])[0].get('pointer')), (422, '/recipient/email'), problem)
        self.assertEqual(h.http('GET', '/v1/recipients/q')[0], 404)

    def test_a_number_that_is_too_long_is_said_to_be_too_large(self):
        h = self.start()
        status, problem = h.http('POST', '/v1/messages', {'recipient': person(), 'template': 'welcome', 'data': {'name': 'A', 'count': 1},
                                                          'delay': '99999999999999999999d'})
        self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/delay'))
        self.assertNotIn('unit', problem['errors'][0]['detail'])

    def test_a_source_with_a_comma_is_counted_like_any_other(self):
        rules = [{'name': 'whole', 'sources': ['shop,north'], 'max': 1, 'per': '7d', 'over': 'drop'},
                 {'name': 'head', 'sources': ['shop'], 'max': 1, 'per': '7d', 'over': 'drop'},
                 {'name': 'tail', 'sources': ['north'], 'max': 1, 'per': '7d', 'over': 'drop'},
                 {'name': 'other', 'sources': ['web, south'], 'max': 1, 'per': '7d', 'over': 'drop'},
                 {'name': 'pair', 'sources': ['east', 'west'], 'max': 1, 'per': '7d', 'over': 'drop'}]
        h = self.start(caps=rules)
        fields = {'recipient': person(), 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'A', 'count': 1}}
        if h.http('POST', '/v1/messages', {**fields, 'source': 'shop,north'})[0] == 422:
            return  # what no door lets in needs no counting
        ends = []
        for source in ('shop,north', 'shop', 'north', 'shop', 'web, south', 'web, south', 'web', 'east,west', 'east,west', 'east', 'west'):
            id = h.send('ada', channels=['in_app'], source=source)
            h.settled(id)
            ends.append(h.delivery(id, 'in_app')['reason'])
            h.cli('replay', id)  # and the gates say the same a second time
        self.assertEqual(ends, ['cap:whole', None, None, 'cap:head', None, 'cap:other', None, None, None, None, 'cap:pair'])


class Reload(FlowTest):
    def hup(self, h, **settings):
        """The log lines of one reload."""
        for key, value in settings.items():
            h.settings[key] = {**h.settings[key], **value} if isinstance(value, dict) and key in h.settings else value
        h.write()
        before = len(h.log())
        h.processes[0].send_signal(signal.SIGHUP)
        h.until(lambda: 'reload.' in h.log()[before:], what='the log tells of the reload')
        h.until(lambda: 'reload.done' in h.log()[before:] or 'reload.needs_restart' in h.log()[before:])
        h.until(h.ready)
        return h.log()[before:]

    def needs_restart(self, log):
        return ' '.join(line for line in log.splitlines() if 'reload.needs_restart' in line)

    def test_a_reload_says_which_changed_settings_need_a_restart(self):
        h = self.start()
        line = self.needs_restart(self.hup(h, redis={'partitions': 8}, email={'from': 'Other <other@example.com>'}, http={'listen': '127.0.0.1:1'}))
        for setting in ('redis.partitions', 'email.from', 'http.listen'):
            self.assertIn(setting, line)
        self.assertNotIn('templates', line)
        id = h.send(person(), channels=['email'])
        self.assertEqual(h.settled(id)['status'], 'sent')
        self.assertIn('hello@example.com', h.smtp.accepted[0].parse()['From'])

    def test_a_reload_names_only_what_changed_and_nothing_that_it_took(self):
        h = self.start()
        self.assertEqual(self.needs_restart(self.hup(h)), '')
        self.assertEqual(self.needs_restart(self.hup(h, caps=[{'name': 'none', 'kinds': ['service'], 'max': 0, 'per': '7d', 'over': 'drop'}])), '')
        id = h.send(person(), channels=['email'])
        h.settled(id)
        self.assertEqual(h.delivery(id)['reason'], 'cap:none')
        line = self.needs_restart(self.hup(h, data_dir=h.settings['data_dir'] + '2'))
        self.assertIn('data_dir', line)
        self.assertNotIn('redis.partitions', line)


class ClockRate(FlowTest):
    def test_a_rate_is_refused_on_a_prefix_that_has_real_messages(self):
        h = self.start()
        id = h.send(person(), channels=['email'], delay='7d')
        due = h.message(id)['send_at']
        h.stop()
        before = len(h.log())
        p = h.start('--clock-rate', '86400', wait=False)
        h.until(lambda: p.poll() is not None or h.ready(), what='it ends')
        if p.poll() is None:
            self.fail('it runs with the rate: ' + str(h.message(id)))
        h.processes.remove(p)
        self.assertEqual(p.returncode, 1)
        self.assertRegex(h.log()[before:].lower(), 'clock.?rate')
        h.start()
        self.assertEqual((h.message(id)['status'], h.message(id)['send_at'], len(h.smtp.received)), ('scheduled', due, 0))
        self.assertNotIn('86400', h.http('GET', '/readyz')[1])

    def test_a_rate_on_an_empty_prefix_works_and_goes_on_at_a_restart(self):
        h = self.start('--clock-rate', '86400')
        for _ in range(2):
            self.assertEqual(h.settled(h.send(person(), channels=['email'], delay='2d'))['status'], 'sent')
            h.stop()
            h.start('--clock-rate', '86400')
        self.assertEqual(len(h.smtp.received), 2)

    def test_readyz_and_check_say_the_rate(self):
        h = self.start('--clock-rate', '3600')
        for text in (str(h.http('GET', '/readyz')[1]), self.findings(h)):
            self.assertRegex(text, '(?s)clock.*3600|3600.*clock')

    def findings(self, h):
        h.cli('check', status=None)
        return h.cli('check', '--json', status=None)


class Queries(FlowTest):
    def stocked(self):
        """Eight messages that differ in template, category, source and tags; the house and what is what."""
        h, made = self.start(), {}
        for n, (template, category, source, tags) in enumerate((
                ('welcome', 'onboarding', 'shop', {'campaign': 'winter'}), ('welcome', 'onboarding', 'crm', {'campaign': 'winter', 'wave': '2'}),
                ('welcome', 'account', 'shop', {'campaign': 'winter-sale'}), ('order-update', 'account', 'shop', {'campaign': 'summer'}),
                ('order-update', 'account', 'crm', {'wave': 'winter'}), ('order-update', 'onboarding', 'sho', {}),
                ('milestone', 'marketing', 'crm', {'campaign': 'winter'}),
                ('milestone', 'onboarding', 'shop', {'campaign': 'a=b:c'}))):
            id = h.send(person('p%d' % (n % 3)), template, category=category, source=source, tags=tags, delay='1d')
            made[id] = {'template': template, 'category': category, 'source': source, 'tags': tags, 'recipient': 'p%d' % (n % 3)}
        return h, made

    def found(self, h, query):
        status, page = h.http('GET', '/v1/messages?' + query)
        self.assertEqual(status, 200, (query, page))
        return sorted(m['id'] for m in page['messages'])

    def test_messages_are_found_by_category_template_source_and_tag_exactly(self):
        h, made = self.stocked()
        want = lambda **w: sorted(i for i, m in made.items() if all(m[k] == v for k, v in w.items()))
        tagged = lambda k, v: sorted(i for i, m in made.items() if m['tags'].get(k) == v)
        for query, ids in (
                ('category=account', want(category='account')), ('template=welcome', want(template='welcome')), ('source=shop', want(source='shop')),
                ('tag=campaign:winter', tagged('campaign', 'winter')), ('tag=campaign=winter', tagged('campaign', 'winter')),
                ('tag=campaign%3Dwinter', tagged('campaign', 'winter')),
                ('tag=campaign:winter-sale', tagged('campaign', 'winter-sale')), ('tag=wave:2', tagged('wave', '2')),
                ('tag=campaign:a%3Db%3Ac', tagged('campaign', 'a=b:c')),
                ('category=account&source=shop', want(category='account', source='shop')),
                ('template=welcome&tag=campaign:winter&source=crm', want(template='welcome', source='crm')),
                ('recipient=p1&category=account', want(recipient='p1', category='account')),
                ('recipient=p0&status=scheduled&template=milestone', want(recipient='p0', template='milestone')),
                ('status=scheduled&source=sho', want(source='sho')), ('tag=campaign:win', []), ('source=SHOP', []), ('template=welcom', []),
                ('tag=wave:winter&category=marketing', []),
                ('', sorted(made))):
            with self.subTest(query=query):
                self.assertEqual(self.found(h, query), ids)

    def test_pages_of_a_filtered_list_bring_each_message_once(self):
        h, made = self.stocked()
        seen, cursor = [], ''
        for _ in range(50):
            status, page = h.http('GET', '/v1/messages?category=onboarding&limit=1' + cursor)
            self.assertEqual(status, 200)
            self.assertLessEqual(len(page['messages']), 1)
            seen += [m['id'] for m in page['messages']]
            if not page['cursor']:
                break
            cursor = '&cursor=' + page['cursor']
        self.assertEqual(sorted(seen), sorted(i for i, m in made.items() if m['category'] == 'onboarding'))

    def test_an_unknown_query_parameter_is_refused_with_the_nearest_known_one(self):
        h = self.start()
        h.settled(h.send(person('ada')))
        me = {'Authorization': 'Bearer ' + h.http('POST', '/v1/recipients/ada/inbox-token', {})[1]['token']}
        for path, nearest in (('/v1/messages?recipent=ada', 'recipient'), ('/v1/messages?recipient=ada&statsu=sent', 'status'),
                              ('/v1/messages?categry=account', 'category'),
                              ('/v1/messages?tags=campaign:winter', 'tag'), ('/v1/messages?tempalte=welcome', 'template'),
                              ('/v1/messages?sorce=shop', 'source'),
                              ('/v1/messages?limt=1', 'limit'), ('/v1/messages?curser=1', 'cursor'), ('/v1/messages?Category=account', 'category'),
                              ('/v1/recipients/ada/next-window?chanel=sms&category=onboarding', 'channel'),
                              ('/v1/recipients/ada/next-window?channel=sms&categori=onboarding', 'category'),
                              ('/v1/inbox?limits=1', 'limit')):
            with self.subTest(path=path):
                status, problem = h.http('GET', path, headers=me if '/inbox' in path else {})
                self.assertEqual(status, 400, problem)
                self.assertIn('application/problem+json', h.headers['Content-Type'])
                self.assertIn(nearest, re.findall('[a-z_]+', json.dumps(problem).replace(path.split('?')[1].split('=')[0], '')), problem)

    def test_a_route_without_parameters_refuses_every_one(self):
        h = self.start()
        id = h.send(person('ada'))
        h.settled(id)
        for path in ('/v1/messages/' + id, '/v1/recipients/ada', '/v1/recipients/ada/timeline', '/v1/recipients/ada/preferences',
                     '/v1/recipients/ada/consents',
                     '/v1/suppressions', '/v1/queue'):
            with self.subTest(path=path):
                self.assertEqual(h.http('GET', path)[0], 200)
                status, problem = h.http('GET', path + '?zzzz=1')
                self.assertEqual(status, 400, problem)
                self.assertIn('zzzz', json.dumps(problem))

    def test_the_links_of_customers_open_with_what_mail_programs_add_to_them(self):
        h = self.start()
        h.settled(h.send(person('ada'), channels=['email']))
        path = '/u/' + h.smtp.accepted[0].parse()['List-Unsubscribe'].strip('<>').split('/u/')[1]
        self.assertEqual(h.http('GET', path + '?utm_source=newsletter&fbclid=1')[0], 200)


if __name__ == '__main__':
    unittest.main()
