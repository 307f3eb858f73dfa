// The client side of a step-up, without a framework. The parts for every client are `attempt`, `offer`, `start`,
// `verify`, `watch` and `verified`; the rest is the page.

const CHALLENGES = '/stepup/challenges';
const ENROLMENT = '/authentication_factors/otp/SMS';

const $ = (id) => document.getElementById(id);
const show = (id, yes = true) => { $(id).hidden = !yes; };
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

let token = null; // of the login; lost when the page is closed
let refused = null; // the request that waits for the step-up
let code = null; // the URL that verifies the active code
let push = null; // the active push
let deadline = null; // when the elevation expires

// --- The wire ---

/** Makes a request, writes it and its answer to the log, and tells how it went. */
async function call(method, path, body, { anonymous = false } = {}) {
  const headers = {};
  if (token && !anonymous) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const answer = { status: 0, ok: false, body: {}, wait: null };
  const entry = { method, path, headers, sent: body };
  try {
    const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    Object.assign(answer, { status: response.status, ok: response.ok });
    answer.wait = Number(response.headers.get('retry-after')) || null;
    entry.received = response.headers;
    try { answer.body = JSON.parse(text) ?? {}; } catch { entry.text = text; }
  } catch {
    entry.text = 'no answer';
  }
  log(entry, answer);
  // The login has ended, or the bank was restarted.
  if (answer.status === 401 && token && !anonymous) signOut('Your login has ended. Log in again.');
  return answer;
}

// --- Stepping up ---

/** A request that may be refused until the session has stepped up: `{ method, path, body, note, passed }`. */
async function attempt(request, repeated = false) {
  const answer = await call(request.method, request.path, request.body);
  if (answer.ok) return request.passed(answer.body);
  if (answer.body.errorCode !== 'STEP_UP_REQUIRED') return fail(request.note, answer);
  // Repeated once and refused again: another retry could loop.
  if (repeated) return say(request.note, 'bad', `Refused again (${answer.body.reason}). It is not repeated another time.`);
  return offer(request, answer.body);
}

/** Offers what the refusal names: its channels, each with the path at which it starts. */
function offer(request, refusal) {
  closeStepUp();
  refused = request;
  if (deadline !== null) refresh(); // it expired earlier than expected
  say('status-note');
  say(request.note, 'bad', 'This needs a step-up: see “One more step”.', { quietly: true });
  const because = { expired: 'Your last step-up has expired.', too_old: 'Your last step-up is too long ago.', spent: 'Your last step-up has been used.',
    mismatch: 'This needs a step-up of its own.' };
  $('stepup-why').textContent =
    `${because[refusal.reason] ?? 'Your login alone is not enough for this.'} After it, “${request.name}” goes on by itself.`;
  const starts = refusal.start ?? [];
  // The purpose of the step-up: the token that binds it to this request, or a scope.
  const { binding, scope } = refusal;
  const purpose = binding ? { binding } : scope ? { scope } : undefined;
  const buttons = Object.entries(refusal.channels ?? {}).flatMap(([kind, channels]) => channels.map((channel) => {
    const path = starts.find((start) => start.endsWith(`/${kind}/${channel}`));
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = kind === 'otp' ? `Code by ${channel}` : `Push to the phone (${channel})`;
    button.addEventListener('click', once(button, () => start(kind, channel, path, purpose)));
    return button;
  }));
  $('channels').replaceChildren(...buttons);
  show('stepup');
  $('stepup-title').focus();
}

async function start(kind, channel, path, purpose) {
  show('enrol-first', false);
  show('cancel-pending', false);
  const answer = await call('POST', path, purpose);
  if (!answer.ok) {
    fail('stepup-note', answer, { STATE_INVALID: 'A push is on its way already. Answer it on the phone, or cancel it.' });
    show('enrol-first', answer.body.errorCode === 'CHANNEL_NOT_REGISTERED');
    show('cancel-pending', answer.body.errorCode === 'STATE_INVALID' && !push);
    return;
  }
  if (kind === 'otp') {
    code = `${path}/verify`;
    $('code-channel').textContent = channel;
    $('code').value = '';
    show('code-form');
    say('stepup-note', 'good', `A code is on its way by ${channel}.`);
    $('code').focus();
  } else {
    push = { path: `${path}/${answer.body.id}`, id: answer.body.id };
    $('accept').disabled = $('decline').disabled = false;
    show('push');
    say('stepup-note', 'good', 'A push is on its way to your phone.');
    $('accept').focus();
    watch(push);
  }
}

async function verify() {
  const answer = await call('POST', code, { verificationCode: $('code').value });
  if (answer.ok) return verified();
  fail('stepup-note', answer, { STATE_INVALID: 'No code is in flight any more. Ask for a new one.' });
  $('code').focus();
  $('code').select();
}

/** Asks how the push stands until it is decided. */
async function watch(mine) {
  for (;;) {
    await sleep(1);
    if (push !== mine) return;
    const answer = await call('GET', mine.path);
    if (push !== mine) return;
    if (answer.status === 0 || answer.status >= 500) continue;
    if (answer.body.status === 'PENDING') {
      $('push-text').textContent = `Waiting for your answer on the phone, ${clock(answer.body.expiresIn)} left.`;
      continue;
    }
    endPush();
    if (answer.body.status === 'VERIFIED') return verified();
    const ends = { DECLINED: 'Declined on the phone.', EXPIRED: 'The push has expired.' };
    return say('stepup-note', 'bad', `${ends[answer.body.status] ?? 'The push is gone.'} You can start again.`);
  }
}

/** Stepped up: the refused request is repeated by itself, once. */
async function verified() {
  const request = refused;
  closeStepUp();
  await refresh();
  say('status-note', 'good', 'Verified: this session is stepped up.');
  $('status-title').focus();
  if (request) await attempt(request, true);
}

function endPush() {
  push = null;
  show('push', false);
}

function closeStepUp() {
  if (refused) say(refused.note);
  refused = code = null;
  endPush();
  for (const id of ['stepup', 'code-form', 'enrol-first', 'cancel-pending']) show(id, false);
  say('stepup-note');
}

/** Where do I stand? */
async function refresh() {
  const { ok, body } = await call('GET', CHALLENGES);
  if (!ok) return;
  const grant = body.grants.toSorted((a, b) => b.expiresIn - a.expiresIn)[0];
  const up = body.status === 'STEPPED_UP' && grant;
  $('badge').textContent = up ? 'Stepped up' : 'Standard';
  $('badge').classList.toggle('up', Boolean(up));
  $('status-text').textContent = up
    ? `by ${grant.channel} at ${new Date(grant.verifiedAt).toLocaleTimeString()},`
    : 'Transfers and the card number ask for a step-up.';
  // Seconds are rounded down: after one more it has expired at the bank as well.
  deadline = up ? performance.now() + (grant.expiresIn + 1) * 1000 : null;
  show('drop', Boolean(up));
  tick();
  const enrolled = [...body.channels.otp, ...body.channels.push];
  $('enrolled').textContent = enrolled.length ? `You can step up by ${enrolled.join(' and ')}.` : 'You have no way to step up yet.';
}

function tick() {
  const left = deadline === null ? null : Math.ceil((deadline - performance.now()) / 1000);
  $('left').textContent = left === null ? '' : `${clock(Math.max(left, 0))} left`;
  if (left !== null && left <= 0) {
    deadline = null;
    refresh();
  }
}
setInterval(tick, 1000);

// --- Error messages ---

const WORDS = {
  CHANNEL_NOT_SUPPORTED: 'The bank has switched this channel off for you. Take another.',
  CHANNEL_NOT_REGISTERED: 'You have not enrolled this channel.',
  MOBILE_NUMBER_INVALID: 'Your phone number was refused. Enrol it again.',
  CHALLENGE_LIMIT_EXCEEDED: 'That was the last try: this code is dead. Ask for a new one.',
  VERIFICATION_CODE_INVALID: 'That code is wrong. Try again.',
  ONE_CHALLENGE_LIMIT_REMAINING: 'That code is wrong. One try is left.',
  VERIFICATION_CODE_EXPIRED: 'That code has expired. Ask for a new one.',
  ALREADY_VERIFIED: 'That code has been used already.',
  INSUFFICIENT_PERMISSIONS: 'The bank does not allow you to step up.',
  UNAVAILABLE: 'The bank cannot do this now. Try again in a moment.',
};
const FIELDS = { REQUIRED: 'is missing', HAS_TEXT: 'is empty', SIZE: 'has the wrong length', REGEX: 'is not of the right form', RANGE: 'is out of range' };
const NAMES = { verificationCode: 'The code', number: 'The phone number', amount: 'The amount', to: 'The recipient' };

function fail(note, { status, body, wait }, words = {}) {
  if (status === 401 && note !== 'login-note') return; // `call` has shown it
  const field = body.syntaxErrors?.invalidFields?.[0];
  let text = words[body.errorCode] ?? WORDS[body.errorCode];
  if (/^RETRY_IN_/.test(body.errorCode)) text = 'A code was asked for a moment ago.';
  else if (status === 429) text = 'Too many wrong codes or requests: locked for a while.';
  else if (field) text = `${NAMES[field.fieldName] ?? field.fieldName} ${FIELDS[field.error] ?? 'is not valid'}.`;
  else if (status === 0) text = 'The bank does not answer. Is it running?';
  say(note, 'bad', text ?? body.message ?? `The bank answered ${status}.`, { wait });
}

/** Writes a note, says it to who cannot see it, and counts a wait down. */
function say(note, kind = '', text = '', { wait = null, quietly = false } = {}) {
  const element = $(note);
  clearInterval(element.ticking);
  element.className = `note ${kind}`;
  element.textContent = text;
  if (text && !quietly) announce(kind, wait ? `${text} You can try again in ${wait} seconds.` : text);
  if (!text || !wait) return;
  const ticks = document.createElement('span');
  ticks.className = 'ticks';
  element.append(' ', ticks);
  const end = performance.now() + wait * 1000;
  const count = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    if (left > 0) {
      ticks.textContent = `You can try again in ${clock(left)}.`;
      return;
    }
    say(note, 'good', 'You can try again now.');
  };
  count();
  element.ticking = setInterval(count, 1000);
}

/** For screen readers, which say an unchanged text only if it comes anew. */
function announce(kind, text) {
  const element = $(kind === 'bad' ? 'alerts' : 'says');
  element.textContent = '';
  setTimeout(() => { element.textContent = text; }, 50);
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;

// --- The log ---

const HEADERS = ['retry-after', 'x-ratelimit-limit', 'x-ratelimit-reset', 'www-authenticate', 'x-stepup-sandbox', 'request-ref'];

function log({ method, path, headers, sent, received, text }, answer) {
  const list = $('wire');
  const item = document.createElement('li');
  // Repeated polls with the same response are one entry, with a count.
  const same = `${method} ${path} ${answer.status} ${answer.body.status}`;
  const last = list.firstElementChild;
  if (method === 'GET' && last?.same === same) {
    item.times = last.times + 1;
    last.remove();
  }
  Object.assign(item, { same, times: item.times ?? 1 });

  const line = element('div', 'line');
  line.append(element('strong', '', method), element('span', 'path', path));
  if (item.times > 1) line.append(element('span', '', `×${item.times}`));
  line.append(element('span', answer.ok ? 'ok' : 'no', answer.status || 'failed'));
  item.append(line);

  const request = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  if (request.length) item.append(element('pre', 'headers', request.join('\n')));
  if (sent !== undefined) item.append(element('pre', '', `→ ${JSON.stringify(sent)}`));
  const kept = HEADERS.filter((name) => received?.has(name)).map((name) => `${name}: ${received.get(name)}`);
  if (kept.length) item.append(element('pre', 'headers', kept.join('\n')));
  const got = text ?? pretty(answer.body);
  item.append(element('pre', '', got ? `← ${got}` : '← (no content)'));

  list.prepend(item);
  while (list.childElementCount > 200) list.lastElementChild.remove();
  show('wire-empty', false);
}

/** One field a line, which is how the answers here are best read. */
function pretty(body) {
  const fields = Object.entries(body).map(([name, value]) => `  "${name}": ${JSON.stringify(value)}`);
  return `{\n${fields.join(',\n')}\n}`;
}

function element(name, classes, text = '') {
  const element = document.createElement(name);
  element.className = classes;
  element.textContent = text;
  return element;
}

// --- The page ---

/** One at a time: a second click while the first is under way does nothing. */
function once(holder, act) {
  return async (event) => {
    event.preventDefault();
    if (holder.busy) return;
    holder.busy = true;
    try { await act(); } finally { holder.busy = false; }
  };
}
const onSubmit = (id, act) => $(id).addEventListener('submit', once($(id), act));
const onClick = (id, act) => $(id).addEventListener('click', once($(id), act));

async function accounts() {
  const { ok, body } = await call('GET', '/accounts');
  if (!ok) return;
  $('accounts').replaceChildren(...body.accounts.map((account) => {
    const row = document.createElement('tr');
    row.append(element('td', '', account.name), element('td', 'number', `${account.balance} ${account.currency}`));
    return row;
  }));
}

function signOut(text = '') {
  token = deadline = null;
  closeStepUp();
  hideCard();
  for (const id of ['status-note', 'transfer-note', 'payout-note', 'card-note', 'enrol-note']) say(id);
  show('confirm-form', false);
  show('session', false);
  show('login');
  $('password').value = '';
  say('login-note', text ? 'bad' : '', text);
  $('username').focus();
}

function hideCard() {
  $('card-number').textContent = '•••• •••• •••• 4242';
  $('show-card').textContent = 'Show the number';
}

for (const button of document.querySelectorAll('[data-fill]')) {
  button.addEventListener('click', () => {
    $('username').value = $('password').value = button.dataset.fill;
    $('login-form').querySelector('.main').focus();
  });
}

onSubmit('login-form', async () => {
  const username = $('username').value;
  const answer = await call('POST', '/login', { username, password: $('password').value });
  if (!answer.ok) {
    fail('login-note', answer, { UNAUTHORIZED: 'Wrong name or password.' });
    $('password').focus();
    return;
  }
  token = answer.body.token;
  say('login-note');
  $('who').textContent = username;
  show('login', false);
  show('session');
  $('status-title').focus();
  announce('good', `Logged in as ${username}.`);
  await Promise.all([refresh(), accounts()]);
});

onClick('logout', async () => {
  const answer = await call('POST', '/logout');
  if (answer.ok) signOut();
  else if (token) fail('status-note', answer);
});

onClick('drop', async () => {
  const answer = await call('DELETE', CHALLENGES);
  if (!answer.ok) return fail('status-note', answer);
  hideCard();
  await refresh();
  say('status-note', 'good', 'The elevation is gone. You are still logged in.');
  $('status-title').focus();
});

onSubmit('payout-form', () => attempt({
  name: 'Payout', method: 'POST', path: '/payouts', note: 'payout-note',
  body: { to: $('payee').value, amount: $('payout').value },
  passed: async ({ to, amount }) => {
    say('payout-note', 'good', `Paid ${amount} EUR to ${to}. The step-up was for this payout, and is used up.`);
    await accounts();
  },
}));

onSubmit('transfer-form', () => attempt({
  name: 'Transfer', method: 'POST', path: '/transfers', note: 'transfer-note',
  body: { to: $('to').value, amount: $('amount').value },
  passed: ({ to, amount }) => {
    say('transfer-note', 'good', `Sent ${amount} EUR to ${to}.`);
    return accounts();
  },
}));

onClick('show-card', () => {
  if ($('show-card').textContent === 'Hide the number') return hideCard();
  return attempt({
    name: 'Show the number', method: 'GET', path: '/cards/1', note: 'card-note',
    passed: ({ number }) => {
      $('card-number').textContent = number.replace(/(.{4})(?=.)/g, '$1 ');
      $('show-card').textContent = 'Hide the number';
      say('card-note', 'good', 'Here is the whole number.');
    },
  });
});

onSubmit('code-form', verify);
onClick('not-now', () => {
  closeStepUp();
  $('status-title').focus();
});
onClick('cancel-pending', async () => {
  const answer = await call('DELETE', CHALLENGES);
  if (!answer.ok) return fail('stepup-note', answer);
  show('cancel-pending', false);
  say('stepup-note', 'good', 'Cancelled. You can start again.');
});

// The phone: in reality a separate device without this login.
for (const answer of ['accept', 'decline']) {
  onClick(answer, async () => {
    if (!push) return;
    $('accept').disabled = $('decline').disabled = true;
    $('push-text').textContent = 'Answered on the phone.';
    const { ok, status, body } = await call('POST', `/simulate/push/${push.id}/${answer}`, undefined, { anonymous: true });
    if (!ok) fail('stepup-note', { status, body }, { STATE_INVALID: 'This push can no longer be answered.' });
    $('stepup-title').focus();
  });
}

onClick('enrol-first', () => $('number').focus());
onSubmit('enrol-form', async () => {
  const answer = await call('POST', ENROLMENT, { number: $('number').value });
  if (!answer.ok) return fail('enrol-note', answer);
  say('enrol-note', 'good', 'A code is on its way to that phone.');
  $('confirm-code').value = '';
  show('confirm-form');
  $('confirm-code').focus();
});
onSubmit('confirm-form', async () => {
  const answer = await call('POST', `${ENROLMENT}/verify`, { verificationCode: $('confirm-code').value });
  if (!answer.ok) {
    fail('enrol-note', answer, { STATE_INVALID: 'Ask for a code first.' });
    $('confirm-code').select();
    return;
  }
  show('confirm-form', false);
  show('enrol-first', false);
  await refresh();
  say('enrol-note', 'good', 'Enrolled: codes by SMS now reach you.');
  if (refused) {
    say('stepup-note', 'good', 'Your phone is enrolled: ask for the code.', { quietly: true });
    $('stepup-title').focus();
  }
});
onClick('clear', () => {
  $('wire').replaceChildren();
  show('wire-empty');
});
