import { isIP } from 'node:net'
import { z } from 'zod'
import { brokerAddress, nonEmpty, secret } from '../../core/settings/units.js'

const MIN_TOKEN_BYTES = 32

/** Networks that are not routed on the internet. */
const PRIVATE_NETWORKS = ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7']

const network = z.string().refine(isNetwork, { error: 'write it as ADDRESS/BITS, for example 10.0.0.0/8' })

function isNetwork(text: string): boolean {
  const [, address = '', bits = ''] = text.match(/^([0-9a-fA-F:.]+)\/(\d{1,3})$/) ?? []
  const version = isIP(address)
  return version > 0 && Number(bits) <= (version === 4 ? 32 : 128)
}

const commonToken = secret.refine(text => Buffer.byteLength(text) >= MIN_TOKEN_BYTES, {
  error: `must have at least ${MIN_TOKEN_BYTES} bytes`
})

export const peersSettings = z
  .strictObject({
    addresses: z
      .array(brokerAddress)
      .default([])
      .describe(
        'The gateways of this deployment, `host:port,…`; this one may be among them. Empty: the gateways do not know each other'
      ),
    listen: brokerAddress
      .optional()
      .describe('Address of the listener for the other gateways, `host:port`. Clients cannot use it'),
    networks: z.array(network).default(PRIVATE_NETWORKS).describe('Networks of the gateways'),
    token: commonToken
      .optional()
      .describe('The common token of the gateways, at least 32 bytes')
      .meta({ secret: true }),
    tlsDirectory: nonEmpty
      .optional()
      .describe(
        'Directory with `tls.crt`, `tls.key` and `ca.crt` in PEM. When set, gateways call each other over TLS only'
      )
  })
  .prefault({})
  .describe('Other gateways of the same deployment, explained in [peers.md](peers.md)')

export type PeersSettings = z.output<typeof peersSettings>

/** The same as options of the library, where they are absent or complete. */
export const peersOptions = z
  .strictObject({
    addresses: z.array(brokerAddress),
    listen: brokerAddress,
    networks: z.array(network).default(PRIVATE_NETWORKS),
    token: commonToken.meta({ secret: true }),
    tls: z.strictObject({ cert: z.string(), key: z.string(), ca: z.string() }).optional().meta({ secret: true })
  })
  .optional()

/** The options `peers` of the library. */
export interface PeersOptions {
  /** The other processes, `host:port`. Each address of a host is a process; this process may be among them. */
  readonly addresses: readonly string[]
  /** Address of the listener for the other processes, `host:port`. */
  readonly listen: string
  /** Networks of the other processes, `address/bits`. Default: the private networks. */
  readonly networks?: readonly string[] | undefined
  /** The common token of all processes, at least 32 bytes. */
  readonly token: string
  /** TLS between the processes, in PEM: the certificate of this one, its key, and the authorities of all. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string } | undefined
}
