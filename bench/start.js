/** Milliseconds from start to end of a process, several times over: start.js node|pagecast */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const pagecast = fileURLToPath(new URL('../bin/pagecast.js', import.meta.url));
const args = process.argv[2] === 'node' ? ['-e', '0'] : [pagecast, '--version'];
const ms = [];
for (let run = 0; run < 16; run += 1) {
  const startedAt = performance.now();
  spawnSync(process.execPath, args);
  // The first one warms the file cache.
  if (run > 0) ms.push(Math.round(performance.now() - startedAt));
}
console.log(JSON.stringify({ ms }));
