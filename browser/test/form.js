// A form that needs a step-up: it is neither kept nor sent again, and the page says so.
import assert from 'node:assert/strict';
import { By } from 'selenium-webdriver';
import { SMS, APP, until } from './support/person.js';
import { scenario } from './support/tests.js';

/** Sends one of the demo's forms. @param {'/transfers/form' | '/payouts/form'} action @param {{ to?: string, amount?: string }} [values] */
async function send(me, action, values = {}) {
  await me.go('/transfers/form');
  for (const [name, value] of Object.entries(values)) {
    const field = await me.driver.findElement(By.css(`form[action="${action}"] [name=${name}]`));
    await field.clear();
    await field.sendKeys(value);
  }
  await (await me.driver.findElement(By.css(`form[action="${action}"] button`))).click();
}

async function backToForm(me) {
  await me.see('Your form was not sent. Go back to it and send it again.');
  await me.press('Back to the form');
  await until('the form', async () => (await me.here()).pathname === '/transfers/form');
}

scenario('a transfer: after the code, back to the form, which then passes', async (me) => {
  await send(me, '/transfers/form');
  await me.press(SMS);
  await me.enter('123456');
  await backToForm(me);
  await send(me, '/transfers/form');
  await me.see('Paid 10.00 EUR to bob.');
});

scenario('a payout keeps its binding, and shows payee and amount at every step', async (me) => {
  const shown = 'Pay 250.00 EUR to carol';
  await send(me, '/payouts/form');
  await me.see(shown);
  await me.press(SMS);
  await me.field();
  await me.see(shown);
  await me.enter('000000');
  await me.see('That code is wrong.');
  await me.see(shown);
  assert.equal((await me.pending()).otp.operation, shown);
  await me.enter('123456');
  await backToForm(me);
  // Another amount was not approved.
  await send(me, '/payouts/form', { amount: '251.00' });
  await me.see('Pay 251.00 EUR to carol');
  await send(me, '/payouts/form');
  await me.see('Paid 250.00 EUR to carol.');
  // The approval was for one payout.
  await send(me, '/payouts/form');
  await me.see(/already sent and confirmed on .*20\d\d.*Do you want to send it once more/s);
});

scenario('a payout is approved by a push', async (me) => {
  await send(me, '/payouts/form', { to: 'Ärzte & Söhne <GmbH>' });
  await me.press(APP);
  await me.see('Pay 250.00 EUR to Ärzte & Söhne <GmbH>');
  await me.accept();
  await backToForm(me);
});

scenario('a login by the form of the demo, without a script of its own', async (me) => {
  await me.cdp('Network.clearBrowserCookies', {});
  await me.go('/login/form');
  await (await me.driver.findElement(By.css('form button'))).click();
  await me.see('Hello, alice');
  await me.go('/cards/1');
  await me.see('Confirm that it is you');
});
