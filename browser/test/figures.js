// What the page costs: requests and bytes on the wire, headers included, and the time until it can be used.
import assert from 'node:assert/strict';
import { SMS, until } from './support/person.js';
import { startProxy } from './support/proxy.js';
import { scenario } from './support/tests.js';

const MOST = 20_480;
const ROUNDS = 5;
const PARTS = { document: /\/page\?t=/, style: /\.css$/, script: /\.js$/, status: /\/challenges$/ };

/** Notes when the dialog can be used. Without the script, it is the first paint that counts. */
const WATCH = `new MutationObserver(() => {
  if (!window.usable && document.querySelector('dialog[open] div button')) window.usable = performance.now();
}).observe(document, { childList: true, subtree: true });`;

/** One visit: the milliseconds from the click until the page is usable. */
async function visit(me, proxy) {
  proxy.requests.length = 0;
  await me.go('/cards/1');
  await me.label(SMS);
  return until('a time', () => me.driver.executeScript(me.script
    ? 'return window.usable' : 'return performance.getEntriesByName("first-contentful-paint")[0]?.startTime'));
}

const sum = (requests) => requests.reduce((bytes, request) => bytes + request.bytes, 0);
const matching = (requests, part) => requests.filter(({ call }) => part.test(call));
/** What the page has loaded: not the refusal that led to it, and not the icon that a browser may look for. */
const ofPage = ({ requests }) => requests.filter(({ call }) => call.startsWith('GET /stepup/challenges'));

scenario('requests, bytes, and time', async (me) => {
  await me.newTab();
  if (me.script) await me.cdp('Page.addScriptToEvaluateOnNewDocument', { source: WATCH });
  const times = [];
  let cold;
  let redirect;
  let warm;
  for (let round = 0; round < ROUNDS; round++) {
    // Another port is another cache.
    const proxy = await startProxy(me.direct);
    me.url = proxy.url;
    times.push(await visit(me, proxy));
    cold = ofPage(proxy);
    redirect = sum(matching(proxy.requests, /cards/));
    await visit(me, proxy);
    warm = sum(ofPage(proxy));
    await me.go('about:blank');
    await proxy.stop();
  }
  const time = Math.round(times.sort((a, b) => a - b)[ROUNDS >> 1]);
  const parts = Object.entries(PARTS).map(([name, part]) => `${name} ${sum(matching(cold, part))}`);
  console.log(`figures ${me.script ? 'with' : 'without'} script: ${sum(cold)} bytes in ${cold.length} requests (${parts.join(', ')}), `
    + `${warm} with a warm cache; the redirect to it ${redirect}; usable after ${time} ms (median of ${ROUNDS})`);
  assert.equal(matching(cold, PARTS.document).length, 1);
  assert.ok(sum(cold) <= MOST, `${sum(cold)} bytes, and ${MOST} are the most`);
});
