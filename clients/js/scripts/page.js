// Writes style and script of the page that the challenge endpoints serve, into the crate. `--check` only compares.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const OUT = '../../src/page/assets';
// The page has the texts of its language with it.
const withoutTexts = {
  name: 'without-texts',
  setup(/** @type {import('esbuild').PluginBuild} */ { onLoad }) {
    onLoad({ filter: /dialog\/languages\.js$/ }, ({ path }) => {
      const names = readFileSync(path, 'utf8').match(/^ {2}\w+(?=:)/gm);
      return { contents: `const none = () => ({}); export const LANGUAGES = { ${names?.map((name) => `${name}: none`)} }` };
    });
  },
};
const { outputFiles } = await build({
  entryPoints: { page: 'src/page/index.js', style: 'src/page/page.css' },
  bundle: true, minify: true, format: 'esm', target: 'es2022', charset: 'utf8', write: false, outdir: OUT, plugins: [withoutTexts],
});
mkdirSync(OUT, { recursive: true });
for (const { path, text } of outputFiles) {
  const name = path.replace(/.*\/(page|style)\.(js|css)$/, 'page.$2');
  const file = `${OUT}/${name}`;
  if (!process.argv.includes('--check')) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.error(`${file} is not what src/page makes: npm run page`);
    process.exitCode = 1;
  }
}
