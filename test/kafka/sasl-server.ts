import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { ResponseBuilder } from '../support/response-builder.js'
import type { ScriptedReply, ScriptedRequest } from '../support/scripted-broker.js'

const SASL_HANDSHAKE = 17
const SASL_AUTHENTICATE = 36
const AUTHENTICATION_FAILED = 58
const ITERATIONS = 4096

/** One login: gets the client's messages in turn, answers each; `null` refuses. */
export type SaslServer = (message: Buffer) => Buffer | null

/** PLAIN of RFC 4616. */
export const plainServer =
  (username: string, password: string): SaslServer =>
  message =>
    message.equals(Buffer.from(`\0${username}\0${password}`)) ? Buffer.alloc(0) : null

/** SCRAM of RFC 5802, the server's half. */
export function scramServer(digest: 'sha256' | 'sha512', username: string, password: string): SaslServer {
  const length = digest === 'sha256' ? 32 : 64
  const hmac = (key: Buffer, text: string) => createHmac(digest, key).update(text).digest()
  const salt = randomBytes(12)
  const salted = pbkdf2Sync(password, salt, ITERATIONS, length, digest)
  let first = ''
  let challenge = ''
  return message => {
    const text = message.toString()
    if (first === '') {
      first = text.replace('n,,', '')
      if (!first.startsWith(`n=${username},r=`)) return null
      challenge = `r=${first.split(',r=')[1]}server,s=${salt.toString('base64')},i=${ITERATIONS}`
      return Buffer.from(challenge)
    }
    const [withoutProof, proof] = text.split(',p=')
    const authMessage = `${first},${challenge},${withoutProof}`
    const clientKey = hmac(salted, 'Client Key')
    const signature = hmac(createHash(digest).update(clientKey).digest(), authMessage)
    const expected = clientKey.map((byte, index) => byte ^ signature[index]!)
    if (!Buffer.from(proof!, 'base64').equals(Buffer.from(expected))) return null
    return Buffer.from(`v=${hmac(hmac(salted, 'Server Key'), authMessage).toString('base64')}`)
  }
}

/** Answers SaslHandshake and SaslAuthenticate by a new server per login; false for other requests. */
export function answerSasl(mechanism: string, login: () => SaslServer, sessionLifetimeMs: () => number) {
  let server = login()
  return ({ apiKey, body }: ScriptedRequest, reply: ScriptedReply): boolean => {
    if (apiKey === SASL_HANDSHAKE) {
      server = login()
      const asked = body.toString('utf8', 2)
      const builder = new ResponseBuilder().int16(asked === mechanism ? 0 : 33)
      reply.payload(builder.array([mechanism], name => builder.string(name)).payload)
      return true
    }
    if (apiKey !== SASL_AUTHENTICATE) return false
    const answer = server(body.subarray(4))
    const builder = new ResponseBuilder()
    if (answer === null) builder.int16(AUTHENTICATION_FAILED).string('who are you?').bytes(Buffer.alloc(0)).int64(0)
    else builder.int16(0).string(null).bytes(answer).int64(sessionLifetimeMs())
    reply.payload(builder.payload)
    return true
  }
}
