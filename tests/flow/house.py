"""A tidings of the test's own: directory, configuration, private Redis, catchers and processes, all gone at the end."""
import json, os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time, unittest, urllib.error, urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from servers import DROP, HANG, Gateway, SmtpServer  # noqa: F401  (tests import them from here)

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
BINARY = os.environ.get('TIDINGS', os.path.join(ROOT, 'build', 'dev', 'tidings'))
SLOWNESS = float(os.environ.get('TIDINGS_SLOWNESS', '1'))  # patience of waits, for slow machines


def free_port():
    """Below those that the system gives to connections: one of another test does not take it before the server listens."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


def until(fn, timeout=15, what=''):
    """What fn gives once that is something; `what`, a text or what makes one, is told when time runs out."""
    end = time.monotonic() + timeout * SLOWNESS
    while time.monotonic() < end:
        value = fn()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError('time ran out: %s' % (what() if callable(what) else what))


class House:
    def __init__(self, smtp=None, gateway=None, **settings):
        self.dir = tempfile.mkdtemp(prefix='tidings-')
        self.smtp, self.gateway = smtp or SmtpServer(), gateway or Gateway()
        self.port = free_port()
        self.processes, self.serial = [], 0
        self.settings = {
            'data_dir': os.path.join(self.dir, 'data'),
            'templates': os.path.join(ROOT, 'templates'),
            'http': {'listen': '127.0.0.1:%d' % self.port},
            'defaults': {'locale': 'en', 'timezone': 'UTC'},
            'email': {'from': 'Example <hello@example.com>', 'providers': [
                {'name': 'primary', 'url': 'smtp://127.0.0.1:%d' % self.smtp.port, 'tls': 'none', 'connections': 4}]},
            'sms': {'providers': [{'name': 'gateway', 'url': 'http://127.0.0.1:%d/send' % self.gateway.port}]},
            'retry': {'first': '100ms', 'factor': 1.5, 'max': '1s', 'max_attempts': 4},
        }
        for key, value in settings.items():
            if value is None:
                self.settings.pop(key, None)
            elif isinstance(value, dict) and isinstance(self.settings.get(key), dict):
                self.settings[key] = {**self.settings[key], **value}
            else:
                self.settings[key] = value
        self.config = os.path.join(self.dir, 'tidings.yaml')
        self.write()

    def write(self):
        with open(self.config, 'w') as out:
            json.dump(self.settings, out, indent=1, ensure_ascii=False)  # JSON is YAML

    def start(self, *options, wait=True):
        self.serial += 1
        with open(os.path.join(self.dir, 'serve-%d.log' % self.serial), 'wb') as log:
            p = subprocess.Popen([BINARY, 'serve', '--config', self.config, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(p)
        if wait:
            self.until(lambda: self.ready() or p.poll() is not None, what='the service is ready')
            if p.poll() is not None:
                raise AssertionError('serve ended: ' + self.log())
        return p

    def ready(self):
        try:
            return self.http('GET', '/readyz')[0] == 200
        except OSError:
            return False

    def log(self):
        text = ''
        for i in range(1, self.serial + 1):
            with open(os.path.join(self.dir, 'serve-%d.log' % i), errors='replace') as f:
                text += f.read()
        return text

    def stop(self, p=None, sig=signal.SIGTERM, timeout=30):
        for q in [p] if p else list(self.processes):
            if q.poll() is None:
                q.send_signal(sig)
            q.wait(timeout * SLOWNESS)
            self.processes.remove(q)
        return p.returncode if p else None

    def close(self):
        self.smtp.stopping.set()
        self.gateway.stopping.set()
        codes = []
        for p in self.processes:
            if p.poll() is None:
                p.terminate()  # a clean end is part of every test: nothing may be leaked
            try:
                p.wait(30 * SLOWNESS)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            codes.append(p.returncode)
        self.smtp.close()
        self.gateway.close()
        time.sleep(0.05)
        self.redis_end()
        log = self.log()
        shutil.rmtree(self.dir, ignore_errors=True)
        for word in ('ERROR: AddressSanitizer', 'runtime error:', 'WARNING: ThreadSanitizer', 'LeakSanitizer', 'Assertion'):
            if word in log:
                raise AssertionError(log[log.index(word):][:6000])
        if any(codes):
            raise AssertionError('exit statuses %s\n%s' % (codes, log[-3000:]))

    def redis_end(self):
        """A private Redis whose owner was killed ends by itself; wait until it has."""
        try:
            self.until(lambda: not self.redis_alive(), 5)
        except AssertionError:
            subprocess.run(['redis-cli', '-s', self.socket, 'shutdown', 'nosave'], capture_output=True)

    @property
    def socket(self):
        return os.path.join(self.dir, 'data', 'redis', 'redis.sock')

    def redis_alive(self):
        return os.path.exists(self.socket) and subprocess.run(['redis-cli', '-s', self.socket, 'ping'], capture_output=True).stdout == b'PONG\n'

    def redis(self, *words, stdin=None):
        done = subprocess.run(['redis-cli', '-s', self.socket, *words], input=stdin, capture_output=True)
        return done.stdout.decode('utf-8', 'replace').rstrip('\n')

    def cli(self, *words, stdin=None, status=0):
        done = subprocess.run([BINARY, words[0], '--config', self.config, *words[1:]], input=stdin.encode() if isinstance(stdin, str) else stdin,
                              capture_output=True, timeout=120 * SLOWNESS)
        if status is not None and done.returncode != status:
            raise AssertionError('%s: exit status %d, not %d\n%s\n%s' % (words, done.returncode, status, done.stdout.decode()[-3000:], done.stderr.decode()[-6000:]))
        self.err = done.stderr.decode()
        return done.stdout.decode()

    def cli_json(self, *words, **more):
        return json.loads(self.cli(*words, '--json', **more))

    def http(self, method, path, body=None, headers=None, raw=None, type='application/json'):
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request('http://127.0.0.1:%d%s' % (self.port, path), data=data, method=method,
                                         headers={**({'Content-Type': type} if data is not None else {}), **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=20) as r:
                status, head, text = r.status, r.headers, r.read().decode()
        except urllib.error.HTTPError as e:
            status, head, text = e.code, e.headers, e.read().decode()
        self.headers = head
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def send(self, recipient, template='welcome', data=None, **fields):
        """Enqueues over HTTP, which must accept; the message's id."""
        if data is None:
            data = {'name': 'Ada', 'count': 2} if template == 'welcome' else {'order': '1', 'parcels': 2} if template == 'order-update' else \
                {'name': 'Ada', 'years': 2, 'since': '2024-12-01T09:00:00Z'}
        status, answer = self.http('POST', '/v1/messages', {'recipient': recipient, 'template': template, 'data': data, **fields})
        if status != 202:
            raise AssertionError((status, answer))
        return answer['id']

    def message(self, id):
        status, message = self.http('GET', '/v1/messages/' + id)
        if status != 200:
            raise AssertionError((status, message))
        return message

    def delivery(self, id, channel='email'):
        return next((d for d in self.message(id)['deliveries'] if d['channel'] == channel), None)

    def settled(self, id, timeout=15):
        """The message once no delivery is open."""
        self.until(lambda: self.message(id)['status'] not in ('scheduled', 'sending'), timeout, lambda: self.message(id))
        return self.message(id)

    def reason(self, id, reason, channel='email', timeout=15):
        """The delivery once it has this reason."""
        self.until(lambda: (self.delivery(id, channel) or {}).get('reason') == reason, timeout, lambda: self.message(id))
        return self.delivery(id, channel)

    def until(self, fn, timeout=15, what=''):
        return until(fn, timeout, lambda: '%s\n%s' % (what() if callable(what) else what, self.log()[-3000:]))

    def gate(self, id, gate, channel='email'):
        return [t for t in self.message(id)['trace'] if t['gate'] == gate and t['channel'] == channel]


def person(id='ada', **fields):
    return {'id': id, 'email': id + '@example.com', 'phone': '+491701234567', 'locale': 'en', 'timezone': 'UTC', **fields}


class FlowTest(unittest.TestCase):
    """start() gives the test a running house; it is torn down, and its log searched for sanitizer reports, at the end."""

    def house(self, **settings):
        h = House(**settings)
        self.addCleanup(h.close)
        return h

    def start(self, *options, **settings):
        h = self.house(**settings)
        h.start(*options)
        return h
