import { defineConfig } from 'vitest/config';

/** Other programs' workbooks: needs LibreOffice and openpyxl, and says so where they are missing. No part of `npm test`. */
export default defineConfig({
  test: {
    name: 'interop',
    include: ['test/interop/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ['verbose'],
  },
});
