import { expect } from 'chai'
import { recordRefusalOf, toClientError } from '../../../src/apis/kprf/record-errors.js'
import type { ErrorCode } from '../../../src/core/errors.js'
import { failure } from '../../support/fake-verbs.js'

/** Source: numbers, names and texts of librdkafka 1.6.0 (rdkafka.h, rd_kafka_err_descs) and rdkafka. */
const authentication = 'Authentication (Local: Authentication failure) -169'
const invalidArgument = 'InvalidArgument (Local: Invalid argument or configuration) -186'
const tooLarge = 'MessageSizeTooLarge (Broker: Message size too large) 10'
const timedOut = 'MessageTimedOut (Local: Message timed out) -192'
const queueFull = 'QueueFull (Local: Queue full) -184'
const topicAuthorization = 'TopicAuthorizationFailed (Broker: Topic authorization failed) 29'
const unknown = 'Unknown (Unknown broker error) -1'

const byCode: Record<ErrorCode, string> = {
  invalidRequest: invalidArgument,
  invalidTopic: 'InvalidTopic (Broker: Invalid topic) 17',
  invalidConfig: invalidArgument,
  recordTooLarge: tooLarge,
  recordRejected: 'InvalidRecord (Broker: Broker failed to validate record) 87',
  batchTooLarge: tooLarge,
  unknownTopic: 'UnknownTopic (Local: Unknown topic) -188',
  unknownPartition: 'UnknownPartition (Local: Unknown partition) -190',
  notAuthorized: topicAuthorization,
  authenticationFailed: authentication,
  unauthenticated: authentication,
  forbidden: topicAuthorization,
  quotaExceeded: queueFull,
  issuerUnreachable: authentication,
  registryUnreachable: queueFull,
  overloaded: queueFull,
  peerAway: queueFull,
  logUnavailable: queueFull,
  shuttingDown: 'PurgeQueue (Local: Purged in queue) -152',
  brokerUnreachable: timedOut,
  clusterChanged: timedOut,
  noLeader: timedOut,
  timedOut,
  aborted: timedOut,
  protocol: 'BadMessage (Local: Bad message format) -199',
  kafka: unknown
}

const byBrokerCode = new Map([
  [2, 'InvalidMessage (Broker: Invalid message) 2'],
  [10, tooLarge],
  [18, 'MessageBatchTooLarge (Broker: Message batch larger than configured server segment size) 18'],
  [21, 'InvalidRequiredAcks (Broker: Invalid required acks value) 21'],
  [29, topicAuthorization],
  [31, 'ClusterAuthorizationFailed (Broker: Cluster authorization failed) 31'],
  [32, 'InvalidTimestamp (Broker: Invalid timestamp) 32'],
  [44, 'PolicyViolation (Broker: Policy violation) 44'],
  [53, 'TransactionalIdAuthorizationFailed (Broker: Transactional Id authorization failed) 53'],
  [56, 'KafkaStorageError (Broker: Disk error when trying to access log file on disk) 56'],
  [76, 'UnsupportedCompressionType (Broker: Unsupported compression type) 76'],
  [87, 'InvalidRecord (Broker: Broker failed to validate record) 87']
])

const called = (code: ErrorCode, errorCode?: number): string => {
  const { text, number } = toClientError(failure(code, errorCode))
  return `${text} ${number}`
}

describe('kprf: the errors of records', () => {
  it('have the text and the number of the client library for each of Castellan’s codes', () => {
    const codes = Object.keys(byCode) as ErrorCode[]
    expect(Object.fromEntries(codes.map(code => [code, called(code)]))).to.deep.equal(byCode)
  })

  it('have those of the broker’s code where it has refused the record', () => {
    for (const code of ['recordTooLarge', 'recordRejected', 'notAuthorized', 'kafka'] as const) {
      const found = [...byBrokerCode.keys()].map(number => called(code, number))
      expect(found, code).to.deep.equal([...byBrokerCode.values()])
      expect(called(code, 9_999), code).to.equal(byCode[code])
    }
  })

  it('are not asked of the broker’s code where kprf could only time out', () => {
    for (const code of ['timedOut', 'noLeader', 'brokerUnreachable', 'unknownTopic'] as const) {
      expect(called(code, 56), code).to.equal(byCode[code])
    }
  })

  it('of a request refused as a whole are one text, a quota that of a rate limit', () => {
    expect(recordRefusalOf('quotaExceeded')).to.equal('ratelimit')
    expect(recordRefusalOf('overloaded')).to.equal('Message production error: QueueFull (Local: Queue full)')
  })
})
