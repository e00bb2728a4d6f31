import { expect } from 'chai'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { batchOf, RawKafka } from '../support/raw-kafka.js'
import { produce } from '../support/raw-kafka-calls.js'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

describe('broker: producers that write nothing for long', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  afterEach(async () => {
    client.close()
    await cluster.close()
  })

  async function start(options: EmbeddedClusterOptions = {}): Promise<void> {
    cluster = await startEmbeddedCluster(options)
    cluster.createTopic('orders', { partitions: 1 })
    client = await RawKafka.connect(cluster.nodes[0]!)
  }

  /** The offset at which a batch of one record is, by the producer of that number. */
  async function send(producerId: number, ageMs: number, baseSequence = 0): Promise<number> {
    const batch = batchOf(['x'], { producerId, baseSequence, timestampMs: Date.now() - ageMs })
    return (await produce(client, 'orders', 0, batch)).baseOffset
  }

  /** Until there is a look for producers to forget. */
  const looked = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 5))

  it('are forgotten by the time of their newest record, so that their batches are appended again', async () => {
    await start({ producerIdExpirationCheckMs: 1 })
    expect([await send(1, 2 * DAY_MS), await send(2, DAY_MS - MINUTE_MS)]).to.deep.equal([0, 1])
    await looked()
    expect([await send(1, 2 * DAY_MS), await send(2, DAY_MS - MINUTE_MS)]).to.deep.equal([2, 1])
  })

  it('are remembered until there is a look for them, ten minutes after the one before', async () => {
    await start()
    expect([await send(1, 2 * DAY_MS), await send(1, 2 * DAY_MS)]).to.deep.equal([0, 0])
  })

  it('are forgotten after the time that is set', async () => {
    await start({ producerIdExpirationMs: MINUTE_MS, producerIdExpirationCheckMs: 1 })
    expect(await send(1, 2 * MINUTE_MS)).to.equal(0)
    await looked()
    expect(await send(1, 2 * MINUTE_MS)).to.equal(1)
  })

  it('may go on with any sequence', async () => {
    await start({ producerIdExpirationCheckMs: 1 })
    await send(1, 2 * DAY_MS)
    await looked()
    expect(await send(1, 0, 7)).to.equal(1)
  })
})
