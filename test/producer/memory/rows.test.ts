import { expect } from 'chai'
import type { ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import { Batch } from '../../../src/producer/memory/batch.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { DeliveryStage, offsetsOf, record } from '../../support/delivery-stage.js'
import { SeededRandom } from '../../support/random.js'

const options = { compression: 'none', timeoutMs: 1_000 } as const
const unlessDelivered = (pendingProduce: MemoryPendingProduce) =>
  new Promise<readonly RecordOutcome[] | undefined>(resolve => pendingProduce.whenSettled(resolve))
const numbering = { producerId: 7n, epoch: 3, nextSequence: 40 }
const valuesOf = (count: number, from = 0): ProduceRecord[] =>
  Array.from({ length: count }, (_, at) => record('orders', `${from + at}`))

describe('delivery: records in a row', () => {
  let stage: DeliveryStage | undefined
  afterEach(() => {
    stage?.restore()
    stage = undefined
  })

  describe('in a batch', () => {
    const batchOf = (maxBytes = 100_000): Batch => new Batch(options, maxBytes)
    /** The same records in two batches: in rows, and one by one. */
    const both = (random: SeededRandom) => {
      const maxBytes = random.between(300, 3_000)
      const batches = [batchOf(maxBytes), batchOf(maxBytes)] as const
      const requests = Array.from({ length: 5 }, () => {
        const records = valuesOf(random.between(1, 20), 100)
        const deadlineAt = random.pick([500, 700])
        const pendings = batches.map(() => new MemoryPendingProduce(records.length, deadlineAt, 5))
        const timestampMs = random.pick([1_000, 1_001])
        let from = 0
        while (from < records.length) {
          const to = random.between(from + 1, records.length)
          const taken = batches[0].appendRow({ records, from, to, timestampMs, pendingProduce: pendings[0]! })
          for (let at = from; at < to; at++) {
            const charge = batches[1].append(records[at]!, timestampMs, pendings[1]!, at)
            expect(charge > 0, `record ${at}`).to.equal(at < from + taken)
          }
          from = to
        }
        return pendings
      })
      return { batches, requests }
    }
    const factsOf = (batch: Batch) => ({
      size: batch.sizeBytes,
      charged: batch.chargedBytes,
      records: batch.recordCount,
      isClosed: batch.isClosed,
      oldestAt: batch.oldestAt,
      newestMs: batch.newestMs,
      deadlineAt: batch.earliestDeadlineAt
    })
    const settledIn = async (requests: readonly MemoryPendingProduce[][], which: number) =>
      Promise.all(requests.map(pendings => (pendings[which]!.isComplete ? pendings[which]!.outcomes() : 'open')))

    it('are what they are one by one: bytes, charge, outcomes, and after a part of them was withdrawn', async () => {
      for (let seed = 1; seed <= 100; seed++) {
        const random = new SeededRandom(seed)
        const { batches, requests } = both(random)
        const [inRows, single] = batches
        expect(factsOf(inRows), `seed ${seed}`).to.deep.equal(factsOf(single))
        const expiry = random.pick(['none', 'withdrawn', 'unknown'])
        if (expiry !== 'none') {
          const expired = batches.map(batch =>
            batch.expire(600, expiry === 'withdrawn', persisted => failures.timedOut('late', persisted))
          )
          expect(expired[0], `seed ${seed}`).to.equal(expired[1])
        }
        if (inRows.recordCount > 1 && random.next() < 0.3) {
          const parts = batches.map(batch => batch.split())
          for (const part of [0, 1] as const)
            expect(parts[0]![part].numbered(numbering).bytes).to.deep.equal(parts[1]![part].numbered(numbering).bytes)
          for (const [first, second] of parts) {
            first.deliver(2, 50, -1)
            second.fail(failures.bug('no'))
          }
        } else if (!inRows.isEmpty) {
          expect(inRows.numbered(numbering).bytes, `seed ${seed}`).to.deep.equal(single.numbered(numbering).bytes)
          expect(inRows.indexes, `seed ${seed}`).to.deep.equal(single.indexes)
          const [offset, appendedAt] = [random.pick([-1, 70]), random.pick([-1, 9_000])]
          for (const batch of batches) batch.deliver(2, offset, appendedAt)
        }
        expect(await settledIn(requests, 0), `seed ${seed}`).to.deep.equal(await settledIn(requests, 1))
      }
    })

    it('get new timestamps where they have none of their own', () => {
      const [rows, single] = [batchOf(), batchOf()]
      const records = [...valuesOf(3), { ...record('orders', 'timed'), timestampMs: 2_000 }, ...valuesOf(2, 4)]
      for (const [at, one] of records.entries()) single.append(one, one.timestampMs ?? 1_000, pendingOf(6), at)
      const pendingProduce = pendingOf(6)
      rows.appendRow({ records, from: 0, to: 3, timestampMs: 1_000, pendingProduce })
      rows.append(records[3]!, 2_000, pendingProduce, 3)
      rows.appendRow({ records, from: 4, to: 6, timestampMs: 1_000, pendingProduce })
      expect(rows.numbered(numbering, 90_000).bytes).to.deep.equal(single.numbered(numbering, 90_000).bytes)
      expect(rows.newestMs).to.equal(90_000)
    })
  })

  const pendingOf = (records: number): MemoryPendingProduce => new MemoryPendingProduce(records, 500, 5)

  describe('in a request', () => {
    const row = (index: number, count: number, offset: number) => [index, count, 1, offset, 9] as const
    const delivered = (offset: number): RecordOutcome => ({ type: 'delivered', partition: 1, offset, timestampMs: 9 })
    const LATE = failures.timedOut('late', 'unknown')

    it('have an outcome each, with an offset each where it is known', async () => {
      const pendingProduce = pendingOf(5)
      const asked = pendingProduce.outcomes()
      pendingProduce.delivered(...row(2, 3, 40))
      expect([pendingProduce.isComplete, pendingProduce.isSettled(1), pendingProduce.isSettled(2)]).to.deep.equal([
        false,
        false,
        true
      ])
      pendingProduce.delivered(...row(0, 2, -1))
      const expected = [-1, -1, 40, 41, 42].map(delivered)
      expect([await asked, await pendingProduce.outcomes()]).to.deep.equal([expected, expected])
    })

    it('are not listed for a caller that only asks whether all were delivered', async () => {
      const pendingProduce = pendingOf(4)
      const asked = unlessDelivered(pendingProduce)
      pendingProduce.delivered(...row(0, 3, 7))
      pendingProduce.delivered(...row(3, 1, 10))
      expect([await asked, await unlessDelivered(pendingProduce)]).to.deep.equal([undefined, undefined])
      expect(await pendingProduce.outcomes()).to.deep.equal([7, 8, 9, 10].map(delivered))
    })

    it('are told once to callers that need no promise, in their order, whether they ask before or after', () => {
      const told: unknown[] = []
      const [early, late] = [pendingOf(2), pendingOf(2)]
      for (const name of ['a', 'b', 'c']) early.whenSettled(outcomes => told.push([name, outcomes]))
      for (const pendingProduce of [early, late]) pendingProduce.delivered(...row(0, 1, 7))
      early.fail(1, LATE)
      late.delivered(...row(1, 1, 8))
      early.settle(1, delivered(9))
      late.whenSettled(outcomes => told.push(outcomes))
      const outcomes = [delivered(7), LATE]
      expect(told).to.deep.equal([['a', outcomes], ['b', outcomes], ['c', outcomes], undefined])
    })

    it('are all listed when one of them was not delivered, and the first outcome of each counts', async () => {
      for (const isEarly of [true, false]) {
        const pendingProduce = pendingOf(3)
        const asked = [unlessDelivered(pendingProduce), pendingProduce.outcomes()]
        if (isEarly) pendingProduce.settle(1, LATE)
        pendingProduce.delivered(...row(0, 2, 7))
        if (!isEarly) pendingProduce.settle(1, LATE)
        pendingProduce.fail(2, LATE)
        pendingProduce.settle(2, delivered(9))
        const expected = [delivered(7), isEarly ? LATE : delivered(8), LATE]
        for (const outcomes of await Promise.all([...asked, unlessDelivered(pendingProduce)]))
          expect(outcomes).to.deep.equal(expected)
      }
    })
  })

  it('are at the offsets that their outcomes name, in the order of each partition, however they are mixed', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      stage?.restore()
      const random = new SeededRandom(seed)
      const settings = { batchMaxBytes: random.pick([400, 2_000, 1_000_000]) }
      stage = new DeliveryStage({ orders: 3, others: 1 }, settings, () => random.next())
      for (const topic of ['orders', 'others']) await stage.warmUp(topic, 0)
      let value = 0
      const requests = Array.from({ length: 6 }, () => {
        const records: ProduceRecord[] = []
        while (records.length < 60) {
          const like = {
            topic: random.pick(['orders', 'orders', 'others']),
            key: random.pick([null, null, 'key']),
            partition: random.next() < 0.3 ? 0 : undefined,
            ...(random.next() < 0.2 && { timestampMs: 5_000 })
          }
          for (let row = random.between(1, 30); row > 0; row--) {
            const size = random.pick([1, 1, 1, 500])
            records.push({ ...like, value: `${++value}`.padStart(size, ' ') })
          }
        }
        return { records, sent: stage!.send(records) }
      })
      await stage.pass(1_000)
      for (const { records, sent } of requests) {
        expect(offsetsOf(sent), `seed ${seed}`).to.have.length(records.length)
        for (const [at, outcome] of sent.outcomes!.entries()) {
          if (outcome.type !== 'delivered') throw new Error(`seed ${seed}: ${outcome.message}`)
          const log = stage.router.partition(records[at]!.topic, outcome.partition).values
          expect(log[outcome.offset], `seed ${seed}`).to.equal(records[at]!.value)
        }
      }
      for (const [topic, partitions] of [['orders', 3] as const, ['others', 1] as const]) {
        for (let partition = 0; partition < partitions; partition++) {
          const values = stage.router
            .partition(topic, partition)
            .values.slice(partition === 0 ? 1 : 0)
            .map(Number)
          expect(values, `seed ${seed}`).to.deep.equal(values.toSorted((a, b) => a - b))
        }
      }
    }
  })

  it('are refused one by one where the capacity ends, and the buffer holds no more than it may', async () => {
    const maxBytes = 64 * 1024
    stage = new DeliveryStage({ orders: 1 }, { maxBytes })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    stage.send(record('orders', 'held', 0))
    await stage.pass(10)
    const sent = Array.from({ length: 20 }, () => stage!.send(valuesOf(50)))
    expect(stage.delivery.stats().bufferedBytes).to.be.within(maxBytes / 8, maxBytes)
    const refused = sent.flatMap(({ refused }) => refused ?? []).filter(failure => failure !== undefined)
    expect(new Set(refused.map(({ code }) => code))).to.deep.equal(new Set(['overloaded']))
    expect(stage.delivery.stats().refused).to.equal(refused.length)
    stage.router.release()
    await stage.pass(1_000)
    const { delivered, bufferedBytes, bufferedRecords } = stage.delivery.stats()
    expect([delivered + refused.length, bufferedBytes, bufferedRecords]).to.deep.equal([1_000 + 2, 0, 0])
  })
})
