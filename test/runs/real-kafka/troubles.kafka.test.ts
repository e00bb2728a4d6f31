import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import kafkajs from 'kafkajs'
import type { Status } from '../../../src/http/status/status.js'
import type { App } from '../../../src/server/app/app.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'
import { KafkaCluster } from './cluster.js'
import { saslUser } from './server-properties.js'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs

/** Longer than the controller needs to notice that a node is gone. */
const SHOWN_WITHIN_MS = 60_000

/** A cluster of its own, since its nodes ask an authorizer, and one of them is killed. */
describe('/status.json names troubles that were made on real Kafka', function () {
  this.timeout(300_000)
  let kafka: KafkaCluster
  let admin: kafkajs.Admin
  let app: App | undefined
  const [strict, mistyped] = ['strict', 'mistyped'].map(freshTopic) as [string, string]
  before(async () => {
    kafka = await KafkaCluster.start({
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      'allow.everyone.if.no.acl.found': 'true'
    })
    admin = new Kafka({ brokers: kafka.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    await kafka.createTopic(strict, 1, { 'min.insync.replicas': '3' })
  })
  after(async () => {
    await app?.stop({ isBroken: true })
    await admin?.disconnect()
    await kafka?.stop()
  })

  const push = async (topic: string, count = 1, waits = true): Promise<number> => {
    const records = Array.from({ length: count }, () => ({ topic, data: 'x' }))
    const { status } = await fetch(`${app!.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, wait_for_send: waits })
    })
    return status
  }

  /** Resolves with the row of one of these kinds about this subject. */
  async function row(subject: string, ...kinds: readonly string[]): Promise<Status['trouble'][number]> {
    const until = performance.now() + SHOWN_WITHIN_MS
    for (;;) {
      const status = (await (await fetch(`${app!.urls.management}/status.json`)).json()) as Status
      const found = status.trouble.find(one => kinds.includes(one.kind) && one.subject.includes(subject))
      if (found !== undefined) return found
      if (performance.now() > until) throw new Error(`no ${kinds} of ${subject}: ${JSON.stringify(status.trouble)}`)
      await sleep(200)
    }
  }

  it('a topic that may not be written to, a group that lags, a broker that is gone, a partition without a leader', async () => {
    const [orders, secret, alone, group] = ['orders', 'secret', 'alone', 'billing'].map(freshTopic) as [
      string,
      string,
      string,
      string
    ]
    const [doomed] = kafka.nodeIds
    await kafka.createTopic(orders, 1)
    await kafka.createTopic(secret, 1)
    await admin.createTopics({
      topics: [{ topic: alone, replicaAssignment: [{ partition: 0, replicas: [doomed!] }] }]
    })
    await admin.createAcls({
      acl: [
        {
          resourceType: AclResourceTypes.TOPIC,
          resourceName: secret,
          resourcePatternType: ResourcePatternTypes.LITERAL,
          principal: `User:${saslUser.username}`,
          host: '*',
          operation: AclOperationTypes.WRITE,
          permissionType: AclPermissionTypes.DENY
        }
      ]
    })
    app = await startTestApp(kafka.saslSslBootstrap, {
      'clusters.default.tls.enabled': 'true',
      'clusters.default.tls.caFile': kafka.certificate.certificatePath,
      'clusters.default.sasl.mechanism': 'plain',
      'clusters.default.sasl.username': saslUser.username,
      'clusters.default.sasl.password': saslUser.password,
      'delivery.createTopics': 'false',
      'metrics.lag.everyMs': '1000',
      'metrics.lag.groups': group
    })
    expect(await push(orders, 1_500)).to.equal(200)
    expect(await push(alone)).to.equal(200)

    await push(secret, 1, false)
    const denied = await row(secret, 'notAuthorized')
    expect(denied.next).to.include(`Grant the rights Describe and Write on topic ${secret}`)

    await admin.setOffsets({ groupId: group, topic: orders, partitions: [{ partition: 0, offset: '100' }] })
    const lagging = await row(group, 'groupLags')
    expect(lagging.cause).to.match(/^It is 1 400 records behind, as of \d\d:\d\d:\d\d UTC\.$/)

    await kafka.signal(doomed!, 'SIGKILL')
    await push(alone, 1, false)
    const leaderless = await row(alone, 'noLeader')
    expect(leaderless).to.include({ severity: 'bad', subject: `partition ${alone}/0` })
    expect(leaderless.next).to.match(/^Start (?:the brokers that hold its replicas|broker \d+)/)
    const gone = await row(`broker ${doomed}`, 'brokerDown', 'brokerGone')
    expect(gone.next).to.match(/[Ss]tart/)

    await push(strict, 1, false)
    const stuck = await row(strict, 'partitionStuck')
    expect(stuck.cause).to.include('NOT_ENOUGH_REPLICAS')
    expect(stuck.next).to.match(new RegExp(`^Start broker ${doomed}\\.`))

    // By its name and within ten seconds, on a route that answers 202.
    const from = performance.now()
    const url = `${app!.urls.shared}/arion/async/${mistyped}`
    expect((await fetch(url, { method: 'POST', body: 'x' })).status).to.equal(202)
    const missing = await row(mistyped, 'topicMissing')
    expect(performance.now() - from).to.be.below(10_000)
    expect(missing).to.include({ severity: 'bad', subject: `topic ${mistyped}` })
    const metrics = await (await fetch(`${app!.urls.management}/metrics`)).text()
    expect(metrics).to.include(`castellan_cluster_unknown_topics{cluster="default",topic="${mistyped}"} 1\n`)
  })
})
