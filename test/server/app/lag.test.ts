import { expect } from 'chai'
import { KafkaError } from '../../../src/core/errors.js'
import { silentLogger } from '../../../src/core/model.js'
import type { PeerHandler, Peers } from '../../../src/deployment/calls/peers.js'
import { errorCodes, kafkaErrorOf } from '../../../src/kafka/error-codes.js'
import { type LagCluster, LagWatch } from '../../../src/server/app/lag.js'
import type { TopicLag } from '../../../src/verbs/lag.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { FakeTime } from '../../support/fake-time.js'

const EVERY_MS = 10_000

/** A cluster that is asked, and answers when the test says so, or at once. */
class FakeCluster implements LagCluster {
  served: readonly string[] = []
  readonly asked: { readonly group: string; readonly at: number }[] = []
  lag = 3
  topics: readonly string[] = ['orders']
  error: Error | undefined
  takesMs = 0
  #open = 0
  mostOpen = 0

  constructor(
    readonly time: FakeTime,
    readonly name = 'default'
  ) {}

  readonly servedGroups = (): readonly string[] => this.served

  readonly readLag = async (group: string): Promise<readonly TopicLag[]> => {
    this.asked.push({ group, at: this.time.now() })
    this.mostOpen = Math.max(this.mostOpen, ++this.#open)
    if (this.takesMs > 0) await new Promise(resolve => setTimeout(resolve, this.takesMs))
    this.#open--
    if (this.error !== undefined) throw this.error
    return this.topics.map((topic, at) => ({
      topic,
      partitions: [
        { partition: 0, committed: 1, end: 1 + this.lag + at, lag: this.lag + at },
        { partition: 1, committed: undefined, end: 7, lag: undefined }
      ],
      trouble: undefined
    }))
  }
}

/** Processes that know each other, and answer at once. */
function peersNamed(ids: readonly string[]): Map<string, Peers> {
  const handlers = new Map<string, PeerHandler<string>>()
  const peerOf = (id: string): Peers => ({
    id,
    others: ids.filter(other => other !== id),
    serve: (name, handler) => void handlers.set(`${id} ${name}`, handler),
    call: async (other, name, body, { timeoutMs }) => handlers.get(`${other} ${name}`)?.(body, { from: id, timeoutMs }),
    onGone: () => undefined
  })
  return new Map(ids.map(id => [id, peerOf(id)]))
}

describe('LagWatch', () => {
  let time: FakeTime
  let cluster: FakeCluster
  let watch: LagWatch
  const lines: LogLine[] = []
  beforeEach(() => {
    time = new FakeTime('performance')
    cluster = new FakeCluster(time)
    lines.length = 0
  })
  afterEach(() => {
    watch.stop()
    time.restore()
  })
  const start = (
    groups: readonly string[],
    { clusters = [cluster], peers }: { clusters?: LagCluster[]; peers?: Peers } = {}
  ) => {
    const settings = { everyMs: EVERY_MS, groups: [...groups] }
    watch = new LagWatch({ settings, clusters, log: recordingLogger(lines), peers })
    watch.start()
  }
  const pass = (rounds: number): Promise<void> => time.pass(rounds * EVERY_MS, 100)

  it('asks for nothing until the settings say how often', async () => {
    watch = new LagWatch({
      settings: { everyMs: undefined, groups: ['billing'] },
      clusters: [cluster],
      log: silentLogger
    })
    watch.start()
    expect(time.timers).to.equal(0)
    expect(watch.lagOf()).to.deep.equal([])
  })

  it('spreads the groups of the list and those served over a round, each once, never two at a time', async () => {
    cluster.served = ['served', 'audit', 'billing']
    cluster.takesMs = 300
    start(['billing', 'export'])
    await pass(4)
    const byGroup = new Map<string, number[]>()
    for (const { group, at } of cluster.asked) byGroup.set(group, [...(byGroup.get(group) ?? []), at])
    expect([...byGroup.keys()].sort()).to.deep.equal(['audit', 'billing', 'export', 'served'])
    expect(cluster.mostOpen).to.equal(1)
    for (const [group, times] of byGroup) {
      expect(times.length, group).to.be.within(3, 5)
      for (let at = 1; at < times.length; at++) expect(times[at]! - times[at - 1]!).to.be.within(8_000, 12_500)
    }
    const pauses = cluster.asked.slice(1).map(({ at }, index) => at - cluster.asked[index]!.at)
    for (const pause of pauses) expect(pause).to.be.within(1_900, 3_200)
  })

  it('begins no round before the one before has ended, however slow Kafka is', async () => {
    cluster.takesMs = 9_000
    start(['a', 'b', 'c'])
    await pass(6)
    expect(cluster.mostOpen).to.equal(1)
    expect(cluster.asked.map(({ group }) => group).slice(0, 6)).to.deep.equal(['a', 'b', 'c', 'a', 'b', 'c'])
  })

  it('keeps what it knew, with its time, while Kafka refuses; and logs that once, and its end', async () => {
    start(['billing'])
    await pass(1)
    const { code, message } = kafkaErrorOf(errorCodes.GROUP_AUTHORIZATION_FAILED)
    const row = { cluster: 'default', group: 'billing', topic: 'orders', partitions: 2, uncommitted: 1, lag: 3 }
    const [known] = watch.lagOf()
    expect(known).to.deep.include({ ...row, trouble: undefined })
    cluster.error = new KafkaError(code, message, false)
    await pass(5)
    expect(watch.lagOf()).to.deep.equal([{ ...row, asOf: known!.asOf, trouble: message, failure: 'refused' }])
    expect(watch.groups()).to.deep.equal([
      { cluster: 'default', group: 'billing', asOf: known!.asOf, isReadable: false }
    ])
    cluster.error = undefined
    await pass(2)
    expect(watch.lagOf()[0]!.trouble).to.equal(undefined)
    expect(lines.map(({ level, fields, message: text }) => [level, fields, text])).to.deep.equal([
      ['warn', { cluster: 'default', group: 'billing', reason: message }, 'the lag of a group cannot be read'],
      ['info', { cluster: 'default', group: 'billing' }, 'the lag of the group can be read again']
    ])
  })

  it('says of a group without offsets that it has committed none, rather than that its lag is 0', async () => {
    cluster.topics = []
    start(['billing'])
    await pass(1)
    expect(watch.lagOf()[0]).to.deep.include({
      topic: undefined,
      lag: undefined,
      trouble: 'the group has committed no offset'
    })
  })

  it('forgets a group that is not served any more', async () => {
    cluster.served = ['served']
    start([])
    await pass(2)
    expect(watch.lagOf().map(({ group }) => group)).to.deep.equal(['served'])
    cluster.served = []
    await pass(2)
    expect(watch.lagOf()).to.deep.equal([])
  })

  it('finds a group of the list in the cluster that it names', async () => {
    const other = new FakeCluster(time, 'eu')
    start(['eu/billing', 'us/billing', 'default/eu/billing'], { clusters: [cluster, other] })
    await pass(2)
    expect(new Set(other.asked.map(({ group }) => group))).to.deep.equal(new Set(['billing']))
    expect(new Set(cluster.asked.map(({ group }) => group))).to.deep.equal(new Set(['us/billing', 'eu/billing']))
  })

  it('asks for groups that other processes serve, and shares all out: each process has its part', async () => {
    const clusters = ['one', 'two', 'three'].map(id => {
      const its = new FakeCluster(time)
      its.served = Array.from({ length: 60 }, (_, at) => `${id}-${at}`)
      return its
    })
    const settings = { everyMs: EVERY_MS, groups: ['billing'] }
    const peers = [...peersNamed(['one', 'two', 'three']).values()]
    const watches = clusters.map(
      (its, at) => new LagWatch({ settings, clusters: [its], log: silentLogger, peers: peers[at] })
    )
    watch = watches[0]!
    for (const one of watches) one.start()
    await pass(1.9)
    for (const one of watches) one.stop()
    const asked = clusters.map(its => [...new Set(its.asked.map(({ group }) => group))])
    for (const groups of asked) expect(groups.length).to.be.within(40, 85)
    expect(asked.flat().sort()).to.deep.equal(['billing', ...clusters.flatMap(({ served }) => served)].sort())
  })

  it('has a row for each of the 100 topics with most lag, and one for all others', async () => {
    cluster.topics = Array.from({ length: 130 }, (_, at) => `topic-${at}`)
    start(['billing'])
    await pass(1)
    const rows = watch.lagOf()
    expect(rows).to.have.length(101)
    expect(rows[0]).to.deep.include({ topic: 'topic-129', lag: 132 })
    const sum = Array.from({ length: 30 }, (_, at) => 3 + at).reduce((total, lag) => total + lag, 0)
    expect(rows.at(-1)).to.deep.include({ topic: undefined, partitions: 60, uncommitted: 30, lag: sum })
  })

  it('asks for 1,000 groups at most, and says once that there are more', async () => {
    cluster.served = Array.from({ length: 1_010 }, (_, at) => `group-${at}`)
    start([])
    await time.pass(3 * EVERY_MS, 10)
    expect(new Set(cluster.asked.map(({ group }) => group)).size).to.equal(1_000)
    expect(lines.map(({ message }) => message)).to.deep.equal([
      'the lag of 1000 groups is asked for; the others are left out'
    ])
  })
})
