// What was begun at the beginning of `code.js`, and has to wait for some seconds.
import { challenges } from './support/demo.js';
import { until } from './support/person.js';
import { early } from './code.js';
import { scenario } from './support/tests.js';

scenario('another code is sent, and confirmed', async (me) => {
  if (early.cookie) await me.use(early.cookie);
  else await challenges(me.direct, me.cookie, '/otp/SMS', 'POST');
  await until('the end of the wait', async () => !(await me.pending()).otp.retryIn, 20_000);
  await me.askForCard();
  await me.press('Send a new code');
  await me.see('A new code is on its way.');
  await me.enter('123456');
  await me.card();
});
