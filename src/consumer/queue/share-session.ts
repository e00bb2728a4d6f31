import { randomUUID } from 'node:crypto'
import type { ActorRef } from '../../core/actor/actor.js'
import { type Logger, type MonotonicClock, type Offset, topicPartitionKey } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import { codesOf, errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import {
  type AckType,
  acknowledgeTypes,
  type ShareAcknowledgements,
  type SharePartitionId
} from '../../kafka/protocol/share.js'
import type { Failure, ResultOf, RouterMessage, SharePartition } from '../../router/messages/operations.js'
import type { TimedOut } from '../../router/messages/request.js'
import { type AskedRequest, type AskRouter, asking } from '../partition/ask.js'
import type { Acquired, Settled, Word } from './queue-messages.js'

/** Kafka needs more than 5 s for an acknowledgement while the coordinator of its state moves. */
const CALL_TIMEOUT_MS = 10_000
/** A fetch without an answer counts no longer as one that may bring messages. */
const LATE_MS = 1_000
/** Kafka closes connections without calls, and locks go with their connection. */
const KEEP_ALIVE_MS = 5_000
/** Pause before a call is made again that the Router has not taken. */
const OVERLOADED_PAUSE_MS = 100
const MAX_EPOCH = 0x7fff_ffff
const { gap, renew } = acknowledgeTypes
/** One bad offset is enough for Kafka to refuse a whole list. */
const isRefusedAsList = codesOf('INVALID_RECORD_STATE', 'INVALID_REQUEST')
/** Another broker leads the partition, or it exists no more: its locks are gone. */
export const isGone = codesOf(
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_TOPIC_ID',
  'INCONSISTENT_TOPIC_ID',
  'FENCED_STATE_EPOCH'
)
const isUnclear = codesOf('UNKNOWN_SERVER_ERROR', 'REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION')
const LOST: Settled = { outcome: 'lost' }
const UNKNOWN: Settled = { outcome: 'unknown' }

/** Offsets of one partition, and what Kafka is told about them. */
interface Entry extends SharePartitionId {
  readonly first: Offset
  readonly last: Offset
  readonly type: AckType
  /** That of the acquisition that it is about; `undefined`: it was over, or the offsets have no records. */
  readonly lock: Lock | undefined
  settle(settled: Settled): void
}
/** Of one acquisition of one message. */
interface Lock {
  endsAt: number
}
type CallKind = 'shareFetch' | 'shareAcknowledge'
type Told<Kind extends CallKind> = ResultOf<Kind> & { readonly type: 'success' }

export interface FetchLimits {
  readonly maxRecords: number
  readonly maxBytes: number
  readonly maxWaitMs: number
}

/** What a fetch has brought. */
export interface Fetched {
  readonly messages: readonly Acquired[]
  readonly errors: readonly SharePartition[]
  /** The partitions that the session had when the fetch was sent. */
  readonly named: ReadonlyMap<string, SharePartitionId>
  readonly tookMs: number
  /** How long Kafka was to wait for messages. */
  readonly waitMs: number
  /** Nothing was acquired, not even offsets without records. */
  readonly isEmpty: boolean
}

export interface ShareSessionOptions {
  readonly nodeId: number
  readonly topic: string
  readonly groupId: string
  readonly router: ActorRef<RouterMessage>
  readonly now: MonotonicClock
  readonly log: Logger
  readonly onFetched: (session: ShareSession, fetched: Fetched) => void
  /** Called when an acknowledgement shows that the locks of a partition are gone. */
  readonly onGone: (session: ShareSession, partition: SharePartitionId) => void
  /** Called when the session may fetch. */
  readonly onFree: (session: ShareSession) => void
  /** Called every second while the answer to a fetch is late. */
  readonly onLate: (session: ShareSession) => void
  /** Called once, when the session was lost with all of its locks. Not called for a session that was closed. */
  readonly onOver: (session: ShareSession, why: Failure | TimedOut) => void
}

export const keyOf = ({ topicId, partition }: SharePartitionId): string => topicPartitionKey(topicId, partition)

/**
 * A share session with one leader. Kafka holds the locks for the connection and the member id of the session, so a session
 * that has failed is never opened again: another one gets its place.
 *
 *   one call at a time:   fetch (epoch 0, opens) -> acknowledge (1) -> fetch (2) -> … -> acknowledge (-1, ends)
 */
export class ShareSession {
  readonly nodeId: number
  /** Of this session alone: a late call of a former session must not count for it. */
  readonly memberId = randomUUID()
  readonly #options: ShareSessionOptions
  readonly #ask: AskRouter
  #epoch = 0
  /** The partitions that the session shall have, and those that Kafka knows of. */
  readonly #wanted = new Map<string, SharePartitionId>()
  #named: ReadonlyMap<string, SharePartitionId> = new Map()
  #namedBefore = this.#named
  /** By partition and offset: Kafka's locks. */
  readonly #locks = new Map<string, Map<Offset, Lock>>()
  /** When locks were last dropped that had ended. */
  #sweptAt: number
  /** What is to be told to Kafka; and parts of lists that Kafka has refused, each of one partition. */
  #queued: Entry[] = []
  #again: Entry[][] = []
  #inFlight: readonly Entry[] = []
  #isBusy = false
  #isOver = false
  #lastCall: CallKind | undefined
  #flush: NodeJS.Immediate | undefined
  /** While a fetch is in flight: until it is late. Else until the connection needs a call. */
  #timer: NodeJS.Timeout | undefined
  #onClosed: (() => void) | undefined
  /** Whether the session has ever brought messages. */
  hasAcquired = false
  /** How many messages the fetch in flight may bring. */
  expected = 0
  /** Number of the last fetch among those of all sessions. */
  turn = 0
  /** No fetch before, by the own clock. */
  pausedUntil = 0

  constructor(options: ShareSessionOptions) {
    this.nodeId = options.nodeId
    this.#options = options
    this.#ask = asking(options.router)
    this.#sweptAt = options.now()
  }

  get partitions(): ReadonlyMap<string, SharePartitionId> {
    return this.#wanted
  }

  /** Whether a fetch may be sent now. Fetches and acknowledgements take turns while there are always some to be sent. */
  get mayFetch(): boolean {
    if (this.#isBusy || this.#isOver || this.#onClosed !== undefined || this.#wanted.size === 0) return false
    return !this.#hasQueued || this.#lastCall === 'shareAcknowledge'
  }

  get #hasQueued(): boolean {
    return this.#queued.length > 0 || this.#again.length > 0
  }

  want(partition: SharePartitionId): void {
    this.#wanted.set(keyOf(partition), partition)
  }

  /** The partition has another leader, or is gone, and so are its locks. What is in flight is answered by Kafka. */
  forget(partition: SharePartitionId): void {
    const key = keyOf(partition)
    this.#wanted.delete(key)
    this.#locks.delete(key)
  }

  fetch({ maxRecords, maxBytes, maxWaitMs }: FetchLimits): void {
    const { now } = this.#options
    const named = new Map(this.#wanted)
    const added = [...named].filter(([key]) => !this.#named.has(key))
    const forgotten = [...this.#named].filter(([key]) => !named.has(key))
    this.#namedBefore = this.#named
    this.#named = named
    this.expected = maxRecords
    const sentAt = now()
    // What waits to be told to Kafka does not wait for messages.
    const waitMs = this.#hasQueued ? 0 : maxWaitMs
    const request = {
      maxWaitMs: waitMs,
      minBytes: 1,
      maxBytes,
      maxRecords,
      batchSize: maxRecords,
      added: added.map(([, partition]) => partition),
      forgotten: forgotten.map(([, partition]) => partition),
      acknowledgements: []
    }
    this.#call('shareFetch', request, waitMs, told => {
      const { messages, isEmpty } = this.#acquired(told, sentAt + told.acquisitionLockMs)
      const errors = told.partitions.filter(({ errorCode }) => errorCode !== errorCodes.NONE)
      this.#options.onFetched(this, { messages, errors, named, tookMs: now() - sentAt, waitMs, isEmpty })
    })
    this.#lateAfter(waitMs + LATE_MS)
  }

  #lateAfter(delayMs: number): void {
    if (!this.#isBusy) return
    this.#timer = setTimeout(() => {
      this.expected = 0
      this.#lateAfter(LATE_MS)
      this.#options.onLate(this)
    }, delayMs)
  }

  /** What is told in one turn of the event loop goes together. */
  settle(topicId: string, partition: number, offset: Offset, word: Word): Promise<Settled> {
    if (this.#isOver || this.#onClosed !== undefined) return Promise.resolve(LOST)
    return new Promise(settle => {
      const lock = this.#locks.get(keyOf({ topicId, partition }))?.get(offset)
      this.#queued.push({ topicId, partition, first: offset, last: offset, type: acknowledgeTypes[word], lock, settle })
      this.#flush ??= setImmediate(() => this.#next())
    })
  }

  /** Tells Kafka what is queued, and ends the session. Resolves when Kafka has answered, or when the session is lost. */
  close(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    return new Promise(resolve => {
      this.#onClosed = resolve
      this.#next()
    })
  }

  /** Ends the session at once, with its connection. */
  abandon(): void {
    this.#end({ type: 'timedOut', reason: 'the session was abandoned' })
  }

  /** Makes the next call, if none is in flight. */
  #next(): void {
    if (this.#isBusy || this.#isOver) return
    clearImmediate(this.#flush)
    this.#flush = undefined
    const isFetchDue = this.#lastCall === 'shareAcknowledge' && this.#onClosed === undefined
    if (isFetchDue) this.#options.onFree(this)
    if (this.#isBusy || this.#isOver || this.#acknowledge()) return
    if (this.#onClosed !== undefined) this.#sendLast()
    else {
      if (!isFetchDue) this.#options.onFree(this)
      if (!this.#isBusy && !this.#isOver && this.#locks.size > 0) this.#keepAliveLater()
    }
  }

  #keepAliveLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#dropEndedLocks()
      if (this.#locks.size > 0 && !this.#isBusy) this.#sendAcknowledgements([], false)
    }, KEEP_ALIVE_MS)
  }

  #dropEndedLocks(): void {
    const now = this.#options.now()
    if (now - this.#sweptAt < KEEP_ALIVE_MS) return
    this.#sweptAt = now
    for (const [key, locks] of this.#locks) {
      for (const [offset, { endsAt }] of locks) if (endsAt <= now) locks.delete(offset)
      if (locks.size === 0) this.#locks.delete(key)
    }
  }

  #call<Kind extends CallKind>(
    kind: Kind,
    request: Omit<AskedRequest<Kind>, 'nodeId' | 'groupId' | 'memberId' | 'epoch'>,
    waitMs: number,
    onTold: (told: Told<Kind>) => void,
    epoch = this.#epoch
  ): void {
    const { nodeId, memberId } = this
    clearTimeout(this.#timer)
    this.#isBusy = true
    this.#lastCall = kind
    if (epoch >= 0) this.#epoch = epoch === MAX_EPOCH ? 1 : epoch + 1
    const call = { nodeId, groupId: this.#options.groupId, memberId, epoch, timeoutMs: waitMs + CALL_TIMEOUT_MS }
    this.#ask(kind, { ...call, ...request } as AskedRequest<Kind>, result => {
      if (this.#isOver) return
      clearTimeout(this.#timer)
      this.expected = 0
      if (result.type === 'failed' && result.code === 'overloaded' && epoch >= 0) this.#postpone(epoch)
      else {
        this.#isBusy = false
        if (result.type === 'success') onTold(result as Told<Kind>)
        else this.#end(result as Failure | TimedOut)
        this.#next()
      }
    })
  }

  /** Kafka has not seen the call. The session goes on as if the call had not been made. */
  #postpone(epoch: number): void {
    this.#epoch = epoch
    this.#named = this.#namedBefore
    this.#queued.unshift(...this.#inFlight)
    this.#inFlight = []
    this.#timer = setTimeout(() => {
      this.#isBusy = false
      this.#next()
    }, OVERLOADED_PAUSE_MS)
  }

  #acquired({ partitions }: Told<'shareFetch'>, lockEndsAt: number): Pick<Fetched, 'messages' | 'isEmpty'> {
    const { log, topic, groupId } = this.#options
    const messages: Acquired[] = []
    let isEmpty = true
    for (const { topicId, partition, records, gaps, unreadable } of partitions) {
      if (records.length + gaps.length + unreadable.length === 0) continue
      isEmpty = false
      const place = { topicId, partition }
      // The partition was forgotten since the fetch was sent: these locks are gone with the leader.
      if (!this.#wanted.has(keyOf(place))) continue
      const locks = this.#locksOf(place)
      for (const { record, deliveryCount } of records) {
        locks.set(record.offset, { endsAt: lockEndsAt })
        messages.push({ topicId, partition, record, deliveryCount, lockEndsAt, session: this })
      }
      for (const { first, last } of gaps)
        this.#queued.push({ ...place, first, last, type: gap, lock: undefined, settle: () => undefined })
      // A release would use up their deliveries at once. So Kafka offers them again when their locks end.
      for (const one of unreadable)
        log.warn(
          { topic, groupId: shortened(groupId), partition, ...one },
          'messages cannot be read, and stay locked until Kafka offers them again'
        )
    }
    if (messages.length > 0) this.hasAcquired = true
    this.#dropEndedLocks()
    return { messages, isEmpty }
  }

  #locksOf(partition: SharePartitionId): Map<Offset, Lock> {
    const key = keyOf(partition)
    const known = this.#locks.get(key)
    if (known !== undefined) return known
    const locks = new Map<Offset, Lock>()
    this.#locks.set(key, locks)
    return locks
  }

  /** @returns false: there is nothing to be told to Kafka */
  #acknowledge(): boolean {
    const again = this.#again.shift()
    const entries = this.#valid(again ?? this.#takeQueued())
    if (entries.length > 0) this.#sendAcknowledgements(entries, entries[0]!.type === renew)
    else return this.#hasQueued && this.#acknowledge()
    return true
  }

  /** Renewals need a call of their own, and an offset may be in a call once. */
  #takeQueued(): Entry[] {
    const isRenew = this.#queued.every(({ type }) => type === renew)
    const taken = new Map<string, Entry>()
    const left: Entry[] = []
    for (const entry of this.#queued) {
      const place = `${keyOf(entry)}/${entry.first}`
      if ((entry.type === renew) !== isRenew || taken.has(place)) left.push(entry)
      else taken.set(place, entry)
    }
    this.#queued = left
    return [...taken.values()]
  }

  /**
   * Kafka would take a word whose lock is over, when the message is acquired anew: a word waits behind a fetch whose broker
   * stands still, the lock ends, the fetch acquires the message again, then the word would be sent.
   */
  #valid(entries: readonly Entry[]): Entry[] {
    const now = this.#options.now()
    return entries.filter(entry => {
      const isValid = entry.type === gap ? this.#wanted.has(keyOf(entry)) : this.#isLocked(entry, now)
      if (!isValid) entry.settle(LOST)
      return isValid
    })
  }

  #isLocked(entry: Entry, now: number): boolean {
    const { lock, first } = entry
    return lock !== undefined && lock.endsAt > now && this.#locks.get(keyOf(entry))?.get(first) === lock
  }

  /** An empty list keeps the connection. */
  #sendAcknowledgements(entries: readonly Entry[], isRenew: boolean): void {
    const byPartition = groupByPartition(entries)
    const acknowledgements = [...byPartition.values()].map(acknowledgementsOf)
    const sentAt = this.#options.now()
    this.#inFlight = entries
    this.#namedBefore = this.#named
    this.#call('shareAcknowledge', { isRenew, acknowledgements }, 0, ({ partitions, acquisitionLockMs }) => {
      this.#inFlight = []
      const told = new Map(partitions.map(one => [keyOf(one), one.errorCode]))
      for (const [key, ofPartition] of byPartition) {
        const errorCode = told.get(key) ?? errorCodes.UNKNOWN_SERVER_ERROR
        if (errorCode === errorCodes.NONE) for (const one of ofPartition) this.#done(one, sentAt + acquisitionLockMs)
        else this.#refused(ofPartition, errorCode)
      }
    })
  }

  /** Kafka gives this answer for any offset below the start of the group. So it counts only while the lock is valid. */
  #done(entry: Entry, renewedUntil: number): void {
    const isInTime = this.#isLocked(entry, this.#options.now())
    if (entry.type !== renew) this.#unlock(entry)
    else if (isInTime) entry.lock!.endsAt = renewedUntil
    if (!isInTime) entry.settle(UNKNOWN)
    else entry.settle(entry.type === renew ? { outcome: 'done', lockEndsAt: renewedUntil } : { outcome: 'done' })
  }

  #refused(entries: readonly Entry[], errorCode: number): void {
    if (isRefusedAsList.has(errorCode) && entries.length > 1) {
      const half = entries.length >> 1
      this.#again.push(entries.slice(0, half), entries.slice(half))
      return
    }
    const { message } = kafkaErrorOf(errorCode)
    const isLost = isRefusedAsList.has(errorCode) || isGone.has(errorCode)
    for (const entry of entries) {
      // A lock that is not renewed runs to its end, since renewing may be switched off.
      if (isLost && entry.type !== renew) this.#unlock(entry)
      if (isLost) entry.settle(LOST)
      else if (isUnclear.has(errorCode)) entry.settle(UNKNOWN)
      else entry.settle({ outcome: 'failed', code: errorCode, message })
    }
    const { topicId, partition } = entries[0]!
    if (isGone.has(errorCode)) this.#options.onGone(this, { topicId, partition })
  }

  #unlock(entry: Entry): void {
    const key = keyOf(entry)
    const locks = this.#locks.get(key)
    if (locks?.get(entry.first) === entry.lock) locks?.delete(entry.first)
    if (locks?.size === 0) this.#locks.delete(key)
  }

  #sendLast(): void {
    if (this.#epoch === 0) this.#closed()
    else this.#call('shareAcknowledge', { isRenew: false, acknowledgements: [] }, 0, () => this.#closed(), -1)
  }

  #closed(): void {
    this.#release()
    this.#onClosed?.()
  }

  /** The connection is closed, so that Kafka releases what the session still has. */
  #release(): void {
    const { router, groupId } = this.#options
    const { nodeId, memberId } = this
    this.#isOver = true
    this.expected = 0
    clearTimeout(this.#timer)
    clearImmediate(this.#flush)
    this.#locks.clear()
    router.tell({ type: 'closeShareConnection', nodeId, groupId, memberId })
  }

  /** What was not sent is lost with the locks. What was in flight may have counted. */
  #end(why: Failure | TimedOut): void {
    if (this.#isOver) return
    this.#release()
    const isWritten = why.type === 'timedOut' || why.errorCode !== undefined
    for (const entry of this.#inFlight) entry.settle(isWritten ? UNKNOWN : LOST)
    for (const entry of [...this.#again.flat(), ...this.#queued]) entry.settle(LOST)
    if (this.#onClosed !== undefined) this.#onClosed()
    else this.#options.onOver(this, why)
  }
}

function groupByPartition(entries: readonly Entry[]): Map<string, Entry[]> {
  const groups = new Map<string, Entry[]>()
  for (const entry of entries) {
    const key = keyOf(entry)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [entry])
    else group.push(entry)
  }
  return groups
}

/** In the order of offsets. Neighbours with the same word are one range. */
function acknowledgementsOf(entries: readonly Entry[]): ShareAcknowledgements {
  const { topicId, partition } = entries[0]!
  const ranges: { first: Offset; last: Offset; types: [AckType] }[] = []
  for (const { first, last, type } of entries.toSorted((one, other) => one.first - other.first)) {
    const before = ranges.at(-1)
    if (before?.last === first - 1 && before.types[0] === type) before.last = last
    else ranges.push({ first, last, types: [type] })
  }
  return { topicId, partition, ranges }
}
