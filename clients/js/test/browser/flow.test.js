import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open, uploads } from './browser.js';

let bank;
before(async () => { bank = await open(); });
after(() => bank.close());
const dialog = (page) => page.getByRole('dialog');
const button = (page, name) => dialog(page).getByRole('button', { name });

test('each of several channels, one after the other', async () => {
  const user = await bank.user();
  const page = await user.page();
  await page.route('**/cards/1', async (route) => {
    const response = await route.fetch();
    return response.ok() ? route.fulfill({ response }) : route.fulfill({ response, json: { ...await response.json(), all: true } });
  });
  await page.locator('#card').click();
  await button(page, 'Code by text message').click();
  await dialog(page).getByLabel('Code').fill('123456');
  const push = page.waitForResponse((response) => /\/push\/BIOMETRIC$/.test(response.url()));
  await button(page, /^Confirm$/).click();
  await dialog(page).getByRole('status').filter({ hasText: 'Now confirm in the other way' }).waitFor();
  await button(page, 'Confirm on your device').click();
  const { id } = await (await push).json();
  await fetch(`${bank.demo}/simulate/push/${id}/accept`, { method: 'POST' });
  await page.locator('#result', { hasText: 'Card: 200' }).waitFor();
  await user.context.close();
});

test('a verification whose response is lost is found when it is repeated', async () => {
  const user = await bank.user();
  const page = await user.page();
  let lost = 0;
  await page.route('**/verify', async (route) => {
    if (lost++) return route.continue();
    await route.fetch();
    return route.abort();
  });
  await page.locator('#card').click();
  await button(page, 'Code by text message').click();
  await dialog(page).getByLabel('Code').fill('123456');
  await button(page, /^Confirm$/).click();
  await dialog(page).getByRole('alert').filter({ hasText: 'There is no connection.' }).waitFor();
  await button(page, /^Confirm$/).click();
  await page.locator('#result', { hasText: 'Card: 200' }).waitFor();
  await user.context.close();
});

test('the dialog closes when nobody waits any longer, and cancels what is pending', async () => {
  const user = await bank.user();
  const page = await user.page();
  const cancelled = page.waitForRequest((request) => request.method() === 'DELETE');
  const result = page.evaluate(() => {
    window.leaving = new AbortController();
    return window.call('/cards/1', { signal: window.leaving.signal });
  });
  await button(page, 'Code by text message').click();
  await dialog(page).getByLabel('Code').waitFor();
  await page.evaluate(() => window.leaving.abort());
  assert.equal(await result, 20); // DOMException.ABORT_ERR
  await cancelled;
  await dialog(page).waitFor({ state: 'detached' });
  await user.context.close();
});

test('a code that is still pending is asked for again, without another message', async () => {
  const user = await bank.user();
  let starts = 0;
  const page = await user.page();
  page.on('request', (request) => { if (/\/otp\/SMS$/.test(request.url()) && request.method() === 'POST') starts += 1; });
  await page.locator('#card').click();
  await button(page, 'Code by text message').click();
  await dialog(page).getByLabel('Code').waitFor();
  await page.reload();
  await page.waitForFunction(() => window.ready);
  await page.locator('#card').click();
  // Nor is there anything to choose.
  await dialog(page).getByLabel('Code').fill('123456');
  await button(page, /^Confirm$/).click();
  await page.locator('#result', { hasText: 'Card: 200' }).waitFor();
  assert.equal(starts, 1);
  await user.context.close();
});

test('a new code can be sent when the wait is over, and the old one is void', async () => {
  const user = await bank.user();
  const page = await user.page();
  let starts = 0;
  // The server's wait of 15 seconds is shortened on the way, and the second start is answered here.
  await page.route(/\/stepup\/challenges(\/otp\/SMS)?$/, async (route) => {
    const request = route.request();
    if (request.method() === 'POST') return starts++ ? route.fulfill({ status: 204 }) : route.continue();
    const response = await route.fetch();
    const json = await response.json();
    if (json.pending?.otp) json.pending.otp.retryIn = starts > 1 ? 15 : 1;
    return route.fulfill({ response, json });
  });
  await page.locator('#card').click();
  await button(page, 'Code by text message').click();
  await button(page, 'Send a new code (in 0:01)').waitFor();
  await button(page, /^Send a new code$/).click();
  await dialog(page).getByRole('status').filter({ hasText: 'A new code is on its way.' }).waitFor();
  await button(page, 'Send a new code (in 0:15)').waitFor();
  assert.equal(starts, 2);
  await user.context.close();
});

test('a user without a channel is led to where one is set up, by a link that is no script', async () => {
  for (const [enroll, links] of [['/settings/phone', 1], ['javascript:alert(1)', 0], [undefined, 0]]) {
    const user = await bank.user();
    const page = await user.page();
    await page.route('**/cards/1', async (route) => {
      const response = await route.fetch();
      const { start, ...json } = await response.json();
      return route.fulfill({ response, json: { ...json, reason: 'no_channel', channels: { otp: [], push: [] }, enroll } });
    });
    await page.locator('#card').click();
    await dialog(page).getByText('You have not set up a way').waitFor();
    assert.equal(await dialog(page).getByRole('link', { name: 'Set one up' }).count(), links);
    await user.context.close();
  }
});

for (const [name, body] of [['a form', 'FormData'], ['parameters', 'URLSearchParams']]) {
  test(`${name} is repeated byte for byte`, async () => {
    uploads.length = 0;
    const user = await bank.user();
    const page = await user.page();
    const result = page.evaluate((body) => {
      const made = new window[body]();
      made.append('amount', '1.00');
      if (body === 'FormData') made.append('file', new Blob(['content']), 'a.txt');
      return window.call('/upload', { method: 'POST', body: made });
    }, body);
    await dialog(page).getByLabel('Code').fill('123456');
    await button(page, /^Confirm$/).click();
    assert.equal(await result, 200);
    assert.equal(uploads.length, 2);
    assert.ok(uploads[0].body.includes('1.00'));
    assert.deepEqual(uploads[1], uploads[0]);
    await user.context.close();
  });
}
