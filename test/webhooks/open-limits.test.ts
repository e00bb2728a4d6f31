import { expect } from 'chai'
import type { AcquiredMessage, TopicOffers } from '../../src/consumer/group/consume-result.js'
import { run } from '../consumer/group/fake-runtime.js'
import { fakeRecord } from '../support/fake-batch.js'
import { RecordRunStage } from './record-run-stage.js'

const TOPIC = 'orders'
const PARTITIONS = 100

describe('open records of webhooks', () => {
  let stage: RecordRunStage
  /** Records that are acknowledged. */
  let acked: string[]
  /** The number of the last offer. */
  let serial = 0

  beforeEach(() => {
    acked = []
    stage = new RecordRunStage(0, () => null, undefined, { maxInFlight: 256 })
  })
  afterEach(() => stage.end())

  const offers = {
    begin: () => true,
    isOpen: () => true,
    ackAll: taken => {
      for (const [partition, all] of taken) for (const { offset } of all) acked.push(`${partition} ${offset}`)
    },
    releaseUnread: () => undefined,
    parkAgain: ({ serial: firstSerial }) =>
      stage.cut.signal.aborted ? undefined : { serial: ++serial, firstSerial, retries: 1 },
    readAgain: ({ offset }, onRead) => setImmediate(() => onRead(fakeRecord(offset)))
  } as Partial<TopicOffers> as TopicOffers

  const messageAt = (partition: number, offset: number, key: string | null): AcquiredMessage => ({
    ...fakeRecord(offset),
    topic: TOPIC,
    partition,
    topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
    groupId: 'foo',
    serial: ++serial,
    firstSerial: serial,
    retries: 0,
    key: key === null ? null : Buffer.from(key)
  })

  /** Gives records of the partition as long as they are taken. @returns how many were */
  function fill(partition: number, most: number, keyOf: (offset: number) => string | null = () => 'k'): number {
    for (let offset = 0; offset < most; offset++) {
      if (!stage.run.mayPark({ topic: TOPIC, partition })) return offset
      stage.run.park(messageAt(partition, offset, keyOf(offset)), offers)
    }
    return most
  }

  const openOf = (): number => stage.run.partitions(new Map()).reduce((sum, { open }) => sum + open, 0)

  it('have a limit in a process, whatever their endpoint does, and count in its budget', () => {
    const taken = run(0, PARTITIONS).map(partition => fill(partition, 2_000))
    expect(Math.min(...taken), 'each partition has one at least').to.be.greaterThan(0)
    expect(openOf()).to.be.below(70_000)
    expect(stage.records.heldBytes / openOf(), 'bytes of each').to.be.greaterThan(200)
    expect(stage.records.heldBytes).to.be.below(stage.records.maxBytes / 8)
    stage.run.stop()
    expect(stage.records.heldBytes).to.equal(0)
  })

  it('are taken again, of the partitions that were refused, when others have left capacity', async () => {
    const taken = run(0, PARTITIONS).map(partition => fill(partition, 2_000))
    const last = taken.length - 1
    expect(stage.run.mayPark({ topic: TOPIC, partition: last })).to.equal(false)
    for (const offset of run(1, 1_999)) void stage.run.skip(0, offset)
    await stage.pass(1_000)
    expect(stage.wanted).to.include(last)
    expect(stage.run.mayPark({ topic: TOPIC, partition: last })).to.equal(true)
  })

  it('count their attempts, however many fail', async () => {
    stage.random = 0
    stage.endpoint.answers = () => 400
    for (const partition of run(0, 6)) expect(fill(partition, 2_000, () => null)).to.equal(2_000)
    stage.run.goOn()
    while (stage.sent.length < 30_000) await stage.pass(300)
    const attempts = stage.endpoint.attempts.map(({ named }) => Number(named.get('x-castellan-attempt')))
    expect(Math.max(...attempts)).to.be.greaterThan(2)
    expect(stage.run.partitions(new Map())[5]!.oldest!.attempts).to.be.greaterThan(1)
  })
})
