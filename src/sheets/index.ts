/** Recipient sheets as files: the only place that knows what a workbook or a CSV file looks like inside. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Failure } from '../core/failure.js';
import type { SheetLimits } from '../core/finding.js';
import type { Clock, OpenSheet, Sheets } from '../ports.js';
import { recogniseFile } from './file-kind.js';
import { ReadBudget, fault } from './limits.js';

export { DEFAULT_LIMITS } from './limits.js';

/** The readers and the writer are loaded when they are first used: exceljs alone takes a quarter of a second. */
export function createSheets(clock: Clock): Sheets {
  return {
    open: (path, limits) => openSheet(path, limits, clock),
    create: async (path, draft, overwrite) =>
      (await import('./workbook-writer.js')).createSheet(path, draft, overwrite),
    mark: async (path, header, origin, overwrite) =>
      (await import('./workbook-writer.js')).startMarkedCopy(path, header, origin, overwrite),
    exportTable: async (path, header, rows, overwrite = false) =>
      (await import('./table-export.js')).exportTable(path, header, rows, overwrite),
    exportReport: async (path, book, overwrite) =>
      (await import('./report-writer.js')).exportReport(path, book, overwrite),
  };
}

async function openSheet(path: string, limits: SheetLimits, clock: Clock): Promise<OpenSheet> {
  const budget = new ReadBudget(limits, clock);
  const file = await openFile(path);
  let kind: Awaited<ReturnType<typeof recogniseFile>>;
  try {
    const stats = await file.stat();
    if (!stats.isFile()) {
      throw fault('FILE_NOT_WORKBOOK', { reason: 'not_a_workbook', detail: 'it is not a file' });
    }
    budget.checkBytes(stats.size);
    kind = await recogniseFile(file, stats.size);
  } finally {
    await file.close();
  }
  if (kind.kind === 'text') return (await import('./csv-reader.js')).openCsv(path, kind.encoding, budget);
  return (await import('./workbook-reader.js')).openWorkbook(path, budget);
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for somebody to write into it.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw fault('FILE_NOT_FOUND', { path });
    if (code === 'EACCES' || code === 'EPERM') {
      throw new Failure(
        'FILE_UNREADABLE',
        `${path} may not be read by you.`,
        'Check the permissions of the file.',
        error,
      );
    }
    throw error;
  }
}
