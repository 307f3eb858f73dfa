// Answers that the demo's own page does not want: they are lost, or they say no. Each is told in words, and there is a way on.
import assert from 'node:assert/strict';
import { ask, open } from './support/bank.js';
import { APP, SMS, until } from './support/person.js';
import { throughProxy } from './support/proxy.js';
import { withScript } from './support/tests.js';

const STATUS = 'GET /stepup/challenges';
const START = 'POST /stepup/challenges/otp/SMS';
const VERIFY = `${START}/verify`;
const PUSH = 'POST /stepup/challenges/push/BIOMETRIC';
const ENROL = 'POST /authentication_factors/otp/SMS';

/** What the API can answer, by status. */
const CODES = Object.entries({
  403: ['INSUFFICIENT_PERMISSIONS'],
  409: [
    'CHANNEL_NOT_SUPPORTED', 'CHANNEL_NOT_REGISTERED', 'MOBILE_NUMBER_INVALID', 'RETRY_IN_15SEC', 'CHALLENGE_LIMIT_EXCEEDED', 'STATE_INVALID',
    'VERIFICATION_CODE_INVALID', 'ONE_CHALLENGE_LIMIT_REMAINING', 'VERIFICATION_CODE_EXPIRED', 'ALREADY_VERIFIED',
  ],
  429: ['RATE_LIMITED'],
  503: ['UNAVAILABLE'],
}).flatMap(([status, codes]) => codes.map((errorCode) => [Number(status), { errorCode, message: errorCode, retryAfter: 15 }]));

/** What is answered where there is no state that could not allow it. */
const NO_STATE = CODES.filter(([status]) => status !== 409);

/** Each answer to a request has a sentence of its own next to what was pressed, and is nowhere shown as it is. */
async function inWords(me, proxy, call, press, box, note, answers = CODES) {
  const said = new Set();
  for (const [status, body] of answers) {
    proxy.answers[call] = [status, body];
    await press();
    const words = `!document.querySelector('${box} [aria-busy=true]') && document.querySelector('${note}').innerText`;
    said.add(await until(`words for ${body.errorCode}`, () => ask(me, words)));
    const shown = await ask(me, `document.querySelector('${box}').innerText`);
    assert.doesNotMatch(shown, /[A-Z_]{5,}|That did not work|The bank answers/, `${call}: ${body.errorCode}`);
  }
  delete proxy.answers[call];
  assert.equal(said.size, answers.length, [...said].join('\n'));
}

async function useUp(me) {
  for (const said of ['Try again.', 'Try again.', 'Try again.', 'You have one more attempt.', 'Too many attempts with this code. Send a new one.']) {
    await me.enter('000000');
    await me.see(said);
  }
}

withScript('the bank: a code is used up, and a push pays', async (me) => {
  await open(me);
  await me.press('Send');
  await me.press(SMS);
  await useUp(me);
  await me.press('Confirm in another way');
  await me.press(APP);
  await me.press('Accept');
  await me.see('Sent 10.00 EUR to bob.');
});

withScript('the bank: a code is used up, and another code pays', async (me) => {
  await open(me);
  await me.press('Send');
  await me.press(SMS);
  await useUp(me);
  // The wrong codes block the channel for half a minute, and each press says for how long.
  await until(async () => `another code, and saw: ${await me.text()}`, async () => {
    if ((await me.text()).includes('A new code is on its way.')) return true;
    await me.press('Send a new code', 0);
    return false;
  }, 45_000);
  await me.enter('123456');
  await me.see('Sent 10.00 EUR to bob.');
}, { timeout: 90_000 });

withScript('the bank: the answers to a start and to a code are lost, and the money is sent', throughProxy(async (me, proxy) => {
  await open(me);
  await me.press('Send');
  await me.label(SMS);
  proxy.lose(START);
  await me.press(SMS);
  await me.field();
  proxy.lose(VERIFY);
  await me.enter('123456');
  await me.see('There is no connection. Try again.');
  proxy.lose();
  await me.press('Confirm');
  await me.see('Sent 10.00 EUR to bob.');
}));

withScript('the bank: the answer to a transfer is lost: what is known is said, and the accounts tell the rest', throughProxy(async (me, proxy) => {
  const unknown = 'The bank does not answer, so it may or may not have happened. Look at the accounts when it is back, then try again.';
  await open(me);
  proxy.lose('POST /transfers');
  await me.press('Send');
  await me.see(unknown);
  proxy.lose();
  await me.press('Send');
  await me.press(SMS);
  await me.field();
  proxy.lose('POST /transfers');
  await me.enter('123456');
  await me.see(unknown);
  proxy.lose();
  await me.see('12,490.00 EUR');
  await me.press('Send');
  await me.see('Sent 10.00 EUR to bob. This session had stepped up already');
}));

withScript('the bank: a start is refused in words', throughProxy(async (me, proxy) => {
  await open(me);
  [proxy.answers[STATUS]] = NO_STATE;
  await me.press('Send');
  await inWords(me, proxy, STATUS, () => me.press('Try again'), 'dialog', 'dialog .problem', NO_STATE);
  await me.press('Try again');
  await inWords(me, proxy, PUSH, () => me.press(APP), 'dialog', 'dialog .problem');
  await inWords(me, proxy, START, () => me.press(SMS), 'dialog', 'dialog .problem');
  await me.press(SMS);
  await me.see('123456 is your code.');
}));

withScript('the bank: a code is refused in words, and then pays', throughProxy(async (me, proxy) => {
  await open(me);
  await me.press('Send');
  await me.press(SMS);
  await inWords(me, proxy, VERIFY, () => me.enter('123456'), 'dialog', 'dialog .problem');
  await me.enter('123456');
  await me.see('Sent 10.00 EUR to bob.');
}));

withScript('the bank: its own answers are words', throughProxy(async (me, proxy) => {
  await open(me);
  await inWords(me, proxy, 'POST /transfers', () => me.press('Send'), '#transfer', '#transfer-note');
  await inWords(me, proxy, 'POST /logout', () => me.press('Log out'), '.standing', '#session-note', NO_STATE);
  await me.driver.findElement({ css: '#enrol summary' }).click();
  await inWords(me, proxy, ENROL, () => me.press('Send a code to it'), '#enrol', '#enrol-note');
  await me.press('Send a code to it');
  await me.see('A code is on its way');
  await me.driver.findElement({ id: 'confirm-code' }).sendKeys('123456');
  await inWords(me, proxy, `${ENROL}/verify`, () => me.press('Enrol'), '#enrol', '#enrol-note');
  await me.press('Enrol');
  await me.see('Enrolled: codes reach this phone now.');
}));
