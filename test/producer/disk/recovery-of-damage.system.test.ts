import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { SeededRandom } from '../../support/random.js'
import { DurableHarness } from '../durable-stage.js'

describe('durable: after a crash that damaged files', () => {
  let harness: DurableHarness
  afterEach(() => harness.restore())
  /** A batch whose answer never comes, and a process that dies. */
  const crashAfterSending = async (written: boolean, topicId: string | undefined): Promise<void> => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    if (topicId !== undefined) harness.router.topicIds.set('orders', topicId)
    await harness.start()
    harness.send(record('orders', 'A'))
    await harness.pass(100)
    harness.router.partition('orders', 0).script.push(written ? { type: 'loseResponse' } : { type: 'loseRequest' })
    harness.send([record('orders', 'B'), record('orders', 'C')])
    await harness.pass(4)
    expect(harness.router.partition('orders', 0).attempts).to.have.length(2)
    harness.kill()
    await harness.pass(100)
  }

  it('durable-queue: loses no other record when damage took one of a batch that was sent, wherever the damage is', async () => {
    let isAllThere = false
    for (let at = 64; !isAllThere; at++) {
      harness?.restore()
      await crashAfterSending(false, 'life-1')
      const segment = harness.disk.directory.list().find(name => name.endsWith('.slab'))!
      harness.disk.patch(segment, bytes => {
        isAllThere = at >= bytes.length
        if (!isAllThere) bytes[at] = bytes[at]! ^ 1
        return bytes
      })
      await harness.start()
      harness.send(record('orders', 'D'))
      await harness.pass(5_000)
      const values = harness.router.partition('orders', 0).values.join('')
      expect(values, `damage at ${at}`).to.be.oneOf(isAllThere ? ['ABCD'] : ['ABCD', 'ACD', 'ABD'])
    }
  })

  /** Two records in segments of their own: their batch was too large, the first alone is in Kafka, the second on its way. */
  const crashAfterHalving = async ([first, second]: readonly [string, string]): Promise<void> => {
    harness?.restore()
    harness = new DurableHarness({ topics: { orders: 1 }, wal: { segmentBytes: 5_000 } })
    const partition = harness.router.partition('orders', 0)
    partition.maxBatchBytes = 4_000
    await harness.start()
    partition.script.push({ type: 'append' }, { type: 'append' }, { type: 'hold' })
    harness.send([record('orders', first), record('orders', second)])
    await harness.pass(90)
    expect(partition.values).to.deep.equal([first])
    harness.kill()
  }
  const halves = ['B'.repeat(3_000), 'C'.repeat(3_000)] as const

  it('durable-queue: loses no record of a batch that was halved, wherever the progress journal is damaged', async () => {
    let isAllThere = false
    for (let at = 32; !isAllThere; at++) {
      await crashAfterHalving(halves)
      const journal = harness.disk.directory.list().find(name => name.endsWith('.progress'))!
      harness.disk.patch(journal, bytes => {
        isAllThere = at >= bytes.length
        if (!isAllThere) bytes[at] = bytes[at]! ^ 1
        return bytes
      })
      await harness.start()
      await harness.pass(5_000)
      expect(harness.router.partition('orders', 0).values, `damage at ${at}`).to.include(halves[1])
    }
  })

  it('durable-queue: loses no record of a batch that was halved, whatever a power cut leaves', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      await crashAfterHalving(halves)
      const random = new SeededRandom(seed)
      harness.disk.powerCut(() => random.next())
      await harness.start()
      await harness.pass(5_000)
      expect(harness.router.partition('orders', 0).values, `seed ${seed}`).to.include(halves[1])
    }
  })
})
