// The phone: what is pending, as the user's own device would show it. A real one has a login of its own.

const $ = (id) => document.getElementById(id);
const phone = $('phone');
const SESSION = 'It is for this session, not for one payment.';

let shown = {}; // the pending code and push, with the times of their end
const matched = new Set(); // pushes for which the bank shows a number

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;

/** Shows `pending` of the status, or the code of an enrollment. */
export function showPending({ otp, push } = {}, enrolling = '') {
  const ending = (one) => one && { ...one, end: performance.now() + one.expiresIn * 1000 };
  if (push && push.id !== shown.push?.id) $('phone-note').textContent = '';
  const loses = phone.contains(document.activeElement) && (shown.push?.id !== push?.id || (!otp && !push));
  shown = { otp: ending(otp), push: ending(push) };
  $('idle').hidden = Boolean(otp || push || enrolling);
  $('sms').hidden = !otp && !enrolling;
  $('sms-what').textContent = enrolling ? `It enrols this phone, ${enrolling}.` : otp?.operation ? 'It approves:' : SESSION;
  $('sms-operation').textContent = !enrolling && otp?.operation || '';
  $('push').hidden = !push;
  $('push-what').textContent = push?.operation ? 'Do you approve this?' : `Is this you? ${SESSION}`;
  $('push-operation').textContent = push?.operation ?? '';
  $('match').hidden = !matched.has(push?.id);
  $('cancel-pending').hidden = !(otp || push) || Boolean(document.querySelector('dialog[open]'));
  if (loses) $('phone-title').focus();
  tick();
}

function tick() {
  for (const [name, id] of [['otp', 'sms-left'], ['push', 'push-left']]) {
    const left = shown[name] && Math.max(0, Math.ceil((shown[name].end - performance.now()) / 1000));
    $(id).textContent = left === undefined ? '' : left ? `Valid for ${clock(left)}` : 'Expired';
  }
}
setInterval(tick, 1000);

/** A push for which the bank shows a number: it is typed here. */
export function matchNumber(id) {
  matched.add(id);
  $('match-number').value = '';
}

/** Answers the pending push. `send` makes the request of the device. */
export async function answerPush(send, yes) {
  const id = shown.push?.id;
  if (!id) return;
  const number = yes && matched.has(id) ? $('match-number').value.replace(/\D/g, '') : undefined;
  const { ok, status } = await send('POST', `/simulate/push/${id}/${yes ? 'accept' : 'decline'}`, number === undefined ? undefined : { number });
  const refused = number === undefined ? 'This can no longer be answered.' : 'That number was not accepted.';
  const done = yes ? 'Accepted. The bank goes on.' : 'Declined.';
  $('phone-note').textContent = ok ? done : status ? refused : 'The bank does not answer. Try again.';
}

/** The id and channel of what is pending, to cancel it. */
export const pending = () => Object.values(shown).filter(Boolean).map(({ channel, id }) => [channel, id]);

// The dialog is modal: while it is open, the phone is in it, so that both can be used.
new MutationObserver(() => {
  const home = document.querySelector('dialog.step-up') ?? $('desk');
  if (phone.parentNode !== home) home.append(phone);
}).observe(document.body, { childList: true });
