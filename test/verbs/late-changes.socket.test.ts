import { expect } from 'chai'
import { TimedOutError } from '../../src/core/errors.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'
import { KafkaAdmin } from '../../src/verbs/kafka-admin.js'
import { type Castellan, startCastellan } from '../support/castellan.js'
import { HoldingProxy, type ProxiedConnection } from '../support/holding-proxy.js'

const PATIENCE_MS = 15_000
/** Of one call to a broker. */
const CALL_MS = 300
const DELETE_TOPICS = 20
/** As brokers tell in ApiVersions that they take DeleteTopics in versions 1 to 6. */
const VERSIONS_OF_DELETION = Buffer.from([0, DELETE_TOPICS, 0, 1, 0, 6])

describe('a change of topics whose bytes arrive late', () => {
  let cluster: EmbeddedCluster
  let proxy: HoldingProxy
  let castellan: Castellan
  /** The connections whose bytes stand still from a deletion on. */
  let late: ProxiedConnection[]
  /** The newest version of DeleteTopics that the broker seems to take. */
  let newest: number
  beforeEach(async () => {
    late = []
    newest = 6
    cluster = await startEmbeddedCluster({ advertisedHost: '127.0.0.2' })
    const port = Number(cluster.bootstrap.split(':')[1])
    proxy = await HoldingProxy.start({ port }, { host: '127.0.0.2', port })
    proxy.onBytes = (connection, direction, bytes) => {
      if (direction === 'toServer' && bytes.readInt16BE(4) === DELETE_TOPICS && late.length === 0) {
        late.push(connection)
        connection.hold('toServer')
      }
      const at = direction === 'toClient' ? bytes.indexOf(VERSIONS_OF_DELETION) : -1
      if (at >= 0) bytes.writeInt16BE(newest, at + 4)
    }
    castellan = startCastellan(`127.0.0.2:${port}`, { router: { callTimeoutMs: CALL_MS } })
    cluster.createTopic('orders', { partitions: 1 })
  })
  afterEach(async () => {
    await castellan.close(0)
    await proxy.close()
    await cluster.close()
  })

  const topics = async (): Promise<string[]> => [...(await castellan.verbs.topics('all', PATIENCE_MS)).keys()]
  const deletions = (): number => cluster.requestCount('DeleteTopics')
  const arrives = async (): Promise<void> => {
    const before = deletions()
    late[0]!.release()
    while (deletions() === before) await new Promise(setImmediate)
  }

  it('deletes no topic that was created anew, and loses none of its records', async () => {
    await castellan.verbs.admin.deleteTopic('orders', PATIENCE_MS)
    expect([late.length, deletions()]).to.deep.equal([1, 1])
    await castellan.verbs.admin.createTopic({ name: 'orders', partitions: 1 }, { timeoutMs: PATIENCE_MS })
    const [outcome] = await castellan.produce([{ topic: 'orders', partition: 0, key: null, value: 'acknowledged' }])
    expect(outcome?.type).to.equal('delivered')
    await arrives()
    expect(await topics()).to.deep.equal(['orders'])
    expect(await castellan.texts('orders', 0, 1)).to.deep.equal(['acknowledged'])
  })

  it('is sent once, and is in doubt, where brokers take no ids of topics', async () => {
    newest = 5
    const error = await castellan.verbs.admin.deleteTopic('orders', 4 * CALL_MS).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(TimedOutError)
    expect(deletions()).to.equal(0)
    await arrives()
    expect([deletions(), await topics()]).to.deep.equal([1, []])
  })

  it('is answered as made where brokers take no ids of topics, when the topic is gone before the time is over', async () => {
    newest = 5
    const deleting = castellan.verbs.admin.deleteTopic('orders', PATIENCE_MS)
    while (late.length === 0) await new Promise(setImmediate)
    cluster.deleteTopic('orders')
    await deleting
    expect(deletions()).to.equal(0)
  })

  it('names no topic by its name that is not there', async () => {
    const error = await castellan.verbs.admin.deleteTopic('none', PATIENCE_MS).catch((thrown: unknown) => thrown)
    expect(error).to.include({ errorCode: 3 })
    expect([late.length, deletions()]).to.deep.equal([0, 0])
  })
})

describe('the deletion of a topic whose id no broker tells', () => {
  it('is not sent, as it would have to name the topic by its name', async () => {
    const asked: string[] = []
    const tell = (message: RouterMessage): void => {
      asked.push(message.type)
      if ('requester' in message) (message.requester as { reply(result: unknown): void }).reply({ type: 'timedOut' })
    }
    const router = { path: 'router', tell, stop: () => undefined }
    const admin = new KafkaAdmin({ router, delivery: {}, clock: () => performance.now() })
    const error = await admin.deleteTopic('orders', 300).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(TimedOutError)
    expect([...new Set(asked)]).to.deep.equal(['fetchTopicMetadata'])
  })
})
