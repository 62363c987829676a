#!/usr/bin/env node
import { main } from '../dist/cli/main.js';

// Not process.exit: what is still in the pipes must get out.
process.exitCode = await main(process.argv);
