// How the page looks: narrow, in the dark, for the keyboard, for axe, in German. Pictures go to target/browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { By, Key } from 'selenium-webdriver';
import { newUser } from './support/demo.js';
import { SMS, APP, until } from './support/person.js';
import { scenario } from './support/tests.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = [{ width: 900, dark: false }, { width: 320, dark: true }, { width: 320, dark: false }, { width: 900, dark: true }];
const SURFACE = { true: 'rgb(28, 33, 38)', false: 'rgb(255, 255, 255)' };

/** What axe finds. @returns {Promise<string[]>} */
async function violations(me) {
  await me.driver.executeScript(`if (!window.axe) { ${AXE} }`);
  return me.driver.executeScript(`return axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')));`);
}

/** Everything fits, has the colours of the scheme, and is accessible. */
async function inspect(me, name) {
  for (const look of LOOKS) {
    await me.looks(look);
    const where = `${name}, ${look.width} px, ${look.dark ? 'dark' : 'light'}`;
    const { surface, wide } = await me.driver.executeScript(`
      const box = document.querySelector('dialog[open]') ?? document.querySelector('main');
      const { left, right } = box.getBoundingClientRect();
      return {
        surface: getComputedStyle(box).backgroundColor,
        wide: document.documentElement.scrollWidth > innerWidth || box.scrollWidth > box.clientWidth || left < 0 || right > innerWidth,
      };`);
    assert.equal(wide, false, `${where}: nothing scrolls sideways`);
    assert.equal(surface, SURFACE[look.dark], where);
    if (look === LOOKS[0] || look === LOOKS[1]) {
      await me.picture(`${name}-${look.width}`);
      if (me.script) assert.deepEqual(await violations(me), [], where);
    }
  }
  await me.looks({});
}

/** The page of a step as it is without the script, in a browser that has it: there, axe can look at it. */
async function inspectPlain(me, name) {
  if (!me.script) return;
  const { href } = await me.here();
  await me.go(`${href}#plain`);
  await me.reload();
  await inspect(me, `${name}-plain`);
}

scenario('choose', async (me) => {
  await me.askForCard();
  await me.label(SMS);
  await inspect(me, 'choose');
  await inspectPlain(me, 'choose');
});

scenario('code, and a wrong one', async (me) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  await inspect(me, 'code');
  await me.enter('000000');
  await me.see('That code is wrong.');
  await inspect(me, 'wrong');
  await me.go(`${(await me.here()).href}&m=VERIFICATION_CODE_INVALID`);
  await inspectPlain(me, 'wrong');
});

scenario('push', async (me) => {
  await me.askForCard();
  await me.press(APP);
  await me.see(/The request is valid for/);
  await me.cdp('Page.stopLoading', {});
  await inspect(me, 'push');
  await inspectPlain(me, 'push');
});

scenario('a payout to a long name', async (me) => {
  await me.go('/transfers/form');
  const field = await me.driver.findElement(By.css('form[action="/payouts/form"] [name=to]'));
  await field.clear();
  await field.sendKeys('x'.repeat(60), ' & Söhne', Key.ENTER);
  await me.label(SMS);
  await me.see('Pay 250.00 EUR to xxx');
  await inspect(me, 'operation');
  await me.press(SMS);
  await me.enter('123456');
  await me.see('Your form was not sent.');
  await inspect(me, 'resubmit');
  await me.press('Back to the form');
});

scenario('done', async (me) => {
  await me.askForCard();
  const { href } = await me.here();
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
  await me.go(href);
  await me.see('You have confirmed that it is you.');
  await inspect(me, 'done');
});

scenario('pages that only say something', async (me) => {
  await me.askForCard();
  const { href } = await me.here();
  await me.go(`${href}x`);
  await me.see('This link is no longer valid.');
  await inspect(me, 'link');
  await me.login(newUser('bob'));
  await me.askForCard();
  await me.see('You have not set up a way to confirm yet.');
  await inspect(me, 'none');
  await me.cdp('Network.clearBrowserCookies', {});
  await me.go(href);
  await me.see('You are not logged in.');
  await inspect(me, 'logged-out');
});

/** What has the focus. */
const focused = (me) => me.driver.executeScript(`
  const at = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  return { label: (at.labels?.[0] ?? at).innerText.split('\\n')[0].trim(), visible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 };`);

/** The keyboard goes from here through these, in this order. */
async function tabsThrough(me, labels) {
  for (const label of labels) {
    const at = await focused(me);
    assert.deepEqual(at, { label, visible: true });
    await me.keys(Key.TAB);
  }
}

scenario('the keyboard alone', async (me) => {
  await me.askForCard();
  await me.label(SMS);
  if (!me.script) await me.keys(Key.TAB);
  await until('the focus on the first way', async () => (await focused(me)).label === SMS);
  await tabsThrough(me, [SMS, APP, me.script ? 'Cancel' : 'Leave this page']);
  await me.reload();
  await me.label(SMS);
  if (!me.script) await me.keys(Key.TAB);
  await until('the focus on the first way', async () => (await focused(me)).label === SMS);
  await me.keys(Key.ENTER);
  await until('the focus in the field', async () => (await focused(me)).label === 'Code');
  await tabsThrough(me, me.script ? ['Code', 'Confirm', 'Confirm in another way', 'Cancel'] : ['Code', 'Confirm', 'Send a new code', APP, 'Cancel']);
  await (await me.field()).click();
  await me.keys('000000', Key.ENTER);
  await me.see('That code is wrong.');
  await until('the focus in the field', async () => (await focused(me)).label === 'Code');
  await me.keys('123456', Key.ENTER);
  await me.card();
});

scenario('Escape cancels, the keyboard goes on', async (me) => {
  await me.waitForPush();
  if (me.script) {
    await me.keys(Key.ESCAPE);
    await me.label('Leave this page');
    assert.equal((await me.pending()).push, undefined);
  } else {
    await me.keys(Key.TAB);
    assert.deepEqual(await focused(me), { label: 'I have confirmed it', visible: true });
    await me.phone('accept');
    await me.keys(Key.ENTER);
    await me.card();
  }
});

scenario('in German, for a browser that asks for it', async (me) => {
  await me.newTab();
  const userAgent = await me.driver.executeScript('return navigator.userAgent');
  await me.cdp('Emulation.setUserAgentOverride', { userAgent, acceptLanguage: 'de-AT,de' });
  await me.go('/cards/1');
  await me.see('Bestätigen Sie, dass Sie es sind');
  assert.equal(await me.driver.executeScript('return document.documentElement.lang'), 'de');
  await me.press('Code per SMS');
  await me.field();
  await inspect(me, 'german');
  await me.enter('000000', 'Bestätigen');
  await me.see('Der Code ist falsch. Versuchen Sie es noch einmal.');
  await me.enter('123456', 'Bestätigen');
  await me.card();
});
