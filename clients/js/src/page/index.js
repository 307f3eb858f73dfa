// The script of the page that the challenge endpoints serve: the dialog, for what the page asks.
import { challenges } from '../challenges.js';
import { stepUpDialog } from '../dialog/index.js';
import { refusalOf } from '../refusal.js';

/** Where the dialog was cancelled, the page goes on without it. */
const PLAIN = '#plain';

/** @param {HTMLElement} main @param {string} asked */
async function run(main, asked) {
  const { base, page, texts } = main.dataset;
  const refusal = refusalOf(JSON.parse(asked), location.href, base);
  if (!refusal) return;
  const own = Object.fromEntries((texts ?? '').split('\n').map((line) => line.split(/ (.*)/)));
  const prompt = stepUpDialog({ language: document.documentElement.lang, texts: own });
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
    location.replace(page + PLAIN);
    location.reload();
  }
}

const main = /** @type {HTMLElement | null} */ (document.querySelector('main[data-refusal]'));
if (main?.dataset.refusal && location.hash !== PLAIN) run(main, main.dataset.refusal);
