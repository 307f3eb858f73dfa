import { StepUpError } from '../errors.js';
import { isFor } from '../grants.js';
import { byCode } from './otp.js';
import { byPush } from './push.js';
import { explain, loadTexts } from './texts.js';
import { button, element, openView } from './view.js';
/** @import { Prompt, PromptContext } from '../step-up.js' */
/** @import { Say } from './texts.js' */
/** @import { View } from './view.js' */

/**
 * @typedef {object} DialogOptions
 * @property {string} [language] such as `de`; otherwise that of the document, or of the browser
 * @property {Record<string, string>} [texts] replaces texts of the catalogue, and names channels: `{ SMS: 'text' }`
 * @property {number} [codeLength] digits of a code: 6 unless the server's policy says otherwise
 * @property {boolean} [asks] whether nothing is sent before the user has chosen a way, also where there is only one: for a
 *   dialog that no click of the user has opened
 * @property {string} [problem] what is said at first, such as what has become of an earlier attempt
 * @property {number} [pollEvery] seconds between two looks at a push: 2 unless set
 */
/** @typedef {{ kind: 'otp' | 'push', channel: string }} Way */
/**
 * What the steps share.
 * @typedef {object} Flow
 * @property {View} view
 * @property {Say} say
 * @property {AbortSignal} ended
 * @property {(error: any) => void} tell shows what went wrong; throws what ends the dialog
 * @property {Map<'otp' | 'push', () => Promise<unknown>>} pending cancels what is pending in the end
 * @property {boolean} several whether there is another way
 * @property {DialogOptions} options
 */
/** @typedef {PromptContext & Flow} Context */

/** Waits for a choice. @param {Context} context @param {Way[]} ways @param {Record<string, string>} to @returns {Promise<Way>} */
const choose = ({ view, say }, ways, to) => new Promise((resolve) => {
  const buttons = ways.map((way) => {
    const made = button(say(way.kind, { channel: say(way.channel) }), () => resolve(way));
    if (Object.hasOwn(to, way.channel)) made.append(' ', element('small', { textContent: to[way.channel] }));
    return made;
  });
  view.show([element('p', { textContent: say('choose') }), ...buttons], buttons[0]);
});

/** Asks before a request is repeated that has passed before. @param {Context} context @param {string} language @returns {Promise<void>} */
const confirmSpent = ({ view, say, refusal }, language) => new Promise((resolve) => {
  const time = new Date(refusal.spentAt ?? Date.now()).toLocaleString(language, { dateStyle: 'long', timeStyle: 'short' });
  // The question has the focus, so that it is read out and no key says yes by accident.
  const question = element('p', { tabIndex: -1, textContent: say('spent', { time }) });
  view.show([question, button(say('spentYes'), resolve)], question);
});

/** Asks where the session stands, until there is an answer. @param {Context} context */
async function statusOf({ challenges, view, say, tell }) {
  for (;;) {
    try {
      return await challenges.status();
    } catch (error) {
      tell(error);
    }
    await new Promise((resolve) => view.show([button(say('retry'), () => resolve(undefined))]));
    view.problem();
  }
}

/** The user cannot go on here. @param {Context} context @returns {Promise<never>} */
function giveUp({ view, say, refusal: { enroll, challenges } }) {
  const text = element('p', { tabIndex: -1, textContent: say('none') });
  const nodes = [text];
  const url = enroll && URL.canParse(enroll, challenges) ? new URL(enroll, challenges) : undefined;
  if (url && /^https?:$/.test(url.protocol)) nodes.push(element('p', {}, element('a', { href: url.href, textContent: say('enroll') })));
  view.show(nodes, text);
  return new Promise(() => {});
}

/** @param {Context} context @param {string} language */
async function run(context, language) {
  const { refusal, confirmed, say, view, tell } = context;
  if (refusal.reason === 'spent' && !confirmed) await confirmSpent(context, language);

  const status = await statusOf(context);
  /** @type {Way[]} */
  let ways = /** @type {const} */ (['otp', 'push']).flatMap((kind) => refusal.channels[kind]
    .filter((channel) => status.channels[kind].includes(channel)).map((channel) => ({ kind, channel })));
  const needed = Object.values(refusal.channels).flat().length;
  if (!ways.length || (refusal.all && ways.length < needed)) return giveUp(context);

  // A code that is pending for this, such as after a reload. Another operation may have the same text.
  let code = refusal.binding ? undefined : status.pending.otp;
  /** That, or the only way. @type {Way | undefined} */
  let way = ways.find(({ kind, channel }) => kind === 'otp' && isFor(code, channel, refusal))
    ?? (ways.length > 1 || context.options.asks ? undefined : ways[0]);
  for (;;) {
    if (!way) {
      code = undefined;
      way = await choose(context, ways, status.to);
    }
    context.several = ways.length > 1;
    let verified = false;
    try {
      view.problem();
      verified = await (way.kind === 'otp' ? byCode(context, way.channel, code) : byPush(context, way.channel));
    } catch (error) {
      tell(error);
    }
    if (verified) {
      context.pending.delete(way.kind);
      ways = ways.filter((other) => other !== way);
      if (!refusal.all || !ways.length) return undefined;
      view.note(say('next'));
    }
    way = undefined;
  }
}

/**
 * A prompt for `withStepUp`: a dialog that sends a code or a push and waits for the user. The page links `dialog.css`.
 * @param {DialogOptions} [options]
 * @returns {Prompt}
 */
export function stepUpDialog(options = {}) {
  /** @param {PromptContext} prompted */
  async function prompt(prompted) {
    const { refusal, challenges, signal } = prompted;
    const { language, say } = await loadTexts(options.language || document.documentElement.lang || navigator.language, options.texts);
    signal.throwIfAborted();
    const ended = new AbortController();
    /** @type {(error: unknown) => void} */
    let stop = () => {};
    const stopped = new Promise((_, reject) => { stop = reject; });
    signal.addEventListener('abort', () => stop(signal.reason));
    const view = openView(say, language, refusal, () => stop(new StepUpError('CANCELLED', refusal)));
    /** @type {Context} */
    const context = {
      ...prompted,
      view,
      say,
      ended: ended.signal,
      pending: new Map(),
      several: false,
      options,
      tell(error) {
        // Without a login there is nothing to confirm, the binding of an old refusal has expired; what is no refusal is a fault.
        if (!error?.errorCode || error.status === 401 || error.syntaxErrors) throw error;
        view.problem(explain(error, say));
      },
    };
    view.problem(options.problem);
    try {
      await Promise.race([run(context, language), stopped]);
    } finally {
      ended.abort();
      view.close();
      // Before the next prompt, whose challenge must not be what is cancelled.
      const left = [...context.pending.values()].map((cancel) => cancel().catch(() => {}));
      await Promise.race([Promise.all(left), new Promise((resolve) => { if (left.length) setTimeout(resolve, 3000); else resolve(undefined); })]);
    }
  }
  return Object.assign(prompt, { confirmsSpent: true });
}
