import { describe, expect, it, onTestFinished } from 'vitest';
import type { Campaign } from '../../src/ports.js';
import { Health, serveHealth, WorkMetrics } from '../../src/cli/health.js';
import { failureOf } from '../support/fixtures.js';

const campaign = { id: 'c1', accountName: 'page' } as Campaign;
const counts = (sent: number, failed = 0) => ({
  queued: 10 - sent - failed,
  started: 0,
  sent,
  failed,
  skipped: 0,
  unknown: 0,
  total: 10,
});

async function health() {
  const of = new Health();
  const metrics = new WorkMetrics(of);
  const server = await serveHealth('0', of);
  onTestFinished(() => server.close());
  const ask = async (path: string) => {
    const reply = await fetch(`${server.url}${path}`);
    return { status: reply.status, text: await reply.text() };
  };
  const metric = async (name: string) => new RegExp(`^${name} (.*)$`, 'm').exec((await ask('/metrics')).text)?.[1];
  return { url: server.url, of, metrics, ask, metric };
}

describe('health', () => {
  it('is well while the store can be looked at, until it drains', async () => {
    const here = await health();
    expect(await here.ask('/healthz')).toEqual({ status: 200, text: '{"status":"ok"}' });
    here.of.seen(false);
    expect(await here.ask('/healthz')).toEqual({ status: 503, text: '{"status":"store_unusable"}' });
    here.of.seen(true);
    expect((await here.ask('/healthz')).status).toBe(200);
    here.of.drain();
    here.of.seen(true);
    expect(await here.ask('/healthz')).toEqual({ status: 503, text: '{"status":"draining"}' });
  });

  it('counts what this worker has done, and not what stood in the ledger before', async () => {
    const here = await health();
    const sent = 'pagecast_messages_total{account="page",state="sent"}';
    here.metrics.record({ kind: 'started', campaign });
    here.metrics.record({ kind: 'progress', campaign, progress: { counts: counts(3), waitingMs: 0 } });
    expect([await here.metric(sent), await here.metric('pagecast_running_campaigns')]).toEqual([undefined, '1']);
    here.metrics.record({ kind: 'progress', campaign, progress: { counts: counts(5, 1), waitingMs: 0 } });
    expect(await here.metric(sent)).toBe('2');
    expect(await here.metric('pagecast_queued_messages{account="page"}')).toBe('4');
    here.metrics.record({ kind: 'put_off', campaign, error: new Error() });
    expect(await here.metric('pagecast_running_campaigns')).toBe('0');
  });

  it.each(['nonsense', '70000', 'host:', '1.2.3.4'])('refuses to listen on "%s"', async (address) => {
    expect(await failureOf(serveHealth(address, new Health()))).toBe('USAGE');
  });

  it('says when the port is taken', async () => {
    const here = await health();
    expect(await failureOf(serveHealth(new URL(here.url).host, new Health()))).toBe('PORT_IN_USE');
  });
});
