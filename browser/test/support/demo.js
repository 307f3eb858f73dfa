// The demo server, its users, and their phone.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.DEMO_BIN ?? fileURLToPath(new URL('../../../target/debug/examples/demo', import.meta.url));

/** Starts a demo; it ends with this process. */
export async function startDemo(address = '127.0.0.1:0') {
  const child = spawn(BINARY, { env: { ...process.env, DEMO_ADDR: address }, stdio: ['ignore', 'pipe', 'pipe'] });
  process.on('exit', () => child.kill());
  const url = await new Promise((resolve, reject) => {
    let output = '';
    let errors = '';
    child.stderr.on('data', (data) => { errors += data; });
    child.on('error', (error) => reject(new Error(`The demo does not start (cargo build --example demo, or DEMO_BIN): ${error.message}`)));
    child.on('exit', (code) => reject(new Error(`The demo ended with ${code}: ${errors}`)));
    child.stdout.on('data', (data) => {
      output += data;
      const found = /listening on (http:\S+)/.exec(output);
      if (found) resolve(found[1]);
    });
  });
  const stop = async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  return { url, address: new URL(url).host, stop };
}

let users = 0;
/** A user whom no other test has; `alice` has a phone and an app, `bob` has nothing, `carol` has the app alone. */
export const newUser = (name = 'alice') => `${name}${process.pid}n${users++}`;

/** Logs a user in, as the demo's form does. Returns the session's cookie. */
export async function login(url, username) {
  const body = new URLSearchParams({ username, password: username });
  const response = await fetch(`${url}/login/form`, { method: 'POST', body, redirect: 'manual' });
  const [, name, value] = /^([^=]+)=([^;]*)/.exec(response.headers.getSetCookie()[0] ?? '') ?? [];
  if (!name) throw new Error(`The demo has not logged ${username} in: ${response.status}`);
  return { name, value };
}

/** Asks the challenge endpoints, as a program does. */
export const challenges = (url, { name, value }, path = '', method = 'GET') =>
  fetch(`${url}/stepup/challenges${path}`, { method, headers: { cookie: `${name}=${value}` } });

/** What is pending in a session: `{ otp, push }`, each where there is one. */
export const pending = async (url, cookie) => (await (await challenges(url, cookie)).json()).pending ?? {};

/** Answers a push on the phone. @param {'accept' | 'decline'} answer */
export async function answerPush(url, id, answer) {
  const { status } = await fetch(`${url}/simulate/push/${id}/${answer}`, { method: 'POST' });
  if (status !== 204) throw new Error(`The phone could not ${answer} the push: ${status}`);
}
