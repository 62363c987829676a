/** `/healthz` and Prometheus' `/metrics` of a worker. */
import { fastify } from 'fastify';
import { Counter, Gauge, Registry } from 'prom-client';
import type { WorkEvent } from '../app/attend.js';
import { ROW_STATES, type Counts } from '../core/delivery.js';
import { Failure } from '../core/failure.js';

export interface Health {
  readonly url: string;
  record(event: WorkEvent): void;
  /** Tells whether the store could be looked at; `/healthz` answers 503 when not. */
  seen(isWell: boolean): void;
  /** From now on `/healthz` answers 503: nothing new is started. */
  drain(): void;
  close(): Promise<void>;
}

/**
 * @param address `PORT` or `HOST:PORT`; without a host on this machine alone, for what is told is nobody else's business
 * @throws Failure USAGE, PORT_IN_USE
 */
export async function startHealth(address: string): Promise<Health> {
  const parts = /^(?:(\[[\da-f:]+\]|[\w.-]+):)?(\d{1,5})$/i.exec(address);
  const port = Number(parts?.[2] ?? NaN);
  if (parts === null || port > 65_535) {
    throw new Failure(
      'USAGE',
      `"${address}" is no address to listen on.`,
      'Write --listen 9464 or --listen 0.0.0.0:9464.',
    );
  }
  const metrics = new Metrics();
  let status: 'ok' | 'store_unusable' | 'draining' = 'ok';
  const server = fastify({ logger: false });
  server.get('/healthz', (_, reply) => reply.code(status === 'ok' ? 200 : 503).send({ status }));
  server.get('/metrics', async (_, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  try {
    const url = await server.listen({ port, host: parts[1]?.replace(/^\[|\]$/g, '') ?? '127.0.0.1' });
    return {
      url,
      record: (event) => metrics.record(event),
      seen: (isWell) => {
        if (status !== 'draining') status = isWell ? 'ok' : 'store_unusable';
      },
      drain: () => {
        status = 'draining';
      },
      close: () => server.close(),
    };
  } catch (error) {
    throw new Failure('PORT_IN_USE', `Nothing can listen on ${address}.`, 'Choose another port.', error);
  }
}

class Metrics {
  readonly registry = new Registry();
  readonly #messages = new Counter({
    name: 'pagecast_messages_total',
    help: 'Rows that came to an outcome, by account and state',
    labelNames: ['account', 'state'],
    registers: [this.registry],
  });
  readonly #queued = new Gauge({
    name: 'pagecast_queued_messages',
    help: 'Rows that wait in the campaign under way, by account',
    labelNames: ['account'],
    registers: [this.registry],
  });
  readonly #running = new Gauge({
    name: 'pagecast_running_campaigns',
    help: 'Campaigns under way in this worker',
    registers: [this.registry],
  });
  readonly #campaigns = new Counter({
    name: 'pagecast_campaign_runs_total',
    help: 'Runs that came to an end, by how they ended',
    labelNames: ['account', 'end'],
    registers: [this.registry],
  });
  readonly #occurrences = new Counter({
    name: 'pagecast_occurrences_total',
    help: 'Occurrences of recurring sends that were due, by what became of them',
    labelNames: ['result'],
    registers: [this.registry],
  });
  /** What of each campaign under way is counted already. */
  readonly #counted = new Map<string, Counts>();

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
