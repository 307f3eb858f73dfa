// The demo server, a fetch that is logged in at it, and a few users of it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.DEMO_BIN ?? fileURLToPath(new URL('../../../target/debug/examples/demo', import.meta.url));

/** Starts a demo on a free port; it ends with this process. */
export async function startDemo() {
  const child = spawn(BINARY, { env: { ...process.env, DEMO_ADDR: '127.0.0.1:0' }, stdio: ['ignore', 'pipe', 'ignore'] });
  process.on('exit', () => child.kill());
  child.unref();
  return new Promise((resolve, reject) => {
    let output = '';
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`The demo ended with ${code}`)));
    child.stdout.on('data', (data) => {
      output += data;
      const found = /listening on (http:\S+)/.exec(output);
      if (found) {
        child.stdout.unref();
        resolve(found[1]);
      }
    });
  });
}

let users = 0;
/** A user whom no other test has. */
export const newUser = (name = 'alice') => `${name}${process.pid}n${users++}`;

export async function login(url, name) {
  const response = await fetch(`${url}/login`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: name, password: name }),
  });
  return (await response.json()).token;
}

/** A session of a new user: what its requests look like, and a fetch that counts them. */
export async function session(url, name = newUser()) {
  const token = await login(url, name);
  const calls = [];
  const counted = (input, init) => {
    calls.push(`${init?.method ?? input.method ?? 'GET'} ${new URL(input.url ?? input).pathname}`);
    return fetch(input, init);
  };
  const headers = { authorization: `Bearer ${token}` };
  const json = (body) => ({ method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { url, token, headers, json, fetch: counted, calls, count: (call) => calls.filter((one) => one === call).length };
}

/** A prompt without a user: a code by SMS. */
export function byCode(log = []) {
  return async ({ refusal, challenges }) => {
    log.push(refusal);
    await challenges.start('SMS', refusal);
    await challenges.verify('SMS', '123456', refusal);
  };
}
