import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withStepUp } from '../src/index.js';
import { URL, once } from './fake.js';

const prompt = () => {};
const post = (body, headers) => ({ method: 'POST', body, headers });
const bytes = new TextEncoder().encode('bytes');
const form = () => {
  const made = new FormData();
  made.append('a', 'b');
  made.append('file', new Blob(['content'], { type: 'text/plain' }), 'a.txt');
  return made;
};

for (const [name, body, type] of [
  ['a string', 'text', 'text/plain;charset=UTF-8'],
  ['parameters', new URLSearchParams({ a: 'b' }), 'application/x-www-form-urlencoded;charset=UTF-8'],
  ['a blob', new Blob(['blob'], { type: 'image/png' }), 'image/png'],
  ['a buffer', bytes.buffer.slice(0), null],
  ['a view', bytes.subarray(1), null],
  ['Node\'s buffer', Buffer.from('node'), null],
  ['a form', form(), /^multipart\/form-data; boundary=/],
  ['nothing', undefined, null],
]) {
  test(`${name} is sent twice as it is`, async () => {
    const { fetch, sent } = once();
    await withStepUp(fetch, { prompt })(`${URL}/pay`, post(body, { 'Idempotency-Key': 'k1' }));
    const [first, second] = sent;
    assert.equal(sent.length, 2);
    assert.equal(second.body, first.body);
    assert.equal(second.method, 'POST');
    assert.equal(second.headers.get('content-type'), first.headers.get('content-type'));
    if (type instanceof RegExp) assert.match(second.headers.get('content-type'), type);
    else assert.equal(second.headers.get('content-type'), type);
    assert.equal(second.headers.get('idempotency-key'), 'k1');
  });
}

test('what the caller changes meanwhile does not change the repetition', async () => {
  const { fetch, sent } = once();
  const body = new URLSearchParams({ to: 'bob' });
  const headers = new Headers({ 'idempotency-key': 'k1' });
  const change = () => {
    body.set('to', 'mallory');
    headers.set('idempotency-key', 'k2');
  };
  await withStepUp(fetch, { prompt: change })(URL, { method: 'POST', body, headers });
  assert.equal(sent[1].body, 'to=bob');
  assert.equal(sent[1].headers.get('idempotency-key'), 'k1');
});

test('what the caller changes right after the call changes neither request', async () => {
  for (const body of ['to=bob', new URLSearchParams({ to: 'bob' }), new TextEncoder().encode('to=bob'), form()]) {
    const { fetch, sent } = once();
    const url = new globalThis.URL(`${URL}/pay`);
    const init = post(body, new Headers({ 'idempotency-key': 'k1' }));
    const response = withStepUp(fetch, { prompt })(url, init);
    url.pathname = '/delete';
    init.headers.set('idempotency-key', 'k2');
    if (body instanceof Uint8Array) body.fill(48);
    else if (typeof body !== 'string') body.set('to', 'mallory');
    init.body = 'to=mallory';
    init.method = 'PUT';
    assert.equal((await response).status, 200);
    for (const one of sent) {
      assert.equal(one.url, `${URL}/pay`);
      assert.equal(one.method, 'POST');
      assert.equal(one.headers.get('idempotency-key'), 'k1');
      assert.doesNotMatch(one.body, /mallory|0000/);
    }
    assert.equal(sent[1].body, sent[0].body);
  }
});

test('a Request is cloned before it is sent', async () => {
  for (const body of ['text', new ReadableStream({ start(controller) { controller.enqueue(bytes); controller.close(); } })]) {
    const { fetch, sent } = once();
    const request = new Request(`${URL}/pay`, { ...post(body, { 'idempotency-key': 'k1' }), duplex: 'half' });
    const response = await withStepUp(fetch, { prompt })(request);
    assert.equal(response.status, 200);
    assert.equal(sent[0].input, request);
    assert.equal(sent[1].body, sent[0].body);
    assert.equal(sent[1].headers.get('idempotency-key'), 'k1');
  }
});

test('a stream is sent untouched, and is a typed error where it would have to be repeated', async () => {
  const stream = () => new ReadableStream({ start(controller) { controller.enqueue(bytes); controller.close(); } });
  async function* parts() { yield bytes; }
  for (const body of [stream(), parts()]) {
    const { fetch, sent } = once({ scope: 'pay' });
    const init = { ...post(body), duplex: 'half' };
    const failed = withStepUp(fetch, { prompt: () => assert.fail('prompted') })(`${URL}/pay`, init);
    await assert.rejects(failed, ({ code, refusal }) => code === 'BODY_NOT_REPLAYABLE' && refusal.scope === 'pay');
    assert.equal(sent.length, 1);
    assert.equal(sent[0].init, init);
    assert.equal(sent[0].body, 'bytes');
  }
});

test('the first request reaches fetch as it was given', async () => {
  const calls = [];
  const fetch = async (...given) => { calls.push(given); return new Response('ok'); };
  const init = post('text');
  await withStepUp(fetch, { prompt })(URL, init);
  await withStepUp(fetch, { prompt })(URL);
  assert.equal(calls[0][1], init);
  assert.equal(calls[1][1], undefined);
});
