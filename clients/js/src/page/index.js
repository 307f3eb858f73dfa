// The script of the page that the challenge endpoints serve: the dialog, for what the page asks.
import { challenges } from '../challenges.js';
import { stepUpDialog } from '../dialog/index.js';
import { refusalOf } from '../refusal.js';

/** Where the dialog was cancelled, the page goes on without it, and its forms, too. */
const PLAIN = '#plain';

/** @param {HTMLElement} main @param {string} asked */
async function run(main, asked) {
  const { base, page, texts, digits } = main.dataset;
  const refusal = refusalOf(JSON.parse(asked), location.href, base);
  if (!refusal) return;
  const own = Object.fromEntries((texts ?? '').split('\n').map((line) => line.split(/ (.*)/)));
  // Another site may have opened this page: nothing is sent before the user has chosen.
  const prompt = stepUpDialog({ language: document.documentElement.lang, texts: own, codeLength: Number(digits), asks: true });
  main.hidden = true;
  try {
    await prompt({
      refusal,
      challenges: challenges({ base: refusal.challenges, language: document.documentElement.lang }),
      signal: new AbortController().signal,
      confirmed: false,
    });
    location.replace(`${page}&go=1`);
  } catch {
    // Not by `location.replace`, which a reload can overtake: then this would begin anew, and without end.
    history.replaceState(null, '', page + PLAIN);
    location.reload();
  }
}

const main = /** @type {HTMLElement | null} */ (document.querySelector('main[data-refusal]'));
if (location.hash === PLAIN) for (const form of document.forms) form.action += PLAIN;
else if (main?.dataset.refusal) run(main, main.dataset.refusal);
