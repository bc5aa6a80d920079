"""Edges of sequences: who hears nothing, pauses over a change of the clocks, many at once, half a year of waiting, other zone data, deaths.

Every run that a test has seen is decided once more when the test is over, from what its trace says, and comes out the same (S65, D3).
"""
import collections, concurrent.futures, datetime, hashlib, json, math, os, random, shutil, signal, struct, subprocess, threading, time, unittest, zoneinfo

from house import BINARY, DROP, SLOWNESS, person
from test_sequences import NDJSON, UTC, Journey, define, house, moment, seconds, text_of, write

S = math.ceil(SLOWNESS)
BERLIN, NEW_YORK = zoneinfo.ZoneInfo('Europe/Berlin'), zoneinfo.ZoneInfo('America/New_York')
CALM = '  - {id: calm, wait: 30d}\n'
AHEAD = r'''#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
static volatile long long *ahead;
int gettimeofday(struct timeval *t, void *z)
{
    int r = syscall(SYS_gettimeofday, t, z);
    if (!ahead) {
        int f = open(getenv("AHEAD"), O_RDONLY);
        ahead = mmap(0, 8, PROT_READ, MAP_SHARED, f, 0);
        close(f);
    }
    t->tv_sec += *ahead;
    return r;
}
'''  # what Redis takes for the time: the clock's, and so many seconds as the file says
ELSEWHERE = r'''#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#define AT "/usr/share/zoneinfo/"
static const char *there(const char *path, char *room)
{
    if (!path || strncmp(path, AT, strlen(AT)))
        return path;
    snprintf(room, 4096, "%s/%s", getenv("ELSEWHERE"), path + strlen(AT));
    return room;
}
#define MODE mode_t mode = 0; if (flags & O_CREAT) { va_list l; va_start(l, flags); mode = va_arg(l, int); va_end(l); } char room[4096]
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
int open(const char *path, int flags, ...) { MODE; return REAL(open)(there(path, room), flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return REAL(open64)(there(path, room), flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE; return REAL(openat)(dir, there(path, room), flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE; return REAL(openat64)(dir, there(path, room), flags, mode); }
FILE *fopen(const char *path, const char *how) { char room[4096]; return REAL(fopen)(there(path, room), how); }
FILE *fopen64(const char *path, const char *how) { char room[4096]; return REAL(fopen64)(there(path, room), how); }
int stat(const char *path, struct stat *s) { char room[4096]; return REAL(stat)(there(path, room), s); }
int access(const char *path, int how) { char room[4096]; return REAL(access)(there(path, room), how); }
'''  # where a process finds the zones


def at(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


def days(n):
    return datetime.timedelta(days=n)


def library(directory, name, source):
    path = os.path.join(directory, name + '.so')
    subprocess.run(['cc', '-shared', '-fPIC', '-x', 'c', '-', '-o', path, '-ldl'], input=source.encode(), check=True)
    return path


class Clock:
    """A house on a Redis of its own, whose clock shows `now` and goes on from there; it keeps what it has said, and can die and come again."""
    PARTITIONS = 4

    def __init__(self, definitions, now=None, **settings):
        self.h, self.environment = house(definitions, **settings), {}
        self.file, self.path = os.path.join(self.h.dir, 'ahead'), os.path.join(self.h.dir, 'r.sock')
        with open(self.file, 'wb') as out:
            out.write(bytes(8))
        self.set(now or datetime.datetime.now(UTC))
        self.ahead = library(self.h.dir, 'ahead', AHEAD)
        os.makedirs(os.path.join(self.h.dir, 'r'))
        self.redis_start()
        self.h.redis_alive = lambda: False
        self.h.redis = lambda *w: subprocess.run(['redis-cli', '-s', self.path, *w], capture_output=True).stdout.decode('utf-8', 'replace').rstrip('\n')
        self.h.settings['redis'] = {'url': 'unix:' + self.path, 'partitions': self.PARTITIONS}
        self.h.write()

    def redis_start(self):
        words = ['redis-server', '--port', '0', '--unixsocket', self.path, '--dir', os.path.join(self.h.dir, 'r'), '--save', '']
        self.redis = subprocess.Popen([*words, '--appendonly', 'yes', '--appendfsync', 'always'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      env={**os.environ, 'LD_PRELOAD': self.ahead, 'AHEAD': self.file})
        self.h.until(lambda: subprocess.run(['redis-cli', '-s', self.path, 'ping'], capture_output=True).stdout == b'PONG\n', what='redis is there')

    def set(self, instant):
        self.by = round((instant - datetime.datetime.now(UTC)).total_seconds())
        with open(self.file, 'r+b') as out:
            out.write(struct.pack('<q', self.by))

    def now(self):
        return datetime.datetime.now(UTC) + seconds(self.by)

    def start(self, *options):
        """As the house does, with an environment of its own."""
        h = self.h
        if not self.environment:
            return h.start(*options)
        h.serial += 1
        with open(os.path.join(h.dir, 'serve-%d.log' % h.serial), 'wb') as log:
            h.processes.append(subprocess.Popen([BINARY, 'serve', '--config', h.config, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                env={**os.environ, **self.environment}))
        h.until(h.ready, what='the service is ready')

    def close(self):
        self.h.close()
        self.redis.kill()
        self.redis.wait()


class Edges(Journey):
    AGAIN = 20  # so many runs of a test are decided once more

    def setUp(self):
        self.seen = {}  # run → whose

    def note(self, who, answer):
        self.seen.update((d['run'], who) for d in answer.get('did', ()) if 'run' in d)
        return answer

    def tearDown(self):
        runs = sorted(self.seen)
        self.assertEqual([said for said in self.each(self.replayed, random.Random(1).sample(runs, min(len(runs), self.AGAIN))) if said], [])

    def replayed(self, run):
        """Nothing, or what came out otherwise."""
        try:
            out = self.h.cli('sequence', 'why', run, '--recipient', self.seen[run], '--replay')
        except AssertionError as wrong:
            return str(wrong)
        return '' if ' 0 came out otherwise' in out else out

    def each(self, do, things, crew=4):
        with concurrent.futures.ThreadPoolExecutor(crew) as pool:
            return list(pool.map(do, things))

    # doing

    def event(self, who, name, **fields):
        return self.note(who, super().event(who, name, **fields))

    def events(self, events):
        """Many in one body; their answers, in their order."""
        status, text = self.h.http('POST', '/v1/events', raw=('\n'.join(map(json.dumps, events)) + '\n').encode(), type=NDJSON)
        self.assertIn(status, (200, 202), text)
        answers = [json.loads(line) for line in text.splitlines()] if isinstance(text, str) else [text]
        self.assertEqual(len(answers), len(events))
        return [self.note(e['recipient'], a) for e, a in zip(events, answers)]

    def people(self, *people):
        self.h.cli('recipient', 'import', stdin='\n'.join(map(json.dumps, people)) + '\n')

    def order(self, name, what, **body):
        status, answer = self.h.http('POST', '/v1/sequences/%s/%s' % (name, what), body)
        self.assertIn(status, (200, 202), answer)
        return answer

    def why(self, who, run):
        return self.h.cli_json('sequence', 'why', run, '--recipient', who)

    # a clock that the test sets

    def clocked(self, definitions, now=None, **settings):
        """A house on a Redis whose clock the test sets; not yet started."""
        self.clock = Clock(definitions, now, **settings)
        self.addCleanup(self.clock.close)
        self.h, self.now = self.clock.h, self.clock.now
        return self.h

    def jump(self, instant):
        """It is that instant.  The service begins anew there, for one that sleeps looks at the clock every few seconds only."""
        self.assertGreaterEqual(instant, self.now() - seconds(1))
        self.h.stop()
        self.clock.set(instant)
        self.clock.start()

    def due(self, who, name=None):
        """When their one run goes on by itself."""
        self.h.until(lambda: [r.get('until') for r in self.active(who, name)] not in ([], [None]), what=lambda: self.runs(who))
        return moment(self.active(who, name)[0]['until'])

    def mailed(self, who):
        """When which mail was sent, as their messages say."""
        return [(m['template'], moment(d['sent_at'])) for m in sorted(self.listed(who), key=lambda m: m['send_at'])
                for d in m['deliveries'] if d['channel'] == 'email' and d['sent_at']]


class Heldout(Edges):
    """S19: who is held out walks the same way, hears nothing, and is counted."""
    DEFINITIONS = """
sequence: quiet
category: onboarding
trigger: {event: quiet.begun}
holdout: {name: unheard, share: 30%}
goal: {event: first.value, ends: false}
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - {id: nudge, send: {template: nudge, channels: [in_app, email]}}
  - id: asked
    branch:
      - when: {steps.hello.status: holdout, steps.nudge.status: holdout}
        steps: [{id: silence, wait: 30d}]
      - {else: true, steps: [{id: noise, wait: 30d}]}
"""
    SETTINGS = {'caps': [{'name': 'daily', 'kinds': ['service'], 'max': 1, 'per': '1 calendar day', 'over': 'drop'}]}

    @staticmethod
    def bucket(who):
        return int.from_bytes(hashlib.sha256(('unheard|' + who).encode()).digest()[:8], 'big') % 10000

    def find(self, prefix, held):
        return next(who for who in ('%s-%d' % (prefix, i) for i in range(1000)) if (self.bucket(who) < 3000) == held)

    def test_S19_what_was_not_sent_counts_nothing_in_caps_and_writes_nothing(self):
        held, heard = self.who(self.find('a', True)), self.who(self.find('a', False))
        answers = {who: self.begin(who, 'quiet.begun') for who in (held, heard)}
        self.assertEqual([answers[who].get('message') is None for who in (held, heard)], [True, False], answers)
        self.at_step(held, 'silence')
        self.at_step(heard, 'noise')
        self.assertEqual([self.active(who)[0]['holdout'] for who in (held, heard)], [True, False])
        self.assertEqual((self.told(held), self.mails(held), self.told(heard)), ({}, [], {'hello': 1, 'nudge': 1}))
        self.assertEqual(self.timeline(held)['planned'], [])
        self.assertEqual([k for k in self.h.redis('KEYS', '*:h:' + held).split() if k], [])
        for who, status, reason in ((heard, 'suppressed', 'cap:daily'), (held, 'sent', None)):
            message = self.h.settled(self.h.send(who, 'thanks', {}, channels=['email']))
            self.assertEqual((message['status'], message['deliveries'][0]['reason']), (status, reason), message)
        self.assertEqual((self.mails(held), self.mails(heard)), (['thanks'], ['hello']))

    def test_S19_who_is_held_out_is_drawn_by_the_name_and_for_nobody_else(self):
        people = [self.who('b-%d' % i) for i in range(60)]
        self.events([{'recipient': who, 'name': 'quiet.begun'} for who in people])
        self.assertEqual([who for who in people if self.active(who)[0]['holdout']], [who for who in people if self.bucket(who) < 3000])

    def test_S19_nothing_holds_up_who_is_held_out(self):
        held = self.who(self.find('c', True), preferences={'pause_until': '2040-01-01T00:00:00Z'})
        self.begin(held, 'quiet.begun')
        self.at_step(held, 'silence')
        bare = self.find('d', True)
        self.h.http('PUT', '/v1/recipients/' + bare, {'id': bare})
        self.begin(bare, 'quiet.begun')
        self.at_step(bare, 'silence')  # and not as somebody without an address

    def test_S19_their_goals_count(self):
        held, heard = self.who(self.find('e', True)), self.who(self.find('e', False))
        figures = lambda: {group: self.h.http('GET', '/v1/sequences/quiet/report')[1][group]['reached'] for group in ('goal', 'holdout')}
        before = figures()
        for who in (held, heard):
            self.begin(who, 'quiet.begun')
            self.entry(self.event(who, 'first.value'), 'goal')
            self.assertTrue(self.active(who)[0]['goal'])
        self.assertEqual(figures(), {group: n + 1 for group, n in before.items()})


class Resumed(Edges):
    """S49 where the clocks change during the pause: waits of four days, begun in Berlin at noon of the Friday before, paused an hour later until Monday."""
    FORM = 'sequence: %s\ncategory: onboarding\ntrigger: {event: %s.begun}\nreentry: always\nsteps:\n  - {id: pause, wait: %s}\n' \
           '  - {id: nudge, send: {template: nudge, channels: [email]}}\n'
    WAYS, WAITS = ('keep', 'shift', 'restart'), {'calendar': '{days: 4, at: "09:00"}', 'elapsed': '4d'}

    def over(self, begin):
        """What was due before and what is due afterwards, and how long it was paused at least and at most, and until when, of each."""
        names = ['%s-%s' % (kind, way) for kind in self.WAITS for way in self.WAYS]
        self.clocked('---\n'.join(self.FORM % (n, n, self.WAITS[n.split('-')[0]]) for n in names), begin)
        self.clock.start()
        before, spans = {}, {}
        for name in names:
            self.begin(self.who(name, timezone='Europe/Berlin'), name + '.begun')
            before[name] = self.due(name)
        for instant, what in ((begin + seconds(3600), 'pause'), (begin + days(2) + seconds(14 * 3600), 'resume')):
            self.jump(instant)
            for name in names:
                t = self.now()
                self.order(name, what, **({'waits': name.split('-')[1]} if what == 'resume' else {}))
                spans[name, what] = t, self.now()
        long = lambda pause, resume: (resume[0] - pause[1], resume[1] - pause[0], *resume)
        return before, {name: self.due(name) for name in names}, {name: long(spans[name, 'pause'], spans[name, 'resume']) for name in names}

    def check(self, *sunday):
        day = lambda n, hour: datetime.datetime(*sunday, hour, tzinfo=BERLIN) + days(n)  # by the clock on the wall
        before, after, spans = self.over(day(-2, 12).astimezone(UTC))
        self.assertEqual({before['calendar-' + way] for way in self.WAYS}, {day(2, 9)})
        with self.subTest('the clock on the wall'):
            self.assertEqual([after['calendar-' + way].astimezone(BERLIN) for way in self.WAYS[:2]], [day(2, 9), day(5, 9)])
            self.assertIn(after['calendar-restart'].astimezone(BERLIN), (day(2, 9), day(5, 9)))
        short = seconds(0.002)
        for way, least, most in (('keep', before['elapsed-keep'], before['elapsed-keep']), ('restart', *(r + days(4) for r in spans['elapsed-restart'][2:])),
                                 ('shift', *(before['elapsed-shift'] + s for s in spans['elapsed-shift'][:2]))):
            with self.subTest('elapsed', way=way):
                self.assertTrue(least - short <= after['elapsed-' + way] <= most + short, (least, after['elapsed-' + way], most))
        for due in sorted(set(after.values())):
            if due > self.now() + seconds(5):
                self.jump(due - seconds(1))
            for name in [n for n, d in after.items() if d == due]:
                self.left(name, 'completed')
                [(template, sent)] = self.mailed(name)
                self.assertTrue(due <= sent < due + seconds(5 * S), (name, due, sent))

    def test_S49_where_an_hour_is_left_out(self):
        self.check(2027, 3, 28)

    def test_S49_where_an_hour_comes_twice(self):
        self.check(2027, 10, 31)


class Crowds(Edges):
    """X6: a hundred and fifty at once leave while their messages are enqueued behind quiet hours, which are lifted afterwards."""
    N = 150
    FORM = 'sequence: crowd\ncategory: onboarding\ntrigger: {event: crowd.begun}\n%sexit: [{event: crowd.closed, %sreason: closed}]\nsteps:\n' \
           '  - {id: hello, send: {template: hello, channels: [email]}}\n' + CALM

    def crowd(self, of='', more=''):
        """So many with a message of it, and three more who will stay."""
        h, t = self.build(self.FORM % (more, of)), datetime.datetime.now(UTC)
        h.settings['categories'] = {'onboarding': {'kind': 'service', 'quiet_hours': 'defer'}, 'account': {'kind': 'transactional'}}
        h.settings['quiet_hours'] = {'from': (t - seconds(7200)).strftime('%H:%M'), 'to': (t + seconds(7200)).strftime('%H:%M')}
        h.write()
        h.start()
        self.crew, self.stay = ['c-%d' % i for i in range(self.N)], ['s-%d' % i for i in range(3)]
        self.people(*(person(who, account='acme') for who in self.crew), *map(person, self.stay))
        answers = self.events([{'recipient': who, 'name': 'crowd.begun'} for who in self.crew + self.stay])
        self.mine = {who: self.entry(answer, 'enrolled')['message'] for who, answer in zip(self.crew + self.stay, answers)}
        self.h.reason(self.mine['s-2'], 'quiet_hours')

    def gone(self):
        """All have left now; when what is enqueued goes, it goes to those who have stayed."""
        self.assertEqual({who for who in self.crew if self.active(who)}, set())
        self.assertEqual(collections.Counter(self.h.message(self.mine[who])['status'] for who in self.crew), {'cancelled': self.N})
        self.h.stop()
        self.h.settings.pop('quiet_hours')
        self.h.write()
        self.h.start()
        for who in self.stay:
            self.sent(who, 'hello')
        self.h.cli('queue', '--wait')
        self.assertEqual(sorted(m.recipient for m in self.h.smtp.received), [who + '@example.com' for who in self.stay])

    def receipts(self, dids):
        self.assertEqual([len(d['cancelled']) for d in dids], [1] * self.N)
        self.assertEqual({id[:22] for d in dids for id in d['cancelled']}, {self.mine[who] for who in self.crew})
        self.assertEqual([d['in_flight'] for d in dids], [[]] * self.N)

    def test_X6_each_by_an_event_of_their_own_in_one_body(self):
        self.crowd()
        self.receipts([self.entry(a, 'left') for a in self.events([{'recipient': who, 'name': 'crowd.closed'} for who in self.crew])])
        self.gone()

    def test_X6_all_by_one_event_of_their_account(self):
        self.crowd('of: account, ')
        status, answer = self.h.http('POST', '/v1/events', {'account': 'acme', 'name': 'crowd.closed', 'id': 'x-1'})
        self.assertEqual((status, answer['members']), (202, self.N), answer)
        self.h.until(lambda: not any(self.active(who) for who in self.crew), what='all have left')
        self.gone()

    def test_X6_all_by_an_operator_who_stops_it(self):
        self.crowd()
        for who in self.stay:  # they are told otherwise
            self.mine[who] = self.h.send(who, 'hello', {}, channels=['email'], category='onboarding')
            self.h.cli('sequence', 'exit', 'crowd', '--recipient', who)
        answer = self.order('crowd', 'stop')
        self.assertEqual({k: answer[k] for k in ('runs', 'cancelled', 'in_flight')}, {'runs': self.N, 'cancelled': self.N, 'in_flight': 0})
        self.gone()

    def test_X6_all_by_a_condition(self):
        self.crowd()
        where = ('--where', '{recipient.account: acme}')
        count = self.h.cli_json('sequence', 'exit', 'crowd', *where)
        self.assertEqual((count['would_exit'], self.h.cli_json('sequence', 'exit', 'crowd', *where, '--confirm', count['confirm'])['exited']), (self.N, self.N))
        self.gone()

    def test_X6_twenty_runs_of_one_person_by_one_event(self):
        self.crowd(more='key: event.n\nreentry: always\n')
        self.who('one')
        runs = [self.entry(a, 'enrolled') for a in self.events([{'recipient': 'one', 'name': 'crowd.begun', 'data': {'n': str(i)}} for i in range(20)])]
        did = [d for d in self.event('one', 'crowd.closed')['did'] if d['what'] == 'left']
        self.assertEqual([(d['run'], [id[:22] for id in d['cancelled']]) for d in did], [(r['run'], [r['message']]) for r in runs])
        self.assertEqual({self.h.message(r['message'])['status'] for r in runs}, {'cancelled'})


class Long(Edges):
    """X25: two hundred days, in a Redis whose clock is set on, so that what has a shorter life there is gone."""
    HEAD = 'sequence: %s\ncategory: onboarding\ntrigger: {event: %s.begun}\nreentry: %s\n%ssteps:\n' \
           '  - {id: hello, send: {template: hello, channels: [email]}}\n'
    TELL = '  - {id: tell, send: {template: tell, channels: [email], data: {what: {from: trigger.data.what}}}}\n'

    def test_X25_a_wait_of_two_hundred_days_comes_true_and_knows_what_it_began_with(self):
        self.clocked('---\n'.join((
            self.HEAD % ('plain', 'plain', 'never', '') + '  - {id: pause, wait: 200d}\n'
            '  - {id: which, branch: [{when: {steps.hello.status: sent}, steps: [{id: fine, send: {template: nudge, channels: [email]}}]}]}\n' + self.TELL,
            self.HEAD % ('asked', 'asked', 'never', 'goal: {event: asked.won, where: {event.what: {path: trigger.data.what}}, ends: true}\n') +
            '  - {id: ask, wait_for: {any: [{event: asked.answered, where: {event.what: {path: trigger.data.what}}, as: good}], timeout: 300d}, '
            'then: {good: [{id: thanks, send: {template: thanks, channels: [email]}}]}}\n',
            self.HEAD % ('dated', 'dated', 'never', '') + '  - {id: pause, wait: {until: trigger.data.day, at: "09:00"}}\n' + self.TELL,
            self.HEAD % ('digest', 'digest', 'always', '') + '  - {id: gather, collect: {until: 200d}}\n'
            '  - {id: enough, branch: [{when: {steps.gather.total: 3}, steps: [{id: fine, send: {template: nudge, channels: [email]}}]}]}\n',
            self.HEAD % ('after', 'after', '{after: 250d}', ''))))
        self.clock.start()
        people = {name: self.who(name) for name in ('plain', 'asked', 'dated', 'digest', 'after')}
        day = (self.now() + days(200)).date().isoformat()
        for name in people:
            self.begin(name, name + '.begun', data={'what': 'gold', 'day': day})
            self.sent(name, 'hello')
        for _ in range(2):
            self.entry(self.event('digest', 'digest.begun', data={'what': 'more'}), 'gathered')
        for name, step in (('plain', 'pause'), ('asked', 'ask'), ('dated', 'pause'), ('digest', 'gather')):
            self.at_step(name, step)
        due = {name: self.due(name) for name in ('plain', 'dated', 'digest')}
        lives = {k: int(self.h.redis('TTL', k)) for k in self.h.redis('--scan').split() if k.rsplit(':', 1)[1] in people or ':definition:' in k}
        # events and their ids live as long as retention.events says; of the trace the next test speaks
        self.assertEqual({k: n for k, n in lives.items() if n != -1 and n < 200 * 86400 and k.split(':')[2] not in ('qe', 'qx', 'qz', 'qt')}, {})
        self.jump(min(due.values()) - seconds(2))
        for name in sorted(due, key=due.get):
            if due[name] > self.now() + seconds(30):
                self.jump(due[name] - seconds(1))
            self.left(name, 'completed')
            self.assertTrue(due[name] <= self.mailed(name)[-1][1] < due[name] + seconds(5 * S), (name, due, self.mailed(name)))
        self.assertEqual({name: self.mails(name)[1:] for name in due}, {'plain': ['nudge', 'tell gold'], 'dated': ['tell gold'], 'digest': ['nudge']})
        self.assertEqual(self.event('asked', 'asked.answered', data={'what': 'silver'})['did'], [])
        self.entry(self.event('asked', 'asked.answered', data={'what': 'gold'}), 'matched')
        self.sent('asked', 'thanks')
        for name in ('plain', 'asked'):
            self.assertEqual([(d['what'], d['why']) for d in self.event(name, name + '.begun')['did']], [('not_enrolled', 'reentry')])
        self.assertEqual([(d['what'], d['why']) for d in self.event('after', 'after.begun')['did']], [('not_enrolled', 'reentry')])
        self.seen.clear()  # of traces the next test speaks
        self.jump(self.now() + days(60))
        self.begin('after', 'after.begun')

    def test_X25_an_exit_after_two_hundred_days_finds_the_run_and_its_trace_is_whole(self):
        """4.1: the trace lives for retention.events after the end of the run, not from when it was last written on."""
        self.clocked(self.HEAD % ('plain', 'plain', 'never', 'exit: [{event: plain.closed, reason: closed}]\n') + '  - {id: pause, wait: 300d}\n')
        self.clock.start()
        run = self.begin(self.who('ada'), 'plain.begun')['run']
        self.at_step('ada', 'pause')
        before = self.why('ada', run)
        self.assertEqual([line[4] for line in before][:2], ['enrolled', 'send'], before)
        self.jump(self.now() + days(200))
        self.assertEqual(self.why('ada', run), before)
        self.assertEqual(self.entry(self.event('ada', 'plain.closed'), 'left')['why'], 'closed')
        self.assertEqual(self.why('ada', run)[:len(before)], before)


class Together(Edges):
    """What comes at once: history and the present, an event and what it moves, more events than are kept."""
    DEFINITIONS = """
sequence: order
category: onboarding
trigger: {event: order.placed}
goal: {event: order.paid, since: -30d, ends: true}
steps:
  - {id: hello, send: {template: hello, channels: [in_app]}}
  - {id: calm, wait: 30d}
---
sequence: visits
category: onboarding
trigger: {event: visits.begun}
reentry: always
steps:
  - {id: ready, wait_for: {any: [{event: visits.over, as: over}], timeout: 30d}}
  - id: enough
    branch:
      - {when: {happened: {event: visit.made, since: run, min: 201}}, steps: [{id: many, end: many}]}
      - {else: true, steps: [{id: few, end: few}]}
---
sequence: step
category: onboarding
trigger: {event: step.begun}
steps:
  - id: ready
    wait_for: {any: [{event: step.done, as: done}], timeout: 30d}
    then: {done: [{id: tell, send: {template: tell, channels: [email], data: {what: {from: steps.ready.event.what}}}}]}
  - {id: calm, wait: 30d}
"""

    def test_X2_the_next_step_comes_in_the_answer_to_the_event(self):
        run = self.begin(self.who('a1'), 'step.begun')['run']
        did = self.entry(self.event('a1', 'step.done', data={'what': 'rain'}), 'matched')
        self.assertEqual((did['run'], [m['id'] for m in self.listed('a1')]), (run, [did['message']]))  # no waiting
        message = self.h.settled(did['message'])
        matched, sent = ([line[0] for line in self.why('a1', run) if line[4] == what] for what in ('matched', 'send'))
        self.assertEqual(matched, sent)  # one instant: one script
        self.assertLess(abs(moment(message['accepted_at']).timestamp() * 1000 - sent[0]), 50 * SLOWNESS)
        self.assertEqual(self.mails('a1'), ['tell rain'])

    def test_X28_live_events_and_their_history_at_once(self):
        """Each id is taken by one of the doors, and who has a run has one."""
        people = [self.who('b-%d' % i) for i in range(60)]
        live = [{'recipient': who, 'name': 'order.placed', 'id': 'o-1'} for who in people]
        past = [{'recipient': who, 'name': 'order.placed', 'id': 'h-%d' % i, 'backfill': True, 'at': '2026-01-0%dT10:00:00Z' % (i + 1)}
                for who in people for i in range(3)]
        both = [{**e, 'backfill': True} for e in live]
        bodies = [live, past, live[::-1], past[::-1], both, live]
        answers = self.each(lambda body: list(zip(body, self.events(body))), bodies, len(bodies))
        told = collections.defaultdict(list)
        for body in answers:
            for event, answer in body:
                told[event['recipient'], event['id']].append((answer['status'], bool(event.get('backfill')), [d['what'] for d in answer['did']]))
        self.assertEqual(len(told), 240)
        for (who, id), said in told.items():
            with self.subTest(who=who, id=id):
                first = [s for s in said if s[0] != 'known']
                self.assertEqual(len(first), 1, said)
                self.assertEqual(first[0][:2] + ('enrolled' in first[0][2],), ('kept', True, False) if first[0][1] else ('taken', False, True))
        for who in people:
            enrolled = sum('enrolled' in s[2] for (whose, _), said in told.items() if whose == who for s in said)
            self.assertEqual((len(self.runs(who)), self.told(who)), (enrolled, {'hello': 1} if enrolled else {}))
        late = [who for who in people if not self.runs(who)]  # of whom the history was first
        for answer in self.events([{'recipient': who, 'name': 'order.placed', 'id': 'o-2'} for who in late]) if late else ():
            self.entry(answer, 'enrolled')
        self.assertEqual({len(self.runs(who)) for who in people}, {1})

    def visited(self, who, n):
        """What was compared after so many visits."""
        run = self.begin(self.who(who), 'visits.begun')['run']
        self.events([{'recipient': who, 'name': 'visit.made', 'id': 'v-%d' % i} for i in range(n)])
        self.entry(self.event(who, 'visits.over'), 'matched')
        return next(line for line in self.why(who, run) if line[4] == 'branch')

    def test_X62_of_201_events_the_oldest_is_gone_and_what_asks_further_back_is_told_as_incomplete(self):
        self.assertNotIn('incomplete', json.dumps(self.visited('c1', 150)))
        said = self.visited('c2', 201)
        self.assertEqual(self.runs('c2')[0]['reason'], 'few', said)  # two hundred are kept
        self.assertIn('incomplete', json.dumps(said))

    def test_X62_the_ids_of_those_that_are_gone_are_known_still(self):
        self.visited('c3', 205)
        self.assertEqual({self.event('c3', 'visit.made', id='v-%d' % i)['status'] for i in (0, 4, 204)}, {'known'})


class Unknown(Edges):
    FORM = 'sequence: %s\ncategory: %s\ntrigger: {event: %s.begun}\nsteps:\n  - {id: hello, send: {template: hello, channels: [email]%s}}\n' \
           '  - {id: which, branch: [{when: {steps.hello.status: unknown}, steps: [{id: nudge, send: {template: nudge, channels: [email]}}]}]}\n' + CALM

    def test_X43_a_message_of_which_nobody_knows_whether_it_came_is_not_sent_again_and_the_run_goes_on(self):
        h = self.build('---\n'.join(self.FORM % (name, category, name, more) for name, category, more in (
            ('held', 'onboarding', ''), ('leaves', 'onboarding', ', on_failed: exit'), ('again', 'account', ''))))
        lost = collections.Counter()

        def script(verb, arg, session):
            if verb == 'BODY' and not lost[arg]:
                lost[arg] += 1
                return DROP
        h.smtp.script = script
        h.start()
        ids = {name: self.begin(self.who(name), name + '.begun')['message'] for name in ('held', 'leaves', 'again')}
        self.assertEqual(h.settled(ids['held'])['status'], 'unknown')
        self.at_step('held', 'calm')
        self.sent('held', 'nudge')
        self.assertEqual([line[3:6] for line in self.why('held', self.runs('held')[0]['id']) if line[4] == 'ended'][0], ['hello', 'ended', 'unknown'])
        self.left('leaves', 'failed')
        # one that resends what may have come does so under the same id, and the run knows of one message
        self.assertEqual(h.settled(ids['again'])['status'], 'sent')
        self.at_step('again', 'calm')
        self.assertEqual(self.told('again'), {'hello': 1})
        h.stop()
        h.start()
        h.cli('queue', '--wait')
        copies = lambda who: collections.Counter(m.parse()['Message-ID'] for m in h.smtp.received if m.recipient == who + '@example.com')
        self.assertEqual(list(copies('held').values()), [1, 1])
        self.assertEqual(list(copies('again').values()), [2])
        self.assertEqual(self.told('held'), {'hello': 1, 'nudge': 1})
        self.assertEqual(h.http('GET', '/v1/sequences/held/report')[1]['steps']['hello'], {'send': 1, 'ended unknown': 1})


class Zones(Edges):
    """X48: the rules of a zone change while people wait for a time there; the process finds its zones in a folder of the test's own."""
    NINE = 'sequence: nine\ncategory: onboarding\ntrigger: {event: nine.begun}\nsteps:\n  - {id: pause, wait: {days: 10, at: "09:00"}}\n' \
           '  - {id: nudge, send: {template: nudge, channels: [email]}}\n'

    def moved(self, begin, to, crew=20):
        """They wait for nine o'clock in Berlin ten days later; meanwhile its clocks become those of another place."""
        self.clocked(self.NINE, begin)
        zones = os.path.join(self.h.dir, 'zones')
        shutil.copytree('/usr/share/zoneinfo', zones, symlinks=True)
        self.clock.environment = {'LD_PRELOAD': library(self.h.dir, 'elsewhere', ELSEWHERE), 'ELSEWHERE': zones, 'ASAN_OPTIONS': 'verify_asan_link_order=0'}
        self.clock.start()
        people = ['z-%d' % i for i in range(crew)]
        self.people(*(person(who, timezone='Europe/Berlin') for who in people))
        self.events([{'recipient': who, 'name': 'nine.begun'} for who in people])
        civil = datetime.datetime(begin.year, begin.month, begin.day, 9) + days(10)
        before, after = (civil.replace(tzinfo=zoneinfo.ZoneInfo(z)).astimezone(UTC) for z in ('Europe/Berlin', to))
        self.assertEqual({self.due(who) for who in people}, {before})
        self.seen.clear()  # what was decided under other rules comes out otherwise
        shutil.copyfile(os.path.join('/usr/share/zoneinfo', to), os.path.join(zones, 'Europe', 'Berlin'), follow_symlinks=True)
        return people, before, after

    def arrive(self, people, due):
        for who in people:
            self.left(who, 'completed')
            [(template, sent)] = self.mailed(who)
            self.assertTrue(due <= sent < due + seconds(10 * S), (who, due, sent))

    def test_X48_a_time_that_has_become_later_is_waited_for(self):
        people, before, after = self.moved(at('2027-06-01T12:00:00Z'), 'Africa/Lagos')  # no summer time any more
        self.assertEqual(after - before, seconds(3600))
        self.jump(before + seconds(2))
        self.h.until(lambda: {self.due(who) for who in people} == {after}, what=lambda: [self.runs(who) for who in people[:2]])
        self.assertEqual({len(self.listed(who)) for who in people}, {0})
        self.jump(after - seconds(1))
        self.arrive(people, after)

    def test_X48_a_time_that_has_become_earlier_is_found_at_the_start(self):
        people, before, after = self.moved(at('2027-01-10T12:00:00Z'), 'Africa/Maputo')  # summer time for ever
        self.assertEqual(before - after, seconds(3600))
        self.jump(after - seconds(2))
        self.arrive(people, after)


class Mass(Edges):
    """X55, X12: very many at once."""
    TOUR = 'sequence: tour\ncategory: onboarding\ntrigger: {event: tour.begun}\n%ssteps:\n%s' \
           '  - {id: nudge, send: {template: nudge, channels: [email]}}\n' + CALM

    def test_X55_what_is_transactional_does_not_wait_behind_three_thousand(self):
        h, n = self.build(self.TOUR % ('', '')), 3000
        h.smtp.script = lambda verb, arg, session: time.sleep(0.002) if verb == 'BODY' else None
        h.start()
        self.people(*(person('t-%d' % i) for i in range(n)), *(person('p-%d' % i) for i in range(12)))
        bodies = [[{'recipient': 't-%d' % i, 'name': 'tour.begun'} for i in range(k, k + 500)] for k in range(0, n, 500)]
        posting = threading.Thread(target=lambda: [self.events(body) for body in bodies])
        posting.start()
        self.h.until(lambda: len(h.smtp.accepted) > 50, what='the first of them are sent')
        behind = []
        for i in range(12):
            if i == 4:
                posting.join()  # all have been enrolled
            before = len(h.smtp.accepted)
            if n - before < n / 3:
                break
            h.send('p-%d' % i, 'hello', {}, channels=['email'], category='account')
            place = lambda: next((k for k, m in enumerate(list(h.smtp.accepted)) if m.recipient == 'p-%d@example.com' % i), None)
            self.h.until(lambda: place() is not None, 60)
            behind.append((before, place()))
        for before, there in behind:
            self.assertLess(there - before, (n - before) / 2, behind)  # most of those who wait are behind it
        posting.join()
        self.assertGreater(len(behind), 2)
        self.h.until(lambda: len(h.smtp.accepted) == n + len(behind), 60, lambda: len(h.smtp.accepted))

    def reload(self):
        define(self.h, 'sequence: probe\ncategory: onboarding\ntrigger: {event: probe.begun}\nsteps:\n' + CALM)
        self.h.processes[0].send_signal(signal.SIGHUP)
        self.who('probe')
        self.h.until(lambda: self.event('probe', 'probe.begun')['did'], what='the reload is done')

    def paced(self, n, pace):
        """All have a mail, and they came at about this pace."""
        self.h.until(lambda: len(self.h.smtp.accepted) == n, 60, lambda: len(self.h.smtp.accepted))
        times = sorted(m.at for m in self.h.smtp.accepted)
        most = max(sum(t <= u < t + 1 for u in times) for t in times)
        self.assertGreater(times[-1] - times[0], 0.6 * n / pace, 'so many in one second: %d' % most)
        self.assertLess(most, 2 * pace)

    def overdue(self, wait, more='', n=500, pace=150):
        """So many who wait, and five days of silence."""
        self.clocked(self.TOUR % (more, '  - {id: pause, wait: %s}\n' % wait), worker={'catch_up': '%d/s' % pace})
        self.clock.start()
        people = ['o-%d' % i for i in range(n)]
        self.people(*map(person, people))
        self.events([{'recipient': who, 'name': 'tour.begun'} for who in people])
        self.jump(self.now() + days(5))
        return n, pace

    def test_S51_those_whose_waits_ended_in_an_outage_go_at_the_pace_of_catch_up(self):
        self.paced(*self.overdue('3d'))

    def test_X12_those_whom_a_shortened_wait_makes_overdue_go_at_the_pace_of_catch_up(self):
        n, pace = self.overdue('7d', 'version: {follow: true}\n')
        define(self.h, self.TOUR % ('version: {follow: true}\n', '  - {id: pause, wait: 3d}\n'))
        self.reload()
        self.paced(n, pace)

    def test_X11_who_stands_at_a_step_that_is_deleted_finishes_it_and_nobody_else_does(self):
        h = self.build(self.TOUR % ('', '  - {id: gone, wait_for: {any: [{event: gone.over, as: over}], timeout: 7d}, '
                                        'then: {over: [{id: bye, send: {template: bye, channels: [email]}}]}}\n'))
        h.start()
        self.begin(self.who('old'), 'tour.begun')
        self.at_step('old', 'gone')
        define(h, self.TOUR % ('', ''))
        self.reload()
        h.stop()
        h.start()
        self.begin(self.who('new'), 'tour.begun')
        self.sent('new', 'nudge')
        self.assertEqual(self.event('new', 'gone.over')['did'], [])
        self.at_step('old', 'gone')
        self.entry(self.event('old', 'gone.over'), 'matched')
        self.at_step('old', 'calm')
        self.assertEqual((self.mails('old'), self.mails('new')), (['bye', 'nudge'], ['nudge']))


class Daily(Edges):
    """S42: one a calendar day, and the others wait; a day has 23 hours, 25 hours, or ends elsewhere."""
    FORM = 'sequence: party\ncategory: onboarding\ntrigger: {event: party.reached}\nreentry: {per: event.n}\n' \
           'entry: {max: 1, per: 1 calendar day, over: queue}\nsteps:\n' \
           '  - {id: tell, send: {template: tell, channels: [email], data: {what: {from: trigger.data.n}}}}\n'

    def reached(self, local, who='ada', zone='Europe/Berlin', n=3):
        """So many reached at that time there."""
        now = datetime.datetime.fromisoformat(local).replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC)
        self.clocked(self.FORM, now)
        self.clock.start()
        self.who(who, timezone=zone)
        for n in 'abcdef'[:n]:
            self.event(who, 'party.reached', data={'n': n}, id=n)
        self.h.until(lambda: self.mails(who) == ['tell a'])

    def next(self, instant, *mails):
        """Until then nothing more, and then they have had these."""
        self.jump(instant - seconds(1.5))
        self.assertEqual(self.mails('ada'), list(mails[:-1]))
        self.h.until(lambda: self.mails('ada') == list(mails), what=lambda: self.mails('ada'))
        self.h.until(lambda: len(self.mailed('ada')) == len(mails))
        sent = max(sent for _, sent in self.mailed('ada'))
        self.assertTrue(instant <= sent < instant + seconds(5 * S), (instant, sent))

    def midnight(self, *date, zone=BERLIN):
        return datetime.datetime(*date, tzinfo=zone).astimezone(UTC)

    def test_S42_the_day_on_which_an_hour_is_left_out(self):
        self.reached('2027-03-27T23:30')
        self.next(self.midnight(2027, 3, 28), 'tell a', 'tell b')
        self.next(self.midnight(2027, 3, 29), 'tell a', 'tell b', 'tell c')

    def test_S42_the_day_on_which_an_hour_comes_twice(self):
        self.reached('2027-10-30T23:30')
        self.next(self.midnight(2027, 10, 31), 'tell a', 'tell b')
        self.next(self.midnight(2027, 11, 1), 'tell a', 'tell b', 'tell c')

    def test_S42_who_moves_west_has_a_longer_day(self):
        self.reached('2027-03-27T23:30')
        self.patch('ada', timezone='America/New_York')
        self.next(self.midnight(2027, 3, 28, zone=NEW_YORK), 'tell a', 'tell b')
        self.next(self.midnight(2027, 3, 29, zone=NEW_YORK), 'tell a', 'tell b', 'tell c')

    def test_S42_who_moves_east_hears_one_a_day_there(self):
        self.reached('2027-03-27T12:30')
        self.patch('ada', timezone='Pacific/Auckland')  # where it is half past midnight of the 28th
        self.next(self.midnight(2027, 3, 29, zone=zoneinfo.ZoneInfo('Pacific/Auckland')), 'tell a', 'tell b')
        self.next(self.midnight(2027, 3, 30, zone=zoneinfo.ZoneInfo('Pacific/Auckland')), 'tell a', 'tell b', 'tell c')


class OneRoom(Clock):
    PARTITIONS = 1  # as the simulator has: so ids are the same, too


class Played:
    """D2, D4: a dozen people of three zones over a week and a change of the clocks, in a thread of its own: a second is four hours.

    With deaths, a worker or Redis is killed every second or so; what has been told to producers is kept, and they repeat what they were not told.
    """
    DEFINITIONS = """
sequence: first
category: onboarding
trigger: {event: customer.signed_up}
goal: {event: profile.completed, ends: false}
exit: [{event: account.closed, reason: closed}]
steps:
  - {id: hello, send: {template: hello, channels: [email]}}
  - id: ready
    wait_for:
      any: [{event: profile.completed, as: done}, {event: help.requested, as: help}]
      timeout: {days: 1, at: "12:00"}
      since: run
    then:
      help: [{id: support, emit: {event: callback.wanted, data: {topic: setup}}}]
      timeout:
        - id: chase
          repeat:
            max: 2
            until: {happened: {event: profile.completed, since: run}}
            steps:
              - {id: nudge, send: {template: nudge, channels: [email]}}
              - {id: rest, wait_for: {any: [{event: profile.completed, as: done}], timeout: {days: 1, at: "12:00"}, since: run}}
  - {id: tour_day, wait: {days: 1, at: "12:00"}}
  - id: tour
    split: {name: format, parts: {a: 50, b: 50}}
    then:
      a: [{id: film, send: {template: thanks, channels: [email]}}]
      b: [{id: book, send: {template: bye, channels: [email]}}]
  - id: personal
    branch:
      - when: {recipient.persona: admin}
        steps: [{id: admins, send: {template: tell, channels: [email], data: {what: admins}}}]
      - else: true
        steps: [{id: users, send: {template: tell, channels: [email], data: {what: {from: recipient.attributes.what, default: nothing}}}}]
  - {id: day, wait: 1d}
  - {id: last, send: {template: bye, channels: [in_app]}}
---
sequence: support
category: onboarding
trigger: {event: callback.wanted}
steps:
  - {id: thanks, send: {template: thanks, channels: [in_app]}}
"""
    RATE = 14400 / SLOWNESS
    BEGIN = at('2027-03-26T08:00:00Z')  # a Friday; the clocks change on Sunday, but not in Nairobi
    ZONES = ('Europe/Berlin', 'Europe/London', 'Africa/Nairobi')
    SETTINGS = {'caps': [{'name': 'daily', 'kinds': ['service'], 'max': 1, 'per': '1 calendar day', 'over': 'defer'}],
                'quiet_hours': {'from': '21:00', 'to': '08:00', 'channels': ['email']}, 'worker': {'lease': '1s'}}

    def __init__(self, deaths):
        self.people = [person('d-%d' % i, timezone=self.ZONES[i % 3], persona='admin' if i % 2 else 'user', attributes={'what': 'w%d' % i}) for i in range(12)]
        self.zones = {p['id']: p['timezone'] for p in self.people}
        happens = {1: (3, 'profile.completed'), 2: (3, 'help.requested'), 3: (60, 'account.closed')}  # after so many hours, to a quarter each
        self.events = [(self.BEGIN, {'recipient': p['id'], 'name': 'customer.signed_up', 'id': 's-' + p['id']}) for p in self.people]
        self.events += [(self.BEGIN + seconds(3600 * happens[i // 3][0]), {'recipient': p['id'], 'name': happens[i // 3][1], 'id': 'h-' + p['id']})
                        for i, p in enumerate(self.people) if i // 3 in happens]
        for instant, event in self.events:
            event['at'] = text_of(instant)
        self.clock = OneRoom(self.DEFINITIONS, self.BEGIN - seconds(20), **self.SETTINGS)
        self.h, self.deaths, self.stopping, self.error, self.killed = self.clock.h, deaths, threading.Event(), None, collections.Counter()
        self.h.settings['categories'] = {'onboarding': {'kind': 'service', 'quiet_hours': 'defer', 'on_unknown': 'hold'}}
        self.h.write()
        self.thread = threading.Thread(target=self.guard)
        self.thread.start()

    def guard(self):
        try:
            self.play()
        except BaseException as e:
            self.error = e

    def ask(self, method, path, body=None, raw=None, type='application/json'):
        """Until it is answered."""
        while not self.stopping.is_set():
            try:
                status, answer = self.h.http(method, path, body, raw=raw, type=type)
            except OSError:
                status = 0
            if status in (200, 202):
                return answer
            time.sleep(0.05)

    def play(self):
        h, chance = self.h, random.Random(4711)
        self.clock.start('--role', 'api', '--clock-rate', str(self.RATE))
        workers = [h.start('--role', 'worker', '--clock-rate', str(self.RATE), wait=False) for _ in range(2)]
        for one in self.people:
            self.ask('PUT', '/v1/recipients/' + one['id'], one)
        now = moment(self.ask('POST', '/v1/messages', {'recipient': person('probe'), 'template': 'hello', 'channels': ['in_app']})['send_at'])
        begin = time.monotonic() + (self.BEGIN - now).total_seconds() / self.RATE
        death = begin + chance.uniform(0.5, 1.5)
        waiting = collections.deque(sorted(self.events, key=lambda e: e[0]))
        end = begin + 6.5 * 86400 / self.RATE
        while not self.stopping.is_set() and (time.monotonic() < end or not self.over()):
            while waiting and time.monotonic() >= begin + (waiting[0][0] - self.BEGIN).total_seconds() / self.RATE + 0.02 and self.nudged(waiting[0][1]):
                lines = [e for t, e in waiting if t == waiting[0][0]]
                self.ask('POST', '/v1/events', raw=('\n'.join(map(json.dumps, lines)) + '\n').encode(), type=NDJSON)
                for _ in lines:
                    waiting.popleft()
            if self.deaths and death < time.monotonic() < end:
                if chance.random() < 0.3:
                    self.killed['redis'] += 1
                    self.clock.redis.kill()
                    self.clock.redis.wait()
                    time.sleep(chance.uniform(0, 0.3))
                    self.clock.redis_start()
                else:
                    self.killed['worker'] += 1
                    victim = chance.randrange(2)
                    workers[victim].kill()
                    workers[victim].wait()
                    h.processes.remove(workers[victim])
                    workers[victim] = h.start('--role', 'worker', '--clock-rate', str(self.RATE), wait=False)
                death = time.monotonic() + chance.uniform(0.5, 1.5)
            time.sleep(0.02)

    def nudged(self, event):
        """Deaths may have held up what comes before this event."""
        mine = lambda: self.ask('GET', '/v1/messages?limit=100&recipient=' + event['recipient'])['messages']
        return event['name'] != 'account.closed' or [m['template'] for m in mine()].count('nudge') == 2

    def timelines(self):
        return {p['id']: self.ask('GET', '/v1/recipients/%s/timeline' % p['id']) for p in self.people}

    def over(self):
        return all(t and t.get('runs') and all(r.get('ended') for r in t['runs']) and not t['pending'] for t in self.timelines().values())

    def done(self):
        self.thread.join(120 * SLOWNESS)
        if self.error:
            raise self.error
        return self.timelines()

    def close(self):
        self.stopping.set()
        self.thread.join()
        self.clock.close()


def setUpModule():
    for deaths in (False, True):
        Days.played[deaths] = Played(deaths)
        unittest.addModuleCleanup(Days.played[deaths].close)


class Days(Edges):
    played = {}

    def day(self, instant, zone):
        return moment(instant).astimezone(zoneinfo.ZoneInfo(zone)).date().isoformat()

    def of(self, deaths):
        played = self.played[deaths]
        self.h, timelines = played.h, played.done()
        self.seen = {r['id']: who for who, t in timelines.items() for r in t['runs']}
        return played, timelines

    def test_D2_the_simulator_and_the_service_tell_the_same_people_the_same_on_the_same_days(self):
        played, timelines = self.of(False)
        people, events, h = (os.path.join(played.h.dir, 'people'), os.path.join(played.h.dir, 'events'), played.h)
        write(people, '\n'.join(map(json.dumps, played.people)) + '\n')
        write(events, '\n'.join(json.dumps(e) for _, e in played.events) + '\n')
        report = h.cli_json('sequence', 'simulate', '--all', '--cohort', people, '--events', events, '--from', '2027-03-26', '--to', '2027-04-06')
        sends = {(o['recipient'], e['sequence'], e['step'], e['detail']['message']) for o in report['timeline'] for e in o['entries'] if e['what'] == 'send'}
        simulated = collections.Counter((o['recipient'], e['sequence'], e['step'], e['template'], self.day(e['at'], o['timezone']))
                                        for o in report['timeline'] for e in o['entries'] if e['what'] == 'sent')
        told = collections.Counter((who, m['sequence'], m['step'], m['template'], self.day(d['sent_at'], played.zones[who]))
                                   for who, t in timelines.items() for m in t['past'] for d in m['deliveries'] if d['sent_at'])
        self.assertEqual((simulated - told, told - simulated), (collections.Counter(), collections.Counter()))
        self.assertGreater(len(simulated), 50)
        self.assertEqual({(who, m['sequence'], m['step'], m['id']) for who, t in timelines.items() for m in t['past']}, sends)
        left = collections.Counter(r['reason'] for t in timelines.values() for r in t['runs'] if r['sequence'] == 'first')
        self.assertEqual(left, report['sequences']['first']['left'])

    def test_D4_the_messages_are_the_same_when_workers_and_redis_die(self):
        ids = {}
        for deaths in (False, True):
            played, timelines = self.of(deaths)
            ids[deaths] = {(who, m['sequence'], m['step'], m['id']) for who, t in timelines.items() for m in t['past']}
        self.assertGreater(min(played.killed['worker'], played.killed['redis']), 2)
        self.assertEqual(ids[True], ids[False])
        copies = collections.Counter(m.parse()['Message-ID'] for m in played.h.smtp.received)
        self.assertEqual(set(copies.values()), {1})


if __name__ == '__main__':
    unittest.main()
