"""Templates at work: reloads, what a category does to an SMS, attachments, threads, and pages in a real browser."""
import base64, json, os, shutil, signal, subprocess, unittest

from house import ROOT, FlowTest, person

HERE = os.path.dirname(os.path.abspath(__file__))
CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'marketing': {'kind': 'marketing', 'consent': 'opt_out'}}


def file_of(name, **more):
    return {'filename': name, 'content': base64.b64encode(b'hello').decode(), **more}


class Templates(FlowTest):
    def with_templates(self, **settings):
        """A house with its own copy of the shipped templates."""
        h = self.house(categories=CATEGORIES, **settings)
        h.folder = os.path.join(h.dir, 'templates')
        shutil.copytree(os.path.join(ROOT, 'templates'), h.folder, ignore=lambda d, names: [n for n in names if n.endswith(('.c', '.h', '.cc'))])
        h.settings['templates'] = h.folder
        h.write()
        return h

    def put(self, h, name, text):
        path = os.path.join(h.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as out:
            out.write(text)

    def reload(self, h):
        done = h.log().count('"what":"templates"')
        h.processes[0].send_signal(signal.SIGHUP)
        h.until(lambda: h.log().count('"what":"templates"') > done, what='the reload is done')

    def text_of(self, h, id):
        h.settled(id)
        return h.smtp.accepted[-1].parse()

    def test_a_reload_takes_what_passes_and_keeps_what_would_fail(self):
        h = self.with_templates()
        h.start()
        self.put(h, 'welcome/email.subject.mustache', 'New words for {{name}}\n')
        self.put(h, 'milestone/email.subject.mustache', '{{#name}}\n')  # broken: cannot be read
        self.put(h, 'order-update/email.subject.mustache', '{{nobody}}\n')  # flawed: would fail
        self.reload(h)
        self.assertEqual(self.text_of(h, h.send(person('r'), channels=['email']))['Subject'], 'New words for Ada')
        self.assertEqual(self.text_of(h, h.send('r', 'milestone'))['Subject'], '2 years together, Ada')
        self.assertEqual(self.text_of(h, h.send('r', 'order-update', channels=['email']))['Subject'], 'Order 1 is on its way')
        self.assertIn('order-update/email.subject.mustache:1', h.log())
        self.put(h, 'order-update/email.subject.mustache', 'About {{order}}\n')
        self.reload(h)
        self.assertEqual(self.text_of(h, h.send('r', 'order-update', channels=['email']))['Subject'], 'About 1')

    def test_a_fault_in_a_layout_keeps_every_template_that_uses_it(self):
        h = self.with_templates()
        h.start()
        layout = os.path.join(h.folder, '_layouts/base.html.mustache')
        with open(layout) as f:
            good = f.read()
        self.put(h, '_layouts/base.html.mustache', good.replace('</body>', '{{nobody}}</body>'))
        self.reload(h)
        for template, more in (('welcome', {}), ('milestone', {}), ('order-update', {'channels': ['email']})):
            self.assertEqual(h.settled(h.send(person('f'), template, **{'channels': ['email'], **more}))['status'], 'sent')

    def test_a_page_that_is_broken_leaves_the_others_and_never_fails(self):
        h = self.with_templates()
        self.put(h, '_pages/unsubscribe.html.mustache', '<html lang="{{lang}}"><title>x</title><main>Our own page {{t.unsubscribe.button}}</main></html>\n')
        h.start()
        link = self.text_of(h, h.send(person('p', locale='fr'), channels=['email']))['List-Unsubscribe'].strip('<>')
        page = lambda: h.http('GET', '/' + link.split('/', 3)[3])
        self.assertIn('Our own page Se désabonner', page()[1])
        self.put(h, '_pages/aaa.html.mustache', '{{#broken')
        self.put(h, '_pages/unsubscribe.html.mustache', '{{nobody}}')
        self.reload(h)
        self.assertIn('Our own page', page()[1])  # the reload kept what was good
        h.stop()
        h.start()
        status, text = page()
        self.assertEqual((status, 'Se désabonner' in text, 'Our own' in text), (200, True, False))  # the built-in one

    def test_loops_that_print_nothing_come_to_an_end(self):
        h = self.with_templates()
        self.put(h, 'loop/template.yaml', 'category: account\ndata: {i: {type: array, required: true, sample: [1]}}\n')
        self.put(h, 'loop/sms.text.mustache', '{{#i}}{{#i}}{{#i}}{{#i}}{{/i}}{{/i}}{{/i}}{{/i}}x\n')
        h.start()
        d = h.settled(h.send(person('l'), 'loop', {'i': [1] * 2000}, channels=['sms']))['deliveries'][0]
        self.assertEqual(d['reason'], 'render_error')
        self.assertEqual(h.http('GET', '/healthz')[0], 200)

    def test_a_message_for_a_template_that_broke_meanwhile_is_kept_and_sent_when_it_is_mended(self):
        h = self.with_templates()
        h.start()
        id = h.send(person('k'), channels=['email'], delay='2s')
        shutil.move(os.path.join(h.folder, 'welcome'), os.path.join(h.dir, 'away'))
        self.reload(h)
        h.reason(id, 'template_unknown')  # other workers may know it: contract 11
        self.assertEqual(h.smtp.received, [])
        shutil.move(os.path.join(h.dir, 'away'), os.path.join(h.folder, 'welcome'))
        self.reload(h)
        self.assertEqual(h.settled(id)['status'], 'sent')

    def test_a_category_says_what_becomes_of_a_long_or_dear_sms(self):
        rules = {'cut': {'kind': 'transactional', 'sms_max_segments': 1, 'sms_over': 'cut'},
                 'plain': {'kind': 'transactional', 'sms_transliterate': True},
                 'strict': {'kind': 'transactional', 'sms_max_segments': 1}}
        h = self.with_templates()
        h.settings['categories'] = {**CATEGORIES, **rules}
        h.write()
        self.put(h, 'note/sms.text.mustache', '{{text}}\n')
        self.put(h, 'note/in_app.title.mustache', 'A note\n')
        self.put(h, 'note/template.yaml', 'channels: [sms, in_app]\ndata: {text: {type: string, required: true}}\n')
        h.start()
        long = 'many words ' * 30
        note = lambda category, text, **more: h.settled(h.send(person('n'), 'note', {'text': text}, category=category, **{'channels': ['sms'], **more}))
        self.assertEqual(note('cut', long)['status'], 'sent')
        last = lambda: json.loads(h.gateway.requests[-1]['body'])
        sent = last()
        self.assertEqual((sent['segments'], sent['encoding']), (1, 'gsm7'))
        self.assertTrue(sent['text'].endswith(' words...') and len(sent['text']) <= 160, sent['text'])
        note('plain', 'Zażółć “gęślą” – jaźń…')
        self.assertEqual((last()['text'], last()['encoding']), ('Zazolc "gesla" - jazn...', 'gsm7'))
        note('plain', 'Привет')  # no Latin letter would be understood
        self.assertEqual((last()['text'], last()['encoding']), ('Привет', 'ucs2'))
        refused = note('strict', long)['deliveries'][0]
        self.assertEqual((refused['status'], refused['reason']), ('failed', 'render_error'))
        other = note('strict', long, channels=['sms', 'in_app'], strategy='first')
        self.assertEqual([(d['channel'], d['status']) for d in other['deliveries']], [('sms', 'failed'), ('in_app', 'sent')])

    def test_attachments_come_along_or_are_refused_with_their_place(self):
        h = self.with_templates()
        h.start()
        pdf = base64.b64encode(os.urandom(200000)).decode()
        mail = self.text_of(h, h.send(person('a'), channels=['email'], attachments=[file_of('big.pdf', content_type='application/pdf', content=pdf)]))
        self.assertEqual([(p.get_filename(), base64.b64encode(p.get_payload(decode=True)).decode() == pdf) for p in mail.iter_attachments()], [('big.pdf', True)])
        for attachments, pointer in (([file_of('../../etc/passwd')], '/attachments/0/filename'), ([file_of('a\r\nBcc: x@y.z')], '/attachments/0/filename'),
                                     ([{'filename': 'x'}], '/attachments/0/content'), ([file_of('x', content='%%%')], '/attachments/0/content'),
                                     ([file_of('x', content_type='multipart/mixed')], '/attachments/0/content_type'), ([file_of('x', url='http://169.254.169.254/')], '/attachments/0/url'),
                                     ([file_of('x', cid='a'), file_of('y', cid='a')], '/attachments/1/cid'), ('no', '/attachments'), ([file_of('x')] * 17, '/attachments'),
                                     ([file_of('x', content=base64.b64encode(bytes(2200000)).decode())], '/attachments')):
            status, problem = h.http('POST', '/v1/messages', {'recipient': 'a', 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}, 'attachments': attachments})
            self.assertEqual((status, problem['errors'][0]['pointer']), (422, pointer))
        status, problem = h.http('POST', '/v1/messages', {'recipient': 'a', 'template': 'welcome', 'channels': ['in_app'], 'data': {'name': 'A', 'count': 1}, 'attachments': [file_of('x')]})
        self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/attachments'))

    def test_mails_of_a_thread_belong_together(self):
        h = self.with_templates()
        h.settings['email']['feedback_id'] = 'example'
        h.write()
        h.start()
        send = lambda who, thread, **more: self.text_of(h, h.send(who, channels=['email'], thread=thread, **more))
        first, second, other = send(person('t'), 'case-1', tags={'campaign': 'x:y'}), send('t', 'case-1'), send(person('u'), 'case-1')
        self.assertEqual(first['References'], second['References'])
        self.assertEqual(first['In-Reply-To'], first['References'])
        self.assertNotEqual(first['References'], other['References'])
        self.assertEqual(first['Feedback-ID'], 'x-y:welcome:onboarding:example')
        self.assertEqual(send('t', '<a.b@mail.example.org>')['In-Reply-To'], '<a.b@mail.example.org>')
        for bad in ('<no id>', '<a@b>\r\nBcc: x', ''):
            status, problem = h.http('POST', '/v1/messages', {'recipient': 't', 'template': 'welcome', 'channels': ['email'], 'data': {'name': 'A', 'count': 1}, 'thread': bad})
            self.assertEqual((status, problem['errors'][0]['pointer']), (422, '/thread'))

    def test_a_text_in_another_language_is_spoken_in_that_language(self):
        h = self.with_templates()
        h.start()
        for locale, words, lang in (('fr-CA', 'Il reste 0', 'fr'), ('sv', '0 steps are left', 'en'), ('he', '0 steps are left', 'en')):
            mail = self.text_of(h, h.send(person('l-' + locale, locale=locale), channels=['email'], data={'name': 'A', 'count': 0}))
            html = mail.get_body(('html',)).get_content()
            self.assertIn('<html lang="%s" dir="ltr">' % lang, html)
            if lang == 'en':
                self.assertIn(words, html)

    def test_pages_in_a_browser(self):
        h = self.with_templates(public_url=None)
        h.start()
        urls = []
        for locale in ('de', 'ar', 'ja'):
            mail = self.text_of(h, h.send(person(locale, locale=locale), channels=['email'], data={'name': 'A', 'count': 2}))
            urls += [mail['List-Unsubscribe'].strip('<>'), mail.get_body(('html',)).get_content().split('href="')[2].split('"')[0]]
        for name in os.listdir(h.settings['templates']):  # the page of all of them keeps a browser busy for minutes
            if name not in ('welcome', 'order-update', '_layouts', '_pages'):
                shutil.rmtree(os.path.join(h.settings['templates'], name), ignore_errors=True)
        preview = os.path.join(h.dir, 'preview.html')
        h.cli('template', 'preview', '--out', preview)
        urls += ['http://127.0.0.1:%d/u/none' % h.port, 'file://' + preview]
        done = subprocess.run(['node', os.path.join(HERE, 'browser.mjs'), *urls], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        looks = json.loads(done.stdout)
        self.assertEqual(len(looks), 4 * len(urls))
        self.assertEqual([l for l in looks if l['violations'] or l['overflow']], [])
        self.assertEqual([(l['lang'], l['dir']) for l in looks[::8]][:3], [('de', 'ltr'), ('ar', 'rtl'), ('ja', 'ltr')])


if __name__ == '__main__':
    unittest.main()
