import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto'
import { NOTHING } from '../core/bytes.js'
import type { SaslOptions } from './embedded-cluster.js'

const BEARER = 'auth=Bearer '

/** PLAIN. The message is `authorization NUL user NUL password`. */
const plain = ({ users }: SaslOptions): SaslExchange => ({
  step(message) {
    const [, user = '', password] = message.toString().split('\0')
    if (password === undefined || users?.get(user) !== password) throw new Error('invalid user or password')
    return { answer: NOTHING, principal: user }
  }
})

/**
 * OAUTHBEARER. The message is `n,,\x01auth=Bearer TOKEN\x01\x01` (RFC 7628). All configured tokens are accepted, and
 * the principal is the token itself.
 */
const oauthBearer = ({ tokens }: SaslOptions): SaslExchange => ({
  step(message) {
    const parts = message.toString().split('\x01')
    const token = parts.find(part => part.startsWith(BEARER))?.slice(BEARER.length)
    if (token === undefined || !tokens?.has(token)) throw new Error('invalid token')
    return { answer: NOTHING, principal: token }
  }
})

export function saslMechanisms(options: SaslOptions): ReadonlyMap<string, () => SaslExchange> {
  const mechanisms = new Map<string, () => SaslExchange>()
  const { users } = options
  if (users) {
    mechanisms.set('PLAIN', () => plain(options))
    mechanisms.set('SCRAM-SHA-256', () => new ScramExchange('sha256', users))
    mechanisms.set('SCRAM-SHA-512', () => new ScramExchange('sha512', users))
  }
  if (options.tokens) mechanisms.set('OAUTHBEARER', () => oauthBearer(options))
  return mechanisms
}

/** The server's half of a SASL mechanism. */
export interface SaslExchange {
  /** @throws Error when authentication fails. */
  step(message: Buffer): { readonly answer: Buffer; readonly principal?: string }
}

const ITERATIONS = 4096
type Hash = 'sha256' | 'sha512'

/** The server's half of SCRAM (RFC 5802), without channel binding. */
class ScramExchange implements SaslExchange {
  readonly #hash: Hash
  readonly #users: ReadonlyMap<string, string>
  #user = ''
  #clientFirst = ''
  #serverFirst = ''
  #salted: Buffer | undefined

  constructor(hash: Hash, users: ReadonlyMap<string, string>) {
    this.#hash = hash
    this.#users = users
  }

  step(message: Buffer): { readonly answer: Buffer; readonly principal?: string } {
    const text = message.toString()
    return this.#salted ? this.#finish(text, this.#salted) : { answer: this.#begin(text) }
  }

  #begin(text: string): Buffer {
    const [, clientFirst, escapedUser, clientNonce] = /^n,[^,]*,(n=([^,]*),r=([^,]+).*)$/.exec(text) ?? []
    if (clientFirst === undefined) throw new Error('this is not a SCRAM message')
    this.#user = escapedUser!.replaceAll('=2C', ',').replaceAll('=3D', '=')
    const password = this.#users.get(this.#user)
    if (password === undefined) throw new Error('invalid user or password')
    const salt = randomBytes(16)
    const bytes = this.#hash === 'sha256' ? 32 : 64
    this.#salted = pbkdf2Sync(password, salt, ITERATIONS, bytes, this.#hash)
    this.#clientFirst = clientFirst
    const nonce = `${clientNonce}${randomBytes(18).toString('hex')}`
    this.#serverFirst = `r=${nonce},s=${salt.toString('base64')},i=${ITERATIONS}`
    return Buffer.from(this.#serverFirst)
  }

  #finish(text: string, salted: Buffer): { readonly answer: Buffer; readonly principal: string } {
    const [, withoutProof, nonce, proof] = /^(c=[^,]+,r=([^,]+).*),p=([^,]+)$/.exec(text) ?? []
    if (withoutProof === undefined || !this.#serverFirst.startsWith(`r=${nonce},`)) throw new Error('wrong nonce')
    const signed = `${this.#clientFirst},${this.#serverFirst},${withoutProof}`
    const storedKey = createHash(this.#hash).update(this.#hmac(salted, 'Client Key')).digest()
    const signature = this.#hmac(storedKey, signed)
    const clientKey = Buffer.from(proof!, 'base64')
    if (clientKey.length !== signature.length) throw new Error('invalid user or password')
    for (let at = 0; at < signature.length; at++) clientKey[at]! ^= signature[at]!
    if (!timingSafeEqual(createHash(this.#hash).update(clientKey).digest(), storedKey)) {
      throw new Error('invalid user or password')
    }
    const proofOfServer = this.#hmac(this.#hmac(salted, 'Server Key'), signed)
    return { answer: Buffer.from(`v=${proofOfServer.toString('base64')}`), principal: this.#user }
  }

  #hmac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest()
  }
}
