// The page itself, and what happens around it, in a browser with JavaScript.
import { inChromium } from './support/tests.js';

inChromium({ script: true });
for (const area of ['tabs', 'outage', 'looks', 'figures']) await import(`./${area}.js`);
