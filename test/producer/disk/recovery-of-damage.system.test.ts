import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { SeededRandom } from '../../support/random.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: after a crash that damaged files', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  /** A batch whose answer never comes, and a process that dies. */
  const crashAfterSending = async (written: boolean, topicId: string | undefined): Promise<void> => {
    stage = new DurableStage({ topics: { orders: 1 } })
    if (topicId !== undefined) stage.router.topicIds.set('orders', topicId)
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(100)
    stage.router.partition('orders', 0).script.push(written ? { type: 'loseResponse' } : { type: 'loseRequest' })
    stage.send([record('orders', 'B'), record('orders', 'C')])
    await stage.pass(4)
    expect(stage.router.partition('orders', 0).attempts).to.have.length(2)
    stage.kill()
    await stage.pass(100)
  }

  it('durable-queue: loses no other record when damage took one of a batch that was sent, wherever the damage is', async () => {
    let isAllThere = false
    for (let at = 64; !isAllThere; at++) {
      stage?.restore()
      await crashAfterSending(false, 'life-1')
      const segment = stage.disk.directory.list().find(name => name.endsWith('.slab'))!
      stage.disk.patch(segment, bytes => {
        isAllThere = at >= bytes.length
        if (!isAllThere) bytes[at] = bytes[at]! ^ 1
        return bytes
      })
      await stage.start()
      stage.send(record('orders', 'D'))
      await stage.pass(5_000)
      const values = stage.router.partition('orders', 0).values.join('')
      expect(values, `damage at ${at}`).to.be.oneOf(isAllThere ? ['ABCD'] : ['ABCD', 'ACD', 'ABD'])
    }
  })

  /** Two records in segments of their own: their batch was too large, the first alone is in Kafka, the second on its way. */
  const crashAfterHalving = async ([first, second]: readonly [string, string]): Promise<void> => {
    stage?.restore()
    stage = new DurableStage({ topics: { orders: 1 }, wal: { segmentBytes: 5_000 } })
    const partition = stage.router.partition('orders', 0)
    partition.maxBatchBytes = 4_000
    await stage.start()
    partition.script.push({ type: 'append' }, { type: 'append' }, { type: 'hold' })
    stage.send([record('orders', first), record('orders', second)])
    await stage.pass(90)
    expect(partition.values).to.deep.equal([first])
    stage.kill()
  }
  const halves = ['B'.repeat(3_000), 'C'.repeat(3_000)] as const

  it('durable-queue: loses no record of a batch that was halved, wherever the progress journal is damaged', async () => {
    let isAllThere = false
    for (let at = 32; !isAllThere; at++) {
      await crashAfterHalving(halves)
      const journal = stage.disk.directory.list().find(name => name.endsWith('.progress'))!
      stage.disk.patch(journal, bytes => {
        isAllThere = at >= bytes.length
        if (!isAllThere) bytes[at] = bytes[at]! ^ 1
        return bytes
      })
      await stage.start()
      await stage.pass(5_000)
      expect(stage.router.partition('orders', 0).values, `damage at ${at}`).to.include(halves[1])
    }
  })

  it('durable-queue: loses no record of a batch that was halved, whatever a power cut leaves', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      await crashAfterHalving(halves)
      const random = new SeededRandom(seed)
      stage.disk.powerCut(() => random.next())
      await stage.start()
      await stage.pass(5_000)
      expect(stage.router.partition('orders', 0).values, `seed ${seed}`).to.include(halves[1])
    }
  })
})
