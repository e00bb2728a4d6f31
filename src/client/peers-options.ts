import { z } from 'zod'
import { brokerAddress, commonToken, network, PRIVATE_NETWORKS } from '../core/settings/units.js'

/** The option `peers`: absent or complete. */
export const peersOptions = z
  .strictObject({
    addresses: z.array(brokerAddress),
    listen: brokerAddress,
    networks: z.array(network).default(PRIVATE_NETWORKS),
    token: commonToken.meta({ secret: true }),
    tls: z.strictObject({ cert: z.string(), key: z.string(), ca: z.string() }).optional().meta({ secret: true })
  })
  .optional()

export type PeersSettings = NonNullable<z.output<typeof peersOptions>>

/** The other processes that read for the same groups. */
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
