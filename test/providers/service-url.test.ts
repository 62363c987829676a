import { describe, expect, it } from 'vitest';
import { fitsHeader, serviceUrl } from '../../src/providers/service-url.js';

describe('the base URL of an account', () => {
  const proxy = { https: 'http://proxy.example:8080' };

  it.each([
    ['https://graph.facebook.com', 'https://graph.facebook.com', 'graph.facebook.com', ''],
    ['https://cams.example:8443/', 'https://cams.example:8443', 'cams.example:8443', ''],
    ['https://proxy.example/twilio//', 'https://proxy.example', 'proxy.example', '/twilio'],
  ])('%s', (baseUrl, origin, host, path) => {
    const hostname = host.split(':')[0];
    expect(serviceUrl(baseUrl, proxy, 'messages')).toEqual({ origin, host, hostname, path, proxy });
  });

  it.each(['http://localhost:80', 'http://127.0.0.1:8790', 'http://127.9.9.9', 'http://[::1]:8790'])(
    'may be plain http on this machine, where no proxy is on the way: %s',
    (baseUrl) => {
      expect(serviceUrl(baseUrl, proxy, 'messages')).toMatchObject({ host: new URL(baseUrl).host, proxy: undefined });
    },
  );

  it.each([
    ['graph.facebook.com', 'is not a web address', ''],
    ['http://graph.facebook.com', 'must begin with https://', 'the access token would travel in the open'],
    ['http://127.0.0.1.example.com', 'must begin with https://', 'the access token would travel in the open'],
    ['ftp://127.0.0.1', 'must begin with https://', 'the access token would travel in the open'],
  ])('is not %s', (baseUrl, message, hint) => {
    const refusal = {
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining(hint) as string,
    };
    expect(() => serviceUrl(baseUrl, proxy, 'the access token')).toThrow(expect.objectContaining(refusal));
  });
});

describe('a secret in a header', () => {
  it.each([
    ['EAAB_x-1=', true],
    ['EAAB\n', false],
    ['EA AB', false],
    ['EAÄB', false],
    ['', false],
  ])('%j: %s', (secret, fits) => {
    expect(fitsHeader(secret)).toBe(fits);
  });
});
