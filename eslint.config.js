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

/** The same rule for `import … from` and for `import(…)`, which this project uses to load heavy parts late. */
function forbidImports(files, regex, message, allowTypeImports = false) {
  return {
    files,
    rules: {
      'no-restricted-imports': ['error', { patterns: [{ regex, message, allowTypeImports }] }],
      'no-restricted-syntax': [
        'error',
        ...ambient,
        { selector: `ImportExpression[source.value=/${regex.replaceAll('/', '\\u002F')}/]`, message },
      ],
    },
  };
}

function layer(folder) {
  const others = folders.filter((other) => other !== folder && !mayImport[folder].includes(other));
  const neighbours = `^(\\.\\./)+(${others.join('|')})/`;
  const files = [`src/${folder}/**/*.ts`];
  return folder === 'core'
    ? forbidImports(
        files,
        `^[^.]|ports\\.js$|${neighbours}`,
        'src/core knows no packages, no node: modules, no ports and no neighbours.',
      )
    : forbidImports(files, neighbours, `src/${folder} must not import from there (docs/architecture.md).`);
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
  forbidImports(['src/ports.ts'], '^\\./(?!core/)', 'ports.ts knows only core.'),
  {
    ...forbidImports(
      ['src/cli/**/*.ts'],
      '/(providers|sandbox|stores|sheets|workspace|inbound)/',
      'Only cli/context.ts names a concrete adapter.',
      true,
    ),
    ignores: ['src/cli/context.ts'],
  },
  { files: ['src/cli/context.ts'], rules: { 'no-restricted-syntax': 'off', 'no-restricted-globals': 'off' } },
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
