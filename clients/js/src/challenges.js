import { cleanCode } from './code.js';
import { ChallengeError } from './errors.js';
import { isSatisfied } from './grants.js';
import { channelsOf } from './refusal.js';
/** @import { Pending, Purpose, Status } from './grants.js' */

/**
 * @typedef {object} ChallengesOptions
 * @property {string} base URL of the challenge endpoints, such as `https://bank.example/stepup/challenges`
 * @property {typeof globalThis.fetch} [fetch]
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] what authenticates the session
 * @property {RequestCredentials} [credentials]
 * @property {string} [language] of the messages that are sent to the user
 */
/** @typedef {Purpose & { signal?: AbortSignal }} Aim what a challenge is for: a refusal, or a part of one */
/** @typedef {ReturnType<typeof challenges>} Challenges */

/**
 * A client of the challenge endpoints. Every method rejects with a `ChallengeError`.
 * @param {ChallengesOptions} options
 */
export function challenges({ base, fetch = globalThis.fetch, headers, credentials, language }) {
  /**
   * @param {string} method
   * @param {string[]} path
   * @param {AbortSignal} [signal]
   * @param {object} [body]
   */
  async function call(method, path, signal, body) {
    const sent = new Headers(typeof headers === 'function' ? await headers() : headers);
    if (language) sent.set('accept-language', language);
    const json = body && JSON.stringify(body);
    const content = json === '{}' ? undefined : json;
    if (content) sent.set('content-type', 'application/json');
    /** @type {Response} */
    let response;
    let answer;
    try {
      const url = [base, ...path.map(encodeURIComponent)].join('/');
      // A code must not follow a redirect to somewhere else.
      response = await fetch(url, { method, headers: sent, body: content, credentials, signal, redirect: 'error', cache: 'no-store' });
      answer = await response.text();
    } catch (cause) {
      signal?.throwIfAborted();
      throw new ChallengeError(0, { errorCode: 'NETWORK', message: 'No response' }, { cause });
    }
    try {
      answer = JSON.parse(answer);
    } catch {
      answer = {};
    }
    if (!response.ok) throw new ChallengeError(response.status, answer);
    return { answer, at: Date.parse(response.headers.get('date') ?? '') || Date.now() };
  }

  /**
   * @param {'otp' | 'push'} kind
   * @param {string} channel
   * @param {Aim} aim
   * @returns {Promise<any>}
   */
  async function begin(kind, channel, { scope, binding, operation, signal }) {
    try {
      return (await call('POST', [kind, channel], signal, { scope, binding })).answer;
    } catch (error) {
      if (!(error instanceof ChallengeError) || error.status) throw error;
      // The response may be what was lost.
      const pending = await client.status({ signal }).then((status) => status.pending[kind], () => undefined);
      if (pending?.channel === channel && pending.scope === scope && pending.operation === operation) return pending;
      throw error;
    }
  }

  const client = {
    /**
     * Sends a one-time code.
     * @param {string} channel
     * @param {Aim} [aim]
     */
    async start(channel, aim = {}) {
      await begin('otp', channel, aim);
    },

    /**
     * Verifies a code. A code that was verified before counts where its grant is alive.
     * @param {string} channel
     * @param {string} code separators and invisible characters are removed
     * @param {Aim} [aim]
     */
    async verify(channel, code, aim = {}) {
      const { scope, binding, signal } = aim;
      try {
        await call('POST', ['otp', channel, 'verify'], signal, { verificationCode: cleanCode(code), scope, binding });
      } catch (error) {
        // For a bound request its repetition shows whether the grant is for it.
        if (!(error instanceof ChallengeError) || error.errorCode !== 'ALREADY_VERIFIED') throw error;
        const only = { otp: [channel], push: [], proof: [] };
        if (!binding && !isSatisfied(await client.status({ signal }), { ...aim, channels: only })) throw error;
      }
    },

    /**
     * Sends a push. Show the `number` where there is one: the user types it on the phone. It is missing where the
     * response was lost.
     * @param {string} channel
     * @param {Aim} [aim]
     * @returns {Promise<{ id: string, number?: string }>}
     */
    async startPush(channel, aim = {}) {
      const { id, number } = await begin('push', channel, aim);
      return { id, number };
    },

    /**
     * @param {string} channel
     * @param {string} id
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<{ id: string, status: 'PENDING' | 'VERIFIED' | 'DECLINED' | 'EXPIRED', expiresIn: number }>}
     */
    async pollPush(channel, id, { signal } = {}) {
      return (await call('GET', ['push', channel, id], signal)).answer;
    },

    /**
     * Cancels a pending code, or the push with this id.
     * @param {string} channel
     * @param {string} [id]
     * @param {{ signal?: AbortSignal }} [options]
     */
    async cancel(channel, id, { signal } = {}) {
      await call('DELETE', id ? ['push', channel, id] : ['otp', channel], signal);
    },

    /**
     * What the session holds, and what the user has enrolled.
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<Status>}
     */
    async status({ signal } = {}) {
      const { answer, at } = await call('GET', [], signal);
      return { grants: [], pending: {}, to: {}, ...answer, channels: channelsOf(answer.channels), at };
    },

    /**
     * Drops the elevation.
     * @param {{ signal?: AbortSignal }} [options]
     */
    async drop({ signal } = {}) {
      await call('DELETE', [], signal);
    },
  };
  return client;
}
