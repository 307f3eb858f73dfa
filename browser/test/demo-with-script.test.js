// The demo's own page, in a browser with JavaScript.
import { inChromium } from './support/tests.js';

inChromium({ script: true });
for (const area of ['bank', 'refused']) await import(`./${area}.js`);
