import { cleanCode } from './code.js';
import { ChallengeError } from './errors.js';
import { isFor, isSatisfied } from './grants.js';
import { channelsOf } from './refusal.js';
/** @import { Pending, Purpose, Status } from './grants.js' */

/**
 * @typedef {object} ChallengesOptions
 * @property {string} base URL of the challenge endpoints, such as `https://bank.example/stepup/challenges`
 * @property {typeof globalThis.fetch} [fetch]
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] what authenticates the session
 * @property {RequestCredentials} [credentials]
 * @property {string} [language] of the messages that are sent to the user
 * @property {AbortSignal | null} [signal] of all calls but `cancel`
 */
/** @typedef {ReturnType<typeof challenges>} Challenges */

/**
 * A client of the challenge endpoints. Every method rejects with a `ChallengeError`.
 * @param {ChallengesOptions} options
 */
export function challenges({ base, fetch = globalThis.fetch, headers, credentials, language, signal }) {
  /**
   * @param {string} method
   * @param {string[]} path
   * @param {object} [body]
   * @param {AbortSignal | null} [until]
   * @returns {Promise<any>} the JSON, and the time of the server
   */
  async function call(method, path, body, until = signal) {
    const sent = new Headers(typeof headers === 'function' ? await headers() : headers);
    if (language) sent.set('accept-language', language);
    if (body) sent.set('content-type', 'application/json');
    let response;
    let answer = {};
    try {
      response = await fetch([base, ...path.map(encodeURIComponent)].join('/'), {
        method,
        headers: sent,
        body: body && JSON.stringify(body),
        credentials,
        signal: until,
        redirect: 'error', // A code must not follow to somewhere else.
      });
      if (response.status !== 204) answer = { ...await response.json() };
    } catch (cause) {
      until?.throwIfAborted();
      throw new ChallengeError(response?.status ?? 0, { errorCode: 'NETWORK', message: 'No response' }, cause);
    }
    if (!response.ok) throw new ChallengeError(response.status, answer);
    return { ...answer, at: Date.parse(String(response.headers.get('date'))) || Date.now() };
  }

  /**
   * @param {'otp' | 'push'} kind
   * @param {string} channel
   * @param {Purpose} [purpose]
   * @returns {Promise<any>}
   */
  async function begin(kind, channel, purpose = {}) {
    const { scope, binding } = purpose;
    try {
      return await call('POST', [kind, channel], scope ?? binding ? { scope, binding } : undefined);
    } catch (/** @type {any} */ error) {
      if (error.errorCode !== 'NETWORK') throw error;
      // The response may be what was lost.
      const pending = await client.status().then((status) => status.pending[kind], () => undefined);
      if (isFor(pending, channel, purpose)) return pending;
      throw error;
    }
  }

  const client = {
    /**
     * Sends a one-time code.
     * @param {string} channel
     * @param {Purpose} [purpose]
     * @returns {Promise<void>}
     */
    start: (channel, purpose) => begin('otp', channel, purpose),

    /**
     * Verifies a code. A code that was verified before counts where its grant is alive.
     * @param {string} channel
     * @param {string} code separators and invisible characters are removed
     * @param {Purpose} [purpose]
     */
    async verify(channel, code, purpose = {}) {
      const { scope, binding } = purpose;
      try {
        await call('POST', ['otp', channel, 'verify'], { verificationCode: cleanCode(code), scope, binding });
      } catch (/** @type {any} */ error) {
        if (error.errorCode !== 'ALREADY_VERIFIED') throw error;
        // For a bound request its repetition shows whether the grant is for it.
        if (!binding && !isSatisfied(await client.status(), { ...purpose, channels: { otp: [channel] } })) throw error;
      }
    },

    /**
     * Sends a push. Show the `number` where there is one: the user types it on the phone. It is missing where the
     * response was lost.
     * @param {string} channel
     * @param {Purpose} [purpose]
     * @returns {Promise<{ id: string, number?: string }>}
     */
    startPush: (channel, purpose) => begin('push', channel, purpose),

    /**
     * @param {string} channel
     * @param {string} id
     * @returns {Promise<{ id: string, status: 'PENDING' | 'VERIFIED' | 'DECLINED' | 'EXPIRED', expiresIn: number }>}
     */
    pollPush: (channel, id) => call('GET', ['push', channel, id]),

    /**
     * Cancels a pending code, or the push with this id.
     * @param {string} channel
     * @param {string} [id]
     * @returns {Promise<void>}
     */
    cancel: (channel, id) => call('DELETE', id ? ['push', channel, id] : ['otp', channel], undefined, null),

    /**
     * What the session holds, and what the user has enrolled.
     * @param {AbortSignal | null} [until] in the place of the signal of all calls
     * @returns {Promise<Status>}
     */
    async status(until) {
      const status = await call('GET', [], undefined, until);
      return { grants: [], pending: {}, to: {}, ...status, channels: channelsOf(status.channels) };
    },
  };
  return client;
}
