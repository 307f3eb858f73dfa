/**
 * A step-up that another tab reports. There is no code, binding or token in it.
 * @typedef {object} News
 * @property {string} subject what the step-up is for: origin, scope, age and channels
 * @property {number} time milliseconds since the epoch
 */

/**
 * Rejects when the signal is aborted, whatever becomes of the promise.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | null} [signal]
 * @returns {Promise<T>}
 */
export function abortable(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** @type {Map<string, Promise<void>>} */
const tails = new Map();

/**
 * One at a time within this page.
 * @template T
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {(waited: boolean) => Promise<T>} work
 */
async function queue(name, signal, work) {
  const before = tails.get(name);
  /** @type {() => void} */
  let release = () => {};
  const mine = new Promise((/** @type {(value?: unknown) => void} */ resolve) => { release = resolve; });
  const tail = Promise.resolve(before).then(() => mine).then(() => {
    if (tails.get(name) === tail) tails.delete(name);
  });
  tails.set(name, tail);
  try {
    if (before) await abortable(before, signal);
    return await work(Boolean(before));
  } finally {
    release();
  }
}

/**
 * One at a time, over all tabs of this browser where it has Web Locks.
 * @template T
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {(waited: boolean) => Promise<T>} work is told whether it had to wait
 * @param {boolean} tabs
 * @returns {Promise<T>}
 */
export async function exclusive(name, signal, work, tabs) {
  const locks = tabs ? globalThis.navigator?.locks : undefined;
  if (!locks) return queue(name, signal, work);
  const free = await locks.request(name, { ifAvailable: true }, async (lock) => lock && { done: await work(false) });
  return free ? free.done : locks.request(name, { signal }, () => work(true));
}

/**
 * @param {boolean} tabs
 * @param {(news: News) => void} heard
 * @returns {(news: News) => void} tells the other tabs
 */
export function telling(tabs, heard) {
  if (!tabs || typeof BroadcastChannel !== 'function') return () => {};
  const channel = new BroadcastChannel('tower-step-up');
  channel.onmessage = ({ data }) => {
    if (typeof data?.subject === 'string' && typeof data.time === 'number') heard({ subject: data.subject, time: data.time });
  };
  return (news) => channel.postMessage(news);
}
