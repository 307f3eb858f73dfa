import { now } from './tabs.js';

/**
 * @typedef {object} Sent
 * @property {string} url
 * @property {Headers} headers
 * @property {AbortSignal | null} [signal]
 * @property {number} at when, by the clock of `now`
 */
/** @typedef {[RequestInfo | URL, RequestInit?]} Call the arguments of fetch */

/** @type {(url: string) => string} */
export const absolute = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;

/**
 * Prepares a request that may have to be sent twice.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 * @returns {{ sent: Sent, first?: Call, again?: () => Promise<Call> }} `first` is absent where it is what `again` says;
 *   `again` is absent where the body is a stream
 */
export function prepare(input, init) {
  const request = input instanceof Request ? input : undefined;
  /** @param {'headers' | 'signal'} name @returns {any} */
  const given = (name) => init?.[name] ?? request?.[name];
  /** @type {Sent} */
  const sent = {
    at: now(),
    url: absolute(request?.url ?? String(input)),
    headers: new Headers(given('headers')),
    signal: given('signal'),
  };
  /** @type {any} */
  const body = init?.body;
  const isObject = Object(body) === body;
  if (isObject && (body.getReader || Symbol.asyncIterator in body)) return { sent, first: [input, init] };

  // Independent of what the caller does with theirs meanwhile.
  const spare = request?.bodyUsed === false ? request.clone() : request ?? String(input);
  const encoded = new Response(isObject ? body : undefined);
  const type = encoded.headers.get('content-type');
  if (type && !sent.headers.has('content-type')) sent.headers.set('content-type', type);
  const kept = init && { ...init, headers: sent.headers };
  /** @type {Promise<Blob> | undefined} */
  let whole;
  /** @returns {Promise<Call>} */
  const again = async () => [spare, kept && { ...kept, body: isObject ? await (whole ??= encoded.blob()) : body }];
  // A form is encoded once: a bound request has to be the same byte for byte, the boundary of its parts included.
  return { sent, first: body instanceof FormData ? undefined : [input, init], again };
}
