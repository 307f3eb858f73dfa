// The demo's own page: the three things to try there, and what people met on an earlier one.
import assert from 'node:assert/strict';
import { ask, badge, open, stepUp } from './support/bank.js';
import { challenges, newUser } from './support/demo.js';
import { APP, SMS, until } from './support/person.js';
import { throughProxy } from './support/proxy.js';
import { withScript } from './support/tests.js';

withScript('the bank: sent, refused, a code, paid; and the focus is where it was', async (me) => {
  await open(me);
  await me.press('Send');
  await me.see('Sending 10.00 EUR to bob takes one more step.');
  await me.press(SMS);
  await me.see('123456 is your code.');
  await me.enter('000000');
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
  await badge(me, 'STEPPED_UP');
  assert.equal(await ask(me, 'localStorage.length + sessionStorage.length + document.cookie.length'), 0, 'no script has the token');
});

withScript('the bank: busy buttons say so, and send once', throughProxy(async (me, proxy) => {
  await open(me);
  proxy.delay = 250;
  await me.pressTwice('Send', 30);
  assert.equal(await ask(me, `document.querySelector('#transfer button').ariaBusy`), 'true');
  await me.label(SMS);
  await me.press('Cancel');
  await me.see('Cancelled: Sending 10.00 EUR to bob has not happened.');
  await me.pressTwice('Log out', 30);
  await me.label('Log in as alice');
  assert.deepEqual([proxy.count('POST /transfers'), proxy.count('POST /logout')], [1, 1]);
}));

withScript('the bank: the focus is never lost', async (me) => {
  await open(me);
  for (const [button, said] of [['Log out', 'Log in to try it'], ['Log in as alice', 'Hello, alice'], ['Show the number', SMS],
    [APP, 'Is this you?'], ['Accept', 'Here is the whole number.'], ['Drop the elevation', 'You are still logged in.'],
    ['Pay out', APP], ['Cancel', 'Cancelled:']]) {
    await me.press(button);
    await me.see(said);
    await until(`a focus after “${button}”`, () => ask(me, 'document.activeElement !== document.body'));
  }
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
  await until('the focus on its number', () => ask(me, `document.activeElement.checkVisibility() && document.activeElement.id === 'number'`));
});

withScript('the bank: a phone is enrolled, and its code pays', async (me) => {
  await me.login(newUser('bob'));
  await open(me);
  await me.press('Send a code to it');
  await me.see('A code is on its way');
  await me.driver.findElement({ id: 'confirm-code' }).sendKeys(' 123 456 ');
  await me.press('Enrol');
  await me.see('Enrolled: codes reach this phone now.');
  await me.press('Send');
  await me.enter('123456');
  await me.see('Sent 10.00 EUR to bob.');
});

withScript('the bank: a server that is gone, and back', throughProxy(async (me, proxy) => {
  await open(me);
  await proxy.stop();
  await until('the banner', () => ask(me, `document.getElementById('down').checkVisibility()`));
  await proxy.start();
  await until('the bank again', () => ask(me, `document.getElementById('down').hidden`));
}));

withScript('the bank: the time goes on while the server is gone, and somebody is told that it is over', throughProxy(async (me, proxy) => {
  await open(me);
  await stepUp(me);
  const left = () => ask(me, `document.getElementById('standing').textContent`);
  const status = await (await challenges(me.direct, me.cookie)).json();
  proxy.answers['GET /stepup/challenges'] = [200, { ...status, grants: status.grants.map((grant) => ({ ...grant, expiresIn: 4 })) }];
  await me.see(/by SMS, 0:0\d left/);
  await proxy.stop();
  const before = await left();
  await until('another time', async () => await left() !== before);
  await me.see('Your step-up has ended. The next guarded request asks again.');
}));

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
