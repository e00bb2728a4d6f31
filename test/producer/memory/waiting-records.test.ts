import { expect } from 'chai'
import { Budget, PartitionCharge } from '../../../src/producer/memory/budget.js'
import { failures } from '../../../src/producer/memory/failures.js'
import type { PartitionProducer } from '../../../src/producer/memory/partition-producer.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import {
  type Arrival,
  CapacityQueues,
  OverflowQueue,
  roughSizeOf,
  WaitingRecords
} from '../../../src/producer/memory/waiting-records.js'
import { turns } from '../../support/ticks.js'

/** Beside its bytes: the first record of a request, and any other. */
const FIRST_BYTES = 1_024
const OTHER_BYTES = 256
const FULL = failures.overloaded('it is', 1, 's')

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

/** A partition whose records cost what they weigh. */
class SmallPartition {
  readonly charge: PartitionCharge
  readonly values: string[] = []

  constructor(budget: Budget, maxBytes: number) {
    this.charge = new PartitionCharge(budget, maxBytes)
  }
  append({ value }: Arrival['record'], timestampMs: number, pendingProduce: MemoryPendingProduce, index: number): void {
    this.values.push(`${value} ${timestampMs} ${index}`)
    this.charge.take(value!.length, pendingProduce)
  }
}

describe('delivery: the queues for room', () => {
  let budget: Budget
  let queues: CapacityQueues
  let entered: string[]
  let producer: SmallPartition & PartitionProducer
  const another = (): SmallPartition & PartitionProducer =>
    new SmallPartition(budget, 100) as SmallPartition & PartitionProducer
  const start = (maxBytes = 100_000): void => {
    entered = []
    budget = new Budget(10_000, () => undefined)
    queues = new CapacityQueues(maxBytes, ({ record }) => entered.push(String(record.value)))
    producer = another()
  }
  beforeEach(() => start())
  const fill = (): void => producer.charge.take(100, pendingOf())
  const empty = (): void => producer.charge.hold(-100, -1)

  it('let records in when there is room, in order, and no smaller one before', async () => {
    fill()
    const pendingProduce = pendingOf(3)
    for (const [index, size] of [60, 50, 1].entries())
      queues.add(producer, arrival('x'.repeat(size), pendingProduce, index))
    expect([queues.isEmpty, producer.charge.isWaitedFor, pendingProduce.isWaiting]).to.deep.equal([false, true, true])
    queues.freed()
    await turns(2)
    expect(producer.values).to.deep.equal([])
    producer.charge.hold(-40, -1)
    producer.charge.take(0, pendingOf())
    queues.freed()
    queues.freed()
    await turns(2)
    expect(producer.values, 'there is room for the last one').to.deep.equal([])
    producer.charge.hold(-60, 0)
    queues.freed()
    expect(producer.values, 'not within the turn').to.deep.equal([])
    await turns(2)
    expect(producer.values.map(value => value.split(' ').slice(1))).to.deep.equal([
      ['7', '0'],
      ['7', '1'],
      ['7', '2']
    ])
    expect([entered.length, queues.isEmpty, producer.charge.isWaitedFor, pendingProduce.isWaiting]).to.deep.equal([
      3,
      true,
      false,
      false
    ])
  })

  it('keep who does not fit yet, and go on with it the next time', async () => {
    fill()
    for (const size of [60, 50]) queues.add(producer, arrival('x'.repeat(size), pendingOf()))
    empty()
    queues.freed()
    await turns(2)
    expect([producer.values.length, queues.isEmpty, producer.charge.isWaitedFor]).to.deep.equal([1, false, true])
    producer.charge.hold(-60, -1)
    expect(queues.tick(0, () => FULL)).to.equal(0)
    expect([producer.values.length, queues.isEmpty]).to.deep.equal([2, true])
  })

  it('hold up to as many bytes as the buffer, and one partition what it leaves to others, to the byte', () => {
    start(10_000)
    fill()
    const add = (to: SmallPartition & PartitionProducer, bytes: number): boolean =>
      queues.add(to, arrival('x'.repeat(bytes)))
    expect([add(producer, 10_001 - FIRST_BYTES), queues.isEmpty, producer.charge.isWaitedFor]).to.deep.equal([
      false,
      true,
      false
    ])
    expect([
      add(producer, 4_000 - FIRST_BYTES),
      add(producer, 2_001),
      add(producer, 2_000 - FIRST_BYTES)
    ]).to.deep.equal([true, false, true])
    expect(add(producer, 0), 'more than half of it').to.equal(false)
    const other = another()
    expect([add(other, 4_001 - FIRST_BYTES), add(other, 4_000 - FIRST_BYTES)]).to.deep.equal([false, true])
    expect(queues.close(producer, FULL) + queues.close(other, FULL)).to.equal(3)
    expect([add(producer, 10_000 - FIRST_BYTES), queues.isEmpty]).to.deep.equal([true, false])
  })

  it('send those away that have waited long enough, and say how many and why', async () => {
    fill()
    const other = another()
    other.charge.take(100, pendingOf())
    const [short, long] = [pendingOf(1, 100), pendingOf(1, 200)]
    queues.add(producer, arrival('long', long))
    queues.add(producer, arrival('short', short))
    queues.add(other, arrival('other', pendingOf(1, 200)))
    const asked: unknown[] = []
    const failureOf = (...told: unknown[]) => {
      asked.push(told)
      return FULL
    }
    expect([queues.tick(99, failureOf), asked]).to.deep.equal([0, []])
    expect([queues.tick(100, failureOf), asked]).to.deep.equal([1, [[producer, 5]]])
    expect([await short.accepted(), short.isWaiting, long.isWaiting]).to.deep.equal([[FULL], false, true])
    expect(producer.charge.isWaitedFor).to.equal(true)
    expect([queues.tick(200, failureOf), queues.isEmpty]).to.deep.equal([2, true])
    expect([producer.charge.isWaitedFor, other.charge.isWaitedFor]).to.deep.equal([false, false])
    expect(entered, 'none of them was taken').to.deep.equal([])
  })

  it('send all of a partition away when it is closed, and none of another', async () => {
    fill()
    const other = another()
    other.charge.take(100, pendingOf())
    const pendingProduce = pendingOf()
    queues.add(producer, arrival('a', pendingProduce))
    queues.add(other, arrival('b'))
    expect([queues.close(another(), FULL), queues.close(producer, FULL), queues.close(producer, FULL)]).to.deep.equal([
      0, 1, 0
    ])
    expect([await pendingProduce.outcomes(), queues.isEmpty, other.charge.isWaitedFor]).to.deep.equal([
      [FULL],
      false,
      true
    ])
  })
})

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

  it('is copied where it is bytes: text stays what it is', () => {
    const [deferred, queue] = [new WaitingRecords(), new OverflowQueue(() => undefined)]
    const bytes = Buffer.from('abc')
    for (const value of ['abc', bytes]) {
      deferred.add(arrival(value))
      queue.add(arrival(value))
    }
    bytes.fill('x')
    const values = deferred.takeAll().map(({ record }) => record.value)
    queue.enterAll(({ record }) => {
      values.push(record.value)
      return undefined
    })
    expect(values.map(String)).to.deep.equal(['abc', 'abc', 'abc', 'abc'])
    expect(values.map(value => typeof value)).to.deep.equal(['string', 'object', 'string', 'object'])
  })
})
