import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { confluent } from '../../../src/apis/confluent/api.js'
import { type Caller, openAccess, type Target } from '../../../src/http/access/access.js'
import { contextFor } from '../../support/api-context.js'
import { differencesFrom } from '../../support/confluent-contract.js'
import { FakeGateway } from '../../support/fake-gateway.js'

const BASE = '/v3/clusters/c1/topics'
const found = [
  { topic: 'orders', partition: 0, adding: [3], removing: [1, 2] },
  { topic: 'orders', partition: 10, adding: [3], removing: [] },
  { topic: 'secret', partition: 1, adding: [2], removing: [1] }
]

describe('confluent: reassignments', () => {
  let app: FastifyInstance
  beforeEach(async () => {
    const gateway = new FakeGateway()
    gateway.admin = { ...gateway.admin, reassignments: async () => found }
    const caller = {
      ...openAccess.callerOf({} as never),
      allows: (_: unknown, { topic }: Target) => topic !== 'secret'
    }
    const access = { ...openAccess, callerOf: () => caller as Caller }
    const addRoutes = await confluent.plugin(contextFor(gateway, confluent.settings.parse({}), { access }) as never)
    app = fastify()
    await app.register(async scope => addRoutes(scope))
  })
  afterEach(() => app.close())

  const get = async (path: string) => {
    const answer = await app.inject(BASE + path)
    const body = answer.json()
    if (answer.statusCode === 200) expect(differencesFrom(body)).to.deep.equal([])
    return { status: answer.statusCode, body }
  }
  const places = (body: { readonly data: readonly { topic_name: string; partition_id: number }[] }) =>
    body.data.map(({ topic_name, partition_id }) => `${topic_name}/${partition_id}`)

  it('of all topics are those of topics that the client may see', async () => {
    const { status, body } = await get('/-/partitions/-/reassignment')
    expect([status, body.kind, places(body)]).to.deep.equal([200, 'KafkaReassignmentList', ['orders/0', 'orders/10']])
    expect(body.metadata.self.endsWith(`${BASE}/-/partitions/-/reassignment`)).to.equal(true)
  })

  it('of a topic are those of this topic, and none where it does not exist', async () => {
    const { status, body } = await get('/orders/partitions/-/reassignment')
    expect([status, places(body)]).to.deep.equal([200, ['orders/0', 'orders/10']])
    expect(places((await get('/none/partitions/-/reassignment')).body)).to.deep.equal([])
  })

  it('of a partition name the brokers, and are 404 where it is not being moved', async () => {
    const { status, body } = await get('/orders/partitions/0/reassignment')
    expect(status).to.equal(200)
    expect(body).to.deep.include({
      kind: 'KafkaReassignment',
      topic_name: 'orders',
      partition_id: 0,
      adding_replicas: [3],
      removing_replicas: [1, 2]
    })
    expect(body.metadata.resource_name).to.equal('crn:///kafka=c1/topic=orders/partition=0/reassignment')
    expect(body.replicas.related.endsWith(`${BASE}/orders/partitions/0/replicas`)).to.equal(true)
    for (const missing of ['/orders/partitions/1/reassignment', '/orders/partitions/x/reassignment']) {
      const answer = await get(missing)
      expect([missing, answer.status, answer.body.error_code]).to.deep.equal([missing, 404, 404])
    }
  })
})
