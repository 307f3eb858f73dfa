// The demo's own page, in a browser with JavaScript.
import { inChromium } from './support/tests.js';

inChromium({ script: true });
await import('./bank.js');
