import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Identity } from './identity.js'
import type { AuthSettings } from './settings.js'

const TOKEN_BYTES = 32
const TOKEN_PREFIX = 'castellan_'
const BUCKET_BYTES = 4

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** A new token and what to put into the configuration. 256 random bits need no slow hash: they cannot be guessed. */
export function makeToken(): { readonly token: string; readonly sha256: string } {
  const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url')
  return { token, sha256: sha256(token).toString('hex') }
}

interface StoredToken {
  readonly digest: Buffer
  readonly identity: Identity
}

/**
 * Tokens by their SHA-256. The first bytes of the digest choose the bucket; within it whole digests are compared in
 * constant time. Timing tells nothing about a token, because clients cannot choose digests.
 */
export class BearerTokens {
  readonly #buckets = new Map<number, StoredToken[]>()

  constructor(tokens: AuthSettings['tokens']) {
    for (const { principal, sha256: hex, expiresAt } of tokens) {
      const digest = Buffer.from(hex, 'hex')
      const validUntil = expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
      const bucket = digest.readUIntBE(0, BUCKET_BYTES)
      const stored = { digest, identity: { principal, method: 'token' as const, validUntil } }
      this.#buckets.set(bucket, [...(this.#buckets.get(bucket) ?? []), stored])
    }
  }

  /** The owner of a token, expired or not; `undefined`: the token is unknown. */
  find(token: string): Identity | undefined {
    const digest = sha256(token)
    const bucket = this.#buckets.get(digest.readUIntBE(0, BUCKET_BYTES)) ?? []
    return bucket.find(stored => timingSafeEqual(stored.digest, digest))?.identity
  }
}
