"""Everybody whom a condition meets, in or out of a sequence at once: counted first, done for those who were counted (S3, S33)."""
import json, unittest

from test_sequences import Journey, NDJSON
from house import until

MANY = '''sequence: tour
category: onboarding
trigger: {event: signed_up}
exit: [{event: closed, reason: closed}]
steps:
  - {id: hi, send: {template: hello, channels: [in_app]}}
  - {id: rest, wait: 30d}
'''


class Bulk(Journey):
    def setUp(self):
        self.h = self.build(MANY)
        self.h.start()
        for i in range(12):
            self.who('d%d' % i, attributes={'region': 'DACH' if i < 9 else 'NORDICS'})
        self.h.http('POST', '/v1/events', {'recipient': 'd0', 'name': 'signed_up'})
        for name in ('signed_up', 'closed'):
            self.h.http('POST', '/v1/events', {'recipient': 'd1', 'name': name})

    def enroll(self, **body):
        return self.h.http('POST', '/v1/sequences/tour/enroll', {'where': {'recipient.attributes.region': 'DACH'}, **body})

    def running(self):
        return self.h.http('GET', '/v1/sequences')[1][0]['running']

    def test_who_would_enter_is_counted_and_nobody_enters_without_the_token(self):
        status, count = self.enroll()
        self.assertEqual((status, count['matching'], count['would_enroll'], count['already']), (200, 9, 7, 2), count)
        self.assertEqual(self.running(), 1)
        self.who('d20', attributes={'region': 'DACH'})  # of the last minute
        self.patch('d2', attributes={'region': 'NORDICS'})
        status, done = self.enroll(confirm=count['confirm'])
        self.assertEqual((status, done['matching'], done['enrolled'], done['already'], done['newcomers']), (200, 9, 6, 2, 1), done)
        self.assertEqual(self.running(), 7)
        until(lambda: self.h.http('GET', '/v1/recipients/d8/timeline')[1]['runs'][0]['step'] == 'rest', what='the first step')
        status, done = self.enroll(confirm=count['confirm'])  # the answer was lost
        self.assertEqual((status, done['enrolled'], self.running()), (200, 0, 7), done)

    def test_a_token_is_of_one_count(self):
        token = self.enroll()[1]['confirm']
        for body, status in (({'confirm': 'nothing'}, 409), ({'confirm': token, 'again': True}, 409), ({'confirm': 7}, 422), ({'where': {}}, 422),
                             ({'where': {'recipient.rolle': 1}}, 422), ({'confrim': token}, 422)):
            self.assertEqual(self.enroll(**body)[0], status, body)
        self.assertEqual(self.h.http('POST', '/v1/sequences/none/enroll', {'where': 'always'})[0], 422)
        self.assertEqual(self.running(), 1)

    def test_again_lets_those_in_who_have_been(self):
        count = self.enroll(again=True)[1]
        self.assertEqual((count['would_enroll'], count['already']), (8, 1))
        self.assertEqual(self.enroll(again=True, confirm=count['confirm'])[1]['enrolled'], 8)

    def test_out_by_a_condition_on_the_command_line(self):
        h = self.h
        count = h.cli_json('sequence', 'enroll', 'tour', '--where', '{recipient.attributes.region: DACH}')
        h.cli('sequence', 'enroll', 'tour', '--where', '{recipient.attributes.region: DACH}', '--confirm', count['confirm'])
        self.assertEqual(self.running(), 8)
        where = ('--where', '{recipient.id: {in: [d0, d3, d4, d11]}}')
        count = h.cli_json('sequence', 'exit', 'tour', *where)
        self.assertEqual((count['would_exit'], self.running()), (3, 8), count)
        done = h.cli_json('sequence', 'exit', 'tour', *where, '--confirm', count['confirm'])
        self.assertEqual((done['exited'], done['newcomers'], self.running()), (3, 0, 5), done)
        runs = h.http('GET', '/v1/recipients/d3/timeline')[1]['runs']
        self.assertEqual([r['reason'] for r in runs], ['exited'])
        for words in (('enroll', 'tour'), ('exit', 'tour'), ('enroll', 'tour', '--where', '{a'), ('enroll', 'tour', *where, '--recipient', 'd0')):
            h.cli('sequence', *words, status=None)
            self.assertTrue(h.err, words)

    def test_a_line_each_at_the_door(self):
        lines = [{'recipient': 'd3'}, {'recipient': 'd3'}, {'recipient': 'd4', 'id': 'x'}, {'recipient': 'd4', 'id': 'x'}, {'recipient': 7}]
        status, answers = self.h.http('POST', '/v1/sequences/tour/enroll', raw=''.join(json.dumps(x) + '\n' for x in lines).encode(), type=NDJSON)
        answers = [json.loads(line) for line in answers.splitlines()]
        self.assertEqual([a.get('status') for a in answers], ['taken', 'taken', 'taken', 'known', 422], answers)
        self.assertEqual([a['did'][0]['what'] for a in answers[:3]], ['enrolled', 'not_enrolled', 'enrolled'])
        self.assertEqual(self.running(), 3)

    def test_nobody_is_left_in_a_count_by_their_id(self):
        self.enroll()
        self.h.http('DELETE', '/v1/recipients/d5')
        self.assertEqual(self.h.redis('--raw', 'KEYS', '*:d5*').split(), [])
        for key in self.h.redis('--raw', 'KEYS', '*count:*').split():
            self.assertNotIn('d5', self.h.redis('--raw', 'SMEMBERS', key).split())


if __name__ == '__main__':
    unittest.main()
