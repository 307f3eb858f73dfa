// The script of the page that the challenge endpoints serve: the dialog, for what the page asks.
import { challenges } from '../challenges.js';
import { stepUpDialog } from '../dialog/index.js';
import { sleep } from '../dialog/push.js';
import { refusalOf } from '../refusal.js';

/** Where the dialog was cancelled, the page goes on without it, and its forms, too. */
const PLAIN = '#plain';

const page = new URL(location.href);
const base = page.pathname.replace(/\/page$/, '');

/** Shows the page anew under another URL. A replaced location would not be loaded where only its hash is another. @param {string} url */
function show(url) {
  history.replaceState(null, '', url);
  location.reload();
}

/**
 * Waits for a push: until it is answered, or a step-up was made in another tab.
 * @param {string} again
 * @param {string} [held] how many grants there were when the page was made
 */
async function watch(again, held) {
  let id;
  let wait = 2;
  for (;;) {
    await sleep(wait);
    wait = 2;
    try {
      const { pending: { push }, grants } = await challenges({ base }).status();
      if (push?.id !== (id ??= push?.id ?? '') || grants.length !== Number(held)) break;
    } catch (/** @type {any} */ error) {
      if (error.status === 401) break;
      wait = error.retryAfter ?? wait;
    }
  }
  show(again + location.hash);
}

/** @param {HTMLElement} main @param {string} asked */
async function run(main, asked) {
  const { texts, digits } = main.dataset;
  const language = document.documentElement.lang;
  for (const name of ['m', 'w', 'go']) page.searchParams.delete(name);
  const refusal = refusalOf(JSON.parse(asked), location.href, base);
  if (!refusal) return;
  const own = Object.fromEntries((texts ?? '').split('\n').map((line) => line.split(/ (.*)/)));
  // Another site may have opened this page: nothing is sent before the user has chosen.
  const problem = main.querySelector('.problem')?.textContent ?? '';
  const prompt = stepUpDialog({ language, texts: own, codeLength: Number(digits), asks: true, problem });
  for (const part of main.children) /** @type {HTMLElement} */ (part).hidden = part.tagName !== 'HEADER';
  try {
    await prompt({
      refusal,
      challenges: challenges({ base: refusal.challenges, language }),
      signal: new AbortController().signal,
      confirmed: false,
    });
    page.searchParams.set('go', '1');
    location.replace(page.href);
  } catch {
    // Not by `location.replace`, which a reload can overtake: then this would begin anew, and without end.
    page.hash = PLAIN;
    show(page.href);
  }
}

const main = /** @type {HTMLElement} */ (document.querySelector('main'));
const { refusal, waits, grants } = main.dataset;
if (location.hash === PLAIN) for (const form of document.forms) form.action += PLAIN;
else if (refusal) run(main, refusal);
if (waits) watch(waits, grants);
