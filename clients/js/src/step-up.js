import { challenges } from './challenges.js';
import { StepUpError } from './errors.js';
import { isSatisfied } from './grants.js';
import { CHALLENGES, challengesAt, channelsOf, readRefusal } from './refusal.js';
import { abortable, exclusive, telling } from './tabs.js';
/** @import { Refusal } from './refusal.js' */
/** @import { Sent } from './replay.js' */

/**
 * @typedef {object} PromptContext
 * @property {Refusal} refusal what the guard asks for
 * @property {import('./challenges.js').Challenges} challenges a client that is authenticated as the request was
 * @property {AbortSignal} signal aborted when nobody waits any longer, or another tab has stepped up
 * @property {boolean} confirmed the user has agreed to repeat a request whose step-up was used
 */
/**
 * Steps up: resolves when a challenge was verified, and rejects or resolves with `false` where it was not.
 * `confirmsSpent` says that it asks the user before it repeats a request whose step-up was used.
 * @typedef {((context: PromptContext) => unknown) & { confirmsSpent?: boolean }} Prompt
 */
/**
 * @typedef {object} StepUpOptions
 * @property {Prompt} prompt
 * @property {(refusal: Refusal) => boolean | Promise<boolean>} [confirmSpent] asks the user whether to repeat a request
 *   whose step-up was used at `spentAt`
 * @property {string} [challenges] path of the challenge endpoints; otherwise the `start` of the refusal says it
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] for the challenge endpoints; otherwise
 *   the `Authorization` of the refused request
 * @property {RequestCredentials} [credentials] for the challenge endpoints; otherwise those of the refused request
 * @property {string[]} [origins] other origins whose refusals are answered; otherwise only that of the page
 * @property {string} [language] of the messages to the user
 * @property {boolean} [tabs] whether tabs prompt together; otherwise where there is a document
 */
/**
 * @typedef {object} EnsureOptions
 * @property {string} [scope]
 * @property {number} [maxAge] seconds
 * @property {number} [minRemaining] seconds that the step-up must last
 * @property {Partial<import('./refusal.js').Channels>} [channels]
 * @property {string} [url] of the application, where it is not that of the page
 * @property {AbortSignal} [signal]
 */
/** @typedef {{ done: Promise<void>, waiting: number, abort: AbortController, subject?: string, check: () => void }} Round */

/**
 * What fetch and axios share: it recognises refusals, and prompts once for all that wait for the same.
 * @param {StepUpOptions & { fetch?: typeof globalThis.fetch }} options
 */
export function stepUps(options) {
  const { fetch, prompt, confirmSpent, language, origins = [], tabs = typeof document === 'object' } = options;
  /** @type {Map<unknown, Round>} */
  const rounds = new Map();
  /** @type {Map<unknown, number>} */
  const finished = new Map();
  /** @type {Map<string, number>} */
  const elsewhere = new Map();
  const tell = telling(tabs, ({ subject, time }) => {
    elsewhere.set(subject, time);
    for (const round of rounds.values()) if (round.subject === subject) round.check();
  });

  /** @param {Refusal} refusal @param {Sent} sent */
  const clientFor = (refusal, sent) => challenges({
    base: refusal.challenges,
    fetch,
    language,
    credentials: options.credentials ?? sent.credentials,
    headers: options.headers ?? (sent.headers.has('authorization') ? { authorization: sent.headers.get('authorization') ?? '' } : {}),
  });

  /**
   * @param {unknown} key
   * @param {Refusal} refusal
   * @param {Sent} sent
   * @param {boolean} confirmed
   * @param {string} [subject] absent where the step-up is for one request
   */
  function open(key, refusal, sent, confirmed, subject) {
    const abort = new AbortController();
    const { signal } = abort;
    const client = clientFor(refusal, sent);
    const since = Date.now();
    let stood = false;
    const stands = async () => Boolean(subject) && client.status({ signal }).then((status) => isSatisfied(status, refusal), () => false);

    const done = exclusive(`tower-step-up ${new URL(refusal.challenges).origin}`, signal, async (waited) => {
      signal.throwIfAborted();
      // Whoever had the turn before may have stepped up for this, too.
      if ((waited || (elsewhere.get(subject ?? '') ?? 0) >= since - (performance.now() - sent.at)) && await stands()) return;
      try {
        if (await prompt({ refusal, challenges: client, signal, confirmed }) === false) throw new StepUpError('CANCELLED', refusal);
      } catch (error) {
        if (!stood) throw error;
      }
      if (!subject) return;
      finished.set(key, performance.now());
      if (!stood) tell({ subject, time: Date.now() });
    }, tabs);
    done.catch(() => {});
    /** @type {Round} */
    const round = {
      done,
      waiting: 0,
      abort,
      subject,
      async check() {
        stood ||= await stands();
        if (stood) abort.abort();
      },
    };
    rounds.set(key, round);
    return round;
  }

  /**
   * Steps up for a refused request; several that ask for the same wait for one prompt.
   * @param {Refusal} refusal
   * @param {Sent} sent
   */
  async function stepUp(refusal, sent) {
    const { scope, maxAge, channels, all, binding } = refusal;
    const { signal } = sent;
    signal?.throwIfAborted();
    const spent = refusal.reason === 'spent';
    if (spent) {
      if (!confirmSpent && !prompt.confirmsSpent) throw new StepUpError('SPENT', refusal);
      if (confirmSpent && !await abortable(Promise.resolve(confirmSpent(refusal)), signal)) throw new StepUpError('CANCELLED', refusal);
    }
    const shared = !binding && !spent;
    const subject = shared ? JSON.stringify([refusal.challenges, scope, maxAge, channels, all, refusal.unmet]) : undefined;
    const key = shared ? subject + (sent.headers.get('authorization') ?? '') : {};
    // Sent before a step-up for the same had ended: that is enough for it.
    if ((finished.get(key) ?? 0) > sent.at) return;
    const round = rounds.get(key) ?? open(key, refusal, sent, spent && Boolean(confirmSpent), subject);
    round.waiting += 1;
    try {
      await abortable(round.done, signal);
    } finally {
      round.waiting -= 1;
      if (!round.waiting) {
        rounds.delete(key);
        round.abort.abort();
      }
    }
  }

  /**
   * The refusal in a response, where a prompt may be started for it.
   * @param {Response} response
   * @param {Sent} sent
   */
  async function read(response, { url }) {
    const { origin } = new URL(url);
    const own = globalThis.location?.origin ?? origin;
    if ((origin !== own && !origins.includes(origin)) || (response.url && new URL(response.url).origin !== origin)) return undefined;
    return readRefusal(response, url, options.challenges);
  }

  /**
   * Steps up before it is needed, such as before a form is opened. Does nothing where a step-up lasts long enough.
   * @param {EnsureOptions} [wanted]
   */
  async function ensure({ scope, maxAge, minRemaining, channels, url, signal } = {}) {
    const page = new URL(url ?? options.challenges ?? CHALLENGES, globalThis.location?.href).href;
    /** @type {Sent} */
    const sent = { url: page, headers: new Headers(), signal, at: performance.now() };
    /** @type {Refusal} */
    const refusal = { reason: 'missing', challenges: challengesAt(options.challenges ?? CHALLENGES, page), scope, maxAge, channels: channelsOf(channels) };
    const status = await clientFor(refusal, sent).status({ signal });
    if (isSatisfied(status, refusal, minRemaining)) return;
    await stepUp({ ...refusal, channels: channels ? refusal.channels : status.channels }, sent);
  }

  return { stepUp, read, ensure };
}
