import { expect } from 'chai'
import { RecordBudget } from '../../../src/core/record-budget.js'
import {
  type CallOptions,
  NO_ANSWER,
  PeerError,
  type PeerHandler,
  type Peers
} from '../../../src/deployment/calls/peers.js'
import { decodeBody, encodeBody } from '../../../src/deployment/gateways/body.js'
import { sharedVerbs } from '../../../src/deployment/verbs/shared-verbs.js'
import { ownFailure } from '../../../src/router/requests/failures.js'
import type { AckResult, MessageId, Verbs } from '../../../src/verbs/verbs.js'
import { GroupStage, TICKS_AT_ONCE } from '../../consumer/group/group-stage.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

const MESSAGE = { topic: 't', partition: 4, offset: 7 }
const NOT_READ = {
  type: 'notRead',
  reason: 'no gateway of this deployment that answers reads the partition for the group'
}

/** Processes of one deployment, without sockets. */
class Deployment {
  readonly members = new Map<string, Member>()
  /** Calls from one process to another: `a>b 3` with the number of acknowledgements. */
  readonly calls: string[] = []
  /** Calls do not arrive before the test lets them, and their callers give them up. */
  isStuck = false
  readonly late: (() => Promise<unknown>)[] = []

  add(id: string): Member {
    const member = new Member(id, this)
    this.members.set(id, member)
    return member
  }
}

class Member extends FakeVerbs implements Peers {
  readonly id: string
  readonly verbs: Verbs
  readonly acked: [string, MessageId][] = []
  /** Partitions that this process reads. */
  readonly reads = new Set<number>()
  result: AckResult = { type: 'acked' }
  isAway = false
  readonly #deployment: Deployment
  readonly #handlers = new Map<string, PeerHandler<string>>()
  readonly #whenGone: ((id: string) => void)[] = []

  constructor(id: string, deployment: Deployment) {
    super()
    this.id = id
    this.#deployment = deployment
    this.verbs = sharedVerbs(this, 'default', this, new RecordBudget(1e9, () => 0))
  }

  override async ack(groupId?: string, message?: MessageId): Promise<AckResult> {
    if (!this.reads.has(message!.partition)) return { type: 'notRead' }
    this.acked.push([groupId!, message!])
    return this.result
  }

  get others(): readonly string[] {
    return [...this.#deployment.members.keys()].filter(id => id !== this.id)
  }

  serve(name: string, handler: PeerHandler<string>): void {
    this.#handlers.set(name, handler)
  }

  async call(to: string, name: string, body: unknown, { timeoutMs }: CallOptions): Promise<unknown> {
    this.#deployment.calls.push(`${this.id}>${to} ${(body as unknown[]).length}`)
    await new Promise(setImmediate)
    const other = this.#deployment.members.get(to)
    if (other === undefined || other.isAway) {
      throw new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER })
    }
    const handler = other.#handlers.get(name)!
    const sent = encodeBody(body)
    const arrive = async () => decodeBody(encodeBody(await handler(decodeBody(sent), { from: this.id, timeoutMs })))
    if (!this.#deployment.isStuck) return arrive()
    this.#deployment.late.push(arrive)
    throw new PeerError('no answer in time')
  }

  onGone(listener: (id: string) => void): void {
    this.#whenGone.push(listener)
  }
}

describe('an acknowledgement at any gateway', () => {
  let deployment: Deployment
  let [a, b, c]: Member[] = []
  let goOn: () => void
  let isOver: Promise<AckResult>
  beforeEach(() => {
    deployment = new Deployment()
    ;[a, b, c] = ['a', 'b', 'c'].map(id => deployment.add(id))
    isOver = new Promise(resolve => (goOn = () => resolve({ type: 'notRead' })))
  })
  afterEach(() => goOn())
  const ack = (at: Member | undefined, message = MESSAGE): Promise<AckResult> => at!.verbs.groups.ack('g', message)

  it('stays where the partition is read', async () => {
    a!.reads.add(4)
    expect(await ack(a)).to.deep.equal({ type: 'acked' })
    expect(deployment.calls).to.deep.equal([])
  })

  it('is passed on to the gateway that reads the partition', async () => {
    c!.reads.add(4)
    expect(await ack(a)).to.deep.equal({ type: 'acked' })
    expect(c!.acked).to.deep.equal([['g', { ...MESSAGE, topicId: '' }]])
  })

  it('goes straight to the gateway that acknowledged before', async () => {
    c!.reads.add(4)
    await ack(a)
    deployment.calls.length = 0
    expect(await ack(a, { ...MESSAGE, offset: 8 })).to.deep.equal({ type: 'acked' })
    expect(deployment.calls).to.deep.equal(['a>c 1'])
  })

  it('finds the next reader when the partition has moved', async () => {
    c!.reads.add(4)
    await ack(a)
    c!.reads.clear()
    b!.reads.add(4)
    expect(await ack(a)).to.deep.equal({ type: 'acked' })
    expect(b!.acked).to.have.length(1)
    b!.reads.clear()
    a!.reads.add(4)
    expect(await ack(a)).to.deep.equal({ type: 'acked' })
  })

  it('is answered as soon as the reader has answered, whatever others do', async () => {
    c!.reads.add(4)
    b!.ack = () => isOver
    expect(await ack(a)).to.deep.equal({ type: 'acked' })
  })

  it('names the cause when no gateway reads the partition', async () => {
    expect(await ack(a)).to.deep.equal(NOT_READ)
    b!.isAway = true
    expect(await ack(a)).to.deep.equal(NOT_READ)
    deployment.members.delete('b')
    deployment.members.delete('c')
    expect(await ack(a)).to.deep.equal(NOT_READ)
  })

  it('passes on what the reader answers', async () => {
    c!.reads.add(4)
    for (const result of [{ type: 'notOffered' }, ownFailure('shuttingDown', 'stopping', true)] as const) {
      c!.result = result
      expect(await ack(a)).to.deep.include(JSON.parse(JSON.stringify(result)))
    }
  })

  it('is not passed on twice', async () => {
    await ack(a)
    expect(deployment.calls.filter(call => !call.startsWith('a>'))).to.deep.equal([])
  })

  it('is retriable when the reader fails to answer', async () => {
    c!.reads.add(4)
    c!.ack = () => Promise.reject(new Error('no answer in time'))
    expect(await ack(a)).to.deep.include({ type: 'failed', code: 'overloaded', retriable: true })
  })

  it('goes together with others that come at the same time', async () => {
    c!.reads.add(4)
    await ack(a)
    deployment.calls.length = 0
    const offsets = Array.from({ length: 2_500 }, (_, offset) => offset)
    const results = await Promise.all(offsets.map(offset => ack(a, { ...MESSAGE, offset })))
    expect(results.filter(({ type }) => type === 'acked')).to.have.length(2_500)
    expect(new Set(c!.acked.map(([, { offset }]) => offset)).size).to.equal(2_500)
    expect(deployment.calls.length).to.be.at.most(10)
  })

  it('is refused when too many wait for the other gateway', async () => {
    deployment.members.delete('b')
    c!.ack = () => isOver
    const all = Array.from({ length: 30_000 }, (_, offset) => ack(a, { ...MESSAGE, offset }))
    expect(await Promise.race(all)).to.deep.include({ type: 'failed', code: 'overloaded', retriable: true })
  })
})

/** A group that reads one partition of a topic, which can be created anew. */
class ReadingGroup {
  readonly #of = new GroupStage(3, { start: 'earliest' }, TICKS_AT_ONCE)
  readonly runtime = this.#of.runtime

  constructor(topicId: string | undefined) {
    this.runtime.committed = undefined
    this.runtime.topicId = topicId
  }

  /** Asks for a message; tells the offset of what has come by then. */
  ask(): () => number | undefined {
    const asked = this.#of.ask({ topic: 't' })
    return () => (asked.answer?.type === 'message' ? asked.answer.message.offset : undefined)
  }

  ack(message: MessageId): Promise<AckResult> {
    return new Promise(reply => this.#of.consumer.receive({ type: 'ack', message, requester: { reply } }))
  }

  /** The topic is deleted and created anew, and has as many messages again. */
  recreateTopic(topicId: string): void {
    this.runtime.recreateTopic(topicId)
    this.runtime.write(0, 1, 2)
    this.runtime.pass(1_000)
  }

  get committed(): number {
    this.runtime.pass(5_000)
    return this.runtime.committed?.offset ?? -1
  }
}

describe('an acknowledgement that arrives late at another gateway', () => {
  let deployment: Deployment
  let group: ReadingGroup
  let [a, b]: Member[] = []
  const first = { topic: 't', partition: 0, offset: 0 }
  const ack = (offset = 0): Promise<AckResult> => a!.verbs.groups.ack('g', { ...first, offset })
  const read = (topicId: string | undefined): void => {
    group = new ReadingGroup(topicId)
    b!.ack = (_, message) => group.ack(message!)
  }
  beforeEach(() => {
    deployment = new Deployment()
    ;[a, b] = ['a', 'b'].map(id => deployment.add(id))
    read('before')
  })
  /** A client acknowledges, and is told that this failed. */
  const ackLate = async (offset = 0): Promise<void> => {
    deployment.isStuck = true
    expect(await ack(offset)).to.include({ type: 'failed', retriable: true })
    deployment.isStuck = false
  }
  const arrives = (): Promise<unknown> => deployment.late.shift()!()

  /** The group's messages, of which the client has not acknowledged the first one. */
  const take = (): void => void expect([0, 1, 2].map(() => group.ask()())).to.deep.equal([0, 1, 2])

  for (const [whose, acked] of [
    ['whose former id its caller knows', [1, 2]],
    ['whose former id its caller does not know', []]
  ] as const)
    it(`is not one of the message at its offset in a topic created anew ${whose}`, async () => {
      take()
      for (const offset of acked) expect(await ack(offset)).to.deep.equal({ type: 'acked' })
      await ackLate()
      const next = group.ask()
      group.recreateTopic('anew')
      expect(next()).to.equal(0)
      await arrives()
      expect(group.committed).to.equal(0)
      expect(await ack()).to.deep.equal({ type: 'acked' })
      expect(group.committed).to.equal(1)
    })

  for (const [ids, topicId] of [
    ['tell the ids of topics', 'before'],
    ['do not', undefined]
  ] as const)
    it(`counts for the message of the same topic, which its client has processed, where brokers ${ids}`, async () => {
      read(topicId)
      take()
      for (const offset of [1, 2]) expect(await ack(offset)).to.deep.equal({ type: 'acked' })
      await ackLate()
      await arrives()
      expect(group.committed).to.equal(3)
    })

  it('fail where the answer of a gateway makes no sense', async () => {
    for (const answer of [null, 7, {}, [null], ['acked'], [{}], [{ type: 'done' }]]) {
      const deployment = new Deployment()
      const { verbs } = deployment.add('a')
      deployment.add('b').serve('acks default', () => answer)
      const { type } = await verbs.groups.ack('g', MESSAGE)
      expect(type, JSON.stringify(answer)).to.equal('failed')
    }
  })
})
