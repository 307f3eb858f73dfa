// The page itself, and what happens around it, in a browser without JavaScript.
import { inChromium } from './support/tests.js';

inChromium({ script: false });
for (const area of ['tabs', 'outage', 'looks', 'figures']) await import(`./${area}.js`);
