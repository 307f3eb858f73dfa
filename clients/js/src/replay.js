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
 * @returns {Promise<{ sent: Sent, first: Call, again?: () => Call | Promise<Call> }>} `again` is absent where the body is a stream
 */
export async function prepare(input, init) {
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
  const spare = request?.bodyUsed === false ? request.clone() : input;
  const encoded = new Response(isObject ? body : undefined);
  const type = encoded.headers.get('content-type');
  if (type && !sent.headers.has('content-type')) sent.headers.set('content-type', type);
  /** @returns {Promise<Call>} */
  const again = async () => [spare, init && { ...init, headers: sent.headers, body: isObject ? await encoded.blob() : body }];
  if (!(body instanceof FormData)) return { sent, first: [input, init], again };

  // Encoded once: a bound request has to be the same byte for byte, the boundary of its parts included.
  const whole = await again();
  return { sent, first: [input, whole[1]], again: () => whole };
}
