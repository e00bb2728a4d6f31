import { expect } from 'chai'
import type { Requester } from '../../../src/core/actor/actor.js'
import { performanceClock } from '../../../src/core/clocks.js'
import { KafkaError, OverloadedError } from '../../../src/core/errors.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { ownerOf, sharedVerbs } from '../../../src/deployment/verbs/shared-verbs.js'
import { Link } from '../../../src/deployment/workers/link.js'
import type { ParentLink, WorkerLink } from '../../../src/deployment/workers/messages.js'
import { passingOn, WorkerPeers } from '../../../src/deployment/workers/worker-peers.js'
import type { ConsumeManyResult, MessageId, MessageLimits, Verbs } from '../../../src/verbs/verbs.js'
import { FakeTime } from '../../support/fake-time.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { turns } from '../../support/ticks.js'

const limits: MessageLimits = { maxMessages: 3, maxBytes: 1_000 }

/** A gateway whose messages the test hands out. */
class GroupsByHand extends FakeVerbs {
  readonly waiting: {
    groupId: string
    topic: string
    limits: MessageLimits
    timeoutMs: number | undefined
    reply: (r: ConsumeManyResult) => void
  }[] = []
  readonly acked: [string, MessageId][] = []
  readonly released: number[] = []
  cancelled = 0

  override consume(
    groupId: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    { reply }: Requester<ConsumeManyResult>
  ): () => void {
    this.waiting.push({ groupId, topic, limits, timeoutMs, reply })
    return () => this.cancelled++
  }

  override async ack(groupId?: string, message?: MessageId) {
    this.acked.push([groupId!, message!])
    return { type: 'acked' } as const
  }

  offer(...offsets: number[]): void {
    const { groupId, topic, reply } = this.waiting.shift()!
    const messages = offsets.map(offset => ({
      groupId,
      topic,
      partition: 3,
      offset,
      timestampMs: 5,
      key: Buffer.alloc(0),
      value: null,
      headers: [{ key: 'h', value: null }],
      serial: 1,
      firstSerial: 1,
      retries: 1
    }))
    const ack = (): void =>
      void this.acked.push(...offsets.map((offset): [string, MessageId] => [groupId, { topic, partition: 3, offset }]))
    const topicIds = new Map([[3, 'id']])
    reply({
      type: 'messages',
      messages: { messages, topicIds, ack, release: () => void this.released.push(...offsets) }
    })
  }
}

const links: { close(because: string): void }[] = []
afterEach(() => {
  for (const link of links.splice(0)) link.close('the test has ended')
})

/** Workers in this process, and what passes their calls on. */
function workersOf(count: number) {
  const parentEnds = new Map<number, ParentLink>()
  const workers: { own: GroupsByHand; verbs: Verbs }[] = []
  /** What is on its way to workers that stand still. */
  const held = new Map<number, (() => void)[]>()
  const deliver = (number: number, receive: () => void): void => {
    const waiting = held.get(number)
    if (waiting) waiting.push(receive)
    else queueMicrotask(receive)
  }
  for (let number = 1; number <= count; number++) {
    const parentEnd: ParentLink = new Link(frame => deliver(number, () => workerEnd.receive(structuredClone(frame))))
    const workerEnd: WorkerLink = new Link(frame => queueMicrotask(() => parentEnd.receive(structuredClone(frame))))
    parentEnd.serveAll(passingOn(number, to => parentEnds.get(to)))
    parentEnds.set(number, parentEnd)
    links.push(parentEnd, workerEnd)
    const own = new GroupsByHand()
    own.admin = { ...own.admin }
    const peers = new WorkerPeers(workerEnd, number, count)
    const records = new RecordBudget(1e9, performanceClock)
    workers.push({ own, verbs: sharedVerbs(own, 'default', peers, records, { count, longPollMs: 3_000 }) })
  }
  const end = (number: number): void => {
    parentEnds.get(number)!.close('it has ended')
    parentEnds.delete(number)
    for (const link of parentEnds.values()) link.tell('gone', number)
  }
  const standStill = (number: number): void => void held.set(number, [])
  const goOn = (number: number): void => {
    const waiting = held.get(number)!
    held.delete(number)
    for (const receive of waiting) receive()
  }
  return {
    workers,
    end,
    standStill,
    goOn,
    revive: (number: number, link: ParentLink) => parentEnds.set(number, link),
    parentEnds
  }
}

describe('topics that one of several workers changes', () => {
  it('are told to the others, also when one of them has ended', async () => {
    const { workers, end } = workersOf(3)
    const changed: string[] = []
    for (const [index, { own }] of workers.entries())
      own.admin.topicChanged = (topic, isDeleted) => void changed.push(`${index + 1} ${topic} ${isDeleted}`)
    const { admin } = workers[1]!.verbs
    await admin.tellOthers!('orders', false)
    expect(changed.splice(0)).to.have.members(['1 orders false', '3 orders false'])
    end(3)
    await admin.tellOthers!('orders', true)
    expect(changed).to.deep.equal(['1 orders true'])
  })
})

/** A group whose owner is the worker. */
const groupOf = (owner: number, workers = 2): string => {
  for (let i = 0; ; i++) if (ownerOf('default', `group-${i}`, workers) === owner) return `group-${i}`
}

describe('consumer groups of several workers', () => {
  let time: FakeTime
  beforeEach(() => {
    time = new FakeTime('performance')
  })
  afterEach(() => time.restore())

  it('have one owner each, about as many at every worker', () => {
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 1_000; i++) counts[ownerOf('default', `group ${i}`, 4) - 1]!++
    for (const count of counts) expect(count).to.be.within(150, 350)
    expect(ownerOf('a', 'group', 4)).to.equal(ownerOf('a', 'group', 4))
  })

  it('are read by their owner, whichever worker is asked; bytes stay as they are', async () => {
    const { workers } = workersOf(2)
    const group = groupOf(2)
    const results: ConsumeManyResult[] = []
    workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: result => results.push(result) })
    await turns(3)
    expect(workers[0]!.own.waiting).to.deep.equal([])
    expect(workers[1]!.own.waiting[0]!).to.deep.include({ groupId: group, topic: 'orders' })
    expect(workers[1]!.own.waiting[0]!.timeoutMs, 'what is left of it').to.be.within(1, 1_000)
    workers[1]!.own.offer(7)
    await turns(3)
    const [result] = results as [ConsumeManyResult & { type: 'messages' }]
    expect(results).to.have.length(1)
    const message = result.messages.messages[0]!
    expect(message).to.deep.include({
      groupId: group,
      topic: 'orders',
      partition: 3,
      offset: 7,
      value: null,
      retries: 1
    })
    expect(message.key).to.have.length(0)
    expect(message.headers).to.deep.equal([{ key: 'h', value: null }])
    result.messages.ack()
    await turns(3)
    expect(workers[1]!.own.acked).to.deep.equal([[group, { topic: 'orders', partition: 3, offset: 7 }]])
  })

  it('hand on several messages together, which are acknowledged or given back together', async () => {
    const { workers } = workersOf(2)
    const group = groupOf(2)
    const results: ConsumeManyResult[] = []
    const ask = () =>
      workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: result => results.push(result) })
    ask()
    ask()
    await turns(3)
    const { own } = workers[1]!
    expect(own.waiting.map(one => one.limits)).to.deep.equal([limits, limits])
    own.offer(0, 1, 2)
    own.offer(0, 1, 2)
    await turns(3)
    const [first, second] = results.map(result => (result as ConsumeManyResult & { type: 'messages' }).messages)
    expect(first!.messages.map(({ offset }) => offset)).to.deep.equal([0, 1, 2])
    first!.ack()
    second!.release()
    await turns(3)
    expect(workers[1]!.own.acked.map(([, { offset }]) => offset)).to.deep.equal([0, 1, 2])
    expect(workers[1]!.own.released).to.deep.equal([0, 1, 2])
  })

  it('acknowledge messages of a slow client in the topic that they are from', async () => {
    const { workers } = workersOf(2)
    const results: ConsumeManyResult[] = []
    for (const offset of [1, 2]) {
      workers[0]!.verbs.groups.consume(groupOf(2), 'orders', limits, 1_000, { reply: one => results.push(one) })
      await turns(3)
      workers[1]!.own.offer(offset)
      await turns(3)
      await time.pass(61_000, 1_000)
    }
    ;(results[0] as ConsumeManyResult & { type: 'messages' }).messages.ack()
    await turns(3)
    const message = { topic: 'orders', partition: 3, offset: 1, topicId: 'id' }
    expect(workers[1]!.own.acked).to.deep.equal([[groupOf(2), message]])
  })

  it('hand on acknowledgements, failures and messages that are given back', async () => {
    const { workers } = workersOf(2)
    const group = groupOf(2)
    expect(await workers[0]!.verbs.groups.ack(group, { topic: 't', partition: 1, offset: 2 })).to.deep.equal({
      type: 'acked'
    })
    expect(workers[1]!.own.acked).to.deep.equal([[group, { topic: 't', partition: 1, offset: 2, topicId: '' }]])
    const results: ConsumeManyResult[] = []
    workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: result => results.push(result) })
    await turns(3)
    workers[1]!.own.waiting.shift()!.reply({ type: 'timedOut' })
    workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: result => results.push(result) })
    await turns(3)
    workers[1]!.own.offer(8)
    await turns(3)
    expect(results.map(({ type }) => type)).to.deep.equal(['timedOut', 'messages'])
    ;(results[1] as ConsumeManyResult & { type: 'messages' }).messages.release()
    await turns(3)
    expect(workers[1]!.own.released).to.deep.equal([8])
  })

  it('are told by their owner where to go on, which says why it cannot', async () => {
    const { workers, end } = workersOf(2)
    const group = groupOf(2)
    const [asked, owner] = workers
    owner!.own.partitions.set('orders', 4)
    const offsets = new Map([[3, { offset: 7, metadata: 'm' }]])
    const outcomes = await asked!.verbs.groups.commit(group, 'orders', offsets, 1_000)
    expect(outcomes).to.deep.equal(new Map([[3, 'committed']]))
    expect(owner!.own.commits).to.deep.equal(new Map([[`${group} orders/3`, { offset: 7, metadata: 'm' }]]))
    owner!.own.commit = () => Promise.reject(new KafkaError(25, 'the group has members', false))
    const error = await asked!.verbs.groups.commit(group, 'orders', offsets, 1_000).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(KafkaError).and.to.deep.include({ errorCode: 25 })
    // Then it reads nothing, and who is asked commits by itself.
    end(2)
    asked!.own.partitions.set('orders', 4)
    await asked!.verbs.groups.commit(group, 'orders', offsets, 1_000)
    expect(asked!.own.commits.size).to.equal(1)
  })

  it('have the offsets that their owner tells, whichever worker is asked', async () => {
    const { workers, end } = workersOf(2)
    const [asked, owner] = workers
    const group = groupOf(2)
    const place = { partition: 0, earliest: 0, latest: 9, committed: undefined, acknowledged: [], beginsAt: 4 }
    const offsets = (): Promise<unknown> => asked!.verbs.groups.offsets(group, 'orders', 1_000)
    asked!.own.offsets = async () => []
    owner!.own.offsets = async () => [place]
    expect(await offsets()).to.deep.equal([place])
    owner!.own.offsets = async () => undefined
    expect(await offsets(), 'there is no such topic').to.equal(undefined)
    owner!.own.offsets = () => Promise.reject(new KafkaError(30, 'the group may not be seen', false))
    const refused = await offsets().catch((thrown: unknown) => thrown)
    expect(refused).to.be.instanceOf(KafkaError).and.to.deep.include({ errorCode: 30 })
    // Without an owner the worker that is asked knows as much as any other.
    end(2)
    expect(await offsets()).to.deep.equal([])
    const still = workersOf(2)
    still.standStill(2)
    const time = new FakeTime('performance')
    try {
      const late = still.workers[0]!.verbs.groups.offsets(group, 'orders', 1_000).catch((thrown: unknown) => thrown)
      await time.pass(5_000)
      expect(await late, 'no other worker knows where it begins').to.be.instanceOf(OverloadedError)
    } finally {
      time.restore()
      still.goOn(2)
    }
  })

  it('do not wait for a client any more that has gone, and get back what was on its way to it', async () => {
    const { workers } = workersOf(2)
    const group = groupOf(2)
    let replies = 0
    const ask = () => workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: () => replies++ })
    const cancel = ask()
    await turns(3)
    cancel()
    await turns(3)
    expect(workers[1]!.own.cancelled).to.equal(1)
    workers[1]!.own.waiting.length = 0
    const late = ask()
    await turns(3)
    workers[1]!.own.offer(9)
    late()
    await turns(5)
    expect([workers[1]!.own.released, replies]).to.deep.equal([[9], 0])
  })

  it('wait for an owner that has ended, and say in time that it does not answer, not that there is no message', async () => {
    const { workers, end } = workersOf(2)
    const group = groupOf(2)
    const results: ConsumeManyResult[] = []
    const startedAt = performance.now()
    workers[0]!.verbs.groups.consume(group, 'orders', limits, 300, { reply: result => results.push(result) })
    await turns(3)
    end(2)
    await turns(3)
    expect(await workers[0]!.verbs.groups.ack(group, { topic: 't', partition: 1, offset: 2 })).to.deep.equal({
      type: 'notRead'
    })
    expect(results).to.deep.equal([])
    while (results.length === 0 && performance.now() - startedAt < 5_000) await time.pass(100)
    expect(results).to.have.lengthOf(1)
    expect(results[0]).to.include({ type: 'failed', code: 'timedOut', retriable: true })
  })

  it('say in time that their owner does not answer while it stands still, and lose no message when it goes on', async () => {
    const { workers, standStill, goOn } = workersOf(2)
    const [asking, owner] = workers as [(typeof workers)[0], (typeof workers)[0]]
    const results: ConsumeManyResult[] = []
    standStill(2)
    asking.verbs.groups.consume(groupOf(2), 'orders', limits, 300, { reply: result => results.push(result) })
    for (let passed = 0; results.length === 0 && passed < 10_000; passed += 100) await time.pass(100)
    expect(results).to.have.lengthOf(1)
    expect(results[0]).to.include({ type: 'failed', code: 'timedOut', retriable: true })
    // The owner has a message at once, when it gets the request at last.
    owner.own.consume = (...asked) => {
      GroupsByHand.prototype.consume.apply(owner.own, asked)
      owner.own.offer(5)
      return () => undefined
    }
    goOn(2)
    await turns(5)
    expect(owner.own.released).to.deep.equal([5])
    expect(results).to.have.length(1)
  })

  it('give back what they have handed to a worker that has ended, the first message first', async () => {
    const { workers, end } = workersOf(2)
    const group = groupOf(2)
    for (let offset = 1; offset <= 3; offset++) {
      workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: () => undefined })
      await turns(3)
      workers[1]!.own.offer(offset)
      await turns(3)
    }
    workers[0]!.verbs.groups.consume(group, 'orders', limits, 1_000, { reply: () => undefined })
    await turns(3)
    end(1)
    await turns(3)
    // The one that was given back last is offered first.
    expect(workers[1]!.own.released).to.deep.equal([3, 2, 1])
    expect(workers[1]!.own.cancelled).to.equal(1)
  })

  it('leave messages of a worker that has ended to its clients, which have got them and are to acknowledge them', async () => {
    const { workers, end } = workersOf(2)
    const reply = (result: ConsumeManyResult): void => {
      if (result.type === 'messages' && result.messages.messages[0]!.offset < 3) result.messages.delivered!()
    }
    for (let offset = 1; offset <= 3; offset++) {
      workers[0]!.verbs.groups.consume(groupOf(2), 'orders', limits, 1_000, { reply })
      await turns(3)
      workers[1]!.own.offer(offset)
      await turns(3)
    }
    end(1)
    await turns(3)
    expect(workers[1]!.own.released).to.deep.equal([3])
    expect(workers[1]!.own.acked).to.deep.equal([])
  })
})
