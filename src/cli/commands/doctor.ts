import { type Command, InvalidArgumentError, Option } from 'commander'
import { isoNow } from '../../core/instants.js'
import { printable, printableJson } from '../../core/printable.js'
import type { Client } from '../client.js'
import { type CommandDescription, EXIT_FAILURE, EXIT_OK, type Process } from '../command.js'
import type { DoctorFinding, FeatureName } from '../doctor/findings.js'
import { clientOptions, legalTopic } from '../options.js'
import { withOpenClient } from '../with-client.js'

export const doctorCommand: CommandDescription = {
  name: 'doctor',
  summary: 'tells what Kafka grants and offers to a gateway, feature by feature',
  options: [
    new Option('--topic <TOPIC>', 'a topic to ask about; repeatable').argParser(
      (text, former: readonly string[] = []) => [...former, legalTopic(text)]
    ),
    new Option('--group <GROUP>', 'a group to ask about').argParser(groupName),
    new Option('--write <TOPIC>', 'writes one record to this topic, and reads it back').argParser(legalTopic),
    new Option('--json', 'writes one line of JSON per finding'),
    ...clientOptions
  ],
  notes:
    'Each line says that a feature works, needs rights, is lacking in this Kafka, or cannot be told; docs/kafka-rights.md explains them. Lines of kafka-acls.sh that grant what is missing follow. It may run beside gateways: it begins no transaction, joins no group, and commits and acquires nothing. Without --write it changes nothing in Kafka, but takes a producer id. The exit code is 1 when no broker answers, or when connect, write, read, groups or a feature that the configuration or a flag names does not work.',
  examples: [
    'castellan doctor --topic orders --group billing',
    'castellan doctor --config castellan.yaml --write orders'
  ],
  run: withOpenClient(doctor)
}

interface DoctorFlags {
  readonly topic?: readonly string[]
  readonly group?: string
  readonly write?: string
  readonly json?: boolean
}

/** A gateway is of no use without these. */
const ESSENTIAL: readonly FeatureName[] = ['connect', 'write', 'read', 'groups']
/** Features that a gateway uses without being asked. Their rights are advised, but not needed. */
const ADVISED: readonly FeatureName[] = ['findLostAnswers', 'warn']
/** Settings that ask for a feature, where the configuration has them. */
const NAMED: readonly (readonly [setting: string, feature: FeatureName])[] = [
  ['delivery.createTopics', 'createByWriting'],
  ['metrics.lag.everyMs', 'lists'],
  ['apis.queues.enabled', 'queues']
]

function groupName(text: string): string {
  if (text !== '') return text
  throw new InvalidArgumentError('the name of a group')
}

async function doctor(line: Command, { stdout }: Process, client: Client): Promise<number> {
  const { topic = [], group, write, json = false } = line.opts<DoctorFlags>()
  const topics = [...new Set(write === undefined ? topic : [...topic, write])]
  const [ofKafka, ofTheRest] = await Promise.all([examineKafka(client, topics, group), examineTheRest(client)])
  const findings = [...ofKafka, ...ofTheRest, ...(write === undefined ? [] : await writeOne(client, write))]
  for (const finding of findings) stdout.write(`${json ? printableJson(JSON.stringify(finding)) : textOf(finding)}\n`)
  const named = NAMED.flatMap(([setting, feature]) => (client.names(setting) ? [feature] : []))
  const needed = new Set<string>([...ESSENTIAL, ...named, ...(group === undefined ? [] : ['lists'])])
  if (!json) await adviseGrants(client, findings, new Set([...needed, ...ADVISED]), stdout)
  const { features } = await import('../../kafka/features.js')
  const counts = ({ about, outcome }: DoctorFinding): boolean =>
    (outcome === 'needs' || outcome === 'lacks') && (needed.has(about) || !Object.hasOwn(features, about))
  return findings.some(counts) ? EXIT_FAILURE : EXIT_OK
}

async function examineKafka(
  client: Client,
  topics: readonly string[],
  group: string | undefined
): Promise<readonly DoctorFinding[]> {
  const [{ Doctor }, { toBrokerAddress }, { unreachable }] = await Promise.all([
    import('../doctor/examine.js'),
    import('../../client/open-options.js'),
    import('../client.js')
  ])
  const { timeoutMs, config } = client
  const { instancesTopic } = config.consumer
  const asked = new Doctor(client.createClient)
  return await asked
    .examine(client.brokers.map(toBrokerAddress), { topics, group, instancesTopic, timeoutMs })
    .catch((error: Error) => {
      throw unreachable(client, error.message)
    })
    .finally(() => asked.close())
}

async function examineTheRest({ config, timeoutMs }: Client): Promise<readonly DoctorFinding[]> {
  const { examineBesideKafka } = await import('../doctor/beside-kafka.js')
  return await examineBesideKafka(config, timeoutMs)
}

const WORDS = { works: 'works', needs: 'needs', lacks: 'this Kafka lacks', 'cannot tell': 'cannot tell:' } as const

const textOf = ({ about, outcome, detail }: DoctorFinding): string =>
  printable(`${about.padEnd(16)} ${WORDS[outcome]} ${detail}`.trimEnd())

/** Writes lines of `kafka-acls.sh` with what is missing for some features. */
async function adviseGrants(
  { brokers, sasl }: Client,
  findings: readonly DoctorFinding[],
  wanted: ReadonlySet<string>,
  stdout: Process['stdout']
): Promise<void> {
  const { aclLines } = await import('../doctor/findings.js')
  const principal = `User:${sasl?.username ?? 'NAME'}`
  const grants = findings.flatMap(finding => (wanted.has(finding.about) ? finding.grants : []))
  if (grants.length === 0) return
  const lines = aclLines(grants, brokers.join(','), principal)
  stdout.write(`\nTo grant what is missing:\n${lines.join('\n')}\n`)
}

/** Whether a record can be written and read back, and what its time says of this clock. */
async function writeOne(client: Client, topic: string): Promise<readonly DoctorFinding[]> {
  const { finding } = await import('../doctor/findings.js')
  const value = `castellan doctor ${isoNow()}`
  const [outcome] = await client.verbs
    .produce([{ topic, key: null, value }], { partitioner: 'murmur2', deadlineMs: client.timeoutMs })
    .outcomes()
  if (outcome?.type !== 'delivered')
    return [finding('record', 'needs', `to be written to ${topic}: ${outcome?.message}`)]
  const { partition, offset } = outcome
  const at = `${topic}/${partition} at offset ${offset}`
  const { clockAheadMs } = client
  const clock =
    clockAheadMs === undefined
      ? finding('clock', 'cannot tell', `brokers do not give records of ${topic} their own time`)
      : finding('clock', 'works', `${Math.round(clockAheadMs)} ms ahead of the brokers`)
  const { askRouter } = await import('../../router/routing/ask-router.js')
  const topicPartition = { topic, partition }
  const { timeoutMs } = client
  const read = await askRouter(client.router, { type: 'fetchData', topicPartition, offset, timeoutMs })
  if (read.type === 'success') return [finding('record', 'works', `written to ${at}, and read back`), clock]
  const why = read.type === 'failed' ? read.message : read.type
  return [finding('record', 'needs', `to be read back from ${at}: ${why}`), clock]
}
