"""The inbox component in Chromium, on a page of another origin with a strict CSP: what people see, hear, reach by keys, and what it costs."""
import gzip, json, os, re, subprocess, unittest, urllib.request

from house import FlowTest, free_port

HERE = os.path.dirname(os.path.abspath(__file__))


class Faces(FlowTest):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()

    def get(self, h, path, **headers):
        request = urllib.request.Request('http://127.0.0.1:%d%s' % (h.port, path), headers={k.replace('_', '-'): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request) as r:
                return r.status, dict(r.headers), r.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def test_the_component_does_what_people_expect_in_a_browser(self):
        h = self.house(in_app={'origins': ['http://127.0.0.1:%d' % self.port]})
        h.start()
        shots = os.environ.get('TIDINGS_SHOTS')
        done = subprocess.run(['node', os.path.join(HERE, 'faces.mjs'), 'http://127.0.0.1:%d' % h.port, str(self.port), *(['--shots', shots] if shots else [])],
                              capture_output=True, text=True, timeout=420)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        seen = json.loads(done.stdout)
        self.assertEqual(seen['violations'], [])
        failed = {name: s['failed'] for name, s in seen.items() if isinstance(s, dict) and 'failed' in s}
        self.assertEqual(failed, {})
        with self.subTest('push'):
            push = seen['push']
            self.assertEqual((push['before'], push['label'], push['after']), ('', 'Notifications', '1'))
            self.assertRegex(push['said'], r'^Notifications: \d new$')
            self.assertEqual(push['titles'], ['Order %d is on its way' % n for n in (6, 5, 4, 3, 2, 1)])
            self.assertEqual((push['none'], push['unread']), (True, 0))
        with self.subTest('keyboard'):
            self.assertEqual(seen['keyboard'], {'first': 'bell', 'expanded': True, 'walk': [0, 1, 2, 2, 0, 2], 'closed': True, 'back': 'bell'})
        with self.subTest('tabs'):
            self.assertEqual(seen['tabs'], {'streams': 1, 'badges': ['2'] * 4, 'read': True, 'taken': True})
        with self.subTest('offline'):
            self.assertEqual(seen['offline'], {'off': True, 'right': True, 'live': True})
        with self.subTest('expiry'):
            self.assertEqual(seen['expiry'], {'shown': True, 'asked': 2})
        with self.subTest('foreign'):
            foreign = seen['foreign']
            self.assertEqual((foreign['images'], foreign['title'], foreign['headless']), (0, 'Portal', 'function'))
            self.assertIn('<img src=x', foreign['text'])
            for href, rel in foreign['links']:
                self.assertEqual((href, rel), ('https://example.com/a?b=1', 'noopener'))
        with self.subTest('whole'):
            self.assertTrue(seen['whole']['inside'] and seen['whole']['on_top'] and seen['whole']['height'] > 150, seen['whole'])
        with self.subTest('looks'):
            bad = [l for l in seen['looks'] if l['violations'] or l['small'] or l['wide'] or l['dir'] != ('rtl' if l['locale'] == 'ar' else 'ltr')]
            self.assertEqual(bad, [])
            self.assertGreater(len(seen['looks']), 15)
        with self.subTest('demo'):
            self.assertTrue(seen['demo']['arrived'])
            self.assertIn('Accepted', seen['demo']['said'])

    def test_the_file_is_small_cached_by_its_hash_and_for_pages_everywhere(self):
        h = self.start()
        status, headers, body = self.get(h, '/inbox.js')
        self.assertEqual((status, headers['Content-Type'], headers['Cache-Control'], headers['Access-Control-Allow-Origin'], headers['Cross-Origin-Resource-Policy']),
                         (200, 'text/javascript; charset=utf-8', 'public, max-age=300', '*', 'cross-origin'))
        self.assertLessEqual(len(gzip.compress(body, 9)), 14 * 1024)
        for word in (rb'innerHTML', rb'eval\(', rb"setAttribute\('style'", rb'new Function', rb'document\.write', rb'insertAdjacentHTML'):
            self.assertIsNone(re.search(word, body), word)
        self.assertEqual(self.get(h, '/inbox.js', If_None_Match=headers['ETag'])[0], 304)
        status, versioned, same = self.get(h, '/inbox.%s.js' % headers['ETag'].strip('"'))
        self.assertEqual((status, versioned['Cache-Control'], same), (200, 'public, max-age=31536000, immutable', body))
        self.assertEqual(self.get(h, '/inbox.0000.js')[0], 404)

    def test_the_demonstration_is_there_only_where_no_key_is_needed(self):
        h = self.house()
        h.settings['http']['keys'] = [{'name': 'k', 'secret': 'k', 'scopes': ['read']}]
        h.write()
        h.start()
        for path in ('/demo', '/demo.js', '/demo.css'):
            self.assertEqual(self.get(h, path)[0], 404)


if __name__ == '__main__':
    unittest.main()
