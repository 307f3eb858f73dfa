// The bank's page. Stepping up is left to the client, with two lines: `withStepUp` and `stepUpDialog`. The rest is the
// bank's own: its forms, and what shows a visitor how it works.
import { challenges, cleanCode, withStepUp } from '/client/index.js';
import { stepUpDialog } from '/client/dialog/index.js';
import { answerPush, clock, matchNumber, pending, showPending } from '/phone.js';
import { clear, make, recorder } from '/wire.js';
import { problem } from '/words.js';

const CHALLENGES = '/stepup/challenges';
const ENROLMENT = '/authentication_factors/otp/SMS';
const NAMES = { SMS: 'text message', BIOMETRIC: 'a push to the app' };
/** The dialog's texts, where this page has a phone. */
const TEXTS = {
  sentTo: 'A code has gone out by {channel} to {to}: see the phone.',
  sent: 'A code has gone out by {channel}: see the phone.',
  pushSent: 'Open the request on the phone, and accept it there.',
  none: 'There is no way to confirm for you yet, or the bank has switched it off. Cancel, and enrol a phone on this page.',
};
/** By `errorCode`, where a phone is enrolled. */
const UNCONFIRMED = { STATE_INVALID: 'Ask for a code first.', VERIFICATION_CODE_INVALID: 'That code is wrong. Try again.' };
const MASKED = '•••• •••• •••• 4242';

const $ = (id) => document.getElementById(id);
const show = (id, yes = true) => { $(id).hidden = !yes; };

let task; // the request that runs, or waits for the step-up
let deadline; // when the elevation ends
let enrolling = ''; // the number of a phone
let ways = []; // the channels that the user has enrolled
let looking = false;
let leaving = new AbortController(); // of a login

// --- Requests ---

const recorded = recorder((call, status, body) => {
  reachable(status && status < 500);
  if (status === 401 && call !== 'POST /login' && document.body.dataset.loggedIn) leave('Your login has ended. Log in again.');
  if (call === `GET ${CHALLENGES}` && status === 200) stand(body);
  else if (!call.startsWith('GET ') && status && status < 400) setTimeout(look);
  if (body.number && call.includes('/push/')) matchNumber(body.id);
});

/** The banner is behind a dialog, and the phone is in it. What was asked without an answer may have changed the accounts. */
function reachable(yes) {
  if (yes && !$('down').hidden && document.body.dataset.loggedIn) setTimeout(accounts);
  show('down', !yes);
  const text = yes ? '' : 'No connection to the bank.';
  if ($('offline').textContent !== text) $('offline').textContent = text;
}

/** A request of the bank's own that no guard is in front of. */
async function send(method, path, body) {
  const init = { method, headers: body ? { 'content-type': 'application/json' } : {}, body: body && JSON.stringify(body) };
  try {
    const response = await recorded(path, init);
    return { ok: response.ok, status: response.status, body: await response.json().catch(() => ({})) };
  } catch {
    return { ok: false, status: 0, body: {} };
  }
}

const prompt = async (asked) => {
  task.asked = true;
  steps(task.card, 2);
  const why = `${task.what} takes one more step.`;
  const texts = { ...TEXTS, why, whyExpired: `Your last confirmation has ended. ${why}` };
  await stepUpDialog({ pollEvery: 1, texts })(asked);
  steps(task.card, 3);
};
const stepUpFetch = withStepUp(altering, { prompt: Object.assign(prompt, { confirmsSpent: true }) });

/** Where a task says so, something in the browser alters the body when the request is repeated. */
function altering(input, init) {
  if (!task?.altered || new URL(input, location).pathname !== task.path || !task.sent++) return recorded(input, init);
  return recorded(input, { ...init, body: JSON.stringify(task.altered) });
}

/** Makes a guarded request, which the client repeats after a step-up. */
async function attempt(made) {
  if (task) return;
  task = { ...made, sent: 0 };
  const { card, method, path, body, what, passed } = task;
  const { signal } = leaving;
  const note = (kind, text) => say(`${card}-note`, kind, text);
  say(`${card}-note`);
  steps(card, 1);
  try {
    const headers = body ? { 'content-type': 'application/json' } : {};
    const response = await stepUpFetch(path, { method, headers, body: body && JSON.stringify(body), signal });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw Object.assign(new Error(), { status: response.status, answer });
    steps(card, 4);
    await passed(answer);
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error.code === 'REFUSED_AGAIN') {
      steps(card, 4);
      const approved = task.altered && 'It asked for another amount than the one that was approved. The approval is unused: “Pay out” now passes.';
      return note(approved ? 'good' : 'bad', `Refused: ${approved || problem(403, error.refusal)}`);
    }
    steps(card, 0);
    if (error.code === 'CANCELLED') {
      note('', `Cancelled: ${what} has not happened. What this session has stepped up to is unchanged.`);
      return ways.length || $('number').focus();
    }
    const lost = 'The bank does not answer, so it may or may not have happened. Look at the accounts when it is back, then try again.';
    return note('bad', error.status || error.errorCode ? problem(error.status, error.answer ?? error) : lost);
  } finally {
    task = undefined;
  }
}

// --- Where the session stands ---

const client = () => challenges({ base: CHALLENGES, fetch: recorded, signal: AbortSignal.timeout(5000) });

/** Asks, at most for five seconds. The recorder hands the answer on to `stand`. */
async function look() {
  if (document.hidden || looking) return;
  looking = true;
  if (document.body.dataset.loggedIn) await client().status().catch(() => {});
  else if (!$('down').hidden) await enter();
  looking = false;
}

function stand({ status, grants = [], channels, pending }) {
  // Grants that are bound open one payout each, and nothing else.
  const [grant] = grants.filter(({ bound }) => !bound).sort((a, b) => b.expiresIn - a.expiresIn);
  const up = status === 'STEPPED_UP' && grant;
  if (!up && deadline !== undefined) expire();
  deadline = up ? performance.now() + (grant.expiresIn + 1) * 1000 : undefined;
  Object.assign($('badge').dataset, { status });
  $('badge').textContent = up ? 'Stepped up' : 'Logged in';
  $('standing').dataset.by = up ? grant.channel : '';
  show('drop', Boolean(up));
  show('drop-and-show', Boolean(up));
  ways = [...channels.otp, ...channels.push];
  $('enrolled').textContent = ways.length ? `You can confirm by ${ways.map((way) => NAMES[way] ?? way).join(' and by ')}.` : 'You have no way to confirm yet. In this demo any number will do.';
  if (!ways.length) $('enrol').open = true;
  showPending(pending, enrolling);
  $('waits').textContent = task && pending ? `The page waits with: ${task.what}` : '';
  tick();
}

function expire() {
  deadline = undefined;
  hideCard();
  say('session-note', 'toast', 'Your step-up has ended. The next guarded request asks again.');
}

function tick() {
  const left = deadline && Math.max(0, Math.ceil((deadline - performance.now()) / 1000));
  $('standing').textContent = left === undefined ? 'Guarded requests ask for a step-up.' : `by ${$('standing').dataset.by}, ${clock(left)} left`;
  if (left === 0) {
    expire();
    look();
  }
}
setInterval(tick, 1000);
setInterval(look, 2000);
// Another tab may have changed the accounts, or the user.
document.addEventListener('visibilitychange', () => (task || document.hidden ? look() : enter()));

async function accounts() {
  const { ok, body } = await send('GET', '/accounts');
  if (!ok) return undefined;
  $('accounts').replaceChildren(...body.accounts.map(({ name, balance, currency }) => {
    const amount = Number(balance).toLocaleString('en', { minimumFractionDigits: 2 });
    return make('div', '', make('dt', '', name), make('dd', 'digits', `${amount} ${currency}`));
  }));
  return body;
}

// --- What the page says ---

/** Writes a note next to what it is about, and brings it into view. */
function say(id, kind = '', text = '') {
  $(id).className = `note ${kind}`;
  $(id).textContent = text;
  if (text) $(id).scrollIntoView({ block: 'nearest' });
}

/** How far a task is. Where nothing was asked, a step-up was there. */
function steps(card, count) {
  $(card).querySelectorAll('.steps li').forEach((item, index) => {
    const skipped = count === 4 && !task?.asked && (index === 1 || index === 2);
    item.className = skipped ? 'skipped' : index < count ? 'done' : '';
    item.ariaCurrent = index === count - 1 ? 'step' : null;
  });
}

function hideCard() {
  $('card-number').textContent = MASKED;
  $('show-card').textContent = 'Show the number';
}

/** One at a time for each element: it is busy meanwhile, and keeps the focus. */
function on(id, type, act) {
  $(id).addEventListener(type, async (event) => {
    event.preventDefault();
    const button = event.submitter ?? (type === 'submit' ? event.target.querySelector('button') : $(id));
    if (button.ariaBusy === 'true') return;
    button.ariaBusy = button.ariaDisabled = 'true';
    try { await act(button); } finally { button.ariaBusy = button.ariaDisabled = null; }
  });
}

// --- Login ---

async function enter() {
  const body = await accounts();
  if (!body) return show('login', !document.body.dataset.loggedIn);
  leaving = new AbortController();
  document.body.dataset.loggedIn = 'true';
  $('who').textContent = $('phone-of').textContent = body.user;
  show('login', false);
  show('session');
  return client().status().catch(() => {});
}

function leave(text) {
  leaving.abort();
  delete document.body.dataset.loggedIn;
  deadline = undefined;
  enrolling = '';
  hideCard();
  ['transfer', 'card', 'payout'].forEach((card) => { steps(card, 0); say(`${card}-note`); });
  ['session-note', 'enrol-note'].forEach((id) => say(id));
  show('confirm-form', false);
  $('enrol').open = false;
  $('phone-note').textContent = '';
  showPending();
  show('session', false);
  show('login');
  say('login-note', text ? 'bad' : '', text);
  setTimeout(() => $('login-title').focus(), 50); // a dialog is still to close
}

async function login(username, password) {
  const { ok, status, body } = await send('POST', '/login', { username, password });
  if (!ok) return say('login-note', 'bad', status === 401 ? 'Wrong name or password.' : problem(status, body));
  say('login-note');
  await enter();
  $('session-title').focus();
  return $('session').scrollIntoView();
}

on('login-form', 'submit', () => login($('username').value, $('password').value));
document.querySelectorAll('[data-user]').forEach((button) => {
  button.id = `login-${button.dataset.user}`;
  on(button.id, 'click', () => login(button.dataset.user, button.dataset.user));
});
on('logout', 'click', async () => {
  const { ok, status, body } = await send('POST', '/logout');
  if (ok) leave('');
  else if (status !== 401) say('session-note', 'bad', problem(status, body));
});

// --- The tasks ---

on('transfer-form', 'submit', () => {
  const body = { to: $('to').value, amount: $('amount').value };
  const what = `Sending ${body.amount} EUR to ${body.to}`;
  return attempt({ card: 'transfer', method: 'POST', path: '/transfers', body, what, passed: ({ to, amount }) => {
    say('transfer-note', 'good', `Sent ${amount} EUR to ${to}.${already()}`);
    return accounts();
  } });
});

const already = () => (task.asked ? '' : ' This session had stepped up already, so nothing was asked.');

const showCard = () => attempt({ card: 'card', method: 'GET', path: '/cards/1', what: 'Showing the card', passed: ({ number }) => {
  $('card-number').textContent = number.replace(/(.{4})(?=.)/g, '$1 ');
  $('show-card').textContent = 'Hide the number';
  say('card-note', 'good', `Here is the whole number.${already()}`);
} });
on('show-card', 'click', () => {
  if ($('card-number').textContent === MASKED) return showCard();
  steps('card', 0);
  say('card-note');
  return hideCard();
});

async function drop() {
  const { ok, status, body } = await send('DELETE', CHALLENGES);
  if (ok) {
    deadline = undefined;
    hideCard();
    say('session-note', 'good', 'The elevation is dropped. You are still logged in.');
    $('session-title').focus({ preventScroll: true });
  } else if (status !== 401) say('session-note', 'bad', problem(status, body));
  return ok;
}
on('drop', 'click', drop);
on('drop-and-show', 'click', async () => {
  if (!await drop()) return;
  $('show-card').focus();
  await showCard();
});

on('payout-form', 'submit', (button) => {
  const body = { to: $('payee').value, amount: $('payout-amount').value };
  const what = `Paying ${body.amount} EUR to ${body.to}`;
  const altered = button.id === 'alter' ? { ...body, amount: `9${body.amount}` } : undefined;
  $('payout-last').textContent = altered ? 'Refused again' : 'Paid';
  return attempt({ card: 'payout', method: 'POST', path: '/payouts', body, altered, what, passed: ({ to, amount }) => {
    $('payout-last').textContent = 'Paid';
    say('payout-note', 'good', `Paid ${amount} EUR to ${to}. The approval${task.asked ? '' : ' of before'} is used up.`);
    return accounts();
  } });
});

// --- The phone ---

on('accept', 'click', () => answerPush(send, true));
on('decline', 'click', () => answerPush(send, false));
on('cancel-pending', 'click', async () => {
  const done = await Promise.all(pending().map((one) => client().cancel(...one))).then(() => 'Cancelled.', () => 'That did not work. Try again.');
  $('phone-note').textContent = done;
  $('phone-title').focus();
});

on('enrol-form', 'submit', async () => {
  const { ok, status, body } = await send('POST', ENROLMENT, { number: $('number').value });
  if (!ok) return say('enrol-note', 'bad', problem(status, body));
  enrolling = $('number').value;
  say('enrol-note', 'good', 'A code is on its way: it is on the phone of this page.');
  show('confirm-form');
  $('confirm-code').value = '';
  return $('confirm-code').focus();
});
on('confirm-form', 'submit', async () => {
  const { ok, status, body } = await send('POST', `${ENROLMENT}/verify`, { verificationCode: cleanCode($('confirm-code').value) });
  if (!ok) {
    say('enrol-note', 'bad', UNCONFIRMED[body.errorCode] ?? problem(status, body));
    return $('confirm-code').select();
  }
  enrolling = '';
  show('confirm-form', false);
  say('enrol-note', 'good', 'Enrolled: codes reach this phone now.');
  return $('number').focus();
});

$('clear').addEventListener('click', clear);
show('wire-panel');
enter();
