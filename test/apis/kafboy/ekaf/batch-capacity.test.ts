import { expect } from 'chai'
import { Ekaf } from '../../../../src/apis/kafboy/ekaf/ekaf.js'
import { kafboySettings } from '../../../../src/apis/kafboy/settings.js'
import type { Gateway } from '../../../../src/gateway/gateway.js'
import { DeliveryHarness } from '../../../support/delivery-harness.js'

const KIB = 1024
const RECORDS = 20
const ASYNC_TIMEOUT_MS = 30_000

describe('ekaf: batches for which there is no room when their time has come', () => {
  let harness: DeliveryHarness
  let outcomes: string[]
  afterEach(() => harness.restore())

  /** Records that were accepted for batches of five, and a topic that has room for four of them until it is created. */
  const start = async (): Promise<void> => {
    harness = new DeliveryHarness({}, { unknownTopicMaxBytes: 10 * KIB, maxBytes: 400 * KIB })
    outcomes = []
    const ekaf = new Ekaf({
      gateway: { isReady: true, produce: harness.delivery.accept.bind(harness.delivery) } as unknown as Gateway,
      settings: kafboySettings.parse({ maxBufferRecords: 5, asyncTimeoutMs: ASYNC_TIMEOUT_MS }),
      hooks: undefined,
      clock: () => performance.now(),
      random: () => 0.5,
      onSettled: (_, settled) => outcomes.push(...settled.map(({ type }) => type)),
      onDelivered: (_, records) => outcomes.push(...new Array(records).fill('delivered'))
    })
    for (let at = 0; at < RECORDS; at++) {
      // By then the brokers have said that it is not there.
      if (at === RECORDS / 4) await harness.pass(100)
      const refused = ekaf.batch('fresh', [{ key: 'key', value: `${at}`.padEnd(2 * KIB, '.') }])
      expect(refused).to.equal(undefined)
    }
  }

  it('wait for it, and are produced in order', async () => {
    await start()
    await harness.pass(2_000)
    expect(outcomes).to.deep.equal([])
    harness.router.create('fresh', 1)
    await harness.pass(3_000)
    expect(outcomes).to.deep.equal(Array.from({ length: RECORDS }, () => 'delivered'))
    const values = harness.router.values('fresh').map(value => Number.parseInt(value!, 10))
    expect(values).to.deep.equal(Array.from({ length: RECORDS }, (_, at) => at))
  })

  it('are given up when their time is over', async () => {
    await start()
    await harness.pass(ASYNC_TIMEOUT_MS + 1_000)
    expect(outcomes).to.deep.equal(Array.from({ length: RECORDS }, () => 'failed'))
    expect(harness.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
  })
})
