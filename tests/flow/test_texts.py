"""What a text becomes on its way: checks of catalogs, locales and their numbers, header values, directions, attachments, SMS."""
import base64, email, email.header, email.utils, html, json, os, re, signal, unittest, urllib.parse

from house import FlowTest, person

CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'courtesy': {'kind': 'service', 'consent': 'none'}}
YAML = '''category: account
channels: [email]
data:
  n: { type: %s, required: true, sample: 1234 }
  name: { type: string, required: true, sample: Ada }
'''
SUBJECT, TEXT, HTML = ('note/email.%s.mustache' % part for part in ('subject', 'text', 'html'))
ISOLATED = '\u2068Ada\u2069'  # first strong isolate, pop directional isolate


def catalog(**texts):
    return json.dumps(texts, ensure_ascii=False)


def plain(text):
    """The text without its isolates, in whichever form."""
    return re.sub('[\u2066-\u2069]|</?bdi[^>]*>', '', text)


class TextTest(FlowTest):
    def folder(self, files, number='integer', **settings):
        """A house with one template, note: subject, text and HTML say {{t.s}}; files replace and add."""
        h = self.house(categories=CATEGORIES, **settings)
        h.settings['templates'] = h.folder = os.path.join(h.dir, 'texts')
        h.write()
        usual = {'note/template.yaml': YAML % number, 'note/locales/en.json': catalog(s='Hello {name}, {n}'),
                 SUBJECT: '{{t.s}}\n', TEXT: '{{t.s}}\n', HTML: '<p>{{t.s}}</p>\n'}
        for name, text in {**usual, **files}.items():
            path = os.path.join(h.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as out:
                out.write(text if isinstance(text, bytes) else text.encode())
        return h

    def found(self, files, where, **more):
        """What check says of one file."""
        said = self.folder(files, **more).cli('template', 'check', '--strict', '--json', status=None)
        return [f['what'] for f in json.loads(said) if where in f['place']]

    def render(self, h, locale='en', part='subject', data=None, status=0, channel='email'):
        path = os.path.join(h.dir, 'data.json')
        with open(path, 'w') as out:
            json.dump(data or {'n': 1234, 'name': 'Ada'}, out)
        return h.cli('template', 'render', 'note', '--channel', channel, '--locale', locale, '--part', part, '--data', path, status=status)

    def mail(self, h, locale='en', name='Ada', **more):
        id = h.send(person('p-' + locale.lower(), locale=locale), 'note', {'n': 1234, 'name': name}, channels=['email'], **more)
        self.assertEqual(h.settled(id)['status'], 'sent', h.message(id))
        return h.smtp.accepted[-1].parse()


class Checks(TextTest):
    ENGLISH, PLURAL = '{name}: {n, plural, one{# x} other{# x}}', '{name}: {n, plural, %s other{# x}}'

    def translations(self, en, cases, **more):
        """What check says of each translation of one message: a word of it, or None when it may say nothing."""
        h = self.folder({'note/locales/%s.json' % locale: catalog(s=text) for locale, text in [('en', en), *[c[:2] for c in cases]]}, **more)
        said = json.loads(h.cli('template', 'check', '--strict', '--json', status=None))
        for locale, text, wanted in cases:
            with self.subTest(locale=locale, text=text):
                found = [f['what'] for f in said if '/%s.json' % locale in f['place']]
                self.assertTrue(not found if wanted is None else any(wanted in f for f in found), found)

    def test_a_translation_that_drops_an_argument_is_named_with_the_argument(self):
        self.translations('{name} has {n, plural, one{# letter} other{# letters}} since {n, number}', [
            ('de', 'Es gibt {n, plural, one{# Brief} other{# Briefe}}', 'name'),
            ('ja', '{name}さんへのお知らせ', '{n'),
            ('fr', 'Bonjour {name}, vous avez {n, plural, one{# lettre} many{# lettres} other{# lettres}}', None),
            ('id', '{name} punya {n} surat', None)])  # said another way is not dropped

    def test_an_argument_that_a_quotation_mark_swallows_is_named(self):
        self.translations('{name}, {n}', [('de', "'{name}', {n}", 'name'), ('fr', "L'{name} d'{n}", ''), ('it', "L''{name} dell''{n}", None),
                                          ('nl', "'{'{name}'}' {n}", None)])

    def test_a_quoted_argument_is_named_in_the_only_catalog_too(self):
        self.assertTrue(any('name' in f for f in self.found({'note/locales/en.json': catalog(s="Hello '{name}', {n}")}, 'en.json')))

    def test_a_singular_that_spells_its_number_is_named_where_it_means_other_numbers_too(self):
        few = 'few{# x} many{# x}'
        cases = (('uk', 'one{1 крок} ' + few, 'one'), ('ru', 'one{1 шаг} ' + few, 'one'), ('fr', 'one{1 colis} many{# x}', 'one'),
                 ('hr', 'one{1 korak} few{# x}', 'one'), ('de', 'one{1 Schritt}', None), ('sv', 'one{1 steg}', None),
                 ('be', '=1{1 крок} one{# крок} ' + few, None))
        self.translations(self.ENGLISH, [(locale, self.PLURAL % forms, wanted) for locale, forms, wanted in cases])

    def test_plural_categories_are_asked_from_the_declared_type(self):
        few = 'one{# x} few{# x}'
        whole = ('cs', few, None), ('sk', 'one{# x}', 'few'), ('lt', few, None), ('pl', few, 'many'), ('ar', few + ' two{# x} many{# x}', 'zero')
        parts = ('cs', few, 'many'), ('sk', few + ' many{# x}', None)
        for number, cases in (('integer', whole), ('number', parts)):
            self.translations(self.ENGLISH, [(locale, self.PLURAL % forms, wanted) for locale, forms, wanted in cases], number=number)

    def test_an_attribute_without_quotation_marks_is_named(self):
        for text, wrong in (('<a href={{name}}>x</a>', True), ('<img alt="" src={{name}}>', True), ('<i title={{name}}>x</i>', True),
                            ('<i title="{{name}}">x</i>', False), ("<i title='{{name}}'>x</i>", False), ('x={{name}}', False)):
            with self.subTest(html=text):
                self.assertEqual(bool(self.found({HTML: '<p>{{t.s}} %s</p>\n' % text}, 'email.html.mustache')), wrong)

    def test_a_link_never_runs_a_script(self):
        files = {HTML: '<p>{{t.s}} <a href="{{name}}">go on</a></p>\n',
                 SUBJECT: 'x\n', TEXT: 'x\n'}
        named = self.found(files, 'email.html.mustache')
        h = self.folder(files)
        href = lambda link: re.findall('href="([^"]*)"', self.render(h, part='html', data={'n': 1, 'name': link}, status=None))
        for link in ('javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)',
                     'java\tscript:alert(1)', 'vbscript:x', 'data:text/html,<script>x</script>'):
            with self.subTest(link=link):  # refused, made harmless, or at least said by check
                runs = [l for l in href(link) if re.match(r'(?i)\s*(java\s*script|vbscript|data):', html.unescape(l))]
                self.assertTrue(named or not runs, runs)
        for link in ('https://example.com/?a=1', 'mailto:ada@example.com', 'tel:+491701234567'):
            self.assertEqual(href(link), [link])

    def test_a_value_behind_the_scheme_of_a_link_is_fine(self):
        self.assertEqual(self.found({HTML: '<p>{{t.s}} <a href="https://example.com/{{name}}">x</a></p>\n'}, 'email.html.mustache'), [])

    def test_the_shipped_templates_pass(self):
        h = self.house()
        h.cli('template', 'check')


class Locales(TextTest):
    def test_old_and_broad_codes_find_the_texts_of_their_language(self):
        asked = {'nb': 'no-NO no nb-NO', 'fil': 'tl tl-PH', 'sr-Latn': 'sh sh-RS sr-ME', 'he': 'iw iw-IL', 'id': 'in in-ID', 'ro': 'mo ro-MD',
                 'yi': 'ji', 'jv': 'jw', 'zh-Hant': 'zh-TW zh-HK zh-Hant-MO', 'zh': 'zh-CN zh-Hans-SG cmn', 'de': 'deu', 'fa': 'prs'}
        h = self.folder({'note/locales/%s.json' % has: catalog(s='%s {name} {n}' % has) for has in asked})
        h.start()
        for found, asked in ((has, code) for has, codes in asked.items() for code in codes.split()):
            with self.subTest(asked=asked):
                self.assertEqual(self.mail(h, asked)['Subject'].split(' ')[0], found)
        self.assertEqual(self.render(h, 'no-NO').split(' ')[0], 'nb')

    def test_norwegian_texts_serve_both_codes(self):
        h = self.folder({'note/locales/no.json': catalog(s='norsk {name} {n}')})
        for asked in ('nb', 'nb-NO', 'no-NO', 'nn-NO'):
            with self.subTest(asked=asked):
                self.assertEqual(self.render(h, asked)[:5], 'norsk')

    def test_a_file_named_by_an_old_code_is_found_or_refused_with_its_right_name(self):
        for asked, file in (('he-IL', 'iw'), ('id-ID', 'in'), ('ro-MD', 'mo'), ('fil-PH', 'tl')):
            with self.subTest(file=file):
                h = self.folder({'note/locales/%s.json' % file: catalog(s='found {name} {n}')})
                said = self.render(h, asked, status=None) + h.err
                self.assertTrue(plain(said).startswith('found') or asked[:-3] + '.json' in said, said)

    def test_what_is_another_script_is_never_taken(self):
        for asked, has in (('zh-TW', 'zh'), ('zh-HK', 'zh'), ('sr-Latn', 'sr'), ('sh', 'sr')):
            with self.subTest(asked=asked, has=has):
                h = self.folder({'note/locales/%s.json' % has: catalog(s='found {name} {n}')})
                self.assertEqual(self.render(h, asked)[:5], 'Hello')

    def test_a_part_for_a_locale_is_found_by_the_old_code_and_knows_its_direction(self):
        h = self.folder({'note/email.html.he.mustache': '<p lang="{{lang}}" dir="{{dir}}">own {{t.s}}</p>\n',
                         'note/locales/he.json': catalog(s='שלום {name}, {n}')})
        for locale in ('iw', 'iw-IL', 'he'):
            self.assertRegex(self.render(h, locale, 'html'), '^<p lang="(he|iw)" dir="rtl">own ')
        h.start()
        self.assertIn('שלום', self.mail(h, 'iw')['Subject'])

    def test_small_numbers_are_grouped_as_the_language_does(self):
        text = catalog(s='{n, number}|{n}|{n, plural, one{#} few{#} many{#} other{#}}|{n, number, ::currency/EUR}|{name}')
        h = self.folder({'note/locales/%s.json' % l: text for l in ('es', 'pl', 'pt-PT', 'de', 'en', 'bg')})
        small = [(locale, 1234, '1234') for locale in ('es', 'es-ES', 'pl', 'pt-PT', 'bg')]
        large = [('es', 12345, '12.345'), ('pl', 12345, '12 345'), ('pt-PT', 12345, '12 345')]
        for locale, n, wanted in small + large + [('es-MX', 1234, '1,234'), ('de', 1234, '1.234'), ('en', 1234, '1,234')]:
            with self.subTest(locale=locale, n=n):
                said = re.sub('[\u00a0\u202f]', ' ', self.render(h, locale, data={'n': n, 'name': 'Ada'})).split('|')
                self.assertEqual(said[:3], [wanted] * 3)
                self.assertIn(wanted, said[3])

    def test_a_byte_order_mark_is_no_part_of_any_file(self):
        files = {'note/template.yaml': YAML % 'integer', 'note/locales/en.json': catalog(s='Hello {name}, {n}'),
                 SUBJECT: '{{t.s}}\n', HTML: '{{<base}}{{$c}}{{t.s}}{{/c}}{{/base}}\n', '_layouts/base.html.mustache': '<p>{{$c}}{{/c}}</p>\n'}
        for marked in (['note/template.yaml'], ['note/locales/en.json', SUBJECT], [HTML, '_layouts/base.html.mustache']):
            with self.subTest(files=marked):
                h = self.folder({**files, **{name: b'\xef\xbb\xbf' + files[name].encode() for name in marked}})
                h.cli('template', 'check')
                self.assertEqual(self.render(h), 'Hello Ada, 1,234')
                self.assertEqual(self.render(h, part='html').strip(), '<p>Hello Ada, 1,234</p>')
        with open(h.config) as f:
            text = f.read()
        with open(h.config, 'w', encoding='utf-8-sig') as f:
            f.write(text)
        h.cli('template', 'check')


class Headers(TextTest):
    def house_of_names(self, **settings):
        h = self.folder({SUBJECT: '{{name}} writes\n', TEXT: 'x\n', HTML: '<p>x</p>\n'}, **settings)
        h.start()
        return h

    def test_white_space_in_a_subject_is_folded_and_the_mail_goes_out(self):
        h = self.house_of_names()
        for name in ('Ada\tL', 'Ada L\n', '\r\nAda L', 'Ada\r\nL', 'Ada \t\n L', 'Ada\u000bL', 'Ada\u2028L', 'Ada\u2029L', 'Ada\u0085L'):
            with self.subTest(name=name):
                self.assertEqual(self.mail(h, name=name)['Subject'], 'Ada L writes')

    def test_a_subject_cannot_begin_another_header(self):
        h = self.house_of_names()
        mail = self.mail(h, name='Ada\r\nBcc: eve@example.com\r\n\r\nbody')
        self.assertEqual((mail['Subject'], mail['Bcc']), ('Ada Bcc: eve@example.com body writes', None))
        self.assertEqual([m.recipient for m in h.smtp.accepted], ['p-en@example.com'])

    def test_control_and_direction_characters_do_not_reach_a_subject(self):
        h = self.house_of_names()
        for c in '\u202e\u202d\u202a\u202b\u202c\u2066\u2067\u2068\u2069\u200b\u200e\u200f\u2060\ufeff\u061c\u0007\u001b\u007f\u009b':
            with self.subTest(character='U+%04X' % ord(c)):
                self.assertEqual(self.mail(h, name='A%sda' % c)['Subject'], 'Ada writes')
        self.assertEqual(self.render(h, data={'n': 1, 'name': 'A\u202eda\n'}), 'Ada writes')  # render prints what would be sent

    def test_joiners_that_a_script_or_an_emoji_needs_stay(self):
        h = self.house_of_names()
        for name in ('نامه\u200cها', '👩\u200d🚀', 'ශ\u200dරී', '❤\ufe0f'):
            with self.subTest(name=name):
                self.assertEqual(self.mail(h, name=name)['Subject'], name + ' writes')

    def test_other_header_values_are_cleaned_or_refused_too(self):
        h = self.house_of_names(email={'feedback_id': 'example'})
        body = lambda **more: {'recipient': person('o'), 'template': 'note', 'channels': ['email'], 'data': {'n': 1, 'name': 'A'}, **more}
        for c in '\u202e\u200b\u2028\u2066\t':
            file = {'filename': 'bill%sfdp.exe' % c, 'content': 'aGVsbG8='}
            for more in ({'attachments': [file]}, {'tags': {'campaign': 'win%ster' % c}}, {'thread': 'case%s1' % c}):
                with self.subTest(character='U+%04X' % ord(c), field=list(more)[0]):
                    status, answer = h.http('POST', '/v1/messages', body(**more))
                    if status == 422:
                        self.assertTrue(answer['errors'][0]['pointer'].startswith('/' + list(more)[0]), answer)
                        continue
                    self.assertEqual(h.settled(answer['id'])['status'], 'sent')
                    mail = h.smtp.accepted[-1].parse()
                    said = [str(v) for p in mail.walk() for v in p.values()] + [p.get_filename() or '' for p in mail.walk()]
                    self.assertEqual([v for v in said if c in v], [])


class Directions(TextTest):
    TEXTS = {'ar': 'مرحبا {name}، {n}', 'he': 'שלום {name}, {n}', 'fa': 'سلام {name}، {n}', 'ur': 'سلام {name}، {n}', 'de': 'Hallo {name}, {n}'}
    FILES = {'note/locales/%s.json' % l: catalog(s=s) for l, s in TEXTS.items()}

    def test_a_value_in_a_text_from_right_to_left_is_isolated(self):
        h = self.folder(self.FILES)
        h.start()
        for locale in ('ar', 'ar-EG', 'he', 'fa', 'ur-PK'):
            with self.subTest(locale=locale):
                mail = self.mail(h, locale)
                self.assertIn(ISOLATED, mail['Subject'])
                self.assertIn(ISOLATED, mail.get_body(('plain',)).get_content())
                self.assertRegex(mail.get_body(('html',)).get_content(), '(<bdi[^>]*>|\u2068|&#x2068;|&#8296;)Ada(</bdi>|\u2069|&#x2069;|&#8297;)')

    def test_a_value_that_a_part_names_itself_is_isolated_too(self):
        h = self.folder({**self.FILES, 'note/email.subject.ar.mustache': 'من {{name}} اليوم\n',
                         'note/email.text.ar.mustache': 'من {{recipient.attributes.name}} اليوم\n'})
        h.start()
        id = h.send(person('own', locale='ar', attributes={'name': 'Ada'}), 'note', {'n': 1, 'name': 'Ada'}, channels=['email'])
        h.settled(id)
        mail = h.smtp.accepted[-1].parse()
        self.assertEqual(mail['Subject'], 'من \u2068Ada\u2069 اليوم')
        self.assertIn('من \u2068Ada\u2069 اليوم', mail.get_body(('plain',)).get_content())

    def test_a_value_cannot_leave_its_isolate(self):
        h = self.folder(self.FILES)
        h.start()
        subject = self.mail(h, 'ar', name='A\u2069\u202eda')['Subject']
        self.assertIn(ISOLATED, subject)

    def test_texts_from_left_to_right_have_no_isolates(self):
        h = self.folder(self.FILES)
        h.start()
        for locale in ('en', 'de', 'sv', 'yi'):  # yi has no texts here and reads the English ones
            mail = self.mail(h, locale)
            for text in (mail['Subject'], mail.get_body(('plain',)).get_content(), mail.get_body(('html',)).get_content()):
                self.assertEqual((plain(text), 'Ada' in text), (text, True))

    def test_isolation_changes_no_address_and_no_attribute(self):
        part = '<title>{{name}}</title><p>{{t.s}}</p>' \
            '<a href="https://example.com/{{name}}?n={{n}}"><img src="https://example.com/x.png" alt="{{name}}"></a>\n'
        h = self.folder({**self.FILES, HTML: part, 'note/in_app.title.mustache': '{{t.s}}\n',
                         'note/in_app.body.mustache': '{{t.s}}\n', 'note/in_app.url.mustache': 'https://example.com/{{name}}\n'})
        said = self.render(h, 'ar', 'html')
        self.assertIn('href="https://example.com/Ada?n=1234"', said)
        self.assertNotRegex(said, '"[^">]*<bdi')
        self.assertNotIn('<bdi', said[said.index('<title>'):said.index('</title>')])
        self.assertEqual(self.render(h, 'ar', 'url', channel='in_app').strip(), 'https://example.com/Ada')
        self.assertTrue(self.render(h, 'ar', 'title', channel='in_app').find('Ada') > 0)


def attachment(filename, content, **more):
    return {'filename': filename, 'content': base64.b64encode(content if isinstance(content, bytes) else content.encode()).decode(), **more}


class Attachments(TextTest):
    def parts(self, h, *attachments):
        """The attached parts of a mail, in Python's older view of them, which invents nothing."""
        status, answer = self.post(h, *attachments)
        self.assertEqual(status, 202, answer)
        self.assertEqual(h.settled(answer['id'])['status'], 'sent')
        self.whole = email.message_from_bytes(h.smtp.accepted[-1].data)
        return [p for p in self.whole.walk() if p.get_filename()]

    def post(self, h, *attachments):
        return h.http('POST', '/v1/messages', {'recipient': person('a'), 'template': 'note', 'channels': ['email'],
                                               'data': {'n': 1, 'name': 'Ada'}, 'attachments': list(attachments)})

    def name(self, part):
        """The parameter name of the type, which old clients read instead of filename."""
        value = part.get_param('name')
        if isinstance(value, tuple):
            return urllib.parse.unquote(value[2]) if '%' in value[2] else email.utils.collapse_rfc2231_value(value)
        return str(email.header.make_header(email.header.decode_header(value))) if value else value

    def test_a_type_may_have_parameters(self):
        h = self.folder({})
        h.start()
        invitation = 'BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:Grüße\r\nEND:VCALENDAR\r\n'
        for type, params in (('text/calendar; method=REQUEST', {'method': 'REQUEST'}),
                             ('text/calendar;method=REQUEST;component=VEVENT', {'method': 'REQUEST', 'component': 'VEVENT'}),
                             ('text/calendar; charset=utf-8; method="REQUEST"', {'method': 'REQUEST'}),
                             ('application/vnd.example+json; profile="a; b"', {'profile': 'a; b'})):
            with self.subTest(type=type):
                part, = self.parts(h, attachment('meet.ics', invitation, content_type=type))
                self.assertEqual(part.get_content_type(), type.split(';')[0])
                self.assertEqual({k: part.get_param(k) for k in params}, params)
                self.assertEqual(part.get_payload(decode=True).decode(), invitation)
                if type.startswith('text/'):
                    self.assertEqual(part.get_content_charset(), 'utf-8')
                self.assertEqual(len([k for k, _ in part.get_params() if k.lower() == 'charset']), 1 if type.startswith('text/') else 0)

    def test_a_type_that_is_none_is_refused_with_its_place(self):
        h = self.folder({})
        h.start()
        for type in ('text', 'text/', 'text/calendar; method', 'text/calendar; =x', 'text/calendar; a="b', 'text/plain\r\nBcc: x@y.z',
                     'text/calendar; method=R\r\nBcc: x@y.z', 'multipart/mixed; boundary=x', 'text/pläin', 'text/plain; name=ü\u202e', 'b;/', ';/', ';', '/', '', 'a;b=c/d', 'a/H\n\n', 'text/plain\r\n', 'text/plain\n; name=x', 'a/b '):
            with self.subTest(type=type):
                status, problem = self.post(h, attachment('x', 'x', content_type=type))
                self.assertEqual((status, (problem.get('errors') or [{}])[0].get('pointer')), (422, '/attachments/0/content_type'))

    def test_a_text_says_its_character_set_when_it_is_known(self):
        h = self.folder({})
        h.start()
        for type, content, charset in (('text/csv', 'Ort;Größe\r\n', 'utf-8'), ('text/plain', 'Grüße\n', 'utf-8'),
                                       ('text/calendar', 'SUMMARY:Grüße\r\n', 'utf-8'),
                                       ('text/plain; charset=iso-8859-1', 'Größe'.encode('latin1'), 'iso-8859-1'), ('application/pdf', '%PDF', None)):
            with self.subTest(type=type):
                part, = self.parts(h, attachment('file.bin', content, content_type=type))
                self.assertEqual((part.get_content_type(), part.get_content_charset()), (type.split(';')[0], charset))
        part, = self.parts(h, attachment('old.csv', 'Größe'.encode('latin1'), content_type='text/csv'))
        self.assertNotEqual(part.get_content_charset(), 'utf-8')  # it is not

    def test_old_clients_find_the_name_too(self):
        h = self.folder({})
        h.start()
        for name, type in (('bill.pdf', 'application/pdf'), ('Übersicht März.csv', 'text/csv'), ('請求書.pdf', 'application/pdf'),
                           ('a; b=c.txt', 'text/plain'), ('x.ics', 'text/calendar; method=REQUEST')):
            with self.subTest(name=name):
                part, = self.parts(h, attachment(name, 'hello', content_type=type))
                self.assertEqual(email.utils.collapse_rfc2231_value(part.get_filename()), name)
                self.assertEqual(self.name(part), name)

    def test_the_id_of_a_picture_has_an_at_sign_and_the_html_points_to_it(self):
        h = self.folder({HTML: '<p>{{t.s}}<img src="cid:logo" alt=""><img alt="" src="cid:foot@shop.example"></p>\n'})
        h.start()
        self.parts(h, *[attachment('%s.png' % cid[:4], b'\x89PNG', content_type='image/png', cid=cid) for cid in ('logo', 'foot@shop.example')])
        ids = [p['Content-ID'] for p in self.whole.walk() if p['Content-ID']]
        said = next(p for p in self.whole.walk() if p.get_content_type() == 'text/html').get_payload(decode=True).decode()
        self.assertEqual(len(ids), 2)
        for id in ids:
            self.assertRegex(id, r'^<[^@<>\s]+@[^@<>\s]+>$')
        self.assertEqual([urllib.parse.unquote(s) for s in re.findall('src="cid:([^"]*)"', said)], [i.strip('<>') for i in ids])
        self.assertEqual(ids[1], '<foot@shop.example>')

    def test_a_mail_within_a_mail_is_not_encoded(self):
        h = self.folder({})
        h.start()
        inner = b'From: a@example.com\r\nSubject: inner\r\n\r\nhello\r\n'
        status, answer = self.post(h, attachment('mail.eml', inner, content_type='message/rfc822'))
        if status == 422:
            return self.assertEqual(answer['errors'][0]['pointer'], '/attachments/0/content_type')
        h.settled(answer['id'])
        part = next(p for p in email.message_from_bytes(h.smtp.accepted[-1].data).walk() if p.get_filename())
        if part.get_content_type() == 'message/rfc822':
            self.assertNotIn((part['Content-Transfer-Encoding'] or '7bit').lower(), ('base64', 'quoted-printable'))  # RFC 2046, 5.2.1


class Sms(TextTest):
    def setUp(self):
        yaml = 'category: account\nchannels: [sms]\ndata: { text: { type: string, required: true, sample: x } }\n'
        self.h = self.folder({'sms/template.yaml': yaml, 'sms/sms.text.mustache': '{{text}}\n'})
        self.h.settings['categories'] = {**CATEGORIES, 'plain': {'kind': 'transactional', 'sms_transliterate': True}}
        self.h.write()
        self.h.start()

    def sent(self, text, category='account', locale='en'):
        id = self.h.send(person('s-' + locale, locale=locale), 'sms', {'text': text}, channels=['sms'], category=category)
        self.assertEqual(self.h.settled(id)['status'], 'sent', self.h.message(id))
        return self.h.gateway.requests[-1]['json']

    def test_what_nobody_sees_does_not_make_an_sms_dear(self):
        for category in ('account', 'plain'):
            for c in '\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202e\u2066\u2069':
                with self.subTest(category=category, character='U+%04X' % ord(c)):
                    sms = self.sent('Donau%sdampf' % c, category)
                    self.assertEqual((sms['text'], sms['encoding'], sms['segments']), ('Donaudampf', 'gsm7', 1))

    def test_white_space_and_backticks_cost_no_more_than_others(self):
        for category in ('account', 'plain'):
            for c in '\t\u00a0\u2009\u202f':
                with self.subTest(category=category, character='U+%04X' % ord(c)):
                    sms = self.sent('Code%s4711' % c, category)
                    self.assertEqual((sms['text'], sms['encoding']), ('Code 4711', 'gsm7'))
            with self.subTest(category=category, character='`'):
                sms = self.sent('Say `hello`', category)
                self.assertEqual((sms['text'], sms['encoding']), ("Say 'hello'", 'gsm7'))

    def test_control_and_direction_characters_do_not_reach_the_gateway(self):
        for c in '\u001b\u0007\u0008\u000b\u000c\u007f\u009b\u202e\u2067':
            for text in ('Code%s 4711', 'Код%s 4711'):
                with self.subTest(character='U+%04X' % ord(c), text=text):
                    self.assertIn(self.sent(text % c)['text'].replace('  ', ' '), (text % '',))
        self.assertEqual(self.sent('one\ntwo')['text'], 'one\ntwo')

    def test_the_count_is_that_of_the_cleaned_text(self):
        self.assertEqual(self.sent('\u200b'.join('a' * 160))['segments'], 1)
        self.assertEqual(self.sent('\u200b'.join('ж' * 70))['segments'], 1)
        self.assertEqual(self.sent('€' * 80)['segments'], 1)
        self.assertEqual(self.sent('a' * 161)['segments'], 2)

    def test_joiners_that_a_script_or_an_emoji_needs_stay(self):
        for text in ('نامه\u200cها', 'Hi 👩\u200d🚀'):
            sms = self.sent(text)
            self.assertEqual((sms['text'], sms['encoding']), (text, 'ucs2'))


class Words(TextTest):
    def test_only_what_is_transactional_is_said_to_be_needed_for_the_account(self):
        h = self.house(categories={**CATEGORIES, 'marketing': {'kind': 'marketing', 'consent': 'opt_out'}})
        h.start()
        path = lambda url: '/' + url.split('/', 3)[3]
        links = {}
        for category in ('courtesy', 'marketing'):
            h.settled(h.send(person('w-' + category), channels=['email'], category=category))
            mail = h.smtp.accepted[-1].parse()
            page = mail.get_body(('html',)).get_content()
            links[category] = path(mail['List-Unsubscribe'].strip('<>')), '/p/' + page.split('/p/')[1].split('"')[0]
        del h.settings['categories']['marketing']
        h.write()
        h.processes[0].send_signal(signal.SIGHUP)
        h.until(lambda: '"what":"policy"' in h.log(), what='the reload is done')
        for category, (unsubscribe, preferences) in links.items():
            with self.subTest(category=category):
                said = h.http('POST', unsubscribe, raw=b'List-Unsubscribe=One-Click', type='application/x-www-form-urlencoded')
                self.assertNotIn('needed for your account', str(said))
                self.assertNotIn('Your account needs it', h.http('GET', preferences)[1])
                if category == 'marketing':
                    self.assertEqual(said[0], 200)  # stopping never needs configuration


if __name__ == '__main__':
    unittest.main()
