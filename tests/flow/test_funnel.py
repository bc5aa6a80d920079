"""What a sequence has come to: goals with and without holdout and how sure that is, how long it took, what was answered (part 7 of the design, S19)."""
import json, math, unittest

from test_sequences import Journey, NDJSON, ago

WAY = '''sequence: way
category: onboarding
trigger: {event: signed}
goal: {event: won, ends: false}
holdout: {name: way-holdout, share: 40%}
steps:
  - {id: hi, send: {template: hello, channels: [in_app]}}
  - id: asked
    wait_for: {any: [{event: answered, as: answered}], timeout: 30d}
  - {id: rest, wait: 30d}
'''
Z = 1.959963984540054


def wilson(k, n):
    p, z = k / n, Z * Z
    middle, half = (p + z / (2 * n)) / (1 + z / n), Z * math.sqrt(p * (1 - p) / n + z / (4 * n * n)) / (1 + z / n)
    return middle - half, middle + half


class Funnel(Journey):
    DEFINITIONS = WAY

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        people = ['p%d' % i for i in range(120)]
        cls.send([{'recipient': {'id': p}, 'name': 'signed', 'at': ago(hours=20), 'id': 's'} for p in people])
        cls.held = [p for p in people if cls.h.http('GET', '/v1/recipients/%s/timeline' % p)[1]['runs'][0]['holdout']]
        cls.heard = [p for p in people if p not in cls.held]
        cls.winners = cls.heard[:30] + cls.held[:9]
        # won an hour, or ten hours, after they had begun
        cls.send([{'recipient': p, 'name': 'won', 'at': ago(hours=19 if i % 3 else 10), 'id': 'w'} for i, p in enumerate(cls.winners)])
        cls.send([{'recipient': p, 'name': 'answered', 'id': 'a', 'data': {'score': 10 if i < 3 else 5}} for i, p in enumerate(cls.heard[:8])])
        cls.report = cls.h.http('GET', '/v1/sequences/way/report')[1]

    @classmethod
    def send(cls, events):
        status, text = cls.h.http('POST', '/v1/events', raw='\n'.join(map(json.dumps, events)).encode(), type=NDJSON)
        assert status == 200 and text.count('"taken"') == len(events), text[:500]

    def test_goals_with_and_without_holdout_have_the_bounds_of_wilson(self):
        for key, people, won in (('goal', self.heard, 30), ('holdout', self.held, 9)):
            share, (low, high) = self.report[key], wilson(won, len(people))
            self.assertEqual((share['reached'], share['of']), (won, len(people)))
            self.assertAlmostEqual(share['low'], low)
            self.assertAlmostEqual(share['high'], high)

    def test_the_lift_has_the_bounds_of_newcombe(self):
        a, b = 30 / len(self.heard), 9 / len(self.held)
        (la, ua), (lb, ub) = wilson(30, len(self.heard)), wilson(9, len(self.held))
        self.assertAlmostEqual(self.report['lift'], a - b)
        self.assertAlmostEqual(self.report['lift_low'], a - b - math.hypot(a - la, ub - b))
        self.assertAlmostEqual(self.report['lift_high'], a - b + math.hypot(ua - a, b - lb))

    def test_times_to_the_goal_lie_within_nine_percent(self):
        heard = self.report['time_to_goal']
        self.assertEqual(heard['of'], 30)
        self.assertAlmostEqual(heard['median'], 3600, delta=3600 * 0.095)  # twenty of thirty after one hour
        self.assertAlmostEqual(heard['p90'], 36000, delta=36000 * 0.095)
        self.assertEqual(self.report['holdout_time_to_goal']['of'], 9)

    def test_times_in_a_step_and_answers_are_those_of_whoever_has_left_it(self):
        self.assertEqual(self.report['time_in_step']['asked']['of'], 8)
        self.assertEqual(self.report['time_in_step']['hi']['of'], len(self.heard))
        self.assertNotIn('rest', self.report['time_in_step'])
        self.assertEqual(self.report['answers'], {'asked': {'of': 8, 'mean': 55 / 8, 'scores': {'5': 5, '10': 3}}})

    def test_for_people_it_is_in_lines(self):
        said = self.h.cli('sequence', 'report', 'way')
        for words in ('goal           30 of %d' % len(self.heard), 'lift           ', 'time to goal   half of 30 within '):
            self.assertIn(words, said)


if __name__ == '__main__':
    unittest.main()
