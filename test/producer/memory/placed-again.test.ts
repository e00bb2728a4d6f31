import { expect } from 'chai'
import { partitioners } from '../../../src/producer/memory/partitioners.js'
import { DeliveryStage, offsetsOf, record, type Sent } from '../../support/delivery-stage.js'
import { SeededRandom } from '../../support/random.js'

const TOPIC = 'shrinks'
const SEEDS = 20

const keyOf = (partition: number, partitions: number): string =>
  Array.from({ length: 100 }, (_, at) => `key-${at}`).find(
    key => partitioners.murmur2(Buffer.from(key), partitions, TOPIC) === partition
  )!

describe('memory: records that are placed again, since their topic was created anew with fewer partitions', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  async function start(partitions: number, random?: () => number): Promise<void> {
    stage = new DeliveryStage({ [TOPIC]: partitions }, {}, random)
    for (let partition = 0; partition < partitions; partition++) await stage.warmUp(TOPIC, partition)
  }

  it('keep the order of a key where another partition has learnt of it before', async () => {
    await start(8)
    const [first, second] = [keyOf(7, 8), keyOf(6, 8)]
    stage.router.wipe({ [TOPIC]: 2 })
    stage.send(record(TOPIC, 'b', undefined, second))
    await stage.pass(400)
    const sent: Sent[] = []
    for (let n = 1; n <= 20; n++) {
      sent.push(stage.send(record(TOPIC, `${n}`, undefined, first)))
      await stage.pass(5)
    }
    await stage.pass(5_000)
    const numbers = Array.from({ length: 20 }, (_, at) => `${at + 1}`)
    expect(stage.router.values(TOPIC).filter(value => value !== 'b')).to.deep.equal(numbers)
    const offsets = sent.map(one => Number(offsetsOf(one)![0]))
    expect(offsets).to.deep.equal([...offsets].sort((one, other) => one - other))
  })

  it('are not placed behind later ones where the number of partitions has changed since they were placed', async () => {
    await start(8)
    const places = (key: string): string =>
      [8, 2, 3].map(count => partitioners.murmur2(Buffer.from(key), count, TOPIC)).join()
    const key = Array.from({ length: 1_000 }, (_, at) => `key-${at}`).find(one => places(one) === '6,0,1')!
    const wait = (): void =>
      void stage.router
        .partition(TOPIC, 0)
        .script.push(...Array.from({ length: 20 }, () => ({ type: 'notSent', reason: 'noLeader' }) as const))
    stage.router.wipe({ [TOPIC]: 2 })
    wait()
    const first = stage.send(record(TOPIC, 'first', undefined, key))
    await stage.pass(2_000)
    stage.router.wipe({ [TOPIC]: 3 })
    wait()
    stage.send(record(TOPIC, 'of a new partition', 2))
    await stage.pass(2_000)
    const second = stage.send(record(TOPIC, 'second', undefined, key))
    await stage.pass(2_000)
    expect(second.outcomes?.[0]).to.include({ type: 'delivered' })
    stage.router.partition(TOPIC, 0).script.splice(0, 20, { type: 'notSent', reason: 'unknownPartition' })
    await stage.pass(10_000)
    expect(stage.router.partition(TOPIC, 1).values).to.deep.equal(['second'])
    expect(first.outcomes?.[0]).to.include({ type: 'failed', code: 'unknownPartition', persisted: 'no' })
  })

  it('keep no record of another partition waiting where a leader does not know its own, and fail soon', async () => {
    await start(2)
    const never = Array.from({ length: 1_000 }, () => ({ type: 'notSent', reason: 'unknownPartition' }) as const)
    stage.router.partition(TOPIC, 0).script.push(...never)
    const failing = stage.send(record(TOPIC, 'x', undefined, keyOf(0, 2)), 30_000)
    await stage.pass(200)
    expect(failing.outcomes?.[0]).to.include({ type: 'failed', code: 'unknownPartition', persisted: 'no' })
    for (let n = 0; n < 100; n++) {
      stage.send(record(TOPIC, 'x', undefined, keyOf(0, 2)), 30_000)
      const other = stage.send(record(TOPIC, 'y', 1))
      await stage.pass(50)
      expect(other.outcomes?.[0]).to.include({ type: 'delivered' })
    }
  })

  it('are neither reordered nor doubled nor lost, in many ways of trouble', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed)
      const below = (limit: number): number => random.between(0, limit - 1)
      await start(8, () => below(1_000) / 1_000)
      stage.router.latencyMs = 1 + below(10)
      const all: { readonly n: number; readonly sent: Sent; readonly at: number }[] = []
      const wipeAt = 5 + below(20)
      for (let round = 0; round < 60; round++) {
        if (round === wipeAt) stage.router.wipe({ [TOPIC]: 1 + below(4) })
        else if (round < wipeAt && below(2) === 0) {
          const trouble = below(3) === 0 ? { type: 'hold' as const } : { type: 'reject' as const, errorCode: 19 }
          stage.router.partition(TOPIC, below(8)).script.push(...Array(1 + below(4)).fill(trouble))
        }
        if (round === wipeAt + 20 && below(3) === 0) stage.router.wipe({ [TOPIC]: 1 + below(8) })
        const numbers = Array.from({ length: 1 + below(5) }, (_, at) => all.length + at)
        const records = numbers.map(n => record(TOPIC, `${n}`, undefined, `key-${below(6)}`))
        const sent = stage.send(records, 30_000)
        for (const [at, n] of numbers.entries()) all.push({ n, sent, at })
        await stage.pass(below(60))
      }
      await stage.pass(60_000)
      const told = `seed ${seed}`
      const written = new Map<number, number>()
      for (const { value } of stage.router.appended) {
        const n = Number(value)
        if (value !== '' && Number.isInteger(n)) written.set(n, (written.get(n) ?? 0) + 1)
      }
      for (const { n, sent, at } of all) {
        const outcome = sent.outcomes?.[at]
        const count = written.get(n) ?? 0
        expect(outcome, `${told}: ${n} is answered`).to.not.equal(undefined)
        if (outcome!.type === 'delivered') expect(count, `${told}: ${n} is delivered`).to.equal(1)
        else if (outcome!.persisted === 'no') expect(count, `${told}: ${n} has failed`).to.equal(0)
      }
      for (const { log } of stage.router.topics.get(TOPIC)!) {
        const lasts = new Map<string, number>()
        for (const { key, value } of log) {
          if (key === null) continue
          expect(Number(value), `${told}: order of ${key}`).to.be.above(lasts.get(key) ?? -1)
          lasts.set(key, Number(value))
        }
      }
      expect(stage.delivery.stats().bufferedRecords, told).to.equal(0)
      stage.restore()
    }
    await start(1)
  })
})
