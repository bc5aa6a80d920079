"""What the policy is meant to say, written a second time: simple, slow, and without a look at the program.

The model reads the same configuration, is told of the same operations, and answers for one delivery at one instant (ms) what every
gate would say.  Quiet hours are found by walking from minute to minute, caps by counting a list.  It keeps its own time from nothing:
every instant is handed in.
"""
import datetime, zoneinfo

MINUTE, DAY = 60000, 86400000
LETTERS = {'email': 'e', 'sms': 's', 'in_app': 'i'}
UNITS = {'w': 7 * DAY, 'd': DAY, 'h': 3600000, 'm': MINUTE, 's': 1000}


def ms(text):
    """RFC 3339 to milliseconds."""
    return round(datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp() * 1000)


def duration(text):
    return int(text[:-1]) * UNITS[text[-1]]


def local(at, zone):
    return datetime.datetime.fromtimestamp(at / 1000, zoneinfo.ZoneInfo(zone))


def instant(naive, zone):
    """A local time that is skipped becomes the end of the gap, one that exists twice the earlier."""
    z = zoneinfo.ZoneInfo(zone)
    first = naive.replace(tzinfo=z, fold=0)
    back = first.astimezone(datetime.timezone.utc).astimezone(z).replace(tzinfo=None)
    if back != naive:  # within a gap: the first minute that exists again
        step = naive
        while step.replace(tzinfo=z).astimezone(datetime.timezone.utc).astimezone(z).replace(tzinfo=None) != step:
            step += datetime.timedelta(minutes=1)
        first = step.replace(tzinfo=z, fold=0)
    return round(first.timestamp() * 1000)


class Delivery:
    def __init__(self, channel, due):
        self.channel, self.due, self.status, self.reason, self.next = channel, due, 'scheduled', None, due


class Message:
    def __init__(self, id, who, fields, kind, send_at, expires, channels):
        self.id, self.who, self.fields, self.send_at, self.expires, self.channels = id, who, fields, send_at, expires, channels
        self.first, self.kind = fields.get('strategy') == 'first', kind
        self.deliveries = {c: Delivery(c, send_at) for c in (channels[:1] if self.first else channels)}

    def open(self):
        return [d for d in self.deliveries.values() if d.status == 'scheduled']


class Person:
    def __init__(self, profile):
        self.profile, self.consents, self.sends, self.seq = profile, {}, [], 0


class Send:
    def __init__(self, id, channel, kind, priority, category, source, role, at):
        self.id, self.channel, self.kind, self.priority, self.category, self.source, self.role, self.at = id, channel, kind, priority, category, source, role, at


class Model:
    def __init__(self, config):
        self.config, self.people, self.messages, self.accounts, self.suppressed, self.reached = config, {}, {}, {}, set(), {}

    # ------------------------------------------------------------ what the configuration means

    def category(self, name):
        c = dict(self.config['categories'][name])
        kind = c['kind']
        c.setdefault('consent', {'transactional': 'none', 'service': 'opt_out', 'marketing': 'opt_in'}[kind])
        c.setdefault('quiet_hours', {'transactional': 'ignore', 'service': 'defer', 'marketing': 'defer'}[kind])
        return c

    def account_zone(self, who):
        account = self.config.get('accounts', {}).get(self.people[who].profile.get('account'), {})
        return account.get('timezone') or self.config['defaults']['timezone']

    def zone(self, who):
        return self.people[who].profile.get('timezone') or self.account_zone(who)

    # ------------------------------------------------------------ operations

    def order(self, who, channels, first):
        own = self.people[who].profile.get('channels')
        return [c for c in own or [] if c in channels] + [c for c in channels if c not in (own or [])] if first else list(channels)

    def accept(self, id, who, fields, send_at, expires):
        self.messages[id] = Message(id, who, fields, self.category(fields['category'])['kind'], send_at, expires, self.order(who, fields['channels'], fields.get('strategy') == 'first'))

    def set_profile(self, who, at, **changes):
        person = self.people[who]
        before, own = person.profile.get('channels'), self.own_limit(who)
        chosen = before, dict(person.profile.get('preferences', {}))
        for key, value in changes.items():
            if value is None:
                person.profile.pop(key, None)
            else:
                person.profile[key] = value
        if own is None and self.own_limit(who) is not None:
            self.recall(who, at)
        if chosen != (person.profile.get('channels'), person.profile.get('preferences', {})):
            self.look_again(self.pending(who), at)
        if changes.get('channels') and changes['channels'] != before:
            for m in self.pending(who):
                self.follow(m, changes['channels'], at)

    def own_limit(self, who):
        return self.people[who].profile.get('preferences', {}).get('max_per_week')

    def recall(self, who, at):
        """The person's own limit counts what was sent in the week before it was set, too."""
        person = self.people[who]
        for m in self.messages.values():
            for d in m.deliveries.values() if m.who == who else []:
                if d.status == 'sent' and d.sent_at > at - 7 * DAY and not any((s.id, s.channel) == (m.id, d.channel) for s in person.sends):
                    person.sends.append(self.send_of(m, d, d.sent_at))

    def look_again(self, messages, at):
        """The basis of what a gate said has changed: it is asked again."""
        for m in messages:
            for d in m.open():
                if d.reason in ('preference', 'quiet_hours') or (d.reason or '').startswith('cap:'):
                    d.due = d.next = max(at, m.send_at)

    def follow(self, m, order, at):
        if not m.first:
            return
        waiting = [d for d in m.open()]
        untried = [c for c in m.channels if c not in m.deliveries or m.deliveries[c] in waiting]
        tried = [c for c in m.channels if c not in untried]
        untried = [c for c in order if c in untried] + [c for c in untried if c not in order]
        m.channels = tried + untried
        if waiting and waiting[0].channel != untried[0]:
            del m.deliveries[waiting[0].channel]
            m.deliveries[untried[0]] = Delivery(untried[0], max(at, m.send_at))

    def pending(self, who):
        return [m for m in self.messages.values() if m.who == who and m.open()]

    def consent(self, who, category, channel):
        best = None
        for key in ((category, channel), (category, '*'), ('*', channel), ('*', '*')):
            entry = self.people[who].consents.get(key)
            if entry and (best is None or entry[1] > best[1] or (entry[1] == best[1] and (entry[0] == 'withdrawn' or (entry[2] > best[2] and best[0] != 'withdrawn')))):
                best = entry
        return best[0] if best else None

    def change_consent(self, who, category, channel, state, at, now):
        """What the receipt must name as cancelled: messages that have ended with it, else single deliveries."""
        person, key = self.people[who], (category, channel)
        person.seq += 1
        held = person.consents.get(key)
        if state == 'withdrawn':  # holds from its arrival on against everything that arrived before it
            at = max([now] + [entry[1] for entry in person.consents.values()])
        at = min(at, now) if state == 'granted' else at
        if not held or at > held[1] or (at == held[1] and (state == 'withdrawn' or held[0] != 'withdrawn')):
            person.consents[key] = (state, at, person.seq)
        cancelled = []
        for m in self.pending(who) if state == 'withdrawn' else []:
            name = m.fields['category']
            if self.category(name)['consent'] == 'none' or category not in ('*', name):
                continue
            done = []
            for d in m.open():
                if channel in ('*', d.channel) and self.consent(who, name, d.channel) == 'withdrawn':
                    self.end(m, d, 'suppressed', 'opted_out', channel != '*', now)
                    done.append(d.channel)
            if done:
                cancelled += [m.id] if not m.open() else ['%s-%s' % (m.id, LETTERS[c]) for c in done]
        return cancelled

    def cancel(self, id):
        for d in self.messages[id].open():
            d.status, d.reason, d.next = 'cancelled', 'cancelled', None

    def end(self, m, d, status, reason, goes_on, at):
        d.status, d.reason, d.next = status, reason, None
        left = [c for c in m.channels[m.channels.index(d.channel) + 1:] if c not in m.deliveries]
        if m.first and goes_on and left:
            m.deliveries[left[0]] = Delivery(left[0], max(at, m.send_at))  # at its own time

    # ------------------------------------------------------------ time

    def reachable(self, category, channel, zone, at):
        c, when = self.category(category), local(at, zone)
        quiet, clock = self.config.get('quiet_hours', {}), '%02d:%02d' % (when.hour, when.minute)
        if c['quiet_hours'] == 'ignore':
            return True
        if channel in quiet.get('channels', ['email', 'sms']) and quiet:
            if '%d-%02d-%02d' % (when.year, when.month, when.day) in quiet.get('blackout', []):
                return False
            if quiet.get('from') and self.within(quiet, when, clock):
                return False
        mine = [w for w in self.config.get('windows', []) if c['kind'] in w.get('kinds', ['service', 'marketing']) and channel in w.get('channels', ['email', 'sms'])]
        return not mine or any(self.within(w, when, clock) for w in mine)

    def within(self, span, when, clock):
        days = span.get('days', 'all')
        chosen = lambda day: days == 'all' or ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'][day.weekday()] in days
        yesterday = when.replace(tzinfo=None) - datetime.timedelta(days=1)
        if span['from'] < span['to']:
            return span['from'] <= clock < span['to'] and chosen(when)
        return (clock >= span['from'] and chosen(when)) or (clock < span['to'] and chosen(yesterday))

    def reach(self, category, channel, zone, at):
        """0 for now, else the first minute at which they may be reached."""
        key = category, channel, zone, at - at % MINUTE
        if key not in self.reached:
            minute = at - at % MINUTE
            while not self.reachable(category, channel, zone, minute):
                minute += MINUTE
            self.reached[key] = minute if minute > at else 0
        return self.reached[key]

    # ------------------------------------------------------------ caps

    def selects(self, rule, s, counting):
        few = lambda key: rule.get(key, {})
        singled = lambda f: s.kind in f.get('kinds', []) or s.category in f.get('categories', []) or s.source in f.get('sources', [])
        if singled(few('exempt')):
            return False
        if 'roles' in rule and rule.get('scope') == 'account' and s.role not in rule['roles']:
            return False
        if singled(few('count_only')):
            return counting
        kinds = rule.get('kinds', ['transactional', 'service', 'marketing'] if 'categories' in rule else ['service', 'marketing'])
        return (s.kind in kinds and s.channel in rule.get('channels', list(LETTERS)) and s.priority in rule.get('priorities', ['high', 'normal', 'low']) and
                s.category in rule.get('categories', [s.category]) and s.source in rule.get('sources', [s.source]))

    def window(self, rule, zone, at):
        """Since when sends count, and when a calendar window ends (None for rolling ones)."""
        words = rule['per'].split()
        if len(words) == 1:
            return at - duration(rule['per']) + 1, None
        day = local(at, zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        if words[2] == 'day':
            start, after = day, day + datetime.timedelta(days=1)
        elif words[2] == 'week':
            start = day - datetime.timedelta(days=day.weekday())
            after = start + datetime.timedelta(days=7)
        else:
            start = day.replace(day=1)
            after = (start + datetime.timedelta(days=32)).replace(day=1)
        return instant(start, zone), instant(after, zone)

    def ask(self, rule, sends, this, zone, at):
        """None when there is room, else when there will be some."""
        since, after = self.window(rule, zone, at)
        counted = [s.at for s in sends if s.at >= since and (s.id, s.channel) != (this.id, this.channel) and self.selects(rule, s, True)]
        keep = rule.get('keep', {})
        room = rule['max'] - (keep.get('high', 0) if this.priority != 'high' else 0) - (keep.get('normal', 0) if this.priority == 'low' else 0)
        if len(counted) < room:
            return None
        if after:
            return after
        return (sorted(counted)[len(counted) - room] if room > 0 else at) + duration(rule['per'])

    def strongest(self, rules, sends, this, zone, at):
        worst = None
        for rule in rules:
            until = self.ask(rule, sends, this, zone, at)
            rank = {'drop': 2, 'next_channel': 1, 'defer': 0}[rule.get('over', 'drop')]
            if until is not None and (worst is None or rank > worst[0] or (rank == worst[0] == 0 and until > worst[2])):
                worst = (rank, rule, until)
        return worst

    def send_of(self, m, d, at):
        p = self.people[m.who].profile  # for caps a message stays of the kind with which it was accepted
        priority = 'high' if m.kind == 'transactional' else m.fields.get('priority', 'normal')
        return Send(m.id, d.channel, m.kind, priority, m.fields['category'], m.fields.get('source', ''), p.get('role', ''), at)

    def cap(self, m, d, at):
        p, this = self.people[m.who], self.send_of(m, d, at)
        if this.kind == 'transactional':
            return None
        rules = [r for r in self.config.get('caps', []) if self.selects(r, this, False)]
        own = p.profile.get('preferences', {}).get('max_per_week')
        mine = [r for r in rules if r.get('scope') != 'account' and this.role in r.get('roles', [this.role])]
        worst = self.strongest(mine + ([{'name': 'own', 'max': own, 'per': '7d'}] if own is not None else []), p.sends, this, self.zone(m.who), at)
        account = p.profile.get('account')
        if worst or not account:
            return worst
        return self.strongest([r for r in rules if r.get('scope') == 'account'], self.accounts.get(account, []), this, self.account_zone(m.who), at)

    # ------------------------------------------------------------ the gates

    def verdict(self, m, d, at):
        """(gate, status, reason, until, goes on to the next channel); gate None: it may be sent."""
        p, c = self.people[m.who].profile, self.category(m.fields['category'])
        if m.expires and m.expires <= at:
            return 'expiry', 'expired', 'expired', None, False
        if c.get('late') == 'drop' and at - max(m.send_at, d.due) > duration(c['max_lateness']):
            return 'expiry', 'expired', 'expired', None, False
        address = {'email': p.get('email'), 'sms': p.get('phone'), 'in_app': True}[d.channel]
        if not address:
            return 'address', 'suppressed', 'no_address', None, True
        if address in self.suppressed:
            return 'suppression', 'suppressed', 'suppressed_address', None, True
        if c['consent'] != 'none':
            state = self.consent(m.who, m.fields['category'], d.channel)
            if state == 'withdrawn':
                return 'consent', 'suppressed', 'opted_out', None, True
            if c['consent'] == 'opt_in' and state != 'granted':
                return 'consent', 'suppressed', 'no_consent', None, True
        if p.get('channels') is not None and d.channel not in p['channels']:
            return 'preference', 'suppressed', 'preference', None, True
        pause = p.get('preferences', {}).get('pause_until')
        if pause and c['kind'] != 'transactional' and ms(pause) > at:
            return 'preference', 'scheduled', 'preference', ms(pause), False
        until = self.reach(m.fields['category'], d.channel, self.zone(m.who), at)
        if until and c['quiet_hours'] == 'drop':
            return 'quiet_hours', 'suppressed', 'quiet_hours', None, False
        if until:
            return 'quiet_hours', 'scheduled', 'quiet_hours', until, False
        full = self.cap(m, d, at)
        if full:
            over, reason = full[1].get('over', 'drop'), 'cap:' + full[1]['name']
            return ('cap', 'scheduled', reason, full[2], False) if over == 'defer' else ('cap', 'suppressed', reason, None, over == 'next_channel')
        return None, 'sent', None, None, False

    def remember(self, m, d):
        """How things stand with a person, an account and a delivery; call it to have them so again."""
        person, account = self.people[m.who], self.people[m.who].profile.get('account')
        held, deliveries, sends, shared, suppressed = dict(vars(d)), dict(m.deliveries), list(person.sends), self.accounts.get(account), set(self.suppressed)
        shared = None if shared is None else list(shared)

        def back():
            vars(d).update(held)
            m.deliveries, person.sends, self.suppressed = deliveries, sends, suppressed
            if shared is not None:
                self.accounts[account] = shared
            else:
                self.accounts.pop(account, None)
        return back

    def take(self, m, d, said, at):
        """Makes a verdict true."""
        gate, status, reason, until, goes_on = said
        person, account = self.people[m.who], self.people[m.who].profile.get('account')
        if status == 'scheduled':
            until = min(until, m.expires) if m.expires else until
            d.reason, d.next, d.due = reason, until, until
        elif gate:
            self.end(m, d, status, reason, goes_on, at)
        else:
            d.status, d.reason, d.next = 'sent', None, None
            send = self.send_of(m, d, at)
            shared = account and any(r.get('scope') == 'account' and self.selects(r, send, True) for r in self.config.get('caps', []))  # what no rule counts is not kept
            d.sent_at = at
            anybody = [{k: v for k, v in r.items() if k != 'roles'} for r in self.config.get('caps', [])]
            counted = (self.own_limit(m.who) is not None and m.kind != 'transactional') or any(self.selects(r, send, True) for r in anybody)
            for sends in ([person.sends] if counted else []) + ([self.accounts.setdefault(account, [])] if shared else []):
                sends[:] = [s for s in sends if (s.id, s.channel) != (m.id, d.channel)] + [send]

    def sent_again(self, id, channel, at):
        """What was lost on the way has been sent once more: its place is one of then."""
        account = self.people[self.messages[id].who].profile.get('account')
        for sends in (self.people[self.messages[id].who].sends, self.accounts.get(account, [])):
            for send in sends:
                if (send.id, send.channel) == (id, channel):
                    send.at = at

    def refuse(self, m, d, at):
        """The relay said never: the place is free again, and the next channel may have it."""
        account = self.people[m.who].profile.get('account')
        for sends in (self.people[m.who].sends, self.accounts.get(account, [])):
            sends[:] = [s for s in sends if (s.id, s.channel) != (m.id, d.channel)]
        self.end(m, d, 'failed', 'provider_rejected', True, at)
        self.suppressed.add(self.people[m.who].profile['email'])
