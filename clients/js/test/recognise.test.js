import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanCode, withStepUp } from '../src/index.js';
import { URL, fake, once, refusal, refuse } from './fake.js';

const never = () => assert.fail('prompted');

test('a refusal by either word, and by the OAuth profile', async () => {
  for (const [fields, init] of [[{ message: 'x' }], [{ errorCode: undefined }], [{}, { status: 401, headers: { 'www-authenticate': 'Bearer error="insufficient_user_authentication"' } }]]) {
    const { fetch } = once(fields, init);
    let prompts = 0;
    const response = await withStepUp(fetch, { prompt: () => { prompts += 1; } })(URL);
    assert.equal(await response.text(), 'ok');
    assert.equal(prompts, 1);
  }
});

test('anything else is the very same response, unread', async () => {
  for (const response of [
    new Response('fine'),
    Response.json(refusal(), { status: 200 }),
    Response.json(refusal(), { status: 409 }),
    Response.json({ errorCode: 'INSUFFICIENT_PERMISSIONS' }, { status: 403 }),
    Response.json({ errorCode: 'UNAUTHORIZED' }, { status: 401 }),
    Response.json('STEP_UP_REQUIRED', { status: 403 }),
    Response.json(null, { status: 403 }),
    Response.json([refusal()], { status: 403 }),
    new Response('{', { status: 403, headers: { 'content-type': 'application/json' } }),
    new Response(JSON.stringify(refusal()), { status: 403, headers: { 'content-type': 'text/html' } }),
    new Response(null, { status: 403 }),
  ]) {
    const got = await withStepUp(async () => response, { prompt: never })(URL);
    assert.equal(got, response);
    assert.equal(got.bodyUsed, false);
  }
});

test('a start at another origin is no refusal of ours', async () => {
  for (const start of [
    'https://evil.example/stepup/challenges/otp/SMS', '//evil.example/otp/SMS', '/\\evil.example/otp/SMS', 'http://bank.example/otp/SMS',
    'javascript:alert(1)', 'blob:https://bank.example/otp/SMS', 'blob:https://bank.example/@evil.example/otp/SMS', 'https://bank.example:444/otp/SMS', ['https://evil.example/otp/SMS'],
  ]) {
    const { fetch, sent } = fake(() => refuse({ start: [start].flat() }));
    const response = await withStepUp(fetch, { prompt: never })(URL);
    assert.equal(response.status, 403);
    assert.equal(sent.length, 1);
  }
});

test('the challenge endpoints are those of the refusal, or of the option', async () => {
  for (const [start, challenges, base] of [
    [['/a/b/otp/SMS', '/a/b/push/APP'], undefined, '/a/b'],
    [['https://bank.example/a/otp/SMS'], undefined, '/a'],
    [['/otp/SMS'], undefined, ''],
    [undefined, undefined, '/stepup/challenges'],
    [['/a/other?x#y'], undefined, '/stepup/challenges'],
    [['/a/otp/SMS'], '/mine/', '/mine'],
    [undefined, 'https://bank.example/mine', '/mine'],
  ]) {
    const { fetch } = once({ start });
    let context;
    await withStepUp(fetch, { challenges, prompt: (given) => { context = given; } })(`${URL}/pay`);
    assert.equal(context.refusal.challenges, URL + base);
  }
});

test('the login goes to the challenge endpoints of its own origin, and codes follow no redirect', async () => {
  const { fetch, sent } = fake((turn) => (turn === 1 ? refuse() : new Response(null, { status: 204 })));
  await withStepUp(fetch, { language: 'fr', prompt: ({ challenges }) => challenges.start('SMS', { scope: 'pay' }) })(URL, { headers: { Authorization: 'Bearer t', other: 'x' } });
  const [, start] = sent;
  assert.deepEqual([...start.headers], [['accept-language', 'fr'], ['authorization', 'Bearer t'], ['content-type', 'application/json']]);
  assert.equal(start.init.redirect, 'error');
  assert.equal(start.url, `${URL}/stepup/challenges/otp/SMS`);
  assert.equal(start.body, '{"scope":"pay"}');
});

test('a response of another origin prompts only where the application says so', async () => {
  const foreign = () => Object.defineProperty(refuse(), 'url', { value: 'https://evil.example/' });
  assert.equal((await withStepUp(async () => foreign(), { prompt: never })(URL)).status, 403);
  globalThis.location = { origin: 'https://page.example', href: 'https://page.example/' };
  try {
    assert.equal((await withStepUp(once().fetch, { prompt: never })(URL)).status, 403);
    assert.equal((await withStepUp(once().fetch, { origins: [URL], prompt: () => {} })(URL)).status, 200);
  } finally {
    delete globalThis.location;
  }
});

test('without a page, the listed origins are the only ones that prompt', async () => {
  assert.equal((await withStepUp(once().fetch, { origins: ['https://other.example'], prompt: never })(URL)).status, 403);
  assert.equal((await withStepUp(once().fetch, { origins: ['https://other.example', URL], prompt: () => {} })(URL)).status, 200);
});

test('the JSON of a refusal reaches nothing but its known fields', async () => {
  const body = `{"errorCode":"STEP_UP_REQUIRED","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},
    "reason":"missing","scope":"pay","channels":{"otp":["SMS","../x","a b",{"x":1}],"push":"APP","__proto__":{"proof":["X"]}},"unmet":[null],"extra":{"a":1}}`;
  const { fetch } = fake((turn) => (turn === 1 ? new Response(body, { status: 403, headers: { 'content-type': 'application/json' } }) : new Response('ok')));
  let got;
  await withStepUp(fetch, { prompt: ({ refusal: given }) => { got = given; } })(URL);
  assert.equal({}.polluted, undefined);
  assert.equal(got.polluted, undefined);
  assert.equal(got.extra, undefined);
  assert.equal(Object.getPrototypeOf(got), Object.prototype);
  assert.deepEqual(got.channels, { otp: ['SMS'], push: ['APP'], proof: [] });
  assert.equal(got.scope, 'pay');
});

test('a code without what nobody sees', () => {
  for (const text of ['123456', ' 123 456 ', '123-456', '123\u2013456', '12.34.56', '1\u200b2\u200c3\u200d4\u20605\ufeff6', '\u202a123456\u202c', '123\u00a0456', '123\u3000456', '123\u00ad456', '\t123456\n', '123\ufe0f456', '123\u3164456', '123·456']) {
    assert.equal(cleanCode(text), '123456', JSON.stringify(text));
  }
  assert.equal(cleanCode('12a456'), '12a456');
});
