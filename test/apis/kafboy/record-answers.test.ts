import { expect } from 'chai'
import { toldOf } from '../../../src/apis/kafboy/record-answers.js'
import type { ErrorCode } from '../../../src/core/errors.js'
import { failure } from '../../support/fake-verbs.js'

/** Numbers of Kafka's protocol; words where it has none. 502: refused, 503: it may go better soon, 504: no answer. */
const told: Record<ErrorCode, string> = {
  invalidRequest: '502 invalid',
  invalidTopic: '502 17',
  invalidConfig: '502 invalid',
  recordTooLarge: '502 10',
  recordRejected: '502 87',
  batchTooLarge: '502 10',
  unknownTopic: '502 3',
  unknownPartition: '502 3',
  notAuthorized: '502 29',
  authenticationFailed: '503 downtime',
  unauthenticated: '502 unauthenticated',
  forbidden: '502 forbidden',
  quotaExceeded: '503 quota exceeded',
  issuerUnreachable: '503 downtime',
  registryUnreachable: '503 downtime',
  logUnavailable: '503 durable log unavailable',
  overloaded: '503 system queue full',
  shuttingDown: '503 shutting down',
  peerAway: '503 downtime',
  brokerUnreachable: '503 downtime',
  clusterChanged: '503 downtime',
  noLeader: '503 5',
  timedOut: '504 timeout',
  aborted: '504 timeout',
  protocol: '502 -1',
  kafka: '502 -1'
}

describe('kafboy: the answer for a record that failed', () => {
  it('is a number or a word, and a status', () => {
    const codes = Object.keys(told) as ErrorCode[]
    const said = codes.map(code => {
      const { error, status } = toldOf(failure(code), true)
      return [code, `${status} ${error}`]
    })
    expect(Object.fromEntries(said)).to.deep.equal(told)
  })

  it('is the broker’s number where there is one', () => {
    expect(toldOf(failure('kafka', 56), true)).to.deep.equal({ error: 56, status: 502 })
    expect(toldOf(failure('noLeader', 6), true)).to.deep.equal({ error: 6, status: 503 })
  })

  it('is a downtime where the time is over and no broker can be reached', () => {
    expect(toldOf(failure('timedOut', 7), false)).to.deep.equal({ error: 'downtime', status: 503 })
    expect(toldOf(failure('timedOut', 7), true)).to.deep.equal({ error: 7, status: 504 })
    expect(toldOf(failure('kafka'), false)).to.deep.equal({ error: -1, status: 502 })
  })
})
