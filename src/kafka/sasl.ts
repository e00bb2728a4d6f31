import type { KafkajsSasl, SaslAuthenticationProvider } from 'kafkajs/src/network/connection.js'
import { UnavailableError } from '../core/errors.js'
import type { SaslOptions } from './connection-options.js'

/** The settings in the form of kafkajs. A new object each time, because kafkajs writes into it. */
export function toKafkajsSasl(sasl: SaslOptions): KafkajsSasl {
  if (sasl.mechanism === 'oauthbearer') {
    return { mechanism: 'oauthbearer', authenticationProvider: oauthBearer(sasl) }
  }
  return { mechanism: sasl.mechanism, username: sasl.username, password: sasl.password }
}

/**
 * OAUTHBEARER. kafkajs takes every answer of the broker for a success, but a refusal comes with code 0 as a challenge with a
 * text in it. Source: RFC 7628, 3.1 and 3.2.2; KIP-255
 */
const oauthBearer =
  ({ token, refused }: SaslOptions & { mechanism: 'oauthbearer' }): SaslAuthenticationProvider =>
  ({ saslAuthenticate }) => ({
    async authenticate() {
      const value = typeof token === 'string' ? token : await token()
      const challenge = await saslAuthenticate({
        request: { encode: () => withLength(Buffer.from(`n,,\u0001auth=Bearer ${value}\u0001\u0001`)) },
        response: { decode: bytes => bytes, parse: bytes => bytes.subarray(4).toString() }
      }).catch(error => {
        refused?.(value)
        throw error
      })
      if (challenge === '') return
      refused?.(value)
      throw new UnavailableError('authenticationFailed', `the broker refuses the token: ${challenge}`)
    }
  })

function withLength(bytes: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(4 + bytes.length)
  framed.writeInt32BE(bytes.length)
  framed.set(bytes, 4)
  return framed
}
