import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import kafkajs from 'kafkajs'
import type { Status } from '../../../src/http/status/status.js'
import type { App } from '../../../src/server/app/app.js'
import { hideCalls } from '../../support/hidden-calls.js'
import { freshTopic } from '../../support/target-cluster.js'
import { metricOf, startTestApp } from '../../support/test-app.js'
import { KafkaCluster } from './cluster.js'
import { saslUser } from './server-properties.js'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs
const { DESCRIBE, READ, WRITE } = AclOperationTypes
const { TOPIC } = AclResourceTypes

/** The settings are looked at every 5 minutes, and at the start; rows of groups and records come within seconds. */
const SHOWN_WITHIN_MS = 30_000
const [INIT_PRODUCER_ID, DESCRIBE_CONFIGS] = [22, 32] as const

/** A cluster of its own, whose nodes allow nothing that no entry allows. */
describe('a principal without a right that all records or all groups need, on real Kafka', function () {
  this.timeout(300_000)
  let kafka: KafkaCluster
  let admin: kafkajs.Admin
  let app: App | undefined
  const topic = freshTopic('orders')
  const ofAll = (operation: kafkajs.AclOperationTypes, resourceType: kafkajs.AclResourceTypes) => ({
    ...{ resourceType, resourceName: '*', resourcePatternType: ResourcePatternTypes.LITERAL },
    ...{ principal: `User:${saslUser.username}`, host: '*', operation, permissionType: AclPermissionTypes.ALLOW }
  })
  const grant = (...acl: readonly ReturnType<typeof ofAll>[]): Promise<boolean> => admin.createAcls({ acl: [...acl] })
  before(async () => {
    kafka = await KafkaCluster.start({
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS'
    })
    admin = new Kafka({ brokers: kafka.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    await kafka.createTopic(topic, 1)
  })
  afterEach(async () => {
    await app?.stop({ isBroken: true })
    app = undefined
  })
  after(async () => {
    await admin?.disconnect()
    await kafka?.stop()
  })
  const open = (bootstrap: string, settings: Readonly<Record<string, string>> = {}): Promise<App> =>
    startTestApp(bootstrap, { 'delivery.createTopics': 'false', ...settings })
  const asAlice = (): Promise<App> =>
    open(kafka.saslSslBootstrap, {
      'clusters.default.tls.enabled': 'true',
      'clusters.default.tls.caFile': kafka.certificate.certificatePath,
      'clusters.default.sasl.mechanism': 'plain',
      'clusters.default.sasl.username': saslUser.username,
      'clusters.default.sasl.password': saslUser.password
    })
  /** The kinds of trouble, when they are these. */
  async function kindsAre(...kinds: readonly string[]): Promise<Status['trouble']> {
    const until = performance.now() + SHOWN_WITHIN_MS
    for (;;) {
      const { trouble } = (await (await fetch(`${app!.urls.management}/status.json`)).json()) as Status
      const shown = new Set(trouble.map(({ kind }) => kind))
      if ([...shown].sort().join() === [...kinds].sort().join()) return trouble
      if (performance.now() > until) throw new Error(`not ${kinds}: ${JSON.stringify(trouble)}`)
      await sleep(200)
    }
  }
  const post = (path: string, body: unknown, type = 'application/json'): Promise<Response> =>
    fetch(`${app!.urls.shared}${path}`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: JSON.stringify(body)
    })
  const warnings = async (): Promise<string[]> => {
    const answer = await fetch(`${app!.urls.management}/ready`)
    expect(answer.status).to.equal(200)
    return ((await answer.json()) as { warnings: string[] }).warnings
  }

  it('is told the right that is missing, for records and for groups, and goes on when it has it', async () => {
    app = await asAlice()
    const id = (await (await post(`/arion/async/${topic}`, 'x')).json()) as { id: string }
    expect(id).to.have.property('id')
    const [blind] = await kindsAre('notAuthorized', 'settingsHidden')
    expect(blind, 'no topic is visible').to.include({ kind: 'notAuthorized', subject: `topic ${topic}` })

    await grant(ofAll(READ, TOPIC), ofAll(DESCRIBE, TOPIC))
    const rows = await kindsAre('idRefused', 'settingsHidden')
    expect(rows[0]!.cause).to.include('CLUSTER_AUTHORIZATION_FAILED (31)')
    expect(rows[0]!.next).to.match(/^Grant Write on a topic /)
    expect(rows[1]!.cause).to.match(/^cluster default does not show its settings: \w+_AUTHORIZATION_FAILED/)
    expect((await warnings()).map(text => text.split(':')[0])).to.deep.equal([
      'cluster default gives no producer id, so no record can be written',
      'cluster default does not show its settings'
    ])
    expect(await metricOf(app.urls.management, 'castellan_producer_id_refused')).to.equal(1)

    // No group may be joined: neither by a loop, nor by an instance, nor as a queue.
    await fetch(`${app.urls.shared}/pixy/topics/${topic}/messages?group=loop`)
    const v2 = 'application/vnd.kafka.v2+json'
    await post('/confluent/consumers/instance', { name: 'x', format: 'binary' }, v2)
    await post('/confluent/consumers/instance/instances/x/subscription', { topics: [topic] }, v2)
    await post(`/queues/${topic}/jobs/acquire`, { waitMs: 1_000 })
    const ofGroups = await kindsAre('idRefused', 'settingsHidden', 'groupRefused', 'queueNotServed')
    expect(ofGroups.flatMap(({ kind, subject }) => (kind === 'groupRefused' ? [subject] : []))).to.deep.equal([
      'group instance',
      'group loop'
    ])

    await grant(ofAll(WRITE, TOPIC))
    await kindsAre('settingsHidden', 'groupRefused', 'queueNotServed')
    await kafka.waitFor('the record', async () => (await admin.fetchTopicOffsets(topic))[0]?.high === '1')
    expect(await metricOf(app.urls.management, 'castellan_producer_id_refused')).to.equal(0)
  })

  it('is told that a Kafka without InitProducerId or DescribeConfigs takes no records, and shows no settings', async () => {
    const hidden = new Set([INIT_PRODUCER_ID, DESCRIBE_CONFIGS])
    const proxies = await Promise.all(
      kafka.ports.map(({ proxied: port }) => hideCalls({ port }, { host: '127.0.0.2', port }, hidden))
    )
    app = await open(kafka.ports.map(({ proxied }) => `127.0.0.2:${proxied}`).join(','))
    expect((await post(`/arion/async/${topic}`, 'x')).status).to.equal(202)
    const [row, settings] = await kindsAre('idRefused', 'settingsHidden')
    expect(row!.cause).to.match(/InitProducerId v\d is needed, but \S+ does not offer it/)
    expect(row!.next).to.match(/^This Kafka has no idempotent writes/)
    expect(settings!.cause).to.include('does not offer it')
    const push = await post('/kprf/push', { records: [{ topic, data: 'x' }], wait_for_send: true })
    expect(await push.text()).to.include('UnsupportedFeature (Local: Required feature not supported by broker)')
    expect(push.headers.get('x-castellan-warning')).to.include('does not offer it')
    await app.stop({ isBroken: true })
    app = undefined
    for (const proxy of proxies) await proxy.close()
  })
})
