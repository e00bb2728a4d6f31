import { expect } from 'chai'
import { assignRanges, type Subscriber } from '../../../src/consumer/group/group-leader.js'

const subscriber = (memberId: string, topics: readonly string[], instanceId: string | null = null): Subscriber => ({
  memberId,
  instanceId,
  topics
})

const share = (partitions: readonly number[], members: readonly string[]): Record<string, number[]> => {
  const assigned = assignRanges(
    members.map(member => subscriber(member, ['t'])),
    () => partitions
  )
  return Object.fromEntries(Array.from(assigned, ([member, of]) => [member, of.map(({ partition }) => partition)]))
}

describe('range assignment', () => {
  it('pixy C18 gives each member a run, the first ones one more', () => {
    expect(share([], [])).to.deep.equal({})
    expect(share([0], [])).to.deep.equal({})
    expect(share([], ['a'])).to.deep.equal({ a: [] })
    expect(share([0], ['b', 'a'])).to.deep.equal({ a: [0], b: [] })
    expect(share([3, 1, 0, 2], ['c', 'a', 'b'])).to.deep.equal({ a: [0, 1], b: [2], c: [3] })
    expect(share([0, 4, 1, 3, 2], ['b', 'c', 'a'])).to.deep.equal({ a: [0, 1], b: [2, 3], c: [4] })
    expect(share([0, 1, 2, 3, 4, 5, 6], ['a', 'b', 'c'])).to.deep.equal({ a: [0, 1, 2], b: [3, 4], c: [5, 6] })
    expect(share([6, 5, 4, 3, 2, 1, 0], ['d', 'c', 'b', 'a'])).to.deep.equal({
      a: [0, 1],
      b: [2, 3],
      c: [4, 5],
      d: [6]
    })
  })

  it('pixy C19 shares each topic among those that read it', () => {
    const subscribers = [
      subscriber('a', ['t1', 't2']),
      subscriber('b', ['t1', 't2', 't3']),
      subscriber('c', ['t1', 't4', 't5', 'none']),
      subscriber('d', ['t4']),
      subscriber('e', ['t3', 't4']),
      subscriber('f', [])
    ]
    const counts: Record<string, number> = { t1: 5, t2: 4, t3: 2, t4: 5, t5: 3 }
    const assigned = assignRanges(subscribers, topic => Array.from({ length: counts[topic] ?? 0 }, (_, at) => at))
    expect(assigned.get('c')).to.deep.equal([
      { topic: 't1', partition: 4 },
      { topic: 't4', partition: 0 },
      { topic: 't4', partition: 1 },
      { topic: 't5', partition: 0 },
      { topic: 't5', partition: 1 },
      { topic: 't5', partition: 2 }
    ])
    expect(assigned.get('f')).to.deep.equal([])
  })

  it('sorts static members by their names, so that a new id after a restart changes nothing', () => {
    const before = [subscriber('x-1', ['t'], 'pod-a'), subscriber('y-1', ['t'], 'pod-b')]
    const after = [subscriber('z-2', ['t'], 'pod-a'), subscriber('y-1', ['t'], 'pod-b')]
    const partitions = [0, 1, 2]
    expect(assignRanges(after, () => partitions).get('z-2')).to.deep.equal(
      assignRanges(before, () => partitions).get('x-1')
    )
  })

  it('looks at each name of a subscription a constant number of times, however many topics there are', () => {
    const looksFor = (count: number): number => {
      let looks = 0
      const names = Array.from({ length: count }, (_, at) => `topic-${at}`)
      const counted = new Proxy(names, {
        get: (target, property, receiver) => {
          if (typeof property === 'string' && /^\d+$/.test(property)) looks++
          return Reflect.get(target, property, receiver)
        }
      })
      assignRanges([subscriber('a', counted), subscriber('b', counted)], () => [0, 1])
      return looks / count
    }
    expect(looksFor(400)).to.equal(looksFor(10))
  })

  it('bears topics and members of every name', () => {
    const assigned = assignRanges([subscriber('__proto__', ['__proto__', 'constructor'])], () => [0])
    expect(assigned.get('__proto__')).to.have.length(2)
  })

  it('shares a topic with more partitions than a call can have arguments', () => {
    const partitions = Array.from({ length: 200_000 }, (_, partition) => partition)
    expect(share(partitions, ['a'])['a']).to.have.lengthOf(200_000)
  })
})
