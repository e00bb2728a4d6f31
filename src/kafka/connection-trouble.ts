import { UnavailableError } from '../core/errors.js'
import { foreignTexts } from '../core/foreign-texts.js'
import type { ForeignProtocol, ForeignProtocolError } from './socket.js'

/** The cause of a failed connection, without the address of the broker, and advice on what to check. */
interface ConnectionTrouble {
  readonly brief: string
  readonly advice?: string
}

const notTls: ConnectionTrouble = {
  brief: 'the broker does not speak TLS on this port',
  advice: 'set tls.enabled to false, or use its TLS port'
}
const cutHandshake: ConnectionTrouble = {
  brief: 'the broker closed the connection during the TLS handshake',
  advice: 'is it a TLS port? (tls.enabled)'
}
const refusedHandshake: ConnectionTrouble = {
  brief: 'the broker refuses the TLS handshake',
  advice: 'it may want a client certificate (tls.certFile, tls.keyFile)'
}
const unknownAuthority: ConnectionTrouble = {
  brief: 'the certificate of the broker is not signed by a trusted authority',
  advice: 'name the authority with tls.caFile'
}
/** Where an authority is named. */
const OTHER_AUTHORITY = 'tls.caFile has no authority that has signed it: name that one'
const selfSigned: ConnectionTrouble = { ...unknownAuthority, brief: 'the certificate of the broker is self-signed' }
const noRoute: ConnectionTrouble = { brief: 'there is no route to the host' }

/** The causes by Node's error code. */
const troubles: ReadonlyMap<string, ConnectionTrouble> = new Map([
  ['ECONNREFUSED', { brief: 'connection refused', advice: 'is a broker running there?' }],
  ['ENOTFOUND', { brief: 'the host name cannot be resolved', advice: 'is it spelt right?' }],
  ['EAI_AGAIN', { brief: 'the host name cannot be resolved at the moment', advice: 'does the name server answer?' }],
  ['EHOSTUNREACH', noRoute],
  ['ENETUNREACH', noRoute],
  ['ETIMEDOUT', { brief: 'no answer in time' }],
  ['ECONNRESET', { brief: 'the broker closed the connection' }],
  ['ERR_SSL_WRONG_VERSION_NUMBER', notTls],
  ['ERR_SSL_PACKET_LENGTH_TOO_LONG', notTls],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', selfSigned],
  ['SELF_SIGNED_CERT_IN_CHAIN', selfSigned],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', unknownAuthority],
  ['UNABLE_TO_GET_ISSUER_CERT', unknownAuthority],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', unknownAuthority],
  ['CERT_HAS_EXPIRED', { brief: 'the certificate of the broker has expired' }],
  ['CERT_NOT_YET_VALID', { brief: 'the certificate of the broker is not valid yet', advice: 'is the clock right?' }],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    {
      brief: 'the certificate of the broker is for other names',
      advice: 'use one of its names as address, or set tls.serverName'
    }
  ]
])

/**
 * The error for a connection that could not be opened: the cause, and advice on what to check.
 *
 * @param name HOST:PORT of the broker
 * @param hasAuthority `tls.caFile` names authorities
 */
export function connectionRefused(
  name: string,
  error: NodeJS.ErrnoException,
  isTls: boolean,
  hasAuthority = false
): UnavailableError {
  const { brief, advice: general } = troubleOf(error, isTls)
  const advice = hasAuthority && general === unknownAuthority.advice ? OTHER_AUTHORITY : general
  const code = error.code === undefined ? '' : ` (${error.code})`
  const message = `no connection to ${name}: ${brief}${advice === undefined ? '' : `; ${advice}`}${code}`
  return new UnavailableError('brokerUnreachable', message, error, brief)
}

function troubleOf({ code = '', message }: NodeJS.ErrnoException, isTls: boolean): ConnectionTrouble {
  if (isTls && code === 'ECONNRESET') return cutHandshake
  // For some failures only the message of OpenSSL names the cause.
  if (code === 'EPROTO') return foreignTexts.OpenSSL.alert.test(message) ? refusedHandshake : notTls
  if (/^ERR_SSL_.*ALERT/.test(code)) return refusedHandshake
  return troubles.get(code) ?? { brief: message.split('\n')[0] || 'it could not be opened' }
}

export interface LostConnection {
  /** The connection was established, including TLS if it is used. */
  readonly isConnected: boolean
  readonly isTls: boolean
  readonly hasLogin: boolean
  /** Number of answers that were received. */
  readonly answers: number
  readonly isWaiting: boolean
}

/** Number of ApiVersions answers before a login. Castellan sends ApiVersions at most twice. */
const HELLO_ANSWERS = 2

/** The error for a connection that the broker closed. A broker that closes it early usually expects TLS or a login. */
export function connectionLost(name: string, lost: LostConnection): UnavailableError {
  if (lost.isTls && !lost.isConnected) {
    const { brief, advice } = cutHandshake
    return new UnavailableError('brokerUnreachable', `no connection to ${name}: ${brief}; ${advice}`, undefined, brief)
  }
  const how = howItWasLost(lost)
  const brief = `the broker closed the connection${how}`
  return new UnavailableError('brokerUnreachable', `${name} closed the connection${how}`, undefined, brief)
}

function howItWasLost({ answers, isWaiting, isTls, hasLogin }: LostConnection): string {
  if (isWaiting && answers === 0 && !isTls) return ' before it answered; does it expect TLS? (tls.enabled)'
  const isFirst = isWaiting && answers > 0 && answers <= HELLO_ANSWERS
  return isFirst && !hasLogin ? ' at the first request; does it expect a login? (sasl)' : ''
}

const adviceFor: Readonly<Record<ForeignProtocol, string>> = {
  HTTP: 'use the port of a broker',
  TLS: 'set tls.enabled to true, or use its port without TLS'
}

/** The error for a peer that is not a Kafka broker. */
export function speaksAnotherProtocol(name: string, error: ForeignProtocolError): UnavailableError {
  const brief = `it answers in ${error.protocol}, not in Kafka's protocol`
  const message = `no connection to ${name}: ${brief}; ${adviceFor[error.protocol]}`
  return new UnavailableError('brokerUnreachable', message, error, brief)
}
