import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { ForbiddenError, InvalidRequestError } from '../../../src/core/errors.js'
import { type AccessTarget, type Caller, type Operation, openAccess } from '../../../src/http/access/access.js'
import type { ConfigChange } from '../../../src/verbs/admin.js'
import type { GroupDescription } from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { serve } from './stage.js'

const JSON_TYPE = 'application/json'
const BROKER = { nodeId: 1, host: 'broker', port: 9092, rack: null }

class AdminOnly extends FakeVerbs {
  readonly altered: (readonly ConfigChange[])[] = []

  constructor() {
    super()
    this.admin = {
      ...this.admin,
      describeCluster: async () => ({ clusterId: 'c1', controllerId: 1, brokers: [BROKER] }),
      describeConfigs: async () => new Map([['1', [settingOf('log.cleaner.threads')]]]),
      alterConfigs: async (_, changes) => {
        this.altered.push(changes)
      }
    }
  }

  override async describe(): Promise<ReadonlyMap<string, GroupDescription>> {
    const partitions = new Map([
      ['open', [0]],
      ['secret', [0, 1]]
    ])
    const members = [{ memberId: 'm1', instanceId: null, clientId: 'c', clientHost: 'h', partitions }]
    const group = {
      groupId: 'g',
      type: 'classic' as const,
      state: 'Stable',
      assignor: 'range',
      isSimple: false,
      coordinatorId: 1,
      isMixed: false,
      members
    }
    return new Map([['g', group as GroupDescription]])
  }
}

const settingOf = (name: string) => {
  const source = 'DEFAULT_CONFIG' as const
  return { name, value: '1', isDefault: true, isReadOnly: false, isSensitive: false, source, synonyms: [] }
}

describe('confluent: permissions of administration', () => {
  let app: FastifyInstance
  let gateway: AdminOnly
  let asked: string[]
  afterEach(() => app.close())

  async function start(allows: (operation: Operation, target: AccessTarget) => boolean, settings: object = {}) {
    gateway = new AdminOnly()
    asked = []
    const { callerOf } = openAccess
    const access = {
      callerOf: (request: Parameters<typeof callerOf>[0]): Caller => ({
        ...callerOf(request),
        isRuled: true,
        allows: (operation, target = {}) => allows(operation, target),
        refusalOf: (operation, target = {}) => {
          asked.push(operation)
          return allows(operation, target) ? undefined : new ForbiddenError('no rule allows it')
        }
      })
    }
    app = await serve(gateway, settings, { access })
  }
  const ask = async (method: string, path: string, payload?: string) => {
    const headers = payload === undefined ? {} : { 'content-type': JSON_TYPE }
    const sent = { method: method as 'GET', url: `/v3/clusters/c1${path}`, headers }
    const { statusCode, body } = await app.inject(payload === undefined ? sent : { ...sent, payload })
    return [statusCode, body === '' ? undefined : JSON.parse(body)] as const
  }

  const changes = [
    ['PATCH', '/topics/secret'],
    ['PUT', '/topics/secret/configs/retention.ms'],
    ['POST', '/topics/secret/configs:alter'],
    ['PUT', '/brokers/1/configs/log.cleaner.threads'],
    ['POST', '/broker-configs:alter']
  ] as const

  it('a change that the client may not make is refused before its body is read, and asked for once', async () => {
    await start((_, { topic }) => topic === 'open')
    for (const [method, path] of changes) {
      asked = []
      const [status, body] = await ask(method, path, '{')
      expect([path, status, body.error_code, asked.length]).to.deep.equal([path, 403, 40301, 1])
    }
  })

  it('the operations on a topic are those that Kafka allows Castellan, without what the client may not do', async () => {
    const allowed = new Set<Operation>(['admin', 'produce'])
    await start(operation => allowed.has(operation))
    gateway.partitions.set('open', 1)
    const ofKafka = ['READ', 'WRITE', 'ALTER', 'DESCRIBE', 'DESCRIBE_CONFIGS'] as const
    gateway.admin = { ...gateway.admin, topicOperations: async () => new Map([['open', ofKafka]]) }
    for (const path of [
      '/topics/open?include_authorized_operations=true',
      '/topics?includeAuthorizedOperations=TRUE'
    ]) {
      const [status, body] = await ask('GET', path)
      const { authorized_operations: operations } = body.data?.[0] ?? body
      expect([path, status, operations]).to.deep.equal([path, 200, ['WRITE', 'DESCRIBE', 'DESCRIBE_CONFIGS']])
    }
    gateway.admin = { ...gateway.admin, topicOperations: async () => new Map() }
    for (const query of ['?include_authorized_operations=true', '?include_authorized_operations=false', '']) {
      const [status, body] = await ask('GET', `/topics/open${query}`)
      expect([query, status]).to.deep.equal([query, 200])
      expect(body).to.not.have.property('authorized_operations')
    }
  })

  it('changes that are off are refused before their bodies are read', async () => {
    await start(() => true, { administration: 'off' })
    for (const [method, path] of [...changes, ['POST', '/topics'], ['POST', '/topics/-/configs:alter']] as const) {
      const [status, body] = await ask(method, path, '{')
      expect([path, status, body.error_code]).to.deep.equal([path, 403, 40301])
      expect(body.message).to.equal('changes are off; apis.confluent.administration: ownPort or everywhere allows them')
    }
  })

  it('changes on the shared port, where no rules are, are refused with the setting and its value that allow them', async () => {
    app = await serve(new AdminOnly(), { administration: 'ownPort' })
    for (const [method, path] of changes) {
      const [status, body] = await ask(method, path, '{')
      expect([path, status, body.message]).to.deep.equal([
        path,
        403,
        'changes are off on this port; a rule of access or apis.confluent.administration: everywhere allows them'
      ])
    }
  })

  it('a client that may only produce is told the id of its cluster, and nothing of brokers, topics and groups', async () => {
    await start((operation, { topic = 'orders' }) => operation === 'produce' && topic === 'orders')
    const { statusCode, body } = await app.inject({ method: 'GET', url: '/v3/clusters' })
    const { data } = JSON.parse(body)
    expect([statusCode, data.length, data[0].cluster_id]).to.deep.equal([200, 1, 'c1'])
    expect(data[0]).to.not.have.property('controller')
    expect(body).to.not.match(/"broker"|9092|brokers\/1/)
    for (const path of [
      '',
      '/brokers',
      '/brokers/1',
      '/topics',
      '/topics/orders',
      '/consumer-groups',
      '/broker-configs'
    ])
      expect((await ask('GET', path))[0], path).to.equal(403)
  })

  it('a client without produce and admin is not told the id of the cluster', async () => {
    await start(operation => operation === 'consume')
    const { statusCode, body } = await app.inject({ method: 'GET', url: '/v3/clusters' })
    expect([statusCode, JSON.parse(body).error_code, asked]).to.deep.equal([403, 40301, ['admin']])
  })

  it('settings of brokers need the permission of the cluster', async () => {
    await start(operation => operation === 'admin')
    for (const path of ['/brokers/1/configs', '/brokers/1/configs/x', '/brokers/-/configs', '/broker-configs']) {
      expect([path, (await ask('GET', path))[0]]).to.deep.equal([path, 403])
    }
    expect((await ask('GET', '/brokers/1'))[0]).to.equal(200)
  })

  it('settings of a broker and of all brokers are set, reset and changed together', async () => {
    await start(operation => operation === 'cluster')
    const name = 'log.cleaner.threads'
    expect(await ask('PUT', `/brokers/1/configs/${name}`, '{"value":"2"}')).to.deep.equal([204, undefined])
    expect(await ask('DELETE', `/brokers/1/configs/${name}`)).to.deep.equal([204, undefined])
    expect(await ask('PUT', `/broker-configs/${name}`, '{"value":"3"}')).to.deep.equal([204, undefined])
    const data = JSON.stringify({ data: [{ name, value: '4' }] })
    expect(await ask('POST', '/broker-configs:alter', data)).to.deep.equal([204, undefined])
    expect(await ask('POST', '/brokers/1/configs:alter', data)).to.deep.equal([204, undefined])
    expect(gateway.altered.flat().map(({ value }) => value)).to.deep.equal(['2', null, '3', '4', '4'])
  })

  it('a setting that is named twice is refused, and nothing is changed', async () => {
    await start(() => true)
    const name = 'log.cleaner.threads'
    const data = JSON.stringify({
      data: [
        { name, value: '4' },
        { name, operation: 'DELETE' }
      ]
    })
    for (const path of ['/brokers/1/configs:alter', '/broker-configs:alter']) {
      const [status, body] = await ask('POST', path, data)
      expect([path, status, body.error_code]).to.deep.equal([path, 400, 40002])
    }
    expect(gateway.altered).to.deep.equal([])
  })

  it('what the protocol of Kafka cannot express is a mistake of the client', async () => {
    await start(() => true)
    gateway.admin.createPartitions = async () => {
      throw new InvalidRequestError("not a number of Kafka's protocol: 2147483648")
    }
    const [status, body] = await ask('PATCH', '/topics/a', '{"partitions_count":2147483648}')
    expect([status, body.error_code]).to.deep.equal([400, 40002])
    expect((await ask('POST', '/topics', '{"topic_name":"a","replicas_assignments":{"00":[1]}}'))[0]).to.equal(400)
  })

  it('topics that the client may not change are named as failures of a change of several', async () => {
    await start((_, { topic }) => topic !== 'secret')
    const data = [{ topic_name: 'secret', configs: [{ name: 'retention.ms', value: '1' }] }]
    const [status, body] = await ask('POST', '/topics/-/configs:alter', JSON.stringify({ data }))
    expect([status, body.failures[0].topic_name, body.failures[0].error_code]).to.deep.equal([207, 'secret', 40301])
    expect(gateway.altered).to.deep.equal([])
  })

  it('assignments leave out topics that the client may not see', async () => {
    await start((_, { topic }) => topic !== 'secret')
    const [status, { data }] = await ask('GET', '/consumer-groups/g/consumers/m1/assignments')
    expect(status).to.equal(200)
    expect(data.map(({ topic_name }: { topic_name: string }) => topic_name)).to.deep.equal(['open'])
    const of = async (topic: string) =>
      (await ask('GET', `/consumer-groups/g/consumers/m1/assignments/${topic}/partitions/0`))[0]
    expect([await of('open'), await of('secret')]).to.deep.equal([200, 404])
  })

  it('records of an instance of another client are refused where the topic is, and stay in the instance', async () => {
    await start((_, { topic }) => topic === undefined || topic === 'open')
    const fields = { partition: 0, offset: 0, timestampMs: 0, key: null, value: Buffer.from('1'), headers: [] }
    const settled: number[] = []
    let topics = ['open', 'secret']
    gateway.instances = {
      ...gateway.instances,
      read: async () => {
        const records = topics.map(topic => ({ topic, ...fields }))
        return {
          type: 'done',
          value: { records, format: 'json', settle: (accepted: number) => void settled.push(accepted) }
        }
      }
    }
    const read = async (): Promise<number> => {
      const url = '/consumers/g/instances/a/records'
      const headers = { accept: 'application/vnd.kafka.json.v2+json' }
      return (await app.inject({ method: 'GET', url, headers })).statusCode
    }
    expect(await read()).to.equal(403)
    topics = ['open']
    expect(await read()).to.equal(200)
    expect(settled[0]).to.equal(0)
  })

  it('requests for an instance need the right to each topic that it reads, not to its group alone', async () => {
    await start((_, { topic }) => topic === undefined || topic === 'open')
    const carriedOut: string[] = []
    const verb = (name: string) => async () => {
      carriedOut.push(name)
      return { type: 'done', value: undefined } as const
    }
    let looks = 0
    let topics: readonly string[] = []
    let assigned: readonly string[] = ['secret']
    gateway.instances = {
      ...gateway.instances,
      describe: async () => {
        const assignment = assigned.map(topic => ({ topic, partition: 0 }))
        looks++
        return { type: 'done', value: { subscription: topics, assignment } }
      },
      subscription: async () => ({ type: 'done', value: topics }),
      assignment: async () => ({ type: 'done', value: assigned.map(topic => ({ topic, partition: 0 })) }),
      subscribe: verb('subscribe'),
      assign: verb('assign'),
      commit: verb('commit'),
      unsubscribe: verb('unsubscribe'),
      remove: verb('remove')
    }
    const partitions = [{ topic: 'open', partition: 0 }]
    const requests = [
      ['POST', '/subscription', { topics: ['open'] }],
      ['POST', '/assignments', { partitions }],
      ['POST', '/offsets'],
      ['GET', '/subscription'],
      ['GET', '/assignments'],
      ['DELETE', '/subscription'],
      ['DELETE', '']
    ] as const
    const statuses = async (): Promise<number[]> => {
      const all: number[] = []
      for (const [method, path, payload] of requests) {
        const headers = payload ? { 'content-type': 'application/vnd.kafka.v2+json' } : {}
        const sent = { method, url: `/consumers/g/instances/a${path}`, headers, ...(payload && { payload }) }
        all.push((await app.inject(sent)).statusCode)
      }
      return all
    }
    expect(await statuses()).to.deep.equal(requests.map(() => 403))
    ;[topics, assigned] = [['open', 'secret'], []]
    expect(await statuses()).to.deep.equal(requests.map(() => 403))
    expect(carriedOut).to.deep.equal([])
    ;[topics, assigned] = [['open'], ['open']]
    expect(await statuses()).to.deep.equal([204, 204, 200, 200, 200, 204, 204])
    expect(carriedOut).to.deep.equal(['subscribe', 'assign', 'commit', 'unsubscribe', 'remove'])
    expect(looks, 'one for each request').to.equal(3 * requests.length)
  })
})
