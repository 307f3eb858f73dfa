import { LANGUAGES } from './languages.js';

/** @typedef {keyof typeof import('./texts/en.js').default} TextName */
/** @typedef {(name: TextName | string, values?: Record<string, string | number>) => string} Say */

/**
 * Loads the texts of a language, or English.
 * @param {string} wanted such as `de-AT`
 * @param {Record<string, string>} [own] replaces texts by name
 * @returns {Promise<{ language: string, say: Say }>}
 */
export async function loadTexts(wanted, own) {
  const short = wanted.slice(0, 2).toLowerCase();
  const language = Object.hasOwn(LANGUAGES, short) ? short : 'en';
  const texts = { ...(await LANGUAGES[language]()).default, ...own };
  /** @type {Say} */
  const say = (name, values = {}) => (Object.hasOwn(texts, name) ? texts[name] : name).replace(/{(\w+)}/g, (_, key) => String(values[key]));
  return { language, say };
}

/** @param {number} seconds */
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

/**
 * What went wrong, in plain words. The server's message is for developers and is not shown.
 * @param {any} error
 * @param {Say} say
 */
export function explain({ errorCode = '', retryAfter = 0 }, say) {
  const name = /^RETRY_IN_/.test(errorCode) ? 'RETRY_IN' : errorCode;
  const text = say(name, { time: clock(retryAfter) });
  return text === name ? say('failed') : text;
}
