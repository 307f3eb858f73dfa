import { StepUpError } from './errors.js';
import { mayRefuse } from './refusal.js';
import { absolute } from './replay.js';
import { stepUps } from './step-up.js';
import { now } from './tabs.js';
/** @import { AxiosInstance, AxiosResponse, InternalAxiosRequestConfig } from 'axios' */
/** @import { StepUpOptions } from './step-up.js' */

/** The clock's time at which a request was sent. @type {WeakMap<object, number>} */
const sentAt = new WeakMap();

/**
 * What axios has made of a body, as a response of fetch.
 * @param {AxiosInstance} axios
 * @param {AxiosResponse} response
 */
function asResponse(axios, { status, headers, data, config, request }) {
  const url = absolute(axios.getUri({ ...config, params: undefined }));
  const finally_ = request?.responseURL ?? request?.res?.responseUrl ?? url;
  const body = typeof data === 'string' || data instanceof ArrayBuffer || ArrayBuffer.isView(data) || data instanceof Blob
    ? data : JSON.stringify(data);
  const response = new Response(/** @type {BodyInit} */ (body), { status, headers: { 'content-type': String(headers['content-type']) } });
  Object.defineProperty(response, 'url', { value: finally_ });
  return { url, response };
}

/** @param {any} data */
const isStream = (data) => typeof data?.pipe === 'function' || typeof data?.getReader === 'function';

/**
 * Makes an axios instance prompt where a guard refuses, and then repeat the request once, without interceptors.
 * Other responses and errors are passed on untouched.
 * @param {AxiosInstance} axios
 * @param {StepUpOptions & { fetch?: typeof globalThis.fetch }} options `fetch` is for the challenge endpoints
 */
export function stepUpInterceptor(axios, options) {
  const { stepUp, read, ensure } = stepUps(options);

  const requests = axios.interceptors.request.use(async (config) => {
    sentAt.set(config, now());
    // Encoded once: a bound request has to be the same byte for byte, the boundary of its parts included.
    if (config.data instanceof FormData) {
      const encoded = new Response(config.data);
      config.headers.set('Content-Type', encoded.headers.get('content-type'));
      config.data = await encoded.arrayBuffer();
    }
    return config;
  });

  /**
   * @param {AxiosResponse | undefined} answer
   * @param {() => AxiosResponse | Promise<never>} otherwise
   */
  async function settle(answer, otherwise) {
    if (!answer?.config || !mayRefuse(answer.status) || answer.config.responseType === 'stream') return otherwise();
    const { config } = answer;
    const { url, response } = asResponse(axios, answer);
    const authorization = config.headers.get('authorization');
    const sent = {
      url,
      headers: new Headers(authorization ? { authorization: String(authorization) } : {}),
      signal: /** @type {AbortSignal | undefined} */ (config.signal),
      at: sentAt.get(config) ?? now(),
    };
    const refusal = await read(response, sent);
    if (!refusal) return otherwise();
    if (isStream(config.data)) throw new StepUpError('BODY_NOT_REPLAYABLE', refusal);
    await stepUp(refusal, sent);

    // Without interceptors, so that nothing gives it another `Idempotency-Key`, and it is not repeated again;
    // `data` is what was sent, so nothing transforms it again.
    const bare = /** @type {any} */ (axios).create();
    /** @param {AxiosResponse | undefined} again */
    const check = async (again) => {
      const second = again && mayRefuse(again.status) && await read(asResponse(axios, again).response, sent);
      if (second) throw new StepUpError('REFUSED_AGAIN', second);
    };
    const repeated = await bare.request({ ...config, transformRequest: [] }).catch(async (/** @type {any} */ error) => {
      await check(error.response);
      throw error;
    });
    await check(repeated);
    return repeated;
  }

  const responses = axios.interceptors.response.use(
    (answer) => settle(answer, () => answer),
    (error) => settle(error?.response, () => Promise.reject(error)),
  );

  return {
    ensure,
    /** Takes the interceptors away again. */
    eject() {
      axios.interceptors.request.eject(requests);
      axios.interceptors.response.eject(responses);
    },
  };
}
