/** Writing a small file so that it is there whole or as it was before, never in part. */
import { mkdtemp, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { writing } from './templates.js';

/** @param mode the file's, whatever the umask says @throws Failure FILE_UNWRITABLE */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  await writing(path, async () => {
    // A folder of its own, as only making a folder gives a name that nobody else has.
    const folder = await mkdtemp(join(dirname(path), '.pagecast-'));
    try {
      const temporary = join(folder, basename(path));
      const file = await open(temporary, 'wx', mode);
      try {
        await file.chmod(mode);
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}
