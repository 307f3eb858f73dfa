// A server without a network: refuses until somebody has stepped up.
export const URL = 'https://bank.example';
export const refusal = (fields = {}) => ({ errorCode: 'STEP_UP_REQUIRED', message: 'STEP_UP_REQUIRED', reason: 'missing', channels: { otp: ['SMS'], push: [] }, ...fields });
export const refuse = (fields, init = {}) => Response.json(refusal(fields), { status: 403, ...init });

/** Answers each request by what `answer` returns for it, and keeps what was sent. */
export function fake(answer) {
  const sent = [];
  const fetch = async (input, init) => {
    const request = new Request(input, init);
    const entry = { input, init, method: request.method, url: request.url, headers: request.headers, body: await request.clone().text() };
    sent.push(entry);
    return answer(sent.length, entry);
  };
  return { fetch, sent };
}

/** Refuses the first request, and lets the others pass. */
export const once = (fields, init) => fake((turn) => (turn === 1 ? refuse(fields, init) : new Response('ok')));

/** A promise, and how to settle it. */
export function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
}
export const turn = () => new Promise((resolve) => { setTimeout(resolve, 5); });
