import { cleanCode } from '../code.js';
import { ChallengeError } from '../errors.js';
import { isFor } from '../grants.js';
import { button, element } from './view.js';
/** @import { Context } from './index.js' */

/**
 * Fills the code in from the message, where the browser can.
 * @param {AbortSignal} signal
 * @param {(code: string) => void} fill
 */
function webOtp(signal, fill) {
  if (!('OTPCredential' in globalThis)) return;
  const request = /** @type {any} */ ({ otp: { transport: ['sms'] }, signal });
  navigator.credentials.get(request).then((/** @type {any} */ found) => found?.code && fill(found.code), () => {});
}

/**
 * Sends a code, or takes the one that is pending for the same, and waits until it is verified.
 * @param {Context} context
 * @param {string} channel
 * @param {import('../grants.js').Pending} [code] that is pending for the same: then nothing is sent
 * @returns {Promise<boolean>} false where the user wants another way
 */
export async function byCode({ refusal, challenges, view, say, tell, pending, ended, several, options }, channel, code) {
  /** @param {null} [until] */
  const find = async (until) => {
    const { pending: { otp } } = await challenges.status(until);
    return isFor(otp, channel, refusal) ? otp : undefined;
  };
  // Not one that another tab has started for something else meanwhile. Also where nobody waits any longer.
  const cancel = async () => await find(null) && challenges.cancel(channel);
  const send = async () => {
    pending.set('otp', cancel);
    try {
      await challenges.start(channel, refusal);
    } catch (/** @type {any} */ error) {
      // The browser may have sent the request twice, and this is the second response.
      const found = !code && await find().catch(() => undefined);
      if (found) return found;
      // What is pending now is not for this, unless only the response was lost.
      if (error.errorCode !== 'NETWORK' && !code) pending.delete('otp');
      throw error;
    }
    if (ended.aborted) await cancel();
    return find().catch(() => undefined);
  };
  code ??= await find();
  if (!code) code = await send();
  // With a binding, it may be another operation's of the same text.
  else if (!refusal.binding) pending.set('otp', cancel);
  const leave = new AbortController();
  ended.addEventListener('abort', () => leave.abort());

  return new Promise((resolve, reject) => {
    const length = options.codeLength ?? 6;
    const name = say(channel);
    const sent = element('p');
    const input = element('input', {
      id: `${view.id}-code`, name: 'code', type: 'text', inputMode: 'numeric', autocomplete: 'one-time-code', spellcheck: false, enterKeyHint: 'done',
    });
    const left = element('p', { className: 'left', id: `${view.id}-left` });
    input.setAttribute('aria-describedby', left.id);
    const resend = button('', () => act(async () => {
      code = await send();
      shown();
      view.note(say('resent'));
    }), 'quiet');
    const form = element('form', { noValidate: true }, sent, element('label', { htmlFor: input.id, textContent: say('code') }), input, left,
      element('button', { type: 'submit', textContent: say('verify') }), resend);
    /** @param {boolean} verified */
    const end = (verified) => {
      leave.abort();
      resolve(verified);
    };
    if (several) form.append(button(say('other'), () => end(false), 'quiet'));

    let busy = false;
    let stopWait = () => {};
    let stopLife = () => {};

    /** @param {number} seconds */
    function waitFor(seconds) {
      stopWait();
      stopWait = view.countDown(seconds, (time, left) => {
        resend.disabled = left > 0;
        resend.textContent = left ? say('resendIn', { time }) : say('resend');
      });
    }

    function shown() {
      stopLife();
      sent.textContent = say(code?.to ? 'sentTo' : 'sent', { channel: name, to: code?.to ?? '' });
      waitFor(code?.retryIn ?? 15);
      stopLife = view.countDown(code?.expiresIn ?? 300, (time, seconds) => {
        left.textContent = seconds ? say('codeLeft', { time }) : say('VERIFICATION_CODE_EXPIRED');
      });
    }

    /** One call at a time. @param {() => Promise<void>} call */
    async function act(call) {
      if (busy) return;
      busy = true;
      form.setAttribute('aria-busy', 'true');
      try {
        await call();
      } catch (/** @type {any} */ error) {
        if (ended.aborted) return;
        try {
          tell(error);
        } catch {
          reject(error);
          return;
        }
        if (error.retryAfter) waitFor(error.retryAfter);
        if (error.errorCode === 'CHALLENGE_LIMIT_EXCEEDED') {
          stopLife();
          left.textContent = '';
        }
      } finally {
        busy = false;
        form.removeAttribute('aria-busy');
      }
      input.select();
      input.focus();
    }

    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const typed = cleanCode(input.value);
      // Only a whole code is sent.
      const whole = new RegExp(`^[0-9]{${length}}$`).test(typed);
      input.setAttribute('aria-invalid', String(!whole));
      if (!whole) {
        view.problem(say('codeLength', { length }));
        input.focus();
        return;
      }
      act(async () => {
        // What is pending now may have been started elsewhere, for something that the user does not see here.
        const { pending: { otp } } = await challenges.status();
        if (otp && !isFor(otp, channel, refusal)) throw new ChallengeError(409, { errorCode: 'STATE_INVALID' });
        try {
          await challenges.verify(channel, typed, refusal);
        } catch (error) {
          input.setAttribute('aria-invalid', 'true');
          throw error;
        }
        end(true);
      });
    });
    webOtp(leave.signal, (found) => {
      input.value = found;
      form.requestSubmit();
    });
    view.show([form], input);
    shown();
  });
}
