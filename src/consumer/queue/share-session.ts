import { randomUUID } from 'node:crypto'
import type { ActorRef } from '../../core/actor/actor.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { keyOf, type SharePartitionId } from '../../kafka/protocol/share.js'
import type { Failure, ResultOf, RouterMessage, SharePartitionAnswer } from '../../router/messages/operations.js'
import type { TimedOut } from '../../router/messages/request.js'
import { type AskedRequest, type AskRouter, asking } from '../partition/ask.js'
import type { AcknowledgeType, Acquired, OnSettled } from './queue-messages.js'
import { type AcknowledgeCall, SessionAcknowledgements } from './session-acknowledgements.js'
import { type Lock, ShareLocks } from './share-locks.js'

/** Kafka needs more than 5 s for an acknowledgement while the coordinator of its state moves. */
const CALL_TIMEOUT_MS = 10_000
/** Time after the wait of a fetch. Without an answer by then, the fetch is no longer counted as bringing messages. */
const LATE_MS = 1_000
/** Kafka closes connections without calls, and locks go with their connection. */
const KEEP_ALIVE_MS = 5_000
/** Pause before a call that the Router refused as overloaded is repeated. */
const OVERLOADED_PAUSE_MS = 100
/** A call with nothing to settle keeps the connection alive, or ends the session. */
const NOTHING: AcknowledgeCall = { isRenew: false, acknowledgements: [] }
const MAX_EPOCH = 0x7fff_ffff

type CallKind = 'shareFetch' | 'shareAcknowledge'
type SuccessOf<Kind extends CallKind> = ResultOf<Kind> & { readonly type: 'success' }

export interface FetchLimits {
  readonly maxRecords: number
  readonly maxBytes: number
  readonly maxWaitMs: number
}

/** Result of a fetch. */
export interface Fetched {
  readonly messages: readonly Acquired[]
  readonly errors: readonly SharePartitionAnswer[]
  /** The partitions that the session had when the fetch was sent. */
  readonly partitions: ReadonlyMap<string, SharePartitionId>
  readonly tookMs: number
  /** How long Kafka was to wait for messages. */
  readonly waitMs: number
  /** The fetch has acquired nothing, not even offsets without records. */
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
  readonly onLocksGone: (session: ShareSession, partition: SharePartitionId) => void
  /** Called when the session may fetch. */
  readonly onMayFetch: (session: ShareSession) => void
  /** Called every second while the answer to a fetch is late. */
  readonly onLate: (session: ShareSession) => void
  /** Called once, when the session was lost with all of its locks. Not called for a session that was closed. */
  readonly onLost: (session: ShareSession, why: Failure | TimedOut) => void
}

/**
 * A share session with one leader. Kafka holds the locks for the connection and the member id of the session, so a session
 * that has failed is never opened again: another one gets its place. This class owns the order of its calls, and the partitions
 * that Kafka knows of; {@link SessionAcknowledgements} owns what is sent in them.
 *
 *   one call at a time:   fetch (epoch 0, opens) -> acknowledge (1) -> fetch (2) -> … -> acknowledge (-1, ends)
 */
export class ShareSession {
  readonly nodeId: number
  /** Id of this session alone, so that a late call of a former session does not count for it. */
  readonly memberId = randomUUID()
  readonly #options: ShareSessionOptions
  readonly #ask: AskRouter
  #epoch = 0
  /** The partitions that the session shall have, and those that Kafka knows of. */
  readonly #partitions = new Map<string, SharePartitionId>()
  #known: ReadonlyMap<string, SharePartitionId> = new Map()
  #knownBefore = this.#known
  readonly #locks: ShareLocks
  readonly #acknowledgements: SessionAcknowledgements
  #isBusy = false
  #isOver = false
  #lastCall: CallKind | undefined
  #flush: NodeJS.Immediate | undefined
  /** While a fetch is in flight, runs until the fetch is late; otherwise until the connection needs a call. */
  #timer: NodeJS.Timeout | undefined
  #onClosed: (() => void) | undefined
  /** Whether the session has ever brought messages. */
  hasAcquired = false
  /** How many messages the fetch in flight may bring. */
  expected = 0
  /** Number of the last fetch among those of all sessions. */
  lastFetch = 0
  /** No fetch before, by the own clock. */
  pausedUntil = 0

  constructor(options: ShareSessionOptions) {
    this.nodeId = options.nodeId
    this.#options = options
    this.#ask = asking(options.router)
    this.#locks = new ShareLocks(options.now)
    this.#acknowledgements = new SessionAcknowledgements(this.#locks)
  }

  get partitions(): ReadonlyMap<string, SharePartitionId> {
    return this.#partitions
  }

  /** Whether a fetch may be sent now. Fetches and acknowledgements take turns while there are always some to be sent. */
  get mayFetch(): boolean {
    if (this.#isBusy || this.#isOver || this.#onClosed !== undefined || this.#partitions.size === 0) return false
    return this.#acknowledgements.isEmpty || this.#lastCall === 'shareAcknowledge'
  }

  addPartition(partition: SharePartitionId): void {
    this.#partitions.set(keyOf(partition), partition)
  }

  /** The partition has another leader, or is gone, and so are its locks. What is in flight is answered by Kafka. */
  removePartition(partition: SharePartitionId): void {
    this.#partitions.delete(keyOf(partition))
    this.#locks.forget(partition)
  }

  fetch({ maxRecords, maxBytes, maxWaitMs }: FetchLimits): void {
    const { now } = this.#options
    const partitions = new Map(this.#partitions)
    const added = [...partitions].filter(([key]) => !this.#known.has(key))
    const forgotten = [...this.#known].filter(([key]) => !partitions.has(key))
    this.#knownBefore = this.#known
    this.#known = partitions
    this.expected = maxRecords
    const sentAt = now()
    // When settlements wait to be sent, the call does not wait for messages.
    const waitMs = this.#acknowledgements.isEmpty ? maxWaitMs : 0
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
    this.#call('shareFetch', request, waitMs, fetched => {
      const { messages, isEmpty } = this.#acquired(fetched, sentAt + fetched.acquisitionLockMs)
      const errors = fetched.partitions.filter(({ errorCode }) => errorCode !== errorCodes.NONE)
      this.#options.onFetched(this, { messages, errors, partitions, tookMs: now() - sentAt, waitMs, isEmpty })
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

  /**
   * Settles one message. All settlements of one turn of the event loop are sent together, except renewals, which need a
   * call of their own.
   */
  settle(lock: Lock, type: AcknowledgeType, settled: OnSettled): void {
    if (this.#isOver || this.#onClosed !== undefined) settled({ outcome: 'lost' })
    else {
      this.#flush ??= setImmediate(() => this.#next())
      this.#acknowledgements.add(lock, type, settled)
    }
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
    if (isFetchDue) this.#options.onMayFetch(this)
    if (this.#isBusy || this.#isOver || this.#acknowledge()) return
    if (this.#onClosed !== undefined) this.#sendLast()
    else {
      if (!isFetchDue) this.#options.onMayFetch(this)
      if (!this.#isBusy && !this.#isOver && !this.#locks.isEmpty) this.#keepAliveLater()
    }
  }

  #keepAliveLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#locks.dropEnded(KEEP_ALIVE_MS)
      if (!this.#locks.isEmpty && !this.#isBusy) this.#sendAcknowledgements(NOTHING)
    }, KEEP_ALIVE_MS)
  }

  #call<Kind extends CallKind>(
    kind: Kind,
    request: Omit<AskedRequest<Kind>, 'nodeId' | 'groupId' | 'memberId' | 'epoch'>,
    waitMs: number,
    onSuccess: (result: SuccessOf<Kind>) => void,
    epoch = this.#epoch
  ): void {
    const { nodeId, memberId } = this
    clearTimeout(this.#timer)
    this.#isBusy = true
    this.#lastCall = kind
    if (epoch >= 0) this.#epoch = epochAfter(epoch)
    const call = { nodeId, groupId: this.#options.groupId, memberId, epoch, timeoutMs: waitMs + CALL_TIMEOUT_MS }
    this.#ask(kind, { ...call, ...request } as AskedRequest<Kind>, result => {
      if (this.#isOver) return
      clearTimeout(this.#timer)
      this.expected = 0
      if (result.type === 'failed' && result.code === 'overloaded' && epoch >= 0) this.#postpone(epoch)
      else {
        this.#isBusy = false
        if (result.type === 'success') onSuccess(result as SuccessOf<Kind>)
        else this.#end(result as Failure | TimedOut)
        this.#next()
      }
    })
  }

  /** Kafka has not seen the call. The session goes on as if the call had not been made. */
  #postpone(epoch: number): void {
    this.#epoch = epoch
    this.#known = this.#knownBefore
    this.#acknowledgements.putBack()
    this.#timer = setTimeout(() => {
      this.#isBusy = false
      this.#next()
    }, OVERLOADED_PAUSE_MS)
  }

  #acquired({ partitions }: SuccessOf<'shareFetch'>, endsAt: number): Pick<Fetched, 'messages' | 'isEmpty'> {
    const { log, topic, groupId } = this.#options
    const messages: Acquired[] = []
    let isEmpty = true
    for (const { topicId, partition, records, gaps, unreadable } of partitions) {
      if (records.length + gaps.length + unreadable.length === 0) continue
      isEmpty = false
      const place = { topicId, partition }
      const key = keyOf(place)
      // The partition was forgotten since the fetch was sent: these locks are gone with the leader.
      if (!this.#partitions.has(key)) continue
      for (const { record, deliveryCount } of records) {
        const lock = { topicId, partition, key, offset: record.offset, deliveryCount, session: this, endsAt }
        this.#locks.add(lock)
        messages.push({ lock, record })
      }
      for (const { first, last } of gaps) this.#acknowledgements.addGap(place, first, last)
      // A release would use up their deliveries at once. So Kafka offers them again when their locks end.
      for (const one of unreadable)
        log.warn(
          { topic, groupId: shortened(groupId), partition, ...one },
          `offsets ${one.first} to ${one.last} cannot be read, and stay locked until Kafka offers them again`
        )
    }
    if (messages.length > 0) this.hasAcquired = true
    this.#locks.dropEnded(KEEP_ALIVE_MS)
    return { messages, isEmpty }
  }

  /** @returns false: Kafka is to be told nothing */
  #acknowledge(): boolean {
    const call = this.#acknowledgements.take(this.#partitions)
    if (call !== undefined) this.#sendAcknowledgements(call)
    return call !== undefined
  }

  #sendAcknowledgements(call: AcknowledgeCall): void {
    const sentAt = this.#options.now()
    this.#knownBefore = this.#known
    this.#call('shareAcknowledge', call, 0, ({ partitions, acquisitionLockMs }) => {
      const gone = this.#acknowledgements.answered(partitions, sentAt + acquisitionLockMs)
      for (const partition of gone) this.#options.onLocksGone(this, partition)
    })
  }

  #sendLast(): void {
    if (this.#epoch === 0) this.#closed()
    else this.#call('shareAcknowledge', NOTHING, 0, () => this.#closed(), -1)
  }

  #closed(): void {
    this.#closeConnection()
    this.#onClosed?.()
  }

  /** The connection is closed, so that Kafka releases what the session still has. */
  #closeConnection(): void {
    const { router, groupId } = this.#options
    const { nodeId, memberId } = this
    this.#isOver = true
    this.expected = 0
    clearTimeout(this.#timer)
    clearImmediate(this.#flush)
    this.#locks.clear()
    router.tell({ type: 'closeShareConnection', nodeId, groupId, memberId })
  }

  /** Ends the session. Settlements that were not sent are lost with the locks; those in flight may have counted. */
  #end(why: Failure | TimedOut): void {
    if (this.#isOver) return
    this.#closeConnection()
    // A Router that stops gives one answer to acknowledgements that it has written and that it has not.
    const mayHaveReachedKafka = why.type === 'timedOut' || why.errorCode !== undefined || why.code === 'shuttingDown'
    this.#acknowledgements.sessionEnded(mayHaveReachedKafka)
    if (this.#onClosed !== undefined) this.#onClosed()
    else this.#options.onLost(this, why)
  }
}

/** 0 would open the session again. */
export const epochAfter = (epoch: number): number => (epoch === MAX_EPOCH ? 1 : epoch + 1)
