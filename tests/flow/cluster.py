"""A Redis Cluster of the test's own: three masters with a replica each, by deploy/cluster."""
import os, shutil, signal, subprocess, tempfile

from house import ROOT, SLOWNESS, free_port, until


class Cluster:
    def __init__(self, extra='', cli=(), node_timeout=2000, tls=False):
        self.dir, self.cli = tempfile.mkdtemp(prefix='tidings-cluster-'), list(cli)
        if extra:
            with open(self.dir + '/extra.conf', 'w') as out:
                out.write(extra)
        self.env = {**os.environ, 'NODE_TIMEOUT': str(node_timeout), 'REDIS_CLI': ' '.join(cli), **({'TLS': '1'} if tls else {})}
        self.first = self.free_ports()
        self.ports = list(range(self.first, self.first + 6))
        subprocess.run([ROOT + '/deploy/cluster', 'start', self.dir, str(self.first)], env=self.env, check=True, capture_output=True, timeout=60 * SLOWNESS)
        self.url = 'redis-cluster://' + ','.join('127.0.0.1:%d' % p for p in self.ports[:3])

    @staticmethod
    def free_ports():
        """Six in a row, and those of their bus, 10,000 above."""
        import socket
        while True:
            first = 10000 + free_port() % 30000
            try:
                for port in list(range(first, first + 6)) + list(range(first + 10000, first + 10006)):
                    with socket.socket() as s:
                        s.bind(('127.0.0.1', port))
                return first
            except OSError:
                continue

    def close(self):
        subprocess.run([ROOT + '/deploy/cluster', 'stop', self.dir], check=True)
        until(lambda: not any(os.path.exists('%s/%d/pid' % (self.dir, p)) and self.alive(self.pid(p)) for p in self.ports), 30, 'the servers are gone')
        shutil.rmtree(self.dir, ignore_errors=True)

    @staticmethod
    def alive(pid):
        return os.path.exists('/proc/%d' % pid)

    def pid(self, port):
        try:
            with open('%s/%d/pid' % (self.dir, port)) as f:
                return int(f.read())
        except (OSError, ValueError):
            return 0

    def at(self, port, *words):
        return subprocess.run(['redis-cli', *self.cli, '-p', str(port), *words], capture_output=True).stdout.decode().rstrip('\n')

    def masters(self):
        """{port: [slot ranges]} as any living node sees it."""
        for port in self.ports:
            found = {}
            for line in self.at(port, 'cluster', 'nodes').splitlines():
                words = line.split()
                if 'master' in words[2] and 'fail' not in words[2].replace('fail?', '') and len(words) > 8:
                    found[int(words[1].split('@')[0].rsplit(':', 1)[1])] = words[8:]
            if found:
                return found
        raise AssertionError('no node answers')

    def replicas_of(self, port):
        mine = self.at(port, 'cluster', 'myid')
        return [int(l.split()[1].split('@')[0].rsplit(':', 1)[1]) for l in self.at(port, 'cluster', 'nodes').splitlines() if 'slave' in l.split()[2] and l.split()[3] == mine]

    def slot(self, key):
        return int(self.at(self.living(), 'cluster', 'keyslot', key))

    def living(self):
        return next(p for p in self.ports if self.at(p, 'ping') == 'PONG')

    def owner(self, slot):
        for port, ranges in self.masters().items():
            for r in ranges:
                if not r.startswith('[') and int(r.split('-')[0]) <= slot <= int(r.split('-')[-1]):
                    return port

    def call(self, key, *words):
        return self.at(self.owner(self.slot(key)), *words)

    def keys(self):
        return sorted(k for port in self.masters() for k in self.at(port, '--scan').split())

    def kill(self, port):
        os.kill(self.pid(port), signal.SIGKILL)

    def again(self, port):
        subprocess.run([ROOT + '/deploy/cluster', 'node', self.dir, str(port)], env=self.env, check=True)

    def move(self, slot, to):
        """As redis-cli --cluster reshard does it, a key at a time, so that the slot is on its way for a while."""
        source = self.owner(slot)
        if source == to:
            return
        ids = {p: self.at(p, 'cluster', 'myid') for p in (source, to)}
        self.at(to, 'cluster', 'setslot', str(slot), 'importing', ids[source])
        self.at(source, 'cluster', 'setslot', str(slot), 'migrating', ids[to])
        while True:
            keys = self.at(source, 'cluster', 'getkeysinslot', str(slot), '20').split('\n')
            if not keys[0]:
                break
            self.at(source, 'migrate', '127.0.0.1', str(to), '', '0', '5000', 'keys', *keys)
        for p in (to, source):
            self.at(p, 'cluster', 'setslot', str(slot), 'node', ids[to])
