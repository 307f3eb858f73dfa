import { isFor } from '../grants.js';
import { button, element } from './view.js';
/** @import { Context } from './index.js' */

/** @param {number} seconds */
export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/**
 * Sends a push. One that is pending for the same is taken instead, and one for something else is cancelled. So is every one
 * where an operation is approved: another operation may have the same text.
 * @param {Context} context
 * @param {string} channel
 * @returns {Promise<{ id: string, number?: string }>}
 */
async function begin({ challenges, refusal }, channel) {
  try {
    return await challenges.startPush(channel, refusal);
  } catch (/** @type {any} */ error) {
    if (error.errorCode !== 'STATE_INVALID') throw error;
    const { pending: { push } } = await challenges.status();
    if (!push?.id) throw error;
    if (isFor(push, channel, refusal) && !refusal.binding) return { id: push.id };
    await challenges.cancel(push.channel, push.id);
    return challenges.startPush(channel, refusal);
  }
}

/**
 * Sends a push, and waits for its outcome.
 * @param {Context} context
 * @param {string} channel
 * @returns {Promise<boolean>} false where the user wants another way, or to start again
 */
export async function byPush(context, channel) {
  const { challenges, view, say, pending, ended, several, options } = context;
  const { id, number } = await begin(context, channel);
  const cancel = () => challenges.cancel(channel, id);
  pending.set('push', cancel);
  if (ended.aborted) await cancel();
  const every = options.pollEvery ?? 2;

  let left = false;
  /** @type {(verified: boolean) => void} */
  let choose = () => {};
  /** @type {Promise<boolean>} */
  const chosen = new Promise((resolve) => { choose = resolve; });
  const life = element('p', { className: 'left' });
  /** @type {HTMLElement[]} */
  const nodes = [element('p', { tabIndex: -1, textContent: say('pushSent') })];
  if (number) nodes.push(element('p', { className: 'number', tabIndex: -1 }, say('pushNumber'), ' ', element('output', { textContent: number })));
  // With the focus it is read out.
  const main = nodes[nodes.length - 1];
  nodes.push(life);
  // Also for a push whose number was lost with the response to its start: only another push has one.
  nodes.push(button(say(several ? 'other' : 'pushResend'), () => choose(false), 'quiet'));
  view.show(nodes, main);

  const watch = async () => {
    let stopLife = () => {};
    while (!left && !ended.aborted) {
      let wait = every;
      try {
        const { status, expiresIn } = await challenges.pollPush(channel, id);
        if (left || ended.aborted) break;
        if (status !== 'PENDING') return status;
        stopLife();
        stopLife = view.countDown(expiresIn, (time) => { life.textContent = say('pushLeft', { time }); });
      } catch (/** @type {any} */ error) {
        if (error.status === 404) return 'EXPIRED';
        if (error.errorCode !== 'NETWORK' && error.status < 429) throw error;
        wait = Math.max(every, error.retryAfter ?? 0);
      }
      await sleep(wait);
    }
    return undefined;
  };
  const status = await Promise.race([watch(), chosen]);
  left = true;
  if (status === 'VERIFIED') return true;
  pending.delete('push');
  if (status === false) await cancel().catch(() => {});
  else view.problem(say(status === 'DECLINED' ? 'pushDeclined' : 'pushExpired'));
  return false;
}
