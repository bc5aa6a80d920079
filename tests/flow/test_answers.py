"""What people do with a card that a run has sent: they read it, they answer it, and the run goes on with that (S14, S27, contract 8)."""
import unittest

from test_sequences import Journey
from house import until

ASKS = '''sequence: survey
category: onboarding
trigger: {event: ticket.solved}
reentry: always
while_running: parallel
steps:
  - {id: ask, send: {template: hello, channels: [in_app], answer: {event: survey.answered, choices: [1, 2, 5, later]}}}
  - id: answer
    wait_for: {any: [{event: survey.answered, where: {event.message: {path: steps.ask.message}}, as: answered}], timeout: 3d}
    then:
      answered:
        - id: how
          branch:
            - {when: {steps.answer.event.score: {lt: 3}}, steps: [{id: sorry, send: {template: nudge, channels: [in_app]}}]}
            - {else: true, steps: [{id: thank, send: {template: thanks, channels: [in_app]}}]}
---
sequence: reads
category: onboarding
trigger: {event: news}
reentry: always
while_running: parallel
steps:
  - {id: tell, send: {template: hello, channels: [in_app], answer: {event: news.liked, choices: [yes_please]}}}
  - id: reaction
    wait_for: {any: [{message: tell, is: answered, as: answered}, {message: tell, is: read, as: read}], timeout: 3d}
    then:
      answered: [{id: more, send: {template: thanks, channels: [in_app]}}]
      read: [{id: bye, send: {template: bye, channels: [in_app]}}]
'''


class Answers(Journey):
    DEFINITIONS = ASKS

    def someone(self, id, event):
        self.who(id)
        self.h.http('POST', '/v1/events', {'recipient': id, 'name': event})
        self.token = {'Authorization': 'Bearer ' + self.h.http('POST', '/v1/recipients/%s/inbox-token' % id, {})[1]['token']}
        return until(self.items, what='a card')[0]

    def items(self):
        return self.h.http('GET', '/v1/inbox', headers=self.token)[1]['items']

    def titles(self, count):
        return until(lambda: len(self.items()) == count and [i['title'] for i in self.items()], what=lambda: self.items())

    def answer(self, card, body):
        return self.h.http('POST', '/v1/inbox/%s/answer' % card['id'], body, headers=self.token)

    def test_an_answer_is_the_event_that_the_card_names_and_the_run_goes_on_by_it(self):
        for who, given, title in (('ada', 1, 'nudge'), ('bo', 5, 'thanks')):
            card = self.someone(who, 'ticket.solved')
            self.assertEqual(card['answer'], {'choices': [1, 2, 5, 'later']})  # what event it is, is nobody's business
            status, totals = self.answer(card, {'answer': given})
            self.assertEqual((status, totals['unread']), (200, 0), totals)  # who answers has read
            self.assertEqual(self.titles(2), [title, 'hello'])
            asked = self.items()[1]
            self.assertEqual(asked['answered'], given)
            self.assertTrue(asked['answered_at'] and asked['read_at'])

    def test_the_same_answer_again_does_nothing_and_the_last_one_counts(self):
        card = self.someone('eve', 'ticket.solved')
        for given in (5, 5, 5, 'later'):
            self.assertEqual(self.answer(card, {'answers': {'score': given}})[0], 200)
        self.assertEqual(self.titles(2), ['thanks', 'hello'])
        self.assertEqual(self.items()[1]['answered'], 'later')

    def test_an_answer_belongs_to_the_run_whose_card_it_is(self):
        first = self.someone('flo', 'ticket.solved')
        self.h.http('POST', '/v1/events', {'recipient': 'flo', 'name': 'ticket.solved'})
        self.titles(2)
        self.answer(first, {'answer': 5})
        self.assertEqual(sorted(self.titles(3)), ['hello', 'hello', 'thanks'])
        runs = self.h.http('GET', '/v1/recipients/flo/timeline')[1]['runs']
        self.assertEqual(sorted(str(r.get('reason')) for r in runs), ['None', 'completed'])

    def test_what_is_no_answer_is_refused(self):
        card = self.someone('gus', 'ticket.solved')
        for body, status in (({'answer': 7}, 422), ({'answer': '5'}, 422), ({}, 422), ({'answer': [5]}, 422), ({'answers': {}}, 422), (None, 400)):
            self.assertEqual(self.answer(card, body)[0], status, body)
        self.assertEqual(self.h.http('POST', '/v1/inbox/none-i/answer', {'answer': 5}, headers=self.token)[0], 404)
        self.answer(card, {'answer': 5})
        self.titles(2)
        self.assertEqual(self.answer(self.items()[0], {'answer': 5})[0], 409)  # a card that asks nothing

    def test_reading_and_answering_are_two_things_that_a_run_can_wait_for(self):
        self.h.http('POST', '/v1/inbox/%s/read' % self.someone('hal', 'news')['id'], {}, headers=self.token)
        self.assertEqual(self.titles(2), ['bye', 'hello'])
        self.answer(self.someone('ivy', 'news'), {'answer': 'yes_please'})
        self.assertEqual(self.titles(2), ['thanks', 'hello'])


class Questions(Journey):
    def test_a_card_that_asks_wrongly_is_refused_by_check_and_at_the_door(self):
        h = self.build(ASKS.split('---')[0].replace('choices: [1, 2, 5, later]', 'choises: [1]'))
        h.cli('sequence', 'check', status=1)
        self.assertIn('survey.yaml:7', h.err)
        self.assertIn('did you mean "choices"', h.err)
        h.start()
        for answer in ({'event': 'x'}, {'event': 'x', 'choices': []}, {'event': 'a b', 'choices': [1]}, {'event': 'x', 'choices': [{}]}, 3,
                       {'event': 'x', 'choices': [1], 'more': 1}):
            status, problem = h.http('POST', '/v1/messages', {'recipient': {'id': 'joe'}, 'template': 'hello', 'channels': ['in_app'], 'answer': answer})
            self.assertEqual(status, 422, problem)
            self.assertTrue(problem['errors'][0]['pointer'].startswith('/answer'), problem)


if __name__ == '__main__':
    unittest.main()
