"""The rollout of the year: who is in it, what they do, and what its waves must look like, by code that knows none of the program's.

The definition is schedules/portal-rollout.yaml.  Played as it is, a twentieth of a few hundred people never makes thirty who count, so for few
people its figures are scaled (`figures`), and a rehearsal with events enrols nobody, so here an event does (`adapt`).  All else is as shipped.
"""
import collections, datetime, hashlib, math, zoneinfo

NAME, DAY, HOUR, SECOND = 'portal-rollout', *(datetime.timedelta(**{unit: 1}) for unit in ('days', 'hours', 'seconds'))
WAVES = ['pilot', 'dach-canary', 'dach', 'nordics', 'rest']
SETTLE, WITHIN, GOAL_ABOVE, SCORE_ABOVE = 3 * DAY, 14 * DAY, 0.25, 6
HOLDS = {'bounced': 0.03, 'complained': 0.003, 'opted_out': 0.02, 'failed': 0.05}
WINDOW = {'nordics': 9}  # o'clock in the zone of the service, on working days
MADE_UP = SECOND / 10    # so much of a rate is made up for
LIFE = 400 * DAY         # of a run
LOOKS = HOUR + 1 * SECOND  # an open gate is looked at at least so often


def figures(n):
    """What the waves are told, as shipped for many people."""
    if n >= 2000:
        return {'most': 50, 'share': 5, 'least': 30, 'dach': 500, 'nordics': 300, 'rest': 500}
    return {'most': max(5, n // 10), 'share': 25, 'least': max(4, n * 3 // 50), 'dach': 5, 'nordics': 3, 'rest': 4}


def adapt(text, n):
    """The shipped definition with those figures, and an event that enrols."""
    of = figures(n)
    changes = {'trigger: {enroll: true} ': 'trigger: {event: rollout.planned} ', 'most: 50}': 'most: %d}' % of['most'],
               'share: 5%}': 'share: %d%%}' % of['share'],
               'least: 30 ': 'least: %d ' % of['least'], 'DACH}, rate: 500/h}': 'DACH}, rate: %d/h}' % of['dach'], 'rate: 300/h': 'rate: %d/h' % of['nordics'],
               'where: always, rate: 500/h}': 'where: always, rate: %d/h}' % of['rest']}
    for was, now in changes.items():
        if text.count(was) != 1:
            raise SystemExit('schedules/%s.yaml has no "%s" any more: adapt tests/bench/rollout.py' % (NAME, was))
        text = text.replace(was, now)
    return text


def bucket(name, who):
    return int.from_bytes(hashlib.sha256(('%s|%s' % (name, who)).encode()).digest()[:8], 'big') % 10000


def lower(reached, of):
    """The lower bound of Wilson, 95 %."""
    if not of:
        return 0.0
    z, p = 1.959963984540054, reached / of
    return max(0.0, (p + z * z / 2 / of - z * math.sqrt(p * (1 - p) / of + z * z / 4 / of / of)) / (1 + z * z / of))


# ---------------------------------------------------------------- what happens

def plan(world, from_day=120):
    """Most are told of it, in a queue of odd seconds; who has opted out long before is among them with every fourth seed."""
    careful, crowd, at = world.seed % 4 != 0, [], world.when(from_day, 'Europe/Vienna', (9, 11))
    for who, p in world.people.items():
        p['attributes']['region'] = world.draw.choices(['DACH', 'NORDICS', 'US'], [50, 30, 20])[0]
        p['attributes']['had_portal'] = world.chance(0.5)
        if world.chance(0.16):
            p['attributes']['early_adopter'] = True
        withdrawn = any(c['state'] == 'withdrawn' and c['category'] in ('onboarding', '*') for c in p['consents'])
        if world.chance(0.8) and not (careful and withdrawn) and world.gone.get(who, at + DAY) > at:
            crowd.append(who)
    world.draw.shuffle(crowd)
    world.rollout, world.ratings = {}, collections.defaultdict(list)
    for who in crowd:
        at += world.draw.randrange(1, 30) * SECOND
        world.rollout[who] = at
        world.tell(who, 'rollout.planned', at, 'rollout-' + who)
        for after in ([world.draw.uniform(0.5, 30) * DAY] if world.chance(0.8) else []) + ([world.draw.uniform(0.2, 2.5) * DAY] if world.chance(0.4) else []):
            score = world.draw.choices(range(11), [1, 1, 1, 1, 1, 2, 3, 6, 8, 8, 6])[0]
            when = (at + after).replace(microsecond=(at + after).microsecond // 1000 * 1000)  # as exact as an event tells it
            world.ratings[who].append((when, score))
            world.tell(who, 'portal.rated', when, score=score)
        curious(world, who, at)


def curious(world, who, at):
    """More than half come often, now that there is talk of it."""
    zone, day = world.people[who]['timezone'], (at - world.when(0, 'UTC')).days + 1
    until = day + (50 if world.chance(0.6) else 0)
    while day < until:
        seen = world.when(day, zone)
        if seen < world.gone.get(who, at + 99 * DAY):
            world.sign_ins[who].append(seen)
            world.tell(who, 'portal.signed_in', seen)
        day += world.draw.randrange(1, 6)
    world.sign_ins[who].sort()


def membership(world, n):
    """Wave by wave, in the order in which they are planned."""
    of, waves = figures(n), {}
    for who, at in sorted(world.rollout.items(), key=lambda x: x[1]):
        a = world.people[who]['attributes']
        if a.get('early_adopter') and list(waves.values()).count('pilot') < of['most']:
            waves[who] = 'pilot'
        elif a['region'] == 'DACH':
            waves[who] = 'dach-canary' if bucket(NAME + '/dach-canary', who) < of['share'] * 100 else 'dach'
        else:
            waves[who] = 'nordics' if a['region'] == 'NORDICS' else 'rest'
    return waves


# ---------------------------------------------------------------- what must be so

def instant(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


class Waves:
    """What the report says of the rollout, person by person, and what follows from it."""

    def __init__(self, world, report, n, end, workday, fault):
        self.world, self.n, self.of, self.end, self.workday, self.fault = world, n, figures(n), end, workday, fault
        self.told = {wave['name']: wave for wave in report['waves'][NAME]['waves']}
        self.log = [(instant(line[0]), *line[1:]) for line in report['waves'][NAME]['log']]
        self.lines = {p['recipient']: [line for line in p['entries'] if line.get('sequence') == NAME] for p in report['timeline']}
        self.at = {what: {who: [instant(line['at']) for line in lines if line['what'] == what and 'channel' not in line] for who, lines in self.lines.items()}
                   for what in ('enrolled', 'door', 'released', 'goal', 'counted', 'left')}
        self.member = membership(world, n)
        self.opened = {wave: [at for at, what, name, _ in self.log if what == 'opened' and name == wave] for wave in WAVES}
        self.held = {wave: [at for at, what, name, _ in self.log if what == 'held' and name == wave] for wave in WAVES}

    def check(self):
        checks = [getattr(self, name) for name in dir(self) if name.startswith('wave_')]
        for check in checks:
            for wave in WAVES:
                check(check.__doc__, wave)
        return [check.__doc__ for check in checks]

    def queue(self, wave):
        """Its people, in the order of their enrolment."""
        return sorted((who for who, w in self.member.items() if w == wave), key=lambda who: self.world.rollout[who])

    def let_in(self, wave):
        return {who: self.at['released'][who][0] for who in self.queue(wave) if self.at['released'][who]}

    def gone(self, who):
        return self.at['left'][who][0] if self.at['left'][who] else None

    def reason(self, who):
        return next((line['detail'] for line in self.lines[who] if line['what'] == 'left'), None)

    # ------------------------------------------------------------ the gate, computed anew

    def withdrew(self, who):
        withdrawn = [instant(c['at']) for c in self.world.people[who]['consents'] if c['state'] == 'withdrawn']
        return max(withdrawn) if withdrawn else self.end

    def harmed(self, harm, let_in, now):
        if harm == 'opted_out':  # whoever had opted out before they were let in was not harmed by it
            return sum(self.reason(who) == harm and self.gone(who) <= now and self.withdrew(who) > at for who, at in let_in.items())
        return sum(any(line['what'] == 'ended' and line['detail'] == harm and instant(line['at']) <= now for line in self.lines[who]) for who in let_in)

    def scores(self, who, released, now):
        """What they have answered last, also when the run is over."""
        return [score for at, score in sorted(self.world.ratings[who]) if released <= at <= min(now, released + LIFE)][-1:]

    def evidence(self, wave, now):
        """{rate: (how many, of how many, its lower bound)}, answers."""
        let_in = {who: at for who, at in self.let_in(wave).items() if at <= now}
        settled = {who: at for who, at in let_in.items() if at <= now - SETTLE}
        goals = sum(any(at <= now for at in [*self.at['goal'][who], *self.at['counted'][who]]) for who in settled)
        answers = [score for who, at in settled.items() for score in self.scores(who, at, now)]
        rates = {harm: (self.harmed(harm, let_in, now), len(let_in)) for harm in HOLDS}
        rates['goal'] = (goals, len(settled))
        return {name: (k, of, lower(k, of)) for name, (k, of) in rates.items()}, answers

    def harm(self, wave, now):
        rates, _ = self.evidence(wave, now)
        return [name for name, limit in HOLDS.items() if rates[name][1] >= self.of['least'] and rates[name][2] > limit]

    def lacks(self, wave, now):
        """What is missing for the next one to be opened."""
        rates, answers = self.evidence(wave, now)
        return (['settled'] * (rates['goal'][1] < self.of['least']) + ['goal'] * (rates['goal'][2] <= GOAL_ABOVE) + self.harm(wave, now) +
                ['score'] * (not answers or sum(answers) / len(answers) <= SCORE_ABOVE))

    # ------------------------------------------------------------ sentences

    def wave_membership(self, name, wave):
        """everybody is enrolled in the rollout once, in the wave that is theirs, and the pilot is full at its limit"""
        for who in self.queue(wave):
            if self.at['enrolled'][who] != [self.world.rollout[who].replace(microsecond=0)]:
                self.fault(name, who, 'enrolled', *self.at['enrolled'][who], 'not', self.world.rollout[who])
            told = {line['detail'] for line in self.lines[who] if line['what'] in ('door', 'released')}
            if told != {wave}:
                self.fault(name, who, 'belongs to', wave, 'and was in', told)
        if wave == 'pilot' and len(self.let_in(wave)) > self.of['most']:
            self.fault(name, wave, len(self.let_in(wave)), 'let in')

    def wave_closed(self, name, wave):
        """nobody of a wave hears anything before it is open and before their turn"""
        for who in self.queue(wave):
            released = self.at['released'][who]
            if len(released) > 1 or (released and not (self.opened[wave] and self.opened[wave][0] <= released[0])):
                self.fault(name, who, 'let in', *released, wave, 'opened', *self.opened[wave])
            for line in self.lines[who]:
                if line['what'] in ('send', 'sent') and not (released and instant(line['at']) >= released[0]):
                    self.fault(name, who, line['what'], line['at'], 'let in', *released)

    def wave_order(self, name, wave):
        """they are let in in the order of their enrolment, at the rate of their wave and no slower, in its window"""
        let_in, rate = self.let_in(wave), self.of.get(wave)
        times = list(let_in.values())
        gap = HOUR / rate if rate else None
        if times != sorted(times):
            self.fault(name, wave, 'out of order:', *[who for who, a, b in zip(let_in, times, times[1:]) if a > b][:5])
        turn = None
        for who, at in let_in.items():
            free = max(self.opened[wave][0] if self.opened[wave] else at, self.world.rollout[who].replace(microsecond=0))
            soonest = self.window(wave, max(free, turn + gap if gap and turn else free))
            rested = bool(gap and turn and soonest > turn + gap + MADE_UP)
            turn = at - MADE_UP if gap and at > soonest + gap else soonest - MADE_UP * rested
            if at < soonest - SECOND or self.window(wave, at) != at:
                self.fault(name, who, wave, 'let in', at, 'not before', soonest)
            if at > soonest + 2 * SECOND:
                self.fault(name, who, wave, 'let in', at, 'could have been', soonest)
        if gap and times and len(times) > (times[-1] - times[0] + MADE_UP) / gap + 1:
            self.fault(name, wave, len(times), 'in', times[-1] - times[0])

    def window(self, wave, at):
        """The first instant from then on at which it lets people in."""
        here = at.astimezone(zoneinfo.ZoneInfo('Europe/Vienna'))
        if wave not in WINDOW or (here.hour >= WINDOW[wave] and self.workday(here.date()) == here.date()):
            return at
        day = self.workday(here.date() if here.hour < WINDOW[wave] else here.date() + DAY)
        return datetime.datetime(day.year, day.month, day.day, WINDOW[wave], tzinfo=here.tzinfo).astimezone(datetime.timezone.utc)

    def wave_door(self, name, wave):
        """who stands at the door leaves it only by being let in or for what the sequence says, and once open nobody is forgotten there"""
        for who in self.queue(wave):
            if self.gone(who) and not self.at['released'][who] and self.reason(who) not in ('opted_out', 'closed', 'blocked'):
                self.fault(name, who, 'left at the door:', self.reason(who))
        waiting = [who for who in self.queue(wave) if not self.at['released'][who] and not self.gone(who)]
        if len(waiting) != self.told[wave]['door']:
            self.fault(name, wave, 'has', self.told[wave]['door'], 'at the door, and', len(waiting), 'wait')
        if waiting and self.opened[wave] and not self.held[wave] and self.opened[wave][0] < self.end - 30 * DAY:
            self.fault(name, wave, 'open since', self.opened[wave][0], 'with', len(waiting), 'at the door')

    def wave_opened(self, name, wave):
        """a gate opens the next wave on the evidence that the definition asks for, once, and within an hour of it"""
        place, states = WAVES.index(wave), self.opened[wave]
        if len(states) > 1:
            self.fault(name, wave, 'opened', *states)
        if place == 0:
            return
        before = WAVES[place - 1]
        if states:
            missing, late = self.lacks(before, states[0]), self.lacks(before, states[0] - LOOKS)
            if missing:
                self.fault(name, wave, 'opened', states[0], 'though', before, 'lacks', *missing, self.evidence(before, states[0]))
            if not late:
                self.fault(name, wave, 'opened', states[0], 'though', before, 'was good an hour before')
        elif self.opened[before] and not self.held[before] and not self.lacks(before, self.end - LOOKS):
            self.fault(name, wave, 'never opened, though', before, 'is good')

    def wave_held(self, name, wave):
        """harm holds a wave at once, and nothing else does; from then on nobody of it is let in or written to"""
        for at in self.held[wave]:
            if not self.harm(wave, at):
                self.fault(name, wave, 'held', at, 'without harm', self.evidence(wave, at)[0])
            for who in self.queue(wave):
                after = [line for line in self.lines[who] if line['what'] in ('released', 'send') and instant(line['at']) > at]
                if after:
                    self.fault(name, who, after[0]['what'], after[0]['at'], 'held', at)
        first = self.held[wave][0] if self.held[wave] else None
        when = sorted({at for who in self.let_in(wave) for at in [*self.at['released'][who], *self.at['left'][who]]})
        harm = next((at for at in when if self.harm(wave, at)), None)
        if harm and not (first and first <= harm + 2 * SECOND):
            self.fault(name, wave, 'does harm since', harm, self.harm(wave, harm), 'held', first)

    def wave_figures(self, name, wave):
        """what the report says of a wave is what its people have done"""
        rates, answers = self.evidence(wave, self.end)
        told = self.told[wave]
        state = 'held' if self.held[wave] else 'open' if self.opened[wave] else 'closed'
        if (told['state'], told['released']) != (state, len(self.let_in(wave))):
            self.fault(name, wave, told['state'], told['released'], 'not', state, len(self.let_in(wave)))
        for what, (reached, of, low) in rates.items():
            one = told['figures'][what]
            if (one['reached'], one['of']) != (reached, of) or abs(one['low'] - low) > 1e-6:
                self.fault(name, wave, what, one, 'not', reached, of, low)
        score = told['figures']['answered_score']
        if score['of'] != len(answers) or (answers and abs(score['mean'] - sum(answers) / len(answers)) > 1e-9):
            self.fault(name, wave, score, 'not', len(answers), sum(answers) / max(1, len(answers)))


def tell(waves):
    for wave in WAVES:
        rates, answers = waves.evidence(wave, waves.end)
        mean = '%.2f of %d' % (sum(answers) / len(answers), len(answers)) if answers else '-'
        print('%-17s %-6s %4d let in of %4d; goal %d of %d, at least %.1f %%; opted out %d; score %s'
              % (wave, waves.told[wave]['state'], len(waves.let_in(wave)), len(waves.queue(wave)), *rates['goal'][:2], 100 * rates['goal'][2],
                 rates['opted_out'][0], mean), *['%s %s' % (what, at.isoformat()) for at, what, name, _ in waves.log if name == wave])
