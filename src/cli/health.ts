/** `/healthz` and Prometheus' `/metrics`: of a worker on an address of their own, of a listener beside its callbacks. */
import { fastify } from 'fastify';
import { Counter, Gauge, Registry } from 'prom-client';
import type { WorkEvent } from '../app/attend.js';
import { ROW_STATES, type Counts, type RowState } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { Campaign } from '../ports.js';

/** An answer to one of the two paths. */
export interface HealthPage {
  status: number;
  type: string;
  body: string;
}

/** How a process is, whoever asks for it. */
export class Health {
  readonly #registry = new Registry();
  #status: 'ok' | 'store_unusable' | 'draining' = 'ok';

  /** Something that is counted, as `/metrics` tells it. */
  counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  /** Something that goes up and down. */
  gauge<Label extends string>(name: string, help: string, labelNames: Label[]): Gauge<Label> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  /** Tells whether the store could be looked at; `/healthz` answers 503 when not. */
  seen(isWell: boolean): void {
    if (this.#status !== 'draining') this.#status = isWell ? 'ok' : 'store_unusable';
  }

  /** From now on `/healthz` answers 503: nothing new is started. */
  drain(): void {
    this.#status = 'draining';
  }

  async page(path: '/healthz' | '/metrics'): Promise<HealthPage> {
    if (path === '/metrics') {
      return { status: 200, type: this.#registry.contentType, body: await this.#registry.metrics() };
    }
    const status = this.#status === 'ok' ? 200 : 503;
    return { status, type: 'application/json; charset=utf-8', body: JSON.stringify({ status: this.#status }) };
  }
}

export interface HealthServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * @param address `PORT` or `HOST:PORT`; without a host on this machine alone, for what is told is nobody else's business
 * @throws Failure USAGE, PORT_IN_USE
 */
export async function serveHealth(address: string, health: Health): Promise<HealthServer> {
  const parts = /^(?:(\[[\da-f:]+\]|[\w.-]+):)?(\d{1,5})$/i.exec(address);
  const port = Number(parts?.[2] ?? NaN);
  if (parts === null || port > 65_535) {
    throw new Failure(
      'USAGE',
      `"${address}" is no address to listen on.`,
      'Write --listen 9464 or --listen 0.0.0.0:9464.',
    );
  }
  const server = fastify({ logger: false });
  for (const path of ['/healthz', '/metrics'] as const) {
    server.get(path, async (_, reply) => {
      const { status, type, body } = await health.page(path);
      return reply.code(status).type(type).send(body);
    });
  }
  try {
    const url = await server.listen({ port, host: parts[1]?.replace(/^\[|\]$/g, '') ?? '127.0.0.1' });
    return { url, close: () => server.close() };
  } catch (error) {
    throw new Failure('PORT_IN_USE', `Nothing can listen on ${address}.`, 'Choose another port.', error);
  }
}

/** Single messages that came to an outcome in this process. */
export function singlesCounter(health: Health): (campaign: Campaign, state: RowState) => void {
  const counter = health.counter(
    'pagecast_singles_total',
    'Single messages that came to an outcome here, by account, mode and state',
    ['account', 'mode', 'state'],
  );
  return ({ accountName, mode }, state) => counter.inc({ account: accountName, mode, state });
}

/** What a worker has done. */
export class WorkMetrics {
  readonly #messages: Counter<'account' | 'state'>;
  readonly #queued: Gauge<'account'>;
  readonly #running: Gauge<never>;
  readonly #campaigns: Counter<'account' | 'end'>;
  readonly #occurrences: Counter<'result'>;
  readonly #countSingle: (campaign: Campaign, state: RowState) => void;
  /** What of each campaign under way is counted already. */
  readonly #counted = new Map<string, Counts>();

  constructor(health: Health) {
    this.#messages = health.counter('pagecast_messages_total', 'Rows that came to an outcome, by account and state', [
      'account',
      'state',
    ]);
    this.#queued = health.gauge('pagecast_queued_messages', 'Rows that wait in the campaign under way, by account', [
      'account',
    ]);
    this.#running = health.gauge('pagecast_running_campaigns', 'Campaigns under way in this worker', []);
    this.#campaigns = health.counter('pagecast_campaign_runs_total', 'Runs that came to an end, by how they ended', [
      'account',
      'end',
    ]);
    this.#occurrences = health.counter(
      'pagecast_occurrences_total',
      'Occurrences of recurring sends that were due, by what became of them',
      ['result'],
    );
    this.#countSingle = singlesCounter(health);
  }

  single(campaign: Campaign, state: RowState): void {
    this.#countSingle(campaign, state);
  }

  record(event: WorkEvent): void {
    switch (event.kind) {
      case 'started':
        break;
      case 'progress':
        this.#count(event.campaign.id, event.campaign.accountName, event.progress.counts);
        break;
      case 'ended': {
        const { campaign, counts, end } = event.result;
        this.#count(campaign.id, campaign.accountName, counts);
        this.#campaigns.inc({ account: campaign.accountName, end });
        this.#over(campaign.id, campaign.accountName);
        break;
      }
      case 'put_off':
        this.#campaigns.inc({ account: event.campaign.accountName, end: 'put_off' });
        this.#over(event.campaign.id, event.campaign.accountName);
        break;
      case 'occurrence':
        this.#occurrences.inc({ result: event.result.kind });
        break;
      case 'missed':
      case 'occurrence_put_off':
      case 'singles':
      case 'failed':
        break;
    }
  }

  #count(campaign: string, account: string, counts: Counts): void {
    const before = this.#counted.get(campaign);
    this.#counted.set(campaign, { ...counts });
    this.#running.set(this.#counted.size);
    this.#queued.set({ account }, counts.queued);
    // What stood in the ledger before this run is nobody's news.
    if (before === undefined) return;
    for (const state of ROW_STATES) {
      const more = counts[state] - before[state];
      if (state !== 'queued' && state !== 'started' && more > 0) this.#messages.inc({ account, state }, more);
    }
  }

  #over(campaign: string, account: string): void {
    this.#counted.delete(campaign);
    this.#queued.set({ account }, 0);
    this.#running.set(this.#counted.size);
  }
}
