"""Random operations against the real program, and every verdict beside model.py, which knows nothing of it.

TIDINGS_OPERATIONS says how many (default 3,500), TIDINGS_SEED which ones; TIDINGS_MODEL_ON=cluster puts the program on a Redis Cluster.

A step is a batch of operations, one for an account at most, or a jump of the clock; then all that is due is awaited, and what the
traces say is put to the model.  Where several deliveries of an account were decided together, some order of them must explain all.
"""
import datetime, json, os, random, time, unittest

from cluster import Cluster
from house import FlowTest, SmtpServer
from model import DAY, LETTERS, MINUTE, Model, Person, ms

OPERATIONS = int(os.environ.get('TIDINGS_OPERATIONS', '3500'))
SEED = int(os.environ.get('TIDINGS_SEED', '0')) or random.randrange(1, 10 ** 6)
ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Pacific/Chatham', None]
CHANNELS = ['email', 'sms', 'in_app']
ON_CLUSTER = os.environ.get('TIDINGS_MODEL_ON') == 'cluster'
SLACK = 5000  # ms by which a rolling window's end may differ: the program counts from its own reservation

CAPS = [
    {'name': 'day', 'max': 3, 'per': '1 calendar day', 'over': 'defer'},
    {'name': 'week', 'kinds': ['marketing'], 'max': 2, 'per': '7d', 'over': 'drop'},
    {'name': 'news', 'categories': ['news'], 'max': 4, 'per': '1 calendar month', 'over': 'drop', 'keep': {'high': 1}},
    {'name': 'texts', 'channels': ['sms'], 'max': 1, 'per': '36h', 'over': 'next_channel'},
    {'name': 'shop', 'sources': ['shop'], 'max': 2, 'per': '2d', 'over': 'defer', 'exempt': {'kinds': ['service']}},
    {'name': 'calm', 'max': 5, 'per': '1 calendar week', 'over': 'drop', 'count_only': {'kinds': ['transactional']}, 'keep': {'high': 1, 'normal': 1}},
    {'name': 'low', 'priorities': ['low'], 'max': 1, 'per': '12h', 'over': 'defer'},
    {'name': 'company', 'scope': 'account', 'roles': ['decider'], 'max': 1, 'per': '1 calendar day', 'over': 'defer'},
    {'name': 'firm', 'scope': 'account', 'max': 6, 'per': '3d', 'over': 'drop', 'count_only': {'categories': ['account']}},
    {'name': 'desk', 'scope': 'account', 'channels': ['email'], 'max': 4, 'per': '2d', 'over': 'next_channel'},
]
QUIET = [{}, {'from': '21:00', 'to': '08:00'}, {'from': '22:00', 'to': '07:30', 'days': ['mon', 'wed', 'fri', 'sun'], 'channels': ['email', 'sms', 'in_app']}, {'from': '12:00', 'to': '13:00', 'channels': ['sms']}]
WINDOWS = [[], [{'kinds': ['marketing'], 'from': '09:00', 'to': '12:00'}, {'kinds': ['marketing'], 'from': '14:00', 'to': '18:30'}], [{'channels': ['sms'], 'from': '20:00', 'to': '02:00', 'days': ['sat', 'sun', 'tue']}]]
CATEGORIES = {'account': {'kind': 'transactional'}, 'onboarding': {'kind': 'service'}, 'news': {'kind': 'marketing', 'consent': 'opt_out'}, 'offers': {'kind': 'marketing'},
              'brief': {'kind': 'service', 'quiet_hours': 'drop'}, 'prompt': {'kind': 'service', 'consent': 'none', 'quiet_hours': 'ignore', 'max_lateness': '2h', 'late': 'drop'}}
REASONS = {'expiry': 'expired', 'address': 'no_address', 'suppression': 'suppressed_address', 'preference': 'preference', 'quiet_hours': 'quiet_hours'}


def text(at):
    return datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')


class Evaluation:
    """What one attempt left in the trace: when, and the gate that stopped it (None: none did)."""

    def __init__(self, id, channel, facts):
        self.id, self.channel, self.at = id, channel, ms(facts[0]['at'])
        last = facts[-1]
        self.gate = None if last['gate'] == 'outcome' else last['gate']
        self.verdict, self.detail = last['verdict'], last['detail']
        self.refused = last['gate'] == 'outcome' and last['verdict'] == 'failed'

    def agrees(self, said):
        gate, status, reason, until, goes_on = said
        if gate != self.gate:
            return False
        if gate is None:
            return True
        if {'scheduled': 'deferred', 'suppressed': 'suppressed', 'expired': 'expired'}[status] != self.verdict:
            return False
        if gate == 'cap' and self.detail['over'] != reason[len('cap:'):]:
            return False
        if gate == 'consent' and (self.detail['state'] == 'withdrawn') != (reason == 'opted_out'):
            return False
        recorded = self.detail.get('until') or self.detail.get('pause_until')
        return until is None or abs(ms(recorded) - until) <= (SLACK if gate == 'cap' else 0)

    def __repr__(self):
        return '%s %s at %s: %s %s %s' % (self.id, self.channel, datetime.datetime.fromtimestamp(self.at / 1000, datetime.timezone.utc), self.gate, self.verdict, self.detail)


class Refusal:
    def __init__(self, message, delivery, at):
        self.message, self.delivery, self.at = message, delivery, at


class ModelTest(FlowTest):
    def test_every_verdict_is_the_models(self):
        self.random = random.Random(SEED)
        self.begin()
        counts = dict.fromkeys(('enqueue', 'grant', 'withdraw', 'suppress', 'release', 'prefer', 'cancel', 'rules', 'clock', 'kill'), 0)
        self.counts, began = counts, time.monotonic()
        while sum(counts.values()) < OPERATIONS:
            draw = self.random.random()
            if draw < 0.32:
                self.advance()
            elif draw < 0.36:
                self.change_rules()
            else:
                self.operate(kill=self.random.random() < 0.02)
        self.sweep()
        decided = {k: v for k, v in sorted(self.decided.items())}
        print('seed %d: %s in %.0f s; %d verdicts agree: %s' % (SEED, counts, time.monotonic() - began, sum(decided.values()), decided))

    # ------------------------------------------------------------ the world

    def begin(self):
        smtp = SmtpServer(script=lambda verb, arg, session: '550 5.1.1 nobody of this name' if verb == 'RCPT' and arg.startswith('bounce') else None)
        self.cluster, redis = None, {}
        if ON_CLUSTER:
            self.cluster = Cluster()
            self.addCleanup(self.cluster.close)
            redis = {'redis': {'url': self.cluster.url}}
        self.h = self.start('--role', 'api', smtp=smtp, **redis, accounts={'a%d' % i: {'timezone': ZONES[i % 6]} for i in range(0, 24, 2)},
                            worker={'lease': '1s'}, email={'suppress': ['5.1.1']}, retention={'messages': '3650d', 'events': '3650d'}, **self.rules())
        self.workers = [self.worker() for _ in range(2)]
        self.model, self.seen, self.decided, self.offset = Model(self.h.settings), {}, {}, 0
        self.lost = set()  # (message, channel) whose outcome died with the worker
        for i in range(72):
            profile = {'email': ('bounce%d' if i % 17 == 3 else 'p%d') % i + '@example.com', 'phone': '+4917000000%02d' % i, 'account': 'a%d' % (i // 3), 'role': self.random.choice(['decider', 'clerk']), 'timezone': self.random.choice(ZONES)}
            if i % 11 == 5:
                profile.pop(self.random.choice(['email', 'phone']))
            if i % 13 == 1:
                profile.pop('account')
            profile = {k: v for k, v in profile.items() if v}
            self.assertEqual(self.h.http('PUT', '/v1/recipients/p%d' % i, profile)[0], 200)
            self.model.people['p%d' % i] = Person(profile)

    def worker(self):
        """One that hears signals."""
        started = self.h.log().count('"service.started"')
        p = self.h.start('--role', 'worker', wait=False)
        self.h.until(lambda: self.h.log().count('"service.started"') > started, what='a worker has started')
        return p

    def rules(self):
        today = datetime.date.today()
        quiet = dict(self.random.choice(QUIET))
        if self.random.random() < 0.5:
            quiet['blackout'] = sorted(str(today + datetime.timedelta(self.random.randrange(1, 200))) for _ in range(8))
        caps = [c for c in CAPS if self.random.random() < 0.55]
        categories = {**CATEGORIES, 'news': {**CATEGORIES['news'], 'kind': self.random.choice(['marketing', 'service'])}}
        return {'categories': categories, 'caps': caps, 'quiet_hours': quiet or {'channels': ['email']}, 'windows': self.random.choice(WINDOWS)}

    def now(self):
        return int(time.time() * 1000) + self.offset

    def count(self, what):
        self.counts[what] += 1

    # ------------------------------------------------------------ operations

    def operate(self, kill):
        accounts = self.random.sample(range(24), 18)
        lines, who_of = [], []
        for account in accounts:
            who = 'p%d' % (3 * account + self.random.randrange(3))
            what = self.random.choices(['enqueue', 'grant', 'withdraw', 'suppress', 'release', 'prefer', 'cancel'], [70, 9, 7, 2, 2, 7, 3])[0]
            if what == 'enqueue':
                lines.append(self.draft(who))
                who_of.append(who)
            elif getattr(self, what)(who) is False:
                continue
            self.count(what)
        if lines:
            status, text = self.h.http('POST', '/v1/messages', raw='\n'.join(json.dumps(l) for l in lines).encode(), type='application/x-ndjson')
            for line, who, answer in zip(lines, who_of, [json.loads(l) for l in text.splitlines()] if isinstance(text, str) else [text]):
                self.assertIn('id', answer)
                at = ms(answer['send_at'])
                self.model.accept(answer['id'], who, line, at, at + {'1h': 3600000, '30h': 108000000}[line['ttl']] if 'ttl' in line else None)
        if kill:
            self.kill()
        self.settle()

    def draft(self, who):
        r = self.random
        line = {'recipient': who, 'template': 'order-update', 'data': {'order': '1', 'parcels': 2}, 'category': r.choice(list(CATEGORIES)), 'channels': r.sample(CHANNELS, r.choice([1, 1, 2, 3])),
                'priority': r.choice(['high', 'normal', 'normal', 'low']), 'source': r.choice(['shop', 'crm'])}
        if r.random() < 0.4:
            line['strategy'] = 'first'
        if r.random() < 0.35:
            line['delay'] = r.choice(['10m', '1h', '7h', '1d', '3d'])
        if r.random() < 0.2:
            line['ttl'] = r.choice(['1h', '30h'])
        return line

    def consent(self, who, state):
        r = self.random
        category, channel = r.choice(['onboarding', 'news', 'offers', 'brief', '*']), r.choice(['*', '*', 'email', 'sms', 'in_app'])
        at = self.now() if r.random() < 0.5 else self.now() // 3 // DAY * 3 * DAY  # entries come late, and at one instant
        status, receipt = self.h.http('POST', '/v1/recipients/%s/consents' % who, {'category': category, 'channel': channel, 'state': state, 'source': 'model', 'at': text(at)})
        self.assertEqual(status, 200, receipt)
        cancelled = self.model.change_consent(who, category, channel, state, at, self.now())
        if state == 'withdrawn':
            self.assertEqual((sorted(receipt['cancelled']), receipt['in_flight']), (sorted(cancelled), []))

    def grant(self, who):
        self.consent(who, 'granted')

    def withdraw(self, who):
        self.consent(who, 'withdrawn')

    def addresses(self, who):
        profile = self.model.people[who].profile
        return [profile[k] for k in ('email', 'phone') if k in profile]

    def suppress(self, who):
        address = self.random.choice(self.addresses(who))
        self.assertEqual(self.h.http('PUT', '/v1/suppressions/' + address.replace('+', '%2B'), {'reason': 'manual'})[0], 200)
        self.model.suppressed.add(address)

    def release(self, who):
        for address in set(self.addresses(who)) & self.model.suppressed:
            self.assertEqual(self.h.http('DELETE', '/v1/suppressions/' + address.replace('+', '%2B'))[0], 200)
            self.model.suppressed.discard(address)

    def prefer(self, who):
        r = self.random
        wish = r.choice([{'max_per_week': r.choice([1, 2, None])}, {'channels': r.sample(CHANNELS, r.choice([2, 3, 3]))},
                         {'pause_until': r.choice([None, time.strftime('%Y-%m-%dT%H:00:00Z', time.gmtime(self.now() / 1000 + r.choice([7200, 200000])))])}])
        self.assertEqual(self.h.http('PATCH', '/v1/recipients/%s/preferences' % who, wish)[0], 200)
        if 'channels' in wish:
            self.model.set_profile(who, self.now(), **wish)
        else:
            self.model.set_profile(who, self.now(), preferences={k: v for k, v in {**self.model.people[who].profile.get('preferences', {}), **wish}.items() if v is not None})

    def cancel(self, who):
        pending = self.model.pending(who)
        if not pending:
            return False
        id = self.random.choice(pending).id
        self.assertEqual(self.h.http('DELETE', '/v1/messages/' + id)[0], 200)
        self.model.cancel(id)

    def kill(self):
        victim = self.random.randrange(2)
        time.sleep(self.random.uniform(0, 0.03))
        self.workers[victim].kill()
        self.workers[victim].wait()
        self.h.processes.remove(self.workers[victim])
        self.workers[victim] = self.worker()
        self.count('kill')

    def change_rules(self):
        self.settle()  # what is due already is decided by the old ones
        processes, done = [self.h.processes[0]] + self.workers, self.reloads()
        count = lambda: min(now - before for now, before in zip(self.reloads(), done))
        before = {k: self.h.settings[k] for k in ('categories', 'caps', 'quiet_hours', 'windows')}
        self.h.settings.update(self.rules())
        self.model.reached.clear()
        self.h.write()
        for p in processes:
            p.send_signal(1)
        self.h.until(lambda: count() >= len(processes), what='all have read the rules')
        if before != {k: self.h.settings[k] for k in before}:
            self.model.look_again(self.model.messages.values(), self.now())
        self.settle()
        self.count('rules')

    def reloads(self):
        """How many have read all anew, and how many have let go what waited for that; a worker that starts says the second too."""
        log = self.h.log()
        return log.count('"reload.done","what":"templates"'), log.count('"gates.asked_again","what":"templates"')

    def advance(self):
        """All connections are cut, and whoever comes back is told another time."""
        self.offset += self.random.choice([10 * MINUTE, 40 * MINUTE, 3 * 60 * MINUTE, 9 * 60 * MINUTE, 26 * 60 * MINUTE, 3 * DAY])
        real = int(time.time() * 1000)
        clock = ('HSET', 'tidings:{0}:meta', 'rate', '1', 'base_real', str(real), 'base_service', str(real + self.offset))
        if self.cluster:
            self.cluster.call('{0}', *clock)
            for port in self.cluster.ports:
                self.cluster.at(port, 'CLIENT', 'KILL', 'TYPE', 'normal')
        else:
            self.h.redis(*clock)
            self.h.redis('CLIENT', 'KILL', 'TYPE', 'normal')
        self.count('clock')
        self.settle()

    # ------------------------------------------------------------ what was decided

    def everywhere(self, script, *args):
        """What a script answers on each server about the partitions that it holds, which are its first argument."""
        if not self.cluster:
            return [self.h.redis('EVAL', script, '0', ' '.join(map(str, range(16))), *args)]
        if not hasattr(self, 'holds'):
            self.holds = {}
            for p in range(16):
                self.holds.setdefault(self.cluster.owner(self.cluster.slot('{%d}' % p)), []).append(str(p))
        return [self.cluster.at(port, 'EVAL', script, '0', ' '.join(partitions), *args) for port, partitions in self.holds.items()]

    QUIET = """local n = 0 for p in string.gmatch(ARGV[1], '%d+') do local P = 'tidings:{'..p..'}:' n = n + redis.call('ZCARD', P..'lease') + redis.call('LLEN', P..'aq')
        for _, L in ipairs({'e', 's', 'i'}) do for lane = 0, 2 do n = n + redis.call('ZCOUNT', P..'due:'..L..lane, '-inf', ARGV[2]) end end end return n"""

    def settle(self):
        self.h.until(lambda: [self.h.http('GET', path)[0] for path in ('/v1/recipients/p0', '/readyz')] == [200, 200], what='the API is back')
        self.h.until(lambda: set(self.everywhere(self.QUIET, str(self.now() + 600))) == {'0'}, 30, 'all that is due is decided')
        for id, channel in sorted(self.lost):
            self.sent_again(id, channel)
        groups = {}
        for m in list(self.model.messages.values()):
            if any(d.due <= self.now() for d in m.open()):
                groups.setdefault(self.model.people[m.who].profile.get('account', m.who), []).extend(self.evaluations(m))
        for group in groups.values():
            self.explain(group)
        late = [(m.id, d.channel) for m in self.model.messages.values() for d in m.open() if d.due <= self.now() - 1000]
        self.assertFalse(late, 'seed %d: the model expected these to be decided: %s' % (SEED, [(vars(self.model.messages[i].deliveries[c]), self.h.message(i)) for i, c in late]))

    def shown(self, id):
        """The message; who was just cut off from Redis may say so once."""
        return self.h.until(lambda: (lambda status, message: status == 200 and message)(*self.h.http('GET', '/v1/messages/' + id)), what='the message is shown')

    def evaluations(self, m):
        """Those that are new, of all channels."""
        trace = [t for t in self.shown(m.id)['trace'] if t['channel']]
        found = []
        for channel in m.channels:
            facts, groups = [t for t in trace if t['channel'] == channel], []
            for i, fact in enumerate(facts):
                if fact['gate'] == 'expiry':
                    groups.append([fact])
                elif groups and fact['at'] == groups[-1][0]['at'] and not (fact['gate'] == 'consent' and 'withdrawn_while' in fact['detail']):
                    groups[-1].append(fact)
                elif fact['gate'] == 'outcome' and 'after the point' in str(fact['detail'].get('detail')):
                    groups.append([fact])  # the worker died, and with it what it had to say
                    self.lost.add((m.id, channel))
                    break  # it may have arrived: it counts as sent, whatever becomes of the next try
            key = (m.id, channel)
            found += [Evaluation(m.id, channel, g) for g in groups[self.seen.get(key, 0):]]
            self.seen[key] = len(groups)
        return found

    def sent_again(self, id, channel):
        """A next try of what was lost takes the place with it: that is when they had it for certain."""
        facts = [t for t in self.shown(id)['trace'] if t['channel'] == channel]
        lost = next(i for i, fact in enumerate(facts) if 'after the point' in str(fact['detail'].get('detail')))
        tries = [ms(fact['at']) for fact in facts[lost:] if fact['gate'] == 'expiry']
        if tries and any(fact['gate'] == 'outcome' and fact['verdict'] == 'sent' for fact in facts[lost:]):
            self.model.sent_again(id, channel, tries[-1])
            self.lost.discard((id, channel))

    def explain(self, group):
        """Finds an order in which the model says all that was said."""
        group.sort(key=lambda e: e.at)
        if self.place(group, [0]):
            for e in group:
                self.decided[e.gate or 'sent'] = self.decided.get(e.gate or 'sent', 0) + 1
            return
        said = ['%r, the model: %s' % (e, self.model.verdict(self.model.messages[e.id], self.model.messages[e.id].deliveries[e.channel], e.at) if e.channel in self.model.messages[e.id].deliveries else 'not yet') for e in group]
        who = {self.model.messages[e.id].who for e in group}
        self.fail('seed %d: no order explains\n%s\n%s\n%s' % (SEED, '\n'.join(said), '\n'.join('%s %s %s' % (w, self.model.people[w].profile, [vars(s) for s in self.model.people[w].sends]) for w in who),
                  json.dumps({k: self.h.settings[k] for k in ('caps', 'quiet_hours', 'windows')})))

    def place(self, left, tries):
        """left: evaluations, and refusals of a relay, each of which comes some time behind the evaluation that sent it."""
        if not left:
            return True
        tries[0] += 1
        for e in left if tries[0] < 5000 else []:
            after = self.step(e, left)
            if not after:
                continue
            back, more = after
            if self.place([o for o in left if o is not e] + more, tries):
                return True
            back()
        return False

    def step(self, e, left):
        """Takes one of them, when the model agrees: how to take it back, and what follows from it; else None."""
        if isinstance(e, Refusal):
            back = self.model.remember(e.message, e.delivery)
            self.model.refuse(e.message, e.delivery, e.at)
            return back, []
        m = self.model.messages[e.id]
        d = m.deliveries.get(e.channel)
        if not d or d.status != 'scheduled' or any(o.at < e.at and (o.id, o.channel) == (e.id, e.channel) for o in left if o is not e and isinstance(o, Evaluation)):
            return None
        said = self.model.verdict(m, d, e.at)
        if not e.agrees(said):
            return None
        back = self.model.remember(m, d)
        self.model.take(m, d, said, e.at)
        if e.refused:
            self.assertTrue(self.model.people[m.who].profile['email'].startswith('bounce'), e)
        return back, [Refusal(m, d, e.at)] if e.refused else []

    # ------------------------------------------------------------ the end

    def sweep(self):
        """Every message's state, and every reservation, are what the model says."""
        for m in self.model.messages.values():
            shown = {d['channel']: d for d in self.shown(m.id)['deliveries']}
            self.assertEqual(set(shown), set(m.deliveries), m.id)
            for channel, d in m.deliveries.items():
                status, reason = shown[channel]['status'], shown[channel]['reason']
                if status == 'unknown':
                    status, reason = 'sent', None
                self.assertEqual((status, reason), (d.status, d.reason), 'seed %d: %s' % (SEED, self.shown(m.id)))
        kept = self.now() - 35 * DAY
        for kind, name, sends in [('h', w, p.sends) for w, p in self.model.people.items()] + [('ah', a, s) for a, s in self.model.accounts.items()]:
            held = '\n'.join(self.everywhere("for p in string.gmatch(ARGV[1], '%d+') do local k = 'tidings:{'..p..'}:'..ARGV[2] if redis.call('EXISTS', k) == 1 then local o = {} for _, x in ipairs(redis.call('ZRANGEBYSCORE', k, ARGV[3], '+inf')) do o[#o + 1] = string.sub(x, 1, 23) end return o end end return {}",
                                            '%s:%s' % (kind, name), str(kept))).split('\n')
            expected = sorted(s.id + LETTERS[s.channel] for s in sends if s.at > kept)
            self.assertEqual(sorted(x for x in held if x), expected, name)


if __name__ == '__main__':
    unittest.main()
