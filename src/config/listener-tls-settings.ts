import { z } from 'zod'
import { milliseconds } from './units.js'

const file = z.string().min(1).optional()

/** TLS towards HTTP clients. */
const listenerTls = z.strictObject({
  certFile: file.describe('PEM file of the certificate and its chain; with it the listener speaks TLS only'),
  keyFile: file.describe('PEM file of the private key that belongs to `certFile`'),
  caFile: file.describe('PEM file of the authorities whose client certificates are trusted; needed for `clientAuth`'),
  clientAuth: z
    .enum(['none', 'optional', 'required'])
    .default('none')
    .describe(
      'Whether clients are asked for a certificate. `required` ends the handshake without a trusted one; who it belongs to is in `auth.certificates`'
    ),
  minVersion: z
    .enum(['TLSv1.2', 'TLSv1.3'])
    .default('TLSv1.2')
    .describe('Oldest version of the protocol that is spoken'),
  reloadIntervalMs: milliseconds
    .default(10_000)
    .describe('How often the files are looked at; changed ones are used for new connections, as on SIGHUP')
})

export const httpTlsSettings = listenerTls
  .prefault({})
  .describe("TLS of the shared port and of the dialects' own ports, not of the unix socket")
export const managementTlsSettings = listenerTls.prefault({}).describe('TLS of the management port')

export type ListenerTlsSettings = z.output<typeof listenerTls>
