import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newUser } from '../demo.js';
import { open } from './browser.js';

let bank;
before(async () => { bank = await open(); });
after(() => bank.close());

const dialog = (page) => page.getByRole('dialog');
const click = (page, name) => dialog(page).getByRole('button', { name, exact: true }).click();
const result = (page, text) => page.locator('#result', { hasText: text }).waitFor();
const problem = (page, text) => dialog(page).getByRole('alert').filter({ hasText: text }).waitFor();

/** Opens the dialog by a button of the page; the calls to the server are counted. */
async function refused(button = 'Show the card', settings = {}) {
  const user = await bank.user(settings);
  const page = await user.page();
  const calls = [];
  page.on('request', (request) => calls.push(`${request.method()} ${new URL(request.url()).pathname}`));
  if (settings.routes) await settings.routes(page);
  await page.getByRole('button', { name: button }).click();
  await dialog(page).waitFor();
  const count = (call) => calls.filter((one) => one === call).length;
  return { page, user, calls, count, done: () => user.context.close() };
}
const BY_CODE = 'Code by text message •••• 0111';
const VERIFY = 'POST /stepup/challenges/otp/SMS/verify';

test('a code: masked destination, only a whole code is sent, invisible characters are not', async () => {
  const { page, count, done } = await refused();
  await dialog(page).getByText('•••• 0111').waitFor();
  await click(page, BY_CODE);
  const input = dialog(page).getByLabel('Code');
  assert.equal(await input.getAttribute('autocomplete'), 'one-time-code');
  assert.equal(await input.getAttribute('inputmode'), 'numeric');
  assert.equal(await input.evaluate((element) => element === document.activeElement), true);
  await dialog(page).getByText('We have sent a code by text message to •••• 0111.').waitFor();
  await dialog(page).getByText(/The code is valid for [45]:\d\d\./).waitFor();
  assert.equal(await dialog(page).getByRole('button', { name: /Send a new code \(in 0:\d\d\)/ }).isDisabled(), true);
  await input.fill('12345');
  await input.press('Enter');
  await problem(page, 'The code has 6 digits.');
  assert.equal(count(VERIFY), 0);
  await input.fill('000000');
  await click(page, 'Confirm');
  await problem(page, 'That code is wrong.');
  assert.equal(await input.getAttribute('aria-invalid'), 'true');
  await input.fill(' 12\u200b3-4\u00a056');
  await click(page, 'Confirm');
  await result(page, 'Card: 200');
  assert.equal(await dialog(page).count(), 0);
  await done();
});

test('wrong codes until the last attempt, in plain words', async () => {
  const { page, done } = await refused();
  await click(page, BY_CODE);
  for (const words of ['Try again.', 'Try again.', 'Try again.', 'one more attempt', 'Too many attempts with this code']) {
    await dialog(page).getByLabel('Code').fill('000000');
    const [answer] = await Promise.all([page.waitForResponse((response) => response.url().endsWith('/verify')), click(page, 'Confirm')]);
    assert.equal(answer.status(), 409);
    await problem(page, words);
  }
  assert.equal(await dialog(page).getByText('The code is valid for').count(), 0);
  await dialog(page).getByLabel('Code').fill('123456');
  await click(page, 'Confirm');
  await problem(page, 'That code is no longer valid.');
  await done();
});

const STATUS = /\/stepup\/challenges$/;
/** The status of a session whose pending code is for something else. */
const ofAnotherTab = (route) => route.fulfill({ json: { status: 'STANDARD', grants: [], channels: {}, pending: { otp: { channel: 'SMS', scope: 'other', expiresIn: 299 } } } });

test('a code that another tab has started meanwhile is not what is cancelled', async () => {
  for (const [meanwhile, cancelled] of [[undefined, 1], [ofAnotherTab, 0]]) {
    const { page, count, done } = await refused();
    await click(page, BY_CODE);
    await dialog(page).getByLabel('Code').waitFor();
    if (meanwhile) await page.route(STATUS, meanwhile);
    await click(page, 'Cancel');
    await result(page, 'Card: CANCELLED');
    assert.equal(count('DELETE /stepup/challenges/otp/SMS'), cancelled);
    await done();
  }
});

test('a code that is gone before it is typed is not sent again by itself', async () => {
  const pending = { otp: { channel: 'SMS', expiresIn: 299 } };
  const channels = { otp: ['SMS'], push: ['BIOMETRIC'] };
  const routes = (page) => page.route(STATUS, (route) => route.fulfill({ json: { status: 'STANDARD', grants: [], channels, pending } }), { times: 1 });
  const { page, count, done } = await refused('Show the card', { routes });
  await dialog(page).getByLabel('Code').waitFor();
  assert.equal(count('POST /stepup/challenges/otp/SMS'), 0);
  await done();
});

test('the binding of an old refusal ends the dialog: the request has to be sent again', async () => {
  const syntaxErrors = { invalidFields: [{ params: [], fieldName: 'binding', error: 'NOT_IN' }] };
  const refusal = { message: 'Invalid request', errorCode: 'INVALID_REQUEST', syntaxErrors };
  const routes = (page) => page.route(/\/otp\/SMS$/, (route) => route.fulfill({ status: 400, json: refusal }));
  const { page, done } = await refused('Pay', { routes });
  await click(page, BY_CODE);
  await result(page, 'Pay: ChallengeError');
  assert.equal(await dialog(page).count(), 0);
  await done();
});

test('a start that the browser has sent twice leads to the field', async () => {
  const routes = (page) => page.route(/\/otp\/SMS$/, async (route) => {
    await route.fetch();
    await route.continue();
  });
  const { page, done } = await refused('Show the card', { routes });
  await click(page, BY_CODE);
  await dialog(page).getByLabel('Code').fill('123456');
  await click(page, 'Confirm');
  await result(page, 'Card: 200');
  await done();
});

test('the keyboard alone, and focus goes back to where it was', async () => {
  const user = await bank.user();
  const page = await user.page();
  await page.locator('#card').focus();
  await page.keyboard.press('Enter');
  await dialog(page).getByRole('button', { name: 'Code by text message' }).waitFor();
  await page.keyboard.press('Enter');
  await dialog(page).getByLabel('Code').waitFor();
  await page.keyboard.type('123456');
  await page.keyboard.press('Enter');
  await result(page, 'Card: 200');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'card');
  await user.context.close();
});

for (const [name, close] of [['Escape', (page) => page.keyboard.press('Escape')], ['the button', (page) => click(page, 'Cancel')]]) {
  test(`${name} cancels, and what is pending with it`, async () => {
    const { page, count, done } = await refused();
    await click(page, BY_CODE);
    await dialog(page).getByLabel('Code').waitFor();
    await close(page);
    await result(page, 'Card: CANCELLED');
    assert.equal(count('DELETE /stepup/challenges/otp/SMS'), 1);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'card');
    await done();
  });
}

/** Answers the push that the page has started, as the phone would. */
async function started(page, button) {
  const [response] = await Promise.all([
    page.waitForResponse((answer) => /\/push\/BIOMETRIC$/.test(answer.url()) && answer.request().method() === 'POST'), click(page, button),
  ]);
  const { id } = await response.json();
  await dialog(page).getByText('Open the request on your device').waitFor();
  return (answer) => fetch(`${bank.demo}/simulate/push/${id}/${answer}`, { method: 'POST' });
}

test('a push that is declined, and then one that is confirmed', async () => {
  const { page, done } = await refused();
  let phone = await started(page, 'Confirm on your device (app)');
  await dialog(page).getByText(/The request is valid for [45]:\d\d\./).waitFor();
  await phone('decline');
  await problem(page, 'The request was declined on your device.');
  phone = await started(page, 'Confirm on your device (app)');
  await phone('accept');
  await result(page, 'Card: 200');
  await done();
});

test('a push that has expired, and one that is left for a code is cancelled', async () => {
  const { page, calls, done } = await refused('Show the card', {
    routes: (page) => page.route(/\/push\/BIOMETRIC\/\d+$/, async (route) => {
      if (route.request().method() !== 'GET') return route.continue();
      const response = await route.fetch();
      const json = await response.json();
      return route.fulfill({ response, json: { ...json, ...(page.expired && { status: 'EXPIRED', expiresIn: 0 }) } });
    }),
  });
  await started(page, 'Confirm on your device (app)');
  await click(page, 'Confirm in another way');
  await click(page, BY_CODE);
  await dialog(page).getByLabel('Code').waitFor();
  assert.equal(calls.filter((call) => call.startsWith('DELETE /stepup/challenges/push/BIOMETRIC/')).length, 1);
  await click(page, 'Confirm in another way');
  await started(page, 'Confirm on your device (app)');
  page.expired = true;
  await problem(page, 'The request has expired.');
  await done();
});

test('number matching shows the number', async () => {
  const { page, done } = await refused('Show the card', {
    routes: (page) => page.route(/\/push\/BIOMETRIC$/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...await response.json(), number: '47' } });
    }),
  });
  const phone = await started(page, 'Confirm on your device (app)');
  assert.equal(await dialog(page).locator('output').textContent(), '47');
  await phone('accept');
  await result(page, 'Card: 200');
  await done();
});

test('what is approved is shown; the same again is asked about first', async () => {
  const { page, count, done } = await refused('Pay');
  await dialog(page).getByText('Pay 250.00 EUR to carol').waitFor();
  await click(page, BY_CODE);
  await dialog(page).getByLabel('Code').fill('123456');
  await click(page, 'Confirm');
  await result(page, 'Pay: 201');
  await page.getByRole('button', { name: 'Pay' }).click();
  await dialog(page).getByText(/already sent and confirmed on .*\d{4}/).waitFor();
  assert.equal(count('POST /stepup/challenges/otp/SMS'), 1);
  await click(page, 'Cancel');
  await result(page, 'Pay: CANCELLED');
  await page.getByRole('button', { name: 'Pay' }).click();
  await click(page, 'Yes, send it again');
  const phone = await started(page, 'Confirm on your device (app)');
  await phone('accept');
  await result(page, 'Pay: 201');
  await done();
});

test('only enrolled channels are offered, and one alone begins by itself', async () => {
  const none = await refused('Show the card', { name: newUser('bob') });
  await dialog(none.page).getByText('You have not set up a way').waitFor();
  await none.done();
  const one = await refused('Show the card', { name: newUser('carol') });
  await dialog(one.page).getByText('Open the request on your device').waitFor();
  assert.equal(one.count('POST /stepup/challenges/push/BIOMETRIC'), 1);
  await one.done();
});

const refuse = (status, body) => (page) => page.route(/\/(otp\/SMS|push\/BIOMETRIC)$/, (route) => route.fulfill({ status, json: body }));
for (const [status, body, words] of [
  [403, { errorCode: 'INSUFFICIENT_PERMISSIONS' }, 'You cannot confirm this at present.'],
  [409, { errorCode: 'RETRY_IN_15SEC', retryAfter: 9 }, 'You can send another in 0:09.'],
  [429, { errorCode: 'RATE_LIMITED', retryAfter: 90 }, 'Too many attempts. Try again in 1:30.'],
  [503, { errorCode: 'UNAVAILABLE' }, 'This does not work at the moment.'],
  [500, { errorCode: 'constructor', message: '<img src=x>' }, 'That did not work.'],
]) {
  test(`a start that is refused with ${status} is explained`, async () => {
    const { page, done } = await refused('Show the card', { routes: refuse(status, body) });
    await click(page, BY_CODE);
    await problem(page, words);
    await click(page, 'Cancel');
    await result(page, 'Card: CANCELLED');
    await done();
  });
}

test('the code is taken from the message where the browser can, and asking for it ends with the dialog', async () => {
  const { page, done } = await refused('Show the card', {
    init: () => {
      window.OTPCredential = class {};
      navigator.credentials.get = ({ signal }) => new Promise((resolve) => {
        window.fill = resolve;
        signal.addEventListener('abort', () => { window.aborted = true; });
      });
    },
  });
  await click(page, BY_CODE);
  await dialog(page).getByLabel('Code').waitFor();
  await page.evaluate(() => window.fill({ code: '123456' }));
  await result(page, 'Card: 200');
  assert.equal(await page.evaluate(() => window.aborted), true);
  await done();
});

test('a start whose response is lost goes on from the status', async () => {
  const { page, done } = await refused('Show the card', {
    routes: (page) => page.route(/\/otp\/SMS$/, async (route) => {
      if (route.request().method() !== 'POST') return route.continue();
      await route.fetch();
      return route.abort();
    }),
  });
  await click(page, BY_CODE);
  await dialog(page).getByLabel('Code').fill('123456');
  await click(page, 'Confirm');
  await result(page, 'Card: 200');
  await done();
});

for (const [language, words] of [['de-AT', 'Bestätigen Sie, dass Sie es sind'], ['fr', 'Confirmez votre identité'], ['es', 'Confirme que es usted'], ['xx', 'Confirm that it is you']]) {
  test(`texts in ${language}`, async () => {
    const { page, done } = await refused('Show the card', { options: { language, texts: { cancel: 'Not now' } } });
    await page.getByRole('dialog', { name: words }).waitFor();
    await click(page, 'Not now');
    await result(page, 'Card: CANCELLED');
    await done();
  });
}
