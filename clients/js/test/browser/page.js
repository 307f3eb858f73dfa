// A page of an application: two buttons, and what they brought.
import { withStepUp } from '/src/index.js';
import { stepUpDialog } from '/src/dialog/index.js';

window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));

const options = JSON.parse(sessionStorage.getItem('options') ?? '{}');
const authorization = sessionStorage.getItem('authorization');
const stepUpFetch = withStepUp(fetch, { prompt: stepUpDialog({ pollEvery: 0.2, ...options }) });
const show = (text) => { document.getElementById('result').textContent = text; };

window.call = async (path, init = {}) => {
  try {
    const response = await stepUpFetch(path, { ...init, headers: { ...init.headers, authorization } });
    return response.status;
  } catch (error) {
    return error.code ?? error.name;
  }
};
document.getElementById('card').addEventListener('click', async () => show(`Card: ${await window.call('/cards/1')}`));
document.getElementById('pay').addEventListener('click', async () => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ to: 'carol', amount: '250.00' }) };
  show(`Pay: ${await window.call('/payouts', init)}`);
});
window.ready = true;
