import { createHash, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import type { Identity } from './access.js'
import type { AuthSettings } from './settings.js'
import type { VerifiedCredentials } from './verification.js'

/** 32 MiB and about 80 ms per guess. */
const LN = 15
const R = 8
const P = 1
const SALT_BYTES = 16
const HASH_BYTES = 32

export interface PasswordHash {
  readonly options: ScryptOptions
  readonly salt: Buffer
  readonly hash: Buffer
}

/** `$scrypt$ln=15,r=8,p=1$SALT$HASH`, the form in which password hashes are commonly written. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, { options: optionsOf(LN, R, P), salt, hash: Buffer.alloc(HASH_BYTES) })
  return `$scrypt$ln=${LN},r=${R},p=${P}$${unpadded(salt)}$${unpadded(hash)}`
}

/** Parses a hash whose form the configuration has checked. */
export function parsePasswordHash(text: string): PasswordHash {
  const [, , cost = '', salt = '', hash = ''] = text.split('$')
  const [ln = 0, r = 0, p = 0] = [...cost.matchAll(/\d+/g)].map(Number)
  return { options: optionsOf(ln, r, p), salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') }
}

/** Derives a key in the thread pool; takes tens of milliseconds and tens of megabytes. */
export async function verifyPassword(password: string, expected: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, expected), expected.hash)
}

function optionsOf(ln: number, r: number, p: number): ScryptOptions {
  const cost = 2 ** ln
  return { N: cost, r, p, maxmem: 256 * cost * r + 1024 * 1024 }
}

const derive = (password: string, { options, salt, hash }: PasswordHash): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, hash.length, options, (error, key) =>
      error ? reject(error) : resolve(key)
    )
  })

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')

/** A user name and a password, as `Authorization: Basic` carries them. */
export interface Login {
  readonly username: string
  readonly password: string
}

/**
 * Decodes the credentials of `Basic`: base64 of `USERNAME:PASSWORD` in UTF-8.
 *
 * @returns `undefined` when it is something else
 */
export function parseLogin(text: string): Login | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  const decoded = Buffer.from(text, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  if (colon < 0) return undefined
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}

interface User {
  readonly principal: string
  readonly passwordHash: PasswordHash
  readonly text: string
}

export class Users {
  readonly #byName: ReadonlyMap<string, User>
  readonly #texts: ReadonlySet<string>
  /** Matches no password. */
  readonly #impossible: PasswordHash

  constructor(users: AuthSettings['users']) {
    this.#byName = new Map(
      users.map(({ username, principal = username, passwordHash }) => [
        username,
        {
          principal,
          passwordHash: parsePasswordHash(passwordHash),
          text: JSON.stringify([username, principal, passwordHash])
        }
      ])
    )
    this.#texts = new Set(Array.from(this.#byName.values(), ({ text }) => text))
    // Has the cost of the other hashes, so that the time of an answer does not reveal whether a user exists.
    const [first] = this.#byName.values()
    const { options } = first?.passwordHash ?? { options: optionsOf(LN, R, P) }
    this.#impossible = { options, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) }
  }

  /**
   * The user who logs in; `undefined`: the name or the password is wrong. It takes the same time for a name that does
   * not exist.
   */
  async verify({ username, password }: Login): Promise<VerifiedCredentials | undefined> {
    const user = this.#byName.get(username)
    const isRight = await verifyPassword(password, user?.passwordHash ?? this.#impossible)
    if (!isRight || !user) return undefined
    const identity = { principal: user.principal, method: 'password', validUntil: Number.POSITIVE_INFINITY } as const
    return { identity, user: user.text }
  }

  /** Whether a user who has logged in elsewhere is here with the same principal and password. */
  has(user: string): boolean {
    return this.#texts.has(user)
  }
}

const TOKEN_BYTES = 32
const TOKEN_PREFIX = 'castellan_'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** A new token and what to put into the configuration. 256 random bits need no slow hash: they cannot be guessed. */
export function makeToken(): { readonly token: string; readonly sha256: string } {
  const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url')
  return { token, sha256: sha256(token) }
}

/** Tokens by their SHA-256. Timing reveals nothing about a token, because clients cannot choose digests. */
export class BearerTokens {
  readonly #identities = new Map<string, Identity>()

  constructor(tokens: AuthSettings['tokens']) {
    for (const { principal, sha256: hex, expiresAt } of tokens) {
      const validUntil = expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
      const digest = hex.toLowerCase()
      // The first of several with the same token counts.
      if (!this.#identities.has(digest)) this.#identities.set(digest, { principal, method: 'token', validUntil })
    }
  }

  /** The owner of a token, expired or not; `undefined`: the token is unknown. */
  find(token: string): Identity | undefined {
    return this.#identities.get(sha256(token))
  }
}
