import type { AckResult, ConsumeManyResult, MessageLimits } from '../../src/consumer/group/consume-result.js'
import type { Requester } from '../../src/core/actor/actor.js'
import type { OffsetAndMetadata, ProduceRecord, RecordFailure, RecordOutcome } from '../../src/core/model.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import {
  type AdminVerbs,
  type CommitOutcome,
  type CommittedOffset,
  type GroupDescription,
  type GroupOffset,
  type GroupReader,
  type GroupVerbs,
  type InstanceVerbs,
  type Loss,
  type PendingProduce,
  type ProduceOptions,
  type QueueVerbs,
  type ReadersOnly,
  type ReadSubscription,
  type ShareGroupVerbs,
  type TopicMetadata,
  tokensOf,
  type Verbs
} from '../../src/verbs/verbs.js'

/** A record as the gateway was given it, its bytes copied as the contract demands. */
export interface TakenRecord {
  readonly topic: string
  readonly partition: number | undefined
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** A call of produce that the test may settle. */
export interface TakenCall {
  readonly records: readonly TakenRecord[]
  readonly options: ProduceOptions
  settle(outcomes: readonly RecordOutcome[]): void
}

export const delivered = (partition = 0, offset = 0): RecordOutcome => ({
  type: 'delivered',
  partition,
  offset,
  timestampMs: 0
})

export const failure = (code: RecordFailure['code'], errorCode?: number): RecordFailure => ({
  type: 'failed',
  code,
  errorCode,
  message: `made up for a test: ${code}`,
  persisted: 'no',
  retriable: false
})

/**
 * A gateway without Kafka. It keeps every call; by default a record is delivered at once.
 *
 *   new FakeVerbs({ refuse: record => (record.topic === 'full' ? failure('overloaded') : undefined) })
 */
export class FakeVerbs implements Verbs, GroupVerbs {
  /** Verbs of groups are methods here as well, so that one subclass overrides any verb. */
  readonly groups: GroupVerbs = this
  /** No verb of administration is answered; a test assigns those that it needs. */
  admin: AdminVerbs = { ...unanswered }
  /** No verb of instances is answered; a test assigns those that it needs. */
  instances: InstanceVerbs = unansweredInstances
  /** Has no messages; a test assigns queues that have. */
  queues: QueueVerbs = emptyQueues
  /** There are none; a test assigns those that it needs. */
  shareGroups: ShareGroupVerbs = noShareGroups
  isReady = true
  /** Partitions by topic: what {@link topics} tells. */
  readonly partitions = new Map<string, number>()
  /** `TOPIC/PARTITION` of partitions that have no leader. */
  readonly leaderless = new Set<string>()
  /** By `GROUP TOPIC/PARTITION`. */
  readonly commits = new Map<string, OffsetAndMetadata>()
  readonly calls: TakenCall[] = []
  /** `API CODE COUNT` of records that are lost. */
  readonly losses: string[] = []
  readonly #refuse: (record: ProduceRecord, index: number) => RecordFailure | undefined
  readonly #outcome: ((record: ProduceRecord, index: number) => RecordOutcome) | 'by hand'

  /** @param behaviour `outcome: 'by hand'` leaves every call open until the test settles it */
  constructor(
    behaviour: {
      refuse?: (record: ProduceRecord, index: number) => RecordFailure | undefined
      outcome?: ((record: ProduceRecord, index: number) => RecordOutcome) | 'by hand'
    } = {}
  ) {
    this.#refuse = behaviour.refuse ?? (() => undefined)
    this.#outcome = behaviour.outcome ?? (() => delivered())
  }

  get records(): TakenRecord[] {
    return this.calls.flatMap(({ records }) => records)
  }

  lost(api: string, { code }: Loss, records: number): void {
    this.losses.push(`${api} ${code} ${records}`)
  }

  async durableLog(): Promise<undefined> {
    return undefined
  }

  produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    const refusals = records.map((record, index) => this.#refuse(record, index))
    const refused = refusals.some(refusal => refusal !== undefined) ? refusals : undefined
    const { promise, settle } = withResolver<readonly RecordOutcome[]>()
    const answer = (outcomes: readonly RecordOutcome[]): void =>
      settle(outcomes.map((outcome, i) => refusals[i] ?? outcome))
    this.calls.push({ records: records.map(copy), options, settle: answer })
    if (this.#outcome !== 'by hand') answer(records.map(this.#outcome))
    return { refused, accepted: () => Promise.resolve(refused), outcomes: () => promise }
  }

  /** There is never a message. */
  consume(
    _groupId: string,
    _topic: string,
    _limits: MessageLimits,
    _timeoutMs: number | undefined,
    { reply }: Requester<ConsumeManyResult>
  ): () => void {
    reply({ type: 'timedOut' })
    return () => undefined
  }

  async follow(): Promise<ReadSubscription> {
    return { resume: () => undefined, stop: () => undefined }
  }

  async ack(): Promise<AckResult> {
    return { type: 'notOffered' }
  }

  async topics(names: readonly string[] | 'all', _timeoutMs: number): Promise<ReadonlyMap<string, TopicMetadata>> {
    const asked = names === 'all' ? [...this.partitions.keys()] : names
    return new Map(asked.map(name => [name, topicOf(name, this.partitions.get(name), this.leaderless)]))
  }

  async topicConfigs(names: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    return new Map(names.filter(name => this.partitions.has(name)).map(name => [name, new Map()]))
  }

  async offsets(groupId: string, topic: string): Promise<readonly GroupOffset[] | undefined> {
    const partitions = this.partitions.get(topic)
    if (partitions === undefined) return undefined
    return Array.from({ length: partitions }, (_, partition) => ({
      partition,
      earliest: 0,
      latest: 0,
      committed: this.commits.get(`${groupId} ${topic}/${partition}`),
      acknowledged: []
    }))
  }

  /** By group: what {@link consumers} tells. */
  readonly readers = new Map<string, readonly GroupReader[]>()

  async consumers(
    groups: readonly string[] | 'all',
    _timeoutMs: number,
    { includes = () => true }: ReadersOnly = {}
  ): Promise<ReadonlyMap<string, readonly GroupReader[]>> {
    const asked = (groups === 'all' ? [...this.readers.keys()] : groups).filter(includes)
    return new Map(
      asked.map(group => [group, this.readers.get(group) ?? []] as const).filter(([, of]) => of.length > 0)
    )
  }

  async describe(): Promise<ReadonlyMap<string, GroupDescription>> {
    return new Map()
  }

  async committed(): Promise<readonly CommittedOffset[]> {
    return []
  }

  async commit(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>
  ): Promise<ReadonlyMap<number, CommitOutcome>> {
    const commitOne = (partition: number, offset: OffsetAndMetadata): CommitOutcome => {
      if (partition >= (this.partitions.get(topic) ?? 0)) return 'unknownTopicOrPartition'
      this.commits.set(`${groupId} ${topic}/${partition}`, offset)
      return 'committed'
    }
    return new Map([...offsets].map(([partition, offset]) => [partition, commitOne(partition, offset)]))
  }
}

const refuse = async (): Promise<never> => {
  throw new Error('not faked')
}
const unansweredInstances: InstanceVerbs = {
  create: refuse,
  settingsOf: refuse,
  remove: refuse,
  subscribe: refuse,
  subscription: refuse,
  describe: refuse,
  unsubscribe: refuse,
  assign: refuse,
  assignment: refuse,
  seek: refuse,
  read: refuse,
  commit: refuse,
  committed: refuse
}

const emptyQueues: QueueVerbs = {
  acquire: (_topic, _group, _options, { reply }) => {
    reply({ type: 'acquired', messages: [], isNewGroup: false })
    return () => undefined
  },
  takeBack: () => undefined,
  settle: async (_topic, _group, settlement) => tokensOf(settlement).map(token => ({ token, outcome: 'invalid' })),
  describe: async () => ({ state: 'absent', members: [], partitions: [], settings: undefined, topics: [] }),
  configure: refuse
}

const noShareGroups: ShareGroupVerbs = {
  list: async () => ({ groups: [], next: undefined }),
  describe: refuse,
  reset: refuse,
  forget: refuse,
  delete: refuse
}

const unanswered: AdminVerbs = {
  describeCluster: refuse,
  clusterId: async () => 'c1',
  createTopic: refuse,
  deleteTopic: refuse,
  createPartitions: refuse,
  deleteRecords: refuse,
  deleteGroup: refuse,
  describeConfigs: refuse,
  alterConfigs: refuse,
  describeAcls: refuse,
  topicOperations: refuse,
  logEnds: refuse
}

const topicOf = (
  topic: string,
  partitionCount: number | undefined,
  leaderless: ReadonlySet<string>
): TopicMetadata => ({
  errorCode: partitionCount === undefined ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : errorCodes.NONE,
  topic,
  topicId: undefined,
  isInternal: false,
  partitions: Array.from({ length: partitionCount ?? 0 }, (_, partition) => ({
    errorCode: errorCodes.NONE,
    partition,
    leaderId: leaderless.has(`${topic}/${partition}`) ? -1 : 1,
    leaderEpoch: 0,
    replicas: [1],
    isr: [1],
    offlineReplicas: []
  }))
})

const copy = ({ topic, partition, key, value }: ProduceRecord): TakenRecord => ({
  topic,
  partition,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value)
})

function withResolver<Value>(): { promise: Promise<Value>; settle: (value: Value) => void } {
  let settle: (value: Value) => void = () => {}
  const promise = new Promise<Value>(resolve => (settle = resolve))
  return { promise, settle }
}
