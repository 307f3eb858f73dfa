// The demo's own page: the three things to try there, and what people met on an earlier one.
import assert from 'node:assert/strict';
import { challenges, newUser } from './support/demo.js';
import { APP, SMS, until } from './support/person.js';
import { startProxy } from './support/proxy.js';
import { withScript } from './support/tests.js';

const ask = (me, expression) => me.driver.executeScript(`return ${expression}`);
const loggedIn = (me) => until('the bank, logged in', () => ask(me, 'document.body.dataset.loggedIn === "true"'));
const badge = (me, status) => until(`the badge ${status}`, () => ask(me, `document.getElementById('badge').dataset.status === '${status}'`));
const sent = (me, call) => ask(me, `document.querySelectorAll('#wire > li[data-call="${call}"]').length`);

async function open(me) {
  await me.go('/');
  await loggedIn(me);
}

async function stepUp(me) {
  await me.press('Send');
  await me.press(SMS);
  await me.enter('123456');
  await me.see('Sent 10.00 EUR to bob.');
  await badge(me, 'STEPPED_UP');
}

withScript('the bank: sent, refused, a code, paid; and the focus is where it was', async (me) => {
  await open(me);
  await me.press('Send');
  await me.see('Sending 10.00 EUR to bob takes one more step.');
  await me.press(SMS);
  await me.see('123456 is your code.');
  // The button that has opened the dialog stays busy, so this is no `enter`.
  await (await me.field()).sendKeys('000000');
  await me.press('Confirm');
  await me.see('That code is wrong. Try again.');
  await me.enter(' 12 34-56 ');
  await me.see('Sent 10.00 EUR to bob.');
  assert.equal(await ask(me, 'document.activeElement.closest("#transfer") !== null'), true, 'the focus');
  assert.equal(await ask(me, `(({ top, bottom }) => top >= 0 && bottom <= innerHeight)(document.getElementById('transfer-note').getBoundingClientRect())`), true, 'the result is in view');
});

withScript('the bank: a card by push', async (me) => {
  await open(me);
  await me.press('Show the number');
  await me.press(APP);
  await me.see('Is this you?');
  await me.press('Accept');
  await me.see('4242 4242 4242 4242');
  await badge(me, 'STEPPED_UP');
});

withScript('the bank: a payout shows payee and amount, and its approval is no elevation', async (me) => {
  await open(me);
  await me.press('Pay out');
  await me.press(APP);
  await me.see(/Do you approve this\?\s+Pay 250.00 EUR to carol/);
  await me.press('Accept');
  await me.see('Paid 250.00 EUR to carol.');
  await badge(me, 'STANDARD');
});

withScript('the bank: an altered payout is refused, and the approval is unused', async (me) => {
  await open(me);
  await me.press('Approve it, then alter the amount');
  await me.press(APP);
  await me.see('Do you approve this?');
  await me.press('Accept');
  await me.see('Refused: It asked for another amount than the one that was approved.');
  await me.press('Pay out');
  await me.see('Paid 250.00 EUR to carol. The approval of before is used up.');
});

withScript('the bank: cancelling keeps the elevation', async (me) => {
  await open(me);
  await stepUp(me);
  await me.press('Pay out');
  await me.press(APP);
  await me.see('Do you approve this?');
  await me.press('Cancel');
  await me.see('Cancelled: Paying 250.00 EUR to carol has not happened.');
  await until('nothing pending', async () => !(await me.pending()).push);
  await badge(me, 'STEPPED_UP');
});

withScript('the bank: a reload keeps the login', async (me) => {
  await open(me);
  await stepUp(me);
  await me.reload();
  await loggedIn(me);
  await badge(me, 'STEPPED_UP');
  assert.equal(await ask(me, 'localStorage.length + sessionStorage.length + document.cookie.length'), 0, 'no script has the token');
});

withScript('the bank: busy buttons send once', async (me) => {
  await open(me);
  await me.pressTwice('Send', 30);
  await me.label(SMS);
  assert.equal(await sent(me, 'POST /transfers'), 1);
});

withScript('the bank: somebody is told that the step-up has ended', async (me) => {
  await open(me);
  await stepUp(me);
  await challenges(me.direct, me.cookie, '', 'DELETE');
  await me.see('Your step-up has ended. The next guarded request asks again.');
  await badge(me, 'STANDARD');
});

withScript('the bank: no way to confirm leads to a phone', async (me) => {
  await me.login(newUser('bob'));
  await open(me);
  await me.press('Send');
  await me.see('There is no way to confirm for you yet');
  await me.press('Cancel');
  assert.equal(await ask(me, `document.getElementById('enrol').open`), true);
});

withScript('the bank: a server that is gone, and back', async (me) => {
  const proxy = await startProxy(me.url);
  me.url = proxy.url;
  try {
    await open(me);
    await proxy.stop();
    await me.see('The bank does not answer.');
    await proxy.start();
    await until('the bank again', () => ask(me, `document.getElementById('down').hidden`));
  } finally {
    await proxy.stop();
  }
});

withScript('the bank: 320 pixels', async (me) => {
  await me.looks({ width: 320 });
  await open(me);
  assert.equal(await ask(me, 'document.documentElement.scrollWidth <= 320'), true);
  await me.press('Send');
  await me.press(SMS);
  await me.field();
  assert.equal(await ask(me, 'document.documentElement.scrollWidth <= 320'), true);
  await me.looks({});
});
