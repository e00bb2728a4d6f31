import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import kafkajs from 'kafkajs'
import { aclLines, type DoctorFinding, type Grant } from '../../../src/cli/doctor/findings.js'
import { openCastellan } from '../../../src/client.js'
import { type AclRight, type Feature, features } from '../../../src/kafka/features.js'
import { runCommand } from '../../cli/run-command.js'
import { hideCalls } from '../../support/hidden-calls.js'
import type { HoldingProxy } from '../../support/holding-proxy.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'
import { KafkaCluster } from './cluster.js'
import { runTool } from './java-tools.js'
import { saslUser } from './server-properties.js'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs

const INIT_PRODUCER_ID = 22
/** ShareGroupHeartbeat, ShareGroupDescribe, ShareFetch, ShareAcknowledge, DescribeShareGroupOffsets. */
const OF_SHARE_GROUPS = [76, 77, 78, 79, 90] as const
const GROUP = 'billing'
/** Brokers learn of a right a moment after the controller. */
const LEARNT_WITHIN_MS = 20_000
/** Without one of these a gateway is of no use; `lists` is named by `--group`. */
const COUNT: ReadonlySet<string> = new Set(['connect', 'write', 'read', 'groups', 'lists'])
/** Rights that others imply, or that no call tells. */
const isTold = ([operation, resource]: AclRight): boolean =>
  operation !== 'Describe' &&
  operation !== 'Create' &&
  resource !== 'TransactionalId' &&
  (resource !== 'Cluster' || operation === 'DescribeConfigs')

/** A cluster of its own, whose nodes allow nothing that no entry allows. */
describe('castellan doctor on real Kafka', function () {
  this.timeout(300_000)
  let kafka: KafkaCluster
  let admin: kafkajs.Admin
  const topic = freshTopic('orders')

  before(async () => {
    kafka = await KafkaCluster.start({
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS'
    })
    admin = new Kafka({ brokers: kafka.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    await kafka.createTopic(topic, 1)
  })
  after(async () => {
    await admin?.disconnect()
    await kafka?.stop()
  })

  const asAlice = (): Readonly<Record<string, string>> => ({
    'clusters.default.tls.enabled': 'true',
    'clusters.default.tls.caFile': kafka.certificate.certificatePath,
    'clusters.default.sasl.mechanism': 'plain',
    'clusters.default.sasl.username': saslUser.username
  })
  async function doctor(brokers: string, settings: Readonly<Record<string, string>>, ...words: readonly string[]) {
    const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const args = ['doctor', '--topic', topic, '--group', GROUP, ...words, '--brokers', brokers, ...set]
    const environment = { CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD: saslUser.password }
    const { code, stdout, stderr } = await runCommand(args, {
      ...('clusters.default.sasl.mechanism' in settings && { environment })
    })
    expect(stderr).to.equal('')
    return { code, stdout }
  }
  const findingsOf = (stdout: string): Map<string, DoctorFinding> =>
    new Map(
      stdout
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as DoctorFinding)
        .map(finding => [finding.about, finding])
    )

  it('leads a principal without rights to a working gateway in at most three rounds with kafka-acls', async () => {
    let rounds = 0
    for (;;) {
      const { code, stdout } = await doctor(kafka.saslSslBootstrap, asAlice())
      if (code === 0) break
      expect(++rounds, stdout).to.be.below(4)
      const lines = stdout.split('To grant what is missing:\n')[1]!.trim().split('\n')
      for (const line of lines) {
        const [command, ...args] = line.replace(kafka.saslSslBootstrap, kafka.bootstrap).split(' ')
        expect(command).to.equal('kafka-acls.sh')
        await runTool('acls', args)
      }
      await sleep(1_000)
    }
    expect(rounds).to.be.above(0)
    const password = { 'clusters.default.sasl.password': saslUser.password }
    const app = await startTestApp(kafka.saslSslBootstrap, {
      'delivery.createTopics': 'false',
      ...asAlice(),
      ...password
    })
    try {
      const push = await fetch(`${app.urls.shared}/kprf/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records: [{ topic, data: 'x' }], wait_for_send: true })
      })
      expect(push.status, await push.text()).to.equal(200)
      const read = await fetch(`${app.urls.shared}/pixy/topics/${topic}/messages?group=${GROUP}`)
      expect([200, 408], await read.text()).to.include(read.status)
    } finally {
      await app.stop({ isBroken: true })
    }
  })

  const all = Object.values<Feature>(features)
    .filter(feature => feature.topic === undefined)
    .flatMap(({ acls }) => acls)
  const rights = [...new Map(all.map(right => [right.join(' on '), right])).values()]
  const nameOf = ([, resource]: AclRight): string =>
    ({ Topic: topic, Group: GROUP, Cluster: 'kafka-cluster', TransactionalId: 'etl' })[resource]
  const inKafka = (name: string): string => name.replace(/(?<=[a-z])(?=[A-Z])/, '_').toUpperCase()
  const entryOf = (right: AclRight) => ({
    resourceType: AclResourceTypes[inKafka(right[1]) as 'TOPIC'],
    resourceName: nameOf(right),
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: `User:${saslUser.username}`,
    host: '*',
    operation: AclOperationTypes[inKafka(right[0]) as 'READ'],
    permissionType: AclPermissionTypes.ALLOW
  })
  /** The principal gets these rights, and no others. */
  async function grantOnly(granted: readonly AclRight[]): Promise<void> {
    const filters = [...new Set(rights.map(([, resource]) => resource))].map(resource => {
      const { operation: _, ...filter } = entryOf(['Read', resource])
      return { ...filter, operation: AclOperationTypes.ANY }
    })
    await admin.deleteAcls({ filters })
    await admin.createAcls({ acl: granted.map(entryOf) })
  }

  for (const right of rights.filter(isTold)) {
    const text = `${right[0]} on ${right[1]}`
    it(`names ${text} when only that right is taken away`, async () => {
      // AlterConfigs allows DescribeConfigs.
      const taken = right[0] === 'DescribeConfigs' ? [right, ['AlterConfigs', right[1]] as const] : [right]
      const isTaken = (one: AclRight): boolean => taken.some(other => other.join() === one.join())
      await grantOnly(rights.filter(one => !isTaken(one)))
      const needing = Object.entries<Feature>(features).flatMap(([name, { acls, topic: own }]) =>
        own === undefined && acls.some(one => isTaken(one) && isTold(one)) ? [name] : []
      )
      const until = performance.now() + LEARNT_WITHIN_MS
      for (;;) {
        const { code, stdout } = await doctor(kafka.saslSslBootstrap, asAlice(), '--json')
        const findings = findingsOf(stdout)
        const [instances, ...others] = [...findings.values()].sort(({ about }) => (about === 'instances' ? -1 : 1))
        const lacking = new Set(others.filter(({ outcome }) => outcome === 'lacks').map(({ about }) => about))
        const told = others.filter(({ outcome }) => outcome === 'needs').map(({ about }) => about)
        const expected = needing.filter(name => !lacking.has(name))
        if (told.sort().join() !== expected.sort().join() && performance.now() < until) continue
        expect(told.sort(), stdout).to.deep.equal(expected.sort())
        expect(instances!.about).to.equal('instances')
        const texts = taken.map(([operation, resource]) => `${operation} on ${resource}`)
        for (const name of expected) {
          const { detail } = findings.get(name)!
          expect(
            texts.some(text => detail.includes(text)),
            detail
          ).to.equal(true)
        }
        expect(code).to.equal(expected.some(name => COUNT.has(name)) ? 1 : 0)
        // What it advises is what is missing.
        const grants: readonly Grant[] = expected.flatMap(name => findings.get(name)!.grants)
        if (expected.length > 0) expect(aclLines(grants, 'b', 'p').join('\n')).to.include(`--operation ${right[0]} `)
        return
      }
    })
  }

  async function behind(keys: readonly number[], ...words: readonly string[]): ReturnType<typeof doctor> {
    const proxies: HoldingProxy[] = []
    try {
      for (const { proxied: port } of kafka.ports)
        proxies.push(await hideCalls({ port }, { host: '127.0.0.2', port }, new Set(keys)))
      return await doctor(kafka.ports.map(({ proxied }) => `127.0.0.2:${proxied}`).join(','), {}, ...words)
    } finally {
      for (const proxy of proxies) await proxy.close()
    }
  }

  it('tells that a Kafka without InitProducerId takes no records', async () => {
    const { code, stdout } = await behind([INIT_PRODUCER_ID])
    expect(code).to.equal(1)
    expect(stdout).to.match(/^write +this Kafka lacks initProducerId$/m)
    expect(stdout).to.match(/^read +works$/m)
  })

  it('tells that a Kafka without share groups has no queues, which is wrong only where the configuration names them', async () => {
    const { code, stdout } = await behind(OF_SHARE_GROUPS)
    expect(stdout).to.match(/^queues +this Kafka lacks shareGroupHeartbeat, shareFetch, shareAcknowledge$/m)
    expect(stdout).to.match(/^queueSettings +this Kafka lacks shareGroupDescribe, describeShareGroupOffsets$/m)
    expect(stdout).to.match(/^groups +works$/m)
    expect(code).to.equal(0)
    expect((await behind(OF_SHARE_GROUPS, '--set', 'apis.queues.enabled=true')).code).to.equal(1)
  })

  it('fences nothing, begins no rebalance and spends no delivery beside a gateway under load', async () => {
    const hasQueues = !kafka.version.startsWith('3.')
    const app = await startTestApp(kafka.bootstrap, { 'delivery.createTopics': 'false' })
    const castellan = await openCastellan({ brokers: kafka.bootstrap })
    const member = new Kafka({ brokers: kafka.bootstrap.split(','), logLevel: logLevel.NOTHING }).consumer({
      groupId: GROUP
    })
    let joins = 0
    member.on(member.events.GROUP_JOIN, () => joins++)
    const post = (path: string, body: object): Promise<Response> =>
      fetch(`${app.urls.shared}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body)
      })
    const load = { ended: false, pushes: 0 }
    const push = async (): Promise<void> => {
      while (!load.ended) {
        const answer = await post('/kprf/push', { records: [{ topic, data: 'x' }], wait_for_send: true })
        expect(answer.status).to.equal(200)
        load.pushes++
      }
    }
    const loops = [push(), push()]
    try {
      await member.connect()
      await member.subscribe({ topic })
      await member.run({ eachMessage: async () => undefined })
      await kafka.waitFor('the member', async () => joins > 0)
      const acquire = async () => {
        const answer = await post(`/queues/${topic}/workers/acquire`, { waitMs: 20_000, start: 'earliest', count: 1 })
        const { messages } = (await answer.json()) as { messages: { deliveryCount: number; token: string }[] }
        return messages[0]!
      }
      const held = hasQueues ? await acquire() : undefined
      if (hasQueues) expect(held!.deliveryCount).to.equal(1)
      await castellan.transaction('etl', async tx => {
        await tx.produce({ topic, value: 'first' })
        for (const group of [GROUP, 'workers', 'workers'])
          expect((await doctor(kafka.bootstrap, {}, '--group', group, '--write', topic)).code).to.equal(0)
        await tx.produce({ topic, value: 'second' })
      })
      expect(joins).to.equal(1)
      if (hasQueues) {
        const settled = await post(`/queues/${topic}/workers/settle`, { accept: [held!.token] })
        expect(settled.status, await settled.text()).to.equal(200)
        expect((await acquire()).deliveryCount).to.equal(1)
      }
    } finally {
      load.ended = true
      await Promise.all(loops)
      await member.disconnect()
      await castellan.close({ timeoutMs: 0 })
      await app.stop({ isBroken: true })
    }
    expect(load.pushes).to.be.above(10)
  })
})
