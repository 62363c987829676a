import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** What each folder of src/ may import from its neighbours. docs/architecture.md draws the same arrows. */
const mayImport = {
  core: [],
  app: ['core'],
  providers: ['core'],
  sandbox: ['core'],
  inbound: ['core'],
  sheets: ['core'],
  stores: ['core'],
  workspace: ['core'],
  cli: ['core', 'app', 'providers', 'sandbox', 'inbound', 'sheets', 'stores', 'workspace'],
};
const folders = Object.keys(mayImport);

/** Everything that makes a run depend on the moment or the machine comes in through the context. */
const ambient = [
  { selector: "MemberExpression[object.name='Date'][property.name='now']", message: 'Take the time from the Clock.' },
  { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Take the time from the Clock.' },
  { selector: "MemberExpression[object.name='Math'][property.name='random']", message: 'Take randomness from Random.' },
  {
    selector: "MemberExpression[object.name='performance'][property.name='now']",
    message: 'Take the time from the Clock.',
  },
  { selector: "MemberExpression[object.name='process']", message: 'The process belongs to cli/context.ts and bin/.' },
];

function layer(folder) {
  const forbidden = folders.filter((other) => other !== folder && !mayImport[folder].includes(other));
  const patterns = [
    {
      regex: `^(\\.\\./)+(${forbidden.join('|')})/`,
      message: `src/${folder} must not import from there (docs/architecture.md).`,
    },
  ];
  if (folder === 'core') {
    patterns.push(
      { regex: '^[^.]', message: 'src/core has no packages and no node: modules.' },
      { regex: 'ports\\.js$', message: 'src/core does not know the ports.' },
    );
  }
  return { files: [`src/${folder}/**/*.ts`], rules: { 'no-restricted-imports': ['error', { patterns }] } };
}

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'node_modules/', 'test/fixtures/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/prefer-nullish-coalescing': ['error', { ignorePrimitives: { string: true } }],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-console': 'error',
      'no-restricted-syntax': ['error', ...ambient],
      'no-restricted-globals': ['error', 'fetch', 'setTimeout', 'setInterval'],
    },
  },
  ...folders.map(layer),
  {
    files: ['src/ports.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^\\./(?!core/)', message: 'ports.ts knows only core.' }] },
      ],
    },
  },
  { files: ['src/cli/context.ts'], rules: { 'no-restricted-syntax': 'off', 'no-restricted-globals': 'off' } },
  {
    files: ['src/cli/**/*.ts'],
    ignores: ['src/cli/context.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '/(providers|sandbox|stores|sheets|workspace|inbound)/',
              message: 'Only cli/context.ts names a concrete adapter.',
              allowTypeImports: true,
            },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  {
    files: ['**/*.js'],
    languageOptions: {
      globals: {
        TextDecoder: 'readonly',
        AbortController: 'readonly',
        clearTimeout: 'readonly',
        process: 'readonly',
        console: 'readonly',
        performance: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
      },
    },
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
);
