// A push to the app, which somebody answers on the phone while the page waits.
import assert from 'node:assert/strict';
import { newUser } from './support/demo.js';
import { SMS, APP, until } from './support/person.js';
import { scenario } from './support/tests.js';

scenario('a push that is accepted: the page goes back by itself', async (me) => {
  await me.askForCard();
  await me.press(APP);
  await me.see(/The request is valid for [45]:\d\d\./);
  await me.phone('accept');
  await me.card();
});

scenario('a push that is declined: another way is offered', async (me) => {
  await me.askForCard();
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.phone('decline');
  await me.see('The request was declined on your device.');
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
});

scenario('another way: a code in place of a push', async (me) => {
  await me.askForCard();
  await me.press(APP);
  await me.see('Open the request on your device');
  if (me.script) await me.press('Confirm in another way');
  await me.press(SMS);
  await me.enter('123456');
  await me.card();
});

scenario('a push that is cancelled can no longer be accepted', async (me) => {
  await me.askForCard();
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.press('Cancel');
  await me.label('Leave this page');
  await until('nothing is pending', async () => !(await me.pending()).push);
});

scenario('the push is the only way', async (me) => {
  await me.login(newUser('carol'));
  await me.askForCard();
  // Nothing is sent before somebody has asked for it.
  await me.label(APP);
  assert.equal((await me.pending()).push, undefined);
  await me.press(APP);
  await me.see('Open the request on your device');
  await me.phone('accept');
  await me.card();
});
