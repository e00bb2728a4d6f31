import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openCastellan, type ProgramCastellan } from '../../../src/client/open-castellan.js'
import type { InstanceName, InstanceRecord, InstanceResult } from '../../../src/verbs/verbs.js'
import { startCastellan, type Castellan as Writer } from '../../support/castellan.js'
import { instanceSettings as settings } from '../../support/instances.js'
import { type LoggedRecord, OfferCheck } from '../../support/offer-check.js'
import { SeededRandom, shuffled, testSeed } from '../../support/random.js'
import { freshTopic, type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { ChaosTopic } from './offer-chaos/chaos-topic.js'

/** For the next record: on a busy machine instances need minutes for all of them. */
const CATCH_UP_MS = 60_000
const LOOK_EVERY_MS = 250
const BEHIND_FAILURE_MS = 100
/** Longer than a read, a commit, and the wait for the group. */
const LONGEST_ANSWER_MS = 45_000
const INSTANCES_PER_GROUP = 3

/** Six seconds are Kafka's shortest session. */
const QUICK = {
  sessionTimeoutMs: 6_000,
  rebalanceTimeoutMs: 6_000,
  heartbeatIntervalMs: 300,
  revocationMs: 500,
  partitionCheckMs: 400,
  retryBackoffMs: 100
} as const

/** How instances of a group commit: by themselves, without naming offsets, or by naming those of the last record. */
type Commits = 'automatic' | 'accepted' | 'named'

interface Group {
  readonly groupId: string
  readonly commits: Commits
}

/** A process with instances. It is replaced by another one when it is closed or killed. */
interface Gateway {
  castellan: ProgramCastellan
}

/**
 * Instances of several groups in two gateways read topics, while brokers are lost, leaders move, a log loses its end, and
 * gateways are closed and killed. Clients vanish in the middle of answers.
 */
class InstanceChaos {
  readonly problems: string[] = []
  readonly story: string[] = []
  readonly counts = { reads: 0, records: 0, again: 0, returned: 0, commits: 0, failed: 0, created: 0 }
  readonly #random: SeededRandom
  readonly #check = new OfferCheck()
  readonly #topics: readonly ChaosTopic[]
  readonly #gateways: readonly Gateway[]
  readonly #groups: readonly Group[]
  readonly #startedAtMs = performance.now()
  #clients: Promise<void>[] = []
  #isOver = false

  private constructor(
    readonly cluster: TargetCluster,
    seed: number,
    writer: Writer,
    castellans: readonly ProgramCastellan[]
  ) {
    this.#random = new SeededRandom(seed)
    this.#gateways = castellans.map(castellan => ({ castellan }))
    this.#topics = ['steady', 'cut'].map(
      name => new ChaosTopic({ name: freshTopic(name), cluster, writer, check: this.#check, random: this.#branch() })
    )
    const all: readonly Commits[] = ['automatic', 'accepted', 'named']
    this.#groups = all.map(commits => ({ groupId: freshTopic(commits), commits }))
    for (const { groupId } of this.#groups) for (const { name } of this.#topics) this.#check.answered(groupId, name, 0)
  }

  static async start(cluster: TargetCluster, seed: number, writer: Writer): Promise<InstanceChaos> {
    return new InstanceChaos(cluster, seed, writer, [await gatewayOf(cluster), await gatewayOf(cluster)])
  }

  async run(rounds: number): Promise<void> {
    for (const topic of this.#topics) {
      await topic.create(3)
      topic.startWriting()
    }
    this.#clients = this.#groups.flatMap(group =>
      Array.from({ length: INSTANCES_PER_GROUP }, (_, at) => this.#client(group, at))
    )
    for (let round = 0; round < rounds; round++) await this.#trouble()
    for (const topic of this.#topics) {
      await topic.writeLast()
      await topic.stopWriting()
    }
    await Promise.all(this.#topics.map(topic => this.#examine(topic)))
  }

  async close(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#topics.map(topic => topic.stopWriting()))
    await Promise.all(this.#clients)
    await Promise.all(this.#gateways.map(({ castellan }) => castellan.close()))
  }

  async #trouble(): Promise<void> {
    const { cluster } = this
    const random = this.#random
    const [steady, cut] = this.#topics
    const kinds: readonly [string, () => Promise<unknown>][] = [
      ['a log loses its end', () => cut!.loseEnd(random.between(0, 2))],
      ['a leader moves', () => this.#moveLeader(steady!)],
      ['a gateway is closed', () => this.#replace(castellan => castellan.close())],
      ['a gateway is killed', () => this.#replace(killed)],
      ['a gateway is killed', () => this.#replace(killed)],
      [
        'a broker is killed',
        () =>
          this.#loseNode(
            node => cluster.killNode(node),
            node => cluster.reviveNode(node)
          )
      ],
      [
        'a broker is silent',
        () =>
          this.#loseNode(
            node => cluster.pauseNode(node),
            node => cluster.resumeNode(node)
          )
      ]
    ]
    for (const [what, strike] of shuffled(kinds, random.between(1, 1e9))) {
      await sleep(random.between(500, 2_500))
      this.#say(what)
      await strike()
      await cluster.recovered(this.#topics.map(({ name }) => name))
    }
  }

  async #moveLeader({ name }: ChaosTopic): Promise<void> {
    const partition = this.#random.between(0, 2)
    const leader = await this.cluster.leaderOf(name, partition)
    const next = this.#random.pick(this.cluster.nodeIds.filter(id => id !== leader))
    await this.cluster.moveLeader(name, partition, next)
  }

  async #replace(end: (castellan: ProgramCastellan) => Promise<unknown>): Promise<void> {
    const gateway = this.#random.pick(this.#gateways)
    const before = gateway.castellan
    gateway.castellan = await gatewayOf(this.cluster)
    await end(before)
  }

  async #loseNode(lose: (node: number) => Promise<void>, bringBack: (node: number) => Promise<void>): Promise<void> {
    const node = this.#random.pick(this.cluster.nodeIds)
    await lose(node)
    await sleep(this.#random.between(1_000, 3_000))
    await bringBack(node)
  }

  /** A client with one instance, which it creates again where its gateway was replaced. */
  async #client(group: Group, at: number): Promise<void> {
    const random = this.#branch()
    const gateway = this.#gateways[at % this.#gateways.length]!
    const { groupId, commits } = group
    const instance = { groupId, name: `${groupId}-${at}` }
    const topics = this.#topics.map(({ name }) => name)
    while (!this.#isOver) {
      const { instances } = gateway.castellan.verbs
      const read = await this.#read(group, instance, gateway.castellan, random)
      if (read === 'read') continue
      if (read === 'failed') {
        this.counts.failed++
        await sleep(BEHIND_FAILURE_MS)
        continue
      }
      if (read === 'unknown') {
        const own = { ...settings, autoCommitMs: commits === 'automatic' ? 200 : undefined }
        this.counts.created++
        await this.#answered(`${groupId} creates`, instances.create(instance, own, undefined))
      }
      await this.#answered(`${groupId} subscribes`, instances.subscribe(instance, { topics }))
    }
  }

  async #read(
    group: Group,
    instance: InstanceName,
    castellan: ProgramCastellan,
    random: SeededRandom
  ): Promise<'read' | 'failed' | 'unknown' | 'notSubscribed'> {
    const { instances } = castellan.verbs
    const gone = new AbortController()
    const limits = {
      timeoutMs: random.between(100, 2_500),
      maxBytes: random.next() < 0.5 ? random.between(1, 400) : undefined,
      gone: gone.signal
    }
    const reading = this.#answered(`${group.groupId} reads`, instances.read(instance, limits))
    if (random.next() < 0.1) {
      await sleep(random.between(0, 300))
      gone.abort()
    }
    const result = await reading
    if (result === undefined) return 'failed'
    if (result.type === 'unknownInstance') return 'unknown'
    // Its gateway was killed between the creation and the subscription.
    if (result.type === 'illegalState') return 'notSubscribed'
    if (result.type !== 'done') return 'failed'
    const { records, settle } = result.value
    this.counts.reads++
    this.#checkOrder(group, records)
    // A slow client: brokers and groups change while the answer is written.
    if (random.next() < 0.2) await sleep(random.between(0, 700))
    const accepted = random.next() < 0.3 ? random.between(0, records.length) : records.length
    const taken = records.slice(0, accepted)
    for (const record of taken) this.#offered(group, record)
    this.counts.returned += records.length - accepted
    settle(accepted)
    if (random.next() < 0.4) await this.#commit(group, instance, castellan, taken)
    return 'read'
  }

  async #commit(
    group: Group,
    instance: InstanceName,
    castellan: ProgramCastellan,
    taken: readonly InstanceRecord[]
  ): Promise<void> {
    const { instances } = castellan.verbs
    const ends = new Map(taken.map(record => [`${record.topic}/${record.partition}`, record]))
    const named = Array.from(ends.values(), ({ topic, partition, offset }) => ({
      topic,
      partition,
      offset: offset + 1,
      metadata: ''
    }))
    if (group.commits !== 'automatic') {
      const offsets = group.commits === 'named' ? named : 'accepted'
      const result = await this.#answered(`${group.groupId} commits`, instances.commit(instance, offsets))
      if (result?.type === 'done') this.counts.commits++
    }
    await this.#checkCommitted(group, instance, castellan)
  }

  /** Records below a committed offset have been accepted. Only of the topic whose logs keep their ends. */
  async #checkCommitted({ groupId }: Group, instance: InstanceName, castellan: ProgramCastellan): Promise<void> {
    const { name } = this.#topics[0]!
    const partitions = [0, 1, 2].map(partition => ({ topic: name, partition }))
    const asking = castellan.verbs.instances.committed(instance, partitions)
    const result = await this.#answered(`${groupId} asks for committed offsets`, asking)
    if (result?.type !== 'done') return
    const known = this.#offsets.get(groupId)
    for (const { partition, offset } of result.value) {
      for (let below = 0; below < offset; below++)
        if (known?.has(`${name}/${partition}@${below}`) !== true)
          this.problems.push(`${groupId} has committed ${offset} in ${partition} and was not offered ${below}`)
    }
  }

  readonly #offsets = new Map<string, Set<string>>()
  #offered({ groupId }: Group, { topic, partition, offset, value }: InstanceRecord): void {
    this.counts.records++
    if (this.#check.offered(groupId, topic, String(value))) this.counts.again++
    const offsets = this.#offsets.get(groupId) ?? new Set()
    this.#offsets.set(groupId, offsets.add(`${topic}/${partition}@${offset}`))
  }

  /** Offsets of a partition ascend in a read. */
  #checkOrder({ groupId }: Group, records: readonly InstanceRecord[]): void {
    const last = new Map<string, number>()
    for (const { topic, partition, offset } of records) {
      const before = last.get(`${topic}/${partition}`) ?? -1
      if (offset <= before) this.problems.push(`${groupId} ${topic}/${partition}: ${offset} after ${before}`)
      last.set(`${topic}/${partition}`, offset)
    }
  }

  /** Every request is answered. */
  async #answered<Value>(
    what: string,
    asked: Promise<InstanceResult<Value>>
  ): Promise<InstanceResult<Value> | undefined> {
    const stop = new AbortController()
    const late = sleep(LONGEST_ANSWER_MS, undefined, { signal: stop.signal }).catch(() => undefined)
    const result = await Promise.race([asked, late])
    stop.abort()
    if (result === undefined) this.problems.push(`never answered: ${what}`)
    else if (result.type !== 'done') this.#say(`${what}: ${JSON.stringify(result)}`)
    return result
  }

  async #examine(topic: ChaosTopic): Promise<void> {
    const log = await topic.log()
    this.problems.push(...topic.lostFrom(log).map(what => `lost although acknowledged: ${what}`))
    const missing = (): string[] => this.#groups.flatMap(group => this.#missing(group, topic, log))
    let least = Number.POSITIVE_INFINITY
    let endsAt = 0
    for (let left = missing(); left.length > 0; await sleep(LOOK_EVERY_MS), left = missing()) {
      if (left.length < least) endsAt = performance.now() + CATCH_UP_MS
      least = Math.min(least, left.length)
      if (performance.now() < endsAt) continue
      this.problems.push(...left)
      break
    }
  }

  #missing({ groupId }: Group, { name }: ChaosTopic, log: readonly LoggedRecord[]): string[] {
    return this.#check.missing(groupId, name, log).map(what => `never offered to ${groupId}: ${what}`)
  }

  #branch(): SeededRandom {
    return new SeededRandom(this.#random.between(1, 1e9))
  }

  #say(line: string): void {
    this.story.push(`${((performance.now() - this.#startedAtMs) / 1_000).toFixed(3)} s  ${line}`)
  }
}

const gatewayOf = (cluster: TargetCluster): Promise<ProgramCastellan> =>
  openCastellan({ brokers: cluster.bootstrap.split(','), consumer: QUICK })

/** It says nothing to brokers any more: its members stay in their groups until their sessions are over. */
async function killed(castellan: ProgramCastellan): Promise<void> {
  await castellan.router.stop()
  await castellan.close({ timeoutMs: 0 })
}

describe('chaos: consumer instances', function () {
  this.timeout(480_000)
  let cluster: TargetCluster
  before(async () => (cluster = await targetCluster()))
  after(() => cluster.close())

  it('return every acknowledged record, and commit only what was accepted, whatever happens to gateways and brokers', async () => {
    const seed = testSeed()
    const writer = await startCastellan(cluster.bootstrap, { createTopics: false })
    const chaos = await InstanceChaos.start(cluster, seed, writer)
    try {
      await chaos.run(cluster.kind === 'embedded' ? 2 : 1)
    } finally {
      await chaos.close()
      await writer.close()
    }
    console.log(`      seed ${seed} (TEST_SEED repeats its choices): ${JSON.stringify(chaos.counts)}`)
    if (chaos.problems.length > 0) console.log(chaos.story.join('\n'))
    expect(chaos.problems.slice(0, 50), `seed ${seed}`).to.deep.equal([])
  })
})
