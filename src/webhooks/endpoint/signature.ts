import { createHmac, randomBytes } from 'node:crypto'
import { decodeBase64 } from '../../core/base64.js'

const PREFIX = 'whsec_'
/** Bytes of a secret, by Standard Webhooks. */
const MIN_SECRET_BYTES = 24
const MAX_SECRET_BYTES = 64
const NEW_SECRET_BYTES = 32

/** The bytes of a secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. `undefined`: it is none. */
export function secretIn(text: string): Buffer | undefined {
  if (!text.startsWith(PREFIX)) return undefined
  const bytes = decodeBase64(Buffer.from(text.slice(PREFIX.length)))
  return bytes !== undefined && bytes.length >= MIN_SECRET_BYTES && bytes.length <= MAX_SECRET_BYTES ? bytes : undefined
}

export const newSecret = (): string => `${PREFIX}${randomBytes(NEW_SECRET_BYTES).toString('base64')}`

/**
 * The header `webhook-signature` of Standard Webhooks: one signature (`v1`) for each secret.
 *
 * @param secrets bytes of the secrets, newest first
 * @param timestamp seconds since 1970, as in `webhook-timestamp`
 */
export const signatureOf = (secrets: readonly Buffer[], id: string, timestamp: number, body: Buffer): string =>
  secrets
    .map(secret => `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64')}`)
    .join(' ')
