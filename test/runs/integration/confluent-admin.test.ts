import { expect } from 'chai'
import type { z } from 'zod'
import { v3AdminRoutes } from '../../../src/apis/confluent/operations.js'
import type { Described } from '../../../src/http/api/routes.js'
import { call } from '../../support/access.js'
import { ConfluentStage, JSON_RECORDS, JSON_TYPE, V2 } from '../../support/confluent-stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

/** Any answer, whose members the tests look at. */
type Json = ReturnType<typeof JSON.parse>

/** What /openapi.json says about the answer to a GET. */
function schemaOf(path: string): z.ZodType {
  const found = Object.values<Described>(v3AdminRoutes).find(
    operation => operation.method === 'get' && new RegExp(`^${operation.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(path)
  )
  return found!.answers[200]!.content![JSON_TYPE]!
}

describe('confluent: the cluster', () => {
  inWorld()
  let stage: ConfluentStage
  let one: string
  let cluster: string
  before(async () => {
    stage = await ConfluentStage.open()
    one = await stage.topic(1)
    cluster = ((await get('/v3/clusters')).body as Json).data[0].cluster_id
  })
  after(() => stage?.close())

  const get = (path: string) => stage.get(path)
  const at = (path: string): string => `/v3/clusters/${cluster}${path}`
  const json = async (path: string): Promise<Json> => {
    const { status, type, body } = await get(at(path))
    expect([path, status, type]).to.deep.equal([path, 200, JSON_TYPE])
    const { error } = schemaOf(at(path).split('?')[0]!).safeParse(body)
    expect(error, path).to.equal(undefined)
    return body as Json
  }
  const ask = async (method: string, path: string, body?: unknown, url = stage.url) => {
    const answer = await stage.ask(method, at(path), body, body === undefined ? {} : { 'content-type': JSON_TYPE }, url)
    return { ...answer, body: answer.body as Json | undefined }
  }
  /** A topic of a name of its own, which is not there yet. */
  const create = (more: object = {}) => {
    const topic_name = freshTopic('new')
    const body = { topic_name, partitions_count: 2, replication_factor: 1, ...more }
    return { topic_name, body, answer: ask('POST', '/topics', body) }
  }

  it('confluent 10: an empty partition begins and ends at 0', async () => {
    const empty = await stage.topic(1)
    const { status, type, body } = await get(`/topics/${empty}/partitions/0/offsets`)
    expect([status, type, body]).to.deep.equal([200, V2, { beginning_offset: 0, end_offset: 0 }])
    await stage.produce(empty, JSON_RECORDS, [{ value: 1 }, { value: 2 }])
    expect((await get(`/topics/${empty}/partitions/0/offsets`)).body).to.deep.equal({
      beginning_offset: 0,
      end_offset: 2
    })
    expect((await get(`/topics/${empty}/partitions/9/offsets`)).status).to.equal(404)
  })

  it('confluent 7: the settings of a topic are all that there are', async () => {
    const { configs } = (await get(`/topics/${one}`)).body as Json
    expect(configs).to.include.keys('retention.ms', 'cleanup.policy')
  })

  it('lists the brokers by version 2', async () => {
    expect((await get('/brokers')).body).to.deep.equal({ brokers: [...stage.cluster.nodeIds].sort((a, b) => a - b) })
  })

  it('confluent 63: clusters are listed, and another id is answered 404', async () => {
    const { body } = await get('/v3/clusters')
    const { kind, metadata, data } = body as Json
    expect([kind, metadata]).to.deep.equal(['KafkaClusterList', { self: `${stage.url}/v3/clusters`, next: null }])
    const own = await json('')
    // With KRaft each answer of Kafka may name another broker as the one that takes the controller's requests.
    const isBroker = /\/brokers\/[1-3]$/
    for (const { controller } of [own, ...data]) expect(controller.related).to.match(isBroker)
    expect(data).to.deep.equal([{ ...own, controller: data[0].controller }])
    expect([own.kind, own.metadata.self, own.topics.related]).to.deep.equal([
      'KafkaCluster',
      `${stage.url}/v3/clusters/${cluster}`,
      `${stage.url}/v3/clusters/${cluster}/topics`
    ])
    const other = await get('/v3/clusters/x')
    expect([other.status, other.type, (other.body as Json).error_code]).to.deep.equal([404, JSON_TYPE, 404])
  })

  it('links name the shared port where the client came by it', async () => {
    const { shared } = stage.app.urls
    const answer = await call(`${shared}/confluent/v3/clusters`)
    expect(JSON.parse(answer.body).metadata.self).to.equal(`${shared}/confluent/v3/clusters`)
  })

  it('every related link of what is read leads somewhere', async () => {
    const { data } = await json('/brokers')
    expect(data).to.have.length(stage.cluster.nodeIds.length)
    const topic = await json(`/topics/${one}`)
    expect(topic).to.include({ topic_name: one, partitions_count: 1, is_internal: false })
    const partitions = await call(topic.partitions.related)
    const [partition] = JSON.parse(partitions.body).data as Json[]
    const leader = JSON.parse((await call(partition!.leader.related)).body) as Json
    expect([leader.is_leader, leader.is_in_sync]).to.deep.equal([true, true])
    expect((await call(leader.broker.related)).status).to.equal(200)
    expect(await json(`/topics/${one}/partitions/0/offset`)).to.include({ earliest_offset: 0, latest_offset: 0 })
    expect((await json('/topics')).data.map(({ topic_name }: Json) => topic_name)).to.include(one)
    for (const missing of [`/topics/none`, `/topics/${one}/partitions/9`, `/brokers/99`, `/consumer-groups/none`]) {
      expect([missing, (await get(at(missing))).status]).to.deep.equal([missing, 404])
    }
  })

  it('topics have the operations on them that Kafka allows, where the request asks for these', async () => {
    const operations = ['READ', 'WRITE', 'CREATE', 'DELETE', 'ALTER', 'DESCRIBE', 'DESCRIBE_CONFIGS', 'ALTER_CONFIGS']
    const found = await json(`/topics/${one}?include_authorized_operations=true`)
    expect(found.authorized_operations).to.have.members(operations)
    const { data } = await json('/topics?includeAuthorizedOperations=true')
    expect(data.find(({ topic_name }: Json) => topic_name === one)).to.deep.equal(found)
    expect(await json(`/topics/${one}`)).to.not.have.property('authorized_operations')
  })

  it('confluent 64 and 65: a topic is created once', async () => {
    const { topic_name, body, answer } = create({ configs: [{ name: 'retention.ms', value: '7000' }] })
    const { status, headers, body: created } = await answer
    expect([status, created!.kind, created!.topic_name, created!.partitions_count]).to.deep.equal([
      201,
      'KafkaTopic',
      topic_name,
      2
    ])
    expect(headers.location).to.equal(created!.metadata.self)
    expect((await json(`/topics/${topic_name}/configs/retention.ms`)).value).to.equal('7000')
    const again = await ask('POST', '/topics', body)
    expect([again.status, again.body!.error_code]).to.deep.equal([400, 40002])
    await stage.produce(topic_name, JSON_RECORDS, [{ value: 1 }])
  })

  it('confluent 66: a topic that is only validated is not created', async () => {
    const { topic_name, answer } = create({ validate_only: true })
    const { status, body } = await answer
    expect([status, body!.topic_name]).to.deep.equal([200, topic_name])
    expect((await get(at(`/topics/${topic_name}`))).status).to.equal(404)
  })

  it('confluent 67: a topic without a name is answered 400, no body 422', async () => {
    const codes = []
    for (const body of ['', {}, '{', { topic_name: 'a b' }, { topic_name: 'a', odd: 1 }, { topic_name: 5 }]) {
      codes.push((await ask('POST', '/topics', body)).status)
    }
    expect(codes).to.deep.equal([422, 400, 400, 422, 422, 400])
  })

  it('partitions are added, and a topic is deleted', async () => {
    const { topic_name, answer } = create()
    await answer
    const grown = await ask('PATCH', `/topics/${topic_name}`, { partitions_count: 3 })
    expect([grown.status, grown.body!.partitions_count]).to.deep.equal([200, 3])
    const shrunk = await ask('PATCH', `/topics/${topic_name}`, { partitions_count: 1 })
    expect([shrunk.status, shrunk.body!.error_code]).to.deep.equal([400, 40002])
    expect((await ask('DELETE', `/topics/${topic_name}`)).status).to.equal(204)
    const gone = await ask('DELETE', `/topics/${topic_name}`)
    expect([gone.status, gone.body!.error_code]).to.deep.equal([404, 40403])
  })

  it('a request for a topic that is missing is answered 404 with 40403, and the text names the topic', async () => {
    const changes = [
      await ask('GET', '/topics/none'),
      await ask('GET', '/topics/none/partitions'),
      await ask('GET', '/topics/none/partitions/0'),
      await ask('GET', '/topics/none/configs'),
      await ask('GET', '/topics/none/configs/retention.ms'),
      await ask('DELETE', '/topics/none'),
      await ask('PATCH', '/topics/none', { partitions_count: 9 }),
      await ask('PUT', '/topics/none/configs/retention.ms', { value: '1000' })
    ]
    const missing = { error_code: 40403, message: 'there is no topic none' }
    expect(changes.map(({ status, body }) => [status, body])).to.deep.equal(changes.map(() => [404, missing]))
  })

  it('version 3 is served as /kafka/v3 too, on the port of the API and on the shared one', async () => {
    for (const url of [stage.url, `${stage.app.urls.shared}/confluent`]) {
      const [own, alias] = await Promise.all(
        [`${url}${at('/topics/none')}`, `${url}/kafka${at('/topics/none')}`].map(each => call(each))
      )
      expect([alias!.status, alias!.headers['content-type'], alias!.body]).to.deep.equal([404, JSON_TYPE, own!.body])
      const record = { method: 'POST', headers: { 'content-type': JSON_TYPE }, body: '{}' }
      const written = await call(`${url}/kafka${at(`/topics/${one}/records`)}`, record)
      expect([written.status, JSON.parse(written.body).error_code]).to.deep.equal([200, 200])
    }
  })

  it('confluent 69: a setting of a topic is set, read and reset', async () => {
    const { topic_name, answer } = create()
    await answer
    const path = `/topics/${topic_name}/configs/retention.ms`
    expect((await ask('PUT', path, { value: '1000' })).status).to.equal(204)
    expect(await json(path)).to.include({ name: 'retention.ms', value: '1000', is_default: false })
    expect((await ask('DELETE', path)).status).to.equal(204)
    expect(await json(path)).to.not.include({ value: '1000' })
    const data = [
      { name: 'retention.ms', value: '2000' },
      { name: 'cleanup.policy', operation: 'DELETE' }
    ]
    expect((await ask('POST', `/topics/${topic_name}/configs:alter`, { data })).status).to.equal(204)
    expect((await json(path)).value).to.equal('2000')
    const wrong = await ask('PUT', path, { value: 'odd' })
    expect([wrong.status, wrong.body!.error_code]).to.deep.equal([400, 40002])
    expect((await get(at(`/topics/${topic_name}/configs/odd`))).status).to.equal(404)
  })

  it('a body above 256 KiB is answered 413, and no setting is named, because none raises the limit', async () => {
    const { status, body } = await ask('POST', '/topics', `{"topic_name":"${' '.repeat(256 * 1024)}"}`)
    expect([status, body!.error_code, body!.message]).to.deep.equal([
      413,
      413,
      'the body is larger than 262144 bytes, the limit of requests that produce nothing'
    ])
  })

  it('changes are off on the shared port', async () => {
    const { topic_name, body } = { topic_name: freshTopic('new'), body: {} }
    const url = `${stage.app.urls.shared}/confluent`
    for (const [method, path] of [
      ['POST', '/topics'],
      ['DELETE', `/topics/${one}`]
    ] as const) {
      const answer = await ask(method, path, method === 'POST' ? { ...body, topic_name } : undefined, url)
      expect([answer.status, answer.body!.error_code]).to.deep.equal([403, 40301])
    }
    expect((await get(at(`/topics/${one}`))).status).to.equal(200)
  })

  it('confluent 81: lags of a group come with the largest first', async () => {
    const topic = await stage.topic(2)
    const group = freshTopic('group')
    for (const [partition, count] of [3, 5].entries()) {
      await stage.produce(
        topic,
        JSON_RECORDS,
        Array.from({ length: count }, () => ({ value: 1, partition }))
      )
    }
    await stage.commit(
      group,
      topic,
      new Map([
        [0, 1],
        [1, 1]
      ])
    )
    const { data } = await json(`/consumer-groups/${group}/lags`)
    expect(
      data.map(({ partition_id, current_offset, log_end_offset, lag, consumer_id }: Json) => [
        partition_id,
        current_offset,
        log_end_offset,
        lag,
        consumer_id
      ])
    ).to.deep.equal([
      [1, 1, 5, 4, ''],
      [0, 1, 3, 2, '']
    ])
    expect(await json(`/consumer-groups/${group}/lags/${topic}/partitions/0`)).to.include({ lag: 2 })
    expect(await json(`/consumer-groups/${group}/lag-summary`)).to.include({
      max_lag: 4,
      total_lag: 6,
      max_lag_topic_name: topic,
      max_lag_partition_id: 1
    })
    expect(await json(`/consumer-groups/${group}`)).to.include({
      consumer_group_id: group,
      state: 'EMPTY',
      is_simple: true
    })
    expect((await json('/consumer-groups')).data.map(({ consumer_group_id }: Json) => consumer_group_id)).to.include(
      group
    )
    expect((await json(`/consumer-groups/${group}/consumers`)).data).to.deep.equal([])
    const unknown = await get(at('/consumer-groups/none/lags'))
    expect([unknown.status, (unknown.body as Json).error_code]).to.deep.equal([404, 404])
  })

  it('the members of a group, what they read and how far they are behind are found by links', async () => {
    const topic = await stage.topic(2)
    const group = freshTopic('group')
    const each = [0, 1].flatMap(partition => [1, 2].map(value => ({ value, partition })))
    await stage.produce(topic, JSON_RECORDS, each)
    const first = [0, 1].map(partition => [partition, 1] as const)
    await stage.commit(group, topic, new Map(first))
    await stage.join(group, topic)
    const follow = async (url: string): Promise<Json> => {
      expect(url.startsWith(stage.url), url).to.equal(true)
      return json(url.slice((stage.url + at('')).length))
    }
    const { consumers, lag_summary } = await json(`/consumer-groups/${group}`)
    const found = []
    for (const consumer of (await follow(consumers.related)).data) {
      expect(await follow(consumer.metadata.self)).to.deep.equal(consumer)
      for (const assignment of (await follow(consumer.assignments.related)).data) {
        expect(await follow(assignment.metadata.self)).to.deep.equal(assignment)
        expect(await follow(assignment.partition.related)).to.include({ partition_id: assignment.partition_id })
        const lag = await follow(assignment.lag.related)
        expect(lag).to.include({ consumer_id: consumer.consumer_id, log_end_offset: 2 })
        expect(await follow(lag.metadata.self)).to.include({ kind: 'KafkaConsumerLag', topic_name: topic })
        found.push(assignment.partition_id)
      }
    }
    expect(found.sort()).to.deep.equal([0, 1])
    const { max_lag_consumer, max_lag_partition } = await follow(lag_summary.related)
    for (const { related } of [max_lag_consumer, max_lag_partition]) await follow(related)
    const [consumer] = (await follow(consumers.related)).data
    for (const missing of [`${topic}/partitions/9`, 'none/partitions/0']) {
      const path = `/consumer-groups/${group}/consumers/${consumer.consumer_id}/assignments/${missing}`
      expect([missing, (await get(at(path))).status]).to.deep.equal([missing, 404])
    }
  })

  it('offsets of another type than both are answered 400', async () => {
    const path = at(`/topics/${one}/partitions/0/offset`)
    const both = await get(`${path}?offset_type=earliest_and_latest`)
    expect([both.status, (both.body as Json).kind]).to.deep.equal([200, 'KafkaPartitionWithOffsets'])
    const latest = await get(`${path}?offset_type=latest`)
    expect([latest.status, (latest.body as Json).error_code]).to.deep.equal([400, 400])
  })
})
