import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withStepUp } from '../src/index.js';
import { URL, deferred, fake, once, refuse, turn } from './fake.js';

/** Refuses each path once; a path says what is asked for. */
function server(requirements) {
  const seen = new Map();
  return fake((_, { url, headers }) => {
    const path = url.slice(URL.length);
    if (path.startsWith('/stepup')) return Response.json({ grants: [] });
    const key = path + headers.get('n') + headers.get('authorization');
    if (seen.has(key)) return new Response('ok');
    seen.set(key, true);
    return refuse(requirements[path.split('?')[0]]);
  });
}
const call = (fetch, path, n, init = {}) => fetch(URL + path, { ...init, headers: { n: String(n), ...init.headers } });

test('one prompt for what is the same, another for each that differs', async () => {
  const requirements = {
    '/a': {}, '/scope': { scope: 'x' }, '/age': { maxAge: 60 }, '/channels': { channels: { otp: ['EMAIL'] } }, '/all': { all: true },
  };
  const { fetch } = server(requirements);
  const prompts = [];
  const stepUpFetch = withStepUp(fetch, { prompt: async ({ refusal }) => { prompts.push(refusal); await turn(); } });
  const paths = Object.keys(requirements);
  await Promise.all(Array.from({ length: 50 }, (_, n) => call(stepUpFetch, paths[n % 5], n)));
  assert.equal(prompts.length, 5);
});

test('sessions do not share a prompt', async () => {
  const { fetch } = server({ '/a': {} });
  let prompts = 0;
  const stepUpFetch = withStepUp(fetch, { prompt: async () => { prompts += 1; await turn(); } });
  await Promise.all(['one', 'two'].map((authorization) => call(stepUpFetch, '/a', 1, { headers: { authorization } })));
  assert.equal(prompts, 2);
});

test('bound requests prompt each for itself, one after the other', async () => {
  const { fetch } = server({ '/pay': { binding: 'token' } });
  let open = 0;
  let prompts = 0;
  const prompt = async () => {
    prompts += 1;
    assert.equal(++open, 1);
    await turn();
    open -= 1;
  };
  const stepUpFetch = withStepUp(fetch, { prompt });
  await Promise.all([1, 2, 3].map((n) => call(stepUpFetch, '/pay', n)));
  assert.equal(prompts, 3);
});

test('a prompt that fails does not hold up the next', async () => {
  const { fetch } = server({ '/pay': { binding: 'token' } });
  let prompts = 0;
  const stepUpFetch = withStepUp(fetch, { prompt: async () => { if (++prompts === 1) throw new Error('closed'); } });
  const results = await Promise.allSettled([1, 2].map((n) => call(stepUpFetch, '/pay', n)));
  assert.deepEqual(results.map(({ status }) => status), ['rejected', 'fulfilled']);
});

test('each has its own signal; when the last has gone, the prompt is aborted', async () => {
  const { fetch } = server({ '/a': {} });
  const shown = deferred();
  const stepUpFetch = withStepUp(fetch, {
    prompt: ({ signal }) => new Promise((_, reject) => {
      shown.resolve(signal);
      signal.addEventListener('abort', () => reject(signal.reason));
    }),
  });
  const controllers = [new AbortController(), new AbortController()];
  const waiting = controllers.map(({ signal }, n) => call(stepUpFetch, '/a', n, { signal }));
  const signal = await shown.promise;
  controllers[0].abort(new Error('first'));
  await assert.rejects(waiting[0], /first/);
  assert.equal(signal.aborted, false);
  controllers[1].abort(new Error('second'));
  await assert.rejects(waiting[1], /second/);
  assert.equal(signal.aborted, true);
});

test('one that waits for its turn can go as well, and a new one prompts anew', async () => {
  const { fetch } = server({ '/pay': { binding: 'token' } });
  const first = deferred();
  let prompts = 0;
  const stepUpFetch = withStepUp(fetch, { prompt: async () => { if (++prompts === 1) await first.promise; } });
  const one = call(stepUpFetch, '/pay', 1);
  await turn();
  const leaving = new AbortController();
  const two = call(stepUpFetch, '/pay', 2, { signal: leaving.signal });
  await turn();
  leaving.abort();
  await assert.rejects(two, { name: 'AbortError' });
  const three = call(stepUpFetch, '/pay', 3);
  first.resolve();
  await Promise.all([one, three]);
  assert.equal(prompts, 2);
});

test('a prompt that says no', async () => {
  const { fetch, sent } = once({ scope: 'pay' });
  await assert.rejects(withStepUp(fetch, { prompt: () => false })(URL), ({ code, refusal }) => code === 'CANCELLED' && refusal.scope === 'pay');
  assert.equal(sent.length, 1);
});

test('spent starts nothing by itself, also without a binding', async () => {
  let prompts = 0;
  const prompt = () => { prompts += 1; };
  await assert.rejects(withStepUp(once({ reason: 'spent' }).fetch, { prompt })(URL), { code: 'SPENT' });
  assert.equal(prompts, 0);
  const asking = Object.assign(() => { prompts += 1; }, { confirmsSpent: true });
  assert.equal((await withStepUp(once({ reason: 'spent' }).fetch, { prompt: asking })(URL)).status, 200);
  assert.equal(prompts, 1);
});

test('no step-up of another is taken for one whose request was spent', async () => {
  const held = deferred();
  let prompts = 0;
  const { fetch } = fake(async (_, { url }) => {
    if (url.includes('/stepup')) return Response.json({ grants: [{ channel: 'SMS', verifiedAt: Date.now(), expiresIn: 600 }] });
    if (url.endsWith('/late')) await held.promise;
    return prompts ? refuse({ reason: 'spent' }) : refuse();
  });
  const stepUpFetch = withStepUp(fetch, { prompt: () => { prompts += 1; } });
  const late = stepUpFetch(`${URL}/late`);
  await stepUpFetch(`${URL}/now`).catch(() => {});
  held.resolve();
  await assert.rejects(late, { code: 'SPENT' });
});
