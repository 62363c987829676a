/**
 * Events a second that a listener takes, each in a callback of its own, until all of them are answered 200 and heard; against
 * a bare fastify route that is sent the same: listen.js pagecast|route FOLDER N
 */
import { fork, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { account, accountKey, clock, holder, userId } from './people.js';

const CONNECTIONS = 200;
const SECRET = 'a-secret-of-the-benchmark';
const [what, folder, count] = process.argv.slice(2);
const events = Number(count);
const file = (path) => fileURLToPath(new URL(path, import.meta.url));

const server = what === 'pagecast' ? await startListener() : await startRoute();
const requests = Array.from({ length: events }, (_, index) => requestOf(index));
const startedAt = performance.now();
await post(requests, server.port);
const answered = performance.now() - startedAt;
await server.heard();
const heard = performance.now() - startedAt;
await server.stop();
console.log(
  JSON.stringify({
    answeredPerSecond: Math.round((events * 1000) / answered),
    perSecond: Math.round((events * 1000) / heard),
  }),
);

function requestOf(index) {
  const body = JSON.stringify({
    object: 'page',
    entry: [
      {
        id: account.id,
        time: clock.now(),
        messaging: [
          {
            sender: { id: userId(index) },
            recipient: { id: account.id },
            timestamp: clock.now(),
            message: { mid: `m_${index}`, text: `Hello, when do you open today? I am number ${index}.` },
          },
        ],
      },
    ],
  });
  const signature = createHmac('sha256', SECRET).update(body).digest('hex');
  return (
    `POST /webhooks/meta HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n` +
    `x-hub-signature-256: sha256=${signature}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

/** As cheap as can be, so that the server is what is measured: each connection sends the next request when it has its answer. */
function post(all, port) {
  let next = 0;
  const one = () =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      let answer = '';
      const send = () => {
        if (next === all.length) return socket.end();
        socket.write(all[next]);
        next += 1;
      };
      socket.setEncoding('latin1');
      socket.on('connect', send);
      socket.on('data', (data) => {
        answer += data;
        const end = answer.indexOf('\r\n\r\n');
        if (end === -1) return;
        const length = /content-length: (\d+)/i.exec(answer)?.[1] ?? '0';
        if (answer.length < end + 4 + Number(length)) return;
        if (!answer.startsWith('HTTP/1.1 200')) return reject(new Error(answer.slice(0, 200)));
        answer = '';
        send();
      });
      socket.on('error', reject);
      socket.on('close', resolve);
    });
  return Promise.all(Array.from({ length: CONNECTIONS }, one));
}

async function startRoute() {
  const child = fork(file('route.js'));
  const port = await new Promise((resolve) => child.once('message', resolve));
  return { port, heard: () => Promise.resolve(), stop: () => Promise.resolve(child.kill()) };
}

async function startListener() {
  const workspace = join(folder, `listen-${process.pid}`);
  mkdirSync(workspace);
  writeFileSync(
    join(workspace, 'pagecast.yaml'),
    `accounts:\n  bench: { provider: sandbox, channel: messenger, id: "${account.id}", appSecret: env:BENCH_SECRET }\n`,
  );
  const child = spawn(process.execPath, [file('../bin/pagecast.js'), 'listen', '--port', '0'], {
    cwd: workspace,
    env: { ...process.env, BENCH_SECRET: SECRET },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const url = await new Promise((resolve, reject) => {
    child.stdout.setEncoding('utf8').once('data', (line) => resolve(line.trim()));
    void ended.then((status) => reject(new Error(`pagecast listen ended with ${status}`)));
  });
  const { openStore } = await import('../dist/stores/open.js');
  const { store } = await openStore(`sqlite:${join(workspace, '.pagecast', 'pagecast.db')}`, '/', holder);
  return {
    port: Number(new URL(url).port),
    async heard() {
      while ((await store.backlog()) > 0) await sleep(5);
    },
    async stop() {
      let known = 0;
      for await (const people of store.people(accountKey)) known += people.length;
      await store.close();
      child.kill('SIGTERM');
      await ended;
      if (known !== events) throw new Error(`${known} of ${events} windows are open`);
    },
  };
}
