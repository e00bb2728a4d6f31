import { expect } from 'chai'
import type { ActorRef } from '../../src/core/actor/actor.js'
import { performanceClock } from '../../src/core/clocks.js'
import { KafkaError } from '../../src/core/errors.js'
import { silentLogger } from '../../src/core/model.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'
import { kafkaFailure } from '../../src/router/requests/failures.js'
import { askRouter } from '../../src/router/routing/ask-router.js'
import { KafkaShareGroups } from '../../src/verbs/kafka-share-groups.js'
import type { ResetTo } from '../../src/verbs/verbs.js'
import { type EmbeddedStack, startEmbeddedStack } from '../support/castellan.js'
import { TestShareMember } from '../support/share-session.js'

const PATIENCE_MS = 15_000
const SHORT_MS = 500
const LOST_AFTER_WORK = { type: 'close', afterWork: true } as const
const LOST_BEFORE_WORK = { type: 'close', afterWork: false } as const

describe('share groups', () => {
  let stack: EmbeddedStack
  beforeEach(async () => {
    stack = await startEmbeddedStack({ nodes: 2 })
    stack.cluster.createTopic('orders', { partitions: 2 })
    stack.cluster.createTopic('returns', { partitions: 1 })
  })
  afterEach(() => stack.close())

  const router = () => stack.router.ref
  const groups = () => stack.verbs.shareGroups
  /** Makes a group without members that begins in these partitions. */
  const make = async (groupId: string, topic = 'orders', offsets = new Map([[0, 0]])): Promise<void> => {
    const made = await askRouter(router(), { type: 'alterShareOffsets', groupId, topic, offsets })
    expect(made.type).to.equal('success')
  }
  const write = async (partition: number, ...timestamps: readonly number[]): Promise<void> => {
    const records = timestamps.map(timestampMs => ({ topic: 'orders', partition, key: null, value: 'a', timestampMs }))
    const outcomes = await stack.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: PATIENCE_MS }).outcomes()
    expect(outcomes.map(({ type }) => type)).to.deep.equal(timestamps.map(() => 'delivered'))
  }
  const refusalOf = (asked: Promise<unknown>): Promise<unknown> =>
    asked.then(
      () => expect.fail('it succeeded'),
      (error: Error) => (error instanceof KafkaError ? [error.errorCode, error.message] : error.message)
    )
  const reset = (to: ResetTo, isDryRun = false) => groups().reset('orders', 'workers', to, isDryRun, PATIENCE_MS)

  it('are listed by name, a page at a time, those that a client may see alone', async () => {
    for (const name of ['c', 'a', 'd', 'b']) await make(name)
    await make('a', 'returns')
    const asked: string[] = []
    const includes = (name: string): boolean => asked.push(name) > 0 && name !== 'b'
    const first = await groups().list({ most: 2, includes }, PATIENCE_MS)
    expect(first.groups.map(({ groupId, state, topics }) => [groupId, state, topics])).to.deep.equal([
      ['a', 'Empty', ['orders', 'returns']],
      ['c', 'Empty', ['orders']]
    ])
    expect(first.next).to.equal('c')
    const { groups: last, next } = await groups().list({ after: 'c', most: 2, includes }, PATIENCE_MS)
    expect([last.map(({ groupId }) => groupId), next]).to.deep.equal([['d'], undefined])
    expect(stack.cluster.requestCount('ShareGroupDescribe'), 'those of the pages alone').to.equal(3)
  })

  it('begin where they are moved to, and a dry run only says so', async () => {
    await write(0, 1_000, 2_000, 3_000)
    await write(1, 1_000)
    await make('workers', 'orders', new Map([[0, 1]]))
    const places: [ResetTo, object[]][] = [
      [
        'latest',
        [
          { partition: 0, from: 1, to: 3 },
          { partition: 1, from: null, to: 1 }
        ]
      ],
      [
        'earliest',
        [
          { partition: 0, from: 1, to: 0 },
          { partition: 1, from: null, to: 0 }
        ]
      ],
      [
        { timestampMs: 1_500 },
        [
          { partition: 0, from: 1, to: 1 },
          { partition: 1, from: null, to: 1 }
        ]
      ],
      [{ offsets: new Map([[0, 2]]) }, [{ partition: 0, from: 1, to: 2 }]]
    ]
    for (const [to, moved] of places) expect(await reset(to, true)).to.deep.equal(moved)
    expect(stack.cluster.requestCount('AlterShareGroupOffsets'), 'made it').to.equal(1)
    expect(await reset('latest')).to.deep.equal(places[0]![1])
    expect(await reset({ offsets: new Map([[0, 2]]) })).to.deep.equal([{ partition: 0, from: 3, to: 2 }])
  })

  it('are not moved to what a log does not have, nor in what there is not', async () => {
    await write(0, 1_000, 2_000)
    await make('workers')
    const at = (partition: number, offset: number) => reset({ offsets: new Map([[partition, offset]]) })
    expect(await refusalOf(at(0, 3))).to.equal('orders/0 has no offset 3: they are from 0 to 2')
    expect(await refusalOf(at(7, 0))).to.equal('there is no partition orders/7')
    expect(await refusalOf(groups().reset('gone', 'workers', 'latest', false, PATIENCE_MS))).to.equal(
      'topic gone does not exist'
    )
    expect(await at(0, 2), 'the end').to.deep.equal([{ partition: 0, from: 0, to: 2 }])
    expect(stack.cluster.requestCount('AlterShareGroupOffsets')).to.equal(2)
  })

  it('are told from groups of other kinds and from none before anything is sent', async () => {
    await stack.verbs.groups.commit('billing', 'orders', new Map([[0, { offset: 0 }]]), PATIENCE_MS)
    for (const name of ['billing', 'nobody']) {
      const refusal = [69, `there is no share group ${name}`]
      expect(await refusalOf(groups().reset('orders', name, 'latest', false, PATIENCE_MS))).to.deep.equal(refusal)
      expect(await refusalOf(groups().reset('orders', name, 'latest', true, PATIENCE_MS))).to.deep.equal(refusal)
      expect(await refusalOf(groups().forget('orders', name, PATIENCE_MS))).to.deep.equal(refusal)
      expect(await refusalOf(groups().delete(name, PATIENCE_MS))).to.deep.equal(refusal)
      expect(await refusalOf(groups().describe(name, PATIENCE_MS))).to.deep.equal(refusal)
    }
    const changes = ['AlterShareGroupOffsets', 'DeleteShareGroupOffsets', 'DeleteGroups'] as const
    expect(changes.map(api => stack.cluster.requestCount(api))).to.deep.equal([0, 0, 0])
    expect(await stack.verbs.groups.committed('billing', PATIENCE_MS)).to.have.length(1)
  })

  it('keep their offsets while they have members, who are named', async () => {
    const member = new TestShareMember(router(), 'workers')
    await member.join('orders')
    const words = /^group workers has members: \S+ at \/127\.0\.0\.1; gateways leave 30 s after their last acquire$/
    for (const asked of [
      () => reset('latest'),
      () => groups().forget('orders', 'workers', PATIENCE_MS),
      () => groups().delete('workers', PATIENCE_MS)
    ]) {
      const [code, message] = (await refusalOf(asked())) as [number, string]
      expect(code).to.equal(68)
      expect(message).to.match(words)
    }
    expect(await reset('latest', true), 'what would be moved').to.have.length(2)
    expect(stack.cluster.requestCount('AlterShareGroupOffsets')).to.equal(0)
  })

  it('forget one topic, or are deleted with all', async () => {
    await make('workers')
    await make('workers', 'returns')
    await groups().forget('orders', 'workers', PATIENCE_MS)
    expect((await groups().describe('workers', PATIENCE_MS)).topics).to.deep.equal(['returns'])
    expect(await refusalOf(groups().forget('orders', 'workers', PATIENCE_MS))).to.deep.equal([
      3,
      'group workers has no state of topic orders'
    ])
    await groups().delete('workers', PATIENCE_MS)
    expect((await groups().list({}, PATIENCE_MS)).groups).to.deep.equal([])
  })

  it('are changed when Kafka shows what an attempt without an answer has done, which is not sent again', async () => {
    await write(0, 1_000)
    await make('workers')
    await make('workers', 'returns')
    for (const api of ['AlterShareGroupOffsets', 'DeleteShareGroupOffsets', 'DeleteGroups'] as const)
      stack.cluster.faults.add({ api }, LOST_AFTER_WORK)
    const before = stack.cluster.requestCount('AlterShareGroupOffsets')
    await reset('latest')
    await groups().forget('returns', 'workers', PATIENCE_MS)
    await groups().delete('workers', PATIENCE_MS)
    expect(stack.cluster.requestCount('AlterShareGroupOffsets') - before).to.equal(1)
    expect(stack.cluster.requestCount('DeleteShareGroupOffsets')).to.equal(1)
  })

  it('are not said to be changed when an attempt without an answer has done nothing', async () => {
    await make('workers')
    for (const api of ['AlterShareGroupOffsets', 'DeleteShareGroupOffsets', 'DeleteGroups'] as const)
      stack.cluster.faults.add({ api, count: Number.POSITIVE_INFINITY }, LOST_BEFORE_WORK)
    const told = await Promise.all(
      [
        groups().reset('orders', 'workers', 'latest', false, SHORT_MS),
        groups().forget('orders', 'workers', SHORT_MS),
        groups().delete('workers', SHORT_MS)
      ].map(refusalOf)
    )
    for (const text of told) expect(text).to.be.a('string').that.includes('was not answered')
  })

  it('are not there where Kafka lists none, and does not know the call that describes one', async () => {
    expect(await groups().list({}, PATIENCE_MS)).to.deep.equal({ groups: [], next: undefined })
    const router: ActorRef<RouterMessage> = {
      path: 'an older Kafka',
      stop: () => undefined,
      tell(message) {
        const { requester } = message as { readonly requester: { reply(result: object): void } }
        const isBrokers = message.type === 'fetchTopicMetadata'
        setImmediate(() => requester.reply(isBrokers ? { type: 'success', brokers: [] } : kafkaFailure(35)))
      }
    }
    const older = new KafkaShareGroups({ router, log: silentLogger, clock: performanceClock }, stack.verbs.admin)
    const [code] = (await refusalOf(older.list({}, PATIENCE_MS))) as [number, string]
    expect(code).to.equal(35)
  })

  it('are not there where Kafka has none, and refuses to describe the group that the list asks for', async () => {
    // The embedded broker says that an unknown group is dead beside every code, so a group of this name is needed.
    await make('castellan')
    for (const errorCode of [29, 30]) {
      stack.cluster.faults.add({ api: 'ShareGroupDescribe' }, { type: 'errorAfter', errorCode })
      const listed = await groups().list({ includes: () => false }, PATIENCE_MS)
      expect(listed, String(errorCode)).to.deep.equal({ groups: [], next: undefined })
    }
  })

  it('that Kafka refuses to describe are left out of a list, and the others are there', async () => {
    for (const name of ['a', 'b']) await make(name)
    stack.cluster.faults.add({ api: 'ShareGroupDescribe' }, { type: 'errorAfter', errorCode: 30 })
    const { groups: listed } = await groups().list({}, PATIENCE_MS)
    expect(listed).to.have.length(1)
  })
})
