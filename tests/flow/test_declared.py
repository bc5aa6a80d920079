"""Declared events: a file says which there are and what their data is, and a misspelt name is found before it costs a customer (C3, part 2 of the design)."""
import os, unittest

from test_sequences import Journey, write

DECLARED = '''events:
  customer.signed_up: {data: {kind: string, plan: string}}
  contract.signed: {of: account, data: {value: number, ends: date}}
  ticket.solved:
'''
RIGHT = '''sequence: right
category: onboarding
trigger: {event: customer.signed_up, where: {event.kind: {ne: internal}, event.plan: {in: [gold, silver]}}}
exit: [{event: contract.signed, of: account, where: {event.value: {gt: 100}}, reason: signed}]
steps:
  - {id: w, wait_for: {any: [{event: ticket.solved, as: solved}], timeout: 3d}}
  - {id: hi, send: {template: hello, channels: [in_app]}}
'''


class Declared(Journey):
    def declare(self, text, definition=RIGHT):
        h = self.build(definition)
        write(os.path.join(h.settings['sequences'], 'events.yaml'), text)
        return h

    def check(self, text, definition, status, *words):
        h = self.declare(text, definition)
        h.cli('sequence', 'check', *(('--strict',) if status == 'warned' else ()), status=1 if status else 0)
        for word in words:
            self.assertIn(word, h.err)

    def test_what_is_declared_is_in_order(self):
        self.check(DECLARED, RIGHT, 0)

    def test_a_name_that_is_not_declared_is_an_error_with_its_line_and_the_nearest_one(self):
        for was, line, other in (('trigger: {event: customer', 'right.yaml:3', 'trigger: {event: custmer'), ('event: ticket.solved', 'right.yaml:6', 'event: ticket.solvd'),
                                 ('of: account, where', 'right.yaml:4', 'where')):
            self.check(DECLARED, RIGHT.replace(was, other), 1, line, 'is not declared in events.yaml')
        self.check(DECLARED, RIGHT.replace('customer.signed_up', 'custmer.signed_up'), 1, 'did you mean "customer.signed_up"')

    def test_a_field_that_is_not_declared_or_can_never_be_equal_is_a_warning(self):
        for was, other, words in (('event.kind', 'event.kid', 'declared without kid'), ('{gt: 100}', '{gt: "100"}', 'types are not converted'),
                                  ('[gold, silver]', '[gold, 2]', 'types are not converted'), ('{ne: internal}', 'true', 'types are not converted')):
            self.check(DECLARED, RIGHT.replace(was, other), 'warned', 'right.yaml:', words)

    def test_a_file_that_is_wrong_is_said_with_its_line(self):
        for text, place in (('events:\n  a.b: {data: {x: strng}}\n', 'events.yaml:2'), ('evnts: {}\n', 'events.yaml:1'), ('events:\n  a.b: 7\n', 'events.yaml:2'),
                            ('events:\n  a.b: {off: account}\n', 'events.yaml:2'), ('events: [a]\n', 'events.yaml:1'), ('events: {a: \n', 'events.yaml:')):
            self.check(text, RIGHT, 1, place)

    def test_at_the_door_an_unknown_name_is_taken_and_warned_of(self):
        h = self.declare(DECLARED)
        h.start()
        self.who('ada')
        for name, warned in (('customer.signed_up', False), ('custmer.signed_up', True)):
            status, answer = h.http('POST', '/v1/events', {'recipient': 'ada', 'name': name})
            self.assertEqual((status, 'warnings' in answer), (202, warned), answer)
        status, answer = h.http('POST', '/v1/events', {'account': 'acme', 'name': 'contract.signed'})
        self.assertEqual((status, 'warnings' in answer), (202, False), answer)


LIVE = '''sequence: right
category: onboarding
trigger:
  - {event: custmer.signed_up}
  - {enters: {recipient.attributes.plna: gold}}
  - {enters: {recipient.attributes.plan: gold}}
steps:
  - {id: w, wait_for: {any: [{event: ticket.solved, as: solved}], timeout: 3d}}
  - {id: hi, send: {template: hello, channels: [in_app]}}
'''


class Live(Journey):
    def test_what_never_came_and_nobody_has_is_warned_of_with_the_nearest_there_is(self):
        h = self.build(LIVE)
        h.start()
        for who, plan in (('ada', 'gold'), ('bo', 'silver'), ('cy', 'gold')):
            self.who(who, attributes={'plan': plan})
        self.event('ada', 'customer.signed_up', id='1')
        self.event('ada', 'ticket.solved')  # neither id nor at: what is sent twice happens twice (S10)
        h.cli('sequence', 'check', '--strict', status=0)
        out = h.cli('sequence', 'check', '--live')
        self.assertRegex(h.err, r'right.yaml:4: warning: .*"custmer.signed_up" has never been sent; did you mean "customer.signed_up"')
        self.assertRegex(h.err, r'right.yaml:5: warning: .*"recipient.attributes.plna" is an attribute that none of 3 people has; did you mean "recipient.attributes.plan"')
        self.assertRegex(h.err, r'right.yaml:8: warning: .*"ticket.solved" comes from .* with neither id nor at')
        self.assertNotIn('"recipient.attributes.plan" is', h.err)
        self.assertRegex(out, r'right: 2 people meet "enters" today')
        self.assertRegex(out, r'right: 0 people meet "enters" today, 0 of them would begin')
        h.cli('sequence', 'check', '--live', '--strict', status=1)

    def test_what_has_come_stays_known_over_a_restart(self):
        h = self.build(LIVE.replace('custmer', 'customer'))
        h.stop(h.start())
        h.cli('event', '-', stdin='{"recipient": "ada", "name": "customer.signed_up", "id": "1"}\n')
        h.cli('sequence', 'check', '--live')
        self.assertNotIn('customer.signed_up" has never', h.err)
        self.assertIn('"ticket.solved" has never been sent', h.err)


if __name__ == '__main__':
    unittest.main()
