// A code by text message, from the refusal to what was refused.
import assert from 'node:assert/strict';
import { SMS, APP, until } from './support/person.js';
import { scenario } from './support/tests.js';

/** A session with a code that was sent at the beginning, for `later.js`. */
export const early = {};

scenario('another code cannot be sent at once', async (me) => {
  early.cookie = me.cookie;
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  if (me.script) {
    assert.equal(await (await me.label('Send a new code (in 0:')).isEnabled(), false);
  } else {
    await me.press('Send a new code');
    await me.see(/A code was sent a moment ago. You can send another in 0:\d\d\./);
    await me.field();
  }
});

scenario('a wrong code, and then the right one, lead to the card', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.see('We have sent a code by text message to •••• 0111.');
  await me.enter('000000');
  await me.see('That code is wrong. Try again.');
  assert.equal(await (await me.field()).getAttribute('aria-invalid'), 'true');
  await me.enter('123456');
  await me.card();
});

scenario('a code of the wrong length says so', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.enter('12345');
  await me.see('The code has 6 digits.');
  await me.enter('123456');
  await me.card();
});

scenario('after the last attempt, another way is still open', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  for (const said of ['Try again.', 'Try again.', 'Try again.', 'You have one more attempt.', 'Too many attempts with this code.']) {
    await me.enter('000000');
    await me.see(said);
  }
  if (me.script) await me.press('Confirm in another way');
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.accept();
  await me.card();
});

scenario('cancelled: nothing is pending, and the page can be left', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  await me.press('Cancel');
  await me.label('Leave this page');
  await until('nothing is pending', async () => !(await me.pending()).otp);
  if (!me.script) await me.see('It was cancelled.');
  await me.press('Leave this page');
  await until('the way out', async () => (await me.here()).pathname === '/');
});

scenario('cancelled, and then confirmed all the same', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  await me.press('Cancel');
  await me.label('Leave this page');
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.accept();
  await me.card();
});

scenario('cancelled on a page that says something', async (me) => {
  await me.askForCard();
  await me.go(`${(await me.here()).href}&m=RETRY_IN&w=9`);
  if (me.script) {
    await me.label(SMS);
    await me.press('Cancel');
  }
  await me.label('Leave this page');
});

scenario('another way: a push in place of a code', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  if (me.script) await me.press('Confirm in another way');
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.accept();
  await me.card();
});

for (const [name, copied] of [['a space', '123 456'], ['dashes and a zero-width space', '12-34\u200b-56'], ['lines around it', '\u00a0123456\u2009']]) {
  scenario(`a code is pasted with ${name}`, async (me) => {
    await me.askForCard();
    await me.press(SMS);
    await me.field();
    assert.equal(await me.paste(copied), copied);
    await me.press('Confirm');
    await me.card();
  });
}
