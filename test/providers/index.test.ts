import { describe, expect, it, onTestFinished } from 'vitest';
import type { Failure } from '../../src/core/failure.js';
import { openProvider, type ProviderSettings } from '../../src/providers/index.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { machineClock } from '../support/provider-contract.js';
import { template } from '../support/fixtures.js';

const settings: ProviderSettings = { channel: 'messenger', id: '102938475601928', token: 'token' };

function failure(run: () => unknown): Failure | null {
  try {
    run();
    return null;
  } catch (error) {
    return error as Failure;
  }
}

describe('the list of providers', () => {
  it('opens graph, and the sandbox where the sandbox is', () => {
    expect(openProvider('graph', settings, machineClock).capabilities.registeredTemplates).toBe(true);
    const sandbox = { ...settings, baseUrl: 'http://127.0.0.1:4801' };
    expect(openProvider('sandbox', sandbox, machineClock).capabilities.registeredTemplates).toBe(true);
  });

  it('hands on what an account says of batches and proxies', () => {
    const proxied = { ...settings, batch: 20, proxy: { https: 'http://proxy.example:8080', no: 'example.org' } };
    expect(openProvider('graph', proxied, machineClock).capabilities.maxBatch(template)).toBe(20);
    const wrong = { ...settings, proxy: { https: 'gopher://proxy.example' } };
    expect(failure(() => openProvider('graph', wrong, machineClock))?.code).toBe('CONFIG_INVALID');
  });

  it.each([
    [{}, 'graph.facebook.com:443'],
    [{ login: 'facebook' as const }, 'graph.facebook.com:443'],
    [{ login: 'instagram' as const }, 'graph.instagram.com:443'],
    [{ login: 'instagram' as const, baseUrl: 'https://meta.example' }, 'meta.example:443'],
  ])('asks where the login of the account belongs: %j', async (more, place) => {
    const proxy = await ConnectProxy.start({ manner: 403 });
    onTestFinished(() => proxy.close());
    const insta: ProviderSettings = { ...settings, channel: 'instagram', proxy: { https: proxy.url }, ...more };
    const provider = openProvider('graph', insta, machineClock);
    await provider.verify();
    await provider.close();
    expect(proxy.asked).toEqual([place]);
  });

  it('says what is missing', () => {
    const without: ProviderSettings = { channel: 'messenger', id: '102938475601928' };
    expect(failure(() => openProvider('graph', without, machineClock))?.code).toBe('SECRET_MISSING');
    expect(failure(() => openProvider('sandbox', settings, machineClock))?.code).toBe('CONFIG_INVALID');
  });

  it.each([
    ['cams', 'CONFIG_INVALID'],
    ['twilio', 'SECRET_MISSING'],
  ] as const)('says what an account of %s lacks', (name, code) => {
    const found = failure(() => openProvider(name, settings, machineClock));
    expect(found?.code).toBe(code);
  });
});
