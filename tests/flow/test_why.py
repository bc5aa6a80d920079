"""Why a run did what it did: each decision with what it was decided on, and made once more from that (S65, D3)."""
import re, unittest

from test_sequences import Journey
from house import until

WHY = '''sequence: way
category: onboarding
trigger: {event: signed}
steps:
  - {id: hi, send: {template: hello, channels: [in_app]}}
  - id: which
    branch:
      - {when: {recipient.role: admin}, steps: []}
      - {when: {recipient.attributes.n: {lt: 5}}, steps: [{id: nudge, send: {template: nudge, channels: [in_app]}}]}
  - {id: tomorrow, wait: {days: 1, at: "09:00"}}
'''


class Why(Journey):
    DEFINITIONS = WHY

    def test_each_decision_is_told_with_what_it_was_decided_on_and_made_once_more(self):
        h = self.h
        self.who('ada', role='user', timezone='Europe/Vienna', attributes={'n': 4})
        run = h.http('POST', '/v1/events', {'recipient': 'ada', 'name': 'signed', 'id': 'e1'})[1]['did'][0]['run']
        lines = until(lambda: [x for x in h.cli_json('sequence', 'why', run) if x[4] == 'wait'] and h.cli_json('sequence', 'why', run))
        what = {x[4]: x for x in lines}
        self.assertEqual(what['enrolled'][6]['event'], 'e1')
        self.assertEqual(what['branch'][5:], [1, {'compared': [['recipient.role', 'user', 'eq', 'admin', False], ['recipient.attributes.n', 4, 'lt', 5, True]],
                                                  'zone': 'Europe/Vienna'}])
        self.assertEqual(what['wait'][6]['zone'], 'Europe/Vienna')
        self.assertIn('0 came out otherwise', h.cli('sequence', 'why', run, '--replay'))
        self.assertIn('{"compared"', h.cli('sequence', 'why', run, '--recipient', 'ada'))
        key = h.redis('--raw', 'KEYS', '*qt:ada')
        for i, (was, other) in enumerate((('"branch",1', '"branch",0'), ('"lt",5,true', '"lt",5,false'), ('09:00', '10:00'))):
            for k, line in enumerate(h.redis('--raw', 'LRANGE', key, '0', '-1').split('\n')):
                changed = line.replace(was, other) if was != '09:00' else re.sub(r'T0[78]:00:00Z', 'T05:00:00Z', line)
                if changed != line:
                    h.redis('LSET', key, str(k), changed)
                    self.assertIn('1 came out otherwise', h.cli('sequence', 'why', run, '--replay', status=1), changed)
                    h.redis('LSET', key, str(k), line)
                    break
            else:
                self.fail('nothing to change: ' + was)

    def test_a_run_that_is_none_is_said_so(self):
        self.h.cli('sequence', 'why', '0123456789abcdefghjkmn', status=1)
        self.assertIn('no trace of a run', self.h.err)


if __name__ == '__main__':
    unittest.main()
