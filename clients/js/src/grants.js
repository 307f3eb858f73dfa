/**
 * @typedef {object} Grant
 * @property {string} channel
 * @property {string} [scope]
 * @property {number} verifiedAt milliseconds since the epoch
 * @property {number} expiresIn seconds
 * @property {boolean} [bound] to one operation
 */
/**
 * @typedef {object} Pending
 * @property {string} [id] of a push
 * @property {string} channel
 * @property {string} [scope]
 * @property {string} [operation]
 * @property {string} [to] where the message went, masked
 * @property {number} expiresIn seconds
 * @property {number} [retryIn] seconds until another code can be started
 */
/**
 * @typedef {object} Status
 * @property {'STANDARD' | 'STEPPED_UP'} status
 * @property {Grant[]} grants
 * @property {import('./refusal.js').Channels} channels those that the user has enrolled
 * @property {{ otp?: Pending, push?: Pending }} pending
 * @property {Record<string, string>} to where each channel leads, masked
 * @property {number} at the server's time, in milliseconds since the epoch
 */
/**
 * What a step-up is for.
 * @typedef {object} Purpose
 * @property {string} [scope]
 * @property {string} [binding]
 * @property {string} [operation]
 * @property {number} [maxAge]
 * @property {boolean} [all]
 * @property {Partial<import('./refusal.js').Channels>} [channels]
 * @property {{ channel: string, maxAge?: number }[]} [unmet]
 * @property {number} [minRemaining] seconds that a grant must last
 */

/**
 * Whether grants are alive that are young enough and of the wanted scope. Bound ones are for one request and do not count.
 * @param {Status} status
 * @param {Purpose} purpose
 */
export function isSatisfied({ grants, at }, { scope, maxAge = Infinity, all, channels = {}, unmet = [], minRemaining = 1 }) {
  /** @param {string} [channel] */
  const has = (channel) => {
    const age = unmet.find((part) => part?.channel === channel)?.maxAge ?? maxAge;
    return grants.some((grant) => !grant.bound && grant.scope === scope && grant.expiresIn >= minRemaining
      && at - grant.verifiedAt <= age * 1000 && (!channel || grant.channel === channel));
  };
  const accepted = Object.values(channels).flat();
  return accepted.length ? accepted[all ? 'every' : 'some'](has) : has();
}

/**
 * Whether a challenge is pending on this channel for this purpose, as far as can be told: two operations may have one text.
 * @param {Pending | undefined} pending
 * @param {string} channel
 * @param {Purpose} purpose
 */
export const isFor = (pending, channel, { scope, operation }) => pending?.channel === channel && pending.scope === scope
  && pending.operation === operation;
