"""Real relays: Debian's Postfix and Exim, each with queue, configuration and mailboxes in a directory of its own.

tests/relays-install unpacks them into a cache directory; a relay is started from there, listens on loopback only, keeps every
mail it accepts as a file, and is gone with close().  Both ask the same policy before each answer:

    policy(stage, recipient) -> '450 4.2.0 come back', or None for the relay's own answer

Stages: MAIL (no recipient known yet), RCPT, DATA (before the text), BODY (after it).
"""
import collections, ctypes, email, glob, os, pwd, shutil, signal, socket, socketserver, subprocess, tempfile, threading, time
from email.parser import BytesHeaderParser

from house import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
INSTALL = os.path.join(HERE, '..', 'relays-install')
CACHE = os.environ.get('TIDINGS_RELAYS') or os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'tidings-relays')


def ready():
    """Fetches the relays when they are not there; whatever is missing is said in a sentence, never skipped."""
    if os.geteuid():
        raise AssertionError('the tests with real relays must run as root: Postfix and Exim change to accounts of their own')
    if not os.path.exists(os.path.join(CACHE, 'complete')):
        done = subprocess.run([INSTALL, CACHE], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError('Postfix and Exim cannot be had: ' + done.stderr.strip())
    try:
        pwd.getpwnam('Debian-exim')  # compiled into Debian's Exim
    except KeyError:
        subprocess.run(['useradd', '--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'Debian-exim'], check=True)


def smtp_sink(*words, **more):
    """Postfix's sink, which takes whatever comes and keeps nothing."""
    ready()
    libraries = ':'.join([os.path.join(CACHE, 'usr/lib/postfix'), *glob.glob(os.path.join(CACHE, 'usr/lib/*-linux-gnu'))])
    return subprocess.Popen([os.path.join(CACHE, 'usr/sbin/smtp-sink'), *words], env={**os.environ, 'LD_LIBRARY_PATH': libraries}, **more)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a test that is killed leaves no relay behind


class Authority:
    """A private certificate authority and a relay's certificate by it."""

    def __init__(self, name='DNS:localhost'):
        self.dir = tempfile.mkdtemp(prefix='tidings-ca-')
        self.ca, self.cert, self.key = (os.path.join(self.dir, f) for f in ('ca.pem', 'cert.pem', 'key.pem'))
        curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
        ca_key, request, extensions = (os.path.join(self.dir, f) for f in ('ca.key', 'request.pem', 'extensions'))
        with open(extensions, 'w') as out:
            out.write('subjectAltName=%s\nbasicConstraints=CA:FALSE\n' % name)
        for command in (['req', '-x509', *curve, '-subj', '/CN=A private authority', '-keyout', ca_key, '-out', self.ca],
                        ['req', '-new', *curve[:-2], '-subj', '/CN=relay', '-keyout', self.key, '-out', request],
                        ['x509', '-req', '-days', '2', '-in', request, '-CA', self.ca, '-CAkey', ca_key, '-CAcreateserial', '-extfile', extensions,
                         '-out', self.cert]):
            subprocess.run(['openssl', *command], check=True, capture_output=True)
        os.chmod(self.dir, 0o755)
        os.chmod(self.key, 0o644)  # Exim reads it as its own account

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class _Policy(socketserver.StreamRequestHandler):
    """Postfix's policy protocol: name=value lines and an empty one, answered action=…; Exim asks with one line STAGE<tab>recipient."""

    def handle(self):
        attributes = {}
        for line in self.rfile:
            text = line.decode('utf-8', 'replace').rstrip('\n')
            if '\t' in text:
                self.wfile.write((self.server.ask(*text.split('\t', 1)) or '').encode())
                return
            if text:
                name, _, value = text.partition('=')
                attributes[name] = value
                continue
            stage = {'END-OF-MESSAGE': 'BODY', 'BDAT': 'DATA'}.get(attributes.get('protocol_state'), attributes.get('protocol_state'))
            self.wfile.write(('action=%s\n\n' % (self.server.ask(stage, attributes.get('recipient', '')) or 'DUNNO')).encode())
            attributes = {}


class _PolicyServer(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 256

    def ask(self, stage, recipient):
        said = self.relay.policy(stage, recipient.lower()) if self.relay.policy else None
        if said:
            self.relay.refusals.append((stage, recipient, said))
        return said

    def handle_error(self, request, address):
        pass


class Relay:
    """What both have in common.  self.settings are lines of the relay's own configuration, added or put in place of the usual."""

    def __init__(self, policy=None, tls=None, users=None, chunking=True, smtputf8=True, **settings):
        ready()
        self.policy, self.refusals, self.tls, self.users = policy, [], tls, users or {}
        self.chunking, self.smtputf8, self.settings = chunking, smtputf8, settings
        self.dir = tempfile.mkdtemp(prefix='tidings-relay-')
        os.chmod(self.dir, 0o755)
        self.port, self.log_path, self.mail_dir = free_port(), os.path.join(self.dir, 'log'), os.path.join(self.dir, 'mail')
        self.policy_server = _PolicyServer(('127.0.0.1', 0), _Policy)
        self.policy_server.relay = self
        self.policy_port = self.policy_server.server_address[1]
        threading.Thread(target=self.policy_server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
        lib = self.libraries()
        self.environment = {'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8', 'LD_LIBRARY_PATH': lib, 'SASL_PATH': lib + '/sasl2'}
        self.process = None
        try:
            self.write()
            self.begin()
        except BaseException:
            self.close()
            raise

    def begin(self):
        with open(self.log_path + '.start', 'wb') as out:
            self.process = subprocess.Popen(self.command(), env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir,
                                            start_new_session=True, preexec_fn=die_with_parent)
        end = time.monotonic() + 30
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError('%s does not start: %s' % (self.name, self.log()))
            time.sleep(0.05)

    def answers(self):
        try:
            with socket.create_connection(('127.0.0.1', self.port), 1) as s:
                s.settimeout(5)
                said = s.recv(200).startswith(b'220')
                s.sendall(b'QUIT\r\n')
                s.recv(200)
                return said
        except OSError:
            return False

    def url(self, user=None, host='127.0.0.1'):
        return 'smtp://%s%s:%d' % (user + '@' if user else '', host, self.port)

    def log(self):
        text = ''
        for path in (self.log_path + '.start', *sorted(glob.glob(self.log_path)), *sorted(glob.glob(os.path.join(self.dir, 'spool', 'log', '*')))):
            if os.path.isfile(path):
                with open(path, errors='replace') as f:
                    text += f.read()
        return text

    def mails(self):
        """How often each Message-ID is in the mailboxes."""
        found = collections.Counter()
        for path in glob.glob(os.path.join(self.mail_dir, '**', 'new', '*'), recursive=True):
            with open(path, 'rb') as f:
                found[BytesHeaderParser().parse(f)['Message-ID']] += 1
        return found

    def mail(self, id):
        """The mail with this Message-ID, parsed."""
        for path in glob.glob(os.path.join(self.mail_dir, '**', 'new', '*'), recursive=True):
            with open(path, 'rb') as f:
                mail = email.message_from_binary_file(f)
            if mail['Message-ID'] == id:
                return mail
        raise AssertionError('no mail ' + id)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # its own session: the daemons that it has started
            except ProcessLookupError:
                pass
            self.process.wait(10)
        self.policy_server.shutdown()
        self.policy_server.server_close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def libraries(self):
        """What the system had not, beside the relay: its account cannot look into the cache."""
        place = os.path.join(self.dir, 'lib')
        os.mkdir(place)
        os.mkdir(os.path.join(place, 'sasl2'))
        for pattern, to in (('*-linux-gnu/*.so*', ''), ('postfix/*.so', ''), ('*-linux-gnu/sasl2/*.so', 'sasl2')):
            for path in glob.glob(os.path.join(CACHE, 'usr/lib', pattern)):
                shutil.copy(path, os.path.join(place, to))
        return place


class Postfix(Relay):
    name = 'Postfix'
    owner, group = 'uucp', 'mail'  # accounts that every Debian has and nobody uses here

    def write(self):
        library, uid, gid = os.path.join(CACHE, 'usr/lib/postfix'), pwd.getpwnam(self.owner).pw_uid, pwd.getpwnam(self.owner).pw_gid
        for name in ('conf', 'queue', 'data', 'mail'):
            os.mkdir(os.path.join(self.dir, name))
        for name in ('active', 'bounce', 'corrupt', 'defer', 'deferred', 'flush', 'hold', 'incoming', 'private', 'saved', 'trace', 'maildrop',
                     'public', 'pid'):
            os.mkdir(os.path.join(self.dir, 'queue', name), 0o755 if name in ('pid', 'public') else 0o700)
            if name != 'pid':
                shutil.chown(os.path.join(self.dir, 'queue', name), self.owner)
        for name in ('data', 'mail'):
            shutil.chown(os.path.join(self.dir, name), self.owner)
        ask = 'check_policy_service inet:127.0.0.1:%d' % self.policy_port
        discard = ', '.join((['chunking'] if not self.chunking else []) + ['silent-discard'])
        with open(os.path.join(self.dir, 'header_checks'), 'w') as out:
            out.write('/^Subject:.*unwanted/ REJECT 5.7.1 no such words here\n')
        lines = {
            'compatibility_level': '3.6', 'queue_directory': self.dir + '/queue', 'data_directory': self.dir + '/data',
            'daemon_directory': library + '/sbin', 'command_directory': CACHE + '/usr/sbin', 'shlib_directory': self.dir + '/lib',
            'mail_owner': self.owner, 'setgid_group': self.group, 'default_privs': 'nobody',
            'import_environment': 'MAIL_CONFIG LD_LIBRARY_PATH LC_ALL SASL_PATH',
            'maillog_file': self.log_path, 'maillog_file_prefixes': self.dir, 'myhostname': 'relay.example', 'inet_interfaces': '127.0.0.1',
            'inet_protocols': 'ipv4', 'mynetworks': '', 'mydestination': '', 'local_recipient_maps': '', 'alias_maps': '', 'alias_database': '',
            'virtual_mailbox_domains': 'example.com', 'virtual_mailbox_base': self.mail_dir, 'virtual_mailbox_maps': 'static:all/',
            'virtual_uid_maps': 'static:%d' % uid, 'virtual_gid_maps': 'static:%d' % gid, 'virtual_minimum_uid': '1',
            'smtpd_client_event_limit_exceptions': '', 'smtpd_delay_reject': 'no',
            'smtpd_sender_restrictions': ask, 'smtpd_recipient_restrictions': ask,
            'smtpd_relay_restrictions': 'permit_auth_destination, reject', 'smtpd_data_restrictions': ask, 'smtpd_end_of_data_restrictions': ask,
            'smtpd_discard_ehlo_keywords': discard, 'smtputf8_enable': 'yes' if self.smtputf8 else 'no',
            'header_checks': 'regexp:%s/header_checks' % self.dir, 'smtpd_tls_session_cache_database': '',
        }
        if self.tls:
            lines.update(smtpd_tls_security_level='encrypt', smtpd_tls_cert_file=self.tls.cert, smtpd_tls_key_file=self.tls.key)
        if self.users:
            self.write_users()
            lines.update(smtpd_sasl_auth_enable='yes', smtpd_sasl_type='cyrus', cyrus_sasl_config_path=self.dir + '/conf',
                         smtpd_sasl_local_domain='relay.example',
                         smtpd_sender_restrictions='permit_sasl_authenticated, check_sender_access static:{530 5.7.0 Authentication required}')
        lines.update(self.settings)
        with open(os.path.join(self.dir, 'conf', 'main.cf'), 'w') as out:
            out.write(''.join('%s = %s\n' % line for line in lines.items()))
        os.utime(os.path.join(self.dir, 'conf', 'main.cf'), (1e9, 1e9))  # each daemon would wait until what is so new has settled
        daemons = ['rewrite unix - - n - - trivial-rewrite', 'cleanup unix n - n - 0 cleanup', 'qmgr unix n - n 300 1 qmgr',
                   'virtual unix - n n - - virtual', 'postlog unix-dgram n - n - 1 postlogd', 'tlsmgr unix - - n 1000? 1 tlsmgr',
                   'flush unix n - n 1000? 0 flush']
        others = (('anvil', '1', 'anvil'), ('bounce', '0', 'bounce'), ('defer', '0', 'bounce'), ('trace', '0', 'bounce'), ('error', '-', 'error'),
                  ('retry', '-', 'error'), ('proxymap', '-', 'proxymap'))
        daemons += ['%s unix - - n - %s %s' % other for other in others]
        with open(os.path.join(self.dir, 'conf', 'master.cf'), 'w') as out:
            out.write('127.0.0.1:%d inet n - n - - smtpd\n' % self.port + ''.join(line + '\n' for line in daemons))

    def write_users(self):
        database = os.path.join(self.dir, 'conf', 'sasldb2')
        os.mkdir(os.path.join(self.dir, 'conf', 'sasl'))  # where Debian's looks
        with open(os.path.join(self.dir, 'conf', 'sasl', 'smtpd.conf'), 'w') as out:
            out.write('pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\nmech_list: PLAIN LOGIN\n' % database)
        for user, password in self.users.items():
            subprocess.run([os.path.join(CACHE, 'usr/sbin/saslpasswd2'), '-p', '-c', '-f', database, '-u', 'relay.example', user],
                           input=password.encode(), check=True, env=self.environment, capture_output=True)
        shutil.chown(database, self.owner)

    def command(self):
        self.environment['MAIL_CONFIG'] = self.dir + '/conf'
        return [os.path.join(CACHE, 'usr/lib/postfix/sbin/master'), '-c', self.dir + '/conf', '-d']


class Exim(Relay):
    name = 'Exim'

    def write(self):
        self.binary = os.path.join(self.dir, 'exim')
        shutil.copy(os.path.join(CACHE, 'usr/sbin/exim4'), self.binary)
        for name in ('spool', 'mail'):
            os.mkdir(os.path.join(self.dir, name))
            shutil.chown(os.path.join(self.dir, name), 'Debian-exim', 'Debian-exim')
        lines = {
            'exim_path': self.binary, 'keep_environment': 'LD_LIBRARY_PATH', 'primary_hostname': 'relay.example',
            'spool_directory': self.dir + '/spool', 'log_file_path': self.dir + '/spool/log/%s',
            'local_interfaces': '127.0.0.1.%d' % self.port, 'daemon_smtp_ports': str(self.port),
            'deliver_drop_privilege': 'true', 'never_users': '', 'host_lookup': '', 'rfc1413_hosts': '', 'disable_ipv6': 'true',
            'queue_run_max': '1', 'smtp_accept_queue_per_connection': '0', 'tls_advertise_hosts': '',
            'chunking_advertise_hosts': '*' if self.chunking else '', 'smtputf8_advertise_hosts': '*' if self.smtputf8 else '',
            'acl_smtp_mail': 'acl_mail', 'acl_smtp_rcpt': 'acl_rcpt', 'acl_smtp_predata': 'acl_predata', 'acl_smtp_data': 'acl_data',
            'smtp_accept_max': '200', 'smtp_reserve_hosts': '', 'timezone': 'UTC',
        }
        if self.tls:
            lines.update(tls_advertise_hosts='*', tls_certificate=self.tls.cert, tls_privatekey=self.tls.key,
                         auth_advertise_hosts='${if eq{$tls_in_cipher}{}{}{*}}')
        lines.update({k: v for k, v in self.settings.items() if not k.startswith('acl_')})
        acls = {stage: '' for stage in ('mail', 'rcpt', 'predata', 'data')}
        acls.update({k[4:]: v for k, v in self.settings.items() if k.startswith('acl_')})
        before = '  deny !encrypted = *\n       message = 530 5.7.0 Must issue a STARTTLS command first\n' if self.tls else ''
        before += '  deny !authenticated = *\n       message = 530 5.7.0 Authentication required\n' if self.users else ''
        text = ''.join('%s = %s\n' % line for line in lines.items()) + 'begin acl\n'
        for name, stage, recipient in (('mail', 'MAIL', ''), ('rcpt', 'RCPT', '$local_part@$domain'), ('predata', 'DATA', '$recipients'),
                                       ('data', 'BODY', '$recipients')):
            text += 'acl_%s:\n' % name + (before if name == 'mail' else '') + acls[name]
            text += '  warn set acl_m_said = ${readsocket{inet:127.0.0.1:%d}{%s\\t%s\\n}{10s}}\n' % (self.policy_port, stage, recipient)
            for verb, digit in (('defer', 4), ('deny', 5)):
                text += '  %s condition = ${if match{$acl_m_said}{^%d}}\n       message = $acl_m_said\n' % (verb, digit)
            if name == 'data':
                text += '  deny condition = ${if match{$h_Subject:}{unwanted}}\n       message = 550 5.7.1 no such words here\n'
            text += '  accept\n'
        text += ('begin routers\nall:\n  driver = accept\n  domains = example.com\n  transport = keep\n'
                 'begin transports\nkeep:\n  driver = appendfile\n'
                 '  directory = %s/all\n  maildir_format\n  create_directory\n  user = Debian-exim\n  group = Debian-exim\n  delivery_date_add\n'
                 'begin retry\n* * F,1h,1s\n' % self.mail_dir)
        if self.users:
            (user, password), = self.users.items()
            text += ('begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  server_set_id = $auth2\n'
                     '  server_condition = ${if and{{eq{$auth2}{%s}}{eq{$auth3}{%s}}}}\nlogin:\n  driver = plaintext\n  public_name = LOGIN\n'
                     '  server_prompts = <| Username: | Password:\n  server_set_id = $auth1\n'
                     '  server_condition = ${if and{{eq{$auth1}{%s}}{eq{$auth2}{%s}}}}\n' % (user, password, user, password))
        self.config = os.path.join(self.dir, 'exim.conf')
        with open(self.config, 'w') as out:
            out.write(text)
        os.chmod(self.config, 0o644)

    def command(self):
        return [self.binary, '-C', self.config, '-bdf', '-q5s', '-oP', self.dir + '/spool/exim.pid']
