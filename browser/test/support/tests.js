// Tests at the demo, in one browser with or without JavaScript, each in a session of its own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium } from './chromium.js';
import { startDemo } from './demo.js';
import { person } from './person.js';

const TIDY = [
  ['Network.clearBrowserCookies', {}],
  ['Emulation.clearDeviceMetricsOverride', {}],
  ['Emulation.setEmulatedMedia', { features: [] }],
  // As the window in front, so that the focus is shown.
  ['Emulation.setFocusEmulationEnabled', { enabled: true }],
];

let script = true;
let demo;
let browser;

/** Whether this process' browser runs JavaScript. */
export const hasScript = () => script;

/** Says which browser the tests of this process have. */
export function inChromium(settings) {
  ({ script } = settings);
  before(async () => {
    demo = await startDemo();
    browser = await openChromium(script);
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
  });
}

/** One tab, with nothing left of the test before. A new tab for each test would take twice the time. */
async function tidy({ driver, tab }) {
  for (const handle of await driver.getAllWindowHandles()) {
    if (handle === tab) continue;
    await driver.switchTo().window(handle);
    await driver.close();
  }
  await driver.switchTo().window(tab);
  await driver.get('about:blank');
  for (const [command, parameters] of TIDY) await driver.sendDevToolsCommand(command, parameters);
  await driver.manage().logs().get('browser');
}

/** No violation of the policy, and no error in a script. */
async function checkLog(driver) {
  const entries = await driver.manage().logs().get('browser');
  const bad = entries.map(({ message }) => message).filter((message) => !/Failed to load resource/.test(message));
  assert.deepEqual(bad, [], 'the log of the browser');
}

/**
 * A test of a user who is logged in.
 * @param {string} name
 * @param {(me: ReturnType<typeof person>) => Promise<void>} body
 * @param {{ todo?: string | false }} [options] `todo` names what has to be mended first
 */
export function scenario(name, body, options = {}) {
  test(`${name} (${script ? 'script' : 'no script'})`, { timeout: 60_000, ...options }, async () => {
    const { driver } = browser;
    await tidy(browser);
    const me = person(driver, demo.url, script);
    await me.login();
    try {
      await body(me);
    } catch (error) {
      await me.picture(`failed-${name.replace(/\W+/g, '-')}`).catch(() => {});
      throw error;
    }
    await checkLog(driver);
  });
}

/** The same, only with script, or only without. */
export const withScript = (...settings) => script && scenario(...settings);
export const withoutScript = (...settings) => !script && scenario(...settings);
