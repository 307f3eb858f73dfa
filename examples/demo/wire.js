// Every request of the page and its answer, in order.
import { sentence } from './words.js';

const list = document.getElementById('wire');
let entries = []; // oldest first

/** An element with its class and text. */
export function make(name, className, ...content) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...content);
  return made;
}

/** Long values are tokens, which say nothing; the login's is nobody's business. */
function brief(name, value) {
  if (name === 'token') return '(the page does not keep it)';
  if (name === 'password') return '•••••';
  return typeof value === 'string' && value.length > 72 ? `${value.slice(0, 24)}… (${value.length} characters)` : value;
}

/** A field of JSON a line. */
function pretty(text) {
  try {
    const fields = Object.entries(JSON.parse(text)).map(([name, value]) => `  "${name}": ${JSON.stringify(brief(name, value))}`);
    return `{\n${fields.join(',\n')}\n}`;
  } catch {
    return text;
  }
}

function show(entry) {
  const { method, path, sent, status, text, body, requestHeaders, headers, ours, times } = entry;
  const line = make('p', 'line', make('b', '', method), ' ', make('span', 'path', path), ' ');
  if (times > 1) line.append(make('span', 'times', `×${times}`), ' ');
  line.append(make('b', status < 400 && status ? 'status ok' : 'status no', String(status || 'no answer')), ' ',
    make('span', ours ? 'tag ours' : 'tag bank', ours ? 'tower-step-up' : 'the bank'));
  const item = make('li', ours ? 'ours' : 'bank', line, make('p', 'says', sentence(method, path, status, body)));
  if (sent) item.append(make('pre', '', `→ ${pretty(sent)}`));
  if (text) item.append(make('pre', '', `← ${pretty(text)}`));
  const folded = [...requestHeaders.map((one) => `→ ${one}`), ...headers.map((one) => `← ${one}`)].join('\n');
  const details = make('details', '', make('summary', '', 'Headers'), make('pre', '', folded));
  details.open = entry.item?.querySelector('details').open ?? false;
  item.append(details);
  Object.assign(item.dataset, { call: `${method} ${path}`, status });
  if (entry.item) entry.item.replaceWith(item);
  else list.append(item);
  entry.item = item;
}

function add(entry) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 120;
  // A read that repeats, with nothing but reads in between, is one entry.
  const key = ({ method, path, status, body }) => [method, path, status, method === 'GET' && body.status].join(' ');
  const reads = entry.method === 'GET' ? entries.slice(entries.findLastIndex(({ method }) => method !== 'GET') + 1) : [];
  const same = reads.find((other) => key(other) === key(entry));
  if (same) show(Object.assign(same, entry, { times: same.times + 1 }));
  else {
    entries.push(entry);
    show(entry);
    if (entries.length > 200) entries.shift().item.remove();
  }
  if (atEnd && !same && !list.contains(document.activeElement?.closest('#wire li'))) list.scrollTop = list.scrollHeight;
}

export function clear() {
  entries = [];
  list.replaceChildren();
}

/**
 * A `fetch` that is recorded.
 * @param {(call: string, status: number, body: any) => void} heard called for each answer; status 0 where there was none
 */
export const recorder = (heard) => async (input, init = {}) => {
  const { pathname: path } = new URL(input, location);
  const method = init.method ?? 'GET';
  const cookie = document.body.dataset.loggedIn ? ['cookie: (the session: the browser sends it, and scripts cannot read it)'] : [];
  const entry = { method, path, sent: init.body, status: 0, text: '', body: {}, headers: [], times: 1, ours: false,
    requestHeaders: [...cookie, ...[...new Headers(init.headers)].map((header) => header.join(': '))] };
  try {
    const response = await fetch(input, init);
    entry.text = await response.clone().text();
    try { entry.body = JSON.parse(entry.text) ?? {}; } catch { /* no JSON */ }
    entry.headers = [...response.headers].map((header) => header.join(': '));
    // The guard and the challenge endpoints name every answer; the bank does not.
    Object.assign(entry, { status: response.status, ours: response.headers.has('request-ref') });
    return response;
  } finally {
    add(entry);
    heard(`${method} ${path}`, entry.status, entry.body);
  }
};
