// Two tabs, the back button, reloads, and fingers that press twice.
import assert from 'node:assert/strict';
import { startProxy } from './support/proxy.js';
import { SMS } from './support/person.js';
import { scenario } from './support/tests.js';

const START = 'POST /stepup/challenges/otp/SMS';
const VERIFY = `${START}/verify`;

scenario('two tabs: what is confirmed in one is confirmed in the other', async (me) => {
  await me.askForCard();
  const first = await me.newTab();
  await me.askForCard();
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
  await me.toTab(first);
  await me.reload();
  await me.see('You have confirmed that it is you.');
  await me.press('Continue');
  await me.card();
});

scenario('two tabs wait for the same code, and both go back', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  const first = await me.newTab();
  await me.askForCard();
  await me.enter('123456');
  await me.card();
  await me.toTab(first);
  await me.enter('123456');
  await me.card();
});

scenario('two tabs wait for the same push, and both go back', async (me) => {
  await me.waitForPush();
  const first = await me.newTab();
  await me.askForCard();
  await me.see('Open the request on your device');
  await me.accept();
  await me.card();
  await me.toTab(first);
  await me.card();
});

scenario('the back button does not lead into a loop', async (me) => {
  await me.go('/transfers/form');
  await me.askForCard();
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
  await me.back();
  if (me.script) {
    // The script has replaced the page.
    await me.see('Hello, alice');
    await me.driver.navigate().forward();
  } else {
    // Chromium may show the page as it was. A reload shows how it is, and goes nowhere by itself.
    await me.see(/You have confirmed that it is you|We have sent a code/);
    await me.reload();
    await me.see('You have confirmed that it is you.');
    await me.press('Continue');
  }
  await me.card();
});

scenario('a reload at every step of a code', async (me) => {
  await me.askForCard();
  await me.reload();
  await me.press(SMS);
  await me.field();
  await me.reload();
  await me.enter('000000');
  await me.see('That code is wrong.');
  await me.reload();
  await me.enter('123456');
  await me.card();
  await me.reload();
  await me.card();
});

scenario('a reload while a push waits', async (me) => {
  await me.waitForPush();
  const { push } = await me.pending();
  await me.reload();
  await me.see('Open the request on your device');
  assert.equal((await me.pending()).push?.id, push.id);
  await me.accept();
  await me.card();
});

scenario('a push that is accepted after a reload', async (me) => {
  await me.waitForPush();
  await me.reload();
  await me.see('Confirm that it is you');
  await me.phone('accept');
  await me.card();
});

scenario('a page that waits for a push notices a step-up in another tab', async (me) => {
  await me.waitForPush();
  await me.reload();
  const first = await me.newTab();
  await me.askForCard();
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
  await me.toTab(first);
  // Without the script, a page that was loaded while the code was pending has a field, and is not loaded anew by itself.
  if (!me.script) await me.reload();
  await me.card();
});

scenario('a page that waits for a push, declined after a reload: another way is offered', async (me) => {
  await me.waitForPush();
  await me.reload();
  await me.see('Open the request on your device');
  await me.phone('decline');
  await me.see('The request was declined on your device.');
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
});

for (const [name, delay, pause] of [['a double click', 0, 0], ['an impatient second click on a slow server', 500, 250]]) {
  scenario(`${name} on send and on confirm`, async (me) => {
    const proxy = await startProxy(me.direct);
    try {
      me.url = proxy.url;
      await me.askForCard();
      await me.label(SMS);
      proxy.delay = delay;
      await me.pressTwice(SMS, pause);
      await (await me.field()).sendKeys('123456');
      await me.pressTwice('Confirm', pause);
      await me.card();
      // Without the script, the browser decides whether a second click sends the form again.
      if (me.script) assert.deepEqual([proxy.count(START), proxy.count(VERIFY)], [1, 1]);
    } finally {
      proxy.delay = 0;
      await proxy.stop();
    }
  });
}
