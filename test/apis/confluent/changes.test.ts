import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { confluent } from '../../../src/apis/confluent/api.js'
import { TimedOutError } from '../../../src/core/errors.js'
import { contextFor } from '../../support/api-context.js'
import { FakeGateway } from '../../support/fake-gateway.js'

/** A gateway that makes every change, and can look up nothing afterwards. */
class ChangesOnly extends FakeGateway {
  readonly made: string[] = []

  constructor() {
    super()
    this.admin = {
      ...this.admin,
      describeCluster: async () => ({ clusterId: 'c1', controllerId: 1, brokers: [] }),
      createTopic: async ({ name }) => void this.made.push(`create ${name}`),
      createPartitions: async (topic, total) => void this.made.push(`grow ${topic} to ${total}`)
    }
  }

  override topics(): never {
    throw new TimedOutError('the request for the topics', 10)
  }
}

describe('confluent: changes whose result cannot be looked up', () => {
  let app: FastifyInstance
  let gateway: ChangesOnly
  beforeEach(async () => {
    gateway = new ChangesOnly()
    const settings = confluent.settings.parse({ administration: 'everywhere' })
    const addRoutes = await confluent.plugin(contextFor(gateway, settings) as never)
    app = fastify()
    await app.register(async scope => addRoutes(scope))
  })
  afterEach(() => app.close())

  async function ask(method: 'POST' | 'PATCH', path: string, payload: object) {
    const headers = { 'content-type': 'application/json' }
    const { statusCode, body } = await app.inject({ method, url: `/v3/clusters/c1${path}`, headers, payload })
    return [statusCode, JSON.parse(body)] as const
  }

  it('a topic that was created is answered 201 with what the request says', async () => {
    const wanted = { topic_name: 'new', partitions_count: 7, replication_factor: 3 }
    const [status, topic] = await ask('POST', '/topics', wanted)
    expect([status, gateway.made]).to.deep.equal([201, ['create new']])
    expect(topic).to.include(wanted)
  })

  it('a topic that was enlarged is answered 200', async () => {
    const [status, topic] = await ask('PATCH', '/topics/old', { partitions_count: 9 })
    expect([status, gateway.made]).to.deep.equal([200, ['grow old to 9']])
    expect(topic).to.include({ topic_name: 'old', partitions_count: 9 })
  })
})
