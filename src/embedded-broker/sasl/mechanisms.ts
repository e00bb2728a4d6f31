import type { SaslOptions } from '../embedded-cluster.js'
import type { SaslExchange } from './sasl-exchange.js'
import { ScramExchange } from './scram.js'

const NOTHING = Buffer.alloc(0)
const BEARER = 'auth=Bearer '

/** `authorization NUL user NUL password`. */
const plain = ({ users }: SaslOptions): SaslExchange => ({
  step(message) {
    const [, user = '', password] = message.toString().split('\0')
    if (password === undefined || users?.get(user) !== password) throw new Error('invalid user or password')
    return { answer: NOTHING, principal: user }
  }
})

/** RFC 7628: `n,,\x01auth=Bearer TOKEN\x01\x01`. Any of the given tokens is good; its owner is the token itself. */
const oauthBearer = ({ tokens }: SaslOptions): SaslExchange => ({
  step(message) {
    const parts = message.toString().split('\x01')
    const token = parts.find(part => part.startsWith(BEARER))?.slice(BEARER.length)
    if (token === undefined || !tokens?.has(token)) throw new Error('invalid token')
    return { answer: NOTHING, principal: token }
  }
})

/** The mechanisms of this cluster. */
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
