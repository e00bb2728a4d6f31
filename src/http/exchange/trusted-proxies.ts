import type { IncomingMessage } from 'node:http'
import { isAmong, networksIn } from '../../core/networks.js'

/** The proxies of `http.trustedProxies`, which may say under which address clients reach the gateway. */
export class TrustedProxies {
  readonly #networks

  /** @param texts addresses and networks */
  constructor(texts: readonly string[] = []) {
    this.#networks = networksIn(texts)
  }

  /** The values of `Forwarded`, or else `X-Forwarded-*`; empty when the request does not come from a trusted proxy. */
  forwarded({ headers, socket }: IncomingMessage): Record<'scheme' | 'host' | 'path', string> {
    const { remoteAddress = '' } = socket
    if (remoteAddress === '' || !isAmong(this.#networks, remoteAddress)) return { scheme: '', host: '', path: '' }
    const header = (name: string): string => headers[name]?.toString().replace(/,.*$/, '').trim() ?? ''
    const forwarded = header('forwarded')
    const of = (key: string): string =>
      forwarded === ''
        ? header(`x-forwarded-${key}`)
        : (new RegExp(`(?:^|;)\\s*${key}="?([^;"]+)`, 'i').exec(forwarded)?.[1] ?? '')
    return { scheme: of('proto'), host: of('host'), path: header('x-forwarded-path') }
  }
}
