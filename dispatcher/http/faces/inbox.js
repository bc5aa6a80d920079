// <tidings-inbox>: the inbox of one person on any page.  One file, no framework, nothing that a strict CSP forbids.
//
//   <script type="module" src="https://notify.example.com/inbox.js"></script>
//   <tidings-inbox token-url="/my/inbox-token"></tidings-inbox>
//
// TidingsInbox (no look): the store behind it, for pages that draw themselves: new TidingsInbox({ src, getToken }).start().
// It tells "change", "item" (a new card), "state" (live, polling, offline, signed-out) and "error".

const HERE = new URL(import.meta.url).origin;
const WORDS = {
  en: { title: 'Notifications', unread: '{n} unread', all: 'All', new: 'Unread', readAll: 'Mark all read', empty: 'Nothing new', read: 'Mark read', unread1: 'Mark unread', archive: 'Remove', snooze: 'Later', more: 'More', offline: 'Offline', out: 'Signed out', failed: 'That did not work', news: '{n} new', answer: 'Your answer', send: 'Send', thanks: 'Thank you' },
  de: { title: 'Mitteilungen', unread: '{n} ungelesen', all: 'Alle', new: 'Ungelesen', readAll: 'Alle gelesen', empty: 'Nichts Neues', read: 'Gelesen', unread1: 'Ungelesen', archive: 'Entfernen', snooze: 'Später', more: 'Mehr', offline: 'Offline', out: 'Abgemeldet', failed: 'Das ging nicht', news: '{n} neu', answer: 'Ihre Antwort', send: 'Senden', thanks: 'Danke' },
  fr: { title: 'Notifications', unread: '{n} non lues', all: 'Toutes', new: 'Non lues', readAll: 'Tout marquer comme lu', empty: 'Rien de nouveau', read: 'Marquer comme lu', unread1: 'Marquer comme non lu', archive: 'Retirer', snooze: 'Plus tard', more: 'Plus', offline: 'Hors ligne', out: 'Déconnecté', failed: 'Échec', news: '{n} nouvelles', answer: 'Votre réponse', send: 'Envoyer', thanks: 'Merci' },
  pl: { title: 'Powiadomienia', unread: 'nieprzeczytane: {n}', all: 'Wszystkie', new: 'Nieprzeczytane', readAll: 'Oznacz wszystkie', empty: 'Nic nowego', read: 'Przeczytane', unread1: 'Nieprzeczytane', archive: 'Usuń', snooze: 'Później', more: 'Więcej', offline: 'Brak połączenia', out: 'Wylogowano', failed: 'Nie udało się', news: 'nowe: {n}', answer: 'Odpowiedź', send: 'Wyślij', thanks: 'Dziękujemy' },
  ar: { title: 'الإشعارات', unread: 'غير مقروء: {n}', all: 'الكل', new: 'غير المقروء', readAll: 'تحديد الكل كمقروء', empty: 'لا جديد', read: 'تمت القراءة', unread1: 'غير مقروء', archive: 'إزالة', snooze: 'لاحقًا', more: 'المزيد', offline: 'غير متصل', out: 'تم تسجيل الخروج', failed: 'لم ينجح ذلك', news: 'جديد: {n}', answer: 'إجابتك', send: 'إرسال', thanks: 'شكرًا' },
  ja: { title: 'お知らせ', unread: '未読 {n} 件', all: 'すべて', new: '未読', readAll: 'すべて既読にする', empty: '新着はありません', read: '既読にする', unread1: '未読にする', archive: '削除', snooze: 'あとで', more: 'もっと見る', offline: 'オフライン', out: 'サインアウト', failed: 'できませんでした', news: '新着 {n} 件', answer: '回答', send: '送信', thanks: 'ありがとうございます' },
};
const RTL = ['ar', 'he', 'fa', 'ur'];
const SILENCE = 40000; // ms without a byte: the stream is dead
const sleep = ms => new Promise(done => setTimeout(done, ms));

// ------------------------------------------------------------------ the store

const stores = new Map(); // two inboxes on one page share one
const askers = new WeakMap(); // functions that get tokens, by number
let asker = 0;

export class TidingsInbox extends EventTarget {
  items = new Map(); unread = 0; unseen = 0; version = 0; listed = 0; state = 'offline'; before = null;
  #token = null; #tokenAsked = null; #stop = new AbortController(); #channel = null; #leads = false; #open = false; #started = false; #users = 0; #replaced = false;

  constructor({ src = HERE, getToken, limit = 20, stream = true, poll = 30 } = {}) {
    super();
    Object.assign(this, { src, getToken, limit, stream, poll });
  }

  static shared(key, options) {
    let store = stores.get(key);
    if (!store) stores.set(key, store = new TidingsInbox(options));
    store.#users++;
    return store;
  }
  release() {
    if (--this.#users <= 0) this.close();
  }

  async start() {
    if (this.#started) return;
    this.#started = true;
    for (const name of ['online', 'offline']) addEventListener(name, () => this.#wake(), { signal: this.#stop.signal });
    document.addEventListener('visibilitychange', () => this.#wake(), { signal: this.#stop.signal });
    if (await this.refresh()) this.#follow();
    else this.#again();
  }
  close() {
    for (const [key, store] of stores) if (store === this) stores.delete(key);
    this.#stop.abort();
    this.#channel?.close();
    this.items.clear();
    this.#token = null;
    this.unread = this.unseen = 0;
    this.#say('signed-out');
  }
  get sorted() {
    const now = Date.now();
    return [...this.items.values()].filter(i => !i.archived_at && !(i.snoozed_until && Date.parse(i.snoozed_until) > now)).sort((a, b) => (b.pinned === true) - (a.pinned === true) || Date.parse(b.at) - Date.parse(a.at) || (a.id < b.id ? 1 : -1));
  }

  // ---- asking

  async #authorized(fresh) {
    if (fresh || !this.#token) this.#token = await (this.#tokenAsked ??= Promise.resolve(this.getToken()).finally(() => { this.#tokenAsked = null; }));
    return this.#token;
  }
  async ask(path, { method = 'GET', body, headers = {}, signal } = {}) {
    for (const fresh of [false, true]) {
      const token = await this.#authorized(fresh);
      const answer = await fetch(this.src + '/v1/inbox' + path, {
        method, cache: 'no-store', credentials: 'omit', signal: signal ?? this.#stop.signal, body: body && JSON.stringify(body),
        headers: { Authorization: 'Bearer ' + token, ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers },
      });
      if (answer.status !== 401 || fresh) return answer;
    }
  }
  async #json(path, options) {
    const answer = await this.ask(path, options);
    if (!answer.ok) throw this.#failure(answer);
    return answer.json();
  }
  async refresh() {
    try {
      const page = await this.#json(`?limit=${this.limit}`);
      this.who = page.who;
      if (page.version < this.listed) return true; // a frame was faster
      this.listed = page.version;
      this.items = new Map(page.items.map(i => [i.id, i]));
      this.before = page.items.length === this.limit ? page.before : null;
      this.#counts(page);
      return true;
    } catch (e) { return this.#fail(e); }
  }
  async loadMore() {
    if (!this.before) return;
    try {
      const page = await this.#json(`?limit=${this.limit}&before=${this.before}`);
      for (const i of page.items) if (!this.items.has(i.id)) this.items.set(i.id, i);
      this.before = page.items.length === this.limit ? page.before : null;
      this.#tell('change');
    } catch (e) { this.#fail(e); }
  }
  #failure(answer) { return Object.assign(new Error('status ' + answer.status), { code: answer.status }); }
  #fail(e) {
    if (this.#stop.signal.aborted) return false;
    this.#say(e.code === 401 || e.code === 403 ? 'signed-out' : 'offline');
    this.#tell('error', { code: e.code ?? 'network' });
    return false;
  }

  // ---- doing: at once here, undone when it is refused

  async #act(id, path, change, body) {
    const item = this.items.get(id), was = item && { ...item }, at = this.version;
    const weigh = (i, key) => !i[key] && !i.archived_at && !i.snoozed_until ? 1 : 0;
    let unread = 0, unseen = 0;
    if (item) {
      change(item);
      this.unread += unread = weigh(item, 'read_at') - weigh(was, 'read_at');
      this.unseen += unseen = weigh(item, 'seen_at') - weigh(was, 'seen_at');
      this.#tell('change');
    }
    try {
      this.#counts(await this.#json('/' + encodeURIComponent(id) + '/' + path, { method: 'POST', body: body ?? {} }));
      return true;
    } catch (e) {
      if (was && this.items.get(id) === item) Object.assign(item, was);
      if (this.version === at) { this.unread -= unread; this.unseen -= unseen; } // else a frame has said what they are
      if (was) this.#tell('change');
      this.#tell('error', { code: e.code ?? 'network' });
      return false;
    }
  }
  read(id) { return this.#act(id, 'read', i => { i.read_at ??= new Date().toISOString(); i.seen_at ??= i.read_at; }); }
  unreadAgain(id) { return this.#act(id, 'unread', i => { i.read_at = null; }); }
  seen(id) { return this.#act(id, 'seen', i => { i.seen_at ??= new Date().toISOString(); }); }
  archive(id) { return this.#act(id, 'archive', i => { i.archived_at = new Date().toISOString(); }); }
  snooze(id, span = '1d') { return this.#act(id, 'snooze', i => { i.snoozed_until = new Date(Date.now() + 864e5).toISOString(); }, { for: span }); }
  answer(id, answer) { return this.#act(id, 'answer', i => { i.answered = answer; i.read_at ??= new Date().toISOString(); i.seen_at ??= i.read_at; }, { answer }); }
  async markAllRead() {
    const until = this.listed, now = new Date().toISOString(); // what came since has not been seen here
    try {
      const counts = await this.#json('/all/read', { method: 'POST', body: { until } });
      for (const i of this.items.values()) if (i.v <= until) { i.read_at ??= now; i.seen_at ??= now; }
      this.#counts(counts);
    } catch (e) { this.#fail(e); }
  }

  // ---- hearing

  #counts({ unread, unseen, version }) {
    if (version < this.version) return;
    Object.assign(this, { unread, unseen, version });
    this.#tell('change');
  }
  #take(event, data) {
    if (event === 'inbox') {
      if (data.since > this.listed) { this.refresh(); return; } // something was missed
      const news = data.items.filter(i => !this.items.has(i.id) && !i.read_at);
      for (const i of data.items) if (!(this.items.get(i.id)?.v > i.v)) this.items.set(i.id, i);
      for (const id of data.gone) this.items.delete(id);
      this.listed = Math.max(this.listed, data.version);
      this.#counts(data);
      for (const item of news) this.#tell('item', { item });
    } else if (event === 'hello') {
      this.#counts(data);
    } else if (event === 'resync') {
      this.refresh();
    }
  }
  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
  #say(state) {
    if (state === this.state) return;
    this.state = state;
    this.#channel && this.#leads && this.#post({ state });
    this.#tell('state', { state });
  }
  #post(message) { try { this.#channel?.postMessage(message); } catch { /* it is closed */ } }

  // One tab of a person streams, and tells the others; where a browser cannot agree on one, each streams.
  async #follow() {
    const name = `tidings:${this.src}:${this.who ?? ''}`, signal = this.#stop.signal;
    if (!this.stream) return this.#pollOn(signal);
    if (!navigator.locks || !('BroadcastChannel' in globalThis)) return this.#streamOn(signal);
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => {
      if (data.state) this.#say(data.state);
      else this.#take(data.event, data.data);
    };
    this.#say('live');
    navigator.locks.request(name, { signal }, async () => {
      this.#leads = true;
      await this.#streamOn(signal);
    }).catch(() => {});
  }
  async #streamOn(signal) {
    for (let tries = 0; !signal.aborted;) {
      if (navigator.onLine === false) { this.#say('offline'); await this.#woken(); continue; }
      const begun = Date.now();
      let wait = null;
      try { wait = await this.#streamOnce(signal); } catch (e) { if (!signal.aborted) this.#fail(e); }
      if (signal.aborted) return;
      if (this.#replaced) { // this person has streams enough elsewhere: this one asks, until somebody looks at it
        this.#replaced = false;
        let looked = false;
        this.#woken().then(() => { looked = true; });
        while (!looked && !signal.aborted) { try { await this.#pollOnce(signal); } catch (e) { if (!signal.aborted) this.#fail(e); } await Promise.race([sleep(1000 * this.poll), this.#woken()]); }
        continue;
      }
      tries = Date.now() - begun > 60000 ? 0 : tries + 1;
      if (wait === null && this.state === 'live') this.#say('offline');
      await Promise.race([sleep(wait ?? Math.min(60000, 1000 * 2 ** Math.min(tries, 6)) * (0.5 + Math.random())), this.#woken()]);
    }
  }
  async #streamOnce(signal) {
    const dead = new AbortController(), end = () => dead.abort();
    signal.addEventListener('abort', end, { once: true });
    let timer = setTimeout(end, SILENCE), text = '', again = null;
    try {
      const answer = await this.ask('/stream', { headers: { 'Last-Event-ID': String(this.listed) }, signal: dead.signal });
      if (answer.status === 503 || answer.status === 429) return await this.#pollOnce(signal, answer);
      if (!answer.ok) throw this.#failure(answer);
      this.#open = true;
      this.#say('live');
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return again;
        clearTimeout(timer);
        timer = setTimeout(end, SILENCE);
        text += value;
        for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) {
          const field = Object.fromEntries(text.slice(0, at).split('\n').map(l => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()]));
          if (!field.event) continue;
          const data = JSON.parse(field.data);
          if (field.event === 'bye') { again = data.again * 1000; this.#replaced = data.reason === 'replaced'; if (data.reason === 'expired') this.#token = null; continue; }
          this.#take(field.event, data);
          this.#post({ event: field.event, data });
        }
      }
    } finally {
      this.#open = false;
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  }
  // No place for a stream: the counts are asked for now and then.
  async #pollOnce(signal, refused) {
    this.#say('polling');
    const answer = await this.ask('/count', { headers: { 'If-None-Match': `"${this.listed}"` }, signal });
    if (answer.status !== 304 && answer.ok && (await answer.json()).version > this.listed) await this.refresh();
    return 1000 * (Number(refused?.headers.get('Retry-After')) || this.poll);
  }
  async #pollOn(signal) {
    while (!signal.aborted) {
      try { await this.#pollOnce(signal); } catch (e) { if (!signal.aborted) this.#fail(e); }
      await Promise.race([sleep(1000 * this.poll), this.#woken()]);
    }
  }
  async #again() {
    for (let tries = 1; !this.#stop.signal.aborted; tries++) {
      await Promise.race([sleep(Math.min(60000, 1000 * 2 ** tries) * (0.5 + Math.random())), this.#woken()]);
      if (!this.#stop.signal.aborted && await this.refresh()) return this.#follow();
    }
  }
  #wakers = [];
  #woken() { return new Promise(done => this.#wakers.push(done)); }
  #wake() {
    if (navigator.onLine === false) { this.#say('offline'); return; }
    if (this.#open) this.#say('live');
    if (document.visibilityState === 'hidden') return;
    for (const done of this.#wakers.splice(0)) done();
  }
}

// ------------------------------------------------------------------ its look

const SHEET = `
:host { --ink: var(--tidings-ink, #1d2733); --soft: var(--tidings-soft, #4a5765); --page: var(--tidings-page, #f2f4f7); --card: var(--tidings-card, #fff); --line: var(--tidings-line, #66717d);
  --accent: var(--tidings-accent, #1b56ad); --on: var(--tidings-on-accent, #fff); --badge: var(--tidings-badge, #b3261e); --radius: var(--tidings-radius, .75rem);
  display: inline-block; color-scheme: light; font: 1rem/1.5 var(--tidings-font, system-ui, "Noto Sans", "Noto Sans Arabic", "Noto Sans JP", sans-serif); color: var(--ink); text-align: start }
:host([hidden]) { display: none }
:host(.dark) { --ink: var(--tidings-ink, #eef1f5); --soft: var(--tidings-soft, #b7c1cc); --page: var(--tidings-page, #12171d); --card: var(--tidings-card, #1d242c); --line: var(--tidings-line, #8a96a3);
  --accent: var(--tidings-accent, #8ab8ff); --on: var(--tidings-on-accent, #10151b); --badge: var(--tidings-badge, #ffb4ab); color-scheme: dark }
:host(.dark) .badge { color: #410002 }
* { box-sizing: border-box }
button { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: .5rem; min-height: 2.75rem; min-width: 2.75rem; padding: .25rem .75rem; cursor: pointer }
button:focus-visible, a:focus-visible, article:focus-visible, input:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
a { color: var(--accent) }
.bell { position: relative; padding: .5rem }
.bell svg { display: block; width: 1.5rem; height: 1.5rem; fill: currentColor }
.badge { position: absolute; inset-block-start: 0; inset-inline-end: 0; min-width: 1.25rem; padding: 0 .35rem; border-radius: 1rem; background: var(--badge); color: #fff; font-size: .75rem; line-height: 1.25rem; text-align: center }
.badge[hidden], [hidden] { display: none }
.view-badge .badge { position: static; display: inline-block }
.view-badge .badge[hidden] { display: none }
.popover { margin: 0; padding: 0; border: 1px solid var(--line); border-radius: var(--radius); background: var(--card); color: var(--ink); width: min(var(--tidings-width, 24rem), calc(100vw - 1rem)); max-height: min(var(--tidings-height, 36rem), calc(100dvh - 1rem)); overflow: hidden; box-shadow: 0 .5rem 2rem #0004; position: fixed; inset: auto }
.popover:popover-open { display: flex; flex-direction: column }
.panel { display: flex; flex-direction: column; border: 1px solid var(--line); border-radius: var(--radius); background: var(--card); width: min(var(--tidings-width, 24rem), 100%); max-height: var(--tidings-height, 36rem); overflow: hidden }
.header { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: .25rem .5rem; padding: .5rem 1rem; border-block-end: 1px solid var(--line) }
h2 { margin: 0; font-size: 1.0625rem }
.header button, .action, .more { color: var(--accent) }
.tabs { display: flex; gap: .25rem; flex-basis: 100% }
.tab[aria-pressed=true] { border-color: var(--accent) }
.list { overflow-y: auto; overscroll-behavior: contain; min-height: 6rem }
article { position: relative; padding: .75rem 1rem; border-block-end: 1px solid var(--line) }
article.unread { background: var(--page); border-inline-start: 4px solid var(--accent); padding-inline-start: calc(1rem - 4px) }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere }
article:not(.unread) h3 { font-weight: 500 }
.body { margin: .25rem 0 0; white-space: pre-line; overflow-wrap: anywhere }
.time { color: var(--soft); font-size: .875rem }
.actions { display: flex; flex-wrap: wrap; gap: .25rem; margin: .25rem -.75rem -.25rem }
.action { font-size: .875rem }
fieldset { margin: .5rem 0 0; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .5rem }
.choices { display: flex; flex-wrap: wrap }
.choices label { display: inline-flex; align-items: center; gap: .35rem; min-height: 2.75rem; margin-inline-end: .75rem }
input[type=radio] { width: 1.25rem; height: 1.25rem; accent-color: var(--accent) }
.empty, .offline { margin: 0; padding: 2rem 1rem; text-align: center; color: var(--soft) }
.offline { padding: .5rem 1rem; border-block-end: 1px solid var(--line) }
.footer { display: flex; justify-content: center }
.live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@media (forced-colors: active) { .badge, article.unread, .popover, .panel { border: 1px solid CanvasText } }
@media (prefers-reduced-motion: no-preference) { .popover { transition: opacity .12s } }
`;
let sheet;
const make = (tag, props = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};
const part = (tag, name, props = {}, ...children) => {
  const e = make(tag, props, ...children);
  e.setAttribute('part', name);
  e.classList.add(...name.split(' '));
  return e;
};
const safe = url => {
  if (typeof url !== 'string') return null;
  if (/^\/(?!\/)/.test(url)) return url;
  try { return ['https:', 'http:'].includes(new URL(url).protocol) ? url : null; } catch { return null; }
};
// Text with its bare links; never HTML.
const linked = text => text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)])/).map((piece, n) => n % 2 ? make('a', { href: piece, rel: 'noopener', textContent: piece }) : piece);
const BELL = () => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', 'M12 2a7 7 0 0 0-7 7v4l-2 3v1h18v-1l-2-3V9a7 7 0 0 0-7-7Zm0 20a3 3 0 0 0 3-3H9a3 3 0 0 0 3 3Z');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(path);
  return svg;
};

export class TidingsInboxElement extends HTMLElement {
  static observedAttributes = ['locale', 'theme', 'view'];
  words = {};
  #root = this.attachShadow({ mode: 'open' }); #store = null; #nodes = new Map(); #tab = 'all'; #said = 0; #toSay = 0; #drawn = false; #watch = null; #seenSoon = new Set(); #drafts = new Map();

  get locale() { return this.getAttribute('locale') || document.documentElement.lang || 'en'; }
  get view() { return this.getAttribute('view') || 'bell'; }
  get store() { return this.#store; }

  connectedCallback() {
    const src = this.getAttribute('src') || HERE, url = this.getAttribute('token-url');
    if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(SHEET);
    this.#root.adoptedStyleSheets = [sheet];
    this.#draw();
    const ask = this.getToken ?? (async () => {
      const answer = await fetch(url, { credentials: 'same-origin', headers: { Accept: 'application/json' }, method: this.getAttribute('token-method') || 'GET' });
      if (!answer.ok) throw Object.assign(new Error('no token'), { code: answer.status });
      const text = await answer.text();
      try { return JSON.parse(text).token ?? text; } catch { return text.trim(); }
    });
    if (!url && !this.getToken) return;
    if (this.getToken && !askers.has(this.getToken)) askers.set(this.getToken, ++asker);
    this.#store = TidingsInbox.shared(`${src} ${this.getToken ? askers.get(this.getToken) : url}`, { src, getToken: ask, limit: Number(this.getAttribute('limit')) || 20, stream: !this.hasAttribute('no-stream'), poll: Number(this.getAttribute('poll')) || 30 });
    this.#store.addEventListener('change', this.#onChange);
    this.#store.addEventListener('item', this.#onItem);
    this.#store.addEventListener('state', this.#onState);
    this.#store.addEventListener('error', this.#onError);
    this.#store.start().then(() => this.#emit('ready'));
    if (this.#store.version) this.#onChange();
  }
  disconnectedCallback() {
    if (!this.#store) return;
    for (const [name, fn] of [['change', this.#onChange], ['item', this.#onItem], ['state', this.#onState], ['error', this.#onError]]) this.#store.removeEventListener(name, fn);
    this.#watch?.disconnect();
    this.#store.release();
    this.#store = null;
  }
  attributeChangedCallback() { if (this.#drawn) { this.#draw(); this.#onChange(); } }

  show() { const p = this.#at('.popover'); if (p && !p.matches(':popover-open')) p.showPopover(); }
  hide() { const p = this.#at('.popover'); if (p?.matches(':popover-open')) p.hidePopover(); }
  refresh() { return this.#store?.refresh(); }
  markAllRead() { return this.#store?.markAllRead(); }
  close() { this.hide(); this.#store?.close(); }

  #at(selector) { return this.#root.querySelector(selector); }
  #say(key, n) {
    const language = this.locale.split('-')[0], words = { ...WORDS.en, ...WORDS[language], ...this.words };
    return n === undefined ? words[key] : words[key].replace('{n}', new Intl.NumberFormat(this.locale).format(n));
  }
  #emit(name, detail, cancelable = false) { return this.dispatchEvent(new CustomEvent('tidings-' + name, { detail, bubbles: true, composed: true, cancelable })); }

  // ---- the frame

  #draw() {
    this.#drawn = true;
    const rtl = RTL.includes(this.locale.split('-')[0]), theme = this.getAttribute('theme') || 'auto', dark = matchMedia('(prefers-color-scheme: dark)');
    this.classList.toggle('dark', theme === 'dark' || (theme === 'auto' && dark.matches));
    dark.onchange = () => { if ((this.getAttribute('theme') || 'auto') === 'auto') this.classList.toggle('dark', dark.matches); };
    this.#nodes.clear();
    this.#watch?.disconnect();
    const badge = part('span', 'badge', { hidden: true }), live = part('div', 'live', { role: 'status' });
    const frame = make('div', { className: 'frame view-' + this.view, lang: this.locale, dir: rtl ? 'rtl' : 'ltr' });
    if (this.view === 'badge') frame.append(badge);
    else if (this.view === 'panel') frame.append(this.#panel('panel'));
    else {
      const bell = part('button', 'bell', { type: 'button' }, make('slot', { name: 'bell' }, BELL()), badge), panel = this.#panel('popover');
      panel.popover = 'auto';
      panel.setAttribute('role', 'dialog');
      panel.setAttribute('aria-labelledby', 'title');
      bell.setAttribute('aria-haspopup', 'dialog');
      bell.setAttribute('aria-expanded', 'false');
      bell.popoverTargetElement = panel;
      panel.addEventListener('toggle', e => this.#toggled(e.newState === 'open', bell, panel));
      frame.append(bell, panel);
    }
    frame.append(live);
    this.#root.replaceChildren(frame);
  }
  #panel(name) {
    const title = make('h2', { id: 'title', textContent: this.#say('title') });
    title.setAttribute('part', 'title');
    const all = part('button', 'mark', { type: 'button', textContent: this.#say('readAll') });
    all.onclick = () => this.markAllRead();
    const tabs = part('div', 'tabs', {}, ...['all', 'unread'].map(tab => {
      const b = part('button', 'tab', { type: 'button', textContent: this.#say(tab === 'all' ? 'all' : 'new') });
      b.setAttribute('aria-pressed', String(this.#tab === tab));
      b.onclick = () => { this.#tab = tab; for (const t of tabs.children) t.setAttribute('aria-pressed', String(t === b)); this.#onChange(); };
      return b;
    }));
    const more = part('button', 'more', { type: 'button', hidden: true, textContent: this.#say('more') });
    more.onclick = () => this.#store.loadMore();
    const list = part('div', 'list', { tabIndex: -1 });
    list.addEventListener('keydown', e => this.#moved(e, list));
    this.#watch = new IntersectionObserver(entries => this.#shown(entries), { root: list, threshold: 0.5 });
    return part('div', name, {}, part('div', 'header', {}, make('slot', { name: 'header' }, title), all, tabs), part('p', 'offline', { hidden: true }),
      list, part('p', 'empty', {}, make('slot', { name: 'empty' }, this.#say('empty'))), part('div', 'footer', {}, more, make('slot', { name: 'footer' })));
  }
  #toggled(open, bell, panel) {
    bell.setAttribute('aria-expanded', String(open));
    this.#emit(open ? 'open' : 'close');
    if (!open) {
      if ([document.body, this].includes(document.activeElement)) bell.focus(); // nowhere else was meant
      return;
    }
    const at = bell.getBoundingClientRect(), width = panel.offsetWidth, start = this.#at('.frame').dir === 'rtl' ? at.left : at.right - width;
    panel.style.left = Math.max(8, Math.min(start, innerWidth - width - 8)) + 'px';
    panel.style.top = Math.max(8, Math.min(at.bottom + 4, innerHeight - panel.offsetHeight - 8)) + 'px';
    (panel.querySelector('article') ?? panel.querySelector('button'))?.focus();
  }

  // ---- the cards

  #onChange = () => {
    const store = this.#store;
    if (!store || !this.#drawn) return;
    const badge = this.#at('.badge'), list = this.#at('.list');
    if (badge) {
      badge.hidden = !store.unread;
      badge.textContent = store.unread > 99 ? '99+' : new Intl.NumberFormat(this.locale).format(store.unread);
      badge.setAttribute('aria-hidden', 'true');
    }
    this.#at('.bell')?.setAttribute('aria-label', this.#say('title') + (store.unread ? ', ' + this.#say('unread', store.unread) : ''));
    if (list) this.#fill(list, store.sorted.filter(i => this.#tab === 'all' || !i.read_at));
    if (this.hasAttribute('title-badge')) document.title = document.title.replace(/^\(\d+\) /, '').replace(/^/, store.unread ? `(${store.unread}) ` : '');
    this.#emit('counts', { unread: store.unread, unseen: store.unseen });
  };
  #fill(list, items) {
    const keep = new Set(items.map(i => i.id)), focused = this.#root.activeElement?.closest?.('article');
    for (const [id, node] of this.#nodes) if (!keep.has(id)) { node.element.remove(); this.#watch.unobserve(node.element); this.#nodes.delete(id); }
    items.forEach((item, n) => {
      const key = JSON.stringify([item.v, item.read_at, item.answered, this.locale]);
      let node = this.#nodes.get(item.id);
      if (!node || node.key !== key) {
        const element = this.#article(item);
        if (node) { const had = node.element === focused; node.element.replaceWith(element); this.#watch.unobserve(node.element); if (had) element.focus(); }
        this.#nodes.set(item.id, node = { key, element });
        this.#watch.observe(element);
      }
      if (list.children[n] !== node.element) list.insertBefore(node.element, list.children[n] ?? null);
      node.element.tabIndex = n === 0 && !focused ? 0 : node.element === focused ? 0 : -1;
    });
    this.#at('.empty').hidden = items.length > 0;
    this.#at('.more').hidden = !this.#store.before;
    this.#at('.mark').hidden = !this.#store.unread;
  }
  #article(item) {
    const url = safe(item.url), title = part('h3', 'item-title', { id: 't-' + item.id });
    if (url) {
      const link = make('a', { href: url, rel: 'noopener', textContent: item.title ?? '' });
      link.onclick = e => { e.preventDefault(); this.#go(item, 'open', url); };
      title.append(link);
    } else title.textContent = item.title ?? '';
    const button = (words, fn) => { const b = part('button', 'action', { type: 'button', textContent: this.#say(words) }); b.onclick = fn; return b; };
    const actions = part('div', 'actions', {}, ...(item.actions ?? []).map(a => {
      const b = part('button', 'action', { type: 'button', textContent: a.label });
      b.onclick = () => a.snooze ? this.#store.snooze(item.id, a.snooze) : this.#go(item, a.id, safe(a.url));
      return b;
    }), item.read_at ? button('unread1', () => this.#store.unreadAgain(item.id)) : button('read', () => this.#store.read(item.id)),
    button('snooze', () => this.#store.snooze(item.id)), button('archive', () => this.#store.archive(item.id)));
    const body = part('p', 'item-body', { className: 'body' }, ...linked(item.body ?? ''));
    for (const words of [title, body]) Object.assign(words, { lang: item.lang ?? '', dir: item.dir ?? 'auto' }); // theirs; what is around them is the page's
    const e = part('article', 'item' + (item.read_at ? '' : ' item-unread unread'), {}, title, body,
      ...(item.answer ? [this.#question(item)] : []), this.#time(item), actions);
    e.setAttribute('aria-labelledby', title.id);
    e.dataset.id = item.id;
    return e;
  }
  #time(item) {
    const at = Date.parse(item.at), past = (at - Date.now()) / 1000;
    const [unit, size] = [['day', 86400], ['hour', 3600], ['minute', 60]].find(([, s]) => Math.abs(past) >= s) ?? ['second', 1];
    const t = part('time', 'item-time', { className: 'time', dateTime: item.at, title: new Intl.DateTimeFormat(this.locale, { dateStyle: 'full', timeStyle: 'short' }).format(at) });
    t.textContent = new Intl.RelativeTimeFormat(this.locale, { numeric: 'auto' }).format(Math.round(past / size), unit);
    return t;
  }
  #question(item) {
    const answered = item.answered !== null && item.answered !== undefined, box = part('fieldset', 'question', { disabled: answered });
    const form = part('form', 'survey', {}, box), send = part('button', 'action submit', { type: 'submit', textContent: this.#say('send'), hidden: answered });
    box.append(make('legend', { textContent: answered ? this.#say('thanks') : this.#say('answer') }), make('div', { className: 'choices' }, ...item.answer.choices.map((choice, n) => {
      const input = part('input', 'option', { type: 'radio', name: 'a-' + item.id, value: String(n), required: true, checked: (answered ? item.answered : this.#drafts.get(item.id)) === choice });
      input.onchange = () => this.#drafts.set(item.id, choice);
      return make('label', {}, input, String(choice));
    })), send);
    form.onsubmit = e => {
      e.preventDefault();
      const choice = item.answer.choices[Number(new FormData(form).get('a-' + item.id))];
      this.#emit('answer', { item, answers: choice });
      this.#store.answer(item.id, choice).then(ok => { if (!ok) this.#announce(this.#say('failed')); });
    };
    return form;
  }
  #go(item, action, url) {
    this.#store.read(item.id);
    if (this.#emit('action', { item, action, url }, true) && url) location.assign(url);
  }
  #moved(e, list) {
    const all = [...list.querySelectorAll('article')], at = all.indexOf(this.#root.activeElement?.closest?.('article'));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[e.key];
    if (to === undefined || e.target.matches('input') || !all[to]) return;
    e.preventDefault();
    for (const a of all) a.tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
  }
  // What has been half visible for a second has been seen.
  #shown(entries) {
    for (const { target, isIntersecting } of entries) {
      const id = target.dataset.id;
      if (!isIntersecting) { this.#seenSoon.delete(id); continue; }
      this.#seenSoon.add(id);
      setTimeout(() => { const item = this.#store?.items.get(id); if (this.#seenSoon.delete(id) && item && !item.seen_at) this.#store.seen(id); }, 1000);
    }
  }

  // ---- telling

  #onItem = ({ detail }) => {
    this.#emit('item', detail);
    this.#toSay++;
    setTimeout(() => this.#sayNews(), Math.max(300, 5000 - (Date.now() - this.#said)));
  };
  #sayNews() {
    if (!this.#toSay || !this.isConnected) return;
    this.#announce(this.#say('title') + ': ' + this.#say('news', this.#toSay));
    this.#said = Date.now();
    this.#toSay = 0;
  }
  #announce(text) { const live = this.#at('.live'); if (live) live.textContent = text; }
  #onState = ({ detail: { state } }) => {
    const line = this.#at('.offline');
    if (line) { line.hidden = state === 'live' || state === 'polling'; line.textContent = this.#say(state === 'signed-out' ? 'out' : 'offline'); }
    this.#emit('state', { state });
    if (state === 'signed-out') this.#onChange();
  };
  #onError = ({ detail }) => { this.#emit('error', detail); };
}

if (!customElements.get('tidings-inbox')) customElements.define('tidings-inbox', TidingsInboxElement);
