"""Sequences for one person, slowly: a second writing of the rules S1 to S39 of the design, to be compared with the machine in C.

A run is a generator that walks its steps and yields what it waits for; the world around it has a clock that jumps to the next thing: the
end of a message, a timer, an event, in this order when they are at the same instant.  play(scenario) gives the log: a list of entries
[ms, what, sequence, ...].  Nothing here is meant to be quick, and nothing is shared with the program.

Where the rules leave something open, the line that decides says CHOICE and the rule's number.
"""
import datetime, functools, hashlib, json, re, zoneinfo

UTC = datetime.timezone.utc
DAY = 86_400_000
UNITS = {'ms': 1, 's': 1000, 'm': 60_000, 'h': 3_600_000, 'd': DAY, 'w': 7 * DAY}
WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
KEPT, QUEUED = 200, 5
MISSING = type('Missing', (), {'__repr__': lambda self: 'MISSING', '__bool__': lambda self: False})()


# -- time ------------------------------------------------------------------------------------------------------------------------

def duration(text):
    """'2d', '10m', '-7d' in ms."""
    sign, count, unit = re.fullmatch(r'(-?)(\d+)(ms|s|m|h|d|w)', text).groups()
    return int(sign + count) * UNITS[unit]


def shown(ms, zone):
    """What a clock in the zone shows, without the parts of a second."""
    return datetime.datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone).replace(tzinfo=None, fold=0)


@functools.lru_cache(maxsize=100_000)
def instant(local, zone):
    """S22: the earliest instant at which the clock shows `local`; in a gap the instant at which the gap ends."""
    guesses = sorted({(local - local.replace(tzinfo=zone, fold=fold).utcoffset()).replace(tzinfo=UTC) for fold in (0, 1)})
    for guess in guesses:
        if guess.astimezone(zone).replace(tzinfo=None, fold=0) == local:
            return int(guess.timestamp()) * 1000
    low, high = int(guesses[0].timestamp()) - 86_400, int(guesses[-1].timestamp()) + 86_400
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shown(middle * 1000, zone) < local else (low, middle)
    return high * 1000


def clock(text):
    hour, minute = text.split(':')
    return datetime.time(int(hour), int(minute))


def date_of(value, zone):
    """S24: an RFC 3339 instant, or a date, which is its midnight in the person's zone; None when it is neither."""
    if not isinstance(value, str):
        return None
    try:
        if re.fullmatch(r'\d{4}-\d\d-\d\d', value):
            return instant(datetime.datetime.combine(datetime.date.fromisoformat(value), datetime.time(0)), zone)
        if re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)', value):
            at = datetime.datetime.fromisoformat(value)
            return int(at.replace(microsecond=0).timestamp()) * 1000 + at.microsecond // 1000
    except ValueError:
        pass
    return None


def bucket(name, recipient):
    """S17.  CHOICE S17: the eight bytes are read with the highest first."""
    return int.from_bytes(hashlib.sha256(('%s|%s' % (name, recipient)).encode()).digest()[:8], 'big') % 10_000


# -- conditions ------------------------------------------------------------------------------------------------------------------

def same(a, b):
    """C3: nothing is converted; true is not 1.  CHOICE C3: 7 and 7.0 are both numbers and equal."""
    if is_number(a) and is_number(b):
        return a == b
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def compare(op, have, want, now, zone):
    """One comparison.  C2: a missing value is false but for ne, nin and exists: false.
    CHOICE C2: the same when the value on the right comes from a path and is missing.
    CHOICE C3: values of different types are not equal, so `ne` and `nin` hold between them.
    CHOICE C4: a plain date counts as a date in lt..gte too, read as in S24."""
    if op == 'exists':
        return (have is not MISSING) == want
    if have is MISSING or want is MISSING:
        return op in ('ne', 'nin')
    if op == 'eq':
        return same(have, want)
    if op == 'ne':
        return not same(have, want)
    if op == 'in':
        return isinstance(want, list) and any(same(have, one) for one in want)
    if op == 'nin':
        return not (isinstance(want, list) and any(same(have, one) for one in want))
    if op == 'has':  # CHOICE C1: `has` looks for an element of a list, `contains` for a part of a text
        return isinstance(have, list) and any(same(one, want) for one in have)
    if op in ('starts', 'ends', 'contains'):
        if not (isinstance(have, str) and isinstance(want, str)):
            return False
        return {'starts': have.startswith(want), 'ends': have.endswith(want), 'contains': want in have}[op]
    if op in ('lt', 'lte', 'gt', 'gte'):
        if not (is_number(have) and is_number(want)):
            have, want = date_of(have, zone), date_of(want, zone)
            if have is None or want is None:
                return False
        return {'lt': have < want, 'lte': have <= want, 'gt': have > want, 'gte': have >= want}[op]
    have = date_of(have, zone)
    if op == 'within':  # CHOICE C4: on either side of now, the border included
        return have is not None and abs(have - now) <= duration(want)
    want = now if want == 'now' else date_of(want, zone)
    if have is None or want is None:
        return False
    return {'before': have < want, 'after': have > want}[op]


# -- the world -------------------------------------------------------------------------------------------------------------------

class Gone(Exception):
    """A run leaves by itself."""

    def __init__(self, reason, cancel):
        self.reason, self.cancel = reason, cancel


class Waiting:
    """What a run waits for: a timer, the end of a message, an event or message that answers."""

    def __init__(self, due=None, message=None, answers=()):
        self.due, self.message, self.answers = due, message, answers


class Run:
    def __init__(self, definition, trigger, key):
        self.definition, self.trigger, self.key = definition, trigger, key
        self.name, self.start = definition['sequence'], trigger['at']
        self.results, self.endings, self.entered, self.stepped = {}, {}, set(), trigger['at']
        self.reached = self.gone = self.holdout = False
        self.way = self.waiting = None

    def life_over(self):
        return self.start + duration(self.definition.get('life', '400d'))


class Message:
    def __init__(self, run, step, end, order, outcome):
        self.run, self.step, self.end, self.order, self.outcome = run, step, end, order, outcome


def text_of(value):
    return '' if value is MISSING else value if isinstance(value, str) else json.dumps(value, separators=(',', ':'), ensure_ascii=False)


class World:
    def __init__(self, scenario):
        self.scenario = scenario
        self.person = dict(scenario['profile'], id=scenario['recipient'])
        self.zone = zoneinfo.ZoneInfo(self.person.get('timezone', 'UTC'))
        self.holidays = set(scenario.get('holidays', ()))
        self.definitions = sorted(scenario['sequences'], key=lambda one: one['sequence'])
        self.now, self.sent = -2 ** 60, 0
        self.runs, self.messages, self.kept, self.seen = [], [], [], set()
        self.at_hand = None  # the event that is being applied
        self.over = []  # (run, until when its goal still counts)
        self.starts, self.queues = {}, {}  # (sequence, key): start of the last run; triggers that wait
        self.log = []

    def note(self, what, run, *rest):
        self.log.append([self.now, what, run.name, *rest])

    # -- what is looked at

    def value(self, path, run, event=None):
        head, *rest = path.split('.')
        local = shown(self.now, self.zone)
        at = {
            'event': event['data'] if event else {},
            'trigger': {'data': run.trigger['data']},
            'recipient': self.person,
            'steps': run.results,
            'run': {'key': run.key} if run.key else {},  # CHOICE S37: no key, no value
            # CHOICE (paths): 2026-12-01, 09:30, mon
            'now': {'date': local.strftime('%Y-%m-%d'), 'time': local.strftime('%H:%M'), 'weekday': WEEKDAYS[local.weekday()]},
        }.get(head, MISSING)
        for name in rest:
            at = at[name] if isinstance(at, dict) and name in at else MISSING
        return at

    def holds(self, condition, run, event=None):
        if condition is None or condition == 'always' or condition is True:
            return True
        return all(self.line_holds(key, want, run, event) for key, want in condition.items())

    def line_holds(self, key, want, run, event):
        if key == 'all':
            return all(self.holds(one, run, event) for one in want)
        if key == 'any':
            return any(self.holds(one, run, event) for one in want)
        if key == 'not':
            return not self.holds(want, run, event)
        if key == 'always':
            return want is True
        if key == 'happened':
            return self.happened(want, run)
        have = self.value(key, run, event)
        if not isinstance(want, dict):
            want = {'eq': want}
        elif set(want) == {'path'}:
            want = {'eq': want}
        for op, operand in want.items():
            if isinstance(operand, dict) and set(operand) == {'path'}:
                operand = self.value(operand['path'], run, event)
            if not compare(op, have, operand, self.now, self.zone):
                return False
        return True

    def since(self, text, run, otherwise):
        text = text or otherwise
        return {'run': run.start, 'step': run.stepped}[text] if text in ('run', 'step') else None

    def happened(self, spec, run):
        """CHOICE S15: without `since` from the run's start; `7d` counts back from now; the event that began the run does not count (S14);
        `min` is 1, or 0 when only `max` is given."""
        since = self.since(spec.get('since'), run, 'run')
        if since is None:
            since = self.now - duration(spec['since'])
        count = sum(1 for one in self.kept if one['name'] == spec['event'] and one['at'] >= since and one is not run.trigger
                    and self.holds(spec.get('where'), run, one))
        return spec.get('min', 0 if 'max' in spec else 1) <= count <= spec.get('max', count)

    # -- instants of waits

    def allowed(self, day, only):
        if only is None:
            return True
        if only == 'workdays':
            return day.weekday() < 5 and day.isoformat() not in self.holidays
        return WEEKDAYS[day.weekday()] in only  # CHOICE S21: named weekdays do not ask for holidays

    def civil(self, day, at, only):
        while not self.allowed(day, only):
            day += datetime.timedelta(1)
        return instant(datetime.datetime.combine(day, at), self.zone)

    def due(self, wait, run):
        """The instant of a wait; None when the date of an `until` is missing or unreadable."""
        if isinstance(wait, str):
            return self.now + duration(wait)
        if 'until' in wait:
            return self.until(wait, run)
        days, at = wait.get('days', 0), clock(wait['at'])
        today = shown(self.now, self.zone).date()
        if days == 0:  # the next one strictly after now
            if self.civil(today, at, None) <= self.now:
                today += datetime.timedelta(1)
        return self.civil(today + datetime.timedelta(days), at, wait.get('only'))

    def until(self, wait, run):
        date = date_of(self.value(wait['until'], run), self.zone)
        if date is None:
            return None
        shift = duration(wait['after']) if 'after' in wait else -duration(wait.get('before', '0s'))
        if 'at' in wait:
            return self.civil(shown(date, self.zone).date() + datetime.timedelta(days=shift // DAY), clock(wait['at']), wait.get('only'))
        local = shown(date + shift, self.zone)
        if self.allowed(local.date(), wait.get('only')):
            return date + shift
        return self.civil(local.date(), local.time(), wait.get('only'))  # CHOICE S24: `only` without `at` keeps the wall clock

    # -- the steps of a run

    def walk(self, run, steps):
        at = 0
        while at < len(steps):
            jump = yield from self.step(run, steps[at])
            at = at + 1 if jump is None else [one['id'] for one in steps].index(jump)

    def step(self, run, step):
        if 'when' in step and not self.holds(step['when'], run):
            self.note('skipped', run, step['id'])  # CHOICE: a step that is stepped over was not entered (S31 `from`)
            return None
        run.entered.add(step['id'])
        run.stepped = self.now
        kind = next(one for one in ('send', 'wait', 'wait_for', 'branch', 'split', 'repeat', 'emit', 'end') if one in step)
        return (yield from getattr(self, 'step_' + kind)(run, step['id'], step[kind], step.get('then', {})))

    def step_send(self, run, name, send, _):
        if run.holdout:
            self.note('holdout', run, name)
            run.results[name] = {'status': 'holdout'}  # CHOICE S19: `on_failed` does not look at it
            return
        data = {}
        for key, value in send.get('data', {}).items():
            if isinstance(value, dict) and 'from' in value:
                value = (lambda found: value.get('default', MISSING) if found is MISSING else found)(self.value(value['from'], run))
            if value is not MISSING:
                data[key] = value
        self.note('send', run, name, send['template'], data)
        outcome = self.scenario.get('outcomes', {}).get(send['template'], {})
        self.sent += 1
        message = Message(run, name, self.now + outcome.get('after', 0), self.sent,
                          (outcome.get('status', 'sent'), outcome.get('reason', ''), send.get('on_failed', 'go')))
        self.messages.append(message)
        if send.get('done', 'ended') == 'ended':
            yield Waiting(message=message)

    def step_wait(self, run, name, wait, _):
        due = self.due(wait, run)
        if due is None or due <= self.now:
            past = wait.get('past', 'go') if isinstance(wait, dict) else 'go'
            self.note('past', run, name, past)
            if past == 'exit':
                raise Gone('past', True)
            return None if past == 'go' else past
        self.note('wait', run, name, due)
        yield Waiting(due=due)
        self.note('waited', run, name)

    def step_wait_for(self, run, name, spec, then):
        deadline = self.due(spec['timeout'], run)
        deadline = self.now if deadline is None else max(deadline, self.now)
        since = self.since(spec.get('since'), run, 'run')
        if since is None:
            since = self.now - duration(spec['since'])

        def event_answers(one, event):
            return (event is not run.trigger and one.get('event') == event['name'] and since <= event['at'] <= deadline
                    and self.holds(one.get('where'), run, event))

        def message_answers(one):
            """CHOICE S14: a message that ended stands at the instant of its end; `since` is not asked of it, the deadline is."""
            status, at = run.endings.get(one.get('message'), ('', 0))
            return status in ('sent', 'delivered') and one['is'] == 'sent' and at <= deadline and at

        found = []
        for place, one in enumerate(spec['any']):
            if 'message' in one:
                if message_answers(one):
                    found.append((message_answers(one), place, 0, one['as'], None))
            else:
                # S14: `since: step` must happen anew, so what has just led here does not count
                found += [(event['at'], place, order, one['as'], event) for order, event in enumerate(self.kept)
                          if event_answers(one, event) and not (spec.get('since') == 'step' and event is self.at_hand)]
        answer = None
        if found:
            answer = min(found, key=lambda row: row[:3])[3:]
        elif deadline > self.now:
            self.note('wait', run, name, deadline)

            def answers(event, step):
                for one in spec['any']:
                    if event is None and one.get('message') == step and message_answers(one):
                        return one['as'], None
                    if event is not None and 'event' in one and event_answers(one, event):
                        return one['as'], event
                return None

            answer = yield Waiting(due=deadline + duration(spec.get('grace', '0s')), answers=answers)
        if answer is None:
            self.note('timeout', run, name)
            run.results[name] = {}  # CHOICE (paths): after a timeout `matched` and `event.*` have no value
        else:
            self.note('matched', run, name, answer[0])
            run.results[name] = {'matched': answer[0], 'event': answer[1]['data'] if answer[1] else {}}
        yield from self.walk(run, then.get(answer[0] if answer else 'timeout', []))

    def step_branch(self, run, name, arms, _):
        for place, arm in enumerate(arms):
            if arm.get('else') is True or ('when' in arm and self.holds(arm['when'], run)):
                self.note('branch', run, name, place)
                yield from self.walk(run, arm['steps'])
                return
        self.note('branch', run, name, -1)

    def step_split(self, run, name, split, then):
        place, border = bucket(split['name'], self.scenario['recipient']), 0
        for part, share in split['parts'].items():
            border += share * 100
            if place < border:
                break
        self.note('part', run, name, part)
        run.results[name] = {'part': part}
        yield from self.walk(run, then.get(part, []))

    def step_repeat(self, run, name, repeat, _):
        for number in range(1, repeat['max'] + 1):
            if 'until' in repeat and self.holds(repeat['until'], run):
                break
            self.note('round', run, name, number)
            yield from self.walk(run, repeat['steps'])

    def step_emit(self, run, name, emit, _):
        self.note('emit', run, name, emit['event'])
        yield from ()

    def step_end(self, run, name, reason, _):
        raise Gone(reason, False)
        yield

    # -- beginning, going on, leaving

    def go_on(self, run, answer=None):
        try:
            run.waiting = run.way.send(answer)
        except StopIteration:
            self.leave(run, 'completed', False)
        except Gone as gone:
            self.leave(run, gone.reason, gone.cancel)

    def leave(self, run, reason, cancel=True):
        """S34.  CHOICE S34: walking off the end and `end` are no exits: a message left open by `done: enqueued` goes its way.
        CHOICE S38: the first of the queue begins right behind the leaving of the other."""
        self.note('left', run, reason)
        run.gone = True
        goal = run.definition.get('goal') or {}
        if 'within' in goal and not run.reached:
            self.over.append((run, self.now + duration(goal['within'])))
        self.runs.remove(run)
        for message in [one for one in self.messages if one.run is run and cancel]:
            self.messages.remove(message)
            self.note('cancelled', run, message.step)
        queue = self.queues.get((run.name, run.key), [])
        while queue and not self.running(run):
            self.admit(queue.pop(0), [], True, False)

    def running(self, run):
        return [one for one in self.runs if (one.name, one.key) == (run.name, run.key)]

    def enrol(self, definition, event):
        """One sequence, one event: the checks in their order.  CHOICE S1: of several triggers the first whose event and `where` fit decides."""
        triggers = definition['trigger'] if isinstance(definition['trigger'], list) else [definition['trigger']]
        reentry = definition.get('reentry', 'never')
        path = definition.get('key') or (reentry.get('per') if isinstance(reentry, dict) else None)
        run = Run(definition, event, '')
        run.key = text_of(self.value(path, run, event)) if path else ''  # CHOICE S37: a key without value is no key, ""
        for trigger in triggers:
            if trigger.get('event') == event['name'] and self.holds(trigger.get('where'), run, event):
                break
        else:
            return
        if self.now - event['at'] > duration(trigger.get('late', '24h')):
            self.note('not_enrolled', run, 'late')
            return
        running, mode = self.running(run), definition.get('while_running', 'ignore')
        if running and mode == 'ignore':
            self.note('not_enrolled', run, 'running')
        elif running and mode == 'queue':
            queue = self.queues.setdefault((run.name, run.key), [])  # CHOICE S38: five for each key
            if len(queue) >= QUEUED:
                self.note('not_enrolled', run, 'queue_full')
            else:
                self.note('queued', run)
                queue.append(run)
        else:
            replaced = running if mode == 'restart' else []
            self.admit(run, replaced, not replaced)

    def admit(self, run, replaced, ask_reentry, ask_goal=True):
        """The later checks, then the beginning.  CHOICE S38: who comes out of the queue is asked for re-entry then, not for `late`, and not for the goal, which
        may be what has ended the run before; its run starts at its trigger's `at` all the same.  CHOICE S38: `restart` ends the old run only when the new one begins."""
        reentry, last = run.definition.get('reentry', 'never'), self.starts.get((run.name, run.key))
        if ask_reentry and last is not None:
            # CHOICE S36: `after` is measured from start to start, both the triggers' `at`; exactly so long is long enough
            if reentry == 'never' or 'per' in reentry or ('after' in reentry and run.start - last < duration(reentry['after'])):
                self.note('not_enrolled', run, 'reentry')
                return
        if ask_goal and self.goal_before(run):
            self.note('not_enrolled', run, 'goal_before')
            return
        for old in replaced:
            self.leave(old, 'restarted')
        holdout = run.definition.get('holdout')
        run.holdout = bool(holdout) and bucket(holdout['name'], self.scenario['recipient']) < int(holdout['share'].rstrip('%')) * 100
        self.starts[run.name, run.key] = run.start
        self.runs.append(run)
        self.note('enrolled', run, run.key)
        run.way = self.walk(run, run.definition['steps'])
        self.go_on(run)

    def goal_before(self, run):
        """S5.  CHOICE S5: without `since` the span begins at the run's start (an event that overtook its late trigger); with `from` nothing
        prevents, for no step was entered yet; `ends` does not matter."""
        goal = run.definition.get('goal')
        return bool(goal) and 'from' not in goal and any(self.is_goal(run, goal, one) for one in self.kept)

    def is_goal(self, run, goal, event):
        return (event is not run.trigger and event['name'] == goal['event'] and event['at'] >= run.start + duration(goal.get('since', '0s'))
                and self.holds(goal.get('where'), run, event))

    def exits(self, run, event=None):
        """True when the run was left.  CHOICE S33: events and conditions in the order of the list."""
        for one in run.definition.get('exit', []):
            if 'when' in one:
                leaves = self.holds(one['when'], run, event)
            else:
                leaves = (event is not None and event['name'] == one['event'] and event['at'] >= run.start
                          and self.holds(one.get('where'), run, event))
            if leaves:
                self.leave(run, one.get('reason', 'exit'), not one.get('keep_messages', False))
                return True
        return False

    # -- facts.  CHOICE S13: a run that begins during a fact (out of the queue, by a trigger) is not given that fact.

    def count_goals(self, event):
        """S32.  CHOICE: what arrives until then counts, once, whatever its `at`, as far as the goal itself counts it."""
        for run, until in list(self.over):
            goal = run.definition['goal']
            counts = self.now <= until and ('from' not in goal or goal['from'] in run.entered) and self.is_goal(run, goal, event)
            if counts:
                self.note('counted', run)
            if counts or self.now > until:
                self.over.remove((run, until))

    def on_event(self, given):
        if given['id'] in self.seen:
            return
        self.seen.add(given['id'])
        event = dict(given, at=min(given['at'], self.now), data=given.get('data', {}))
        self.kept = (self.kept + [event])[-KEPT:]
        if event.get('backfill'):
            return
        self.count_goals(event)
        self.at_hand = event
        for run in list(self.runs):
            goal = run.definition.get('goal')
            if run.gone:
                continue
            # CHOICE S31: `from` asks whether the step was entered by now, not whether the event's `at` lies behind it
            if goal and not run.reached and ('from' not in goal or goal['from'] in run.entered) and self.is_goal(run, goal, event):
                run.reached = True
                self.note('goal', run)
                if goal.get('ends', True):
                    self.leave(run, 'goal')
                    continue
            if self.exits(run, event):
                continue
            answer = run.waiting.answers(event, None) if run.waiting.answers else None
            if answer:
                self.go_on(run, answer)
        for definition in self.definitions:
            self.enrol(definition, event)
        self.at_hand = None

    def on_message_end(self, message):
        """CHOICE S33: for the run of the message its end is written down first, then `exit` is asked, then `on_failed`, then it goes on.
        CHOICE S34: the end of a message whose run has gone is a fact for the other runs all the same."""
        self.messages.remove(message)
        status, reason, on_failed = message.outcome
        for run in list(self.runs):
            if run.gone:
                continue
            if message.run is run:
                run.results[message.step] = {'status': status, 'reason': reason}
                run.endings[message.step] = (status, self.now)
                self.note('ended', run, message.step, status)
            if self.exits(run) or message.run is not run:
                continue
            if on_failed == 'exit' and status not in ('sent', 'delivered'):  # CHOICE: wherever the run stands by then
                self.leave(run, 'failed')
            elif run.waiting.message is message:
                self.go_on(run)
            elif run.waiting.answers:
                answer = run.waiting.answers(None, message.step)
                if answer:
                    self.go_on(run, answer)

    def on_timers(self):
        """CHOICE S33: `exit` is asked of every run, also of those without a timer that is due; a life that is over comes before a wait."""
        for run in list(self.runs):
            if run.gone or self.exits(run):
                continue
            if run.life_over() <= self.now:
                self.leave(run, 'life_over')
            elif run.waiting.due is not None and run.waiting.due <= self.now:
                self.go_on(run)

    def timers(self):
        return [due for run in self.runs for due in (run.waiting.due, run.life_over()) if due is not None]

    def play(self):
        """CHOICE: what is at `until` itself still happens."""
        events = list(self.scenario['events'])
        while True:
            ends = min(((one.end, one.order) for one in self.messages), default=(2 ** 60, 0))[0]
            timer = max(min(self.timers(), default=2 ** 60), self.now)
            event = events[0]['now'] if events else 2 ** 60
            self.now, before = min(ends, timer, event), self.now
            assert self.now >= before
            if self.now > self.scenario['until']:
                return self.log
            if ends == self.now:
                self.on_message_end(min(self.messages, key=lambda one: (one.end, one.order)))
            elif timer == self.now:
                self.on_timers()
            else:
                self.on_event(events.pop(0))


def play(scenario):
    return World(scenario).play()
