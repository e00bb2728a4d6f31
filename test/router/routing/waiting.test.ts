import { expect } from 'chai'
import fc from 'fast-check'
import type { Failure } from '../../../src/router/messages/operations.js'
import type { Holder, OpenRequest, OpenRequests } from '../../../src/router/requests/open-requests.js'
import { DueHeap } from '../../../src/router/routing/refresh-schedule.js'
import { nodePlace, RequestLines, WaitingRequests } from '../../../src/router/routing/waiting-requests.js'
import { collectGarbage } from '../../support/held-bytes.js'
import { turns } from '../../support/ticks.js'

describe('router: items by the time at which they are due', () => {
  it('come out in the order of their times, those of one time in the order in which they were added', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 60 }), fc.nat(20), fc.nat(60), (times, now, most) => {
        const heap = new DueHeap<number>(() => true)
        times.forEach((dueAt, item) => heap.add(item, dueAt))
        const due = times
          .map((dueAt, item) => ({ dueAt, item }))
          .filter(({ dueAt }) => dueAt <= now)
          .sort((a, b) => a.dueAt - b.dueAt || a.item - b.item)
          .map(({ item }) => item)
        expect(heap.takeDue(now, most)).to.deep.equal(due.slice(0, most))
        expect(heap.size).to.equal(times.length - Math.min(most, due.length))
      })
    )
  })

  it('are passed over when they are not wanted any more, or are wanted at another time', () => {
    const dueAt = new Map([
      ['a', 5],
      ['b', 7]
    ])
    const heap = new DueHeap<string>((item, at) => dueAt.get(item) === at)
    heap.add('gone', 1)
    heap.add('a', 2)
    heap.add('b', 7)
    heap.add('a', 5)
    expect(heap.nextAt()).to.equal(5)
    expect(heap.takeDue(10, 10)).to.deep.equal(['a', 'b'])
    expect([heap.nextAt(), heap.size]).to.deep.equal([undefined, 0])
  })
})

/** What parking knows of a request. */
class FakeRequest {
  readonly name: string
  holder: Holder | undefined
  constructor(name: string) {
    this.name = name
  }
  heldBy(holder: Holder | undefined): void {
    const before = this.holder
    this.holder = holder
    if (before && before !== holder) before.release(this as unknown as OpenRequest)
  }
}

describe('router: requests that wait', () => {
  const made: RequestLines[] = []
  afterEach(() => {
    for (const queues of made.splice(0)) queues.takeAll()
  })

  function queuesOf(limit: number) {
    const told: string[] = []
    const watched: string[] = []
    const queues = new RequestLines({
      limit,
      openRequests: {
        watch: (request: unknown) => watched.push((request as FakeRequest).name)
      } as unknown as OpenRequests,
      onEvicted: request => {
        const evicted = request as unknown as FakeRequest
        told.push(`evicted ${evicted.name}`)
        evicted.heldBy(undefined)
      },
      onEmpty: place => told.push(`empty ${place}`)
    })
    made.push(queues)
    const enqueue = (place: string, name: string, as?: 'known' | 'fresh' | 'missed'): boolean => {
      const request = new FakeRequest(name)
      requests.set(name, request)
      return queues.enqueue(place, request as unknown as OpenRequest, as)
    }
    const requests = new Map<string, FakeRequest>()
    const many = (place: string, count: number): void => {
      for (let at = 0; at < count; at++) expect(enqueue(place, `${place}${at}`)).to.equal(true)
    }
    const take = (place: string): string[] =>
      queues.take(place).map(request => (request as unknown as FakeRequest).name)
    return {
      queues,
      told,
      watched,
      enqueue,
      many,
      take,
      answer: (name: string) => requests.get(name)!.heldBy(undefined)
    }
  }

  it('are taken out at their place, in the order in which they came', () => {
    const { queues, enqueue, take, told, watched } = queuesOf(10)
    enqueue('a', '1')
    enqueue('b', '2')
    enqueue('a', '3')
    expect([queues.size, queues.has('a'), queues.has('c')]).to.deep.equal([3, true, false])
    expect(take('a')).to.deep.equal(['1', '3'])
    expect([queues.size, queues.has('a'), take('a')]).to.deep.equal([1, false, []])
    expect(queues.takeAll()).to.have.length(1)
    expect(queues.size).to.equal(0)
    expect(told, 'what is taken out is not gone').to.deep.equal([])
    expect(watched).to.deep.equal(['1', '2', '3'])
  })

  it('leave when they are answered, and the last one is told of', () => {
    const { queues, enqueue, told, answer } = queuesOf(10)
    enqueue('a', '1')
    enqueue('a', '2')
    answer('1')
    expect([queues.size, told]).to.deep.equal([1, []])
    answer('2')
    expect([queues.size, queues.has('a'), told]).to.deep.equal([0, false, ['empty a']])
  })

  it('give way, the newest of a crowded place, to one for a place with far fewer', () => {
    const { queues, enqueue, many, told, take } = queuesOf(8)
    many('crowd', 6)
    many('few', 2)
    expect(enqueue('new', '1')).to.equal(true)
    expect(told).to.deep.equal(['evicted crowd5'])
    expect(enqueue('few', '2')).to.equal(true)
    expect(told.at(-1)).to.equal('evicted crowd4')
    expect(queues.size).to.equal(8)
    expect(take('crowd')).to.deep.equal(['crowd0', 'crowd1', 'crowd2', 'crowd3'])
  })

  it('are refused at a place that is crowded itself, or where no other has far more', () => {
    const { enqueue, many, told } = queuesOf(8)
    many('crowd', 4)
    many('other', 4)
    expect(enqueue('crowd', 'x')).to.equal(false)
    expect(enqueue('third', '1')).to.equal(true)
    expect(told).to.have.length(1)
    const even = queuesOf(4)
    for (const place of ['a', 'b', 'c', 'd']) even.enqueue(place, place)
    expect(even.enqueue('e', 'e')).to.equal(false)
    expect(even.told).to.deep.equal([])
  })

  it('for names that brokers miss have half of all places, with names that were never looked up three quarters', () => {
    const { enqueue, queues, take } = queuesOf(8)
    for (let at = 0; at < 4; at++) expect(enqueue(`m${at}`, `${at}`, 'missed')).to.equal(true)
    expect(enqueue('m', 'x', 'missed')).to.equal(false)
    for (let at = 0; at < 2; at++) expect(enqueue(`f${at}`, `f${at}`, 'fresh')).to.equal(true)
    expect(enqueue('f', 'x', 'fresh')).to.equal(false)
    for (let at = 0; at < 2; at++) expect(enqueue(`k${at}`, `k${at}`)).to.equal(true)
    expect(queues.size).to.equal(8)
    take('m0')
    expect(enqueue('f', 'y', 'fresh')).to.equal(true)
    take('k0')
    expect(enqueue('m', 'y', 'missed'), 'three quarters are in use').to.equal(false)
  })

  it('are refused with the share of the places that those of their kind may take', () => {
    const openRequests = { watch: () => undefined }
    const waiting = new WaitingRequests({ openRequests, settings: { maxWaitingRequests: 0 } } as never, () => undefined)
    const refusalOf = (as: 'known' | 'fresh' | 'missed'): string | undefined => {
      let told: string | undefined
      const answers = { failed: (_: unknown, { message }: Failure) => message }
      const request = { operation: { answers }, answer: (message: string) => (told = message) }
      expect(waiting.enqueue(nodePlace(1), request as never, as)).to.equal(false)
      return told
    }
    const [many, limit] = ['too many requests wait for Kafka', '(limit 0; advanced.router.maxWaitingRequests)']
    expect([refusalOf('known'), refusalOf('fresh'), refusalOf('missed')]).to.deep.equal([
      `${many} ${limit}`,
      `${many}; those for unknown topics may take three quarters of the places ${limit}`,
      `${many}; those for missing topics may take half of the places ${limit}`
    ])
  })

  it('that came and went by the thousand leave the newest one to give way', () => {
    const { enqueue, answer, told } = queuesOf(40)
    for (let at = 0; at < 20; at++) enqueue('crowd', `stays${at}`)
    for (let at = 0; at < 1_000; at++) {
      enqueue('crowd', `goes${at}`)
      answer(`goes${at}`)
    }
    for (let at = 0; at < 20; at++) enqueue(`single${at}`, `single${at}`)
    enqueue('one', 'more')
    enqueue('another', 'one')
    expect(told).to.deep.equal(['evicted stays19', 'evicted stays18'])
  })

  it('are let go when they are answered, also where others of their place wait on', async () => {
    const { queues, enqueue } = queuesOf(40)
    enqueue('crowd', 'stays')
    const left = Array.from({ length: 10 }, (_, nth) => {
      const request = new FakeRequest(`goes${nth}`)
      queues.enqueue('crowd', request as unknown as OpenRequest)
      request.heldBy(undefined)
      return new WeakRef(request)
    })
    // What a weak reference points to is kept until the turn in which that was made is over.
    await turns(2)
    collectGarbage()
    expect(left.filter(one => one.deref() !== undefined)).to.deep.equal([])
    expect(queues.size).to.equal(1)
  })
})
