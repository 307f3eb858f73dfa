// What requests and answers mean, in a sentence each.

const REASONS = {
  missing: 'this session has not stepped up',
  expired: 'the last step-up has expired',
  too_old: 'the last step-up is older than this route allows',
  wrong_scope: 'the step-up is for another scope',
  wrong_channel: 'the step-up was made on another channel',
  mismatch: 'the step-up is not for this very request',
  spent: 'this very request has passed before, and an approval opens one',
  no_channel: 'nothing is enrolled to step up with',
};

/** By `errorCode` of an answer. */
const ERRORS = {
  UNAUTHORIZED: 'Nobody is logged in.',
  INVALID_REQUEST: 'The request cannot be read as a payment.',
  CHANNEL_NOT_SUPPORTED: 'The bank has switched this channel off for the user.',
  CHANNEL_NOT_REGISTERED: 'The user has not enrolled this channel.',
  MOBILE_NUMBER_INVALID: 'The phone number was refused by the provider.',
  CHALLENGE_LIMIT_EXCEEDED: 'That was the last attempt with this code.',
  VERIFICATION_CODE_INVALID: 'The code is wrong. The attempt was counted before it was compared.',
  ONE_CHALLENGE_LIMIT_REMAINING: 'The code is wrong, and one attempt is left.',
  VERIFICATION_CODE_EXPIRED: 'The code has expired.',
  ALREADY_VERIFIED: 'This code was verified before.',
  STATE_INVALID: 'Nothing is pending here that this could answer, or something else is pending already.',
  INSUFFICIENT_PERMISSIONS: 'The bank does not allow this user to step up.',
  RATE_LIMITED: 'Too many wrong codes or messages: this is limited per user, for a while.',
  UNAVAILABLE: 'The store cannot be reached, so the answer is no.',
};

const FIELDS = {
  verificationCode: 'The code', number: 'The phone number', amount: 'The amount', to: 'The payee', channel: 'The channel',
};

const OUTCOMES = {
  PENDING: 'The push waits for an answer on the device.',
  VERIFIED: 'The push was accepted: this session now holds a grant.',
  DECLINED: 'The push was declined. That opens nothing, and is counted.',
  EXPIRED: 'The push has ended without an answer.',
};

/** By method, path and status. The first that matches. */
const SENTENCES = [
  [/^POST \/login 200/, 'The bank logs the user in and sets a session cookie, which no script can read.'],
  [/^POST \/logout 204/, 'The bank ends the login, and all that it has stepped up to.'],
  [/^GET \/accounts 200/, 'No guard: a login is enough for the accounts.'],
  [/^POST \/transfers 201/, 'The guard lets it pass, and the bank sends the money.'],
  [/^GET \/cards\/1 200/, 'The guard lets it pass, and the bank shows the card.'],
  [/^POST \/payouts 201/, 'The approval was for exactly this payout. The guard has consumed it, and the bank pays.'],
  [/^POST \/authentication_factors\/\S+\/verify 204/, 'The phone is enrolled. Other sessions of the user have to step up again.'],
  [/^POST \/authentication_factors\/\S+ 204/, 'The bank sends a code to the new phone.'],
  [/^POST \/simulate\/\S+\/accept 204/, 'The device says yes. The bank passes that on.'],
  [/^POST \/simulate\/\S+\/decline 204/, 'The device says no. The bank passes that on.'],
  [/^POST \S+\/otp\/\w+ 204/, 'A code goes to the enrolled phone. It opens nothing yet.'],
  [/^POST \S+\/verify 204/, 'The code is right: this session now holds a grant. No new token.'],
  [/^POST \S+\/push\/\w+ 200/, 'A push goes to the enrolled device. The page polls by this id.'],
  [/^DELETE \S+\/(otp|push)\//, 'What was pending is cancelled. Grants and counts stay.'],
  [/^DELETE /, 'The elevation is dropped. The login stays.'],
  [/^GET \/stepup\/challenges 200/, 'Where the session stands: what it holds, and what is pending.'],
];

/** What is wrong with a field of a request, where that is what an answer says. */
export function invalidField(body) {
  const field = body?.syntaxErrors?.invalidFields?.[0];
  return field && `${FIELDS[field.fieldName] ?? 'A field'} is not valid.`;
}

/** What an answer that is no success means. */
export function problem(status, body) {
  if (!status) return 'The bank does not answer.';
  if (body.errorCode === 'STEP_UP_REQUIRED') return `The guard refuses: ${REASONS[body.reason] ?? body.reason}. The handler has not run.`;
  if (/^RETRY_IN_/.test(body.errorCode)) return 'A code was sent a moment ago. The next one has to wait.';
  return invalidField(body) ?? ERRORS[body.errorCode] ?? `The bank answers ${status}.`;
}

export function sentence(method, path, status, body) {
  if (!status || status >= 400) return problem(status, body);
  if (method === 'GET' && OUTCOMES[body.status]) return OUTCOMES[body.status];
  const call = `${method} ${path} ${status}`;
  return SENTENCES.find(([pattern]) => pattern.test(call))?.[1] ?? '';
}
