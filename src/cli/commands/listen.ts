/** `pagecast listen`: takes callbacks of the services, hears what they say, and sends what flows answer. */
import type { Command } from 'commander';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import type { ListenOptions } from '../listener.js';

export function register(program: Command, launch: Launch): void {
  program
    .command('listen')
    .description('take webhooks of Meta, CAMS and Twilio: windows, receipts, opt-outs, and the answers of flows')
    .option('--port <n>', 'the port; 0 takes a free one', '8080')
    .option('--host <host>', 'the address of this machine on which it listens', '127.0.0.1')
    .option('--log-format <format>', 'text or json (one object a line), on stderr', 'text')
    .option('--drain <time>', 'when told to stop, wait at most so long for what has come in to be heard', '30s')
    .addHelpText(
      'after',
      `
It also serves /healthz and /metrics, and POST /flows/NAME for other programs. docs/listen.md tells how to set it up.
Changed flows, templates and a changed pagecast.yaml are read when it starts.

Examples:
  $ pagecast listen
  $ pagecast listen --port 8080 --host 0.0.0.0 --log-format json`,
    )
    .action(
      launch(async (context: Context, options: ListenOptions) => {
        const { runListener } = await import('../listener.js');
        return runListener(context, options);
      }),
    );
}
