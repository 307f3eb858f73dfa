import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './browser.js';

let bank;
before(async () => { bank = await open(); });
after(() => bank.close());
const START = /\/otp\/SMS$/;

/** Two tabs of one session, each refused at once; how many prompts open in all. */
async function twoTabs(init) {
  const user = await bank.user({ init });
  const pages = [await user.page(), await user.page()];
  let starts = 0;
  for (const page of pages) page.on('request', (request) => { if (START.test(request.url())) starts += 1; });
  const refused = Promise.all(pages.map((page) => page.waitForResponse((response) => response.url().endsWith('/cards/1'))));
  const results = Promise.all(pages.map((page) => page.evaluate(() => window.call('/cards/1'))));
  await refused;
  const shown = await Promise.race(pages.map((page) => page.getByRole('dialog').waitFor().then(() => page)));
  await shown.getByRole('button', { name: 'Code by text message' }).click();
  await shown.getByLabel('Code').fill('123456');
  await shown.getByRole('button', { name: 'Confirm', exact: true }).click();
  const statuses = await results;
  const open = await Promise.all(pages.map((page) => page.getByRole('dialog').count()));
  await user.context.close();
  return { statuses, starts, open };
}

test('two tabs: one prompt, and both go on', async () => {
  const { statuses, starts, open } = await twoTabs();
  assert.deepEqual(statuses, [200, 200]);
  assert.equal(starts, 1);
  assert.deepEqual(open, [0, 0]);
});

test('without Web Locks both tabs prompt, and the one that is answered closes the other', async () => {
  const { statuses, open } = await twoTabs(() => Object.defineProperty(navigator, 'locks', { value: undefined }));
  assert.deepEqual(statuses, [200, 200]);
  assert.deepEqual(open, [0, 0]);
});

test('without both, a tab is on its own', async () => {
  const user = await bank.user({ init: () => {
    Object.defineProperty(navigator, 'locks', { value: undefined });
    delete window.BroadcastChannel;
  } });
  const page = await user.page();
  const results = page.evaluate(() => Promise.all([window.call('/cards/1'), window.call('/cards/1')]));
  await page.getByRole('button', { name: 'Code by text message' }).click();
  await page.getByLabel('Code').fill('123456');
  await page.getByRole('button', { name: 'Confirm', exact: true }).click();
  assert.deepEqual(await results, [200, 200]);
  await user.context.close();
});

test('nothing secret reaches other tabs, the storage or a URL', async () => {
  const user = await bank.user();
  const page = await user.page();
  const other = await user.page();
  await other.evaluate(() => {
    window.heard = [];
    new BroadcastChannel('tower-step-up').onmessage = ({ data }) => window.heard.push(data);
  });
  const urls = [];
  page.on('request', (request) => urls.push(request.url()));
  const stored = () => page.evaluate(() => JSON.stringify([Object.keys(localStorage), Object.keys(sessionStorage).sort()]));
  const before = await stored();
  for (const button of ['Show the card', 'Pay']) {
    await page.getByRole('button', { name: button }).click();
    const push = page.waitForResponse((response) => /\/push\/BIOMETRIC$/.test(response.url()));
    await page.getByRole('button', { name: /on your device/ }).click();
    const { id } = await (await push).json();
    await fetch(`${bank.demo}/simulate/push/${id}/accept`, { method: 'POST' });
    await page.locator('#result', { hasText: /20[01]/ }).waitFor();
    await page.evaluate(() => { document.getElementById('result').textContent = ''; });
  }
  const heard = await other.evaluate(() => window.heard);
  // The payout is bound, so nothing is said of it.
  assert.equal(heard.length, 1);
  assert.deepEqual(JSON.parse(heard[0][0]), { challenges: `${bank.url}/stepup/challenges`, unmet: [], channels: { otp: ['SMS'], push: ['BIOMETRIC'], proof: [] } });
  assert.equal(await stored(), before);
  assert.equal(urls.some((url) => url.includes('?') || url.includes('123456')), false);
  await user.context.close();
});
