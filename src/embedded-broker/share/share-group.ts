import { addTo } from '../../core/maps.js'
import { topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { type GroupBytes, MEMBER_BYTES } from '../groups/group-bytes.js'
import type { StoredPartition } from '../topics/partition.js'
import type { Topic, TopicTable } from '../topics/topic-table.js'
import { type Refusal, SharePartition } from './share-partition.js'
import { defaultShareSettings, type ShareSettings } from './share-settings.js'

const LONGEST_MEMBER_ID = 36
/** The default of Kafka's `group.share.max.size`. */
const MOST_MEMBERS = 200
/** The epoch with which a member joins, and that with which it leaves. */
const JOINS = 0
const LEAVES = -1

export interface Heartbeat {
  readonly memberId: string
  readonly memberEpoch: number
  /** `null`: the subscription is unchanged. */
  readonly topics: readonly string[] | null
  readonly clientId: string
  readonly clientHost: string
}

export interface AssignedTopic {
  readonly topicId: string
  readonly topic: string
  readonly partitions: readonly number[]
}

export interface Beaten {
  readonly memberEpoch: number
  readonly heartbeatIntervalMs: number
  /** `null`: unchanged. */
  readonly assignment: readonly AssignedTopic[] | null
}

export interface MemberState {
  readonly memberId: string
  readonly clientId: string
  readonly clientHost: string
  readonly epoch: number
  readonly topics: readonly string[]
}

interface KnownMember extends MemberState {
  epoch: number
  formerEpoch: number
  topics: readonly string[]
  /** The assignment that it was told, as text. */
  told: string | undefined
  seenAt: number
  chargedBytes: number
}

/** A partition of a topic that the group has begun to read. */
interface OpenedPartition {
  readonly topic: string
  readonly topicId: string
  readonly partition: StoredPartition
  readonly share: SharePartition
  leaderEpoch: number
}

const memberSizeOf = ({ memberId, clientId, clientHost, topics }: Omit<MemberState, 'epoch'>): number =>
  topics.reduce((sum, { length }) => sum + length, MEMBER_BYTES + memberId.length + clientId.length + clientHost.length)

const refused = (errorCode: number, message: string | null = null): Refusal => ({ errorCode, message })

/** One share group: its members, its settings, and the state of each partition. */
export class ServedShareGroup {
  readonly groupId: string
  readonly #topics: TopicTable
  readonly #bytes: GroupBytes
  readonly #members = new Map<string, KnownMember>()
  readonly #opened = new Map<string, OpenedPartition>()
  /** The ids of topics that a member has subscribed to. */
  readonly #initialised = new Set<string>()
  settings: ShareSettings = defaultShareSettings
  /** The ids of the members that read a topic, by its name. Made again after a change of a member. */
  #readers: Map<string, string[]> | undefined
  #epoch = 1
  #metadata = ''

  constructor(groupId: string, topics: TopicTable, bytes: GroupBytes) {
    this.groupId = groupId
    this.#topics = topics
    this.#bytes = bytes
  }

  /** True: it was joined. Else it has settings alone. */
  get exists(): boolean {
    return this.#epoch > 1
  }

  get epoch(): number {
    return this.#epoch
  }

  membersAt(now: number): readonly MemberState[] {
    for (const [memberId, { seenAt }] of this.#members) {
      if (now - seenAt > this.settings.sessionTimeoutMs) this.#remove(memberId)
    }
    return [...this.#members.values()]
  }

  beat(heartbeat: Heartbeat, now: number): Beaten | Refusal {
    const { memberId, memberEpoch, topics } = heartbeat
    if (memberId === '' || memberId.length > LONGEST_MEMBER_ID || memberEpoch < LEAVES)
      return refused(errorCodes.INVALID_REQUEST)
    this.membersAt(now)
    const known = this.#members.get(memberId)
    if (memberEpoch === JOINS) return this.#join(heartbeat, now)
    if (known === undefined) return refused(errorCodes.UNKNOWN_MEMBER_ID)
    if (memberEpoch === LEAVES) {
      this.#remove(memberId)
      return { memberEpoch: LEAVES, heartbeatIntervalMs: 0, assignment: null }
    }
    if (memberEpoch !== known.epoch && memberEpoch !== known.formerEpoch)
      return refused(errorCodes.FENCED_MEMBER_EPOCH, 'the member must abandon all its partitions and rejoin')
    if (topics !== null && topics.join() !== known.topics.join()) {
      if (!this.#charge(known, memberSizeOf({ ...known, topics }))) return refused(errorCodes.GROUP_MAX_SIZE_REACHED)
      known.topics = topics
      this.#memberChanged()
    }
    known.seenAt = now
    return this.#answer(known)
  }

  #remove(memberId: string): void {
    this.#bytes.add(-this.#members.get(memberId)!.chargedBytes)
    this.#members.delete(memberId)
    this.#memberChanged()
  }

  #memberChanged(): void {
    this.#readers = undefined
    this.#epoch++
  }

  #join(heartbeat: Heartbeat, now: number): Beaten | Refusal {
    const { memberId, topics, clientId, clientHost } = heartbeat
    if (topics === null || topics.length === 0)
      return refused(errorCodes.INVALID_REQUEST, 'SubscribedTopicNames must be set in first request.')
    const former = this.#members.get(memberId)
    const { epoch } = this
    const ofEpoch = { epoch, formerEpoch: epoch, told: undefined, seenAt: now }
    const member = { memberId, clientId, clientHost, topics, ...ofEpoch, chargedBytes: former?.chargedBytes ?? 0 }
    const isFull = former === undefined && this.#members.size >= MOST_MEMBERS
    if (isFull || !this.#charge(member, memberSizeOf(member))) return refused(errorCodes.GROUP_MAX_SIZE_REACHED)
    this.#members.set(memberId, member)
    this.#memberChanged()
    return this.#answer(member)
  }

  /** @returns false: there is no capacity */
  #charge(member: KnownMember, sizeBytes: number): boolean {
    const added = sizeBytes - member.chargedBytes
    if (added > 0 && !this.#bytes.hasCapacity(added)) return false
    this.#bytes.add(added)
    member.chargedBytes = sizeBytes
    return true
  }

  #answer(member: KnownMember): Beaten {
    const existing = [...this.#readersByTopic().keys()].flatMap(name => this.#topics.get(name) ?? [])
    for (const topic of existing) {
      this.#initialised.add(topic.id)
      for (const partition of topic.partitions) this.#openedOf(topic, partition)
    }
    const metadata = existing.map(({ id, partitions }) => `${id} ${partitions.length}`).join()
    if (metadata !== this.#metadata) this.#epoch++
    this.#metadata = metadata
    const assignment = this.assignmentOf(member)
    const told = JSON.stringify(assignment)
    const isNews = told !== member.told
    member.told = told
    if (member.epoch !== this.#epoch) member.formerEpoch = member.epoch
    member.epoch = this.#epoch
    const { heartbeatIntervalMs } = this.settings
    return { memberEpoch: this.#epoch, heartbeatIntervalMs, assignment: isNews ? assignment : null }
  }

  #readersByTopic(): ReadonlyMap<string, readonly string[]> {
    if (this.#readers !== undefined) return this.#readers
    const readers = new Map<string, string[]>()
    for (const { memberId, topics } of this.#members.values())
      for (const name of new Set(topics)) addTo(readers, name, memberId)
    this.#readers = readers
    return readers
  }

  /** Spreads partitions over members. Members share them where there are more members. */
  assignmentOf({ memberId, topics }: MemberState): AssignedTopic[] {
    const readers = this.#readersByTopic()
    return [...new Set(topics)].flatMap(name => {
      const topic = this.#topics.get(name)
      if (topic === undefined) return []
      const members = readers.get(name)!
      const count = topic.partitions.length
      const partitions = new Set<number>()
      const turns = Math.max(count, members.length)
      for (let turn = members.indexOf(memberId); turn < turns; turn += members.length) partitions.add(turn % count)
      return partitions.size === 0 ? [] : [{ topicId: topic.id, topic: name, partitions: [...partitions] }]
    })
  }

  /**
   * The state of a partition at its leader, made with the first call. `undefined`: no member has subscribed to the topic yet.
   * `notAvailable`: the group begins with the records of the last time, and there is none.
   */
  open(topic: Topic, partition: StoredPartition): SharePartition | 'notAvailable' | undefined {
    if (!this.#initialised.has(topic.id)) return undefined
    const opened = this.#openedOf(topic, partition)
    this.#follow(opened)
    if (opened.share.startOffset === undefined) {
      const start = this.#startIn(partition)
      if (start === undefined) return 'notAvailable'
      opened.share.begin(start)
    }
    return opened.share
  }

  #openedOf({ id, name }: Topic, partition: StoredPartition): OpenedPartition {
    const key = topicPartitionKey(id, partition.index)
    const known = this.#opened.get(key)
    if (known !== undefined) return known
    const share = new SharePartition(() => this.settings)
    const opened = { topic: name, topicId: id, partition, share, leaderEpoch: partition.leaderEpoch }
    this.#opened.set(key, opened)
    return opened
  }

  /** Begins a partition at another offset, which Kafka compares with no log. Its locks and delivery counts are gone. */
  restart(topic: Topic, partition: StoredPartition, startOffset: number): void {
    this.#initialised.add(topic.id)
    this.#openedOf(topic, partition).share.restart(startOffset)
    this.#epoch++
  }

  /** Forgets all partitions of a topic. @returns false: the group has no state of it */
  forget(topic: string): boolean {
    const { id } = this.#topics.get(topic) ?? {}
    if (id === undefined || !this.#initialised.delete(id)) return false
    for (const [key, { topicId, share }] of this.#opened) {
      if (topicId !== id) continue
      share.close()
      this.#opened.delete(key)
    }
    return true
  }

  /** Releases what a member has acquired of a leader. A former leader has nothing to release. */
  release(nodeId: number, topicId: string, partition: number, memberId: string): void {
    const opened = this.#opened.get(topicPartitionKey(topicId, partition))
    if (opened?.partition.leaderId === nodeId) opened.share.release(memberId)
  }

  get allOpened(): Iterable<OpenedPartition> {
    return this.#opened.values()
  }

  /** `undefined`: no record is young enough. */
  #startIn({ log }: StoredPartition): number | undefined {
    const { start } = this.settings
    if (start === 'earliest') return log.logStartOffset
    if (start === 'latest') return log.highWatermark
    return log.findByTimestamp(Date.now() - start)?.baseOffset
  }

  /** Takes note of leaders that have moved, and of topics that are gone. */
  topicsChanged(): void {
    for (const [key, opened] of this.#opened) {
      if (this.#topics.byId(opened.topicId) !== undefined) this.#follow(opened)
      else {
        opened.share.close()
        this.#opened.delete(key)
        this.#initialised.delete(opened.topicId)
      }
    }
  }

  /** A new leader knows no locks. */
  #follow(opened: OpenedPartition): void {
    const { partition, share } = opened
    if (opened.leaderEpoch !== partition.leaderEpoch) share.forgetLocks()
    opened.leaderEpoch = partition.leaderEpoch
    share.fit(partition.log.logStartOffset, partition.log.highWatermark)
  }

  close(): void {
    for (const { share } of this.#opened.values()) share.close()
    this.#opened.clear()
  }
}
