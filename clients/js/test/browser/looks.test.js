import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { open, picture } from './browser.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let bank;
before(async () => { bank = await open(); });
after(() => bank.close());

/** What axe finds in the page as it is. */
async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`));
  return found;
}

const LOOKS = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  narrow: { viewport: { width: 320, height: 568 } },
  'narrow-german': { viewport: { width: 320, height: 568 }, options: { language: 'de' } },
};
for (const [name, settings] of Object.entries(LOOKS)) {
  test(`${name}: every step is accessible, fits, and keeps the strict policy`, async () => {
    const user = await bank.user(settings);
    const page = await user.page();
    const errors = [];
    page.on('console', (message) => { if (message.type() === 'error' && !/status of (403|409)/.test(message.text())) errors.push(message.text()); });
    page.on('pageerror', (error) => errors.push(String(error)));
    const dialog = page.getByRole('dialog');
    const step = async (label) => {
      await picture(page, `${name}-${label}`);
      assert.deepEqual(await violations(page), [], label);
      const { wide, high } = await dialog.evaluate((element) => ({
        wide: element.scrollWidth > element.clientWidth || element.getBoundingClientRect().right > innerWidth || document.documentElement.scrollWidth > innerWidth,
        high: element.getBoundingClientRect().bottom > innerHeight,
      }));
      assert.deepEqual({ wide, high }, { wide: false, high: false }, label);
    };
    const background = () => dialog.evaluate((element) => getComputedStyle(element).backgroundColor);

    await page.getByRole('button', { name: 'Pay' }).click();
    await dialog.locator('div button').first().waitFor();
    await step('choice');
    assert.equal(await background(), name === 'dark' ? 'rgb(28, 33, 38)' : 'rgb(255, 255, 255)');
    await dialog.locator('div button').first().click();
    await dialog.locator('input').fill('000000');
    await page.keyboard.press('Enter');
    await dialog.locator('.problem:not(:empty)').waitFor();
    await step('code');
    await dialog.locator('form .quiet').last().click();
    await dialog.locator('div button').nth(1).click();
    await dialog.locator('.left:not(:empty)').waitFor();
    await step('push');
    await page.keyboard.press('Escape');
    await page.locator('#result', { hasText: 'CANCELLED' }).waitFor();
    assert.deepEqual(errors, []);
    assert.deepEqual(await page.evaluate(() => window.violations), []);
    await user.context.close();
  });
}
