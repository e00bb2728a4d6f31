import { expect } from 'chai'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import {
  type Arrival,
  OverflowQueue,
  roughSizeOf,
  WaitingRecords
} from '../../../src/producer/memory/waiting-records.js'

/** Beside its bytes: the first record of a request, and any other. */
const FIRST_BYTES = 1_024
const OTHER_BYTES = 256

const pendingOf = (records = 1, capacityUntil = 1_000): MemoryPendingProduce =>
  new MemoryPendingProduce(records, 10_000, 0, capacityUntil)
function arrival(value: string | Buffer, pendingProduce = pendingOf(), index = 0): Arrival {
  return {
    record: { topic: 't', key: null, value },
    partitioner: 'random' as never,
    timestampMs: 7,
    pendingProduce,
    index
  }
}

describe('delivery: what a record weighs', () => {
  it('is its key, its value and its headers, characters for bytes where it is text', () => {
    const header = (value: Buffer | null) => ({ key: 'head', value })
    for (const [record, size] of [
      [{ key: null, value: null }, 0],
      [{ key: 'ab', value: null }, 2],
      [{ key: Buffer.alloc(3), value: '€' }, 4],
      [{ key: null, value: null, headers: [] }, 0],
      [{ key: 'a', value: 'b', headers: [header(null), header(Buffer.alloc(5))] }, 15]
    ] as const) {
      expect(roughSizeOf({ topic: 'a long name of a topic', ...record })).to.equal(size)
    }
  })

  it('is what is held for it while it is parked, with its bookkeeping', () => {
    const deferred = new WaitingRecords()
    const pendingProduce = pendingOf(3)
    expect([0, 1, 2].map(index => deferred.add(arrival('abc', pendingProduce, index)))).to.deep.equal([
      3 + FIRST_BYTES,
      3 + OTHER_BYTES,
      3 + OTHER_BYTES
    ])
    expect(deferred.chargedBytes).to.equal(9 + FIRST_BYTES + 2 * OTHER_BYTES)
    let held = 0
    const queue = new OverflowQueue(bytes => (held += bytes))
    queue.add(arrival('abc', pendingProduce, 1))
    expect(held).to.equal(3 + OTHER_BYTES)
  })
})
