import { clock } from './texts.js';
/** @import { Say } from './texts.js' */

let count = 0;

/**
 * An element with its attributes and children. Nothing is parsed as HTML.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} name
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) /** @type {any} */ (made)[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/**
 * @param {string} textContent
 * @param {() => void} onclick
 * @param {string} [className]
 */
export const button = (textContent, onclick, className = '') => element('button', { type: 'button', textContent, onclick, className });

/**
 * The dialog, with a place for one step of the flow.
 * @param {Say} say
 * @param {string} language
 * @param {import('../refusal.js').Refusal} refusal
 * @param {() => void} cancel called for Escape and the button
 */
export function openView(say, language, { operation, reason }, cancel) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const id = `step-up-${++count}`;
  const title = element('h2', { id, tabIndex: -1, textContent: say('title') });
  const why = element('p', { id: `${id}-why`, textContent: say(reason === 'expired' || reason === 'too_old' ? 'whyExpired' : 'why') });
  const step = element('div');
  const problem = element('p', { className: 'problem', role: 'alert' });
  const note = element('p', { className: 'note', role: 'status' });
  const dialog = element('dialog', { className: 'step-up', lang: language, 'aria-labelledby': id, 'aria-describedby': why.id }, title, why);
  if (operation) {
    const text = element('strong', { dir: 'auto', textContent: operation });
    dialog.append(element('p', { className: 'operation' }, element('span', { textContent: say('operation') }), text));
  }
  dialog.append(problem, note, step, button(say('cancel'), cancel, 'quiet'));
  dialog.addEventListener('cancel', (event) => {
    event.preventDefault();
    cancel();
  });
  dialog.addEventListener('close', cancel);
  document.body.append(dialog);
  dialog.showModal();
  title.focus();

  /** @type {Set<ReturnType<typeof setInterval>>} */
  const timers = new Set();
  const stop = () => {
    timers.forEach(clearInterval);
    timers.clear();
  };

  return {
    id,

    /**
     * Shows a step in the place of the last one; what was said stays.
     * @param {Node[]} nodes
     * @param {HTMLElement} [focus]
     */
    show(nodes, focus = title) {
      stop();
      step.replaceChildren(...nodes);
      focus.focus();
    },

    /** @param {string} [text] */
    problem(text = '') {
      note.textContent = '';
      problem.textContent = text;
    },

    /** @param {string} text */
    note(text) {
      problem.textContent = '';
      note.textContent = text;
    },

    /**
     * Calls back every second until nothing is left, or the step has ended.
     * @param {number} seconds
     * @param {(time: string, left: number) => void} tick
     */
    countDown(seconds, tick) {
      const end = performance.now() + seconds * 1000;
      const update = () => {
        const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
        if (!left) clearInterval(timer);
        tick(clock(left), left);
      };
      const timer = setInterval(update, 1000);
      timers.add(timer);
      update();
      return () => clearInterval(timer);
    },

    close() {
      stop();
      dialog.removeEventListener('close', cancel);
      dialog.close();
      dialog.remove();
      before?.focus?.();
    },
  };
}
/** @typedef {ReturnType<typeof openView>} View */
