/** The one place that turns an error into text and an exit status. */
import { EXIT, Failure, type ExitStatus } from '../core/failure.js';
import type { Terminal } from './terminal.js';

export function reportError(error: unknown, terminal: Terminal): ExitStatus {
  const { code, message, hint, status } = describe(error);
  if (terminal.json) {
    terminal.note(JSON.stringify({ error: { code, message, hint } }));
  } else {
    const { tint } = terminal;
    terminal.note(`${tint.red('Error')} ${tint.dim(code)} ${message}${hint === '' ? '' : `\n${hint}`}`);
  }
  return status;
}

function describe(error: unknown): { code: string; message: string; hint: string; status: ExitStatus } {
  if (error instanceof Failure) return error;
  if (error instanceof Error && (error.name === 'ExitPromptError' || error.name === 'AbortPromptError')) {
    return { code: 'INTERRUPTED', message: 'Nothing was sent.', hint: '', status: EXIT.interrupted };
  }
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return {
    code: 'INTERNAL',
    message: `${name}: ${message}`,
    hint: `This is a fault in pagecast. Please report it with these lines:\n${stack ?? ''}`,
    status: EXIT.internal,
  };
}

/** What a worker or a listener tells of an error that does not end it. */
export function described(error: unknown): { code: string; message: string; hint: string } {
  if (error instanceof Failure) return { code: error.code, message: error.message, hint: error.hint };
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return {
    code: 'INTERNAL',
    message: `${name}: ${message}`,
    hint: 'This is a fault in pagecast. Please report it.',
  };
}
