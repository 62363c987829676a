/** What a worker tells while it works: lines for people, or one JSON object a line for machines. On stderr; stdout is for data. */
import pino from 'pino';
import { Failure } from '../core/failure.js';
import type { Clock } from '../ports.js';
import type { Terminal } from './terminal.js';

export interface Log {
  info(event: string, text: string, fields?: object): void;
  warn(event: string, text: string, fields?: object): void;
}

export function createLog(format: string, terminal: Terminal, clock: Clock): Log {
  if (format === 'json') return jsonLog(terminal, clock);
  if (format !== 'text')
    throw new Failure('USAGE', `"${format}" is no log format.`, 'Write --log-format text or json.');
  const { dim, yellow } = terminal.tint;
  const tell = (text: string, shown: (line: string) => string): void => {
    const at = dim(`${new Date(clock.now()).toISOString().slice(0, 19)}Z`);
    for (const line of text.split('\n')) terminal.note(`${at} ${shown(line)}`);
  };
  return {
    info: (_, text) => tell(text, (line) => line),
    // Where there are no colours, the level is seen all the same.
    warn: (_, text) => tell(text, (line) => yellow(`warning: ${line}`)),
  };
}

function jsonLog(terminal: Terminal, clock: Clock): Log {
  const logger = pino(
    {
      base: null,
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
    },
    { write: (line: string) => terminal.note(line.trimEnd()) },
  );
  return {
    info: (event, text, fields) => logger.info({ event, ...fields }, text),
    warn: (event, text, fields) => logger.warn({ event, ...fields }, text),
  };
}
