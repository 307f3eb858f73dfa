import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { before, test } from 'node:test';
import axios from 'axios';
import { stepUpInterceptor } from '../src/axios.js';
import { byCode, session, startDemo } from './demo.js';
import { refusal } from './fake.js';

let url;
before(async () => { url = await startDemo(); });

/** An instance of a new session, and the requests that it has sent. */
async function client() {
  const { headers } = await session(url);
  const sent = [];
  const http = axios.create({ baseURL: url, headers });
  const adapter = axios.getAdapter('http');
  http.defaults.adapter = (config) => {
    sent.push({ url: config.url, key: config.headers.get('Idempotency-Key'), data: config.data });
    return adapter(config);
  };
  return { http, sent };
}

test('axios: prompts once, and repeats once', async () => {
  const { http, sent } = await client();
  const prompts = [];
  stepUpInterceptor(http, { prompt: byCode(prompts) });
  let keys = 0;
  http.interceptors.request.use((config) => { config.headers.set('Idempotency-Key', `k${keys++}`); return config; });
  const { status, data } = await http.post('/transfers', { to: 'bob', amount: '1.00' });
  assert.equal(status, 201);
  assert.equal(data.to, 'bob');
  assert.equal(prompts.length, 1);
  assert.deepEqual(sent[1], sent[0]);
  const all = await Promise.all(Array.from({ length: 10 }, () => http.get('/cards/1')));
  assert.equal(all.every((response) => response.status === 200), true);
  assert.equal(prompts.length, 1);
});

test('axios: a bound request, with every status accepted', async () => {
  const { http } = await client();
  stepUpInterceptor(http, { prompt: byCode() });
  const { status } = await http.post('/payouts', { to: 'bob', amount: '1.00' }, { validateStatus: () => true });
  assert.equal(status, 201);
});

test('axios: other errors are passed on; a second refusal and a stream are typed', async () => {
  const { http, sent } = await client();
  stepUpInterceptor(http, { prompt: () => {} });
  await assert.rejects(http.get('/nothing'), (error) => axios.isAxiosError(error) && error.response.status === 404);
  await assert.rejects(http.get('/cards/1'), { name: 'StepUpError', code: 'REFUSED_AGAIN' });
  assert.equal(sent.filter((one) => one.url === '/cards/1').length, 2);
  const stream = http.post('/transfers', Readable.from(['{"to":"bob","amount":"1"}']), { headers: { 'content-type': 'application/json' } });
  await assert.rejects(stream, { code: 'BODY_NOT_REPLAYABLE' });
});

test('axios: what is no refusal is passed on, before a step-up and after it', async () => {
  for (const [status, data] of [[204, ''], [205, ''], [304, ''], [0, ''], [200, 1n], [200, undefined]]) {
    const answers = [[status, data], [403, refusal()], [status, data]];
    const adapter = async (config) => {
      const [next, body] = answers.shift();
      return { status: next, data: body, headers: new axios.AxiosHeaders({ 'content-type': 'application/json' }), statusText: '', config };
    };
    const http = axios.create({ baseURL: url, adapter, validateStatus: () => true });
    stepUpInterceptor(http, { prompt: () => {} });
    for (const _ of ['untouched', 'repeated']) {
      const got = await http.get('/cards/1');
      assert.deepEqual([got.status, got.data], [status, data]);
    }
    assert.deepEqual(answers, []);
  }
});

test('axios: a transformation of the application is applied once', async () => {
  const { http, sent } = await client();
  stepUpInterceptor(http, { prompt: byCode() });
  const transformRequest = (data, headers) => {
    headers.setContentType('application/json');
    return JSON.stringify({ to: `to ${data.to}`, amount: data.amount });
  };
  const { status, data } = await http.post('/transfers', { to: 'bob', amount: '1.00' }, { transformRequest });
  assert.equal(status, 201);
  assert.equal(data.to, 'to bob');
  assert.deepEqual(sent[1], sent[0]);
});

test('axios: a form is repeated byte for byte', async () => {
  const { http } = await client();
  const sent = [];
  const adapter = http.defaults.adapter;
  http.defaults.adapter = async (config) => {
    sent.push([config.headers.get('content-type'), Buffer.from(config.data).toString()]);
    return adapter(config);
  };
  stepUpInterceptor(http, { prompt: byCode() });
  const form = new FormData();
  form.append('to', 'bob');
  // The guard lets it pass; the route itself knows JSON only.
  await assert.rejects(http.post('/transfers', form), (error) => axios.isAxiosError(error) && error.response.data.errorCode !== 'STEP_UP_REQUIRED');
  assert.match(sent[0][0], /^multipart\/form-data; boundary=/);
  assert.match(sent[0][1], /bob/);
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[1], sent[0]);
});

test('an interceptor as clients of the specification write it', async () => {
  const { http, sent } = await client();
  // It reads `message`, steps up by the fixed paths, and sends the same request once more.
  http.interceptors.response.use(undefined, async (error) => {
    const { response, config } = error;
    if (response?.status !== 403 || response.data.message !== 'STEP_UP_REQUIRED' || config.retried) throw error;
    await http.post('/stepup/challenges/otp/SMS');
    const verified = await http.post('/stepup/challenges/otp/SMS/verify', { verificationCode: '123456' });
    assert.equal(verified.status, 204);
    return http.request({ ...config, retried: true });
  });
  const { status } = await http.post('/transfers', { to: 'bob', amount: '1.00' });
  assert.equal(status, 201);
  assert.equal(sent.filter((one) => one.url === '/transfers').length, 2);
});
