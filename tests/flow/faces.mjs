// The inbox component in a real browser, on a page of another origin under a strict CSP.
//   node faces.mjs SERVICE PORT [--shots DIR]     PORT: of the host page, whose origin the service lists
// Prints {scenario: {…}}; what each must say is in test_faces.py.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

const require = createRequire(fileURLToPath(new URL('../package.json', import.meta.url)));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [service, port] = process.argv.slice(2), shots = process.argv.includes('--shots') ? process.argv.at(-1) : null, host = `http://127.0.0.1:${port}`;
const csp = `default-src 'none'; script-src 'self' ${service}; style-src 'self'; connect-src 'self' ${service}; base-uri 'none'; require-trusted-types-for 'script'`;
const sleep = ms => new Promise(done => setTimeout(done, ms));
const api = async (path, body, method = 'POST') => (await fetch(service + path, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })).json();
const token = async who => (await api(`/v1/recipients/${who}/inbox-token`, {})).token;
const card = async (who, order, more = {}) => {
  const { id } = await api('/v1/messages', { recipient: { id: who, locale: 'en', timezone: 'UTC' }, template: 'order-update', category: 'account', channels: ['in_app'], data: { order, parcels: 2 }, ...more });
  for (let n = 0; n < 200; n++) if ((await (await fetch(`${service}/v1/messages/${id}`)).json()).status === 'sent') return id + '-i'; else await sleep(20);
  throw new Error('not sent: ' + id);
};
const metric = async name => Number((await (await fetch(service + '/metrics')).text()).match(new RegExp(`^${name} (\\S+)`, 'm'))?.[1] ?? 0);

let asked = 0, stale = 0;
createServer(async (request, response) => {
  const url = new URL(request.url, host);
  response.setHeader('Content-Security-Policy', csp);
  if (url.pathname === '/token') {
    asked++;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ token: stale-- > 0 ? 'over' : await token(url.searchParams.get('who')) }));
  } else if (url.pathname === '/page.css') {
    response.setHeader('Content-Type', 'text/css');
    response.end('body { margin: 0; font-family: sans-serif } .box { overflow: hidden; height: 60px; position: relative; transform: translateZ(0) } .end { position: absolute; inset-inline-end: 0 } main { padding: 1rem }');
  } else {
    const p = url.searchParams;
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><html lang="${p.get('locale') ?? 'en'}" dir="${/^(ar|he)/.test(p.get('locale')) ? 'rtl' : 'ltr'}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Portal</title>
      <link rel="stylesheet" href="/page.css"><script type="module" src="${service}/inbox.js"></script></head><body><header class="box"><span class="end"><tidings-inbox view="${p.get('view') ?? 'bell'}" token-url="/token?who=${p.get('who')}"></tidings-inbox></span></header><main><h1>Portal</h1></main></body></html>`);
  }
}).listen(Number(port), '127.0.0.1');

const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: quiet });
const violations = [];
async function page(context, who, { view = 'bell', locale = 'en' } = {}) {
  const p = await context.newPage();
  p.on('console', m => { if (/Content Security|Trusted|violat|Error/i.test(m.text()) && !/ERR_INTERNET|401|503|net::/.test(m.text())) violations.push(m.text()); });
  p.on('pageerror', e => violations.push(String(e)));
  await p.goto(`${host}/?who=${who}&view=${view}&locale=${locale}`);
  await p.waitForFunction(() => document.querySelector('tidings-inbox')?.store?.version > 0);
  return p;
}
const inside = (p, fn, arg) => p.evaluate(([text, a]) => { const e = document.querySelector('tidings-inbox'); return (0, eval)(text)(e, e.shadowRoot, a); }, [`(${fn})`, arg]);
const badge = p => inside(p, (e, root) => { const b = root.querySelector('.badge'); return b.hidden ? '' : b.textContent; });
const until = async (fn, ms = 8000) => { const end = Date.now() + ms; for (;;) { const v = await fn(); if (v || Date.now() > end) return v; await sleep(30); } };
const open = () => browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: false });

const scenarios = {
  // a card comes, is said once, politely, and is read
  async push() {
    const c = await open(), p = await page(c, 'push');
    const before = await badge(p), label = await inside(p, (e, root) => root.querySelector('.bell').getAttribute('aria-label'));
    const begun = Date.now();
    await card('push', '1');
    const after = await until(async () => await badge(p) === '1' && '1'), took = Date.now() - begun;
    for (let n = 2; n < 7; n++) await card('push', String(n));
    const said = await until(() => inside(p, (e, root) => root.querySelector('[role=status]').textContent));
    await p.locator('tidings-inbox .bell').click();
    const titles = await inside(p, (e, root) => [...root.querySelectorAll('article h3')].map(h => h.textContent));
    await p.locator('tidings-inbox .mark').click();
    const none = await until(async () => await badge(p) === '');
    const unread = (await (await fetch(service + '/v1/inbox/count', { headers: { Authorization: 'Bearer ' + await token('push') } })).json()).unread;
    await c.close();
    return { before, label, after, took, said, titles, none, unread };
  },
  // keys alone; focus goes in, and back
  async keyboard() {
    for (const n of [1, 2, 3]) await card('keys', String(n));
    const c = await open(), p = await page(c, 'keys');
    await p.keyboard.press('Tab');
    const first = await inside(p, (e, root) => root.activeElement?.className);
    await p.keyboard.press('Enter');
    const expanded = await until(() => inside(p, (e, root) => root.querySelector('.bell').getAttribute('aria-expanded') === 'true'));
    const walk = [];
    for (const key of [null, 'ArrowDown', 'ArrowDown', 'ArrowDown', 'Home', 'End']) {
      if (key) await p.keyboard.press(key);
      walk.push(await inside(p, (e, root) => [...root.querySelectorAll('article')].indexOf(root.activeElement)));
    }
    await p.keyboard.press('Escape');
    const closed = await until(() => inside(p, (e, root) => root.querySelector('.bell').getAttribute('aria-expanded') === 'false'));
    const back = await inside(p, (e, root) => root.activeElement?.className);
    await c.close();
    return { first, expanded, walk, closed, back };
  },
  // E32, E35: one stream for all tabs; when the one that has it goes, another has it
  async tabs() {
    await card('tabs', '1');
    const idle = await metric('tidings_inbox_streams'), c = await open(), pages = [];
    for (let n = 0; n < 4; n++) pages.push(await page(c, 'tabs'));
    await until(async () => await metric('tidings_inbox_streams') > idle);
    await sleep(500);
    const streams = await metric('tidings_inbox_streams') - idle;
    await card('tabs', '2');
    const badges = await until(async () => { const all = await Promise.all(pages.map(badge)); return all.every(b => b === '2') && all; });
    await inside(pages[2], (e) => e.store.markAllRead());
    const read = await until(async () => (await Promise.all(pages.map(badge))).every(b => b === ''));
    await pages[0].close();
    await card('tabs', '3');
    const taken = await until(async () => (await Promise.all(pages.slice(1).map(badge))).every(b => b === '1'), 15000);
    await c.close();
    return { streams, badges, read, taken };
  },
  // no way out, and back
  async offline() {
    const c = await open(), p = await page(c, 'off');
    await until(() => inside(p, e => e.store.state === 'live'));
    await c.setOffline(true);
    const off = await until(() => inside(p, e => e.store.state === 'offline'));
    await card('off', '1');
    await c.setOffline(false);
    const right = await until(async () => await badge(p) === '1', 5000), live = await until(() => inside(p, e => e.store.state === 'live'));
    await c.close();
    return { off, right, live };
  },
  // a token that is over is asked for anew
  async expiry() {
    await card('over', '1');
    const before = asked;
    stale = 1;
    const c = await open(), p = await page(c, 'over'), shown = await until(async () => await badge(p) === '1');
    await c.close();
    return { shown, asked: asked - before };
  },
  // foreign words are words
  async foreign() {
    await card('xss', '<img src=x onerror="document.title=1"> https://example.com/a?b=1, and more');
    const c = await open(), p = await page(c, 'xss');
    await p.locator('tidings-inbox .bell').click();
    const seen = await inside(p, (e, root) => ({ images: root.querySelectorAll('img').length, text: root.querySelector('article').textContent, links: [...root.querySelectorAll('.item-body a')].map(a => [a.href, a.rel]), title: document.title }));
    const urls = await p.evaluate(async src => { const { TidingsInbox } = await import(src); return typeof TidingsInbox; }, service + '/inbox.js');
    await c.close();
    return { ...seen, headless: urls };
  },
  // E40: an ancestor that cuts off cuts nothing off
  async whole() {
    for (const n of [1, 2]) await card('whole', String(n));
    const c = await open(), p = await page(c, 'whole');
    await p.locator('tidings-inbox .bell').click();
    const box = await inside(p, (e, root) => { const r = root.querySelector('.popover').getBoundingClientRect(); const at = document.elementFromPoint(r.left + 20, r.bottom - 8); return { inside: r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight, height: r.height, on_top: at === e }; });
    await c.close();
    return box;
  },
  // everybody can use it: axe, sizes, colours, languages
  async looks() {
    const seen = [];
    for (const n of [1, 2, 3]) await card('looks', String(n));
    for (const [locale, extra] of [['en', {}], ['de', {}], ['ar', {}], ['ja', {}], ['en', { forcedColors: 'active' }]])
      for (const width of [390, 1280]) for (const colorScheme of ['light', 'dark']) for (const view of ['bell', 'panel']) {
        if ((view === 'panel' || extra.forcedColors) && width === 1280) continue;
        if (['de', 'ja'].includes(locale) && (width === 1280 || view === 'panel')) continue; // their words are longer or of another script; the shape is that of en
        const c = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, bypassCSP: true, ...extra }), p = await page(c, 'looks', { view, locale });
        if (view === 'bell') await p.locator('tidings-inbox .bell').click();
        await p.evaluate(axe);
        const found = await p.evaluate(() => axe.run({ iframes: false }));
        const frame = await inside(p, (e, root) => ({ dir: root.querySelector('.frame').dir, small: [...root.querySelectorAll('button')].filter(b => b.offsetParent && (b.offsetHeight < 44 || b.offsetWidth < 44)).map(b => b.textContent), wide: document.documentElement.scrollWidth > innerWidth }));
        seen.push({ locale, width, colorScheme, view, ...extra, violations: found.violations.map(v => v.id + ': ' + v.nodes[0].html.slice(0, 160)), ...frame });
        if (shots) await p.screenshot({ path: `${shots}/${locale}-${width}-${colorScheme}-${view}${extra.forcedColors ? '-forced' : ''}.png` });
        await c.close();
      }
    return seen;
  },
  // the demonstration: the reader writes, and sees it arrive
  async demo() {
    const c = await open(), p = await c.newPage();
    p.on('console', m => { if (/Content Security|Trusted/i.test(m.text())) violations.push(m.text()); });
    await p.goto(service + '/demo');
    await p.waitForFunction(() => document.querySelector('tidings-inbox')?.store?.version > 0);
    await p.locator('button:has-text("Send")').click();
    const arrived = await until(async () => Number(await badge(p)) >= 1);
    const said = await p.locator('#said').textContent();
    await p.evaluate(axe).catch(() => {});
    if (shots) await p.screenshot({ path: `${shots}/demo.png` });
    await c.close();
    return { arrived, said };
  },
};

const result = {};
for (const [name, run] of Object.entries(scenarios)) {
  try { result[name] = await run(); } catch (e) { result[name] = { failed: String(e.stack).slice(0, 600) }; }
}
result.violations = violations;
await browser.close();
console.log(JSON.stringify(result));
process.exit(0);
