import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { SaslExchange } from './sasl-exchange.js'

const ITERATIONS = 4096
type Hash = 'sha256' | 'sha512'

/** The server's half of SCRAM (RFC 5802), without channel binding. */
export class ScramExchange implements SaslExchange {
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
