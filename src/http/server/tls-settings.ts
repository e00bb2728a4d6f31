import { z } from 'zod'
import { milliseconds } from '../../core/settings/units.js'

const file = z.string().min(1).optional()

/** TLS settings of HTTP listeners. */
const listenerTls = z.strictObject({
  certFile: file.describe('PEM file of the certificate and its chain; when set, the listener accepts TLS only'),
  keyFile: file.describe('PEM file of the private key that belongs to `certFile`'),
  caFile: file.describe(
    'PEM file of the certificate authorities that are trusted for client certificates; needed for `clientAuth`'
  ),
  clientAuth: z
    .enum(['none', 'optional', 'required'])
    .default('none')
    .describe(
      'Whether client certificates are requested. `required` ends the handshake without a trusted one; `auth.certificates` maps certificates to principals'
    ),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2').describe('Oldest TLS version that is accepted'),
  reloadIntervalMs: milliseconds
    .default(10_000)
    .describe(
      'Interval at which the files are checked for changes; changed ones are used for new connections, as after SIGHUP'
    )
})

export const httpTlsSettings = listenerTls
  .prefault({})
  .describe("TLS of the shared port and of the APIs' own ports, not of the unix socket")
export const managementTlsSettings = listenerTls.prefault({}).describe('TLS of the management port')

export type ListenerTlsSettings = z.output<typeof listenerTls>
