import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { TimedOutError } from '../../../src/core/errors.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { serve } from './stage.js'

/** A gateway that makes every change, and can look up nothing afterwards. */
class ChangesOnly extends FakeVerbs {
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
    app = await serve(gateway, { administration: 'everywhere' })
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

  it('a topic whose replicas the request assigns is answered with their numbers, created or only validated', async () => {
    const wanted = { topic_name: 'new', replicas_assignments: { '0': [1, 2], '1': [2, 1], '2': [1, 2] } }
    for (const [status, validate_only] of [
      [201, false],
      [200, true]
    ] as const) {
      const [answered, topic] = await ask('POST', '/topics', { ...wanted, validate_only })
      expect(answered).to.equal(status)
      expect(topic).to.include({ partitions_count: 3, replication_factor: 2 })
    }
  })

  it('a topic that was enlarged is answered 200', async () => {
    const [status, topic] = await ask('PATCH', '/topics/old', { partitions_count: 9 })
    expect([status, gateway.made]).to.deep.equal([200, ['grow old to 9']])
    expect(topic).to.include({ topic_name: 'old', partitions_count: 9 })
  })
})

/** A gateway whose topics have two settings. */
class SettingsOnly extends FakeVerbs {
  readonly made: string[] = []

  constructor() {
    super()
    const settings = ['retention.ms', 'cleanup.policy'].map(name => {
      const [isDefault, isReadOnly, isSensitive, source] = [true, false, false, 'DEFAULT_CONFIG'] as const
      return { name, value: '1', isDefault, isReadOnly, isSensitive, source, synonyms: [] }
    })
    this.admin = {
      ...this.admin,
      describeCluster: async () => ({ clusterId: 'c1', controllerId: 1, brokers: [] }),
      createTopic: async ({ name }) => void this.made.push(`create ${name}`),
      describeConfigs: async resources =>
        new Map(resources.map(resource => ['name' in resource ? resource.name : '', settings])),
      alterConfigs: async (resource, changes) => {
        const all = changes.map(({ name, value }) => `${name}=${value}`)
        this.made.push(`${'name' in resource ? resource.name : ''}: ${all.join(' ')}`)
      }
    }
  }
}

describe('confluent: changes that name something twice', () => {
  let app: FastifyInstance
  let gateway: SettingsOnly
  beforeEach(async () => {
    gateway = new SettingsOnly()
    app = await serve(gateway, { administration: 'everywhere' })
  })
  afterEach(() => app.close())

  async function ask(method: 'POST' | 'PUT', path: string, payload: object | Buffer) {
    const headers = { 'content-type': 'application/json' }
    const { statusCode, body } = await app.inject({ method, url: `/v3/clusters/c1${path}`, headers, payload })
    return [statusCode, body === '' ? undefined : JSON.parse(body)] as const
  }
  const retention = (value: string) => ({ name: 'retention.ms', value })

  it('a new topic with a setting twice is refused', async () => {
    const [status, body] = await ask('POST', '/topics', {
      topic_name: 'new',
      configs: [retention('1'), retention('2')]
    })
    expect([status, body.error_code, gateway.made]).to.deep.equal([400, 40002, []])
  })

  it('changes of one topic in several entries are made by one call', async () => {
    const data = [
      { topic_name: 'a', configs: [retention('1')] },
      { topic_name: 'b', configs: [retention('2')] },
      { topic_name: 'a', configs: [{ name: 'cleanup.policy', operation: 'DELETE' }] }
    ]
    expect(await ask('POST', '/topics/-/configs:alter', { data })).to.deep.equal([204, undefined])
    expect(gateway.made).to.have.members(['a: retention.ms=1 cleanup.policy=null', 'b: retention.ms=2'])
  })

  it('a setting twice in several entries of one topic is refused, and the other topics are changed', async () => {
    const data = ['a', 'b', 'a'].map((topic_name, at) => ({ topic_name, configs: [retention(String(at))] }))
    const [status, { failures }] = await ask('POST', '/topics/-/configs:alter', { data })
    expect([status, failures.length, failures[0].topic_name, failures[0].error_code]).to.deep.equal([
      207,
      1,
      'a',
      40002
    ])
    expect(gateway.made).to.deep.equal(['b: retention.ms=1'])
  })

  it('a body that is not UTF-8 is refused, not stored with other characters', async () => {
    const body = Buffer.from('{"value":"\xff"}', 'latin1')
    const [status, { error_code }] = await ask('PUT', '/topics/a/configs/retention.ms', body)
    expect([status, error_code, gateway.made]).to.deep.equal([400, 400, []])
  })
})
