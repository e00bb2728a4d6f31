import { noop } from '../../core/ending.js'
import { getOrAdd, groupBy } from '../../core/maps.js'
import type { Offset } from '../../core/model.js'
import { codesOf, errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import {
  type AckType,
  acknowledgeTypes,
  keyOf,
  type ShareAcknowledgements,
  type SharePartitionId
} from '../../kafka/protocol/share.js'
import type { AcknowledgeResult, AcknowledgeType, OnSettled } from './queue-messages.js'
import type { Lock, ShareLocks } from './share-locks.js'

const { gap, renew } = acknowledgeTypes
/** One bad offset is enough for Kafka to refuse a whole list. */
const refusedListCodes = codesOf('INVALID_RECORD_STATE', 'INVALID_REQUEST')
/** Another broker leads the partition, or it exists no more: its locks are gone. */
export const goneLockCodes = codesOf(
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_TOPIC_ID',
  'INCONSISTENT_TOPIC_ID',
  'FENCED_STATE_EPOCH'
)
/**
 * Kafka may have stored the acknowledgement. The leader sends it to the share coordinator, which stores it and dies; another
 * broker becomes leader; then the former one sends it again, and is refused as no leader. One that is no leader from the start
 * answers UNKNOWN_TOPIC_OR_PARTITION or LEADER_NOT_AVAILABLE.
 */
const unclearCodes = codesOf(
  ...(['UNKNOWN_SERVER_ERROR', 'REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION'] as const),
  ...(['NOT_LEADER_OR_FOLLOWER', 'FENCED_LEADER_EPOCH', 'FENCED_STATE_EPOCH'] as const)
)
const LOST: AcknowledgeResult = { outcome: 'lost' }
const UNKNOWN: AcknowledgeResult = { outcome: 'unknown' }
const DONE: AcknowledgeResult = { outcome: 'done' }
const newSet = (): Set<Offset> => new Set()

/** Offsets of one partition, and what Kafka is told about them. */
interface OpenAcknowledgement extends SharePartitionId {
  /** Key of the partition, made once. */
  readonly key: string
  readonly first: Offset
  readonly last: Offset
  readonly type: AckType
  /** `undefined`: the offsets have no records. */
  readonly lock: Lock | undefined
  /** Called once. */
  readonly settled: OnSettled
}

/** Content of one call to Kafka: either renewals, or settlements of other kinds. */
export interface AcknowledgeCall {
  readonly isRenew: boolean
  readonly acknowledgements: readonly ShareAcknowledgements[]
}

/**
 * The acknowledgements of one share session: those that wait for a call, those in the call on the way, and what becomes of
 * them. Every one is settled once.
 *
 *   add -> queued -> take -> in flight -> answered -> settled
 *             ^----- putBack ---'    '--> again, in halves, where Kafka has refused a list
 */
export class SessionAcknowledgements {
  readonly #locks: ShareLocks
  #queued: OpenAcknowledgement[] = []
  /** Parts of lists that Kafka has refused, each of one partition. */
  readonly #again: OpenAcknowledgement[][] = []
  /** Entries of the call in flight, by partition. */
  #inFlight: ReadonlyMap<string, readonly OpenAcknowledgement[]> = new Map()

  constructor(locks: ShareLocks) {
    this.#locks = locks
  }

  /** Whether nothing waits for a call. */
  get isEmpty(): boolean {
    return this.#queued.length === 0 && this.#again.length === 0
  }

  add(lock: Lock, type: AcknowledgeType, settled: OnSettled): void {
    const { key, topicId, partition, offset: first } = lock
    this.#queued.push({ key, topicId, partition, first, last: first, type: acknowledgeTypes[type], lock, settled })
  }

  /** Offsets without records have been acquired. */
  addGap({ topicId, partition }: SharePartitionId, first: Offset, last: Offset): void {
    const key = keyOf({ topicId, partition })
    this.#queued.push({ key, topicId, partition, first, last, type: gap, lock: undefined, settled: noop })
  }

  /**
   * @param partitions those that the session has, by their keys
   * @returns what the next call tells Kafka; `undefined`: there is nothing
   */
  take(partitions: ReadonlyMap<string, SharePartitionId>): AcknowledgeCall | undefined {
    while (!this.isEmpty) {
      const entries = this.#valid(this.#again.shift() ?? this.#takeQueued(), partitions)
      if (entries.length === 0) continue
      this.#inFlight = groupBy(entries, ({ key }) => key)
      const acknowledgements = [...this.#inFlight.values()].map(acknowledgementsOf)
      return { isRenew: entries[0]!.type === renew, acknowledgements }
    }
    return undefined
  }

  /** Kafka has not seen the call. */
  putBack(): void {
    this.#queued.unshift(...[...this.#inFlight.values()].flat())
    this.#inFlight = new Map()
  }

  /**
   * Kafka has answered the call.
   *
   * @param renewedUntil the end of the locks that were renewed
   * @returns the partitions whose locks are gone
   */
  answered(
    answers: readonly (SharePartitionId & { readonly errorCode: number })[],
    renewedUntil: number
  ): SharePartitionId[] {
    const codes = new Map(answers.map(one => [keyOf(one), one.errorCode]))
    const entriesOf = this.#inFlight
    const gone: SharePartitionId[] = []
    this.#inFlight = new Map()
    for (const [key, entries] of entriesOf) {
      const errorCode = codes.get(key) ?? errorCodes.UNKNOWN_SERVER_ERROR
      if (errorCode === errorCodes.NONE) for (const one of entries) this.#done(one, renewedUntil)
      else this.#refused(entries, errorCode)
      if (goneLockCodes.has(errorCode)) gone.push(entries[0]!)
    }
    return gone
  }

  /**
   * The session is over, and so are its locks.
   *
   * @param mayHaveReachedKafka of what was in flight
   */
  sessionEnded(mayHaveReachedKafka: boolean): void {
    for (const entry of [...this.#inFlight.values()].flat()) this.#tell(entry, mayHaveReachedKafka ? UNKNOWN : LOST)
    for (const entry of [...this.#again.flat(), ...this.#queued]) this.#tell(entry, LOST)
  }

  /**
   * Renewals need a call of their own, and an offset may be in a call once. What has waited longest goes first: there may always
   * be other acknowledgements.
   */
  #takeQueued(): OpenAcknowledgement[] {
    const isRenew = this.#queued[0]?.type === renew
    const named = new Map<string, Set<Offset>>()
    const taken: OpenAcknowledgement[] = []
    const left: OpenAcknowledgement[] = []
    for (const entry of this.#queued) {
      const offsets = getOrAdd(named, entry.key, newSet)
      if ((entry.type === renew) !== isRenew || offsets.size === offsets.add(entry.first).size) left.push(entry)
      else taken.push(entry)
    }
    this.#queued = left
    return taken
  }

  /**
   * Kafka would take an acknowledgement whose lock is over, when the message is acquired again: it waits behind a fetch whose
   * broker stands still, the lock ends, the fetch acquires the message again, then it would be sent.
   */
  #valid(
    entries: readonly OpenAcknowledgement[],
    partitions: ReadonlyMap<string, SharePartitionId>
  ): OpenAcknowledgement[] {
    return entries.filter(entry => {
      const isValid = entry.type === gap ? partitions.has(entry.key) : this.#isLocked(entry)
      if (!isValid) this.#tell(entry, LOST)
      return isValid
    })
  }

  #isLocked({ lock }: OpenAcknowledgement): boolean {
    return lock !== undefined && this.#locks.holds(lock)
  }

  /** Kafka gives this answer for any offset below the start of the group. So it counts only while the lock is valid. */
  #done(entry: OpenAcknowledgement, renewedUntil: number): void {
    const isInTime = this.#isLocked(entry)
    if (entry.type !== renew) this.#unlock(entry)
    else if (isInTime) entry.lock!.endsAt = renewedUntil
    this.#tell(entry, isInTime ? DONE : UNKNOWN)
  }

  #refused(entries: readonly OpenAcknowledgement[], errorCode: number): void {
    if (refusedListCodes.has(errorCode) && entries.length > 1) {
      const half = entries.length >> 1
      this.#again.push(entries.slice(0, half), entries.slice(half))
      return
    }
    const { message } = kafkaErrorOf(errorCode)
    const isLost = !unclearCodes.has(errorCode) && (refusedListCodes.has(errorCode) || goneLockCodes.has(errorCode))
    for (const entry of entries) {
      // A lock that is not renewed runs to its end, since renewing may be switched off.
      if (isLost && entry.type !== renew) this.#unlock(entry)
      if (isLost) this.#tell(entry, LOST)
      else if (unclearCodes.has(errorCode)) this.#tell(entry, UNKNOWN)
      else this.#tell(entry, { outcome: 'failed', code: errorCode, message })
    }
  }

  /** At the end of this tick, when the calls to Kafka are in order. Each by itself: one that throws keeps no other back. */
  #tell({ settled }: OpenAcknowledgement, result: AcknowledgeResult): void {
    queueMicrotask(() => settled(result))
  }

  #unlock({ lock }: OpenAcknowledgement): void {
    if (lock !== undefined) this.#locks.remove(lock)
  }
}

/** Acknowledgements in the order of offsets. Neighbours that are settled in the same way form one range. */
function acknowledgementsOf(entries: readonly OpenAcknowledgement[]): ShareAcknowledgements {
  const { topicId, partition } = entries[0]!
  const ranges: { first: Offset; last: Offset; types: [AckType] }[] = []
  for (const { first, last, type } of entries.toSorted((one, other) => one.first - other.first)) {
    const before = ranges.at(-1)
    if (before?.last === first - 1 && before.types[0] === type) before.last = last
    else ranges.push({ first, last, types: [type] })
  }
  return { topicId, partition, ranges }
}
