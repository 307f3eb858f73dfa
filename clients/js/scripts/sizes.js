// Fails where an entry, minified and compressed, is larger than it may be.
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const LIMITS = { 'src/index.js': 3 * 1024, 'src/dialog/index.js': 6 * 1024 };
for (const [entry, limit] of Object.entries(LIMITS)) {
  // Texts are loaded when they are needed: each language is a file of its own, and not counted.
  const { outputFiles } = await build({
    entryPoints: { entry }, bundle: true, minify: true, splitting: true, format: 'esm', target: 'es2022', write: false, outdir: 'out',
    chunkNames: 'chunks/[name]-[hash]',
  });
  const counted = outputFiles.filter(({ path }) => /entry\.js$|chunk-/.test(path));
  const size = counted.reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
  console.log(`${entry}: ${size} bytes of ${limit}`);
  if (size > limit) process.exitCode = 1;
}
