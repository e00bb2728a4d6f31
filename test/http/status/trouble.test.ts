import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import {
  type OpenTransactionRow,
  type QueueRow,
  statusSchema,
  type TopicRow,
  type Trouble,
  type WebhookRow
} from '../../../src/http/status/status.js'
import { type Judged, quietTroubleOf, RANKS, troubleOf as rowsOf } from '../../../src/http/status/trouble.js'
import { type TroubleApart, troubleApartOf } from '../../../src/http/status/words-apart.js'
import { VERB_FACTS, type VerbFacts } from '../../../src/verbs/facts.js'
import { BEYOND_END } from '../../../src/verbs/lag.js'
import { calm, calmTopic } from './calm.js'

/** Names and texts of others that the tests of this file use. */
const FOREIGN = ['orders', 'billing', 'connection refused', 'kafka-1:9092', 'not authorized for']
const MANY = 60
const DAY_MS = 86_400_000

const withTopic = (topic: Partial<TopicRow>): Judged => ({
  ...calm,
  topics: { total: 1, rows: [{ ...calmTopic, ...topic }] }
})
const withProcess = (process: Partial<Judged['process']>): Judged => ({
  ...calm,
  process: { ...calm.process, ...process }
})
const stuckAt = (troubled: TopicRow['troubled']): Judged =>
  withTopic({ state: 'stuck', troubled, troubledPartitions: troubled.length })

/** The kinds of trouble that the tests of this file have raised. */
const raised = new Set<string>()
const troubleOf: typeof rowsOf = (...asked) => {
  const rows = rowsOf(...asked)
  for (const { kind } of rows) raised.add(kind)
  const apart = troubleApartOf(...asked).map(filled)
  // Which of very many topics are left out is another matter.
  if (rows.length < MANY) expect(apart, 'with words of others apart').to.have.deep.members(rows)
  return rows
}

/** @throws where a word of others stands in a sentence */
function filled({ words, ...row }: TroubleApart): Trouble {
  const fill = (text: string): string => {
    for (const word of FOREIGN) expect(text).not.to.include(word)
    return text.replace(/\{(w\d+)\}/g, (_, place: string) => words[place]!)
  }
  const { severity, ...texts } = row
  const all = Object.entries(texts).map(([name, text]) => [name, fill(text)])
  return { severity, ...Object.fromEntries(all) } as Trouble
}

/** The only trouble of a status. */
function onlyOf(status: Judged): Trouble {
  const all = troubleOf(status)
  expect(all).to.have.length(1)
  return all[0]!
}

describe('trouble', () => {
  it('is none where nothing is wrong, and where records flow', () => {
    expect(troubleOf(calm)).to.deep.equal([])
    expect(troubleOf(withTopic({}))).to.deep.equal([])
  })

  it('names the reason why no broker answers, and leaves out the topics that wait for them', () => {
    const status = stuckAt([{ partition: 0, state: 'awaiting', attempts: 1 }])
    const row = onlyOf({
      ...status,
      clusters: [{ name: 'default', isReady: false, away: 'connection refused', brokers: [] }],
      gateway: {
        ...calm.gateway,
        isReady: false,
        reasons: ['no broker of cluster default answers: connection refused']
      }
    })
    expect(row).to.include({ severity: 'bad', kind: 'brokersAway', see: 'clusters.default.brokers' })
    expect(row.cause).to.equal('No broker answers: connection refused.')
  })

  const refusing = (error: string, status: Judged = calm): Judged => ({
    ...status,
    clusters: [{ ...calm.clusters[0]!, idRefused: { error, message: `${error}: no` } }]
  })

  it('says which right is missing where Kafka gives no producer id, and leaves out the topics that wait for it', () => {
    const row = onlyOf(refusing('CLUSTER_AUTHORIZATION_FAILED', withTopic({ state: 'refused' })))
    expect(row).to.include({
      severity: 'bad',
      kind: 'idRefused',
      subject: 'cluster default',
      cause: 'Kafka gives this gateway no producer id, so no record can be written: CLUSTER_AUTHORIZATION_FAILED: no.',
      see: 'docs/status.md#idrefused'
    })
    expect(row.next).to.match(/^Grant Write on a topic to the user of clusters\.default\.sasl; before Kafka 2\.8 /)
    expect(onlyOf(refusing('UNSUPPORTED_VERSION')).next).to.match(/^This Kafka has no idempotent writes/)
    const [cluster] = refusing('UNSUPPORTED_VERSION').clusters
    const away = troubleOf({ ...calm, clusters: [{ ...cluster!, isReady: false }] })
    expect(
      away.map(({ kind }) => kind),
      'no broker answers'
    ).to.deep.equal(['brokersAway'])
  })

  it('names the refused producer id as the reason of a full log', () => {
    const log = { ...calm.log, sizeBytes: 990 }
    const [, full] = troubleOf({ ...refusing('CLUSTER_AUTHORIZATION_FAILED', withTopic({ state: 'refused' })), log })
    expect(full?.cause).to.include('It fills because cluster default gives no producer id.')
    expect(full?.next).to.match(/^Have Kafka give one first: its row is above\./)
  })

  it('names a broker that is down with its error, and one that Kafka does not name any more', () => {
    const [cluster] = calm.clusters
    const rows = troubleOf({
      ...calm,
      clusters: [
        {
          ...cluster!,
          brokers: [
            { nodeId: 1, address: 'kafka-1:9092', state: 'gone', forMs: 90_000 },
            { nodeId: 2, address: 'kafka-2:9092', state: 'down', forMs: 3_000, lastError: 'connection refused' }
          ]
        }
      ]
    })
    expect(rows.map(({ kind, subject, cause }) => [kind, subject, cause])).to.deep.equal([
      ['brokerDown', 'broker 2 (kafka-2:9092)', 'It has not answered for 3 s: connection refused.'],
      [
        'brokerGone',
        'broker 1 (kafka-1:9092)',
        'Kafka has not named it for 1.5 min: it has stopped, or was removed from the cluster.'
      ]
    ])
  })

  it('tells a partition without a leader by the error, and by what the Router knows', () => {
    for (const partition of [
      { partition: 2, state: 'backingOff', attempts: 3, error: 'noLeader', message: 'no leader' },
      { partition: 2, state: 'awaiting', attempts: 1, leader: -1 }
    ]) {
      const row = onlyOf(stuckAt([partition]))
      expect(row).to.include({ kind: 'noLeader', subject: 'partition orders/2', see: 'delivery.timeoutMs' })
      expect(row.cause).to.equal(
        'The partition has no leader, so no broker takes its records. Records that wait: 2 in memory (2 KiB), the oldest for 1.5 s.'
      )
      expect(row.next).to.include('kafka-topics --describe --topic orders')
    }
  })

  it('has a row for each error of a topic, with its partitions', () => {
    const rows = troubleOf(
      stuckAt([
        { partition: 0, state: 'backingOff', attempts: 2, error: 'NOT_ENOUGH_REPLICAS', message: 'too few', leader: 1 },
        { partition: 1, state: 'backingOff', attempts: 2, error: 'NOT_ENOUGH_REPLICAS', message: 'too few', leader: 1 },
        { partition: 2, state: 'awaiting', attempts: 1, leader: 3 }
      ])
    )
    expect(rows.map(({ subject }) => subject)).to.deep.equal(['partition orders/2', 'partitions orders/{0, 1}'])
    expect(rows[1]!.next).to.include('min.insync.replicas')
    expect(rows[0]!.cause).to.include('Broker 3 leads it.')
  })

  it('says which right is missing for a topic, even while no broker answers', () => {
    const row = onlyOf(
      withTopic({ state: 'refused', refusal: { code: 'notAuthorized', message: 'TOPIC_AUTHORIZATION_FAILED (29)' } })
    )
    expect(row).to.include({ kind: 'notAuthorized', subject: 'topic orders', see: 'clusters.default.sasl' })
    expect(row.cause).to.include('TOPIC_AUTHORIZATION_FAILED')
    expect(row.next)
      .to.include('Describe and Write on topic orders')
      .and.match(/kafka-acls --add --allow-principal User:NAME --operation Describe --operation Write --topic orders$/)
  })

  it('warns of a missing topic, and is worse when its records wait', () => {
    const idle = { memory: { records: 0, bytes: 0, oldestAgeMs: 0 } }
    expect(onlyOf(withTopic({ state: 'missing', ...idle })).severity).to.equal('warning')
    expect(onlyOf(withTopic({ state: 'missing' })).severity).to.equal('bad')
  })

  it('says how full the log is, and when it refuses', () => {
    const filling = onlyOf({ ...calm, log: { ...calm.log, sizeBytes: 850 } })
    expect(filling).to.include({ severity: 'warning', kind: 'logFull', see: 'wal.maxBytes' })
    const full = onlyOf({ ...calm, log: { ...calm.log, state: 'full', sizeBytes: 990, why: 'the log is full' } })
    expect(full).to.include({ severity: 'bad', kind: 'logFull' })
    expect(full.cause).to.equal(
      '99 % of it are in use (990 B of 1000 B): the log is full. Records of ALL topics that need it are refused.'
    )
    expect(onlyOf({ ...calm, log: { ...calm.log, state: 'failed', why: 'EIO' } })).to.include({ kind: 'logFailed' })
  })

  it('puts the topic that Kafka does not take before the log that fills up by it, and names it there', () => {
    const partition = { partition: 0, state: 'backingOff', attempts: 2, error: 'NOT_ENOUGH_REPLICAS', message: 'few' }
    const rows = troubleOf({
      ...withTopic({
        state: 'stuck',
        troubled: [partition],
        troubledPartitions: 1,
        log: { records: 96, bytesInMemory: 0 }
      }),
      log: { ...calm.log, state: 'full', sizeBytes: 990, records: 96, why: 'it holds its limit' },
      refusals: [
        { reason: 'logUnavailable', what: 'records', count: 9, perSecond: 12.9, lastAgoMs: 9, message: 'full' }
      ]
    })
    expect(rows.map(({ kind }) => kind)).to.deep.equal(['partitionStuck', 'logFull'])
    expect(rows[1]!.cause).to.equal(
      '99 % of it are in use (990 B of 1000 B): it holds its limit. Records of ALL topics that need it are refused (13 records per second). It fills because Kafka does not take the records of topic orders.'
    )
    expect(rows[1]!.next).to.equal(
      'Mend topic orders first: its row is above. Until then only more space helps: wal.maxBytes, or a larger disk.'
    )
  })

  it('keeps a full log on the list when very many topics are stuck', () => {
    const partition = { partition: 0, state: 'backingOff', attempts: 2 }
    const rows = Array.from({ length: 50 }, (_, index) => ({
      ...calmTopic,
      topic: `t${index}`,
      state: 'stuck' as const,
      troubled: ['a', 'b', 'c'].map((error, at) => ({ ...partition, partition: at, error }))
    }))
    const all = troubleOf({ ...calm, topics: { total: 50, rows }, log: { ...calm.log, state: 'full' } })
    expect(all.length).to.be.at.most(100)
    expect(all.map(({ kind }) => kind)).to.include('logFull')
  })

  const loss = {
    cluster: 'default',
    api: 'kprf',
    topic: 'payments',
    reason: 'notAuthorized',
    message: 'TOPIC_AUTHORIZATION_FAILED (29)',
    records: 2_073,
    perSecond: 7.04,
    firstAgoMs: 218_000,
    lastAgoMs: 5_000
  }

  it('says that records are being lost, of which topic and API, how many, since when and why', () => {
    const row = onlyOf({ ...calm, losses: [loss] })
    expect(row).to.include({ severity: 'bad', kind: 'recordsLost', subject: 'accepted records of topic payments' })
    expect(row.cause).to.equal(
      'Accepted records are being lost: 7.0 per second, 2 073 records since 05:56:22 UTC, the last one 5 s ago. API kprf had told their senders that they were accepted. Reason: TOPIC_AUTHORIZATION_FAILED (29).'
    )
    expect(row.next).to.match(/^Remove the reason, then have their senders send the lost records again\./)
  })

  it('only warns of losses that are over, and has one row for the topics beyond the first five', () => {
    const over = onlyOf({ ...calm, losses: [{ ...loss, records: 1, perSecond: 0, lastAgoMs: 120_000 }] })
    expect(over.severity).to.equal('warning')
    expect(over.cause).to.match(/^1 accepted record was lost, the first one at 05:56:22 UTC, the last one 2 min ago\./)
    const losses = Array.from({ length: 9 }, (_, index) => ({ ...loss, topic: `t${index}` }))
    const subjects = troubleOf({ ...calm, losses }).map(({ subject }) => subject)
    expect(subjects).to.have.length(6).and.to.include('accepted records of 4 more topics')
    const apis = onlyOf({ ...calm, losses: [loss, { ...loss, api: 'arion' }, { ...loss, api: 'library' }] })
    expect(apis.cause).to.include('6 219 records').and.include('The APIs kprf, arion and the library had told')
  })

  it('joins a broker that is gone and the partitions without a leader, and says how long records wait', () => {
    const [cluster] = calm.clusters
    const gone = { nodeId: 1, address: 'kafka-1:9092', state: 'gone', forMs: 12_000 } as const
    const rows = troubleOf({
      ...stuckAt([{ partition: 0, state: 'awaiting', attempts: 1, leader: -1 }]),
      clusters: [{ ...cluster!, brokers: [gone] }]
    })
    expect(rows.map(({ severity, kind }) => [severity, kind])).to.deep.equal([
      ['bad', 'brokerGone'],
      ['bad', 'noLeader']
    ])
    expect(rows[0]!.cause).to.match(/removed from the cluster\. Partitions without a leader now: orders\/0\.$/)
    expect(rows[0]!.next).not.to.include('nothing has to be done')
    expect(rows[1]!.cause).to.include('Broker 1 does not run; the replicas that could lead are probably there.')
    expect(rows[1]!.next)
      .to.match(/^Start broker 1; /)
      .and.include('wait for 2 min at most (delivery.timeoutMs)')
  })

  it('does not tell to start brokers where all of them answer', () => {
    const few = { partition: 0, state: 'backingOff', attempts: 2, error: 'NOT_ENOUGH_REPLICAS', message: 'few' }
    const [cluster] = calm.clusters
    const brokers = [1, 2, 3].map(nodeId => ({ ...cluster!.brokers[0]!, nodeId }))
    const all = onlyOf({ ...stuckAt([few]), clusters: [{ ...cluster!, brokers }] })
    expect(all.next).to.match(
      /^All 3 brokers answer: replicas are behind, or min\.insync\.replicas is above the number of replicas\. kafka-topics --describe --topic orders shows/
    )
    const away = [...brokers.slice(0, 2), { ...brokers[2]!, state: 'down' as const, forMs: 1 }]
    const [, stuck] = troubleOf({ ...stuckAt([few]), clusters: [{ ...cluster!, brokers: away }] })
    expect(stuck!.next).to.match(/^Start broker 3\. /)
  })

  it('says that the memory is full when records are refused for it, and not for an old refusal', () => {
    const refusal = {
      reason: 'overloaded',
      setting: 'delivery.maxBytes',
      what: 'records',
      count: 3,
      perSecond: 12.9,
      message: 'the buffer is full'
    } as const
    const full = onlyOf({ ...calm, refusals: [{ ...refusal, lastAgoMs: 1_000 }] })
    expect(full).to.include({ severity: 'bad', kind: 'memoryFull', see: 'delivery.maxBytes' })
    expect(troubleOf({ ...calm, refusals: [{ ...refusal, lastAgoMs: 60_000 }] })).to.deep.equal([])
    expect(onlyOf({ ...calm, memory: { ...calm.memory, bytes: 850 } }).severity).to.equal('warning')
  })

  it('names the limit of connections beyond which they are closed', () => {
    const closed = (setting: string) => {
      const refusal = {
        reason: 'overloaded',
        setting,
        what: 'requests',
        count: 3,
        perSecond: 0,
        lastAgoMs: 1_000
      } as const
      return onlyOf({ ...calm, refusals: [{ ...refusal, message: `more of them than ${setting}` }] })
    }
    const all = closed('http.maxConnections')
    expect(all).to.include({ kind: 'refusing', see: 'http.maxConnections' })
    expect(all.cause).to.match(
      /^Connections are closed at once: more of them than http\.maxConnections \(3 since the start/
    )
    expect(all.next).to.equal('Raise http.maxConnections, or start another instance.')
    expect(closed('http.perAddress.maxConnections').next).to.match(/^Find the client that takes so much, and raise /)
    expect(closed('advanced.apis.kafka-pixy.grpcMaxConnections').cause).to.match(/^Connections are closed at once/)
  })

  it('says that the schema registry cannot be asked, and not that less should be sent', () => {
    const message = 'Error serializing message. the schema registry cannot be asked: connect ECONNREFUSED'
    const refusal = { reason: 'registryUnreachable', setting: undefined, what: 'records', count: 3 } as const
    const row = onlyOf({ ...calm, refusals: [{ ...refusal, perSecond: 0, lastAgoMs: 1_000, message }] })
    expect(row).to.include({ severity: 'bad', kind: 'registryAway', see: 'schemas.registry.urls' })
    expect(row.cause).to.include('connect ECONNREFUSED').and.include('3 since the start')
    expect(row.next).to.match(/^Check that the registry runs/)
  })

  it('names the quota that is used up', () => {
    const row = onlyOf({
      ...calm,
      refusals: [
        {
          reason: 'quotaExceeded',
          setting: 'http.perAddress.maxRequestsInFlight',
          what: 'requests',
          count: 7,
          perSecond: 0,
          lastAgoMs: 500,
          message: 'more than 3 requests of your address 10.0.0.7 are in flight'
        }
      ]
    })
    expect(row).to.include({ kind: 'quotaReached', see: 'http.perAddress.maxRequestsInFlight' })
    expect(row.cause).to.include('more than 3 requests').and.include('7 since the start')
    expect(row.next).to.include('access.audit: denied')
  })

  it('leaves refusals alone that their clients have to mend', () => {
    const refusal = { what: 'requests', count: 7, perSecond: 1, lastAgoMs: 500, message: 'no' } as const
    for (const reason of ['unauthenticated', 'forbidden', 'recordTooLarge'])
      expect(troubleOf({ ...calm, refusals: [{ ...refusal, reason }] })).to.deep.equal([])
  })

  it('names a group that is behind, and how old that is', () => {
    const lag = { cluster: 'default', group: 'billing', topic: 'orders', uncommitted: 0 }
    const row = onlyOf({
      ...calm,
      lag: { total: 1, rows: [{ ...lag, lag: 12_345, asOf: '2026-11-24T05:59:58.000Z' }] }
    })
    expect(row).to.include({ severity: 'warning', kind: 'groupLags', subject: 'group billing in topic orders' })
    expect(row.cause).to.equal('It is 12 345 records behind, as of 05:59:58 UTC.')
    expect(troubleOf({ ...calm, lag: { total: 1, rows: [{ ...lag, lag: 999 }] } })).to.deep.equal([])
    const yesterday = onlyOf({
      ...calm,
      lag: { total: 1, rows: [{ ...lag, lag: 1_000, asOf: '2026-11-23T05:59:58.000Z' }] }
    })
    expect(yesterday.cause).to.equal('It is 1 000 records behind, as of 2026-11-23 05:59:58 UTC.')
  })

  it('says of a group what is not counted, and that an offset beyond the end comes before more clients', () => {
    const lag = { cluster: 'default', group: 'billing', topic: 'orders', uncommitted: 2, lag: 2_924 }
    const row = onlyOf({ ...calm, lag: { total: 1, rows: [lag] } })
    expect(row.cause).to.equal(
      'It is at least 2 924 records behind. Not counted: 2 partitions without a committed offset.'
    )
    expect(row.next).to.include('start more of them')
    const beyond = onlyOf({
      ...calm,
      lag: { total: 1, rows: [{ ...lag, uncommitted: 0, lag: 1, problem: BEYOND_END }] }
    })
    expect(beyond.cause).to.match(
      /^It is at least 1 record behind\. Not all of it is known: a committed offset is beyond/
    )
    expect(beyond.next)
      .to.include('whether topic orders was created anew')
      .and.include('castellan groups --lag billing')
      .and.not.include('start more')
  })

  it('names a group of which it is not known any more how far it is behind, and what to do for each reason', () => {
    const row = { cluster: 'default', group: 'billing', topic: 'orders', uncommitted: 0 } as const
    const unknown = (rows: NonNullable<Judged['lag']>['rows']) => onlyOf({ ...calm, lag: { total: rows.length, rows } })
    const refused = { problem: 'not authorized for the group', failure: 'refused' } as const
    const before = { ...row, lag: 5, asOf: '2026-11-23T21:00:00.000Z', ...refused }
    expect(unknown([before])).to.deep.include({
      severity: 'warning',
      kind: 'lagUnknown',
      subject: 'group billing in topic orders',
      cause:
        'How far it is behind is not known: not authorized for the group. At 2026-11-23 21:00:00 UTC it was 5 records behind.'
    })
    expect(unknown([before]).next).to.match(/^Grant Describe on group billing/)
    const asAWhole = unknown([before, { ...before, topic: 'bills', lag: 200_000 }])
    expect(asAWhole).to.include({ severity: 'bad', subject: 'group billing' })
    expect(asAWhole.cause).to.include('it was 200 005 records behind')
    const never = { cluster: 'default', group: 'billing', uncommitted: 0 }
    const silent = unknown([{ ...never, problem: 'Kafka did not answer in time (10000 ms)', failure: 'noAnswer' }])
    expect(silent).to.include({ kind: 'lagUnknown', subject: 'group billing' })
    expect(silent.next).to.match(/^Check the brokers of cluster default/)
    const large = unknown([{ ...never, problem: 'the group has offsets in 25000 partitions', failure: 'tooLarge' }])
    expect(large.next)
      .to.match(/^Delete offsets/)
      .and.include('metrics.lag.groups')
    const fresh = { ...never, asOf: calm.at, problem: 'the group has committed no offset' }
    expect(troubleOf({ ...calm, lag: { total: 1, rows: [fresh] } })).to.deep.equal([])
  })

  it('names a group that may not read', () => {
    const group = { cluster: 'default', group: 'billing', topics: ['orders'], partitions: 0, waiting: 1, pending: 0 }
    const refusal = { topic: 'orders', message: 'not authorized for the topic' }
    const row = onlyOf({ ...calm, groups: { total: 1, rows: [{ ...group, refusal }] } })
    expect(row).to.include({ kind: 'groupRefused', subject: 'group billing' })
    expect(row.next).to.include('Read on topic orders and on group billing')
  })

  it('names a certificate that ends soon, and one that has ended', () => {
    const certificate = { of: 'http.tls', subject: 'CN=gateway', validTo: '2026-12-01T00:00:00.000Z' }
    const soon = onlyOf({ ...calm, certificates: [{ ...certificate, remainingMs: 7 * DAY_MS }] })
    expect(soon).to.include({ severity: 'warning', kind: 'certificateEnds', see: 'http.tls.certFile' })
    expect(soon.cause).to.equal('The certificate of CN=gateway ends in 7 d, on 2026-12-01.')
    expect(onlyOf({ ...calm, certificates: [{ ...certificate, remainingMs: -DAY_MS }] }).severity).to.equal('bad')
    expect(troubleOf({ ...calm, certificates: [{ ...certificate, remainingMs: 60 * DAY_MS }] })).to.deep.equal([])
  })

  it('says where to put a new certificate for other gateways', () => {
    const validTo = '2026-11-26T06:00:00.000Z'
    const certificates = [{ of: 'peers.tlsDirectory', subject: 'CN=one', validTo, remainingMs: 2 * DAY_MS }]
    const row = onlyOf({ ...calm, certificates })
    expect(row).to.include({ severity: 'bad', kind: 'certificateEnds', see: 'peers.tlsDirectory' })
    expect(row.next).to.include('start the gateway again')
  })

  it('names the clock that differs by ten seconds, from what, and in which direction', () => {
    const at = (aheadMs: number) => ({ ...calm, clocks: [{ comparedWith: 'gateways' as const, aheadMs }] })
    for (const aheadMs of [0, 9_999, -9_999]) expect(troubleOf(at(aheadMs))).to.deep.equal([])
    const row = onlyOf(at(-10_000))
    expect(row).to.include({ severity: 'warning', kind: 'clockDiffers', see: 'docs/operations.md#clocks' })
    expect(row.cause).to.equal('The clock of this machine is 10 s behind that of other gateways.')
    const clocks = [{ comparedWith: 'brokers' as const, cluster: 'default', aheadMs: 120_000 }]
    expect(onlyOf({ ...calm, clocks }).cause).to.equal(
      'The clock of this machine is 2 min ahead of that of the brokers of cluster default.'
    )
  })

  it('is told by the log where no request meets it, and nothing else is', () => {
    const status = {
      ...withTopic({ state: 'missing' }),
      certificates: [{ of: 'http.tls', subject: 'CN=one', validTo: calm.at, remainingMs: 1 }],
      clocks: [{ comparedWith: 'gateways' as const, aheadMs: 60_000 }]
    }
    expect(quietTroubleOf(status)).to.deep.equal(troubleOf(status).filter(({ kind }) => kind !== 'topicMissing'))
    expect(quietTroubleOf(status).map(({ kind }) => kind)).to.deep.equal(['certificateEnds', 'clockDiffers'])
  })

  describe('of queues', () => {
    const queue = {
      cluster: 'default',
      topic: 'orders',
      group: 'workers',
      held: 0,
      lastDeliveries: 0,
      oldestHeldMs: 0,
      waiting: 0,
      archived: 0
    }
    const withQueue = (row: Partial<QueueRow>): Judged => ({
      ...calm,
      queues: { total: 1, archived: 0, rows: [{ ...queue, ...row }] }
    })

    it('is none where messages are held for less than half an hour, and where a failure passes', () => {
      expect(troubleOf(withQueue({ held: 3, oldestHeldMs: 1_799_999, failure: 'no leader' }))).to.deep.equal([])
    })

    it('names the queue that cannot be served, why, and what waits for it', () => {
      const row = onlyOf(withQueue({ notServedMs: 45_000, failure: 'no leader', waiting: 2, cluster: 'west' }))
      expect(row).to.include({
        severity: 'bad',
        kind: 'queueNotServed',
        subject: 'queue orders of group workers of cluster west'
      })
      expect(row.cause).to.equal('Its messages cannot be acquired for 45 s: no leader. 2 requests wait for them.')
    })

    it('tells messages that were archived, and when', () => {
      const row = onlyOf(withQueue({ archivedAgoMs: 120_000, archived: 3 }))
      expect(row).to.include({ severity: 'warning', kind: 'queueArchived' })
      expect(row.cause).to.match(/the last one 2 min ago; 3 messages since/)
      expect(onlyOf(withQueue({ archivedAgoMs: 0 })).cause).not.to.match(/since/)
    })

    it('tells a group whose isolation is another one, and how to set it', () => {
      const status = withQueue({ differentIsolation: 'readUncommitted' })
      expect(onlyOf(status)).to.include({ severity: 'warning', kind: 'queueIsolationDiffers' })
      expect(onlyOf(status).next).to.include('PATCH /queues/orders/workers with {"isolation":"readCommitted"}')
      expect(quietTroubleOf(status)).to.deep.equal(troubleOf(status))
    })

    it('tells a message that is held for half an hour, also in the log', () => {
      const status = withQueue({ oldestHeldMs: 1_800_000, held: 1 })
      expect(onlyOf(status)).to.include({ severity: 'warning', kind: 'queueHeldLong' })
      expect(quietTroubleOf(status)).to.deep.equal(troubleOf(status))
      expect(quietTroubleOf(withQueue({ archivedAgoMs: 0, notServedMs: 60_000 }))).to.deep.equal([])
    })
  })

  describe('of webhooks', () => {
    const withWebhook = (more: Partial<WebhookRow>): Judged => ({
      ...calm,
      webhooks: {
        total: 1,
        rows: [
          {
            ...{ cluster: 'default', webhook: 'shop', topic: 'orders', state: 'running', open: 3, oldestOpenMs: 1_000 },
            ...{
              stalledPartitions: 0,
              inFlight: 1,
              deadLettersStopped: false,
              foreignMember: false,
              sendsAborted: true
            },
            ...{ deadLetters: 0, skipped: 0, lost: 0, ...more }
          }
        ]
      }
    })
    const told: readonly (readonly [kind: string, more: Partial<WebhookRow>, cause: string])[] = [
      ['webhookLost', { lost: 2 }, 'Retention of topic orders has deleted 2 records before they were delivered.'],
      [
        'webhookRetention',
        { oldestOpenMs: 81_000, retentionMs: 100_000 },
        'Its oldest record is 1.4 min old, and topic orders keeps records for 1.7 min.'
      ],
      [
        'webhookBroken',
        { state: 'broken', because: 'there is no topic dead' },
        'It sends nothing: there is no topic dead.'
      ],
      [
        'webhookDeadLettersStopped',
        { deadLettersStopped: true },
        'Ten records in a row became dead letters, without a 2xx between them. No more are written, and records wait.'
      ],
      ['webhookFailing', { failingMs: 600_000 }, 'No request has got a 2xx for 10 min; 3 records wait here.'],
      [
        'webhookStalled',
        { stalledPartitions: 1 },
        '1 partition of topic orders is not read further, since too many records are open.'
      ],
      ['webhookGone', { state: 'gone' }, 'The endpoint has answered 410, so nothing is sent to it.'],
      [
        'webhookForeignMember',
        { foreignMember: true },
        'Another client is a member of its group castellan-webhook-shop, and gets records that are then not sent.'
      ]
    ]

    for (const [kind, more, cause] of told)
      it(`tells ${kind}, also in the log, since no request meets it`, () => {
        const status = withWebhook(more)
        expect(onlyOf(status)).to.include({ severity: 'bad', kind, subject: 'webhook shop', cause })
        expect(quietTroubleOf(status)).to.deep.equal(troubleOf(status))
      })

    it('is none while an endpoint fails for less than 10 minutes, or records are young', () => {
      const fine = { failingMs: 599_999, oldestOpenMs: 79_000, retentionMs: 100_000, state: 'paused' } as const
      expect(troubleOf(withWebhook(fine))).to.deep.equal([])
    })
  })

  describe('of open transactions', () => {
    const open = (partition: number, openMs: number, more: Partial<OpenTransactionRow> = {}): OpenTransactionRow => ({
      ...{ cluster: 'default', topic: 'orders', partition, lastStableOffset: 17, records: 1_204, openMs },
      ...{ holdsReads: true, ...more }
    })
    const withOpen = (...rows: readonly OpenTransactionRow[]): Judged => ({
      ...calm,
      openTransactions: { total: rows.length, rows: [...rows] }
    })

    it('says that reads wait behind one, since when, and how it is ended, also in the log', () => {
      const status = withOpen(open(3, 125_000))
      const row = onlyOf(status)
      expect(row).to.include({ severity: 'bad', kind: 'transactionOpen', subject: 'topic orders' })
      expect(row.cause).to.equal(
        'Reads of partition 3 wait behind an open transaction. It has been open for 2.1 min or longer, from offset 17 on, with 1 204 offsets after that.'
      )
      expect(row.next).to.include('kafka-transactions describe-producers --topic orders --partition 3')
      expect(row.next).to.include('kafka-transactions abort --topic orders --partition 3 --start-offset 17')
      expect(quietTroubleOf(status)).to.deep.equal([row])
    })

    it('is a warning where this gateway reads all records', () => {
      const row = onlyOf(withOpen(open(3, 125_000, { holdsReads: false })))
      expect(row.severity).to.equal('warning')
      expect(row.cause).to.match(
        /^A transaction is open in partition 3: readers of committed records wait behind it, and this gateway does not/
      )
    })

    it('has one row for a topic, which tells the oldest one', () => {
      const rows = [2, 9, 4, 5, 6, 7].map(partition => open(partition, partition * 60_000))
      const [ofDefault, ofWest, ...more] = troubleOf(withOpen(...rows, open(1, 60_000, { cluster: 'west' })))
      expect(more).to.deep.equal([])
      expect(ofDefault!.cause).to.match(/^Reads of partitions 9, 7, 6, 5, 4 and 1 more wait behind/)
      expect(ofDefault!.cause).to.include('The oldest one has been open for 9 min or longer')
      expect(ofDefault!.next).to.include('--partition 9')
      expect(ofWest!.subject).to.equal('topic orders of cluster west')
    })
  })

  it('says that the event loop is late before and while requests are refused', () => {
    expect(onlyOf(withProcess({ eventLoopDelayMs: 300 }))).to.include({ severity: 'warning', kind: 'eventLoopLate' })
    const refusing = onlyOf(withProcess({ eventLoopDelayMs: 800, refusedShare: 0.25 }))
    expect(refusing).to.include({ severity: 'bad', see: 'advanced.http.maxEventLoopDelayMs' })
    expect(refusing.cause).to.include('25 % of the requests')
  })

  it('says that a heap fills up before and while requests are refused', () => {
    expect(troubleOf(withProcess({ heapShare: 0.89 }))).to.deep.equal([])
    const filling = onlyOf(withProcess({ heapShare: 0.9 }))
    expect(filling).to.include({ severity: 'warning', kind: 'heapFull', see: 'advanced.http.maxHeapShare' })
    expect(filling.cause).to.equal('90 % of its heap are in use.')
    const refusing = onlyOf(withProcess({ heapShare: 0.95, isHeapFull: true }))
    expect(refusing).to.include({ severity: 'bad', kind: 'heapFull' })
    expect(refusing.cause).to.equal('95 % of its heap are in use. Requests with a body are refused.')
    // It refuses until it has looked again, and a collection may have emptied the heap before.
    expect(onlyOf(withProcess({ heapShare: 0.2, isHeapFull: true }))).to.include({ severity: 'bad', kind: 'heapFull' })
    // 1 turns the limit off.
    expect(troubleOf(withProcess({ heapShare: 1, maxHeapShare: 1 }))).to.deep.equal([])
  })

  it('does not call an event loop late that is busy and not late', () => {
    expect(troubleOf(withProcess({ eventLoopDelayMs: 0.7, eventLoopUse: 1 }))).to.deep.equal([])
  })

  it('puts the worst first', () => {
    const [cluster] = calm.clusters
    const rows = troubleOf({
      ...stuckAt([{ partition: 0, state: 'backingOff', attempts: 2, error: 'noLeader' }]),
      clusters: [
        { ...cluster!, brokers: [{ nodeId: 1, address: 'kafka-1:9092', state: 'down', forMs: 1 }] },
        { name: 'other', isReady: false, brokers: [] }
      ],
      log: { ...calm.log, sizeBytes: 850, deadLetters: 1 }
    })
    expect(rows.map(({ kind }) => kind)).to.deep.equal([
      'brokersAway',
      'brokerDown',
      'noLeader',
      'logFull',
      'deadLetters'
    ])
  })

  it('names the topics of dead letters', () => {
    const letters = (deadLetters: number, topics?: readonly string[]) => {
      const deadLetterTopics = topics?.map(topic => ({ cluster: topic === 'far' ? 'eu' : 'default', topic, count: 1 }))
      return onlyOf({ ...calm, log: { ...calm.log, deadLetters, deadLetterTopics } }).cause
    }
    expect(letters(1, ['orders'])).to.equal('1 dead letter of topic orders: Kafka has refused these records for good.')
    expect(letters(9, ['a', 'far', 'c', 'd', 'e'])).to.equal(
      '9 dead letters of topics a, far of cluster eu, c and 2 more: Kafka has refused these records for good.'
    )
    expect(letters(2)).to.equal('2 dead letters: Kafka has refused these records for good.')
  })

  it('says what to do about records that the disk cannot read, once', () => {
    const log = { ...calm.log, quarantinedSegments: 1, setAsideRecords: 7 }
    const rows = troubleOf({ ...calm, log }, [{ kind: 'logDamaged', text: '7 records are set aside' }])
    expect(rows.map(({ kind, subject }) => [kind, subject])).to.deep.equal([['logDamaged', 'durable log']])
    expect(rows[0]?.cause).to.contain('cannot read 7 records')
    expect(rows[0]?.next).to.contain('castellan wal salvage --append')
  })

  it('has the kinds of docs/status.md, in the same order', () => {
    const page = readFileSync('docs/status.md', 'utf8').split('## Kinds of trouble')[1]!
    expect([...page.matchAll(/^### `(\w+)`$/gm)].map(([, kind]) => kind)).to.deep.equal(RANKS)
  })

  it('has a kind of the list, and rows of the documented form', () => {
    const kinds = [
      'notReady',
      'keysRefused',
      'lendingStuck',
      'clockAhead',
      'settingsHidden',
      'recordsOld',
      'brokersAway',
      'idRefused'
    ] as const
    const rows = troubleOf(
      calm,
      kinds.map(kind => ({ kind, text: 'one text for all' }))
    )
    // Clusters have rows of their own.
    expect(rows.map(({ kind }) => kind)).to.deep.equal([
      'notReady',
      'keysRefused',
      'lendingStuck',
      'clockAhead',
      'settingsHidden',
      'recordsOld'
    ])
    expect(statusSchema.parse({ ...calm, trouble: rows }).trouble).to.deep.equal(rows)
  })

  // In a suite, and the last one: it looks at what all others have raised.
  describe('that a verb names', () => {
    for (const [verb, { troubles }] of Object.entries<VerbFacts>(VERB_FACTS)) {
      if (troubles.length === 0) continue
      it(`is of a kind that there is, and that a test raises: ${verb}`, () => {
        expect(RANKS).to.include.members([...troubles])
        expect([...raised]).to.include.members([...troubles])
      })
    }

    it('or that no verb names: a test raises each one there is', () => expect([...raised]).to.have.members([...RANKS]))
  })
})
