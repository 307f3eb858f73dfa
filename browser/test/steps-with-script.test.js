// Codes, pushes, links and forms, in a browser with JavaScript.
import { inChromium } from './support/tests.js';

inChromium({ script: true });
for (const area of ['code', 'push', 'links', 'form', 'later']) await import(`./${area}.js`);
