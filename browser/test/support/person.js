// Somebody at the browser: sees text, presses what is labelled, types. The labels are the same with and without script.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { By, Key } from 'selenium-webdriver';
import { answerPush, login, newUser, pending } from './demo.js';

const PICTURES = fileURLToPath(new URL('../../../target/browser/', import.meta.url));
const PATIENCE = 10_000;
const CARD = '4242424242424242';

export const SMS = 'Code by text message';
export const APP = 'Confirm on your device (app)';

// One script in the place of many calls. WebDriver runs it without the page's JavaScript, too.
const FIND = `
  const [selector, label] = arguments;
  const seen = [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
  const text = (element) => element.innerText.replace(/\\s+/g, ' ').trim();
  return seen.find((element) => text(element) === label) ?? seen.find((element) => text(element).startsWith(label));`;

/** Waits until a condition holds; while a page is replaced, elements may be stale. */
export async function until(what, condition, patience = PATIENCE) {
  const end = performance.now() + patience;
  let last;
  for (;;) {
    try {
      const found = await condition();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`Waited for ${typeof what === 'function' ? await what() : what}`, { cause: last });
    await new Promise((resolve) => { setTimeout(resolve, 40); });
  }
}

/** @param {import('selenium-webdriver/chrome.js').Driver} driver */
export function person(driver, url, script) {
  let cookie;
  const text = () => driver.executeScript('return document.body.innerText');
  const cdp = (command, parameters) => driver.sendAndGetDevToolsCommand(command, parameters);
  /** The first visible element for a selector whose text is the label, or begins with it. */
  const find = (selector, label) => driver.executeScript(FIND, selector, label);

  const me = {
    driver, script, text, cdp,
    /** Where the browser reaches the demo, and where the demo is. */
    url,
    direct: url,

    /** Logs in: the browser has the cookie of a new session. */
    login: async (name = newUser()) => me.use(await login(me.direct, name)),

    /** Takes the cookie of a session that is there. */
    async use(session) {
      cookie = session;
      await cdp('Network.setCookie', { ...cookie, url: me.direct, httpOnly: true, sameSite: 'Lax' });
    },
    get cookie() { return cookie; },

    go: (path) => driver.get(new URL(path, me.url).href),
    reload: () => driver.navigate().refresh(),
    back: () => driver.navigate().back(),
    here: async () => new URL(await driver.getCurrentUrl()),

    /** Waits for a text. @param {string | RegExp} wanted */
    see: (wanted, patience) => until(
      async () => `${wanted}, and saw: ${await text()}`,
      async () => { const shown = await text(); return wanted.test ? wanted.test(shown) : shown.includes(wanted); },
      patience,
    ),

    /** Waits for an element by its label. */
    label: (label, patience) => until(async () => `“${label}”, and saw: ${await text()}`, () => find('button, a', label), patience),

    /** Presses a button or a link, as soon as it is there and enabled. */
    async press(label, patience) {
      await until(async () => `“${label}” to press, and saw: ${await text()}`, async () => {
        const found = await find('a, button:enabled', label);
        await found?.click();
        return found;
      }, patience);
    },

    /** @param {number} pause milliseconds between the two clicks */
    async pressTwice(label, pause) {
      const origin = await me.label(label);
      await driver.actions().move({ origin }).press().release().pause(pause).press().release().perform();
    },

    /** The field for the code. */
    field: () => until(async () => `a field for the code, and saw: ${await text()}`, () => find('input[name=code]', '')),

    /** Types a code, confirms it, and waits for the answer: without the script, that is another page. */
    async enter(code, confirm = 'Confirm') {
      const field = await me.field();
      await field.clear();
      await field.sendKeys(code);
      if (!script) await driver.executeScript('document.documentElement.ariaBusy = true');
      await me.press(confirm);
      await until('an answer', () => driver.executeScript('return !document.querySelector(":is(html, form)[aria-busy=true]")'));
    },

    async keys(...keys) {
      await driver.actions().sendKeys(...keys).perform();
    },

    /** Opens a tab, and goes there. Returns the one before. */
    async newTab() {
      const before = await driver.getWindowHandle();
      await driver.switchTo().newWindow('tab');
      return before;
    },

    toTab: (handle) => driver.switchTo().window(handle),

    /** Copies a text elsewhere, and pastes it here. */
    async paste(copied) {
      const home = await me.newTab();
      await me.go('/login/form');
      const field = await driver.findElement(By.name('username'));
      await field.clear();
      await field.click();
      await cdp('Input.insertText', { text: copied });
      await field.sendKeys(Key.chord(Key.CONTROL, 'a'), Key.chord(Key.CONTROL, 'c'));
      await driver.close();
      await me.toTab(home);
      const code = await me.field();
      await code.clear();
      await code.sendKeys(Key.chord(Key.CONTROL, 'v'));
      return code.getAttribute('value');
    },

    /** Waits until the browser is back at what it wanted. */
    card: (patience) => until(
      async () => `the card, and is at ${await driver.getCurrentUrl()}: ${await text()}`,
      () => driver.executeScript('return location.pathname === "/cards/1" && document.body.innerText.includes(arguments[0])', CARD),
      patience,
    ),

    pending: () => pending(me.direct, cookie),

    /** Answers the pending push on the phone. @param {'accept' | 'decline'} answer */
    async phone(answer) {
      const push = await until('a pending push', async () => (await me.pending()).push);
      await answerPush(me.direct, push.id, answer);
    },

    /** Accepts the push. Without the dialog, the page is asked at once, and not by its own refresh in some seconds. */
    async accept() {
      await me.phone('accept');
      await find('a', 'I have confirmed it').then((link) => link?.click()).catch(() => {});
    },

    /** Asks for the card, which leads to the page. */
    async askForCard() {
      await me.go('/cards/1');
      await me.see('Confirm that it is you');
    },

    /** Asks for the card, and for a push, for which the page then waits. */
    async waitForPush() {
      await me.askForCard();
      await me.press(APP);
      await me.see('Open the request on your device');
    },

    /** How the page is shown: in a width other than the window's, in the dark. */
    async looks({ width = 0, dark = false }) {
      if (width) await cdp('Emulation.setDeviceMetricsOverride', { width, height: 640, deviceScaleFactor: 1, mobile: false });
      else await cdp('Emulation.clearDeviceMetricsOverride', {});
      await cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
    },

    async picture(name) {
      mkdirSync(PICTURES, { recursive: true });
      writeFileSync(`${PICTURES}${name}-${script ? 'script' : 'plain'}.png`, await driver.takeScreenshot(), 'base64');
    },
  };
  return me;
}
