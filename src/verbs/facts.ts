import { getOrAdd } from '../core/maps.js'
import type { ReceiptDesk } from './receipts.js'
import type { Operation } from './rights.js'
import type { Verbs } from './verbs.js'

/** All functions that a gateway can be asked for: the verbs, and the receipts of its durable logs. */
interface Askable extends Verbs {
  readonly receipts: { readonly read: ReceiptDesk['read'] }
  /** Webhooks of all gateways. */
  readonly webhooks: Readonly<Record<'list' | 'describe' | 'skip' | 'test' | 'resume', AnyFunction>>
}

type AnyFunction = (...args: never[]) => unknown

/** The paths of the functions of an object and of its parts: `produce`, `groups.offsets`. */
export type PathsOf<Part, Before extends string = ''> = {
  [Name in keyof Part & string]: NonNullable<Part[Name]> extends AnyFunction
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
 * Target of a right, as questions name it. `nothing`: brokers, or the gateway. `topics of group`: each topic of the
 * group, with the group, when a setting of the group changes or all of it is deleted.
 */
export type TargetOfRight = 'topic' | 'group' | 'topic+group' | 'topics of group' | 'subject' | 'nothing'

/**
 * A right that a client needs for an effect. `filters`: no request is refused for want of it; the answer leaves out what the
 * client lacks it for. `suffices`: a client with it needs none of the others.
 */
export type Effect = readonly [right: Operation, target: TargetOfRight, how?: 'filters' | 'suffices']

interface FactsOfAll {
  /**
   * `asked`: a client may say how long the answer may take, and a request that takes that long is not slow. An endpoint of
   * such a verb calls `noteWait`.
   */
  readonly waits: 'asked' | 'none'
  /**
   * What the answer has given once it has left. `forGood`: messages that no other client gets, or that this one gets once;
   * `lends`: messages that are lent, each of which has a delivery less then; `copies`: what the next request gets, too. A route
   * of a verb that gives for good, or lends, has no HEAD.
   */
  readonly gives: 'forGood' | 'lends' | 'copies'
  /**
   * When the next request of the connection may begin. `atOnce`: the verb changes nothing; `handedOn`: what it brings is
   * handed on, in its order; `work`: the change is made, or refused.
   */
  readonly order: 'atOnce' | 'handedOn' | 'work'
  /** The rights for all that the verb does. An endpoint asks for each one whose target its request names. */
  readonly effects: readonly Effect[]
  /** The command `castellan …` that does it, or why there is none. */
  readonly command: string | { readonly none: string }
  /** The kinds of trouble, as in docs/status.md, that tell operators when the verb cannot do its work. */
  readonly troubles: readonly VerbTrouble[]
}

/**
 * A verb that gives records. Their bytes are counted in the budget of the process until the answer has left.
 * `isolation`: `setting` for that of `router.isolationLevel`, `group` for that of the share group.
 */
interface GivesRecords {
  readonly answers: 'records'
  readonly isolation: 'setting' | 'group'
}

/** A verb whose answers contain no bytes of records. */
interface GivesNoRecords {
  readonly answers: 'small'
  readonly isolation?: undefined
}

export type VerbFacts = FactsOfAll & (GivesRecords | GivesNoRecords)

const PROMPT = { waits: 'none', answers: 'small', gives: 'copies', order: 'atOnce' } as const
const PATIENT = { ...PROMPT, waits: 'asked' } as const
/** Records, acknowledgements and offsets are handed on in the order in which they come. */
const HANDED_ON = { ...PROMPT, order: 'handedOn' } as const
/** Facts of verbs that change what there is: topics, groups, instances, settings, webhooks. */
const CHANGING = { ...PROMPT, order: 'work' } as const
const READING = { waits: 'asked', answers: 'records', isolation: 'setting', order: 'atOnce' } as const
/** Facts of verbs that the process uses by itself, or that other processes of the gateway ask for. */
const OWN = { ...PROMPT, effects: [], command: { none: 'the process does it by itself' }, troubles: [] } as const

const CURL = { none: 'a shell uses HTTP: curl' }
const INSTANCES = { none: 'for clients of HTTP alone' }
const KAFKAS = { none: "Kafka's own tools do it" }

/** Troubles that stop every verb that asks Kafka. */
const AWAY = ['brokersAway', 'brokerDown', 'brokerGone', 'noLeader'] as const
const OF_RECORDS = [
  'notAuthorized',
  'partitionStuck',
  'topicMissing',
  'memoryFull',
  'recordsLost',
  'registryAway'
] as const
const OF_DISK = [
  'logFailed',
  'logFull',
  'deadLetters',
  'logDamaged',
  'keysRefused',
  'clockAhead',
  'recordsOld'
] as const
const OF_READS = ['transactionOpen'] as const
const OF_GROUPS = ['groupRefused', 'groupLags', 'lagUnknown'] as const

const OF_WEBHOOKS = [
  'webhookFailing',
  'webhookGone',
  'webhookBroken',
  'webhookStalled',
  'webhookDeadLettersStopped',
  'webhookLost',
  'webhookRetention',
  'webhookForeignMember'
] as const

/** Kinds of trouble that keep a verb from its work. */
export type VerbTrouble =
  | (typeof AWAY | typeof OF_RECORDS | typeof OF_DISK | typeof OF_READS | typeof OF_GROUPS | typeof OF_WEBHOOKS)[number]
  | 'idRefused'
  | 'settingsHidden'
  | 'lendingStuck'
  | 'queueNotServed'
  | 'queueArchived'
  | 'queueHeldLong'

const READS_TOPIC: Effect = ['admin', 'topic']
const READS_GROUP: Effect = ['admin', 'group']
const SHOWS_TOPICS: Effect = ['admin', 'topic+group', 'filters']
const CONSUMES: Effect = ['consume', 'topic+group']
const OFFSETS: Effect = ['offsets', 'topic+group']
const CLUSTER: Effect = ['cluster', 'nothing']
/** Rights on a share group and on those of its topics that the client may see. */
const OF_SHARE_GROUP: readonly Effect[] = [
  ['offsets', 'group'],
  ['offsets', 'topic+group', 'filters']
]
/** An instance belongs to a group, and reads topics on behalf of it. */
const OF_INSTANCE: readonly Effect[] = [['consume', 'group'], CONSUMES]

/**
 * Facts about each verb, through whichever API, command or program a client comes. A verb without an entry does not compile. Each
 * member is read by running code or by a test over all endpoints.
 */
export const VERB_FACTS = {
  produce: {
    ...PATIENT,
    order: 'handedOn',
    command: 'write',
    troubles: ['idRefused', ...AWAY, ...OF_RECORDS, ...OF_DISK, 'settingsHidden'],
    effects: [
      ['produce', 'topic'],
      ['register', 'subject']
    ]
  },
  lost: OWN,
  topics: { ...PROMPT, effects: [READS_TOPIC], command: 'topics list', troubles: AWAY },
  topicConfigs: { ...PROMPT, effects: [READS_TOPIC], command: KAFKAS, troubles: AWAY },
  follow: {
    ...READING,
    gives: 'copies',
    effects: [['consume', 'topic']],
    command: 'read',
    troubles: [...AWAY, ...OF_READS]
  },
  durableLog: OWN,
  'groups.offsets': { ...PROMPT, effects: [OFFSETS], command: 'groups', troubles: AWAY },
  'groups.commit': { ...HANDED_ON, effects: [OFFSETS], command: KAFKAS, troubles: AWAY },
  'groups.consumers': {
    ...PROMPT,
    effects: [['admin', 'topic+group'], READS_TOPIC],
    command: 'groups',
    troubles: AWAY
  },
  'groups.describe': { ...PROMPT, effects: [READS_GROUP, SHOWS_TOPICS], command: 'groups', troubles: AWAY },
  'groups.committed': { ...PROMPT, effects: [READS_GROUP, SHOWS_TOPICS], command: 'groups', troubles: AWAY },
  'groups.consume': {
    ...READING,
    gives: 'forGood',
    effects: [CONSUMES],
    command: CURL,
    troubles: [...AWAY, ...OF_READS, ...OF_GROUPS, 'lendingStuck']
  },
  'groups.ack': { ...HANDED_ON, effects: [CONSUMES], command: CURL, troubles: [...AWAY, ...OF_GROUPS] },
  'instances.create': { ...CHANGING, effects: [['consume', 'group']], command: INSTANCES, troubles: AWAY },
  'instances.settingsOf': { ...PROMPT, effects: [['consume', 'group']], command: INSTANCES, troubles: AWAY },
  'instances.remove': { ...CHANGING, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.subscribe': { ...CHANGING, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.subscription': { ...PROMPT, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.describe': { ...PROMPT, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.unsubscribe': { ...CHANGING, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.assign': { ...CHANGING, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.assignment': { ...PROMPT, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.seek': { ...CHANGING, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.read': {
    ...READING,
    gives: 'forGood',
    effects: OF_INSTANCE,
    command: INSTANCES,
    troubles: [...AWAY, ...OF_READS, ...OF_GROUPS]
  },
  'instances.commit': {
    ...HANDED_ON,
    effects: [...OF_INSTANCE, OFFSETS],
    command: INSTANCES,
    troubles: [...AWAY, ...OF_GROUPS]
  },
  'instances.committed': { ...PROMPT, effects: OF_INSTANCE, command: INSTANCES, troubles: AWAY },
  'instances.owners.identify': OWN,
  'instances.owners.release': OWN,
  'instances.numberOf': OWN,
  'queues.acquire': {
    ...READING,
    gives: 'lends',
    isolation: 'group',
    effects: [CONSUMES, ['alter', 'topics of group']],
    command: CURL,
    troubles: [...AWAY, 'queueNotServed', 'queueArchived', 'queueHeldLong']
  },
  'queues.takeBack': OWN,
  'queues.settle': { ...HANDED_ON, effects: [CONSUMES], command: CURL, troubles: [...AWAY, 'queueHeldLong'] },
  'queues.count': OWN,
  'queues.describe': { ...PROMPT, effects: [OFFSETS], command: 'queues describe', troubles: AWAY },
  'queues.configure': {
    ...CHANGING,
    command: CURL,
    troubles: AWAY,
    effects: [
      ['alter', 'topic+group'],
      ['produce', 'topic']
    ]
  },
  'shareGroups.list': { ...PROMPT, effects: OF_SHARE_GROUP, command: 'queues list', troubles: AWAY },
  'shareGroups.describe': { ...PROMPT, effects: OF_SHARE_GROUP, command: 'groups', troubles: AWAY },
  'shareGroups.reset': { ...CHANGING, effects: [OFFSETS], command: 'queues reset', troubles: AWAY },
  'shareGroups.forget': { ...CHANGING, effects: [['delete', 'topic+group']], command: CURL, troubles: AWAY },
  'shareGroups.delete': {
    ...CHANGING,
    effects: [
      ['delete', 'group'],
      ['delete', 'topics of group']
    ],
    command: 'groups delete',
    troubles: AWAY
  },
  'admin.describeCluster': { ...PROMPT, effects: [['admin', 'nothing']], command: KAFKAS, troubles: AWAY },
  'admin.clusterId': {
    ...PROMPT,
    // Paths of records have the id of the cluster.
    effects: [
      ['admin', 'nothing'],
      ['produce', 'nothing', 'suffices']
    ],
    command: KAFKAS,
    troubles: AWAY
  },
  'admin.createTopic': { ...CHANGING, effects: [['create', 'topic']], command: 'topics create', troubles: AWAY },
  'admin.deleteTopic': { ...CHANGING, effects: [['delete', 'topic']], command: 'topics delete', troubles: AWAY },
  'admin.createPartitions': { ...CHANGING, effects: [['alter', 'topic']], command: KAFKAS, troubles: AWAY },
  'admin.deleteRecords': { ...CHANGING, effects: [['delete', 'topic']], command: KAFKAS, troubles: AWAY },
  'admin.deleteGroup': { ...CHANGING, effects: [['delete', 'group']], command: 'groups delete', troubles: AWAY },
  'admin.describeConfigs': { ...PROMPT, effects: [READS_TOPIC, CLUSTER], command: KAFKAS, troubles: AWAY },
  'admin.alterConfigs': { ...CHANGING, effects: [['alter', 'topic'], CLUSTER], command: KAFKAS, troubles: AWAY },
  'admin.describeAcls': { ...PROMPT, effects: [CLUSTER], command: KAFKAS, troubles: AWAY },
  'admin.topicOperations': { ...PROMPT, effects: [READS_TOPIC], command: KAFKAS, troubles: AWAY },
  'admin.logEnds': { ...PROMPT, effects: [READS_TOPIC], command: 'groups', troubles: AWAY },
  'webhooks.list': { ...PROMPT, effects: [OFFSETS], command: 'webhooks list', troubles: OF_WEBHOOKS },
  'webhooks.describe': { ...PROMPT, effects: [OFFSETS], command: 'webhooks describe', troubles: OF_WEBHOOKS },
  'webhooks.skip': { ...CHANGING, effects: [CONSUMES], command: 'webhooks skip', troubles: OF_WEBHOOKS },
  'webhooks.test': { ...PATIENT, order: 'work', effects: [CONSUMES], command: 'webhooks test', troubles: OF_WEBHOOKS },
  'webhooks.resume': { ...CHANGING, effects: [CONSUMES], command: 'webhooks resume', troubles: OF_WEBHOOKS },
  'receipts.read': { ...PATIENT, effects: [], command: 'receipt', troubles: ['logFailed', 'logDamaged'] }
} as const satisfies Readonly<Record<VerbPath, VerbFacts>>

const NAMES = ['topic', 'group', 'subject'] as const

export interface VerbRights {
  readonly needed: readonly Operation[]
  /** A client with one of these needs no other right. */
  readonly sufficient: readonly Operation[]
}
type RightsTarget = { readonly [name in (typeof NAMES)[number]]?: string | undefined }

/** Rights by verb and names in a target, kept because each request asks. */
const rightsOfVerbs = new Map<VerbPath, VerbRights[]>()

/**
 * The rights for a verb on what a request names. A request that names nothing asks for a list: it needs the right for
 * anything, and the list has what the client may see ({@link rightsToSee}).
 *
 * @throws Error when the verb has no effect on such a target
 */
export function rightsOf(verb: VerbPath, target: RightsTarget): VerbRights {
  let names = 0
  for (let at = 0; at < NAMES.length; at++) if (target[NAMES[at]!] !== undefined) names += 2 ** at
  const known = getOrAdd(rightsOfVerbs, verb, () => [])
  return (known[names] ??= rightsOn(verb, NAMES.filter(name => target[name] !== undefined).join('+') || 'nothing'))
}

function rightsOn(verb: VerbPath, named: string): VerbRights {
  const effects: readonly Effect[] = VERB_FACTS[verb].effects
  const rights = effects.filter(([, of, how]) => of === named && how !== 'filters')
  const [needed, sufficient] = [undefined, 'suffices'].map(as =>
    rights.filter(([, , how]) => how === as).map(([right]) => right)
  ) as [Operation[], Operation[]]
  if (needed.length > 0) return { needed, sufficient }
  if (named !== 'nothing' || effects.length === 0) throw new Error(`${verb} has no effect on ${named}`)
  return { needed: [effects[0]![0]], sufficient }
}

/**
 * The rights that a client needs for such a target to see it in the answer to a verb.
 *
 * @throws Error when the verb has no effect on such a target
 */
export function rightsToSee(verb: VerbPath, target: TargetOfRight): readonly Operation[] {
  const effects: readonly Effect[] = VERB_FACTS[verb].effects
  const rights = effects.filter(([, of, how]) => of === target && how !== 'suffices').map(([right]) => right)
  if (rights.length === 0) throw new Error(`${verb} has no effect on ${target}`)
  return rights
}
