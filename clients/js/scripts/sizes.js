// Fails where an entry, minified and compressed, is larger than it may be.
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const LIMITS = { 'src/index.js': 3000, 'src/dialog/index.js': 6000, 'src/axios.js': 3000 };
for (const [entry, limit] of Object.entries(LIMITS)) {
  const { outputFiles } = await build({
    entryPoints: [entry], bundle: true, minify: true, splitting: true, format: 'esm', target: 'es2022', write: false, outdir: 'out',
  });
  // Texts are loaded when they are needed: a language is a file of its own.
  const main = outputFiles.find(({ path }) => path.endsWith(entry.split('/').slice(1).at(-1)));
  const shared = outputFiles.filter(({ path }) => /chunk-/.test(path));
  const size = [main, ...shared].reduce((sum, file) => sum + gzipSync(file.contents, { level: 9 }).length, 0);
  console.log(`${entry}: ${size} bytes of ${limit}`);
  if (size > limit) process.exitCode = 1;
}
