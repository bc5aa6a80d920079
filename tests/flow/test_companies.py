"""What happens to an account happens to all of its people, once, also when somebody joins later or a worker dies over it."""
import json, signal, unittest

from test_sequences import Journey, ago


class Companies(Journey):
    DEFINITIONS = """
sequence: deciders
category: onboarding
trigger: {event: contract.signed, of: account, where: {recipient.role: decider}}
reentry: {per: event.contract}
goal: {event: portal.live, of: account}
exit:
  - {event: contract.cancelled, of: account, where: {event.contract: {path: trigger.data.contract}}, reason: cancelled}
  - {changed: recipient.role, reason: role_changed}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - id: named
    wait_for: {any: [{event: admin.named, of: account, as: named}], timeout: 30d, since: run}
    then:
      named: [{id: thanks, send: {template: thanks, channels: [in_app]}}]
  - {id: rest, wait: 30d}
---
sequence: late
category: onboarding
trigger: {event: joined}
steps:
  - id: look
    wait_for: {any: [{event: kick.off, of: account, as: off}], timeout: 30d, since: 7d}
    then:
      off: [{id: hello, send: {template: hello, channels: [in_app]}}]
---
sequence: teller
category: onboarding
trigger: {event: told}
reentry: always
steps:
  - {id: say, emit: {event: news, of: account, data: {what: {from: trigger.data.what}}}}
---
sequence: hearers
category: onboarding
trigger: {event: news, of: account}
reentry: always
steps:
  - {id: hear, send: {template: tell, channels: [email], data: {what: {from: trigger.data.what}}}}
"""

    def company(self, account, name, **fields):
        status, answer = self.h.http('POST', '/v1/events', {'account': account, 'name': name, **fields})
        self.assertEqual(status, 202, answer)
        return answer

    def test_all_hear_of_it_and_only_whom_it_concerns_enters(self):
        for i in range(5):
            self.who('a%d' % i, account='acme', role='decider' if i < 2 else 'user')
        self.who('a9', account='other', role='decider')
        answer = self.company('acme', 'contract.signed', id='s1', data={'contract': 'k'})
        self.assertEqual((answer['status'], answer['members']), ('taken', 5))
        self.assertEqual(sorted(d['what'] for d in answer['did'] if d['sequence'] == 'deciders'), ['enrolled'] * 2 + ['not_enrolled'] * 3)
        self.sent('a0', 'hello'), self.sent('a1', 'hello')
        self.assertEqual([self.runs(who) for who in ('a2', 'a9')], [[], []])
        self.assertEqual(self.company('acme', 'contract.signed', id='s1', data={'contract': 'k'})['status'], 'known')
        self.assertEqual(self.told('a0'), {'hello': 1})

    def test_a_goal_of_the_account_ends_the_runs_of_its_people_and_cancels_what_they_have_enqueued(self):
        for who in ('b0', 'b1'):
            self.who(who, account='bolt', role='decider')
            self.pause(who)
        first = self.company('bolt', 'contract.signed', data={'contract': 'k'})
        answer = self.company('bolt', 'portal.live')
        left = [d for d in answer['did'] if d['what'] == 'left']
        self.assertEqual([d['why'] for d in left], ['goal', 'goal'])
        for did in first['did']:
            if did['what'] == 'enrolled':
                self.assertEqual(self.h.message(did['message'])['status'], 'cancelled')

    def test_another_contract_is_not_meant(self):
        self.who('c0', account='cone', role='decider')
        self.company('cone', 'contract.signed', data={'contract': 'k1'})
        self.company('cone', 'contract.cancelled', data={'contract': 'k2'})
        self.assertEqual(len(self.active('c0')), 1)
        self.company('cone', 'contract.cancelled', data={'contract': 'k1'})
        self.assertEqual([r['reason'] for r in self.runs('c0')], ['cancelled'])

    def test_an_event_of_the_account_is_awaited_and_one_of_a_person_of_that_name_is_not_meant(self):
        self.who('d0', account='dune', role='decider')
        self.company('dune', 'contract.signed', data={'contract': 'k'})
        self.sent('d0', 'hello')
        self.at_step('d0', 'named', 'deciders')
        self.event('d0', 'admin.named')
        self.at_step('d0', 'named', 'deciders')
        self.company('dune', 'admin.named')
        self.sent('d0', 'thanks')

    def test_who_joins_later_hears_nothing_of_it_but_may_look_back(self):
        self.company('east', 'kick.off')
        self.who('e0', account='east')
        self.assertEqual(self.runs('e0'), [])
        self.event('e0', 'joined')
        self.sent('e0', 'hello')

    def test_who_has_left_the_account_hears_no_more(self):
        self.who('f0', account='fern', role='decider')
        self.patch('f0', account='other2')
        self.assertEqual(self.company('fern', 'contract.signed', data={'contract': 'k'})['members'], 0)

    def test_what_a_run_says_to_the_account_all_hear_once(self):
        for i in range(3):
            self.who('g%d' % i, account='gulf')
        self.event('g0', 'told', data={'what': 'rain'})
        for i in range(3):
            self.sent('g%d' % i, 'tell')
        self.assertEqual([self.told('g%d' % i) for i in range(3)], [{'tell': 1}] * 3)

    def test_bad_input_names_the_place(self):
        for body, pointer in (({'account': 'x', 'recipient': 'y', 'name': 'n'}, '/account'), ({'account': '', 'name': 'n'}, '/account'),
                              ({'account': 'x', 'name': 'account/n'}, '/name'), ({'account': 'x'}, '/name')):
            status, answer = self.h.http('POST', '/v1/events', body)
            self.assertEqual((status, answer['errors'][0]['pointer']), (422, pointer), answer)

    def test_of_who_is_erased_the_account_keeps_nothing(self):
        self.who('h0zz', account='hill')
        self.company('hill', 'kick.off')
        self.assertEqual(self.h.http('DELETE', '/v1/recipients/h0zz')[0], 200)
        members = self.h.redis('--scan', '--pattern', '*am:hill')
        self.assertNotIn('h0zz', self.h.redis('SMEMBERS', members) if members else '')


class Faults(Journey):
    def test_killed_while_all_are_told_it_is_repeated_and_each_has_heard_once(self):
        h = self.build('sequence: all\ncategory: onboarding\ntrigger: {event: signed, of: account}\nsteps:\n  - {id: hello, send: {template: hello, channels: [in_app]}}\n')
        p = h.start()
        people = ['p%d' % i for i in range(150)]
        for who in people:
            self.who(who, account='big')
        at = ago(seconds=1)
        import threading
        threading.Timer(0.02, lambda: h.stop(p, signal.SIGKILL)).start()
        try:
            h.http('POST', '/v1/events', {'account': 'big', 'name': 'signed', 'id': 'one', 'at': at})
        except OSError:
            pass
        h.until(lambda: p not in h.processes)
        h.redis_end()
        h.start()
        status, answer = h.http('POST', '/v1/events', {'account': 'big', 'name': 'signed', 'id': 'one', 'at': at})
        self.assertEqual(status, 202, answer)
        for who in people:
            self.sent(who, 'hello')
            self.assertEqual(self.told(who), {'hello': 1})


if __name__ == '__main__':
    unittest.main()
