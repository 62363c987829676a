#!/usr/bin/env node
import { main } from '../dist/cli/main.js';

// A reader that goes away (`| head`), or a terminal that is closed, must not end a run with a stack trace.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

// Not process.exit: what is still in the pipes must get out.
process.exitCode = await main(process.argv);
