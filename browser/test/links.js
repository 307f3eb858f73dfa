// Pages that only say something: what is opened without the right to it, or without a way to confirm.
import assert from 'node:assert/strict';
import { newUser } from './support/demo.js';
import { SMS } from './support/person.js';
import { scenario } from './support/tests.js';

/** HTML, and no JSON. */
async function readable(me, words) {
  await me.see(words);
  assert.equal(await me.driver.executeScript('return document.contentType'), 'text/html');
  assert.doesNotMatch(await me.text(), /[{}]|errorCode/);
}

scenario('the link of another session', async (me) => {
  await me.askForCard();
  const { href } = await me.here();
  await me.login();
  await me.go(href);
  await readable(me, 'This link is no longer valid.');
});

scenario('a link that was changed, and one that is cut off', async (me) => {
  await me.askForCard();
  const { href } = await me.here();
  for (const changed of [`${href.slice(0, -1)}${href.endsWith('A') ? 'B' : 'A'}`, href.slice(0, -20), href.split('?')[0], `${href.split('?')[0]}?t=%00`]) {
    await me.go(changed);
    await readable(me, 'This link is no longer valid.');
  }
});

scenario('a link without a login, and a form after the logout', async (me) => {
  await me.askForCard();
  const { href } = await me.here();
  await me.cdp('Network.clearBrowserCookies', {});
  await me.press(SMS);
  await readable(me, 'You are not logged in.');
  await me.go(href);
  await readable(me, 'You are not logged in.');
});

scenario('a form without the token of the session', async (me) => {
  await me.askForCard();
  await me.go(`${(await me.here()).href}#plain`);
  await me.reload();
  await me.driver.executeScript('document.querySelectorAll("[name=csrf]").forEach((field) => { field.value = "wrong"; })');
  await me.press(SMS);
  await readable(me, 'This form was not sent from this page.');
});

scenario('nothing is enrolled', async (me) => {
  await me.login(newUser('bob'));
  await me.askForCard();
  await readable(me, 'You have not set up a way to confirm yet.');
  await me.press('Leave this page');
});

scenario('who may not step up is told so', async (me) => {
  await me.login(newUser('dave'));
  await me.go('/cards/1');
  await readable(me, /You cannot confirm this at present|You have not set up a way/);
});
