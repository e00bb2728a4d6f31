import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
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

/** Receivers refuse timestamps that differ by more from their own clock. */
const TOLERANCE_SECONDS = 300

/** The headers that Standard Webhooks names; `undefined`: absent. */
export interface SignedHeaders {
  readonly id: string | undefined
  readonly timestamp: string | undefined
  readonly signature: string | undefined
}

/**
 * Finds out why the signature of a request is not valid; `undefined`: one of the secrets has signed it.
 *
 * @param now seconds since 1970
 */
export function signatureProblem(
  secrets: readonly Buffer[],
  { id, timestamp, signature }: SignedHeaders,
  body: Buffer,
  now: number
): string | undefined {
  if (id === undefined || timestamp === undefined || signature === undefined) return 'has no signature'
  if (!/^\d{1,12}$/.test(timestamp)) return 'has no timestamp'
  if (Math.abs(now - Number(timestamp)) > TOLERANCE_SECONDS)
    return 'has a timestamp of more than five minutes ago or ahead'
  const good = signatureOf(secrets, id, Number(timestamp), body).split(' ')
  const isSigned = signature.split(' ').some(one => good.some(other => isSame(one, other)))
  return isSigned ? undefined : 'has the signature of another secret'
}

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))
