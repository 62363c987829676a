import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // End-to-end tests mostly wait, so three files side by side are no burden even for two processors.
    maxWorkers: 3,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/{core,app,sheets,providers,stores,sandbox,inbound,workspace,cli}/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 60_000 } },
    ],
  },
});
