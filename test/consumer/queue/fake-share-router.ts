import type { ActorRef } from '../../../src/core/actor/actor.js'
import {
  acknowledgeTypes,
  type ShareAcknowledgements,
  type SharePartitionId
} from '../../../src/kafka/protocol/share.js'
import type {
  RequestOf,
  ResultOf,
  RouterMessage,
  SharePartitionAnswer
} from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { fakeRecord } from '../../support/fake-batch.js'

type Kind = 'shareHeartbeat' | 'shareFetch' | 'shareAcknowledge' | 'fetchTopicMetadata'
type Asked = { readonly [Of in Kind]: RequestOf<Of> }[Kind]
type Call = RequestOf<'shareFetch'> | RequestOf<'shareAcknowledge'>

interface SharedRecord {
  readonly offset: number
  count: number
  holder: string | undefined
  isSettled: boolean
}
interface Partition {
  leaderId: number
  leaderEpoch: number
  readonly records: SharedRecord[]
  /** What the next fetches tell of it instead. */
  readonly scripted: Partial<SharePartitionAnswer>[]
}
interface Session {
  readonly nodeId: number
  epoch: number
  readonly partitions: Map<string, SharePartitionId>
}

const keyOf = ({ topicId, partition }: SharePartitionId): string => `${topicId}/${partition}`

/** A Router with the share groups of a Kafka behind it, on `setTimeout` only. It holds callers to the rules of sessions. */
export class FakeShareRouter implements ActorRef<RouterMessage> {
  readonly path = 'fake-share-router'
  readonly asked: Asked[] = []
  /** What was acknowledged, as `topic/partition:offset word`. */
  readonly words: string[] = []
  /** The same, with the member before it. */
  readonly told: string[] = []
  /** Answers that are given in place of the next ones of their kind. `silence`: none. */
  readonly scripted: {
    readonly kind: Kind
    /** Default: any broker. */
    readonly nodeId?: number
    readonly result: ResultOf<Kind> | 'silence'
  }[] = []
  /** What acknowledgements of a partition are answered next. */
  readonly refusals: { readonly errorCode: number; readonly ifOffset?: number }[] = []
  /** Number of next acknowledgements that Kafka takes, and whose connection is lost before the answer. */
  lostAnswers = 0
  topicId = 'first'
  isTopicThere = true
  partitions: Partition[] = []
  heartbeatIntervalMs = 5_000
  /** Heartbeats until the member is assigned partitions. */
  beatsUntilAssigned = 1
  lockMs = 30_000
  latencyMs = 1
  readonly sessions = new Map<string, Session>()
  readonly closed: string[] = []
  /** Answers on their way. */
  pending = 0
  readonly #busy = new Set<string>()

  constructor(leaders: readonly number[] = [1]) {
    this.lead(leaders)
  }

  /** Sets the leaders of the partitions, and adds partitions where there are more leaders. Locks do not move with a leader. */
  lead(leaders: readonly number[]): void {
    for (const [at, leaderId] of leaders.entries()) {
      const partition = (this.partitions[at] ??= { leaderId, leaderEpoch: 0, records: [], scripted: [] })
      if (partition.leaderId === leaderId) continue
      partition.leaderId = leaderId
      partition.leaderEpoch++
      for (const record of partition.records) record.holder = undefined
    }
  }

  write(count: number, partition = 0): void {
    const { records } = this.partitions[partition]!
    for (let at = 0; at < count; at++)
      records.push({ offset: records.length, count: 0, holder: undefined, isSettled: false })
  }

  /** The topic is deleted, and created again with the same partitions. */
  createAnew(topicId: string): void {
    this.topicId = topicId
    for (const partition of this.partitions) partition.records.length = 0
  }

  of<Of extends Kind>(kind: Of): RequestOf<Of>[] {
    return this.asked.filter((one): one is Extract<Asked, { type: Of }> & RequestOf<Of> => one.type === kind)
  }

  tell(message: RouterMessage): void {
    if (message.type === 'closeShareConnection') {
      this.closed.push(message.memberId)
      this.#release(message.memberId)
      return
    }
    const asked = message as Asked
    this.asked.push(asked)
    const asksNode = (nodeId: number): boolean => 'nodeId' in asked && asked.nodeId === nodeId
    const at = this.scripted.findIndex(
      ({ kind, nodeId }) => kind === asked.type && (nodeId === undefined || asksNode(nodeId))
    )
    const [scripted] = at >= 0 ? this.scripted.splice(at, 1) : []
    if (scripted?.result === 'silence') {
      this.#later(asked.timeoutMs!, () => asked.requester.reply({ type: 'timedOut' } as never))
    } else if (scripted !== undefined) {
      const { result } = scripted
      const isSeen = result.type !== 'failed' || result.code !== 'overloaded'
      if ('memberId' in asked && isSeen) this.#release(asked.memberId)
      this.#later(this.latencyMs, () => asked.requester.reply(result as never))
    } else if (asked.type === 'shareHeartbeat') this.#reply(asked, this.#beat(asked))
    else if (asked.type === 'fetchTopicMetadata') this.#reply(asked, this.#metadata())
    else this.#call(asked)
  }

  stop(): void {}

  #later(delayMs: number, work: () => void): void {
    this.pending++
    setTimeout(() => {
      this.pending--
      work()
    }, delayMs)
  }

  #reply(asked: Asked, result: unknown): void {
    this.#later(this.latencyMs, () => asked.requester.reply(result as never))
  }

  #beat({ memberEpoch }: RequestOf<'shareHeartbeat'>): ResultOf<'shareHeartbeat'> {
    const isAssigned = this.beatsUntilAssigned-- <= 1
    return {
      type: 'success',
      memberEpoch: memberEpoch < 0 ? memberEpoch : 2,
      heartbeatIntervalMs: this.heartbeatIntervalMs,
      assignment: new Map(isAssigned ? [[this.topicId, [...this.partitions.keys()]]] : [])
    }
  }

  #metadata(): ResultOf<'fetchTopicMetadata'> {
    const topic = 'jobs'
    const partitions = this.partitions.map(({ leaderId, leaderEpoch }, partition) => ({
      errorCode: 0,
      partition,
      leaderId,
      leaderEpoch,
      replicas: [],
      isr: [],
      offlineReplicas: []
    }))
    const found = this.isTopicThere
      ? { topic, errorCode: 0, topicId: this.topicId, isInternal: false, partitions }
      : { topic, errorCode: 3, topicId: undefined, isInternal: false, partitions: [] }
    const topics = new Map([[topic, found]])
    return { operation: 'fetchTopicMetadata', requestId: undefined, type: 'success', topics, brokers: [] }
  }

  #call(asked: Call): void {
    const { memberId, nodeId, epoch } = asked
    if (this.#busy.has(memberId)) throw new Error('a session has two calls in flight')
    this.#busy.add(memberId)
    const answer = (result: unknown): void => {
      this.#busy.delete(memberId)
      asked.requester.reply(result as never)
    }
    if (epoch === 0) this.sessions.set(memberId, { nodeId, epoch: 0, partitions: new Map() })
    const session = this.sessions.get(memberId)
    if (session === undefined) this.#later(this.latencyMs, () => answer(kafkaFailure(122)))
    else if (epoch >= 0 && session.epoch++ !== epoch) this.#later(this.latencyMs, () => answer(kafkaFailure(123)))
    else if (asked.type === 'shareFetch') this.#fetch(asked, session, answer)
    else {
      const told = this.#acknowledge(asked)
      const isLost = this.lostAnswers > 0 && this.lostAnswers-- > 0
      const result = isLost ? { type: 'timedOut' } : told
      if (epoch === -1 || isLost) this.#release(memberId)
      this.#later(this.latencyMs, () => answer(result))
    }
  }

  #fetch(asked: RequestOf<'shareFetch'>, session: Session, answer: (result: unknown) => void): void {
    for (const place of asked.added) session.partitions.set(keyOf(place), place)
    for (const place of asked.forgotten) session.partitions.delete(keyOf(place))
    let waitedMs = 0
    const look = (): void => {
      const partitions = this.#acquire(asked, session)
      if (partitions.length > 0 || waitedMs >= asked.maxWaitMs)
        answer({ type: 'success', acquisitionLockMs: this.lockMs, partitions })
      else this.#later(5, look)
      waitedMs += 5
    }
    this.#later(this.latencyMs, look)
  }

  #acquire({ nodeId, maxRecords, memberId }: RequestOf<'shareFetch'>, session: Session): SharePartitionAnswer[] {
    const found: SharePartitionAnswer[] = []
    let left = this.sessions.has(memberId) ? maxRecords : 0
    for (const { topicId, partition } of session.partitions.values()) {
      const place = this.partitions[partition]!
      const one = toldPartition(topicId, partition)
      const scripted = place.scripted.shift()
      if (topicId !== this.topicId) found.push({ ...one, errorCode: 100 })
      else if (scripted !== undefined) found.push({ ...one, ...scripted })
      else if (place.leaderId !== nodeId) found.push({ ...one, errorCode: 6 })
      else {
        const free = place.records.filter(({ holder, isSettled }) => holder === undefined && !isSettled).slice(0, left)
        left -= free.length
        const records = free.map(record => {
          record.holder = memberId
          this.#endLockLater(record)
          return { record: fakeRecord(record.offset), deliveryCount: ++record.count }
        })
        if (records.length > 0) found.push({ ...one, records })
      }
    }
    return found
  }

  /** Renewals do not count here. */
  #endLockLater(record: SharedRecord): void {
    const { holder, count } = record
    this.#later(this.lockMs, () => {
      if (record.holder === holder && record.count === count + 1) record.holder = undefined
    })
  }

  #acknowledge({ acknowledgements, memberId }: RequestOf<'shareAcknowledge'>): ResultOf<'shareAcknowledge'> {
    const partitions = acknowledgements.map(one => ({
      topicId: one.topicId,
      partition: one.partition,
      errorCode: this.#settle(one, memberId),
      errorMessage: null,
      leaderId: -1,
      leaderEpoch: -1
    }))
    return { type: 'success', acquisitionLockMs: this.lockMs, partitions }
  }

  #settle({ topicId, partition, ranges }: ShareAcknowledgements, memberId: string): number {
    const offsets = ranges.flatMap(({ first, last, types }) =>
      Array.from({ length: last - first + 1 }, (_, at) => ({ offset: first + at, type: types[0]! }))
    )
    const refusal = this.refusals.find(
      ({ ifOffset }) => ifOffset === undefined || offsets.some(({ offset }) => offset === ifOffset)
    )
    if (refusal?.ifOffset === undefined && refusal !== undefined)
      this.refusals.splice(this.refusals.indexOf(refusal), 1)
    if (refusal !== undefined) return refusal.errorCode
    for (const { offset, type } of offsets) {
      const record = this.partitions[partition]!.records[offset]
      if (type !== acknowledgeTypes.gap && record?.holder !== memberId) return 121
    }
    for (const { offset, type } of offsets) {
      const record = this.partitions[partition]!.records[offset]
      const word = Object.entries(acknowledgeTypes).find(([, of]) => of === type)![0]
      this.words.push(`${topicId}/${partition}:${offset} ${word}`)
      this.told.push(`${memberId} ${partition}:${offset} ${word}`)
      if (record === undefined || word === 'renew') continue
      record.holder = undefined
      record.isSettled = word !== 'release'
    }
    return 0
  }

  #release(memberId: string): void {
    this.sessions.delete(memberId)
    this.#busy.delete(memberId)
    for (const { records } of this.partitions)
      for (const record of records) if (record.holder === memberId) record.holder = undefined
  }
}

const toldPartition = (topicId: string, partition: number): SharePartitionAnswer => ({
  topicId,
  partition,
  errorCode: 0,
  errorMessage: null,
  acknowledgeErrorCode: 0,
  leaderId: -1,
  leaderEpoch: -1,
  records: [],
  gaps: [],
  unreadable: []
})
