import { expect } from 'chai'
import { decideStarts, type FirstAssigned, GroupLeader } from '../../../src/consumer/group/group-leader.js'
import type { GroupRuntime } from '../../../src/consumer/group/group-runtime.js'
import {
  checksumOf,
  decisionOn,
  decodeAssignedFrom,
  decodeBegun,
  decodeStarts,
  encodeBegun,
  encodeStarts,
  type GroupStarts
} from '../../../src/consumer/group/start-messages.js'
import { MAX_HOLD_FOR_START_MS } from '../../../src/consumer/group/waiting-request.js'
import {
  decodeAssignment,
  encodeAssignment,
  encodeSubscription,
  userDataOfAssignment,
  userDataOfSubscription
} from '../../../src/kafka/protocol/consumer-protocol.js'
import { FakeRuntime, run } from './fake-runtime.js'

const NOBODY = (): boolean => false

/** What the leader decides for members, by the topics that each has begun. */
function decide(
  runtime: FakeRuntime,
  begun: readonly (readonly string[])[],
  start: 'latest' | 'earliest' = 'latest'
): GroupStarts | undefined {
  const members = begun.map((topics, at) => ({
    memberId: `m${at}`,
    instanceId: null,
    metadata: encodeSubscription(
      ['orders'],
      encodeBegun(['orders'], topic => topics.includes(topic))
    )
  }))
  let starts: GroupStarts | undefined
  new GroupLeader(runtime, () => start).assign(members, 'm0', NOBODY, assignments => {
    const owner = assignments?.find(({ assignment }) => decodeAssignment(assignment).length > 0)
    starts = owner && decodeStarts(userDataOfAssignment(owner.assignment))
  })
  runtime.settle()
  return starts
}

describe('where members begin, as their leader decides', () => {
  it('a topic that nobody has begun to read is read from its end', () => {
    const starts = decide(new FakeRuntime(run(0, 7)), [[], []])
    expect(decisionOn(starts, 'orders')).to.deep.equal({ topicId: undefined, ends: new Map([[0, { offset: 7 }]]) })
  })

  it('a topic that any member has begun to read is read from its beginning where nothing is committed', () => {
    expect(decisionOn(decide(new FakeRuntime(run(0, 7)), [[], ['orders']]), 'orders')).to.equal('earliest')
  })

  it('a topic in which the group has committed is read from its beginning where nothing is committed', () => {
    const runtime = new FakeRuntime(run(0, 7))
    runtime.committed = { offset: 3, metadata: '' }
    expect(decisionOn(decide(runtime, [[]]), 'orders')).to.equal('earliest')
  })

  it('a partition whose end is not told in time is read from its beginning', () => {
    const runtime = new FakeRuntime(run(0, 7))
    runtime.answers.push({ kind: 'fetchOffset', result: { type: 'timedOut' } })
    expect(decisionOn(decide(runtime, [[]]), 'orders')).to.equal('earliest')
  })

  for (const kind of ['fetchConsumerOffset', 'fetchOffset'] as const) {
    it(`each member decides alone when ${kind} fails for the leader`, () => {
      const runtime = new FakeRuntime(run(0, 7))
      runtime.answers.push({ kind, result: { type: 'failed', code: 'notAuthorized', message: '', retriable: false } })
      expect(decisionOn(decide(runtime, [[]]), 'orders')).to.equal(undefined)
    })
  }

  it('nothing is asked for by a leader that begins at the beginning itself', () => {
    const runtime = new FakeRuntime(run(0, 7))
    expect(decisionOn(decide(runtime, [[]], 'earliest'), 'orders')).to.equal(undefined)
    expect([runtime.newly('fetchConsumerOffset'), runtime.newly('fetchOffset')]).to.deep.equal([0, 0])
  })

  it('nothing is asked for topics that only other clients read', () => {
    const runtime = new FakeRuntime(run(0, 7))
    const ours = encodeSubscription(['orders'], encodeBegun(['orders'], NOBODY))
    const members = [ours, encodeSubscription(['audit'])].map((metadata, at) => ({
      memberId: `m${at}`,
      instanceId: null,
      metadata
    }))
    new GroupLeader(runtime, () => 'latest').assign(members, 'm0', NOBODY, () => {})
    runtime.settle()
    const asked = runtime.asked.filter(({ kind }) => kind === 'fetchOffset' || kind === 'fetchConsumerOffset')
    const topics = asked.map(({ request }) => (request['topicPartition'] as { topic: string }).topic)
    expect([...new Set(topics)]).to.deep.equal(['orders'])
  })

  it('a member is told of its own topics only', () => {
    const topics = [['orders'], ['audit', 'orders'], ['audit']]
    const members = topics.map((ofMember, at) => ({
      memberId: `m${at}`,
      instanceId: null,
      metadata: encodeSubscription(ofMember, encodeBegun(ofMember, NOBODY))
    }))
    const told: (readonly string[])[] = []
    const runtime = new FakeRuntime()
    new GroupLeader(runtime, () => 'earliest').assign(members, 'm0', NOBODY, assignments => {
      for (const { assignment } of assignments!) {
        told.push([...decodeStarts(userDataOfAssignment(assignment))!.undecided])
      }
    })
    runtime.settle()
    expect(told).to.deep.equal(topics)
  })

  it('ends of no more than 20,000 partitions are in an assignment', () => {
    const runtime = new FakeRuntime([0])
    let starts: GroupStarts | undefined
    decideStarts(runtime, [topicOf('a', 19_999), topicOf('b', 2), topicOf('c', 1)], decided => (starts = decided))
    runtime.settle()
    expect(starts!.ends.get('a')!.ends.size).to.equal(19_999)
    expect([...starts!.undecided]).to.deep.equal(['b', 'c'])
  })

  it('a partition without a leader is not asked for its end, and is read from its beginning', () => {
    const runtime = new FakeRuntime(run(0, 7))
    const partitions = [
      { partition: 0, leaderId: -1 },
      { partition: 1, leaderId: 3 }
    ]
    const found = { errorCode: 0, topic: 'orders', topicId: 'a', partitions }
    runtime.answers.push({
      kind: 'fetchTopicMetadata',
      result: { type: 'success', topics: new Map([['orders', found]]) }
    })
    const starts = decide(runtime, [[]])
    expect(decisionOn(starts, 'orders')).to.deep.equal({ topicId: 'a', ends: new Map([[1, { offset: 7 }]]) })
    const asked = runtime.asked.filter(({ kind }) => kind === 'fetchOffset')
    expect(asked.map(({ request }) => request['topicPartition'])).to.deep.equal([{ topic: 'orders', partition: 1 }])
  })
})

const topicOf = (topic: string, count: number): FirstAssigned => ({
  topic,
  topicId: undefined,
  partitions: run(0, count),
  leaderless: new Set()
})

/** What is decided, and after how long, when questions of this kind about these topics have no answer. */
function decideWithout(
  kind: 'fetchConsumerOffset' | 'fetchOffset',
  silent: readonly string[],
  topics: readonly FirstAssigned[]
): { readonly starts: GroupStarts; readonly afterMs: number } {
  const runtime = new FakeRuntime(run(0, 7))
  const ask: GroupRuntime['ask'] = (asked, request, onResult) => {
    const { topicPartition, timeoutMs } = request as { topicPartition?: { topic: string }; timeoutMs: number }
    if (asked !== kind || !silent.includes(topicPartition!.topic)) runtime.ask(asked, request, onResult)
    else runtime.after(timeoutMs, () => onResult({ type: 'timedOut' } as never))
  }
  const asking: GroupRuntime = Object.assign(Object.create(runtime), {
    ask,
    after: runtime.after,
    clock: runtime.clock
  })
  const begunAt = runtime.now
  let decided: { starts: GroupStarts; afterMs: number } | undefined
  decideStarts(asking, topics, starts => (decided = { starts, afterMs: runtime.now - begunAt }))
  runtime.pass(60_000)
  return decided!
}

describe('the decision where a group begins, when nothing is told about a topic', () => {
  it('waits a second and a half for the ends of the topic, and is made for other topics meanwhile', () => {
    const topics = [topicOf('bad', 2), topicOf('good', 1), topicOf('worse', 1)]
    const { starts, afterMs } = decideWithout('fetchOffset', ['bad', 'worse'], topics)
    expect(afterMs).to.equal(1_500)
    expect(decisionOn(starts, 'good')).to.deep.equal({ topicId: undefined, ends: new Map([[0, { offset: 7 }]]) })
    expect(decisionOn(starts, 'bad')).to.deep.equal({ topicId: undefined, ends: new Map() })
  })

  it('leaves the topic to each member when it is not known whether the group has committed there', () => {
    const { starts, afterMs } = decideWithout('fetchConsumerOffset', ['bad'], [topicOf('bad', 2), topicOf('good', 1)])
    expect([afterMs, [...starts.undecided]]).to.deep.equal([1_500, ['bad']])
    expect(decisionOn(starts, 'good')).to.deep.equal({ topicId: undefined, ends: new Map([[0, { offset: 7 }]]) })
  })

  for (const kind of ['fetchConsumerOffset', 'fetchOffset'] as const) {
    it(`is made before first answers have waited as long as they may, however many partitions there are (${kind})`, () => {
      for (const topics of [[topicOf('bad', 19_000)], Array.from({ length: 1_900 }, () => topicOf('bad', 10))]) {
        const { afterMs } = decideWithout(kind, ['bad'], topics)
        expect(afterMs).to.equal(3_000).and.to.be.below(MAX_HOLD_FOR_START_MS)
      }
    })
  }
})

describe('what members tell each other about where they begin', () => {
  it('is read as it was written, whatever topics are called', () => {
    const topics = ['orders', '__proto__', 'ünï']
    const begun = (topic: string): boolean => topic !== 'orders'
    const subscription = encodeSubscription(topics, encodeBegun(topics, begun))
    expect(decodeBegun(userDataOfSubscription(subscription), topics)).to.deep.equal(['__proto__', 'ünï'])
    const starts: GroupStarts = {
      undecided: new Set(['ünï']),
      ends: new Map([
        [
          '__proto__',
          {
            topicId: 'id',
            ends: new Map([
              [0, { offset: 5 }],
              [1, { offset: 2 ** 40, leaderEpoch: 7 }]
            ])
          }
        ]
      ])
    }
    const mine = [
      { topic: '__proto__', partition: 1 },
      { topic: 'orders', partition: 0 }
    ]
    const read = decodeStarts(userDataOfAssignment(encodeAssignment(mine, encodeStarts(starts, mine))))
    expect(decisionOn(read, '__proto__')).to.deep.equal({
      topicId: 'id',
      ends: new Map([[1, { offset: 2 ** 40, leaderEpoch: 7 }]])
    })
    expect([decisionOn(read, 'orders'), decisionOn(read, 'ünï')]).to.deep.equal(['earliest', undefined])
  })

  it('says of an assignment from which topics it was made, and to the leader how many partitions each had', () => {
    const counts = new Map([
      ['orders', 2],
      ['__proto__', 0]
    ])
    const starts: GroupStarts = { undecided: new Set(), ends: new Map() }
    const from = { topics: checksumOf(['__proto__', 'orders']), counts }
    expect(decodeAssignedFrom(encodeStarts(starts, [], from))).to.deep.equal(from)
    expect(decodeAssignedFrom(encodeStarts(starts, [], { topics: 7 }))).to.deep.equal({ topics: 7 })
    expect(decodeAssignedFrom(encodeStarts(starts, [])), 'of an earlier version').to.equal(undefined)
    expect(checksumOf(['orders'])).not.to.equal(from.topics)
  })

  const strange = [
    '',
    'sticky',
    '{"castellan":1,',
    '{"castellan":1,"ends":[[7,null,[[0,1]]]]',
    '{"castellan":2,"begun":[0]}'
  ]
  for (const text of strange) {
    it(`says nothing where other clients wrote ${JSON.stringify(text)}`, () => {
      expect(decodeBegun(Buffer.from(text), ['orders'])).to.deep.equal([])
      expect(decodeStarts(Buffer.from(text))).to.equal(undefined)
    })
  }

  it('is not parsed where it is larger than any member needs, which says that every topic has begun, and decides nothing', () => {
    const padded = (bytes: number): Buffer => Buffer.from(`{"castellan":1,"begun":[0],"ends":[]}`.padEnd(bytes))
    expect(decodeBegun(padded(65_536), ['orders', 'audit'])).to.deep.equal(['orders'])
    expect(decodeBegun(padded(65_537), ['orders', 'audit'])).to.deep.equal(['orders', 'audit'])
    expect(decodeBegun(Buffer.alloc(65_537, 'x'), ['orders']), 'of another client').to.deep.equal([])
    expect(decodeStarts(padded(4_194_304))).not.to.equal(undefined)
    expect(decodeStarts(padded(4_194_305))).to.equal(undefined)
  })

  it('is passed over where it names what cannot be', () => {
    const ends = [
      [
        'orders',
        'id',
        [
          [0, -5],
          [1, 1.5],
          ['2', 3],
          [3, 4, 5],
          [4, 9]
        ]
      ],
      [7, null, []],
      'orders'
    ]
    const told = Buffer.from(JSON.stringify({ castellan: 1, begun: [0, 5, -1, 'x'], undecided: 3, ends }))
    expect(decodeBegun(told, ['orders'])).to.deep.equal(['orders'])
    expect(decodeStarts(told)).to.deep.equal({
      undecided: new Set(),
      ends: new Map([['orders', { topicId: 'id', ends: new Map([[4, { offset: 9 }]]) }]])
    })
  })
})
