// Chromium, and a server that serves the package under a strict policy and passes the rest on to the demo.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { login, newUser, startDemo } from '../demo.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

/** What reached `/upload`, which refuses once. */
export const uploads = [];

/** Refuses the first upload as a guard does, and keeps each byte for byte. */
async function upload(incoming, outgoing) {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  uploads.push({ type: incoming.headers['content-type'], body: Buffer.concat(parts).toString('latin1') });
  const refusal = { errorCode: 'STEP_UP_REQUIRED', reason: 'missing', channels: { otp: ['SMS'], push: [] }, start: ['/stepup/challenges/otp/SMS'] };
  outgoing.writeHead(uploads.length === 1 ? 403 : 200, { 'content-type': 'application/json' });
  outgoing.end(JSON.stringify(refusal));
}

function serve(demo) {
  const server = createServer((incoming, outgoing) => {
    const { pathname } = new URL(incoming.url, 'http://localhost');
    if (pathname === '/upload') return upload(incoming, outgoing);
    const path = pathname === '/' ? '/test/browser/page.html' : pathname;
    if (/^\/(src|test)\/[\w./-]+$/.test(path) && !path.includes('..')) {
      outgoing.writeHead(200, { 'content-type': TYPES[extname(path)], 'content-security-policy': "default-src 'self'; base-uri 'none'" });
      return outgoing.end(readFileSync(ROOT + path));
    }
    const { hostname, port } = new URL(demo);
    const forward = request({ hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    return incoming.pipe(forward);
  });
  server.unref();
  return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)); });
}

/** Starts the demo, the server and Chromium. */
export async function open() {
  const demo = await startDemo();
  const url = await serve(demo);
  const executablePath = process.env.CHROMIUM ?? execFileSync('sh', ['-c', 'command -v chromium || command -v chromium-browser || command -v google-chrome'], { encoding: 'utf8' }).trim();
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });

  return {
    demo,
    url,
    close: () => browser.close(),

    /** A context of a user who is logged in; `pages` of it are tabs of one session. */
    async user({ name = newUser(), options = {}, init, ...settings } = {}) {
      const token = await login(demo, name);
      const context = await browser.newContext({ locale: 'en-GB', ...settings });
      context.setDefaultTimeout(10_000);
      await context.addInitScript(([token, options]) => {
        sessionStorage.setItem('authorization', `Bearer ${token}`);
        sessionStorage.setItem('options', JSON.stringify(options));
      }, [token, options]);
      if (init) await context.addInitScript(init);
      const page = async () => {
        const made = await context.newPage();
        await made.goto(url);
        await made.waitForFunction(() => window.ready);
        return made;
      };
      return { context, token, name, page };
    },
  };
}

/** Keeps a picture where somebody asks for it. */
export async function picture(page, name) {
  if (!process.env.PICTURES) return;
  mkdirSync(`${ROOT}test/pictures`, { recursive: true });
  await page.screenshot({ path: `${ROOT}test/pictures/${name}.png` });
}
