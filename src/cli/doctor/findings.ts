import { printable } from '../../core/printable.js'
import type { AclOperation, CallName } from '../../kafka/broker-client.js'
import { codesOf, errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { type AclRight, type Feature, features } from '../../kafka/features.js'

export type FeatureName = keyof typeof features

/**
 * State of a feature. `needs`: a right is missing; `lacks`: this Kafka does not offer it; `cannot tell`: no call that
 * changes nothing can tell, or no topic or group was named to ask about.
 */
export type Outcome = 'works' | 'needs' | 'lacks' | 'cannot tell'

/** A right that Kafka's administrator has to grant. */
export interface Grant {
  readonly right: AclRight
  /** Name of the topic, the group or the transactional id; empty for the cluster. */
  readonly name: string
}

export interface DoctorFinding {
  /** A feature of `features`, or what else was looked at: `registry`. */
  readonly about: string
  readonly outcome: Outcome
  /** `Write on Topic orders`, for `needs`; the names of calls, for `lacks`; why, for `cannot tell`; may be empty for `works`. */
  readonly detail: string
  /** Rights to grant for `needs`, where an access control list can grant them. */
  readonly grants: readonly Grant[]
}

/** A finding without rights that would have to be granted. */
export const finding = (about: string, outcome: DoctorFinding['outcome'], detail: string): DoctorFinding => ({
  about,
  outcome,
  detail,
  grants: []
})

/** Kafka's answer about a topic or a group. */
export interface KafkaAnswer {
  readonly name: string
  readonly errorCode: number
  /** `undefined`: the broker does not tell them. */
  readonly operations: readonly AclOperation[] | undefined
  /** Kafka's codes for calls that need one right: `Describe`, or `DescribeConfigs`. A right that is absent was not tried. */
  readonly tried: ReadonlyMap<AclRight[0], number>
}

export interface Answers {
  readonly topics: readonly KafkaAnswer[]
  /** `undefined`: none was named. */
  readonly group: KafkaAnswer | undefined
  /** The topic of consumer instances. `undefined`: they are kept in memory. */
  readonly instances: KafkaAnswer | undefined
  /** Kafka's code for InitProducerId. */
  readonly idCode: number
  /** Kafka's code for the settings of a broker. */
  readonly settingsCode: number
  /** `false`: brokers create no topics. `undefined`: not told. */
  readonly createsTopics: boolean | undefined
  /** Whether all brokers offer a call. */
  offers(call: CallName): boolean
}

/** State of a right: granted, missing, or the reason why it is not known. */
type KnownRight =
  | { readonly is: 'granted' }
  | ({ readonly is: 'missing' } & Grant)
  /** `reason`: for what Kafka tells nothing of. */
  | { readonly is: 'unknown'; readonly why: string; readonly reason?: string }

const GRANTED: KnownRight = { is: 'granted' }
const unknown = (why: string): KnownRight => ({ is: 'unknown', why })

const REFUSED = codesOf('TOPIC_AUTHORIZATION_FAILED', 'GROUP_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')

/** Kafka's name of an operation in answers: `DESCRIBE_CONFIGS`. */
const inAnswers = (operation: AclRight[0]): AclOperation =>
  operation.replace(/(?<=[a-z])(?=[A-Z])/, '_').toUpperCase() as AclOperation

const textOf = ({ right: [operation, resource], name }: Grant): string =>
  `${operation} on ${resource} ${name}`.trimEnd()

/** One finding for each topic and group of which Kafka tells nothing, such as an absent topic, and one for each feature. */
export const findingsOf = (answers: Answers): readonly DoctorFinding[] => [
  ...answers.topics.flatMap(told => withoutFacts('topic', told)),
  ...(answers.group === undefined ? [] : withoutFacts('group', answers.group)),
  ...Object.entries<Feature>(features)
    .filter(([, { topic }]) => topic === undefined || answers.instances !== undefined)
    .map(([name, feature]) => ({
      about: name,
      grants: [],
      ...(whatIsLacking(feature, answers) ?? withoutId(feature, answers) ?? byRights(feature, answers))
    }))
]

const withoutFacts = (kind: 'topic' | 'group', { name, errorCode }: KafkaAnswer): readonly DoctorFinding[] =>
  errorCode === errorCodes.NONE || REFUSED.has(errorCode)
    ? []
    : [finding(`${kind} ${name}`, 'cannot tell', kafkaErrorOf(errorCode).message)]

type JudgedFinding = Pick<DoctorFinding, 'outcome' | 'detail'> & Partial<DoctorFinding>

function whatIsLacking(feature: Feature, { createsTopics, idCode, offers }: Answers): JudgedFinding | undefined {
  const { calls, dispensable = [] } = feature
  const isOffered = (call: CallName): boolean =>
    offers(call) && (call !== 'initProducerId' || idCode !== errorCodes.UNSUPPORTED_VERSION)
  const hidden = calls.filter(call => !dispensable.includes(call) && !isOffered(call))
  if (hidden.length > 0) return { outcome: 'lacks', detail: hidden.join(', ') }
  if (feature !== features.createByWriting || createsTopics !== false) return undefined
  return { outcome: 'lacks', detail: 'auto.create.topics.enable' }
}

/** The finding about the right to write, if InitProducerId gave no id. */
function withoutId(feature: Feature, answers: Answers): JudgedFinding | undefined {
  const { idCode, topics } = answers
  if (feature !== features.write || idCode === errorCodes.NONE) return undefined
  const missing = feature.acls.flatMap(right => knownOf(right, answers)).filter(({ is }) => is === 'missing')
  if (missing.length > 0) return undefined
  const { message } = kafkaErrorOf(idCode)
  if (idCode === errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED) return { outcome: 'needs', detail: message }
  if (!REFUSED.has(idCode)) return { outcome: 'cannot tell', detail: `initProducerId: ${message}` }
  // It is refused without Write on any topic, and before Kafka 2.8 without a right on the cluster.
  if (topics.length === 0)
    return { outcome: 'needs', detail: 'Write on a Topic (before Kafka 2.8: IdempotentWrite on Cluster)' }
  const grant: Grant = { right: ['IdempotentWrite', 'Cluster'], name: '' }
  return { outcome: 'needs', detail: textOf(grant), grants: [grant] }
}

function byRights(feature: Feature, answers: Answers): JudgedFinding {
  const all = feature.acls.flatMap(right =>
    knownOf(right, feature.topic === undefined ? answers : ofInstances(answers))
  )
  const grants = all.flatMap(known => (known.is === 'missing' ? [{ right: known.right, name: known.name }] : []))
  // The reason for a topic or a group that was named is a finding of its own.
  const textOfUnknown = ({ why, reason }: KnownRight & { is: 'unknown' }): string =>
    reason === undefined || feature.topic === undefined ? why : `${why}: ${reason}`
  const why = all.flatMap(known => (known.is === 'unknown' ? [textOfUnknown(known)] : []))
  const joined = (texts: readonly string[]): string => [...new Set(texts)].join(', ')
  if (grants.length > 0) return { outcome: 'needs', detail: joined(grants.map(textOf)), grants }
  return why.length > 0 ? { outcome: 'cannot tell', detail: joined(why) } : { outcome: 'works', detail: '' }
}

const ofInstances = ({ instances, ...answers }: Answers): Answers => ({
  ...{ ...answers, instances },
  topics: instances === undefined ? [] : [instances]
})

function knownOf(right: AclRight, { topics, group, settingsCode }: Answers): readonly KnownRight[] {
  const [, resource] = right
  const text = textOf({ right, name: '' })
  if (resource === 'Topic')
    return topics.length === 0 ? [unknown(`${text}: name one by --topic`)] : topics.map(topic => of(right, topic))
  if (resource === 'Group') return [group === undefined ? unknown(`${text}: name one by --group`) : of(right, group)]
  if (text !== 'DescribeConfigs on Cluster') return [unknown(`${text}: no call tells it`)]
  return [byCode(settingsCode, right, '')]
}

function byCode(errorCode: number, right: AclRight, name: string): KnownRight {
  if (REFUSED.has(errorCode)) return { is: 'missing', right, name }
  if (errorCode === errorCodes.NONE) return GRANTED
  return unknown(`${textOf({ right, name })}: ${kafkaErrorOf(errorCode).message}`)
}

function of(right: AclRight, { name, errorCode, operations, tried }: KafkaAnswer): KnownRight {
  const [operation, resource] = right
  if (REFUSED.has(errorCode)) return { is: 'missing', right, name }
  if (errorCode !== errorCodes.NONE)
    return { is: 'unknown', why: `${resource} ${name}`, reason: kafkaErrorOf(errorCode).message }
  const code = tried.get(operation)
  if (code !== undefined) return byCode(code, right, name)
  if (operations === undefined) return unknown(`${textOf({ right, name })}: this Kafka does not say`)
  if (operations.includes(inAnswers(operation))) return GRANTED
  // A topic may also be created with Create on Cluster, which no call tells.
  if (operation === 'Create' && resource === 'Topic')
    return unknown(`${textOf({ right, name })} is not granted, and no call tells Create on Cluster`)
  return { is: 'missing', right, name }
}

const NEEDS_NO_QUOTES = /^[\w.,:@%+=/-]+$/

/** A text as one word of the shell. */
function word(text: string): string {
  if (NEEDS_NO_QUOTES.test(text)) return text
  if (printable(text) === text) return `'${text.replaceAll("'", String.raw`'\''`)}'`
  // In quotes of this kind the shell reads escapes.
  return `$'${printable(text.replace(/[\\']/g, String.raw`\$&`))}'`
}

/** Options of `kafka-acls.sh` that name what a right is about. */
const optionOf = ({ right: [, resource], name }: Grant): string =>
  ({
    Topic: `--topic ${word(name)}`,
    Group: `--group ${word(name)}`,
    Cluster: '--cluster',
    TransactionalId: `--transactional-id ${word(name)}`
  })[resource]

/** Lines of `kafka-acls.sh` for a shell, without control characters: one for each topic, group or other resource. */
export function aclLines(grants: readonly Grant[], bootstrap: string, principal: string): readonly string[] {
  const operations = new Map<string, Set<string>>()
  for (const grant of grants) {
    const option = optionOf(grant)
    operations.set(option, (operations.get(option) ?? new Set()).add(grant.right[0]))
  }
  const head = `kafka-acls.sh --bootstrap-server ${word(bootstrap)} --add --allow-principal ${word(principal)}`
  return [...operations].map(
    ([option, names]) => `${head} ${[...names].map(name => `--operation ${name}`).join(' ')} ${option}`
  )
}
