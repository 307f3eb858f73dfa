// The code of an application, by the declarations of the package. What must be an error says so.
import axios from 'axios';
import { ChallengeError, StepUpError, challenges, cleanCode, withStepUp } from 'tower-step-up-client';
import type { Prompt, Refusal, Status, StepUpErrorCode, StepUpFetch } from 'tower-step-up-client';
import { stepUpInterceptor } from 'tower-step-up-client/axios';
import { stepUpDialog } from 'tower-step-up-client/dialog';

const prompt: Prompt = async ({ refusal, challenges, signal, confirmed }) => {
  signal.throwIfAborted();
  if (confirmed) return false;
  await challenges.start('SMS', refusal);
  await challenges.verify('SMS', cleanCode('123 456'), refusal);
  const { id, number } = await challenges.startPush('BIOMETRIC', refusal);
  const shown: string = number ?? 'on the phone';
  const { status, expiresIn } = await challenges.pollPush('BIOMETRIC', id);
  await challenges.cancel('BIOMETRIC', id);
  return status === 'VERIFIED' && expiresIn > 0 && shown !== '';
};

const stepUpFetch: StepUpFetch = withStepUp(fetch, {
  prompt: stepUpDialog({ language: 'de', texts: { VOICE: 'Anruf' }, codeLength: 8, pollEvery: 2 }),
  confirmSpent: async ({ spentAt }: Refusal) => (spentAt ?? 0) > 0,
  challenges: '/stepup/challenges',
  headers: async () => ({ 'x-csrf': 'token' }),
  credentials: 'include',
  origins: ['https://api.bank.example'],
  language: 'de',
});
const asFetch: typeof fetch = stepUpFetch;

export async function pay(signal: AbortSignal): Promise<StepUpErrorCode | string | undefined> {
  try {
    await stepUpFetch.ensure({ scope: 'payments', maxAge: 60, minRemaining: 300, channels: { otp: ['SMS'] }, signal });
    const response: Response = await asFetch(new URL('https://bank.example/pay'), { method: 'POST', body: new FormData() });
    return response.statusText;
  } catch (error) {
    if (error instanceof StepUpError) return error.refusal.binding ?? error.code;
    if (error instanceof ChallengeError) return `${error.errorCode} ${error.retryAfter?.toFixed()} ${error.syntaxErrors?.invalidFields[0]?.fieldName}`;
    throw error;
  }
}

export async function alive(): Promise<number | undefined> {
  const client = challenges({ base: 'https://bank.example/stepup/challenges', headers: { authorization: 'Bearer t' } });
  const status: Status = await client.status();
  return status.grants[0]?.expiresIn ?? status.pending.otp?.retryIn;
}

const { ensure, eject } = stepUpInterceptor(axios.create(), { prompt, fetch });
export const done = [ensure(), eject()];

// @ts-expect-error: nothing prompts
withStepUp(fetch, {});
// @ts-expect-error: a number is no code
challenges({ base: '/stepup/challenges' }).verify('SMS', 123456);
// @ts-expect-error: no such reason
export const unknown: StepUpErrorCode = 'TIMED_OUT';
