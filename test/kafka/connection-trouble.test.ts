import { expect } from 'chai'
import {
  connectionLost,
  connectionRefused,
  type LostConnection,
  speaksAnotherProtocol
} from '../../src/kafka/connection-trouble.js'
import { ForeignProtocolError } from '../../src/kafka/socket.js'
import { checkRows } from '../support/rows.js'

const NAME = 'broker.test:9092'
const failure = (code: string | undefined, message = 'what the system says'): NodeJS.ErrnoException =>
  Object.assign(new Error(message), code === undefined ? {} : { code })
const told = (code: string | undefined, isTls = false, message?: string): string =>
  connectionRefused(NAME, failure(code, message), isTls).message

describe('the reason why there is no connection to a broker', () => {
  const advice: Record<string, RegExp> = {
    ECONNREFUSED: /connection refused; is a broker running there\?/,
    ENOTFOUND: /cannot be resolved; is it spelt right\?/,
    EAI_AGAIN: /at the moment; does the name server answer\?/,
    EHOSTUNREACH: /no route to the host/,
    ENETUNREACH: /no route to the host/,
    ETIMEDOUT: /no answer in time/,
    ECONNRESET: /the broker closed the connection/,
    ERR_SSL_WRONG_VERSION_NUMBER: /does not speak TLS on this port; set tls\.enabled to false/,
    ERR_SSL_PACKET_LENGTH_TOO_LONG: /does not speak TLS on this port; set tls\.enabled to false/,
    DEPTH_ZERO_SELF_SIGNED_CERT: /is self-signed; name the authority with tls\.caFile/,
    SELF_SIGNED_CERT_IN_CHAIN: /is self-signed; name the authority with tls\.caFile/,
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: /not signed by a trusted authority; name the authority with tls\.caFile/,
    UNABLE_TO_GET_ISSUER_CERT: /not signed by a trusted authority; name the authority with tls\.caFile/,
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: /not signed by a trusted authority; name the authority with tls\.caFile/,
    CERT_HAS_EXPIRED: /has expired/,
    CERT_NOT_YET_VALID: /not valid yet; is the clock right\?/,
    ERR_TLS_CERT_ALTNAME_INVALID: /for other names; use one of its names as address, or set tls\.serverName/
  }
  it('tells what to check, for each code of the system', () =>
    checkRows(Object.entries(advice), ([code, text]) =>
      expect(told(code))
        .to.match(text)
        .and.to.match(new RegExp(`^no connection to broker\\.test:9092: .*[^;] \\(${code}\\)$`))
    ))

  it('is short for those who know the broker, and has the error that it comes from', () => {
    const error = failure('ECONNREFUSED')
    const refused = connectionRefused(NAME, error, false)
    expect(refused).to.include({ code: 'brokerUnreachable', brief: 'connection refused', cause: error })
  })

  it('is what the system says where its code is not known, in one line and without a code that is not there', () => {
    expect(told('EWHATEVER', false, 'first line\nsecond line')).to.equal(
      `no connection to ${NAME}: first line (EWHATEVER)`
    )
    expect(told(undefined, false, '')).to.equal(`no connection to ${NAME}: it could not be opened`)
  })

  it('is about the handshake where TLS is wanted', () => {
    expect(told('ECONNRESET', true)).to.contain('during the TLS handshake; is it a TLS port?')
    for (const [code, message] of [
      ['EPROTO', 'ssl3_read_bytes:TLSv1 Alert unknown ca'],
      ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'x']
    ] as const) {
      expect(told(code, true, message)).to.contain('refuses the TLS handshake; it may want a client certificate')
    }
    expect(told('EPROTO', true, 'wrong version number')).to.contain('does not speak TLS on this port')
    for (const code of ['ALERT', 'XERR_SSL_ALERT', 'ERR_SSLALERT'])
      expect(told(code, true)).to.contain('what the system')
  })

  it('is that the authority that was named has not signed the certificate', () => {
    for (const code of [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
    ]) {
      const { message } = connectionRefused(NAME, failure(code), true, true)
      expect(message).to.match(/; tls\.caFile has no authority that has signed it: name that one \(/)
    }
    expect(connectionRefused(NAME, failure('CERT_HAS_EXPIRED'), true, true).message).to.match(/has expired \(/)
  })

  it('is that another protocol is spoken there', () => {
    const http = speaksAnotherProtocol(NAME, new ForeignProtocolError('HTTP'))
    expect(http.message).to.equal(
      `no connection to ${NAME}: it answers in HTTP, not in Kafka's protocol; use the port of a broker`
    )
    expect(http).to.include({ code: 'brokerUnreachable', brief: "it answers in HTTP, not in Kafka's protocol" })
    expect(speaksAnotherProtocol(NAME, new ForeignProtocolError('TLS')).message).to.contain('set tls.enabled to true')
  })
})

describe('the reason why a connection to a broker was lost', () => {
  const lost = (more: Partial<LostConnection>): string =>
    connectionLost(NAME, {
      isConnected: true,
      isTls: false,
      hasLogin: false,
      answers: 0,
      isWaiting: true,
      ...more
    }).message
  const PLAIN = `${NAME} closed the connection`

  it('may be that TLS is expected, where the first request has no answer', () => {
    expect(lost({})).to.equal(`${PLAIN} before it answered; does it expect TLS? (tls.enabled)`)
    for (const other of [{ isWaiting: false }, { isTls: true }, { answers: 3 }]) expect(lost(other)).to.equal(PLAIN)
  })

  it('may be that a login is expected, where the first request after the greeting has no answer', () => {
    for (const answers of [1, 2]) {
      expect(lost({ answers })).to.equal(`${PLAIN} at the first request; does it expect a login? (sasl)`)
      for (const other of [{ isWaiting: false }, { hasLogin: true }]) {
        expect(lost({ answers, ...other })).to.equal(PLAIN)
      }
      expect(lost({ answers, isTls: true })).to.contain('a login?')
    }
  })

  it('is the handshake where TLS was not ready yet', () => {
    const during = connectionLost(NAME, {
      isConnected: false,
      isTls: true,
      hasLogin: false,
      answers: 0,
      isWaiting: false
    })
    expect(during.message).to.equal(
      `no connection to ${NAME}: the broker closed the connection during the TLS handshake; is it a TLS port? (tls.enabled)`
    )
    expect(during).to.include({ brief: 'the broker closed the connection during the TLS handshake' })
    expect(lost({ isConnected: false })).to.contain('does it expect TLS?')
    expect(
      connectionLost(NAME, { isConnected: true, isTls: true, hasLogin: true, answers: 9, isWaiting: true })
    ).to.include({ code: 'brokerUnreachable', brief: 'the broker closed the connection' })
  })
})
