import type { ReceiptDesk } from './receipts.js'
import type { Operation } from './rights.js'
import type { Verbs } from './verbs.js'

/** What a gateway can be asked for: the verbs, and the receipts of its durable logs. */
interface Askable extends Verbs {
  readonly receipts: { readonly read: ReceiptDesk['read'] }
}

type Call = (...args: never[]) => unknown

/** The paths of the functions of an object and of its parts: `produce`, `groups.offsets`. */
type PathsOf<Part, Before extends string = ''> = {
  [Name in keyof Part & string]: NonNullable<Part[Name]> extends Call
    ? `${Before}${Name}`
    : NonNullable<Part[Name]> extends object
      ? PathsOf<NonNullable<Part[Name]>, `${Before}${Name}.`>
      : never
}[keyof Part & string]

/** The path of a verb. */
export type VerbPath = PathsOf<Askable>

/** The verb that an endpoint is there for; `none`: it is about the process, and asks Kafka for nothing. */
export type EndpointVerb = VerbPath | 'none'

/**
 * What a right is for, as the target of a question names it. `nothing`: it is about brokers, or the gateway. `topics of group`:
 * each topic of the group, with the group, and only where a setting of the group changes.
 */
export type TargetOfRight = 'topic' | 'group' | 'topic+group' | 'topics of group' | 'subject' | 'nothing'

/** A right that a client needs for an effect. */
export type Effect = readonly [right: Operation, target: TargetOfRight]

export interface VerbFacts {
  /**
   * `asked`: a client may say how long the answer may take, and a request that takes that long is not slow. An endpoint of
   * such a verb calls `noteWait`.
   */
  readonly waits: 'asked' | 'none'
  /** The rights for all that the verb does. An endpoint asks for each one whose target its request names. */
  readonly effects: readonly Effect[]
}

const PROMPT = { waits: 'none' } as const
const PATIENT = { waits: 'asked' } as const
/** What the process does by itself, or other processes of the gateway ask for. */
const OWN = { ...PROMPT, effects: [] } as const

const READS_TOPIC: Effect = ['admin', 'topic']
const READS_GROUP: Effect = ['admin', 'group']
const CONSUMES: Effect = ['consume', 'topic+group']
const OFFSETS: Effect = ['offsets', 'topic+group']
const CLUSTER: Effect = ['cluster', 'nothing']
/** An instance belongs to a group, and reads topics on behalf of it. */
const OF_INSTANCE: readonly Effect[] = [['consume', 'group'], CONSUMES]

/**
 * What is true of each verb, whatever door a client comes by. A verb without an entry does not compile. Each member is read
 * by running code or by a test over all endpoints.
 */
export const VERB_FACTS = {
  produce: {
    ...PATIENT,
    effects: [
      ['produce', 'topic'],
      ['register', 'subject']
    ]
  },
  lost: OWN,
  topics: { ...PROMPT, effects: [READS_TOPIC] },
  topicConfigs: { ...PROMPT, effects: [READS_TOPIC] },
  follow: { ...PATIENT, effects: [['consume', 'topic']] },
  durableLog: OWN,
  'groups.offsets': { ...PROMPT, effects: [OFFSETS] },
  'groups.commit': { ...PROMPT, effects: [OFFSETS] },
  'groups.consumers': { ...PROMPT, effects: [['admin', 'topic+group'], READS_TOPIC] },
  'groups.describe': { ...PROMPT, effects: [READS_GROUP, ['admin', 'topic+group']] },
  'groups.committed': { ...PROMPT, effects: [READS_GROUP, ['admin', 'topic+group']] },
  'groups.consume': { ...PATIENT, effects: [CONSUMES] },
  'groups.ack': { ...PROMPT, effects: [CONSUMES] },
  'instances.create': { ...PROMPT, effects: [['consume', 'group']] },
  'instances.settingsOf': { ...PROMPT, effects: [['consume', 'group']] },
  'instances.remove': { ...PROMPT, effects: OF_INSTANCE },
  'instances.subscribe': { ...PROMPT, effects: OF_INSTANCE },
  'instances.subscription': { ...PROMPT, effects: OF_INSTANCE },
  'instances.describe': { ...PROMPT, effects: OF_INSTANCE },
  'instances.unsubscribe': { ...PROMPT, effects: OF_INSTANCE },
  'instances.assign': { ...PROMPT, effects: OF_INSTANCE },
  'instances.assignment': { ...PROMPT, effects: OF_INSTANCE },
  'instances.seek': { ...PROMPT, effects: OF_INSTANCE },
  'instances.read': { ...PATIENT, effects: OF_INSTANCE },
  'instances.commit': { ...PROMPT, effects: [...OF_INSTANCE, OFFSETS] },
  'instances.committed': { ...PROMPT, effects: OF_INSTANCE },
  'instances.owners.identify': OWN,
  'instances.owners.release': OWN,
  'instances.numberOf': OWN,
  'queues.acquire': { ...PATIENT, effects: [CONSUMES, ['alter', 'topics of group']] },
  'queues.unseen': OWN,
  'queues.settle': { ...PROMPT, effects: [CONSUMES] },
  'queues.count': OWN,
  'queues.describe': { ...PROMPT, effects: [OFFSETS] },
  'queues.configure': {
    ...PROMPT,
    effects: [
      ['alter', 'topic+group'],
      ['produce', 'topic']
    ]
  },
  'admin.describeCluster': { ...PROMPT, effects: [['admin', 'nothing']] },
  'admin.clusterId': { ...PROMPT, effects: [['admin', 'nothing']] },
  'admin.createTopic': { ...PROMPT, effects: [['create', 'topic']] },
  'admin.deleteTopic': { ...PROMPT, effects: [['delete', 'topic']] },
  'admin.createPartitions': { ...PROMPT, effects: [['alter', 'topic']] },
  'admin.deleteRecords': { ...PROMPT, effects: [['delete', 'topic']] },
  'admin.deleteGroup': { ...PROMPT, effects: [['delete', 'group']] },
  'admin.describeConfigs': { ...PROMPT, effects: [READS_TOPIC, CLUSTER] },
  'admin.alterConfigs': { ...PROMPT, effects: [['alter', 'topic'], CLUSTER] },
  'admin.describeAcls': { ...PROMPT, effects: [CLUSTER] },
  'admin.topicOperations': { ...PROMPT, effects: [READS_TOPIC] },
  'admin.logEnds': { ...PROMPT, effects: [READS_TOPIC] },
  'admin.topicChanged': OWN,
  'receipts.read': { ...PATIENT, effects: [] }
} as const satisfies Readonly<Record<VerbPath, VerbFacts>>

const NAMES = ['topic', 'group', 'subject'] as const

/**
 * The rights that a client needs for a verb on what a request names. A request that names nothing asks for a list: it needs the
 * right for anything, and the list has what the client may see.
 *
 * @throws Error when the verb has no effect on such a target
 */
export function rightsOf(verb: VerbPath, target: { readonly [name in (typeof NAMES)[number]]?: string | undefined }) {
  const effects: readonly Effect[] = VERB_FACTS[verb].effects
  const named = NAMES.filter(name => target[name] !== undefined).join('+') || 'nothing'
  const rights = effects.filter(([, of]) => of === named).map(([right]) => right)
  if (rights.length > 0) return rights
  if (named !== 'nothing' || effects.length === 0) throw new Error(`${verb} has no effect on ${named}`)
  return [effects[0]![0]]
}
