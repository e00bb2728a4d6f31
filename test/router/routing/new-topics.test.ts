import { expect } from 'chai'
import type { MetadataCall, ProduceCall } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { BatchAnswer } from '../../../src/router/messages/operations.js'
import { CastleRouter } from '../../support/castle-router.js'
import { produceResponse } from '../../support/produced.js'
import { metadataOf, ScriptedCluster, type ScriptedTopic } from '../../support/scripted-client.js'

const FOUND: ScriptedTopic = { partitions: { 0: { leaderId: 1 } } }
const MISSING: ScriptedTopic = { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION }

/** Has `orders` and `payments`; creates what else it is asked to create. */
class CreatingCluster extends ScriptedCluster {
  readonly #created = new Set(['orders', 'payments'])

  constructor() {
    super([1])
    this.always(0, 'metadata', call => this.#metadata(call)).always(1, 'metadata', call => this.#metadata(call))
    this.always(1, 'produce', call => appended(call))
  }

  #metadata({ topics, allowAutoTopicCreation }: MetadataCall) {
    const answers = (topics ?? []).map(topic => [topic, this.#created.has(topic) ? FOUND : MISSING] as const)
    if (allowAutoTopicCreation) for (const topic of topics ?? []) this.#created.add(topic)
    return metadataOf(this.nodes, Object.fromEntries(answers))
  }
}

const appended = ({ partitions }: ProduceCall) => produceResponse(partitions, partitions)

describe('router: writing to a topic that was just created', () => {
  let cluster: CreatingCluster
  let castle: CastleRouter
  beforeEach(() => {
    cluster = new CreatingCluster()
    castle = new CastleRouter(cluster)
  })
  afterEach(() => castle.stop())

  const write = (topic: string): Promise<BatchAnswer> =>
    new Promise(answer => {
      const batch = { topic, partition: 0, bytes: Buffer.from('batch'), answer }
      castle.router.ref.tell({ type: 'produceBatches', batches: [batch] })
    })
  const produceConnections = (): string[] => cluster.connections.filter(name => name.includes('produce'))

  it('holds up no first record of a topic that exists, though its first call waits for replicas', async () => {
    const held = cluster.hold(1, 'produce', 1)
    const answered: string[] = []
    const invented = write('invented').then(({ type }) => answered.push(`invented ${type}`))
    await held.arrived
    for (const topic of ['orders', 'payments']) answered.push(`${topic} ${(await write(topic)).type}`)
    held.release()
    await invented
    expect(answered).to.deep.equal(['orders appended', 'payments appended', 'invented appended'])
    expect(produceConnections()).to.deep.equal(['1 produce-new-topics', '1 produce'])
  })

  it('goes with all others once it has been written to', async () => {
    await write('invented')
    const held = cluster.hold(1, 'produce', 2)
    const another = write('another')
    await held.arrived
    expect((await write('invented')).type).to.equal('appended')
    held.release()
    await another
  })

  it('leaves topics that exist their one connection, from the first record on', async () => {
    await Promise.all([write('orders'), write('payments')])
    await write('orders')
    expect(produceConnections()).to.deep.equal(['1 produce'])
  })
})
