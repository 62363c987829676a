/** `pagecast sandbox`: the Messenger Platform on this machine, standing alone. */
import type { Command } from 'commander';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { parseCount } from '../options.js';

interface SandboxOptions {
  port: string;
  seed?: string;
}

export function register(program: Command, launch: Launch): void {
  program
    .command('sandbox')
    .description('run the Messenger Platform on this machine, to try things out; nothing leaves it')
    .option('--port <n>', 'the port on 127.0.0.1; 0 takes a free one', '8790')
    .option('--seed <file>', 'a JSON file with its Page, users and faults')
    .addHelpText(
      'after',
      '\nExample:\n  $ pagecast sandbox --port 8790 --seed sandbox.json\n\nWhat everybody received: GET /_sandbox/received',
    )
    .action(launch((context: Context, options: SandboxOptions) => serve(context, options)));
}

async function serve(context: Context, options: SandboxOptions): Promise<ExitStatus> {
  const port = parseCount('--port', options.port);
  if (port > 65_535) throw new Failure('USAGE', `There is no port ${port}.`);
  const seed = options.seed === undefined ? {} : await context.readJson(context.path(options.seed));
  const stopped = context.interruptible(() => undefined);
  const sandbox = await context.sandbox(seed, port);
  if (context.terminal.json) context.terminal.document({ url: sandbox.url });
  else {
    context.terminal.data(sandbox.url);
    context.terminal.note(
      `An account that sends here: { provider: sandbox, channel: messenger, id: "${sandbox.page.id}", url: ${sandbox.url} }`,
    );
    context.terminal.note(
      `For what people do to reach pagecast listen: POST {"url": "http://127.0.0.1:PORT/webhooks/meta", "secret": "…"} to ${sandbox.url}/_sandbox/webhook, or write it into the seed.`,
    );
    context.terminal.note(`What everybody received: ${sandbox.url}/_sandbox/received. Stop with Ctrl-C.`);
  }
  await new Promise<void>((resolve) => {
    stopped.signal.addEventListener('abort', () => resolve(), { once: true });
    if (stopped.signal.aborted) resolve();
  });
  stopped.dispose();
  return EXIT.done;
}
