// The server is slow, cannot be reached, or has been started again.
import { startDemo } from './support/demo.js';
import { throughProxy } from './support/proxy.js';
import { SMS, APP } from './support/person.js';
import { scenario, withoutScript, withScript } from './support/tests.js';

scenario('a slow server', throughProxy(async (me, proxy) => {
  proxy.delay = 250;
  await me.askForCard();
  await me.press(SMS);
  await me.enter('000000');
  await me.see('That code is wrong.');
  await me.enter('123456');
  await me.card();
}));

withScript('out of reach while a code is sent and typed: a message, and it goes on', throughProxy(async (me, proxy) => {
  await me.askForCard();
  await me.label(SMS);
  await proxy.stop();
  await me.press(SMS);
  await me.see('There is no connection. Try again.');
  await proxy.start();
  await me.press(SMS);
  await me.field();
  await proxy.stop();
  await me.enter('123456');
  await me.see('There is no connection. Try again.');
  await proxy.start();
  await me.enter('123456');
  await me.card();
}));

withScript('out of reach while a push waits: it goes on by itself', throughProxy(async (me, proxy) => {
  await me.askForCard();
  await me.press(APP);
  await me.see(/The request is valid for/);
  await proxy.stop();
  await me.phone('accept');
  await proxy.start();
  await me.card(12_000);
}));

withoutScript('out of reach while a code is typed: a reload goes on', throughProxy(async (me, proxy) => {
  await me.askForCard();
  await me.press(SMS);
  await me.field();
  await proxy.stop();
  await me.enter('123456');
  await me.see(/ERR_CONNECTION_REFUSED|can’t be reached/);
  await proxy.start();
  await me.reload();
  await me.card();
}));

withoutScript('out of reach before the page: a reload goes on', throughProxy(async (me, proxy) => {
  await me.askForCard();
  await proxy.stop();
  await me.reload().catch(() => {});
  await me.see(/ERR_CONNECTION_REFUSED|can’t be reached/);
  await proxy.start();
  await me.reload();
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
}));

scenario('started again, and the logins are forgotten: the page says so', async (me) => {
  let demo = await startDemo();
  try {
    me.url = me.direct = demo.url;
    await me.login();
    await me.askForCard();
    await me.press(SMS);
    await me.field();
    await demo.stop();
    if (me.script) {
      await me.enter('123456');
      await me.see('There is no connection. Try again.');
    }
    demo = await startDemo(demo.address);
    await me.enter('123456');
    await me.see('You are not logged in. Log in and try again.');
  } finally {
    await demo.stop();
  }
});
