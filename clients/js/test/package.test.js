import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const ROOT = new URL('..', import.meta.url);
const read = (path) => readFileSync(new URL(path, ROOT), 'utf8');
const files = (folder) => readdirSync(new URL(folder, ROOT), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath ?? entry.path}/${entry.name}`);

test('each language has every text, with the same places for values', () => {
  const places = (texts) => Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, [...text.matchAll(/{(\w+)}/g)].map(([, key]) => key).sort()]));
  const english = places(JSON.parse(read('texts/en.json')));
  for (const language of ['de', 'fr', 'es']) assert.deepEqual(places(JSON.parse(read(`texts/${language}.json`))), english, language);
});

test('every text is used, and the modules are those of the texts', () => {
  // By the dialog, or by the page that the crate serves.
  const source = [...files('src/dialog').filter((path) => !path.includes('/texts/')), ...files('../../src/page').filter((path) => path.endsWith('.rs'))]
    .map((path) => readFileSync(path, 'utf8').replaceAll('"', "'")).join('');
  const fromServer = /^[A-Z_]+$/;
  for (const name of Object.keys(JSON.parse(read('texts/en.json')))) assert.ok(fromServer.test(name) || ['otp', 'push'].includes(name) || source.includes(`'${name}'`), name);
  execFileSync(process.execPath, ['scripts/texts.js', '--check'], { cwd: fileURLToPath(ROOT) });
});

test('no file is too long, and none writes HTML or runs text', () => {
  for (const path of [...files('src'), ...files('test').filter((path) => !path.includes('/pictures/'))]) {
    const text = readFileSync(path, 'utf8');
    assert.ok(text.split('\n').length <= 400, path);
    if (path.includes('/src/')) assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage|\.style\b/, path);
  }
});

test('what is exported exists, is packed, and needs nothing at run time', () => {
  const manifest = JSON.parse(read('package.json'));
  assert.equal(manifest.dependencies, undefined);
  const [{ files: packed }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: fileURLToPath(ROOT), encoding: 'utf8' }));
  const names = packed.map(({ path }) => `./${path}`);
  const wanted = Object.values(manifest.exports).flatMap((target) => (typeof target === 'string' ? target : Object.values(target)));
  for (const target of wanted) assert.ok(names.some((name) => new RegExp(`^${target.replace('*', '\\w+')}$`).test(name)), target);
  assert.equal(names.some((name) => /test|node_modules/.test(name)), false);
});

test('types hold for the code of an application', () => {
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'test/types'], { cwd: fileURLToPath(ROOT), stdio: 'inherit' });
});
