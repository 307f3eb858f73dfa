// Chromium, driven by chromedriver. Both are the system's.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logging } from 'selenium-webdriver';
import chrome from 'selenium-webdriver/chrome.js';

const ARGUMENTS = [
  '--headless=new', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--disable-extensions', '--window-size=900,900',
];

/** The path of a program: from an environment variable, or the first of some names that is installed. */
function program(variable, ...names) {
  if (process.env[variable]) return process.env[variable];
  for (const name of names) {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error(`There is no ${names[0]}: apt-get install chromium chromium-driver, or set ${variable} to its path`);
}

/**
 * A browser with a fresh profile.
 * @param {boolean} script whether pages may run JavaScript; WebDriver's own scripts run in any case
 */
export async function openChromium(script) {
  const profile = mkdtempSync(join(tmpdir(), 'step-up-browser-'));
  const options = new chrome.Options();
  options.setChromeBinaryPath(program('CHROMIUM', 'chromium', 'chromium-browser', 'google-chrome'));
  options.addArguments(...ARGUMENTS, `--user-data-dir=${profile}`);
  if (process.getuid?.() === 0) options.addArguments('--no-sandbox');
  options.setUserPreferences({
    'intl.accept_languages': 'en-GB,en',
    // Not the page for new tabs, which takes a second.
    'session.restore_on_startup': 4,
    'session.startup_urls': ['about:blank'],
    ...(!script && { 'profile.managed_default_content_settings.javascript': 2 }),
  });
  const logs = new logging.Preferences();
  logs.setLevel(logging.Type.BROWSER, logging.Level.ALL);
  options.setLoggingPrefs(logs);
  const service = new chrome.ServiceBuilder(program('CHROMEDRIVER', 'chromedriver')).build();
  const driver = chrome.Driver.createSession(options, service);
  await driver.getSession();
  return {
    driver,
    tab: await driver.getWindowHandle(),
    async close() {
      await driver.quit();
      rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
