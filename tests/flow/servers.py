r"""A scripted SMTP server and a scripted SMS gateway, small enough to read, shared by every flow test and by quickstart.

A script is a function that sees what comes and says what to answer; None means the ordinary answer.

    SmtpServer(script=lambda verb, arg, session: '450 4.2.0 later' if verb == 'RCPT' else None)

SMTP verbs: CONNECT EHLO STARTTLS AUTH MAIL RCPT DATA BDAT (each chunk; None: as it is) BODY (the reply to the dot) QUIT.
Besides a reply, a script may return DROP (close now), HANG (never answer), or a callable that gets the session and does as
it likes; closing('421 …') says it and closes.  A byte that is no UTF-8 is written '\udcff'.  max_connections refuses with 421.
"""
import base64, hashlib, hmac, http.server, json, os, socket, socketserver, ssl, sys, threading, time

DROP, HANG = object(), object()


def closing(text):
    """What a script returns to say this and close, so that the peer can read it even when it has said more meanwhile."""
    def say(session):
        session.reply(text)
        session.connection.settimeout(2)
        session.connection.shutdown(socket.SHUT_WR)
        while session.rfile.read(4096):
            pass
        raise ConnectionAbortedError
    return say


class Mail:
    def __init__(self, sender, recipient, data, session):
        self.sender, self.recipient, self.data, self.session, self.at = sender, recipient, data, session, time.time()

    def parse(self):
        import email, email.policy
        return email.message_from_bytes(self.data, policy=email.policy.default)


class _Session(socketserver.StreamRequestHandler):
    def reply(self, text):
        self.wfile.write(text.replace('\n', '\r\n').encode('utf-8', 'surrogateescape') + b'\r\n')
        self.wfile.flush()

    def said(self, verb, arg):
        """What the script wants said; None when it has no wish."""
        script = self.server.owner.script
        said = script(verb, arg, self) if script else None
        if said is DROP:
            raise ConnectionAbortedError
        if said is HANG:
            self.server.owner.stopping.wait(600)
            raise ConnectionAbortedError
        return said(self) if callable(said) else said

    def answer(self, verb, arg, usual, before=None):
        """Says what the script wants, else the usual; its class when that is 2 or 3, and then `before` is done before it is said."""
        said = self.said(verb, arg)
        said = usual if said is None else said
        if before and said[0] in '23':
            before()
        self.reply(said)
        return said[0] in '23' and said[0]

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self):
        self.count, self.sender, self.recipient, self.tls, self.authed = 0, None, None, False, None
        owner = self.server.owner
        with owner.lock:
            owner.connections += 1
            full = owner.max_connections and owner.active >= owner.max_connections
            owner.refused += bool(full)
            owner.active += 1 - bool(full)
            owner.peak = max(owner.peak, owner.active)
        try:
            if full:
                closing('421 4.7.0 too many connections')(self)
            if not self.answer('CONNECT', '', '220 catcher.example ESMTP'):
                return
            while self.command():
                pass
        except (ConnectionError, OSError, ValueError):
            pass
        finally:
            with owner.lock:
                owner.active -= 1 - bool(full)

    def command(self):
        line = self.rfile.readline()
        if not line:
            return False
        text = line.decode('latin1').rstrip('\r\n')
        verb, _, arg = text.partition(' ')
        verb = verb.upper()
        self.server.owner.log.append(text)
        if verb in ('EHLO', 'HELO'):
            owner, extra = self.server.owner, ''
            extra += '\n250-STARTTLS' if owner.tls and not self.tls else ''
            extra += '\n250-AUTH ' + owner.mechanisms if owner.users else ''
            extra += ''.join('\n250-' + e for e in owner.extensions)
            self.answer('EHLO', arg, '250-catcher.example' + extra + '\n250 ENHANCEDSTATUSCODES')
        elif verb == 'STARTTLS':
            if self.answer('STARTTLS', '', '220 go ahead'):
                self.connection = self.server.owner.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile, self.tls = self.connection.makefile('rb'), self.connection.makefile('wb'), True
        elif verb == 'AUTH':
            self.auth(arg)
        elif verb == 'MAIL':
            self.sender, self.recipient = arg.split(':', 1)[1].split('>')[0].strip('< '), None
            self.answer('MAIL', arg, '250 2.1.0 ok')
        elif verb == 'RCPT':
            address = arg.split(':', 1)[1].split('>')[0].strip('< ')
            if self.answer('RCPT', address, '250 2.1.5 ok'):
                self.recipient = address
        elif verb == 'DATA':
            if not self.recipient:
                self.reply('554 5.5.1 no valid recipients')
            elif self.answer('DATA', '', '354 go on') == '3':
                self.data()
        elif verb == 'BDAT':
            self.bdat(arg)
        elif verb == 'QUIT':
            self.answer('QUIT', '', '221 2.0.0 bye')
            return False
        elif verb in ('RSET', 'NOOP'):
            self.reply('250 2.0.0 ok')
        else:
            self.reply('502 5.5.1 what?')
        return True

    def auth(self, arg):
        mechanism, _, initial = arg.partition(' ')
        if mechanism.upper() not in self.server.owner.mechanisms.split():
            return self.reply('504 5.5.4 not offered')
        if mechanism.upper() == 'CRAM-MD5':
            challenge = b'<1.2@catcher.example>'
            self.reply('334 ' + base64.b64encode(challenge).decode())
            user, _, proof = base64.b64decode(self.rfile.readline()).decode().rpartition(' ')
            password = self.server.owner.users.get(user, '')
            if hmac.new(password.encode(), challenge, hashlib.md5).hexdigest() != proof:
                password = False
        elif mechanism.upper() == 'LOGIN':
            self.reply('334 VXNlcm5hbWU6')
            user = base64.b64decode(self.rfile.readline()).decode()
            self.reply('334 UGFzc3dvcmQ6')
            password = base64.b64decode(self.rfile.readline()).decode()
        else:
            if not initial:
                self.reply('334 ')
                initial = self.rfile.readline().decode()
            _, user, password = base64.b64decode(initial).decode().split('\0')
        good = self.server.owner.users.get(user) == password
        self.authed = user if good else None
        self.answer('AUTH', user, '235 2.7.0 welcome' if good else '535 5.7.8 no')

    def bdat(self, arg):
        size, _, last = arg.partition(' ')
        self.chunks = getattr(self, 'chunks', b'') + self.rfile.read(int(size))
        said = self.said('BDAT', arg)
        if said is not None:
            self.chunks = b''
            self.reply(said)
        elif not self.recipient:
            self.reply('554 5.5.1 no valid recipients')
        elif last.upper() == 'LAST':
            data, self.chunks = self.chunks, b''
            self.complete(data)
        else:
            self.reply('250 2.0.0 go on')

    def data(self):
        lines, owner = [], self.server.owner
        while True:
            line = self.rfile.readline()
            if not line:
                owner.unfinished += 1
                raise ConnectionAbortedError
            if line == b'.\r\n':
                break
            lines.append(line[1:] if line.startswith(b'.') else line)
            if owner.slow_body:
                time.sleep(owner.slow_body)
        self.complete(b''.join(lines))

    def complete(self, data):
        owner = self.server.owner
        self.count += 1
        mail = Mail(self.sender, self.recipient, data, self)
        # what counts as received is what was complete, whatever is answered afterwards
        with owner.lock:
            owner.received.append(mail)

        def accept():  # who is told that it was sent finds it here
            with owner.lock:
                owner.accepted.append(mail)
                number = len(owner.accepted)
            if owner.directory:
                with open(os.path.join(owner.directory, '%04d-%s.eml' % (number, self.recipient.split('@')[0])), 'wb') as out:
                    out.write(mail.data)
        self.answer('BODY', self.recipient, '250 2.0.0 queued as %d' % len(owner.received), accept)
        self.sender = self.recipient = None


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 256

    def handle_error(self, request, address):
        pass


class SmtpServer:
    def __init__(self, script=None, port=0, directory=None, tls=None, users=None, extensions=('PIPELINING', '8BITMIME'), implicit=False,
                 max_connections=0, mechanisms='PLAIN LOGIN'):
        self.script, self.directory, self.tls, self.users, self.extensions = script, directory, tls, users or {}, extensions
        self.max_connections, self.mechanisms, self.active, self.peak, self.refused = max_connections, mechanisms, 0, 0, 0
        self.received, self.accepted, self.log, self.unfinished, self.connections, self.slow_body = [], [], [], 0, 0, 0
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.server = _Server(('127.0.0.1', port), _Session)
        if implicit:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=True)
            self.tls = None
        self.server.owner, self.port = self, self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


class _Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *a):
        pass

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        request = {'path': self.path, 'headers': dict(self.headers), 'body': body, 'at': time.time()}
        try:
            request['json'] = json.loads(body)
        except ValueError:
            pass
        with owner.lock:
            owner.requests.append(request)
            n = len(owner.requests)
            if owner.file:
                with open(owner.file, 'a') as out:
                    out.write(json.dumps(request.get('json'), ensure_ascii=False) + '\n')
        said = owner.script(request, self) if owner.script else None
        if said is DROP:
            self.close_connection = True
            self.connection.close()
            return
        if said is HANG:
            owner.stopping.wait(600)
            return
        status, headers, text = said or (202, {}, json.dumps({'id': 'sms-%d' % n}))
        data = text.encode('utf-8', 'surrogateescape')
        self.send_response(status)
        for k, v in {'Content-Type': 'application/json', 'Content-Length': str(len(data)), **headers}.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)


class Gateway:
    """script(request, handler) -> (status, headers, text), DROP, HANG or None."""

    def __init__(self, script=None, port=0, file=None):
        self.script, self.file, self.requests, self.lock, self.stopping = script, file, [], threading.Lock(), threading.Event()

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 256

            def handle_error(self, request, address):
                pass

        self.server = Server(('127.0.0.1', port), _Gateway)
        self.server.owner, self.port = self, self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


def signature(secret, headers, body):
    """What Standard Webhooks says the header webhook-signature must be."""
    key = base64.b64decode(secret[6:]) if secret.startswith('whsec_') else secret.encode()
    signed = ('%s.%s.' % (headers['webhook-id'], headers['webhook-timestamp'])).encode() + body
    return 'v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


if __name__ == '__main__':
    # servers.py SMTP_PORT HTTP_PORT DIRECTORY: catches mails and texts until it is ended; port 0 picks one, said on the first line
    out = sys.argv[3]
    os.makedirs(out, exist_ok=True)
    smtp, gateway = SmtpServer(port=int(sys.argv[1]), directory=out), Gateway(port=int(sys.argv[2]), file=os.path.join(out, 'sms.ndjson'))
    print(json.dumps({'smtp': smtp.port, 'http': gateway.port}), flush=True)
    threading.Event().wait()


class RedisProxy:
    """Stands between tidings and a Redis on a unix socket; its connections can die in silence, be muted, cut, lose an answer, and answer TIME late."""

    def __init__(self, path):
        self.path, self.pairs, self.mute, self.late_time, self.times = path, [], False, 0, 0
        self.losing, self.lost = False, 0
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.path)
            except OSError:
                return
            pair = {'client': client, 'server': server, 'subscriber': False, 'dead': False, 'until': 0}
            self.pairs.append(pair)
            for source, target in (('client', 'server'), ('server', 'client')):
                threading.Thread(target=self.pump, args=(pair, source, target), daemon=True).start()

    def pump(self, pair, source, target):
        try:
            while True:
                data = pair[source].recv(65536)
                if not data:
                    break
                if source == 'client' and b'SUBSCRIBE' in data.upper():
                    pair['subscriber'] = True
                if source == 'client' and self.late_time and b'$4\r\nTIME\r\n' in data.upper():
                    pair['until'], self.times = time.monotonic() + self.late_time, self.times + 1
                if source == 'server' and self.losing and data.startswith(b'*'):
                    self.losing, self.lost = False, self.lost + 1
                    break
                if source == 'server':
                    time.sleep(max(0, pair['until'] - time.monotonic()))
                if not pair['dead'] and not (source == 'server' and self.mute):
                    pair[target].sendall(data)
        except OSError:
            pass
        if not pair['dead'] or source == 'client':
            self.end(pair)

    def end(self, pair):
        for side in ('client', 'server'):
            try:
                pair[side].shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def kill_subscribers_silently(self):
        """How many connections pass nothing on from now on, without being closed."""
        hit = [p for p in self.pairs if p['subscriber'] and not p['dead']]
        for p in hit:
            p['dead'] = True
        return len(hit)

    def lose(self):
        """Redis does what it is told next, and the answer, which is a list, is kept from whoever asked, with the connection."""
        self.losing = True

    def cut(self):
        for p in self.pairs:
            self.end(p)

    def close(self):
        self.listener.close()
        self.cut()
