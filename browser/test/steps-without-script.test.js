// Codes, pushes, links and forms, in a browser without JavaScript.
import { inChromium } from './support/tests.js';

inChromium({ script: false });
for (const area of ['code', 'push', 'links', 'form', 'later']) await import(`./${area}.js`);
