/**
 * What pagecast costs, each figure against a floor that is measured in the same run: `npm run bench`.
 * Options: --rows N (default 1,000,000), --only NAME, --json (the table as JSON on stdout, progress on stderr).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'pagecast-bench-'));
const results = [];

/** Runs one measurement in a process of its own, so that memory and warm-up of one do not touch the other. */
function measure(script, ...args) {
  process.stderr.write(`  ${script} ${args.join(' ')} …`);
  const file = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  return new Promise((resolve, reject) => {
    child.on('close', (status) => {
      if (status !== 0) return reject(new Error(`${script} ended with ${status}`));
      const result = JSON.parse(output);
      process.stderr.write(` ${JSON.stringify(result)}\n`);
      resolve(result);
    });
  });
}

/** @param {'at most' | 'at least'} bound */
function report(figure, measured, floor, ratio, bound, goal) {
  const met = bound === 'at most' ? ratio <= goal : ratio >= goal;
  results.push({ figure, measured, floor, ratio: Number(ratio.toFixed(3)), goal: `${bound} ${goal}`, met });
}

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const FIGURES = {
  async check() {
    for (const strings of ['shared', 'inline']) {
      const file = join(folder, `${strings}.xlsx`);
      await measure('make-workbook.js', file, options.rows, strings);
      // In turns, and the middle one of three, because a machine's speed changes by a tenth from one minute to the next.
      const runs = { pagecast: [], exceljs: [], saxes: [] };
      for (let round = 0; round < 3; round += 1)
        for (const what of Object.keys(runs)) runs[what].push(await measure('check.js', what, file));
      const [ours, floor, saxes] = Object.values(runs).map((three) => ({
        ms: median(three.map((run) => run.ms)),
        mb: Math.max(...three.map((run) => run.mb)),
      }));
      const name = `check ${options.rows} rows, ${strings} strings`;
      report(
        name,
        seconds(ours.ms),
        `exceljs stream reader ${seconds(floor.ms)}`,
        ours.ms / floor.ms,
        'at most',
        0.333,
      );
      report(
        `${name}, against saxes finding tags alone`,
        seconds(ours.ms),
        `saxes ${seconds(saxes.ms)}`,
        ours.ms / saxes.ms,
        'at most',
        1,
      );
      report(`${name}: memory`, `${ours.mb} MB`, `400 MB (exceljs ${floor.mb} MB)`, ours.mb / 400, 'at most', 1);
    }
  },
  async plan() {
    const floor = await measure('plan.js', 'insert', folder, options.rows);
    const ours = await measure('plan.js', 'plan', folder, options.rows);
    report(
      `plan ${options.rows} rows against as many windows`,
      seconds(ours.ms),
      `bare insert ${seconds(floor.ms)}`,
      ours.ms / floor.ms,
      'at most',
      3,
    );
  },
  async send() {
    const ours = await measure('send.js', 'pagecast', folder, '20000');
    const floor = await measure('send.js', 'undici', folder, '20000');
    report(
      'send through the ledger',
      `${ours.perSecond}/s`,
      `bare undici ${floor.perSecond}/s`,
      ours.perSecond / floor.perSecond,
      'at least',
      0.7,
    );
  },
  async listen() {
    const perSecond = { pagecast: [], route: [] };
    for (let round = 0; round < 3; round += 1)
      for (const what of Object.keys(perSecond))
        perSecond[what].push((await measure('listen.js', what, folder, '100000')).perSecond);
    const [ours, floor] = Object.values(perSecond).map(median);
    report(
      'events taken and heard, a callback each',
      `${ours}/s`,
      `bare fastify route ${floor}/s`,
      ours / floor,
      'at least',
      0.5,
    );
  },
  async start() {
    const floor = await measure('start.js', 'node');
    const ours = await measure('start.js', 'pagecast');
    report(
      'pagecast --version',
      `${median(ours.ms)} ms`,
      `node -e 0 ${median(floor.ms)} ms`,
      median(ours.ms) / median(floor.ms),
      'at most',
      1.6,
    );
  },
  async pace() {
    const { mean, most } = await measure('pace.js', folder, '35', '20');
    report('mean pace at 35/s', `${mean.toFixed(2)}/s`, '35/s', mean / 35, 'at least', 0.98);
    report('most in any one second, as received', `${most}`, '35', most / 35, 'at most', 1);
  },
};

try {
  for (const [name, figure] of Object.entries(FIGURES)) {
    if (options.only !== undefined && options.only !== name) continue;
    process.stderr.write(`${name}\n`);
    await figure();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const machine = `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
if (options.json) console.log(JSON.stringify({ machine, results }, null, 2));
else {
  console.log(`\n${machine}\n\n| figure | measured | floor | ratio | goal | met |\n|---|---|---|---|---|---|`);
  for (const one of results) {
    console.log(
      `| ${one.figure} | ${one.measured} | ${one.floor} | ${one.ratio} | ${one.goal} | ${one.met ? 'yes' : 'NO'} |`,
    );
  }
}
process.exitCode = results.every((one) => one.met) ? 0 : 1;
