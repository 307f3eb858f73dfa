import { challenges } from './challenges.js';
import { StepUpError } from './errors.js';
import { isSatisfied } from './grants.js';
import { CHALLENGES, REQUIRED, readRefusal, refusalOf } from './refusal.js';
import { absolute } from './replay.js';
import { now, telling, turns } from './tabs.js';
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
 * @property {string} [challenges] path or URL of the challenge endpoints; otherwise the `start` of the refusal says it
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] for the challenge endpoints; otherwise
 *   the `Authorization` of the refused request
 * @property {RequestCredentials} [credentials] for the challenge endpoints; `include` where cookies go to another origin
 * @property {string[]} [origins] other origins whose refusals are answered; otherwise only that of the page, or, without a page, any
 * @property {string} [language] of the messages to the user
 */
/**
 * @typedef {object} EnsureOptions
 * @property {string} [scope]
 * @property {number} [maxAge] seconds
 * @property {number} [minRemaining] seconds that the step-up must last
 * @property {Partial<import('./refusal.js').Channels>} [channels]
 * @property {AbortSignal} [signal]
 */
/** What makes two step-ups the same, and all that other tabs are told. */
const SUBJECT = ['challenges', 'scope', 'maxAge', 'minRemaining', 'all', 'unmet', 'channel', 'channels', 'otp', 'push', 'proof'];

/** @typedef {{ done: Promise<unknown>, subject?: string, waiting: number, abort: AbortController, look: () => Promise<boolean> }} Round */

/**
 * What fetch and axios share: it recognises refusals, and prompts once for all that wait for the same.
 * @param {StepUpOptions & { fetch?: typeof globalThis.fetch }} options
 */
export function stepUps(options) {
  const { prompt, confirmSpent, challenges: base, origins = [] } = options;
  /** @type {Map<unknown, Round>} */
  const rounds = new Map();
  /** When a step-up ended, by what it was for. @type {Map<unknown, number>} */
  const ended = new Map();
  const inTurn = turns();
  const tell = telling((subject, time) => {
    ended.set(subject, time);
    rounds.forEach(async (round) => round.subject === subject && await round.look() && round.abort.abort());
  });

  /**
   * @param {Refusal} refusal
   * @param {Sent} sent
   * @param {AbortSignal | null} [signal]
   */
  const clientFor = ({ challenges: base }, { headers }, signal) => {
    const authorization = headers.get('authorization');
    return challenges({ headers: authorization ? { authorization } : {}, ...options, base, signal });
  };

  /**
   * @param {Refusal} refusal
   * @param {Sent} sent
   * @param {string} [subject] absent where the step-up is for one request
   * @returns {Round}
   */
  function open(refusal, sent, subject) {
    const abort = new AbortController();
    const { signal } = abort;
    const client = clientFor(refusal, sent, signal);
    const asks = refusal.reason === 'spent' && confirmSpent;
    let stands = false;
    const look = async () => {
      // One look may end the other, which must not take back what this one has seen.
      const found = await client.status().then((status) => isSatisfied(status, refusal), () => false);
      stands ||= found;
      return stands;
    };
    const done = inTurn(signal, async (waited) => {
      signal.throwIfAborted();
      // What was verified since the request was sent may be enough for it.
      if (subject && (waited || (ended.get(subject) ?? 0) > sent.at) && await look()) return;
      if (asks && !await asks(refusal) || await prompt({ refusal, challenges: client, signal, confirmed: !!asks }) === false) {
        throw new StepUpError('CANCELLED', refusal);
      }
      if (subject) {
        ended.set(subject, now());
        tell(subject);
      }
    }).catch((error) => {
      // Another tab has stepped up, and this prompt was aborted for that.
      if (!stands) throw error;
    });
    return { done, subject, waiting: 0, abort, look };
  }

  /**
   * Steps up for a refused request; several that ask for the same wait for one prompt.
   * @param {Refusal} refusal
   * @param {Sent} sent
   */
  async function stepUp(refusal, sent) {
    const { signal } = sent;
    signal?.throwIfAborted();
    const spent = refusal.reason === 'spent';
    if (spent && !confirmSpent && !prompt.confirmsSpent) throw new StepUpError('SPENT', refusal);

    const subject = spent || refusal.binding ? undefined : JSON.stringify(refusal, SUBJECT);
    const key = subject ? subject + sent.headers.get('authorization') : {};
    const round = rounds.get(key) ?? open(refusal, sent, subject);
    rounds.set(key, round);
    round.waiting += 1;
    try {
      await new Promise((resolve, reject) => {
        round.done.then(resolve, reject);
        signal?.addEventListener('abort', () => reject(signal.reason));
      });
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
  function read(response, { url }) {
    const { origin } = new URL(url);
    const allowed = [globalThis.location?.origin ?? origins[0] ?? origin, ...origins];
    return allowed.includes(origin) && new URL(response.url || url).origin === origin
      ? readRefusal(response, url, base) : undefined;
  }

  /**
   * Steps up before it is needed, such as before a form is opened. Does nothing where a step-up lasts long enough.
   * @param {EnsureOptions} [wanted]
   */
  async function ensure({ signal, ...wanted } = {}) {
    /** @type {Sent} */
    const sent = { url: absolute(base ?? CHALLENGES), headers: new Headers(), signal, at: now() };
    const refusal = /** @type {Refusal} */ (refusalOf({ ...wanted, errorCode: REQUIRED }, sent.url, base));
    const status = await clientFor(refusal, sent, signal).status();
    if (isSatisfied(status, refusal)) return;
    if (!wanted.channels) refusal.channels = status.channels;
    await stepUp(refusal, sent);
  }

  return { stepUp, read, ensure };
}
