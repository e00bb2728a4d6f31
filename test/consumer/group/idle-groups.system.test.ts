import { expect } from 'chai'
import type { ConsumeResult } from '../../../src/consumer/group/consume-result.js'
import type { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import { SharedReads } from '../../../src/consumer/group/group-runtime.js'
import type { ConsumerSettingsOverrides } from '../../../src/consumer/group/settings.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import type { FetchData, FetchDataResult, RouterMessage } from '../../../src/router/messages/operations.js'
import { defaultRouterSettings } from '../../../src/router/routing/settings.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'
import { consumerGroups } from './groups-stage.js'

const TOPIC = 'quiet'
/**
 * Of one partition at one offset, whatever the number of groups: groups that begin before they know the id of the topic
 * share one, all others another.
 */
const READS_AT_MOST = 2
/** Longer than any test: what waits so long is ended by its test. */
const LONG_POLL_MS = 50_000

/** Groups over a Router whose requests are counted. */
class CountedGroups {
  readonly asked = new Map<string, number>()
  #onAsked = (): void => undefined
  #isStopped = false
  readonly groups: ConsumerGroups
  readonly #system = new ActorSystem()

  constructor({ router }: EmbeddedRouter, settings: ConsumerSettingsOverrides = {}) {
    const tell = (message: RouterMessage): void => {
      this.asked.set(message.type, this.count(message.type) + 1)
      router.ref.tell(message)
      this.#onAsked()
    }
    this.groups = consumerGroups(this.#system, tell, settings)
  }

  count(type: string): number {
    return this.asked.get(type) ?? 0
  }

  /** Each of so many groups asks once, and again until something holds. Their last answers. */
  askUntil(isOver: () => boolean, groups: number, timeoutMs: number): Promise<ConsumeResult>[] {
    const ask = async (group: string): Promise<ConsumeResult> => {
      const result = await this.groups.consume(group, TOPIC, timeoutMs)
      return isOver() || this.#isStopped ? result : ask(group)
    }
    return Array.from({ length: groups }, (_, at) => ask(`g${at}`))
  }

  /** Each of so many groups asks once, and is told that there is nothing, or that it could not be joined in time. */
  async wait(groups: number, timeoutMs: number, unjoined = 0): Promise<void> {
    const types = (await Promise.all(this.askUntil(() => true, groups, timeoutMs))).map(({ type }) => type)
    const failed = types.filter(type => type === 'failed').length
    expect(failed).to.be.at.most(unjoined)
    expect(types.filter(type => type === 'timedOut')).to.have.lengthOf(groups - failed)
  }

  /**
   * Until so many groups have begun: a new one begins at the end of the log, and commits where that was.
   *
   * @returns what each is told next
   */
  async begin(groups: number, partitions: number): Promise<{ readonly next: Promise<ConsumeResult>[] }> {
    const haveBegun = (): boolean => this.count('commitConsumerOffset') >= partitions * groups
    const told = new Promise<void>(resolve => {
      this.#onAsked = () => haveBegun() && resolve()
    })
    const next = this.askUntil(haveBegun, groups, LONG_POLL_MS)
    await told
    // For what they would ask beyond that.
    await this.wait(groups, 300, groups)
    return { next }
  }

  /** Until a group reads so many partitions: each has been asked for by then. */
  async reads(count: number): Promise<void> {
    while (this.count('fetchData') < count) await this.wait(1, 100)
  }

  /** @param timeoutMs for leaving the groups */
  async stop(timeoutMs = 2_000): Promise<void> {
    this.#isStopped = true
    await this.groups.stop(0, timeoutMs)
    this.#system.stop()
  }
}

describe('groups without messages', function () {
  this.timeout(120_000)
  let router: EmbeddedRouter
  let counted: CountedGroups
  beforeEach(async () => {
    router = await startEmbeddedRouter({ autoCreateTopics: false })
  })
  afterEach(async () => {
    await counted.stop()
    await router.stop()
  })

  it('an idle partition is asked for once, however many long polls pass', async () => {
    const partitions = 500
    router.cluster.createTopic(TOPIC, { partitions })
    counted = new CountedGroups(router)
    await counted.reads(partitions)
    for (let poll = 0; poll < 10; poll++) await counted.wait(1, 100)
    expect(counted.count('fetchData')).to.equal(partitions)
    const next = counted.groups.consume('g0', TOPIC, 10_000)
    await router.write(TOPIC, partitions - 1, ['at last'])
    const result = await next
    expect(result.type === 'message' && String(result.message.value)).to.equal('at last')
  })

  it('a group costs a constant number of calls, however many groups there are', async () => {
    const [partitions, groups] = [2, 100]
    router.cluster.createTopic(TOPIC, { partitions })
    const heartbeatIntervalMs = 20_000
    counted = new CountedGroups(router, { heartbeatIntervalMs, sessionTimeoutMs: 60_000 })
    const startedAt = performance.now()
    await counted.begin(groups, partitions)
    const intervals = Math.ceil((performance.now() - startedAt) / heartbeatIntervalMs)
    const { cluster } = router
    expect(cluster.requestCount('JoinGroup')).to.be.at.most(2 * groups)
    expect(cluster.requestCount('SyncGroup')).to.equal(groups)
    // The leader asks before it assigns partitions, a member before it reads, and while joining takes long; a group may be left and joined again.
    expect(counted.count('fetchConsumerOffset')).to.be.at.most(6 * partitions * groups)
    // The beginning of a new group is committed.
    expect(counted.count('commitConsumerOffset')).to.be.at.most(partitions * groups)
    expect(cluster.requestCount('Heartbeat')).to.be.at.most(intervals * groups)
    expect(counted.count('fetchData')).to.be.at.most(READS_AT_MOST * partitions)
  })

  it('whether topics have got more partitions is asked once for all groups', async () => {
    const [groups, partitionCheckMs] = [100, 200]
    router.cluster.createTopic(TOPIC, { partitions: 1 })
    counted = new CountedGroups(router, { partitionCheckMs })
    while (counted.count('commitConsumerOffset') < groups) await counted.wait(groups, 300, groups)
    // A group that joins, or looks whether it has begun, asks for metadata of its own: figures of such a time do not count.
    const ofBeginners = ['commitConsumerOffset', 'fetchConsumerOffset', 'fetchOffset', 'joinGroup']
    const otherCalls = (): number => ofBeginners.reduce((calls, type) => calls + counted.count(type), 0)
    for (let before = -1; before !== otherCalls(); ) {
      before = otherCalls()
      const startedAt = performance.now()
      const [asked, calls] = [counted.count('fetchTopicMetadata'), router.cluster.requestCount('Metadata')]
      while (counted.count('fetchTopicMetadata') < asked + 5) await counted.wait(groups, 300, groups)
      if (before !== otherCalls()) continue
      const checks = Math.ceil((performance.now() - startedAt) / partitionCheckMs)
      expect(counted.count('fetchTopicMetadata') - asked).to.be.at.most(checks)
      // The Router refreshes what it knows of topics in use by itself.
      expect(router.cluster.requestCount('Metadata') - calls).to.be.at.most(2 * checks)
    }
    const [joins, syncs] = [router.cluster.requestCount('JoinGroup'), router.cluster.requestCount('SyncGroup')]
    router.cluster.growTopic(TOPIC, 2)
    while (router.cluster.requestCount('SyncGroup') < syncs + groups) await counted.wait(groups, 300)
    expect(router.cluster.requestCount('JoinGroup')).to.equal(joins + groups)
  })
})

describe('groups of which some find no connection', function () {
  this.timeout(120_000)

  it('do not make the Router ask for the list of brokers again and again', async () => {
    const [groups, heartbeats] = [20, 5]
    const router = await startEmbeddedRouter({ autoCreateTopics: false, limits: { maxConnections: 12 } })
    router.cluster.createTopic(TOPIC, { partitions: 1 })
    const counted = new CountedGroups(router, { heartbeatIntervalMs: 400 })
    await counted.wait(groups, 1_000, groups)
    const [startedAt, calls] = [performance.now(), router.cluster.requestCount('Metadata')]
    const isOver = (): boolean => router.cluster.requestCount('Heartbeat') >= heartbeats
    await Promise.all(counted.askUntil(isOver, groups, 400))
    const leastPauseMs = defaultRouterSettings.refreshBackoffMs / 2
    const most = 1 + (performance.now() - startedAt) / leastPauseMs
    expect(router.cluster.requestCount('Metadata') - calls).to.be.at.most(most)
    await counted.stop(100)
    await router.stop()
  })
})

describe('reads that groups share', () => {
  const topicPartition = { topic: TOPIC, partition: 0 }
  let asked: FetchData[]
  let reads: SharedReads
  let told: string[]
  beforeEach(() => {
    asked = []
    told = []
    const tell = (message: RouterMessage): void => void asked.push(message as FetchData)
    reads = new SharedReads({ path: 'router', tell, stop: () => undefined })
  })
  const read = (name: string, offset: number, partition = 0): void =>
    reads.read({
      type: 'fetchData',
      topicPartition: { ...topicPartition, partition },
      offset,
      maxWaitMs: 50,
      requester: { reply: ({ type }) => void told.push(`${name}: ${type}`) }
    })
  const answer = (type: 'noMessages' | 'offsetOutOfRange'): void =>
    asked.shift()!.requester.reply({ operation: 'fetchData', topicPartition, offset: 0, type } as FetchDataResult)

  it('pixy A5 E4 are those of the same offset that are under way', () => {
    read('ann', 5)
    read('bob', 5)
    read('cid', 6)
    read('dan', 5, 1)
    expect(asked.map(({ offset, topicPartition: { partition } }) => `${partition}@${offset}`)).to.deep.equal([
      '0@5',
      '0@6',
      '1@5'
    ])
    answer('noMessages')
    expect(told).to.deep.equal(['ann: noMessages', 'bob: noMessages'])
  })

  it('are wanted while any group wants them', () => {
    const wanted = new Set(['ann', 'bob'])
    for (const name of ['ann', 'bob']) {
      const requester = { reply: () => undefined }
      reads.read({ type: 'fetchData', topicPartition, offset: 5, isWanted: () => wanted.has(name), requester })
    }
    wanted.delete('ann')
    expect(asked[0]!.isWanted!()).to.equal(true)
    wanted.delete('bob')
    expect(asked[0]!.isWanted!()).to.equal(false)
    answer('noMessages')
  })

  it('do not join what has been answered, also when they are asked for meanwhile', () => {
    reads.read({
      type: 'fetchData',
      topicPartition,
      offset: 5,
      requester: { reply: () => read('again', 5) }
    })
    answer('noMessages')
    expect(asked).to.have.length(1)
    answer('offsetOutOfRange')
    expect(told).to.deep.equal(['again: offsetOutOfRange'])
    expect(reads.size).to.equal(0)
  })
})
