import { z } from 'zod'
import { brokerAddress, commonToken, network, nonEmpty, PRIVATE_NETWORKS } from '../../core/settings/units.js'

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
