// What somebody does at the demo's own page.
import { SMS, until } from './person.js';

export const ask = (me, expression) => me.driver.executeScript(`return ${expression}`);
export const badge = (me, status) => until(`the badge ${status}`, () => ask(me, `document.getElementById('badge').dataset.status === '${status}'`));

/** Opens the page, of somebody who has logged in. */
export async function open(me) {
  await me.go('/');
  await until('the bank, logged in', () => ask(me, 'document.body.dataset.loggedIn === "true"'));
}

/** Sends money, which asks for a code. */
export async function stepUp(me) {
  await me.press('Send');
  await me.press(SMS);
  await me.enter('123456');
  await me.see('Sent 10.00 EUR to bob.');
  await badge(me, 'STEPPED_UP');
}
