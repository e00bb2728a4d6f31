import { expect } from 'chai'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

const KIB = 1024
/** After this long without an acknowledgement a partition counts as stuck. */
const STUCK_MS = 600

describe('delivery: stuck partitions and the others', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  async function start(stuckPartitions: number): Promise<void> {
    stage = new DeliveryStage(
      { stuck: stuckPartitions, healthy: 4 },
      { maxBytes: 400 * KIB, maxPartitionBytes: 100 * KIB }
    )
    for (let at = 0; at < stuckPartitions; at++) await stage.warmUp('stuck', at)
    await stage.warmUp('healthy', 0)
    for (const { script } of stage.router.topics.get('stuck')!) {
      for (let at = 0; at < 1_000; at++) script.push({ type: 'notSent', reason: 'noLeader' })
    }
  }
  /** Writes to all stuck partitions in turn until all of them refuse. */
  function flood(stuckPartitions: number): void {
    let refused = 0
    for (let at = 0; refused < stuckPartitions; at++) {
      const isRefused = stage.send(record('stuck', 'x'.repeat(KIB), at % stuckPartitions)).refused !== undefined
      refused = isRefused ? refused + 1 : 0
    }
  }
  const buffered = () => stage.delivery.stats().bufferedBytes
  const sendHealthy = (count: number) =>
    Array.from({ length: count }, () => stage.send(record('healthy', 'x'.repeat(KIB), 1)))
  const delivered = (count: number) => new Array<string>(count).fill('delivered')

  for (const partitions of [4, 16]) {
    it(`leaves capacity to a healthy topic when ${partitions} partitions get stuck at once`, async () => {
      await start(partitions)
      flood(partitions)
      const others = sendHealthy(4)
      expect(others.filter(({ refused }) => refused !== undefined)).to.deep.equal([])
      await stage.pass(100)
      expect(others.flatMap(resultsOf)).to.deep.equal(delivered(4))
    })
  }

  it('lets stuck partitions hold no more than half of the buffer that they had not filled before', async () => {
    await start(16)
    for (let at = 0; at < 16; at++) stage.send(record('stuck', 'x', at))
    await stage.pass(STUCK_MS)
    flood(16)
    expect(buffered()).to.be.within(195 * KIB, 202 * KIB)
    const others = sendHealthy(40)
    await stage.pass(100)
    expect(others.flatMap(resultsOf)).to.deep.equal(delivered(40))
  })

  it('names the limit that holds', async () => {
    await start(16)
    for (let at = 0; at < 16; at++) stage.send(record('stuck', 'x', at))
    await stage.pass(STUCK_MS)
    flood(16)
    const { refused } = stage.send(record('stuck', 'x'.repeat(KIB), 0))
    expect(refused?.[0]?.message).to.contain('stuck').and.to.contain('delivery.maxBytes')
  })

  it('tells how many bytes are stuck, and none any more when the partitions go on', async () => {
    await start(4)
    flood(4)
    expect(stage.delivery.capacity.stuckBytes).to.equal(0)
    await stage.pass(STUCK_MS)
    expect(stage.delivery.capacity.stuckBytes).to.equal(buffered())
    for (const { script } of stage.router.topics.get('stuck')!) script.length = 0
    await stage.pass(5_000)
    expect(stage.delivery.capacity.stuckBytes).to.equal(0)
    expect(buffered()).to.equal(0)
  })

  it('counts the records of topics that are not known as stuck, and leaves capacity beside both', async () => {
    await start(16)
    for (let at = 0; at < 16; at++) stage.send(record('stuck', 'x', at))
    for (let at = 0; at < 100; at++) stage.send(record(`nowhere-${at}`, 'x'.repeat(KIB)))
    await stage.pass(STUCK_MS)
    flood(16)
    expect(stage.delivery.capacity.stuckBytes).to.be.within(150 * KIB, 300 * KIB)
    const others = sendHealthy(40)
    await stage.pass(100)
    expect(others.flatMap(resultsOf)).to.deep.equal(delivered(40))
  })

  it('gives everything back when stuck records are withdrawn', async () => {
    await start(4)
    for (let at = 0; at < 4; at++) stage.send(record('stuck', 'x'.repeat(KIB), at), 1_000)
    await stage.pass(3_000)
    expect(stage.delivery.capacity.stuckBytes).to.equal(0)
    expect(buffered()).to.equal(0)
  })
})
