import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import kafkajs from 'kafkajs'
import { openCastellan, type ProgramCastellan } from '../../../src/client/open-castellan.js'
import type { App } from '../../../src/server/app/app.js'
import { readLag, sumOf } from '../../../src/verbs/lag.js'
import { runCommand } from '../../cli/run-command.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'
import { KafkaCluster } from './cluster.js'
import { javaArguments, kafkaClasspath } from './jars.js'
import { saslUser } from './server-properties.js'

const PATIENCE_MS = 60_000

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs

/** A cluster of its own, since its nodes ask an authorizer. */
describe('the lag of groups on real Kafka', function () {
  this.timeout(300_000)
  let kafka: KafkaCluster
  let castellan: ProgramCastellan
  let app: App | undefined
  const children: ChildProcess[] = []
  before(async () => {
    kafka = await KafkaCluster.start({
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      'allow.everyone.if.no.acl.found': 'true'
    })
    castellan = await openCastellan({ brokers: kafka.bootstrap })
  })
  after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await castellan?.close({ timeoutMs: 0 })
    await kafka?.stop()
  })
  afterEach(async () => {
    await app?.stop()
    app = undefined
  })

  const write = async (topic: string, count: number): Promise<void> => {
    const records = Array.from({ length: count }, (_, at) => ({ topic, partition: at % 2, key: null, value: `${at}` }))
    const outcomes = await castellan.verbs
      .produce(records, { partitioner: 'murmur2', deadlineMs: PATIENCE_MS })
      .outcomes()
    expect(outcomes.every(({ type }) => type === 'delivered')).to.equal(true)
  }
  const commit = (group: string, topic: string, offset: number): Promise<unknown> =>
    castellan.verbs.groups.commit(group, topic, new Map([[0, { offset }]]), PATIENCE_MS)

  it('is said to be unreadable for a group that may not be read: in its rows, its metric, the command and the log', async () => {
    const [topic, open, secret] = [freshTopic('orders'), freshTopic('open'), freshTopic('secret')]
    await kafka.createTopic(topic, 2)
    await write(topic, 6)
    await commit(open, topic, 1)
    await commit(secret, topic, 1)
    const admin = new Kafka({ brokers: kafka.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const denial = {
      resourceType: AclResourceTypes.GROUP,
      resourceName: secret,
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: `User:${saslUser.username}`,
      host: '*',
      operation: AclOperationTypes.ALL,
      permissionType: AclPermissionTypes.DENY
    }
    await admin.createAcls({ acl: [denial] })
    const login = {
      'clusters.default.tls.enabled': 'true',
      'clusters.default.tls.caFile': kafka.certificate.certificatePath,
      'clusters.default.sasl.mechanism': 'plain',
      'clusters.default.sasl.username': saslUser.username,
      'clusters.default.sasl.password': saslUser.password
    }
    const lines: LogLine[] = []
    const lag = { 'metrics.lag.everyMs': '1000', 'metrics.lag.groups': `${open},${secret}` }
    app = await startTestApp(kafka.saslSslBootstrap, { ...login, ...lag }, recordingLogger(lines))
    const rowsOf = (group: string) => app!.lagOf().filter(row => row.group === group)
    const until = async (isSo: () => boolean): Promise<void> => {
      for (const end = performance.now() + PATIENCE_MS; !isSo(); await sleep(50)) {
        if (performance.now() > end) throw new Error(JSON.stringify(app!.lagOf()))
      }
    }
    await until(() => rowsOf(open)[0]?.lag === 2 && /GROUP_AUTHORIZATION_FAILED/.test(rowsOf(secret)[0]?.trouble ?? ''))
    expect(rowsOf(secret)[0]).to.deep.include({ topic: undefined, lag: undefined, asOf: undefined })
    const text = await (await fetch(`${app.urls.management}/metrics`)).text()
    expect(text).to.include(`castellan_lag_group_readable{cluster="default",group="${secret}"} 0\n`)
    expect(text).to.include(`castellan_lag_group_readable{cluster="default",group="${open}"} 1\n`)
    // Rounds go on, and the line is not written again.
    const firstAt = rowsOf(open)[0]!.asOf!
    await until(() => rowsOf(open)[0]!.asOf! > firstAt + 3_000)
    const refused = lines.filter(
      ({ fields }) => 'reason' in fields && /GROUP_AUTHORIZATION_FAILED/.test(String(fields.reason))
    )
    expect(refused).to.have.length(1)
    const flags = Object.entries(login).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const environment = { CASTELLAN_CLUSTERS_DEFAULT_BROKERS: kafka.saslSslBootstrap }
    const { code, stderr } = await runCommand(['groups', '--lag', secret, ...flags], { environment })
    expect([code, stderr]).to.satisfy(
      ([exit, message]: [number, string]) => exit === 1 && message.includes('GROUP_AUTHORIZATION_FAILED')
    )
    // The right comes back, and so does the lag.
    await admin.deleteAcls({ filters: [denial] })
    await admin.disconnect()
    await until(() => rowsOf(secret)[0]?.lag === 2)
    expect(rowsOf(secret)[0]!.trouble).to.equal(undefined)
  })

  it('is told of a group of the protocol of KIP-848, while its consumer reads and after it has ended', async () => {
    const [topic, group] = [freshTopic('orders'), freshTopic('next-generation')]
    await kafka.createTopic(topic, 2)
    await write(topic, 10)
    const args = ['--bootstrap-server', kafka.bootstrap, '--topic', topic, '--group', group]
    const properties = [
      '--consumer-property',
      'group.protocol=consumer',
      '--consumer-property',
      'auto.commit.interval.ms=200'
    ]
    const child = spawn(
      'java',
      [
        ...javaArguments(await kafkaClasspath(), 128),
        'org.apache.kafka.tools.consumer.ConsoleConsumer',
        ...args,
        ...properties,
        '--from-beginning'
      ],
      { stdio: 'ignore' }
    )
    children.push(child)
    const lagOf = async () => {
      const [lag] = await readLag(castellan.router.ref, group, PATIENCE_MS)
      return lag && sumOf(lag)
    }
    for (const end = performance.now() + 60_000; ; await sleep(200)) {
      const lag = await lagOf()
      if (lag?.lag === 0 && lag.uncommitted === 0) break
      if (performance.now() > end) throw new Error(JSON.stringify(lag))
    }
    const described = await castellan.verbs.groups.describe([group], PATIENCE_MS)
    expect(described.get(group)?.type).to.equal('consumer')
    child.kill('SIGTERM')
    await new Promise(resolve => child.once('close', resolve))
    await write(topic, 4)
    expect(await lagOf()).to.deep.equal({ partitions: 2, uncommitted: 0, lag: 4 })
  })
})
