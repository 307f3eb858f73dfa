// Writes src/dialog/texts/*.js from texts/*.json, which every browser and bundler can import. `--check` only compares.
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';

mkdirSync('src/dialog/texts', { recursive: true });
for (const language of ['de', 'en', 'es', 'fr']) {
  const texts = readFileSync(`texts/${language}.json`, 'utf8').trimEnd();
  const module = `// Generated from texts/${language}.json by \`npm run texts\`.\nexport default ${texts};\n`;
  const path = `src/dialog/texts/${language}.js`;
  if (!process.argv.includes('--check')) writeFileSync(path, module);
  else if (readFileSync(path, 'utf8') !== module) {
    console.error(`${path} is not what texts/${language}.json makes: npm run texts`);
    process.exitCode = 1;
  }
}
