/**
 * @typedef {object} Sent
 * @property {string} url
 * @property {Headers} headers
 * @property {RequestCredentials} [credentials]
 * @property {AbortSignal | null} [signal]
 * @property {number} at when, by the page's own clock
 */
/** @typedef {[RequestInfo | URL, RequestInit?]} Call the arguments of fetch */

/** @type {(body: any) => boolean} */
const isStream = (body) => typeof body.getReader === 'function' || Symbol.asyncIterator in body;

/**
 * The same body once more, independent of what the caller does with theirs meanwhile.
 * @param {any} body
 * @returns {any} nothing where it can be read only once
 */
function copy(body) {
  if (Object(body) !== body || body instanceof Blob) return body ?? null;
  if (body instanceof URLSearchParams) return new URLSearchParams(body);
  if (body instanceof ArrayBuffer) return body.slice(0);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
  return isStream(body) ? undefined : String(body);
}

/**
 * Prepares a request that may have to be sent twice.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 * @returns {Promise<{ sent: Sent, first: Call, again?: Call }>} `again` is absent where the body is a stream
 */
export async function prepare(input, init) {
  const request = typeof Request === 'function' && input instanceof Request ? input : undefined;
  /** @type {Sent} */
  const sent = {
    at: performance.now(),
    url: new URL(request?.url ?? String(input), globalThis.document?.baseURI ?? globalThis.location?.href).href,
    headers: new Headers(init?.headers ?? request?.headers),
    credentials: init?.credentials ?? request?.credentials,
    signal: init && 'signal' in init ? init.signal : request?.signal,
  };
  let body = init?.body;
  /** @type {Call} */
  let first = [input, init];
  if (body instanceof FormData) {
    // Encoded once: a bound request has to be the same byte for byte, its boundary included.
    const encoded = new Response(body);
    body = await encoded.blob();
    if (!sent.headers.has('content-type')) sent.headers.set('content-type', encoded.headers.get('content-type') ?? '');
    first = [input, { ...init, body, headers: new Headers(sent.headers) }];
  }
  const kept = copy(body);
  if (kept === undefined) return { sent, first };
  /** @type {Call} */
  const again = [
    request && !request.bodyUsed ? request.clone() : input,
    init && { ...init, ...(kept !== null && { body: kept }), headers: init.headers || body !== init.body ? sent.headers : undefined },
  ];
  return { sent, first, again };
}
