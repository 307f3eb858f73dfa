// A push to the app, which somebody answers on the phone while the page waits.
import assert from 'node:assert/strict';
import { newUser } from './support/demo.js';
import { SMS, APP, until } from './support/person.js';
import { scenario } from './support/tests.js';

scenario('a push that is accepted: the page goes back by itself', async (me) => {
  await me.askForCard();
  await me.press(APP);
  await me.see(/The request is valid for [45]:\d\d\./);
  await me.phone('accept');
  await me.card();
});

scenario('a push that is declined: another way is offered', async (me) => {
  await me.waitForPush();
  await me.phone('decline');
  await me.see('The request was declined on your device.');
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
});

scenario('another way: a code in place of a push', async (me) => {
  await me.waitForPush();
  if (me.script) await me.press('Confirm in another way');
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
});

scenario('a push beside a code, accepted after a reload', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  if (me.script) await me.press('Confirm in another way');
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.reload();
  await me.field();
  await me.phone('accept');
  // Without the script, a page with a field for a code is not loaded anew by itself.
  if (!me.script) await me.press('I have confirmed it');
  await me.card();
});

scenario('a push that is cancelled can no longer be accepted', async (me) => {
  await me.waitForPush();
  await me.press('Cancel');
  await me.label('Leave this page');
  await until('nothing is pending', async () => !(await me.pending()).push);
});

scenario('the push is the only way', async (me) => {
  await me.login(newUser('carol'));
  await me.askForCard();
  // Nothing is sent before somebody has asked for it.
  await me.label(APP);
  assert.equal((await me.pending()).push, undefined);
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.phone('accept');
  await me.card();
});

scenario('a push for another operation of the same text is not taken for this one', async (me) => {
  const headers = { cookie: `${me.cookie.name}=${me.cookie.value}` };
  const payOut = () => fetch(`${me.direct}/payouts/form`, {
    method: 'POST', redirect: 'manual', body: 'to=carol&amount=250',
    headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
  });
  const { binding } = await (await payOut()).json();
  const start = await fetch(`${me.direct}/stepup/challenges/push/BIOMETRIC`, {
    method: 'POST', body: JSON.stringify({ binding }), headers: { ...headers, 'content-type': 'application/json' },
  });
  assert.ok(start.ok);
  const { push: other } = await me.pending();
  await me.go('/transfers/form');
  await me.press('Pay out');
  await me.see(other.operation);
  await me.press(APP);
  await me.see('Open the request on your device');
  const { push } = await me.pending();
  assert.equal(push.operation, other.operation);
  assert.notEqual(push.id, other.id);
  await me.accept();
  await until('the answer counts', async () => !(await me.pending()).push);
  assert.equal((await payOut()).status, 403);
});
