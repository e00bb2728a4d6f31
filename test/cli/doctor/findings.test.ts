import { expect } from 'chai'
import { Doctor } from '../../../src/cli/doctor/examine.js'
import {
  type Answers,
  aclLines,
  type DoctorFinding,
  findingsOf,
  type KafkaAnswer
} from '../../../src/cli/doctor/findings.js'
import { UnavailableError } from '../../../src/core/errors.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { ScriptedCluster } from '../../support/scripted-client.js'

const ALL = ['READ', 'WRITE', 'CREATE', 'DELETE', 'ALTER', 'DESCRIBE', 'DESCRIBE_CONFIGS', 'ALTER_CONFIGS'] as const
const told = (name: string, parts: Partial<KafkaAnswer> = {}): KafkaAnswer => ({
  ...{ name, errorCode: 0, operations: ALL, tried: new Map() },
  ...parts
})
const well: Answers = {
  topics: [told('orders')],
  group: told('billing'),
  instances: told('__castellan_instances'),
  idCode: 0,
  settingsCode: 0,
  createsTopics: true,
  offers: () => true
}
const findings = (parts: Partial<Answers> = {}): Map<string, DoctorFinding> =>
  new Map(findingsOf({ ...well, ...parts }).map(finding => [finding.about, finding]))
const outcome = (all: ReadonlyMap<string, DoctorFinding>, about: string): string =>
  `${all.get(about)!.outcome} ${all.get(about)!.detail}`.trim()

describe('findings of the doctor', () => {
  it('all works where all is granted, but what no call tells', () => {
    const rest = findingsOf(well).filter(({ outcome }) => outcome !== 'works')
    expect(rest.map(({ about, detail }) => [about, detail])).to.deep.equal([
      ['transactions', 'Write on TransactionalId: no call tells it'],
      ['administration', 'AlterConfigs on Cluster: no call tells it'],
      ['showAcls', 'Describe on Cluster: no call tells it']
    ])
  })

  it('a principal that sees no topic is told all rights of it at once', () => {
    const all = findings({ topics: [told('orders', { errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED })] })
    expect(outcome(all, 'read')).to.equal('needs Read on Topic orders')
    expect(outcome(all, 'createByWriting')).to.equal('needs Create on Topic orders')
  })

  it('a Kafka that does not tell rights is asked by calls, and else cannot be judged', () => {
    const tried = new Map([['DescribeConfigs', errorCodes.NONE]] as const)
    const all = findings({ topics: [told('orders', { operations: undefined, tried })] })
    expect(outcome(all, 'write')).to.equal('cannot tell Write on Topic orders: this Kafka does not say')
    expect(outcome(all, 'warn')).to.equal('works')
  })

  it('Create on the cluster may stand in for Create on a topic', () => {
    const operations = ALL.filter(operation => operation !== 'CREATE')
    expect(outcome(findings({ topics: [told('orders', { operations })] }), 'createByWriting')).to.match(/^cannot tell /)
  })

  it('a refused producer id is a right on any topic, and on the cluster before Kafka 2.8', () => {
    const idCode = errorCodes.CLUSTER_AUTHORIZATION_FAILED
    expect(outcome(findings({ idCode, topics: [] }), 'write')).to.match(/^needs Write on a Topic \(before Kafka 2\.8/)
    expect(outcome(findings({ idCode }), 'write')).to.equal('needs IdempotentWrite on Cluster')
    expect(aclLines(findings({ idCode }).get('write')!.grants, 'kafka:9092', 'User:ann').join('\n')).to.match(
      / --operation IdempotentWrite --cluster$/
    )
  })

  it('a producer id that is not given for another reason says nothing of rights', () => {
    for (const idCode of [errorCodes.INVALID_REQUEST, errorCodes.NETWORK_EXCEPTION, 15, -1])
      expect(outcome(findings({ idCode }), 'write'), String(idCode)).to.match(/^cannot tell initProducerId: /)
    const operations = ['DESCRIBE'] as const
    const all = findings({ idCode: errorCodes.INVALID_REQUEST, topics: [told('orders', { operations })] })
    expect(outcome(all, 'write')).to.equal('needs Write on Topic orders')
  })

  it('a producer id is refused (53), and a Kafka whose answer is 35 has none', () => {
    expect(outcome(findings({ idCode: 53 }), 'write')).to.match(/^needs .*TRANSACTIONAL_ID_AUTHORIZATION_FAILED/)
    const all = findings({ idCode: errorCodes.UNSUPPORTED_VERSION })
    expect(outcome(all, 'write')).to.equal('lacks initProducerId')
  })

  it('why nothing is known of a topic or a group is said once', () => {
    const absent = told('orders', { errorCode: 3, operations: undefined })
    const all = findings({ topics: [absent], group: told('billing', { errorCode: 15 }) })
    expect(outcome(all, 'topic orders')).to.match(/^cannot tell UNKNOWN_TOPIC_OR_PARTITION \(3\): /)
    expect(outcome(all, 'group billing')).to.match(/^cannot tell COORDINATOR_NOT_AVAILABLE \(15\): /)
    expect(outcome(all, 'write')).to.equal('cannot tell Topic orders')
    expect(outcome(all, 'groups')).to.equal('cannot tell Group billing, Topic orders')
    const texts = [...all.values()].map(({ detail }) => detail).filter(detail => detail.includes('(3)'))
    expect(texts).to.have.length(1)
  })

  it('why nothing is known of the topic of instances is in the line of instances', () => {
    const all = findings({ instances: told('__castellan_instances', { errorCode: 3, operations: undefined }) })
    expect(outcome(all, 'instances')).to.match(/^cannot tell Topic __castellan_instances: UNKNOWN_TOPIC_OR_PARTITION/)
    expect([...all.keys()]).to.not.include('topic __castellan_instances')
  })

  it('calls that are not offered are named, unless there is another way', () => {
    const all = findings({ offers: call => call !== 'describeConsumerGroups' && call !== 'shareFetch' })
    expect(outcome(all, 'queues')).to.equal('lacks shareFetch')
    expect(outcome(all, 'lists')).to.equal('works')
  })

  it('what is missing is one line of kafka-acls.sh for each resource', () => {
    const operations = ['DESCRIBE'] as const
    const all = findingsOf({ ...well, topics: [told('orders', { operations })], settingsCode: 31 })
    const grants = all.filter(({ about }) => ['write', 'read', 'findLostAnswers'].includes(about))
    const lines = aclLines(
      grants.flatMap(one => one.grants),
      'kafka:9092',
      'User:ann'
    )
    const add = 'kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:ann'
    expect(lines).to.deep.equal([
      `${add} --operation Write --operation Read --topic orders`,
      `${add} --operation DescribeConfigs --cluster`
    ])
  })

  it('names in lines of kafka-acls.sh are one word of the shell', () => {
    const lineOf = (name: string): string => {
      const [line] = aclLines([{ right: ['Read', 'Group'], name }], 'kafka:9092', 'User:CN=ann b')
      expect(line).to.include(`--allow-principal 'User:CN=ann b' --operation Read --group `)
      return line!.split('--group ')[1]!
    }
    expect(lineOf('team/a.b_c-1')).to.equal('team/a.b_c-1')
    expect(lineOf('a; rm $HOME')).to.equal(`'a; rm $HOME'`)
    expect(lineOf("it's")).to.equal(String.raw`'it'\''s'`)
    expect(lineOf("a\n'\\\u001b")).to.equal(String.raw`$'a\n\'\\\u001b'`)
  })

  it('a broker that does not answer has a line, and the others are asked', async () => {
    const cluster = new ScriptedCluster([1, 2])
    cluster.refused.add(2)
    cluster
      .on(0, 'metadata', 1, () => ({
        throttleTimeMs: 0,
        brokers: cluster.nodes,
        clusterId: 'c',
        controllerId: 1,
        topics: []
      }))
      .on(1, 'initProducerId', 1, () => ({ throttleTimeMs: 0, errorCode: 0, producerId: 1n, producerEpoch: 0 }))
    const doctor = new Doctor(cluster.createClient)
    const [first] = await doctor.examine([{ host: 'mock-1', port: 8000 }], {
      ...{ topics: [], instancesTopic: '', timeoutMs: 1_000 }
    })
    await doctor.close()
    expect(first).to.include({ about: 'broker 2', outcome: 'cannot tell' })
    expect(cluster.errors).to.deep.equal([])
  })

  const EMPTY = { throttleTimeMs: 0, clusterId: 'c', controllerId: 1, topics: [] }
  const id = () => ({ throttleTimeMs: 0, errorCode: 0, producerId: 1n, producerEpoch: 0 })
  const bootstrap = [{ host: 'mock-1', port: 8000 }]

  it('metadata whose connection is lost is asked for once more', async () => {
    const cluster = new ScriptedCluster([1])
    cluster
      .on(0, 'metadata', 1, () => {
        throw new UnavailableError('brokerUnreachable', 'reset')
      })
      .on(0, 'metadata', 2, () => ({ ...EMPTY, brokers: cluster.nodes }))
      .on(1, 'initProducerId', 1, id)
    const doctor = new Doctor(cluster.createClient)
    const [first] = await doctor.examine(bootstrap, { topics: [], instancesTopic: '', timeoutMs: 10_000 })
    await doctor.close()
    expect(first).to.include({ about: 'connect' })
    expect(cluster.errors).to.deep.equal([])
  })

  it('names what refuses, rather than what is silent, where no broker answers', async () => {
    const cluster = new ScriptedCluster([1, 2])
    cluster.refused.add(1)
    for (let number = 1; number < 5; number++) cluster.hold(0, 'metadata', number)
    const both = [...bootstrap, { host: 'mock-2', port: 8000 }]
    const asked = { topics: [], instancesTopic: '', timeoutMs: 200 }
    const failureOf = async (brokers: typeof both): Promise<string> => {
      const doctor = new Doctor(cluster.createClient)
      const failure = await doctor.examine(brokers, asked).catch((error: Error) => error.message)
      await doctor.close()
      return String(failure)
    }
    expect(await failureOf(both)).to.equal('mock-1 refuses')
    expect(await failureOf([both[1]!])).to.equal('no answer from mock-2:8000 within 0.2 s')
  })

  it('a call that is not answered takes a share of the time, and the others are made', async () => {
    const cluster = new ScriptedCluster([1])
    cluster
      .on(0, 'metadata', 1, () => ({ ...EMPTY, brokers: cluster.nodes }))
      .on(1, 'initProducerId', 1, id)
      .hold(1, 'describeConfigs', 1)
    cluster.hold(1, 'findCoordinator', 1)
    const doctor = new Doctor(cluster.createClient)
    const told = await doctor.examine(bootstrap, { topics: [], group: 'g', instancesTopic: '', timeoutMs: 400 })
    await doctor.close()
    const all = new Map(told.map(finding => [finding.about, finding]))
    expect(outcome(all, 'groups')).to.match(/^cannot tell Group g,/)
    expect(outcome(all, 'group g')).to.match(/^cannot tell NETWORK_EXCEPTION/)
    expect(cluster.countOf(1, 'initProducerId')).to.equal(1)
  })
})
