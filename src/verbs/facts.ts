import type { ReceiptDesk } from './receipts.js'
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

export interface VerbFacts {
  /**
   * `asked`: a client may say how long the answer may take, and a request that takes that long is not slow. An endpoint of
   * such a verb calls `noteWait`.
   */
  readonly waits: 'asked' | 'none'
}

const WAITS: VerbFacts = { waits: 'asked' }
const PROMPT: VerbFacts = { waits: 'none' }

/**
 * What is true of each verb, whatever door a client comes by. A verb without an entry does not compile. Each member is read
 * by running code or by a test over all endpoints.
 */
export const VERB_FACTS: Readonly<Record<VerbPath, VerbFacts>> = {
  produce: WAITS,
  lost: PROMPT,
  topics: PROMPT,
  topicConfigs: PROMPT,
  follow: WAITS,
  durableLog: PROMPT,
  'groups.offsets': PROMPT,
  'groups.commit': PROMPT,
  'groups.consumers': PROMPT,
  'groups.describe': PROMPT,
  'groups.committed': PROMPT,
  'groups.consume': WAITS,
  'groups.ack': PROMPT,
  'instances.create': PROMPT,
  'instances.settingsOf': PROMPT,
  'instances.remove': PROMPT,
  'instances.subscribe': PROMPT,
  'instances.subscription': PROMPT,
  'instances.describe': PROMPT,
  'instances.unsubscribe': PROMPT,
  'instances.assign': PROMPT,
  'instances.assignment': PROMPT,
  'instances.seek': PROMPT,
  'instances.read': WAITS,
  'instances.commit': PROMPT,
  'instances.committed': PROMPT,
  'instances.owners.identify': PROMPT,
  'instances.owners.release': PROMPT,
  'instances.numberOf': PROMPT,
  'queues.acquire': WAITS,
  'queues.unseen': PROMPT,
  'queues.settle': PROMPT,
  'queues.count': PROMPT,
  'queues.describe': PROMPT,
  'queues.configure': PROMPT,
  'admin.describeCluster': PROMPT,
  'admin.clusterId': PROMPT,
  'admin.createTopic': PROMPT,
  'admin.deleteTopic': PROMPT,
  'admin.createPartitions': PROMPT,
  'admin.deleteRecords': PROMPT,
  'admin.deleteGroup': PROMPT,
  'admin.describeConfigs': PROMPT,
  'admin.alterConfigs': PROMPT,
  'admin.describeAcls': PROMPT,
  'admin.topicOperations': PROMPT,
  'admin.logEnds': PROMPT,
  'admin.topicChanged': PROMPT,
  'receipts.read': WAITS
}
