import {
  incarnationOfTopic,
  type LogPosition,
  type Offset,
  positionIn,
  type TopicPartition,
  topicPartitionKey
} from '../../core/model.js'
import type { FetchData, FetchDataResult, OffsetType } from '../../router/messages/operations.js'
import type { AskRouter } from './ask.js'
import { EpochHistory } from './epoch-history.js'
import { partitionNow } from './partition-now.js'
import { notShown, type ReadOutcome, type ReadTrouble, readTroubleOf } from './read-outcome.js'

const EPOCH_TIMEOUT_MS = 10_000
/** The first read of a position asks for this much, each one behind it for {@link GROWTH} times as much: many want few records. */
const FIRST_MAX_BYTES = 64 * 1024
const GROWTH = 4
/** More bytes than any Router allows in a read. */
const MOST_BYTES = 2 ** 30

export interface LogRead extends Pick<FetchData, 'offset' | 'maxWaitMs' | 'isWanted' | 'timeoutMs'> {
  /**
   * End of the log that the reader was told, which the leader may not show yet. Absent: the reader waits where there are no
   * records.
   */
  readonly told?: Offset | undefined
  /** The offset after the last record that is known. Default: the offset of the read. */
  readonly knownEnd?: () => Offset
  /** True: the offset was set beyond the end of the log, so no record before it is in the log of this leader. */
  readonly isBeyond?: boolean
  /**
   * True: the log is checked before the first read, too, because that may wait long at an end that was lost and has
   * grown again.
   */
  readonly checksFirst?: boolean
}

/** State of one topic of the name: its id, and how far it was read. */
interface KnownLog {
  topicId: string | undefined
  readonly history: EpochHistory
  /** The epoch of the leader whose log has all that was read; `undefined`: none was asked. */
  checkedIn: number | undefined
  /** How much the next read asks for. */
  maxBytes: number
  /** Offset of the last read that gave records; -1: none did. Reading the same records again does not count. */
  readAt: Offset
}

const knownFrom = (history: EpochHistory, checkedIn: number | undefined): KnownLog => ({
  topicId: undefined,
  history,
  checkedIn,
  maxBytes: FIRST_MAX_BYTES,
  readAt: -1
})

type OnOutcome = (outcome: ReadOutcome) => void

/**
 * The log of one partition, for one reader. Each read is answered once; several may be open. Position, pauses and attempts
 * are the reader's.
 *
 * A lost end of the log is detected (KIP-320): when an answer has a new leader epoch, the leader is asked where the epoch
 * of the last read record ends. Without epochs, a lost end is not detected.
 */
export class PartitionLog {
  readonly #ask: AskRouter
  readonly topicPartition: TopicPartition
  /** For example `orders/3`. */
  readonly name: string
  readonly #timeoutMs: number | undefined
  /**
   * The id of the topic to which positions belong; `undefined`: brokers have not reported it (yet). A reader that has got
   * `recreated` sets the new one.
   */
  topicId: string | undefined
  #known!: KnownLog

  /** @param timeoutMs of looking up a bound of the log; default: that of the Router */
  constructor(ask: AskRouter, topicPartition: TopicPartition, topicId?: string, timeoutMs?: number) {
    this.#ask = ask
    this.topicPartition = topicPartition
    this.name = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    this.topicId = topicId
    this.#timeoutMs = timeoutMs
    this.begin({})
  }

  /** Reads that follow continue at this position, not where former ones have ended. */
  begin({ leaderEpoch }: Pick<LogPosition, 'leaderEpoch'>): void {
    this.#known = knownFrom(new EpochHistory(leaderEpoch), leaderEpoch)
  }

  /** Reads that follow continue behind records of these epochs. */
  resume(history: EpochHistory): void {
    this.#known = knownFrom(history, undefined)
  }

  /** The epoch of the leader in whose log the record before the offset was; `undefined`: unknown. */
  epochBefore(offset: Offset): number | undefined {
    return this.#known.history.before(offset)
  }

  /** Whether a leader of this epoch may lack what was read: no leader of this or a later epoch was asked. */
  isNewLeader(leaderEpoch: number | undefined): boolean {
    return (leaderEpoch ?? -1) > (this.#known.checkedIn ?? Number.POSITIVE_INFINITY)
  }

  /** Looks up a bound of the log, or the first record at or after a time. */
  bound(offsetType: OffsetType, onFound: (found: LogPosition | ReadTrouble) => void): void {
    const asked = { topicPartition: this.topicPartition, offsetType, timeoutMs: this.#timeoutMs }
    this.#ask('fetchOffset', asked, result =>
      onFound(result.type === 'success' ? positionIn(result) : readTroubleOf(result))
    )
  }

  read(read: LogRead, onOutcome: OnOutcome): void {
    const known = this.#knownOfTopic()
    const isUnchecked = known.checkedIn === undefined && known.history.before(endOf(read)) !== undefined
    if (read.checksFirst && isUnchecked) this.#check(known, read, onOutcome, () => this.#fetch(known, read, onOutcome))
    else this.#fetch(known, read, onOutcome)
  }

  readOnce(read: LogRead): Promise<ReadOutcome> {
    return new Promise(resolve => this.read(read, resolve))
  }

  #knownOfTopic(): KnownLog {
    const { topicId } = this
    if (incarnationOfTopic(this.#known.topicId, topicId) !== 'same') this.begin({})
    this.#known.topicId = topicId
    return this.#known
  }

  #fetch(known: KnownLog, read: LogRead, onOutcome: OnOutcome): void {
    const { offset, maxWaitMs, isWanted, timeoutMs } = read
    const { topicPartition } = this
    const { topicId, maxBytes } = known
    const asked = { topicPartition, offset, topicId, maxWaitMs, isWanted, timeoutMs, maxBytes }
    this.#ask('fetchData', asked, result => {
      if (isSure(known, read, result)) this.#answer(known, read, result, onOutcome)
      else
        this.#check(known, read, onOutcome, leaderEpoch => {
          if (isOfFormer(result, leaderEpoch)) onOutcome(notShown(`${this.name} was read from a former leader`))
          else this.#answer(known, read, result, onOutcome)
        })
    })
  }

  #answer(known: KnownLog, read: LogRead, result: FetchDataResult, onOutcome: OnOutcome): void {
    switch (result.type) {
      case 'success':
        known.checkedIn = result.leaderEpoch
        known.history.read(result.batch.leaderEpochs ?? [])
        if (read.offset !== known.readAt) known.maxBytes = Math.min(GROWTH * known.maxBytes, MOST_BYTES)
        known.readAt = read.offset
        onOutcome({ type: 'records', batch: result.batch })
        break
      case 'noMessages':
        known.checkedIn = result.leaderEpoch
        if (result.leaderEpoch !== undefined && !read.isBeyond) known.history.begin(result.leaderEpoch)
        onOutcome(this.#nothingThere(read, result.nextOffset))
        break
      case 'corruptMessage':
        onOutcome({ type: 'skipped', next: result.nextOffset, why: 'damaged' })
        break
      case 'offsetOutOfRange':
        this.#outOfRange(known, read.offset, onOutcome)
        break
      default:
        onOutcome(readTroubleOf(result))
    }
  }

  /**
   * The log may end before the end that was told. After a change of leaders this is temporary, because the new leader
   * reports the former end when its followers have caught up. After a cut of the log it is permanent.
   */
  #nothingThere({ offset, told }: LogRead, next: Offset | undefined): ReadOutcome {
    if (told === undefined || offset >= told) return { type: 'end' }
    if (next !== undefined) return { type: 'skipped', next, why: 'empty' }
    return notShown(`${this.name} ends at offset ${offset} now, and ended at ${told} when reading began`)
  }

  /** Finds out why the offset is not in the log. The name may belong to another topic by now. */
  #outOfRange({ topicId }: KnownLog, offset: Offset, onOutcome: OnOutcome): void {
    const { topic } = this.topicPartition
    partitionNow({ ask: this.#ask }, this.topicPartition, topicId, (now, answer) => {
      if (answer.type !== 'success') onOutcome(readTroubleOf(answer))
      else if (now === 'gone' || now === 'unclear') onOutcome(notShown(`${this.name} does not exist`, 'unknownTopic'))
      else {
        const id = answer.topics.get(topic)?.topicId
        if (now === 'same') this.topicId ??= id
        this.bound('earliest', earliest => {
          if ('type' in earliest) onOutcome(earliest)
          else if (now === 'another') onOutcome({ type: 'recreated', earliest, topicId: id })
          else if (offset < earliest.offset) onOutcome({ type: 'skipped', next: earliest.offset, why: 'deleted' })
          else this.#compareWithEnd(offset, earliest, onOutcome)
        })
      }
    })
  }

  #compareWithEnd(offset: Offset, earliest: LogPosition, onOutcome: OnOutcome): void {
    this.bound('latest', end => {
      if ('type' in end) onOutcome(end)
      else if (offset > end.offset) onOutcome({ type: 'beyond', earliest, end })
      else onOutcome(notShown(`offset ${offset} of ${this.name} is missing`))
    })
  }

  /**
   * Asks the leader where the epoch of the last read record ends. Calls `onKept` when the log still has what was read, or
   * when the leader cannot tell, or the topic is another one, which the next read detects.
   *
   * @param onKept called with the newest epoch of a leader that was asked; `undefined`: it is not known
   */
  #check(known: KnownLog, read: LogRead, onOutcome: OnOutcome, onKept: (currentLeaderEpoch?: number) => void): void {
    const { topicPartition } = this
    const { history } = known
    const end = endOf(read)
    const leaderEpoch = history.before(end)
    if (leaderEpoch === undefined) {
      onKept()
      return
    }
    const kept = (currentLeaderEpoch: number): void => {
      // Meanwhile, the former leader may have answered another read with more records, before the new leader answered this one.
      if (endOf(read) > end) onOutcome(notShown(`more of ${this.name} was read meanwhile`))
      else {
        const newest = Math.max(currentLeaderEpoch, known.checkedIn ?? currentLeaderEpoch)
        known.checkedIn = currentLeaderEpoch
        onKept(newest)
      }
    }
    this.#ask('fetchEpochEnd', { topicPartition, leaderEpoch, timeoutMs: EPOCH_TIMEOUT_MS }, result => {
      if (result.type === 'notFound') kept(result.currentLeaderEpoch)
      else if (result.type === 'failed' && !result.retriable) onKept()
      else if (result.type !== 'success') onOutcome(readTroubleOf({ type: 'timedOut' }))
      else {
        const { currentLeaderEpoch } = result
        const at = history.partsAt(result)
        if (at >= end) kept(currentLeaderEpoch)
        else
          partitionNow({ ask: this.#ask }, topicPartition, known.topicId, now => {
            if (now === 'unclear') onOutcome(readTroubleOf({ type: 'timedOut' }))
            else if (now !== 'same') onKept()
            // Two reads ask where the epoch ends, the first one is answered, records are read behind the cut, then the second
            // one is answered.
            else if (history.before(end) !== leaderEpoch) onOutcome(notShown(`${this.name} was cut meanwhile`))
            else {
              history.cutAt(at)
              known.checkedIn = currentLeaderEpoch
              onOutcome({ type: 'cut', at, epochs: { leaderEpoch, currentLeaderEpoch } })
            }
          })
      }
    })
  }
}

/**
 * Whether an answer comes from a leader before the one that was asked. A read may wait at the former leader while its successor
 * answers another read; then the former leader answers with records that are lost. They could not be told from the successor's
 * records at the same offsets.
 */
const isOfFormer = (result: FetchDataResult, leaderEpoch = -1): boolean =>
  (result.type === 'success' || result.type === 'noMessages') && (result.leaderEpoch ?? leaderEpoch) < leaderEpoch

const endOf = ({ offset, knownEnd }: LogRead): Offset => knownEnd?.() ?? offset

/** Whether the answer comes from a leader whose log has all that was read, or tells nothing of the log. */
function isSure({ history, checkedIn }: KnownLog, read: LogRead, result: FetchDataResult): boolean {
  if (history.before(endOf(read)) === undefined) return true
  if (result.type === 'offsetOutOfRange') return false
  if (result.type !== 'success' && result.type !== 'noMessages') return true
  return result.leaderEpoch === undefined || result.leaderEpoch === checkedIn
}
