import { StepUpError } from './errors.js';
import { prepare } from './replay.js';
import { stepUps } from './step-up.js';
/** @import { Call } from './replay.js' */
/** @import { EnsureOptions, StepUpOptions } from './step-up.js' */

/**
 * @typedef {typeof globalThis.fetch & { ensure: (wanted?: EnsureOptions) => Promise<void> }} StepUpFetch
 */

/**
 * A fetch that prompts where a guard refuses, and then repeats the request once. Other responses are passed on untouched.
 *
 * Rejects with a `StepUpError` where the user cancels, the repeated request is refused, too, or the body was a stream.
 * @param {typeof globalThis.fetch} fetch
 * @param {StepUpOptions} options
 * @returns {StepUpFetch}
 */
export function withStepUp(fetch, options) {
  const { stepUp, read, ensure } = stepUps({ ...options, fetch });

  /**
   * @param {RequestInfo | URL} input
   * @param {RequestInit} [init]
   */
  async function stepUpFetch(input, init) {
    const { sent, first, again } = prepare(input, init);
    // At once where it can be: what the caller changes after its call is not sent.
    const response = await fetch(...first ?? await /** @type {() => Promise<Call>} */ (again)());
    const refusal = await read(response, sent);
    if (!refusal) return response;
    if (!again) throw new StepUpError('BODY_NOT_REPLAYABLE', refusal);
    await stepUp(refusal, sent);
    const repeated = await fetch(...await again());
    const second = await read(repeated, sent);
    if (second) throw new StepUpError('REFUSED_AGAIN', second);
    return repeated;
  }

  return Object.assign(stepUpFetch, { ensure });
}
