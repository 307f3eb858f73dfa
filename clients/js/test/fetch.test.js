import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { StepUpError, challenges, withStepUp } from '../src/index.js';
import { byCode, newUser, session, startDemo } from './demo.js';
import { deferred } from './fake.js';

let url;
before(async () => { url = await startDemo(); });
const BASE = '/stepup/challenges';

test('a refused request is repeated once after the step-up', async () => {
  const bank = await session(url);
  const prompts = [];
  const fetch = withStepUp(bank.fetch, { prompt: byCode(prompts) });
  const response = await fetch(`${url}/transfers`, bank.json({ to: 'bob', amount: '1.00' }));
  assert.equal(response.status, 201);
  assert.equal(prompts.length, 1);
  assert.equal(prompts[0].maxAge, 120);
  assert.equal(prompts[0].challenges, `${url}${BASE}`);
  assert.equal(bank.count('POST /transfers'), 2);
  assert.deepEqual(bank.count(`POST ${BASE}/otp/SMS/verify`), 1);
});

test('fifty requests refused at once: one prompt, fifty successes', async () => {
  const bank = await session(url);
  const prompts = [];
  // None is answered before all have been refused.
  let arrived = 0;
  const { promise: refused, resolve } = deferred();
  const atOnce = async (input, init) => {
    const response = await bank.fetch(input, init);
    if (response.status === 403 && ++arrived === 50) resolve();
    if (response.status === 403) await refused;
    return response;
  };
  const fetch = withStepUp(atOnce, { prompt: byCode(prompts) });
  const all = await Promise.all(Array.from({ length: 50 }, () => fetch(`${url}/cards/1`, { headers: bank.headers })));
  assert.deepEqual(new Set(all.map(({ status }) => status)), new Set([200]));
  assert.equal(prompts.length, 1);
  assert.equal(bank.count('GET /cards/1'), 100);
});

test('a request that was sent before the step-up ended, and is refused after it, is not prompted for', async () => {
  const bank = await session(url);
  const prompts = [];
  let late;
  const hold = new Promise((resolve) => { late = resolve; });
  const slow = async (input, init) => {
    const response = await bank.fetch(input, init);
    if (init?.headers?.slow) await hold;
    return response;
  };
  const fetch = withStepUp(slow, { prompt: byCode(prompts) });
  const second = fetch(`${url}/cards/1`, { headers: { ...bank.headers, slow: 'yes' } });
  await fetch(`${url}/cards/1`, { headers: bank.headers });
  late();
  assert.equal((await second).status, 200);
  assert.equal(prompts.length, 1);
});

test('a bound request: bindings are not shared, and their prompts follow one another', async () => {
  const bank = await session(url);
  let open = 0;
  const prompts = [];
  const prompt = async ({ refusal, challenges }) => {
    assert.equal(++open, 1);
    prompts.push(refusal.operation);
    const { id } = await challenges.startPush('BIOMETRIC', refusal);
    await fetch(`${url}/simulate/push/${id}/accept`, { method: 'POST' });
    assert.equal((await challenges.pollPush('BIOMETRIC', id)).status, 'VERIFIED');
    open -= 1;
  };
  const stepUpFetch = withStepUp(bank.fetch, { prompt });
  const pay = (amount) => stepUpFetch(`${url}/payouts`, bank.json({ to: 'bob', amount }));
  const both = await Promise.all([pay('1.00'), pay('2.00')]);
  assert.deepEqual(both.map(({ status }) => status), [201, 201]);
  assert.deepEqual(prompts.sort(), ['Pay 1.00 EUR to bob', 'Pay 2.00 EUR to bob']);
});

test('a body of several parts is the same byte for byte when it is repeated', async () => {
  const sent = [];
  const fake = async (input, init) => {
    sent.push([new Headers(init.headers).get('content-type'), await new Response(init.body).text()]);
    return sent.length === 1
      ? Response.json({ errorCode: 'STEP_UP_REQUIRED', channels: { otp: ['SMS'] } }, { status: 403 }) : new Response('ok');
  };
  const form = new FormData();
  form.append('file', new Blob(['content']), 'name.txt');
  await withStepUp(fake, { prompt: () => {} })('https://bank.example/upload', { method: 'POST', body: form });
  assert.match(sent[0][0], /^multipart\/form-data; boundary=/);
  assert.deepEqual(sent[1], sent[0]);
});

test('spent: nothing starts without a yes, and with one the request passes', async () => {
  const bank = await session(url);
  const prompts = [];
  const prompt = byCode(prompts);
  const pay = (options) => withStepUp(bank.fetch, { prompt, ...options })(`${url}/payouts`, bank.json({ to: 'bob', amount: '3.00' }));
  assert.equal((await pay()).status, 201);
  const isSpent = (code) => (error) => error instanceof StepUpError && error.code === code && error.refusal.spentAt > Date.now() - 60_000;
  await assert.rejects(pay(), isSpent('SPENT'));
  await assert.rejects(pay({ confirmSpent: () => false }), isSpent('CANCELLED'));
  assert.equal(prompts.length, 1);

  const asked = [];
  const push = async ({ refusal, challenges, confirmed }) => {
    assert.equal(confirmed, true);
    const { id } = await challenges.startPush('BIOMETRIC', refusal);
    await fetch(`${url}/simulate/push/${id}/accept`, { method: 'POST' });
  };
  const again = await pay({ prompt: push, confirmSpent: ({ spentAt }) => asked.push(spentAt) > 0 });
  assert.equal(again.status, 201);
  assert.equal(asked.length, 1);
});

test('a second refusal is a typed error, and no loop', async () => {
  const bank = await session(url);
  const fetch = withStepUp(bank.fetch, { prompt: () => {} });
  await assert.rejects(fetch(`${url}/cards/1`, { headers: bank.headers }), { name: 'StepUpError', code: 'REFUSED_AGAIN' });
  assert.equal(bank.count('GET /cards/1'), 2);
});

test('the code was used already: success only where its grant is alive', async () => {
  const bank = await session(url);
  const client = challenges({ base: url + BASE, headers: bank.headers });
  await client.start('SMS', { scope: 'payments' });
  await client.verify('SMS', '123456', { scope: 'payments' });
  await client.verify('SMS', '123456', { scope: 'payments', maxAge: 60 });
  await assert.rejects(client.verify('SMS', '123456', { scope: 'cards' }), { errorCode: 'ALREADY_VERIFIED' });
  await assert.rejects(client.verify('SMS', '123456', { scope: 'payments', maxAge: -1 }), { errorCode: 'ALREADY_VERIFIED' });
});

test('a lost response to a start is recovered from the status', async () => {
  const bank = await session(url);
  const lossy = async (input, init) => {
    await fetch(input, init).then((response) => { if (init.method !== 'POST') throw response; });
    throw new TypeError('lost');
  };
  const client = (fetch) => challenges({ base: url + BASE, headers: bank.headers, fetch });
  const lost = client((input, init) => lossy(input, init).catch((error) => { if (error instanceof Response) return error; throw error; }));
  await lost.start('SMS', { scope: 'payments' });
  const { id } = await lost.startPush('BIOMETRIC');
  assert.match(id, /^\d+$/);
  // What is pending is for something else, or nothing is: the error stays.
  const down = client(async () => { throw new TypeError('down'); });
  await assert.rejects(down.start('SMS'), { name: 'ChallengeError', status: 0, errorCode: 'NETWORK' });
  const other = await session(url);
  const never = challenges({ base: url + BASE, headers: other.headers, fetch: (input, init) => (init.method === 'POST' ? Promise.reject(new TypeError('lost')) : fetch(input, init)) });
  await assert.rejects(never.start('SMS'), { errorCode: 'NETWORK' });
});

test('errors of the challenge endpoints are typed', async () => {
  const bank = await session(url);
  const client = challenges({ base: url + BASE, headers: bank.headers, language: 'de' });
  await client.start('SMS');
  await assert.rejects(client.start('SMS'), { name: 'ChallengeError', status: 409, errorCode: 'RETRY_IN_15SEC', retryAfter: 15 });
  await assert.rejects(client.verify('SMS', '000000'), { errorCode: 'VERIFICATION_CODE_INVALID' });
  await assert.rejects(client.verify('SMS', '12'), ({ status, syntaxErrors }) => status === 400 && syntaxErrors.invalidFields[0].error === 'SIZE');
  await assert.rejects(client.verify('SMS', '123456', { scope: 'other' }), { errorCode: 'STATE_INVALID' });
  assert.equal((await client.status()).pending.otp.channel, 'SMS');
  await client.cancel('SMS');
  assert.equal((await client.status()).pending.otp, undefined);
  const { id } = await client.startPush('BIOMETRIC');
  await client.cancel('BIOMETRIC', id);
  assert.equal((await client.pollPush('BIOMETRIC', id)).status, 'EXPIRED');
  const bob = await session(url, newUser('bob'));
  await assert.rejects(challenges({ base: url + BASE, headers: bob.headers }).start('SMS'), { errorCode: 'CHANNEL_NOT_REGISTERED' });
});

test('a code is sent without spaces, separators and invisible characters', async () => {
  const bank = await session(url);
  const client = challenges({ base: url + BASE, headers: bank.headers });
  await client.start('SMS');
  await client.verify('SMS', ' 12\u200b3-4\u00a05\u20606. ');
});

test('ensure steps up before it is needed, and only where it is', async () => {
  const bank = await session(url);
  const prompts = [];
  const fetch = withStepUp(bank.fetch, { prompt: byCode(prompts), headers: bank.headers, challenges: url + BASE });
  await fetch.ensure({ minRemaining: 60 });
  await fetch.ensure({ minRemaining: 60 });
  assert.equal(prompts.length, 1);
  assert.deepEqual(prompts[0].channels.otp, ['SMS']);
  assert.equal((await fetch(`${url}/cards/1`, { headers: bank.headers })).status, 200);
  // The grant does not last that long, and the next code has to wait.
  await assert.rejects(fetch.ensure({ minRemaining: 3600 }), { errorCode: 'RETRY_IN_15SEC' });
  await assert.rejects(fetch.ensure({ scope: 'other' }), { errorCode: 'RETRY_IN_15SEC' });
});
