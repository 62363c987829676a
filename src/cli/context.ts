/**
 * The only composition root: from the process and the workspace to the adapters. Everything is made when it is first
 * asked for, so a command pays only for what it uses.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, type ExitStatus } from '../core/failure.js';
import type { Flow } from '../core/flow.js';
import { MAX_UNDER_WAY } from '../core/pacing.js';
import type { SheetLimits } from '../core/finding.js';
import { senderKey } from '../core/sender.js';
import type {
  Campaign,
  Clock,
  Delivery,
  DeliveryContent,
  FlowListing,
  InboundAccount,
  Provider,
  Random,
  Sheets,
  TemplateEntry,
  TemplateFiles,
  TemplateListing,
} from '../ports.js';
import type * as optOutLog from '../inbound/opt-out-log.js';
import type * as receiptLog from '../inbound/receipts.js';
import type * as webhookServer from '../inbound/webhook-server.js';
import type * as windowLog from '../inbound/window-log.js';
import type { Sandbox } from '../sandbox/server.js';
import type { OpenedStore } from '../stores/open.js';
import type * as templates from '../workspace/templates.js';
import type * as configuration from '../workspace/config.js';
import type { AccountConfig, SandboxAccount, Workspace } from '../workspace/config.js';
import type { AccountsFile } from '../workspace/edit-accounts.js';
import type { Secrets } from '../workspace/secrets.js';
import type { GithubActions } from './github-actions.js';
import { Terminal } from './terminal.js';

export interface GlobalOptions {
  json?: boolean;
}

/** What the store keeps of the account that a campaign or a schedule was made for. */
type AccountBound = Pick<Campaign, 'id' | 'account' | 'accountName'>;

export interface Interruption {
  /** Aborts at the first Ctrl-C, SIGTERM or when the terminal closes. */
  signal: AbortSignal;
  dispose(): void;
}

export class Context {
  readonly terminal: Terminal;
  readonly clock: Clock = {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    // Longer sleeps than a timer can hold are cut; every caller looks at the clock again.
    sleep: (ms, signal) =>
      sleep(Math.max(0, Math.min(ms, 2 ** 31 - 1)), undefined, signal && { signal }).catch(() => undefined),
  };
  readonly random: Random = { next: () => Math.random() };
  readonly cwd: string;
  readonly #env = process.env;
  readonly #closers: (() => Promise<void>)[] = [];
  readonly #providers = new Map<string, Promise<Provider>>();
  #workspace: Promise<Workspace> | undefined;
  #opened: Promise<OpenedStore> | undefined;

  constructor(options: GlobalOptions, cwd = process.cwd()) {
    this.terminal = new Terminal(process, options.json === true);
    this.cwd = cwd;
  }

  /** The log of the CI job this runs in, which others may read; null elsewhere. */
  async githubActions(): Promise<GithubActions | null> {
    if (this.#env['GITHUB_ACTIONS'] !== 'true') return null;
    const { GithubActions } = await import('./github-actions.js');
    return GithubActions.from(this.#env, (line) => this.terminal.note(line));
  }

  path(given: string): string {
    // In a dialogue no shell has replaced it.
    return resolve(this.cwd, given.startsWith('~/') ? join(homedir(), given.slice(2)) : given);
  }

  workspace(): Promise<Workspace> {
    this.#workspace ??= import('../workspace/config.js').then(({ openWorkspace }) => openWorkspace(this.cwd));
    return this.#workspace;
  }

  async account(name: string): Promise<AccountConfig> {
    const { findAccount } = await import('../workspace/config.js');
    return findAccount(await this.workspace(), name);
  }

  /**
   * The account that something in the store was made for, as it is configured now.
   * @throws Failure ACCOUNT_UNKNOWN; CAMPAIGN_STATE when the name means another account by now: user IDs belong to one Page,
   * and with another they are other people or nobody
   */
  async accountOf({ id, account: planned, accountName }: AccountBound): Promise<AccountConfig> {
    const account = await this.account(accountName);
    if (senderKey(account) === planned) return account;
    throw new Failure(
      'CAMPAIGN_STATE',
      `${id} was planned for ${planned}, and ${accountName} is ${senderKey(account)} now.`,
      `Put ${accountName} back in pagecast.yaml as it was, or make a new campaign.`,
    );
  }

  async templates(): Promise<TemplateListing> {
    const { templateLibrary } = await import('../workspace/templates.js');
    return templateLibrary((await this.workspace()).root).list();
  }

  async template(name: string, language: string | undefined): Promise<TemplateEntry> {
    const { findTemplate } = await import('../workspace/templates.js');
    return findTemplate(await this.templates(), name, language);
  }

  async flows(): Promise<FlowListing> {
    const { readFlows } = await import('../workspace/flows.js');
    return readFlows((await this.workspace()).root);
  }

  /** @throws Failure FLOW_UNKNOWN, FLOW_INVALID */
  async flow(name: string): Promise<Flow> {
    const { findFlow } = await import('../workspace/flows.js');
    return findFlow(await this.flows(), name);
  }

  async scaffolds(): Promise<typeof templates> {
    return import('../workspace/templates.js');
  }

  /**
   * Writes template files of the workspace.
   * @param isDryRun everything is done but the writing @throws Failure WORKSPACE_MISSING
   */
  async templateFiles(isDryRun: boolean): Promise<TemplateFiles> {
    const { templateFiles } = await import('../workspace/template-files.js');
    const { root } = await this.workspace();
    if (root !== null) return templateFiles(root, isDryRun);
    throw new Failure(
      'WORKSPACE_MISSING',
      'There is no workspace here to keep templates in.',
      'Make one: pagecast init',
    );
  }

  async sheets(): Promise<Sheets> {
    const { createSheets } = await import('../sheets/index.js');
    return createSheets(this.clock);
  }

  async sheetLimits(): Promise<SheetLimits> {
    const { DEFAULT_LIMITS } = await import('../sheets/limits.js');
    return DEFAULT_LIMITS;
  }

  async windowLog(): Promise<typeof windowLog> {
    return import('../inbound/window-log.js');
  }

  async receiptLog(): Promise<typeof receiptLog> {
    return import('../inbound/receipts.js');
  }

  async optOutLog(): Promise<typeof optOutLog> {
    return import('../inbound/opt-out-log.js');
  }

  async webhookServer(): Promise<typeof webhookServer> {
    return import('../inbound/webhook-server.js');
  }

  /** Reads what a callback says of the accounts of the configuration. */
  async deliveryReader(): Promise<(delivery: Delivery) => DeliveryContent> {
    const { readDelivery } = await import('../inbound/read-delivery.js');
    const accounts = [...(await this.workspace()).accounts.values()].map((account): InboundAccount => {
      const own = account.provider === 'graph' && account.instagramId !== undefined ? [account.instagramId] : [];
      return { key: senderKey(account), channel: account.channel, ids: [account.id, ...own] };
    });
    return (delivery) => readDelivery(delivery, accounts, this.clock.now());
  }

  /** Where the ledger is kept, as a store URL. Outside a workspace it is one for the user. */
  async storeUrl(): Promise<string> {
    const { resolveStoreUrl } = await import('../workspace/config.js');
    const state = this.#env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state');
    return resolveStoreUrl(await this.workspace(), this.#env) ?? `sqlite:${join(state, 'pagecast', 'pagecast.db')}`;
  }

  store(): Promise<OpenedStore> {
    this.#opened ??= this.#openStore();
    return this.#opened;
  }

  async #openStore(): Promise<OpenedStore> {
    const { openStore } = await import('../stores/open.js');
    const machine = machineName();
    const opened = await openStore(await this.storeUrl(), this.cwd, {
      name: `${machine}/${process.pid}`,
      mayBeAlive: (name) => {
        const at = name.lastIndexOf('/');
        return name.slice(0, at) !== machine || isAlive(Number(name.slice(at + 1)));
      },
    });
    this.#closers.push(() => opened.store.close());
    return opened;
  }

  /** Makes the provider of an account; for a sandbox account without a URL, the sandbox as well. */
  provider(account: AccountConfig): Promise<Provider> {
    let provider = this.#providers.get(account.name);
    provider ??= this.#openProvider(account).catch((error: unknown) => {
      // What failed once may work the next time.
      this.#providers.delete(account.name);
      throw error;
    });
    this.#providers.set(account.name, provider);
    return provider;
  }

  async #openProvider(account: AccountConfig): Promise<Provider> {
    const { openProvider } = await import('../providers/index.js');
    // As many as a run has calls under way: a row that is started but waits for a connection would become
    // unknown in a crash though nothing of it was sent.
    const settings = {
      channel: account.channel,
      id: account.id,
      connections: MAX_UNDER_WAY,
      ...this.#proxy(),
      ...(await this.#secretsOf(account)),
    };
    let provider: Provider;
    if (account.provider === 'sandbox') {
      const { SANDBOX_PAGE } = await import('../sandbox/seed.js');
      const baseUrl = account.url ?? (await this.#embeddedSandbox(account)).url;
      provider = openProvider('sandbox', { ...settings, baseUrl, token: SANDBOX_PAGE.token }, this.clock);
    } else if (account.provider === 'graph') {
      const graph = {
        ...settings,
        ...(account.url !== undefined && { baseUrl: account.url }),
        ...(account.version !== undefined && { version: account.version }),
        ...(account.login !== undefined && { login: account.login }),
        ...(account.batch !== undefined && { batch: account.batch }),
        ...(account.instagramId !== undefined && { instagramId: account.instagramId }),
      };
      provider = openProvider('graph', graph, this.clock);
    } else if (account.provider === 'twilio') {
      const twilio = {
        ...settings,
        ...(account.url !== undefined && { baseUrl: account.url }),
        ...(account.statusCallback !== undefined && { statusCallback: account.statusCallback }),
      };
      provider = openProvider('twilio', twilio, this.clock);
    } else {
      const { spaceId, url } = account;
      const cams = { ...settings, spaceId, ...(url !== undefined && { baseUrl: url }) };
      provider = openProvider('cams', cams, this.clock);
    }
    this.#closers.push(() => provider.close());
    return provider;
  }

  /** Where secrets are read from and kept. */
  async secrets(): Promise<Secrets> {
    const { Secrets } = await import('../workspace/secrets.js');
    const { root } = await this.workspace();
    return new Secrets({ env: this.#env, uid: process.geteuid?.(), clock: this.clock, root });
  }

  async configuration(): Promise<typeof configuration> {
    return import('../workspace/config.js');
  }

  /** The accounts of `pagecast.yaml`, to change them. @throws Failure WORKSPACE_MISSING, CONFIG_INVALID */
  async accountsFile(): Promise<AccountsFile> {
    const { file } = await this.workspace();
    if (file === null) {
      throw new Failure('WORKSPACE_MISSING', 'There is no pagecast.yaml here or above.', 'Make one: pagecast init');
    }
    const { AccountsFile } = await import('../workspace/edit-accounts.js');
    return AccountsFile.open(file);
  }

  /** The secrets that sending from an account needs and that cannot be had, each as the configuration names it, and why. */
  async missingSecrets(account: AccountConfig): Promise<{ secret: string; failure: Failure }[]> {
    const { secretRefs } = await import('../workspace/config.js');
    const secrets = await this.secrets();
    const missing: { secret: string; failure: Failure }[] = [];
    for (const { ref, isForCallbacks } of secretRefs(account)) {
      if (isForCallbacks) continue;
      try {
        await secrets.read(ref);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        missing.push({ secret: secrets.show(ref), failure: error });
      }
    }
    return missing;
  }

  /** @throws Failure for the first secret of an account that cannot be had; it tells of the others, too */
  async requireSecrets(account: AccountConfig): Promise<void> {
    const failures = (await this.missingSecrets(account)).map(({ failure }) => failure);
    const [first] = failures;
    if (first === undefined) return;
    const joined = (texts: string[]): string => [...new Set(texts)].join(' ');
    throw new Failure(
      first.code,
      joined(failures.map((one) => one.message)),
      joined(failures.map((one) => one.hint)),
      first,
    );
  }

  /** What its provider is made with, by the keys of the configuration. @throws Failure as `requireSecrets` */
  async #secretsOf(account: AccountConfig): Promise<Record<string, string>> {
    const { secretRefs } = await import('../workspace/config.js');
    const secrets = await this.secrets();
    const values: [string, string][] = [];
    for (const { key, ref, isForCallbacks } of secretRefs(account)) {
      if (!isForCallbacks) values.push([key, await secrets.read(ref)]);
    }
    return Object.fromEntries(values);
  }

  /** The proxies that the environment asks for, as other programs understand it; none on the way to this machine. */
  #proxy(): { proxy?: { http?: string; https?: string; no: string } } {
    const variable = (name: string): string | undefined =>
      this.#env[name.toLowerCase()] || this.#env[name] || undefined;
    const [http, https, no] = [variable('HTTP_PROXY'), variable('HTTPS_PROXY'), variable('NO_PROXY')];
    if ((http === undefined && https === undefined) || no === '*') return {};
    const direct = [...(no === undefined ? [] : [no]), 'localhost', '127.0.0.1', '[::1]'].join(',');
    return { proxy: { ...(http && { http }), ...(https && { https }), no: direct } };
  }

  async #embeddedSandbox(account: SandboxAccount): Promise<Sandbox> {
    const seed = account.seed === undefined ? {} : await this.readJson(account.seed);
    const templates = await this.#registeredTemplates();
    return this.sandbox({ templates, ...seed }, 0, { id: account.id, channel: account.channel });
  }

  /**
   * What the embedded sandbox has: the registered templates of the workspace and the starters, as they would be handed in. One
   * that is PENDING or ABSENT has not been, as far as the sandbox is concerned.
   */
  async #registeredTemplates(): Promise<unknown[]> {
    const { platformContent } = await import('../providers/graph-templates.js');
    const { entries } = await this.templates();
    return entries.flatMap(({ template }) => {
      const { status = 'PENDING' } = template.registration ?? {};
      const content = platformContent(template);
      return ['PENDING', 'ABSENT'].includes(status) || typeof content === 'string' ? [] : [{ ...content, status }];
    });
  }

  /**
   * Starts a sandbox on loopback; it ends with the command.
   * @param page replaces parts of the seed's Page
   */
  async sandbox(
    seed: object,
    port: number,
    page: { id?: string; channel?: 'messenger' | 'instagram' } = {},
  ): Promise<Sandbox> {
    const { startSandbox } = await import('../sandbox/server.js');
    const sandbox = await startSandbox({ port, seed, page, clock: this.clock, random: this.random });
    this.#closers.push(() => sandbox.close());
    return sandbox;
  }

  async readJson(path: string): Promise<object> {
    try {
      return JSON.parse(await readFile(path, 'utf8')) as object;
    } catch (error) {
      const reason = error instanceof SyntaxError ? 'is no JSON' : 'cannot be read';
      throw new Failure('FILE_UNREADABLE', `${path} ${reason}: ${(error as Error).message}`, '', error);
    }
  }

  /**
   * From now on the first Ctrl-C (or SIGTERM, or the terminal's end) only asks to stop, and the second ends the process.
   * @param onFirst is told, so that it can say what happens next
   */
  interruptible(onFirst: () => void): Interruption {
    const controller = new AbortController();
    let firstAt = 0;
    const stop = (name: NodeJS.Signals): void => {
      if (controller.signal.aborted) {
        // One closed terminal, or one Ctrl-C under npm, can arrive as two signals: from the shell and from the kernel.
        if (name !== 'SIGHUP' && this.clock.monotonic() - firstAt > 500) process.exit(130);
        return;
      }
      firstAt = this.clock.monotonic();
      controller.abort();
      onFirst();
    };
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const name of signals) process.on(name, stop);
    return {
      signal: controller.signal,
      dispose: () => {
        for (const name of signals) process.off(name, stop);
      },
    };
  }

  /** Ends the process at once: for what cannot be waited for any longer. */
  exit(status: ExitStatus): never {
    process.exit(status);
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.reverse()) await closer();
  }
}

/** Tells machines apart, and on Linux also boots and containers: process ids mean something only within one of them. */
function machineName(): string {
  const read = (work: () => string): string => {
    try {
      return work();
    } catch {
      return '';
    }
  };
  const boot = read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = read(() => readlinkSync('/proc/self/ns/pid'));
  return `${hostname()}/${boot}/${namespace}`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
