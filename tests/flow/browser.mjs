// Looks at pages in Chromium, at two widths, light and dark: accessibility (axe-core) and whether anything sticks out sideways.
//   node browser.mjs URL…      prints [{url, width, scheme, violations, overflow, lang, dir}]; --shots DIR also takes pictures
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(fileURLToPath(new URL('../package.json', import.meta.url)));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const words = process.argv.slice(2), at = words.indexOf('--shots');
const shots = at < 0 ? null : words.splice(at, 2)[1];
// nothing but the page: what Chromium asks of the world by itself takes its time where there is no way out
const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: quiet });
const seen = [];
for (const [index, url] of words.entries())
  for (const width of [390, 1280])
    for (const scheme of ['light', 'dark']) {
      const page = await (await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, bypassCSP: true })).newPage();
      await page.goto(url, { timeout: 120000 });
      const look = await page.evaluate(() => ({
        overflow: document.documentElement.scrollWidth > innerWidth, lang: document.documentElement.lang, dir: document.documentElement.dir
      }));
      await page.evaluate(axe);
      const result = await page.evaluate(() => axe.run({ iframes: false }));
      const violations = result.violations.map(v => `${v.id}: ${v.nodes[0].html.slice(0, 200)}`);
      if (shots) await page.screenshot({ path: `${shots}/${index}-${width}-${scheme}.png`, fullPage: width < 500 });
      seen.push({ url, width, scheme, violations, ...look });
      await page.context().close();
    }
await browser.close();
console.log(JSON.stringify(seen));
