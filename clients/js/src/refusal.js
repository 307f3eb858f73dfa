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
 * @property {string} [binding] binds the step-up to this one request
 * @property {string} [operation] the text that will be approved
 * @property {number} [spentAt] milliseconds since the epoch
 * @property {string} [enroll] page where the user enrolls a channel
 * @property {string} [page] page that steps up without script
 */

/** The path of the specification, where neither an option nor a refusal names another. */
export const CHALLENGES = '/stepup/challenges';
const REQUIRED = 'STEP_UP_REQUIRED';
const CHANNEL = /^[\w-]{1,32}$/;

/** @type {(value: unknown) => string | undefined} */
const text = (value) => (typeof value === 'string' ? value : undefined);
/** @type {(value: any) => number | undefined} */
const number = (value) => (Number.isFinite(value) && value >= 0 ? value : undefined);
/** @type {(value: unknown) => any[]} */
const list = (value) => (Array.isArray(value) ? value : []);
/** @type {(value: unknown) => string[]} */
const names = (value) => list(value).filter((name) => text(name) && CHANNEL.test(name));

/**
 * Channels by kind, without anything that is not a channel's name.
 * @param {any} value
 * @returns {Channels}
 */
export const channelsOf = (value) => ({ otp: names(value?.otp), push: names(value?.push), proof: names(value?.proof) });

/**
 * A link for the user: HTTP only, so no script.
 * @param {unknown} value
 * @param {string} url
 */
function link(value, url) {
  if (!text(value) || !URL.canParse(String(value), url)) return undefined;
  const { protocol, href } = new URL(String(value), url);
  return /^https?:$/.test(protocol) ? href : undefined;
}

/**
 * URL of the challenge endpoints; throws where it leads to another origin than that of the request.
 * @param {string} path
 * @param {string} url
 */
export function challengesAt(path, url) {
  const { origin, pathname, username, search, hash } = new URL(path, url);
  if (origin !== new URL(url).origin || username || search || hash) throw new TypeError(`Not of the same origin: ${path}`);
  return origin + pathname.replace(/\/$/, '');
}

/**
 * @param {unknown} starts
 * @param {string} url
 */
function fromStarts(starts, url) {
  const bases = list(starts).map((start) => {
    const found = /^(.*)\/(?:otp|push)\/[\w-]{1,32}$/.exec(challengesAt(start, url));
    if (!found) throw new TypeError('Not a start of a challenge');
    return found[1];
  });
  if (new Set(bases).size > 1) throw new TypeError('Starts of several kinds of endpoints');
  return bases[0];
}

/**
 * Reads the JSON of a response. Only known fields of the right type are taken over.
 * @param {any} body
 * @param {string} url of the request
 * @param {string} [challenges] base path, where the application names it
 * @returns {Refusal | undefined} nothing where it is no refusal of a guard, or leads to another origin
 */
export function refusalOf(body, url, challenges) {
  if (body?.errorCode !== REQUIRED && body?.message !== REQUIRED) return undefined;
  try {
    const base = fromStarts(body.start, url);
    return {
      reason: text(body.reason) ?? 'missing',
      challenges: challenges ? challengesAt(challenges, url) : base ?? challengesAt(CHALLENGES, url),
      channels: channelsOf(body.channels),
      scope: text(body.scope),
      maxAge: number(body.maxAge),
      all: body.all === true,
      unmet: list(body.unmet)
        .filter((part) => text(part?.channel))
        .map(({ channel, reason, maxAge }) => ({ channel, reason: text(reason) ?? 'missing', maxAge: number(maxAge) })),
      binding: text(body.binding),
      operation: text(body.operation),
      spentAt: number(body.spentAt),
      enroll: link(body.enroll, url),
      page: link(body.page, url),
    };
  } catch {
    return undefined;
  }
}

/**
 * The refusal in a response, which is left unread.
 * @param {Response} response
 * @param {string} url of the request
 * @param {string} [challenges]
 */
export async function readRefusal(response, url, challenges) {
  if (response.status !== 403 && response.status !== 401) return undefined;
  if (!/json/i.test(response.headers.get('content-type') ?? '')) return undefined;
  try {
    return refusalOf(JSON.parse(await response.clone().text()), url, challenges);
  } catch {
    return undefined;
  }
}
