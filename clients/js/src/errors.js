/** @import { Refusal } from './refusal.js' */

/** @typedef {'CANCELLED' | 'REFUSED_AGAIN' | 'BODY_NOT_REPLAYABLE' | 'SPENT'} StepUpErrorCode */

/**
 * A request that a guard refused, and that was not let through in the end. Its `code` says why:
 *
 * - `CANCELLED`: the user did not step up.
 * - `REFUSED_AGAIN`: the repeated request was refused, too.
 * - `BODY_NOT_REPLAYABLE`: the body is a stream; call `ensure` before such a request.
 * - `SPENT`: the request has passed before, and nothing asks the user whether to repeat it.
 */
export class StepUpError extends Error {
  name = 'StepUpError';

  /**
   * @param {StepUpErrorCode} code
   * @param {Refusal} refusal
   */
  constructor(code, refusal) {
    super(code);
    this.code = code;
    /** What the guard asks for. */
    this.refusal = refusal;
  }
}

/**
 * @typedef {object} InvalidField
 * @property {string[]} params path of the enclosing objects
 * @property {string} fieldName
 * @property {string} error such as `REQUIRED` or `SIZE`
 */

/** A refusal of a challenge endpoint. Its code is `NETWORK` where no response arrived (status 0), or one that is not theirs. */
export class ChallengeError extends Error {
  name = 'ChallengeError';

  /**
   * @param {number} status
   * @param {any} body
   * @param {unknown} [cause]
   */
  constructor(status, { message, errorCode, retryAfter, syntaxErrors }, cause) {
    super(message, { cause });
    this.status = status;
    /** @type {string} */
    this.errorCode = errorCode;
    /** @type {number | undefined} seconds to wait, from the body */
    this.retryAfter = retryAfter;
    /** @type {{ invalidFields: InvalidField[] } | undefined} */
    this.syntaxErrors = syntaxErrors;
  }
}
