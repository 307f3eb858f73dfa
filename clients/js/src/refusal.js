/** @typedef {{ otp: string[], push: string[], proof: string[] }} Channels */

/**
 * What a guard asks for.
 * @typedef {object} Refusal
 * @property {string} reason such as `missing`, `expired`, `too_old`, `spent`
 * @property {string} challenges URL of the challenge endpoints, of the same origin as the request
 * @property {Channels} channels those that are accepted
 * @property {string} [scope]
 * @property {number} [maxAge] seconds
 * @property {boolean} [all] each of the channels is needed
 * @property {{ channel: string, reason: string, maxAge?: number }[]} [unmet]
 * @property {number} [minRemaining] seconds that a step-up must last, where `ensure` asks
 * @property {string} [binding] binds the step-up to this one request
 * @property {string} [operation] the text that will be approved
 * @property {number} [spentAt] milliseconds since the epoch
 * @property {string} [enroll] a path or URL, unchecked, where the user enrolls a channel
 * @property {string} [page] a path or URL, unchecked, that steps up without script
 */

/** The path of the specification, where neither an option nor a refusal names another. */
export const CHALLENGES = '/stepup/challenges';
export const REQUIRED = 'STEP_UP_REQUIRED';

/** @type {(value: any) => any[]} */
const list = (value) => [value ?? []].flat();
/** @type {(value: any) => string[]} */
const names = (value) => list(value).filter((name) => /^[\w-]{1,32}$/.test(name));

/**
 * Channels by kind, without what cannot be the name of a channel.
 * @param {any} value
 * @returns {Channels}
 */
export const channelsOf = (value = {}) => ({ otp: names(value.otp), push: names(value.push), proof: names(value.proof) });

/**
 * Reads the JSON of a response. Of its objects only those that are known are taken over.
 * @param {any} body
 * @param {string} url of the request
 * @param {string} [base] of the challenge endpoints, where the application names it
 * @returns {Refusal | undefined} nothing where it is no refusal of a guard
 * @throws {TypeError} where it leads to another origin
 */
export function refusalOf(body, url, base) {
  if (body?.errorCode !== REQUIRED && body?.message !== REQUIRED) return undefined;
  const { origin } = new URL(url);
  /** @param {string} path */
  const pathOf = (path) => {
    const found = new URL(path, url);
    // Not only of its `origin`, which is also that of a `blob:` with any path.
    if (!found.href.startsWith(`${origin}/`)) throw new TypeError(path);
    return found.pathname;
  };
  const bases = list(body.start).map((start) => /^(.*)\/(otp|push)\/[\w-]+$/.exec(pathOf(start))?.[1]);
  const path = base ? pathOf(base) : bases[0] ?? CHALLENGES;
  return {
    reason: 'missing',
    ...Object.fromEntries(Object.entries(body).filter(([, value]) => Object(value) !== value)),
    challenges: origin + path.replace(/\/$/, ''),
    channels: channelsOf(body.channels),
    unmet: list(body.unmet),
  };
}

/** Whether a response of this status may be a refusal. @type {(status: number) => boolean} */
export const mayRefuse = (status) => status === 401 || status === 403;

/**
 * The refusal in a response, which is left unread.
 * @param {Response} response
 * @param {string} url of the request
 * @param {string} [base]
 */
export async function readRefusal(response, url, base) {
  if (!mayRefuse(response.status) || !/json/.test(response.headers.get('content-type') ?? '')) return undefined;
  try {
    return refusalOf(JSON.parse(await response.clone().text()), url, base);
  } catch {
    return undefined;
  }
}
