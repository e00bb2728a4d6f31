import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { serve } from './stage.js'

describe('confluent: the id of the cluster', () => {
  let app: FastifyInstance
  let verbs: FakeVerbs
  let described: number
  beforeEach(async () => {
    described = 0
    verbs = new FakeVerbs()
    verbs.admin = {
      ...verbs.admin,
      describeCluster: async () => {
        described++
        return { clusterId: 'c1', controllerId: 1, brokers: [{ nodeId: 1, host: 'broker', port: 9092, rack: null }] }
      }
    }
    app = await serve(verbs)
  })
  afterEach(() => app.close())

  const get = async (path: string) => {
    const answer = await app.inject(path)
    return { status: answer.statusCode, body: answer.json() }
  }

  it('that is known is not asked for again by requests that need nothing else of the cluster', async () => {
    for (const path of ['/topics', '/consumer-groups']) {
      const { status, body } = await get(`/v3/clusters/c1${path}`)
      expect([path, status, body.metadata.self.endsWith(`/v3/clusters/c1${path}`)]).to.deep.equal([path, 200, true])
    }
    const other = await get('/v3/clusters/c2/topics')
    const message = 'there is no cluster c2; GET /v3/clusters tells the id'
    expect([other.status, other.body.message]).to.deep.equal([404, message])
    expect(described).to.equal(0)
  })

  it('and the brokers are one call to Kafka', async () => {
    for (const path of ['', '/c1', '/c1/brokers', '/c1/brokers/1']) {
      described = 0
      const { status } = await get(`/v3/clusters${path}`)
      expect([path, status, described]).to.deep.equal([path, 200, 1])
    }
  })

  it('is not that of brokers which belong to another cluster meanwhile', async () => {
    const other = { clusterId: 'c2', controllerId: 1, brokers: [] }
    verbs.admin = { ...verbs.admin, describeCluster: async () => other }
    const { status, body } = await get('/v3/clusters/c1/brokers')
    expect([status, body.error_code]).to.deep.equal([500, 50003])
    verbs.admin = { ...verbs.admin, clusterId: async () => 'c2' }
    expect((await get('/v3/clusters/c1/brokers')).status).to.equal(404)
    expect((await get('/v3/clusters/c2/brokers')).status).to.equal(200)
  })
})
