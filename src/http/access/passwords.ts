import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'

/** 32 MiB and about 80 ms per guess. */
const LN = 15
const R = 8
const P = 1
const SALT_BYTES = 16
const HASH_BYTES = 32

/** A parsed password hash. */
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

/** A hash that matches no password; verifying it takes as long as verifying any other of the same cost. */
export const impossibleHash = (options = optionsOf(LN, R, P)): PasswordHash => ({
  options,
  salt: randomBytes(SALT_BYTES),
  hash: randomBytes(HASH_BYTES)
})

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
