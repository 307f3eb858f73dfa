/** @import { Refusal } from './refusal.js' */

/** @typedef {'CANCELLED' | 'REFUSED_AGAIN' | 'BODY_NOT_REPLAYABLE' | 'SPENT'} StepUpErrorCode */

/** @type {Record<StepUpErrorCode, string>} */
const MESSAGES = {
  CANCELLED: 'The step-up was cancelled',
  REFUSED_AGAIN: 'Refused again after the step-up',
  BODY_NOT_REPLAYABLE: 'A step-up is required, and a stream cannot be sent again: call ensure() before sending it',
  SPENT: 'This step-up has been used: ask the user before starting another',
};

/** A request that a guard refused, and that was not let through in the end. */
export class StepUpError extends Error {
  /**
   * @param {StepUpErrorCode} code
   * @param {Refusal} refusal
   */
  constructor(code, refusal) {
    super(MESSAGES[code]);
    this.name = 'StepUpError';
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

/** A refusal of a challenge endpoint; status 0 and `NETWORK` where there was no response. */
export class ChallengeError extends Error {
  /**
   * @param {number} status
   * @param {any} body
   * @param {ErrorOptions} [options]
   */
  constructor(status, body, options) {
    super(String(body?.message ?? `The server answered ${status}`), options);
    this.name = 'ChallengeError';
    this.status = status;
    /** @type {string} */
    this.errorCode = String(body?.errorCode ?? 'UNKNOWN');
    /** @type {number | undefined} seconds to wait, from the body */
    this.retryAfter = body?.retryAfter >= 0 ? Number(body.retryAfter) : undefined;
    /** @type {{ invalidFields: InvalidField[] } | undefined} */
    this.syntaxErrors = body?.syntaxErrors;
  }
}
