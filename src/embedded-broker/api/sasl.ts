import { NOTHING } from '../../core/bytes.js'
import { messageOf } from '../../core/node-errors.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { type Call, defineApi, type ServedApi } from './api.js'

const saslHandshake = defineApi({
  key: 17,
  name: 'SaslHandshake',
  // Version 0 is announced, because librdkafka looks for it. It is not served, because clients that know version 1 do
  // not send the unframed tokens of version 0.
  minVersion: 0,
  servedFrom: 1,
  maxVersion: 1,
  read: reader => ({ mechanism: reader.string() }),
  answer({ mechanism }, { response, faults, peer, cluster }) {
    const mechanisms = cluster.options.saslMechanisms
    const injected = faults.before()
    const exchange = injected ? undefined : mechanisms?.get(mechanism)?.()
    if (exchange) peer.sasl = exchange
    const refusal = mechanisms ? errorCodes.UNSUPPORTED_SASL_MECHANISM : errorCodes.ILLEGAL_SASL_STATE
    response.int16(injected || faults.after() || (exchange ? errorCodes.NONE : refusal))
    response.array([...(mechanisms?.keys() ?? [])], name => response.string(name))
  }
})

const saslAuthenticate = defineApi({
  key: 36,
  name: 'SaslAuthenticate',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  read: reader => ({ token: reader.bytes() }),
  answer({ token }, call) {
    const injected = call.faults.before()
    if (injected) return write(call, injected, 'injected', NOTHING)
    const { peer } = call
    if (!peer.sasl) return write(call, errorCodes.ILLEGAL_SASL_STATE, 'SaslHandshake comes first', NOTHING)
    try {
      const { answer, principal } = peer.sasl.step(token)
      if (principal !== undefined) peer.principal = principal
      write(call, call.faults.after(), null, answer)
    } catch (error) {
      peer.sasl = undefined
      call.hangUp = true
      write(call, errorCodes.SASL_AUTHENTICATION_FAILED, `Authentication failed: ${messageOf(error)}`, NOTHING)
    }
  }
})

function write({ response, version }: Call, errorCode: number, message: string | null, answer: Buffer): void {
  response.int16(errorCode).nullableString(message).bytes(answer)
  if (version >= 1) response.int64(0)
}

export const sasl: readonly ServedApi[] = [saslHandshake, saslAuthenticate]
/** The APIs that a client may call before it is authenticated. */
export const openToStrangers: ReadonlySet<number> = new Set([18, 17, 36])
