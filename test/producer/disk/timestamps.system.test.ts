import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage, type DurableStageOptions } from '../durable-stage.js'

const HOUR_MS = 3_600_000
const BASE_TIMESTAMP_AT = 27
const MAX_TIMESTAMP_AT = 35

describe('durable: the times that records have in Kafka', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  async function start(wal: NonNullable<DurableStageOptions['wal']>): Promise<void> {
    stage = new DurableStage({ topics: { orders: 1 }, wal })
    await stage.start()
  }
  /** The first and the last time of each batch that a broker got. */
  const timesOf = (): number[][] =>
    stage.router
      .partition('orders', 0)
      .attempts.map(({ bytes }) => [BASE_TIMESTAMP_AT, MAX_TIMESTAMP_AT].map(at => Number(bytes.readBigInt64BE(at))))
  const isAwayFor = async (milliseconds: number): Promise<void> => {
    stage.router.isAway = true
    await stage.pass(milliseconds)
    stage.router.isAway = false
  }

  it('are those of acceptance, however late they are sent', async () => {
    await start({})
    stage.router.isAway = true
    const acceptedAt = Date.now()
    stage.send([record('orders', 'A'), record('orders', 'B')])
    await isAwayFor(HOUR_MS)
    await stage.pass(10_000)
    expect(timesOf()).to.deep.equal([[acceptedAt, acceptedAt]])
  })

  it('are those of sending where the settings say so, also for a batch that waits since it was made', async () => {
    await start({ timestamps: 'sent' })
    stage.router.isAway = true
    stage.send([record('orders', 'A'), record('orders', 'B')])
    await isAwayFor(HOUR_MS)
    const backAt = Date.now()
    await stage.pass(10_000)
    const [[first, last] = []] = timesOf()
    expect([first, last]).to.satisfy((times: number[]) => times.every(time => time >= backAt - 1_000))
    expect(stage.router.values('orders')).to.deep.equal(['A', 'B'])
  })

  it('are those of the attempt that Kafka takes, under the number of the first one', async () => {
    await start({ timestamps: 'sent' })
    const { script } = stage.router.partition('orders', 0)
    for (let at = 0; at < 10; at++) script.push({ type: 'reject', errorCode: errorCodes.NOT_ENOUGH_REPLICAS })
    const startedAt = Date.now()
    const sent = stage.send(record('orders', 'A'), HOUR_MS)
    await stage.pass(60_000)
    const { attempts } = stage.router.partition('orders', 0)
    expect(attempts.map(({ epoch, baseSequence }) => [epoch, baseSequence])).to.deep.equal(attempts.map(() => [0, 0]))
    const last = timesOf().at(-1)![0]!
    expect(last - startedAt).to.be.above(2_000)
    expect(sent.outcomes).to.deep.include.members([{ type: 'delivered', partition: 0, offset: 0, timestampMs: last }])
  })

  it('stay what the caller has given, in a batch with others, after a restart too', async () => {
    await start({ timestamps: 'sent' })
    stage.router.isAway = true
    stage.send([{ ...record('orders', 'given'), timestampMs: 7_000 }, record('orders', 'own')])
    await stage.pass(HOUR_MS)
    await stage.restart()
    await isAwayFor(HOUR_MS)
    const backAt = Date.now()
    await stage.pass(10_000)
    expect(stage.router.values('orders')).to.deep.equal(['given', 'own'])
    const [first, last] = timesOf().at(-1)!
    expect(first).to.equal(7_000)
    expect(last).to.be.at.least(backAt - 1_000)
  })

  it('are those of sending for a batch of a process that was killed, which is in Kafka once', async () => {
    await start({ timestamps: 'sent' })
    stage.router.partition('orders', 0).script.push({ type: 'loseResponse' })
    stage.send([record('orders', 'A'), record('orders', 'B')])
    await stage.pass(20)
    await stage.restart()
    await isAwayFor(HOUR_MS)
    await stage.pass(10_000)
    expect(stage.router.values('orders')).to.deep.equal(['A', 'B'])
  })
})
