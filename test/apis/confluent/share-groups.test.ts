import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { ForbiddenError, KafkaError } from '../../../src/core/errors.js'
import { type AccessTarget, type Caller, openAccess } from '../../../src/http/access/access.js'
import type { AclEntry, AclFilter } from '../../../src/verbs/admin.js'
import type { ShareGroup } from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { serve } from './stage.js'

const member = {
  memberId: 'm1',
  clientId: 'shop',
  clientHost: '/10.0.0.1',
  partitions: new Map([
    ['orders', [0, 1]],
    ['secret', [0]]
  ])
}
const GROUP: ShareGroup = {
  groupId: 'a/b',
  state: 'Stable',
  coordinatorId: 1,
  members: [member],
  topics: ['orders', 'secret'],
  partitions: member.partitions
}
const ENTRY: AclEntry = {
  resourceType: 'TOPIC',
  resourceName: 'orders',
  patternType: 'PREFIXED',
  principal: 'User:ann',
  host: '*',
  operation: 'READ',
  permission: 'ALLOW'
}

describe('confluent: share groups of version 3', () => {
  let app: FastifyInstance
  let verbs: FakeVerbs
  let changes: string[]
  let filters: AclFilter[]
  /** What is refused: `delete secret`. */
  let refused: ReadonlySet<string>
  afterEach(() => app.close())

  beforeEach(async () => {
    verbs = new FakeVerbs()
    changes = []
    filters = []
    refused = new Set()
    verbs.shareGroups = {
      ...verbs.shareGroups,
      list: async ({ includes = () => true }) => ({
        groups: [GROUP].filter(({ groupId }) => includes(groupId)),
        next: undefined
      }),
      describe: async () => GROUP,
      delete: async groupId => void changes.push(groupId)
    }
    verbs.admin = {
      ...verbs.admin,
      describeAcls: async filter => {
        filters.push(filter)
        return [ENTRY]
      }
    }
  })

  async function start(isRuled = true): Promise<void> {
    const isRefused = (operation: string, { topic, group }: AccessTarget = {}): boolean =>
      refused.has(`${operation} ${topic ?? group}`)
    const access = {
      callerOf: (request: Parameters<typeof openAccess.callerOf>[0]): Caller => ({
        ...openAccess.callerOf(request),
        isRuled,
        allows: (operation, target) => !isRefused(operation, target),
        refusalOf: (operation, target) =>
          isRefused(operation, target) ? new ForbiddenError('no rule allows it') : undefined
      })
    }
    app = await serve(verbs, {}, { access })
  }
  async function ask(path: string, method: 'GET' | 'DELETE' = 'GET', headers: Record<string, string> = {}) {
    const { statusCode, body } = await app.inject({
      method,
      url: `/v3/clusters/c1${path}`,
      headers: { host: 'localhost', ...headers }
    })
    return [statusCode, body === '' ? undefined : JSON.parse(body)] as const
  }
  const G = '/share-groups/a%2Fb'
  const url = (path: string): string => `http://localhost/v3/clusters/c1${path}`
  const related = (path: string) => ({ related: url(path) })
  const partition = (at: number) => related(`/topics/orders/partitions/${at}`)

  it('are shown a portion of the list in each tick', async () => {
    const inTicks: number[] = []
    let isNewTick = true
    const count = (): void => {
      if (isNewTick) {
        inTicks.push(0)
        setImmediate(() => {
          isNewTick = true
        })
      }
      isNewTick = false
      inTicks.push(inTicks.pop()! + 1)
    }
    const many = Array.from({ length: 1_000 }, (_, at) => ({
      ...{ ...GROUP, groupId: `g${at}` },
      get partitions() {
        count()
        return GROUP.partitions
      }
    }))
    verbs.shareGroups = { ...verbs.shareGroups, list: async () => ({ groups: many, next: undefined }) }
    await start()
    const [code, list] = await ask('/share-groups')
    expect([code, list.data.length]).to.deep.equal([200, many.length])
    expect(Math.max(...inTicks)).to.be.below(many.length / 2)
  })

  it('have the bodies that Confluent gives them, without topics that the client may not see', async () => {
    refused = new Set(['offsets secret'])
    await start()
    const group = {
      kind: 'KafkaShareGroup',
      metadata: { self: url(G), resource_name: 'crn:///kafka=c1/share-group=a/b' },
      cluster_id: 'c1',
      share_group_id: 'a/b',
      state: 'STABLE',
      coordinator: related('/brokers/1'),
      consumers: related(`${G}/consumers`),
      consumer_count: 1,
      partition_count: 2,
      assigned_topic_partitions: [0, 1].map(at => ({
        kind: 'KafkaShareGroupTopicPartition',
        metadata: {
          self: url(`/topics/orders/partitions/${at}`),
          resource_name: `crn:///kafka=c1/topic=orders/partition=${at}`
        },
        cluster_id: 'c1',
        topic_name: 'orders',
        partition_id: at,
        partition: partition(at)
      }))
    }
    const consumer = {
      kind: 'KafkaShareGroupConsumer',
      metadata: { self: url(`${G}/consumers/m1`), resource_name: 'crn:///kafka=c1/share-group=a/b/consumer=m1' },
      cluster_id: 'c1',
      group_id: 'a/b',
      consumer_id: 'm1',
      client_id: 'shop',
      assignments: related(`${G}/consumers/m1/assignments`)
    }
    const listed = (kind: string, path: string, data: readonly object[]) => ({
      kind,
      metadata: { self: url(path), next: null },
      data
    })
    expect(await ask('/share-groups')).to.deep.equal([200, listed('KafkaShareGroupList', '/share-groups', [group])])
    expect(await ask(G)).to.deep.equal([200, group])
    expect(await ask(`${G}/consumers`)).to.deep.equal([
      200,
      listed('KafkaShareConsumerList', `${G}/consumers`, [consumer])
    ])
    expect(await ask(`${G}/consumers/m1`)).to.deep.equal([200, consumer])
    const [status, { kind, data }] = await ask(`${G}/consumers/m1/assignments`)
    expect([status, kind, data.length]).to.deep.equal([200, 'KafkaConsumerAssignmentList', 2])
    const { metadata: _, ...second } = data[1]
    expect(second).to.deep.equal({
      kind: 'KafkaShareGroupConsumerAssignment',
      cluster_id: 'c1',
      group_id: 'a/b',
      consumer_id: 'm1',
      topic_name: 'orders',
      partition_id: 1,
      partition: partition(1)
    })
    expect((await ask(`${G}/consumers/none`))[0]).to.equal(404)
  })

  it('are shown and deleted to those who may, with all their topics', async () => {
    await start()
    refused = new Set(['offsets a/b'])
    expect((await ask('/share-groups'))[1].data).to.deep.equal([])
    for (const path of [G, `${G}/consumers`, `${G}/consumers/m1`, `${G}/consumers/m1/assignments`])
      expect((await ask(path))[0], path).to.equal(403)
    for (const one of ['delete a/b', 'delete secret']) {
      refused = new Set([one])
      const [status, { error_code: code }] = await ask(G, 'DELETE')
      expect([one, status, code]).to.deep.equal([one, 403, 40301])
    }
    expect(changes).to.deep.equal([])
    refused = new Set()
    expect(await ask(G, 'DELETE')).to.deep.equal([204, undefined])
    expect(changes).to.deep.equal(['a/b'])
  })

  it('that there are not, that have members, and those of an older Kafka have codes of their own', async () => {
    await start()
    for (const [kafkas, status, code] of [
      [69, 404, 404],
      [68, 409, 409],
      [35, 400, 40035]
    ] as const) {
      const refuse = () => Promise.reject(new KafkaError(kafkas, 'made up', false))
      verbs.shareGroups = { ...verbs.shareGroups, list: refuse, describe: refuse, delete: refuse }
      for (const path of ['/share-groups', G, `${G}/consumers`])
        expect(await ask(path), path).to.deep.equal([status, { error_code: code, message: 'made up' }])
      expect((await ask(G, 'DELETE'))[1]).to.deep.equal({ error_code: code, message: 'made up' })
    }
  })

  it('ACLs are found by what entries say', async () => {
    await start()
    const query = '?resource_type=topic&resource_name=or%2Fders&pattern_type=ANY&principal=User:ann&operation=READ'
    const [status, body] = await ask(`/acls${query}`)
    const said = {
      resource_type: 'TOPIC',
      resource_name: 'orders',
      pattern_type: 'PREFIXED',
      principal: 'User:ann',
      host: '*',
      operation: 'READ',
      permission: 'ALLOW'
    }
    const self = url(`/acls?${new URLSearchParams(said)}`)
    expect([status, body.kind, body.data]).to.deep.equal([
      200,
      'KafkaAclList',
      [{ kind: 'KafkaAcl', metadata: { self }, cluster_id: 'c1', ...said }]
    ])
    await ask('/acls')
    expect(filters).to.deep.equal([
      { resourceType: 'TOPIC', resourceName: 'or/ders', principal: 'User:ann', operation: 'READ' },
      {}
    ])
    for (const wrong of ['operation=FLY', 'permission=', 'resource_type=UNKNOWN', 'pattern_type=__proto__'])
      expect((await ask(`/acls?${wrong}`))[1].error_code, wrong).to.equal(40002)
    expect(filters).to.have.length(2)
  })

  it('ACLs are read without rules and credentials from the machine of the gateway alone', async () => {
    await start(false)
    expect((await ask('/acls'))[0]).to.equal(200)
    for (const headers of [{ 'x-forwarded-for': '10.0.0.9' }, { host: 'gateway.example' }])
      expect((await ask('/acls', 'GET', headers))[1].error_code).to.equal(40301)
    expect(filters).to.have.length(1)
  })

  it('ACLs need the right to the cluster, and an authorizer', async () => {
    await start()
    refused = new Set(['cluster undefined'])
    expect((await ask('/acls'))[1].error_code).to.equal(40301)
    refused = new Set()
    verbs.admin = {
      ...verbs.admin,
      describeAcls: () => Promise.reject(new KafkaError(54, 'No Authorizer is configured', false))
    }
    expect((await ask('/acls'))[1].error_code).to.equal(40002)
  })
})
