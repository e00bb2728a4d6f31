import { expect } from 'chai'
import kafkajs from 'kafkajs'
import { type AclEntry, AdminError, type Castellan, openCastellan } from '../../../src/client.js'
import { startEmbeddedCluster } from '../../../src/testing.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'
import { KafkaCluster } from './cluster.js'
import { runningKafka } from './shared-cluster.js'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs
const APPEAR_MS = 10_000

describe('access control lists on real Kafka', function () {
  this.timeout(120_000)

  it('are refused without an authorizer, as by the embedded broker', async () => {
    await using embedded = await startEmbeddedCluster()
    const told: object[] = []
    for (const brokers of [runningKafka().bootstrap, embedded.bootstrap]) {
      await using castellan = await openCastellan({ brokers })
      const error: unknown = await castellan.admin.describeAcls().catch((thrown: unknown) => thrown)
      if (!(error instanceof AdminError)) throw error
      const { code, errorCode, message, retriable } = error
      told.push({ code, errorCode, message, retriable })
    }
    expect(told[0]).to.include({ code: 'securityDisabled', errorCode: 54, retriable: false })
    expect(told[1]).to.deep.equal(told[0])
  })

  describe('with an authorizer', () => {
    /** A cluster of its own, since its nodes ask an authorizer. */
    let kafka: KafkaCluster
    let castellan: Castellan
    const name = freshTopic('acls')
    before(async () => {
      kafka = await KafkaCluster.start({
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS',
        'allow.everyone.if.no.acl.found': 'true'
      })
      castellan = await openCastellan({ brokers: kafka.bootstrap })
      const { LITERAL, PREFIXED } = ResourcePatternTypes
      const ofAll = { principal: 'User:ann', host: '*' }
      const acl = [
        {
          ...{ resourceType: AclResourceTypes.TOPIC, resourceName: name, resourcePatternType: LITERAL },
          ...{ ...ofAll, operation: AclOperationTypes.WRITE, permissionType: AclPermissionTypes.DENY }
        },
        {
          ...{ resourceType: AclResourceTypes.TOPIC, resourceName: name.slice(0, 3), resourcePatternType: PREFIXED },
          ...{ ...ofAll, operation: AclOperationTypes.DESCRIBE_CONFIGS, permissionType: AclPermissionTypes.ALLOW }
        },
        {
          ...{ resourceType: AclResourceTypes.GROUP, resourceName: name, resourcePatternType: LITERAL },
          ...{ principal: 'User:bob', host: '10.0.0.1' },
          ...{ operation: AclOperationTypes.ALL, permissionType: AclPermissionTypes.ALLOW }
        }
      ]
      const admin = new Kafka({ brokers: kafka.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
      await admin.connect()
      await admin.createAcls({ acl })
      await admin.disconnect()
      const end = performance.now() + APPEAR_MS
      while ((await castellan.admin.describeAcls()).length < acl.length)
        if (performance.now() > end) throw new Error('no broker shows the entries')
    })
    after(async () => {
      await castellan?.close({ timeoutMs: 0 })
      await kafka?.stop()
    })

    const texts = (entries: readonly AclEntry[]): string[] =>
      entries
        .map(({ resourceType, resourceName, patternType, principal, host, operation, permission }) =>
          [permission, principal, host, operation, resourceType, patternType, resourceName].join(' ')
        )
        .sort()
    const denied = `DENY User:ann * WRITE TOPIC LITERAL ${name}`
    const prefixed = `ALLOW User:ann * DESCRIBE_CONFIGS TOPIC PREFIXED ${name.slice(0, 3)}`
    const ofGroup = `ALLOW User:bob 10.0.0.1 ALL GROUP LITERAL ${name}`

    it('are told, all of them and those that a filter selects', async () => {
      const { admin } = castellan
      expect(texts(await admin.describeAcls())).to.deep.equal([prefixed, ofGroup, denied].sort())
      expect(texts(await admin.describeAcls({ resourceType: 'GROUP' }))).to.deep.equal([ofGroup])
      expect(texts(await admin.describeAcls({ principal: 'User:ann', permission: 'DENY' }))).to.deep.equal([denied])
      expect(texts(await admin.describeAcls({ host: '10.0.0.1', operation: 'ALL' }))).to.deep.equal([ofGroup])
      const ofTopic = { resourceType: 'TOPIC', resourceName: name } as const
      expect(texts(await admin.describeAcls({ ...ofTopic, patternType: 'LITERAL' }))).to.deep.equal([denied])
      expect(texts(await admin.describeAcls({ ...ofTopic, patternType: 'MATCH' }))).to.deep.equal([prefixed, denied])
      expect(await admin.describeAcls({ resourceType: 'USER' })).to.deep.equal([])
    })

    it('are found over HTTP by what entries say', async () => {
      const app = await startTestApp(kafka.bootstrap)
      try {
        const base = `${app.urls.shared}/confluent/v3/clusters`
        const read = async (path: string) => {
          const answer = await fetch(base + path)
          expect([path, answer.status]).to.deep.equal([path, 200])
          return ((await answer.json()) as { data: Record<string, string>[] }).data
        }
        const [cluster] = await read('')
        const acls = `/${cluster!.cluster_id}/acls`
        const names = async (query: string) => (await read(`${acls}${query}`)).map(one => one.resource_name)
        expect(await names('')).to.have.members([name, name, name.slice(0, 3)])
        const ofTopic = `?resource_type=topic&resource_name=${name}`
        expect(await names(`${ofTopic}&pattern_type=MATCH`)).to.have.members([name, name.slice(0, 3)])
        expect(await names(`${ofTopic}&permission=ALLOW`)).to.deep.equal([])
        const [found] = await read(`${acls}?principal=User%3Abob`)
        expect(found).to.include({ kind: 'KafkaAcl', host: '10.0.0.1', operation: 'ALL', pattern_type: 'LITERAL' })
      } finally {
        await app.stop()
      }
    })
  })
})
