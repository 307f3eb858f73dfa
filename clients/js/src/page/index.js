// The script of the page that the challenge endpoints serve: the dialog, for what the page asks.
import { challenges } from '../challenges.js';
import { stepUpDialog } from '../dialog/index.js';
import { refusalOf } from '../refusal.js';

/** Where the dialog was cancelled, the page goes on without it, and its forms, too. */
const PLAIN = '#plain';

/** @param {HTMLElement} main @param {string} asked */
async function run(main, asked) {
  const { texts, digits } = main.dataset;
  const language = document.documentElement.lang;
  const page = new URL(location.href);
  for (const name of ['m', 'w', 'go']) page.searchParams.delete(name);
  const base = page.pathname.replace(/\/page$/, '');
  const refusal = refusalOf(JSON.parse(asked), location.href, base);
  if (!refusal) return;
  const own = Object.fromEntries((texts ?? '').split('\n').map((line) => line.split(/ (.*)/)));
  // Another site may have opened this page: nothing is sent before the user has chosen.
  const prompt = stepUpDialog({ language, texts: own, codeLength: Number(digits), asks: true });
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
    history.replaceState(null, '', page.href);
    location.reload();
  }
}

const main = /** @type {HTMLElement | null} */ (document.querySelector('main[data-refusal]'));
if (location.hash === PLAIN) for (const form of document.forms) form.action += PLAIN;
else if (main?.dataset.refusal) run(main, main.dataset.refusal);
