import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import {
  type AcknowledgeResult,
  type AcknowledgeType,
  type Acquired,
  QueueReader
} from '../../../src/consumer/queue/queue-reader.js'
import { performanceClock as now } from '../../../src/core/clocks.js'
import { silentLogger } from '../../../src/core/model.js'
import type { Failure } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'

/** A queue that takes what it wants, and tells it. */
class TestQueue {
  readonly acquired: Acquired[] = []
  readonly lost: object[] = []
  readonly failures: Failure[] = []
  readonly reader: QueueReader
  #wanted = 0

  constructor(router: ConstructorParameters<typeof QueueReader>[0]['router'], topic: string, groupId: string) {
    this.reader = new QueueReader({
      topic,
      groupId,
      router,
      now,
      log: silentLogger,
      events: {
        demand: () => ({ messages: this.#wanted, maxBytes: 1_000_000, until: now() + 60_000 }),
        acquired: messages => {
          this.#wanted -= messages.length
          this.acquired.push(...messages)
        },
        lost: session => void this.lost.push(session),
        failed: failure => void this.failures.push(failure),
        recovered: () => undefined
      }
    })
  }

  /** @returns the messages that were acquired since the call, as `partition:value count`, in the order of partitions */
  async acquire(count: number, waitMs: number): Promise<string[]> {
    const until = now() + waitMs
    const before = this.acquired.length
    this.#wanted = count
    this.reader.wake()
    while (this.acquired.length < before + count && now() < until) await pass(5)
    this.#wanted = 0
    const told = this.acquired.slice(before)
    return told.map(({ lock, record }) => `${lock.partition}:${record.value} ${lock.deliveryCount}`).sort()
  }

  settle(message: Acquired, word: AcknowledgeType): Promise<AcknowledgeResult> {
    return new Promise(settled => this.reader.settle(message.lock, word, settled))
  }

  async accept(message: Acquired): Promise<string> {
    return (await this.settle(message, 'accept')).outcome
  }
}

describe('the reader of a queue', function () {
  this.timeout(90_000)
  const on = onTargetCluster()
  const queues: TestQueue[] = []
  let topic: string
  let groupId: string

  const write = async (partition: number, ...values: string[]): Promise<void> => {
    const outcomes = await on.castellan.produce(values.map(value => ({ topic, partition, key: null, value })))
    expect(outcomes.map(({ type }) => type)).to.deep.equal(values.map(() => 'delivered'))
  }
  const startAt = async (start: string): Promise<void> => {
    const change = { resource: { type: 'group', name: groupId }, validateOnly: false } as const
    const changes = [{ name: 'share.auto.offset.reset', value: start }]
    const told = await askRouter(on.castellan.router.ref, { type: 'alterConfigs', ...change, changes })
    expect(told.type).to.equal('success')
  }
  const open = (group = groupId): TestQueue => {
    const queue = new TestQueue(on.castellan.router.ref, topic, group)
    queues.push(queue)
    return queue
  }

  beforeEach(async () => {
    topic = freshTopic('jobs')
    groupId = freshTopic('workers')
    await on.cluster.createTopic(topic, 3)
  })
  afterEach(async () => {
    await Promise.all(queues.splice(0).map(({ reader }) => reader.close(5_000)))
  })

  it('gets the first message of a new group within two seconds, from any leader', async () => {
    // The first group of all makes Kafka create the topic for the states of groups.
    const first = open(`${groupId} first`)
    void first.acquire(1, 20_000)
    await first.reader.begun(30_000)
    await startAt('earliest')
    await write(2, 'a')
    const queue = open()
    const since = now()
    expect(await queue.acquire(1, 10_000)).to.deep.equal(['2:a 1'])
    expect(now() - since, 'milliseconds').to.be.lessThan(2_000)
    expect(queue.failures).to.deep.equal([])
    expect(await queue.accept(queue.acquired[0]!)).to.equal('done')
    expect(await queue.accept(queue.acquired[0]!), 'a second time').to.equal('lost')
  })

  it('gets a message that it has released with the next fetch', async () => {
    await startAt('earliest')
    await write(0, 'a')
    const queue = open()
    expect(await queue.acquire(1, 10_000)).to.deep.equal(['0:a 1'])
    const again = queue.acquire(1, 5_000)
    const since = now()
    expect((await queue.settle(queue.acquired[0]!, 'release')).outcome).to.equal('done')
    expect(await again).to.deep.equal(['0:a 2'])
    expect(now() - since, 'milliseconds').to.be.lessThan(600)
  })

  it('is given all that is written after it has begun, in a group that starts at the end', async () => {
    const opened = Array.from({ length: 5 }, (_, at) => open(`${groupId} ${at}`))
    for (const queue of opened) void queue.acquire(1, 20_000)
    await Promise.all(opened.map(({ reader }) => reader.begun(20_000)))
    for (const partition of [0, 1, 2]) await write(partition, 'a')
    for (const queue of opened) {
      while (queue.acquired.length === 0) await pass(10)
      await queue.acquire(2, 10_000)
      expect(queue.acquired.map(({ lock }) => lock.partition).sort()).to.deep.equal([0, 1, 2])
    }
  })

  it('keeps its messages while nobody waits, and renews their locks', async () => {
    await startAt('earliest')
    await write(1, 'a', 'b')
    const queue = open()
    await queue.acquire(2, 10_000)
    await pass(11_000)
    const [first, second] = queue.acquired as [Acquired, Acquired]
    const { endsAt } = first.lock
    expect(await queue.settle(first, 'renew')).to.deep.equal({ outcome: 'done' })
    expect(first.lock.endsAt).to.be.greaterThan(endsAt + 10_000)
    expect([await queue.accept(first), await queue.accept(second)]).to.deep.equal(['done', 'done'])
    expect(queue.lost).to.deep.equal([])
  })

  it('frees its messages when it is closed', async () => {
    await startAt('earliest')
    await write(0, 'a')
    const queue = open()
    await queue.acquire(1, 10_000)
    await queue.reader.close(5_000)
    const other = open()
    expect(await other.acquire(1, 3_000)).to.deep.equal(['0:a 2'])
    const told = await askRouter(on.castellan.router.ref, { type: 'describeShareGroup', groupId })
    expect(told).to.have.nested.property('members.length', 1)
  })

  it('gets the messages of a killed leader from the next one', async () => {
    await startAt('earliest')
    await write(0, 'a', 'b')
    const queue = open()
    expect(await queue.acquire(1, 10_000)).to.deep.equal(['0:a 1'])
    const killed = await on.cluster.leaderOf(topic, 0)
    await on.cluster.killNode(killed)
    const since = now()
    try {
      const again = await queue.acquire(2, 40_000)
      expect(again.map(text => text.slice(0, 3))).to.deep.equal(['0:a', '0:b'])
      expect(now() - since, 'milliseconds').to.be.lessThan(20_000)
      expect(queue.lost).to.include(queue.acquired[0]!.lock.session)
      expect(await queue.accept(queue.acquired[0]!)).to.equal('lost')
      // The next leader may be moved as well, until the cluster is in order again.
      const outcomes = await Promise.all(queue.acquired.slice(1).map(message => queue.accept(message)))
      expect(outcomes.filter(outcome => outcome !== 'done' && outcome !== 'lost')).to.deep.equal([])
    } finally {
      await on.cluster.reviveNode(killed)
      await on.cluster.recovered([topic])
    }
  })
})
