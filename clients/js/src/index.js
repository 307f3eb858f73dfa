export { challenges } from './challenges.js';
export { cleanCode } from './code.js';
export { ChallengeError, StepUpError } from './errors.js';
export { withStepUp } from './fetch.js';
/**
 * @typedef {import('./refusal.js').Refusal} Refusal
 * @typedef {import('./refusal.js').Channels} Channels
 * @typedef {import('./grants.js').Status} Status
 * @typedef {import('./grants.js').Grant} Grant
 * @typedef {import('./grants.js').Pending} Pending
 * @typedef {import('./grants.js').Purpose} Purpose
 * @typedef {import('./challenges.js').Challenges} Challenges
 * @typedef {import('./challenges.js').ChallengesOptions} ChallengesOptions
 * @typedef {import('./step-up.js').Prompt} Prompt
 * @typedef {import('./step-up.js').PromptContext} PromptContext
 * @typedef {import('./step-up.js').StepUpOptions} StepUpOptions
 * @typedef {import('./step-up.js').EnsureOptions} EnsureOptions
 * @typedef {import('./fetch.js').StepUpFetch} StepUpFetch
 * @typedef {import('./errors.js').StepUpErrorCode} StepUpErrorCode
 */
