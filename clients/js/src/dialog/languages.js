/** Languages of the catalogue: each is loaded when it is needed. @type {Record<string, () => Promise<{ default: Record<string, string> }>>} */
export const LANGUAGES = {
  en: () => import('./texts/en.js'),
  de: () => import('./texts/de.js'),
  fr: () => import('./texts/fr.js'),
  es: () => import('./texts/es.js'),
};
