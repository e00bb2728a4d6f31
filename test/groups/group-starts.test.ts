import { expect } from 'chai'
import { decideStarts } from '../../src/groups/first-assignment.js'
import { GroupLeader } from '../../src/groups/group-leader.js'
import {
  decisionOn,
  decodeBegun,
  decodeStarts,
  encodeBegun,
  encodeStarts,
  type GroupStarts
} from '../../src/groups/start-messages.js'
import {
  decodeAssignment,
  encodeAssignment,
  encodeSubscription,
  userDataOfAssignment,
  userDataOfSubscription
} from '../../src/wire/protocol/consumer-protocol.js'
import { GroupWorld, run } from './group-world.js'

const NOBODY = (): boolean => false

/** What the leader decides for members, by the topics that each has begun. */
function decide(
  world: GroupWorld,
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
  new GroupLeader(world, start).assign(members, NOBODY, assignments => {
    const owner = assignments?.find(({ assignment }) => decodeAssignment(assignment).length > 0)
    starts = owner && decodeStarts(userDataOfAssignment(owner.assignment))
  })
  world.settle()
  return starts
}

describe('where members begin, as their leader decides', () => {
  it('a topic that nobody has begun to read is read from its end', () => {
    const starts = decide(new GroupWorld(run(0, 7)), [[], []])
    expect(decisionOn(starts, 'orders')).to.deep.equal({ topicId: undefined, offsets: new Map([[0, 7]]) })
  })

  it('a topic that any member has begun to read is read from its beginning where nothing is committed', () => {
    expect(decisionOn(decide(new GroupWorld(run(0, 7)), [[], ['orders']]), 'orders')).to.equal('earliest')
  })

  it('a topic in which the group has committed is read from its beginning where nothing is committed', () => {
    const world = new GroupWorld(run(0, 7))
    world.committed = { offset: 3, metadata: '' }
    expect(decisionOn(decide(world, [[]]), 'orders')).to.equal('earliest')
  })

  it('a partition whose end is not told in time is read from its beginning', () => {
    const world = new GroupWorld(run(0, 7))
    world.answers.push({ kind: 'fetchOffset', result: { type: 'timedOut' } })
    expect(decisionOn(decide(world, [[]]), 'orders')).to.equal('earliest')
  })

  for (const kind of ['fetchConsumerOffset', 'fetchOffset'] as const) {
    it(`each member decides alone when ${kind} fails for the leader`, () => {
      const world = new GroupWorld(run(0, 7))
      world.answers.push({ kind, result: { type: 'failed', code: 'notAuthorized', message: '', retriable: false } })
      expect(decisionOn(decide(world, [[]]), 'orders')).to.equal(undefined)
    })
  }

  it('nothing is asked for by a leader that begins at the beginning itself', () => {
    const world = new GroupWorld(run(0, 7))
    expect(decisionOn(decide(world, [[]], 'earliest'), 'orders')).to.equal(undefined)
    expect([world.newly('fetchConsumerOffset'), world.newly('fetchOffset')]).to.deep.equal([0, 0])
  })

  it('ends of no more than 20,000 partitions are in an assignment', () => {
    const world = new GroupWorld([0])
    const topicOf = (topic: string, count: number) => ({ topic, topicId: undefined, partitions: run(0, count) })
    let starts: GroupStarts | undefined
    decideStarts(world, [topicOf('a', 19_999), topicOf('b', 2), topicOf('c', 1)], decided => (starts = decided))
    world.settle()
    expect(starts!.ends.get('a')!.offsets.size).to.equal(19_999)
    expect([...starts!.undecided]).to.deep.equal(['b', 'c'])
  })
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
            offsets: new Map([
              [0, 5],
              [1, 2 ** 40]
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
    expect(decisionOn(read, '__proto__')).to.deep.equal({ topicId: 'id', offsets: new Map([[1, 2 ** 40]]) })
    expect([decisionOn(read, 'orders'), decisionOn(read, 'ünï')]).to.deep.equal(['earliest', undefined])
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

  it('says nothing where it is larger than any member needs, which is not parsed', () => {
    const padded = (bytes: number): Buffer => Buffer.from(`{"castellan":1,"begun":[0],"ends":[]}`.padEnd(bytes))
    expect(decodeBegun(padded(65_536), ['orders'])).to.deep.equal(['orders'])
    expect(decodeBegun(padded(65_537), ['orders'])).to.deep.equal([])
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
      ends: new Map([['orders', { topicId: 'id', offsets: new Map([[4, 9]]) }]])
    })
  })
})
