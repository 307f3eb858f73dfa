const NAME = 'tower-step-up';

/** The same clock in all tabs, finer than a millisecond. */
export const now = () => performance.timeOrigin + performance.now();

/**
 * One prompt at a time: over all tabs of a browser that has Web Locks, otherwise within this function.
 * @returns {(signal: AbortSignal, work: (waited: boolean) => Promise<unknown>) => Promise<unknown>}
 */
export function turns() {
  /** @type {Promise<unknown> | undefined} */
  let last;
  return async (signal, work) => {
    const locks = globalThis.document && navigator.locks;
    if (locks) {
      const done = await locks.request(NAME, { ifAvailable: true }, async (lock) => lock && (await work(false), true));
      return done || locks.request(NAME, { signal }, () => work(true));
    }
    const before = last;
    const done = Promise.resolve(before).then(() => work(Boolean(before)));
    const mine = done.catch(() => {}).then(() => {
      if (last === mine) last = undefined;
    });
    last = mine;
    return done;
  };
}

/**
 * Reports step-ups to all other tabs. There is no code, binding or token in a message.
 * @param {(subject: string, time: number) => void} heard what a step-up is for, and when it ended
 * @returns {(subject: string) => void}
 */
export function telling(heard) {
  const channel = globalThis.document && globalThis.BroadcastChannel && new BroadcastChannel(NAME);
  if (channel) channel.onmessage = ({ data }) => heard(data[0], data[1]);
  return (subject) => channel?.postMessage([subject, now()]);
}
