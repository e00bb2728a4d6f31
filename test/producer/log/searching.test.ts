import { expect } from 'chai'
import type { DestinationSearch } from '../../../src/producer/log/backlog.js'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore } from './stage.js'

interface Answer {
  readonly destinations: readonly (readonly [string, number])[]
  readonly nextSequence: number
  readonly isAtEnd: boolean
}

function search(store: LogStore, request: Partial<DestinationSearch> = {}): Answer {
  const found = store.search({
    fromSequence: 1,
    cluster: 'default',
    except: new Set(),
    maxDestinations: 100,
    ...request
  })
  return { ...found, destinations: [...found.destinations] }
}

/** A log with one entry for each of these, in this order. */
function holding(destinations: readonly string[], disk = new SimulatedDisk()): LogStore {
  const { store } = openStore(disk)
  for (const destination of destinations) store.commit(group(['x'.repeat(200)], destination))
  return store
}

describe('searching the durable log for destinations', () => {
  it('finds each topic of the cluster once, at its first entry that is not completed', () => {
    const store = holding(['default/orders', 'default/audit', 'default/orders', 'default/audit'])
    expect(search(store).destinations).to.deep.equal([
      ['default/orders', 1],
      ['default/audit', 2]
    ])
    store.complete([{ first: 1, count: 1 }])
    expect(search(store).destinations).to.deep.equal([
      ['default/audit', 2],
      ['default/orders', 3]
    ])
    store.complete([{ first: 2, count: 3 }])
    expect(search(store)).to.deep.include({ destinations: [], isAtEnd: true })
  })

  it('takes no topic of another cluster for one of its own, however alike their names are', () => {
    const others = ['other/orders', 'default2/orders', 'defaul/orders', 'default/eu/orders', 'default/', 'default']
    const store = holding([...others, 'default/o'])
    expect(search(store).destinations).to.deep.equal([['default/o', 7]])
    expect(search(store, { cluster: 'default/eu' }).destinations).to.deep.equal([['default/eu/orders', 4]])
    expect(search(store, { cluster: 'missing' }).destinations).to.deep.equal([])
  })

  it('passes over topics that are known already', () => {
    const store = holding(['default/a', 'default/b', 'default/c'])
    expect(search(store, { except: new Set(['default/a', 'default/c']) }).destinations).to.deep.equal([
      ['default/b', 2]
    ])
  })

  it('begins at the sequence it is given, also in the middle of a segment and behind a removed one', () => {
    const store = holding(Array.from({ length: 12 }, (_, at) => `default/topic-${at}`))
    expect(search(store, { fromSequence: 6 }).destinations.map(([, sequence]) => sequence)).to.deep.equal([
      6, 7, 8, 9, 10, 11, 12
    ])
    store.complete([{ first: 1, count: 9 }])
    expect(search(store).destinations.map(([, sequence]) => sequence)).to.deep.equal([10, 11, 12])
    expect(search(store, { fromSequence: 13 })).to.deep.equal({ destinations: [], nextSequence: 13, isAtEnd: true })
    expect(search(store, { fromSequence: 99 })).to.deep.equal({ destinations: [], nextSequence: 99, isAtEnd: true })
  })

  it('stops at the number of topics that is asked for, and goes on there', () => {
    const store = holding(['default/a', 'default/a', 'default/b', 'default/a', 'default/c', 'default/d'])
    const first = search(store, { maxDestinations: 2 })
    expect(first).to.deep.equal({
      destinations: [
        ['default/a', 1],
        ['default/b', 3]
      ],
      nextSequence: 5,
      isAtEnd: false
    })
    const known = new Set(first.destinations.map(([name]) => name))
    const rest = search(store, { fromSequence: first.nextSequence, except: known, maxDestinations: 2 })
    expect(rest).to.deep.equal({
      destinations: [
        ['default/c', 5],
        ['default/d', 6]
      ],
      nextSequence: 7,
      isAtEnd: true
    })
  })

  it('finds the topics of segments that were merged, at the sequences that they have', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { maxWastedBytes: 0 })
    for (let round = 0; round < 20; round++) {
      const { firstSequence } = store.commit(group(Array.from({ length: 16 }, () => 'done')))
      store.commit(group(['stuck'], `default/stuck-${round % 3}`))
      store.complete([{ first: firstSequence, count: 16 }])
    }
    const segments = store.stats.segmentCount
    store.tick()
    expect(store.stats.segmentCount).to.be.below(segments)
    expect(search(store).destinations).to.deep.equal([
      ['default/stuck-0', 17],
      ['default/stuck-1', 34],
      ['default/stuck-2', 51]
    ])
    expect(search(store, { fromSequence: 18 }).destinations).to.deep.equal([
      ['default/stuck-1', 34],
      ['default/stuck-2', 51],
      ['default/stuck-0', 68]
    ])
  })

  it('looks at no more than half a million entries in one call, so that appends do not wait for it', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk, { segmentBytes: 64 * 1024 * 1024, syncPuts: false })
    const one = group([''], 'default/orders')
    for (let part = 0; part < 5; part++) store.commit(Buffer.concat(Array.from({ length: 100_000 }, () => one)))
    store.commit(group([''], 'default/audit'))
    const first = search(store)
    expect(first).to.deep.equal({ destinations: [['default/orders', 1]], nextSequence: 500_001, isAtEnd: false })
    const rest = search(store, { fromSequence: first.nextSequence, except: new Set(['default/orders']) })
    expect(rest.destinations).to.deep.equal([['default/audit', 500_001]])
    expect(rest.isAtEnd).to.equal(true)
  })
})
