import { expect } from 'chai'
import { call } from '../../support/access.js'
import { ConfluentStage, JSON_TYPE } from '../../support/confluent-stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

/** Any answer, whose members the tests look at. */
type Json = ReturnType<typeof JSON.parse>

describe('confluent: settings, ACLs and what links lead to', () => {
  inWorld()
  let stage: ConfluentStage
  let cluster: string
  let nodeId: number
  before(async () => {
    stage = await ConfluentStage.open()
    cluster = ((await stage.get('/v3/clusters')).body as Json).data[0].cluster_id
    nodeId = Math.min(...stage.cluster.nodeIds)
  })
  after(() => stage?.close())

  const at = (path: string): string => `/v3/clusters/${cluster}${path}`
  const json = async (path: string): Promise<Json> => {
    const { status, type, body } = await stage.get(at(path))
    expect([path, status, type]).to.deep.equal([path, 200, JSON_TYPE])
    return body as Json
  }
  const ask = async (method: string, path: string, body?: unknown, type = JSON_TYPE) => {
    const answer = await stage.ask(method, at(path), body, body === undefined ? {} : { 'content-type': type })
    return { ...answer, body: answer.body as Json | undefined }
  }
  const codes = async (...asked: Parameters<typeof ask>): Promise<readonly unknown[]> => {
    const { status, body } = await ask(...asked)
    return [status, body?.error_code]
  }

  it('changes of ACLs and moves of partitions are not served', async () => {
    for (const [method, path] of [
      ['POST', '/acls'],
      ['DELETE', '/acls'],
      ['POST', '/acls:batch'],
      ['GET', '/topics/-/partitions/-/reassignment']
    ] as const) {
      expect([method, path, (await ask(method, path)).status]).to.deep.equal([
        method,
        path,
        path === '/acls' ? 405 : 404
      ])
    }
  })

  it('settings of a broker have its id, their source and links to themselves', async () => {
    const { kind, metadata, data } = await json(`/brokers/${nodeId}/configs`)
    const self = `${stage.url}${at(`/brokers/${nodeId}/configs`)}`
    expect([kind, metadata]).to.deep.equal(['KafkaBrokerConfigList', { self, next: null }])
    const found = data.find(({ name }: Json) => name === 'auto.create.topics.enable')
    expect(found).to.include({ kind: 'KafkaBrokerConfig', cluster_id: cluster, broker_id: nodeId, is_read_only: true })
    expect(found.metadata).to.deep.equal({
      self: `${self}/auto.create.topics.enable`,
      resource_name: `crn:///kafka=${cluster}/broker=${nodeId}/config=auto.create.topics.enable`
    })
    expect(await json(`/brokers/${nodeId}/configs/auto.create.topics.enable`)).to.deep.equal(found)
    const broker = await json(`/brokers/${nodeId}`)
    expect(broker.configs.related).to.equal(self)
  })

  it('settings of all brokers come broker by broker', async () => {
    const { kind, data } = await json('/brokers/-/configs')
    expect(kind).to.equal('KafkaBrokerConfigList')
    expect([...new Set(data.map(({ broker_id }: Json) => broker_id))]).to.have.members([...stage.cluster.nodeIds])
  })

  it('settings that all brokers share are a list of their own', async () => {
    const { kind, metadata } = await json('/broker-configs')
    const self = `${stage.url}${at('/broker-configs')}`
    expect([kind, metadata]).to.deep.equal(['KafkaClusterConfigList', { self, next: null }])
    expect((await json('')).broker_configs.related).to.equal(self)
    expect(await codes('GET', '/broker-configs/odd')).to.deep.equal([404, 404])
  })

  it('a setting of brokers that Kafka does not change is refused with its code', async () => {
    const name = 'auto.create.topics.enable'
    const refused = [400, 40002]
    const setting = `/brokers/${nodeId}/configs/${name}`
    const before = await json(setting)
    for (const path of [`/brokers/${nodeId}/configs`, '/broker-configs']) {
      expect(await codes('PUT', `${path}/${name}`, { value: 'true' })).to.deep.equal(refused)
      expect(await codes('POST', `${path}:alter`, { data: [{ name, value: 'true' }] })).to.deep.equal(refused)
      const validated = { data: [{ name, value: 'true' }], validate_only: true }
      expect(await codes('POST', `${path}:alter`, validated)).to.deep.equal(refused)
    }
    expect(await json(setting)).to.deep.equal(before)
  })

  it('a setting or a broker that does not exist is answered 404', async () => {
    const topic = await stage.topic(1)
    for (const path of [`/topics/${topic}/configs/nope`, `/brokers/${nodeId}/configs/nope`]) {
      expect(await codes('GET', path)).to.deep.equal([404, 404])
      expect(await codes('PUT', path, { value: '1' })).to.deep.equal([404, 404])
      expect(await codes('DELETE', path)).to.deep.equal([404, 404])
    }
    const data = [
      { name: 'retention.ms', value: '5000' },
      { name: 'nope', operation: 'DELETE' }
    ]
    expect(await codes('POST', `/topics/${topic}/configs:alter`, { data })).to.deep.equal([404, 404])
    expect((await json(`/topics/${topic}/configs/retention.ms`)).is_default).to.equal(true)
    for (const path of ['/brokers/99/configs', '/brokers/x/configs', '/brokers/99/partition-replicas']) {
      expect(await codes('GET', path)).to.deep.equal([404, 404])
    }
    expect(await codes('PUT', '/topics/none/configs/retention.ms', { value: '1' })).to.deep.equal([404, 40403])
  })

  it('settings of all topics come in the order of the topics', async () => {
    const topics = [await stage.topic(1), await stage.topic(2)]
    const { kind, metadata, data } = await json('/topics/-/configs')
    expect([kind, metadata.self]).to.deep.equal(['KafkaTopicConfigList', `${stage.url}${at('/topics/-/configs')}`])
    const names = [...new Set(data.map(({ topic_name }: Json) => topic_name))] as string[]
    expect(names).to.include.members(topics)
    expect(names).to.deep.equal([...names].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other))))
    const own = await json(`/topics/${topics[0]}/configs`)
    expect(data.filter(({ topic_name }: Json) => topic_name === topics[0])).to.deep.equal(own.data)
  })

  it('settings of several topics are changed by one request, and failures are named by topic', async () => {
    const topics = [await stage.topic(1), await stage.topic(1)]
    const none = freshTopic('none')
    const body = (value: string, more: object = {}, names = topics) => ({
      data: names.map(topic_name => ({ topic_name, configs: [{ name: 'retention.ms', value }] })),
      ...more
    })
    const retention = () =>
      Promise.all(topics.map(async topic => (await json(`/topics/${topic}/configs/retention.ms`)).value))
    const path = '/topics/-/configs:alter'
    expect(await codes('POST', path, body('6000', { validate_only: true }))).to.deep.equal([204, undefined])
    expect(await retention()).to.not.include('6000')
    expect(await codes('POST', path, body('6000'))).to.deep.equal([204, undefined])
    expect(await retention()).to.deep.equal(['6000', '6000'])
    const partly = await ask('POST', path, body('7000', {}, [topics[0]!, none]))
    expect(partly.status).to.equal(207)
    expect(partly.body!.failures.map(({ topic_name, error_code }: Json) => [topic_name, error_code])).to.deep.equal([
      [none, 40403]
    ])
    expect(await retention()).to.deep.equal(['7000', '6000'])
    const wrong = await ask('POST', path, body('odd'))
    expect([wrong.status, wrong.body!.failures.map(({ error_code }: Json) => error_code)]).to.deep.equal([
      207,
      [40002, 40002]
    ])
  })

  it('changes that are only validated are not made', async () => {
    const topic = await stage.topic(1)
    const data = [{ name: 'retention.ms', value: '8000' }]
    const path = `/topics/${topic}/configs`
    expect(await codes('POST', `${path}:alter`, { data, validate_only: true })).to.deep.equal([204, undefined])
    expect((await json(`${path}/retention.ms`)).is_default).to.equal(true)
    data[0]!.value = 'odd'
    expect(await codes('POST', `${path}:alter`, { data, validate_only: true })).to.deep.equal([400, 40002])
  })

  it('the body of a change must be JSON by its content type', async () => {
    const topic_name = freshTopic('form')
    const body = { topic_name, validate_only: true }
    expect(await codes('POST', '/topics', body, 'application/x-www-form-urlencoded')).to.deep.equal([415, 415])
    expect(await codes('POST', '/topics', body, 'application/json; charset=latin-9')).to.deep.equal([400, 400])
    expect(await codes('POST', '/topics', body, 'application/json; charset=utf-8')).to.deep.equal([200, undefined])
  })

  it('the replicas on a broker are those of all topics', async () => {
    const topic = await stage.topic(2)
    const partitions = (await json(`/topics/${topic}/partitions`)).data as Json[]
    const expected = []
    for (const { replicas } of partitions) {
      const { data } = JSON.parse((await call(replicas.related)).body) as Json
      expected.push(...data.filter(({ broker_id }: Json) => broker_id === nodeId))
    }
    const { kind, data } = await json(`/brokers/${nodeId}/partition-replicas`)
    expect(kind).to.equal('KafkaReplicaList')
    expect(data.filter(({ topic_name }: Json) => topic_name === topic)).to.deep.equal(expected)
  })
})
