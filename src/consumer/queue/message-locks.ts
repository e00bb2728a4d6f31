import { memoryOfRecord } from '../../core/bytes.js'
import { noop } from '../../core/ending.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { KafkaRecord, Logger, MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { keyOf, type SharePartitionId } from '../../kafka/protocol/share.js'
import type { Deadlines } from '../../router/requests/deadlines.js'
import type { HeldCounts } from './held-counts.js'
import { HeldMessage } from './held-messages.js'
import type { AcknowledgeResult, AcknowledgeType, Acquired, OnSettled, QueueReader } from './queue-reader.js'
import type { QueueLimits, QueueSettings } from './queue-verbs.js'
import type { SettleResult, TellResult } from './settled-tokens.js'
import type { Lock } from './share-locks.js'

/** Pause before a lock is renewed again whose renewal was not answered. */
const RENEW_AGAIN_MS = 1_000

export const LOST: SettleResult = { outcome: 'lost' }
const DONE: SettleResult = { outcome: 'done' }
const UNKNOWN: SettleResult = { outcome: 'unknown' }
const NOT_RENEWED: SettleResult = {
  outcome: 'failed',
  code: errorCodes.INVALID_RECORD_STATE,
  reason: 'Kafka has not renewed the lock: it is over, or renewing is switched off for the group'
}

/** Why a message at its last delivery is archived, unless what was sent before has reached Kafka. */
type ArchivedBecause =
  | 'it was released'
  | 'settling it has failed'
  | 'its lock has ended'
  | 'its connection was lost'
  | 'no client has acquired it'
  | 'the queue was closed'

/** Why a message is released that has been in this state for its time. */
const RELEASED_BECAUSE = {
  spare: 'no client has acquired it',
  given: 'its lock has ended',
  delayed: 'it was released'
} as const satisfies Partial<Record<HeldMessage['state'], ArchivedBecause>>

export interface MessageLocksDeps {
  readonly now: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly deadlines: Deadlines
  readonly limits: QueueLimits
  readonly counts: HeldCounts
  readonly records: RecordBudget
  /** Whether messages are there for which waiting clients have no free memory. */
  readonly isShort: () => boolean
  nextAcquisition(): number
  /** Called when a message is archived at its last delivery, as far as is known. */
  archived?(): void
}

/**
 * The messages of one queue that Kafka has locked for this process. Kafka knows only one member, so here it is decided whose
 * acknowledgement of a message counts: that of the newest acquisition, while Kafka's lock has half a second left.
 *
 *   spare -> given -> settling -> settled
 *     ^        |  \-> delayed -> released
 *     '--------'      its client has gone
 */
export class MessageLocks {
  readonly #deps: MessageLocksDeps
  readonly #reader: Pick<QueueReader, 'settle' | 'wake'>
  readonly #onRemoved: () => void
  readonly #onDue = (held: HeldMessage): void => this.#review(held)
  /** Held messages by their place in the topic, the oldest first. */
  readonly #byPlace = new Map<string, HeldMessage>()
  /** Messages that clients have, by their newest tokens. */
  readonly #byToken = new Map<string, HeldMessage>()
  /** Messages that no client has and that may be given, in the order in which they are given. */
  readonly spare = new Set<HeldMessage>()
  #settings: QueueSettings | undefined
  #lastDeliveries = 0
  /** Messages that Kafka has archived at their last delivery, as far as is known. */
  archived = 0
  /** False: Kafka has refused the newest renewal, as where a group has them switched off. */
  #renews = true
  #isClosed = false

  /** @param onRemoved called when a message is held no more */
  constructor(deps: MessageLocksDeps, reader: Pick<QueueReader, 'settle' | 'wake'>, onRemoved: () => void) {
    this.#deps = deps
    this.#reader = reader
    this.#onRemoved = onRemoved
  }

  get size(): number {
    return this.#byPlace.size
  }

  /** `undefined`: Kafka does not show them. */
  get settings(): QueueSettings | undefined {
    return this.#settings
  }

  set settings(settings: QueueSettings | undefined) {
    const isSame = settings?.deliveryLimit === this.#settings?.deliveryLimit
    this.#settings = settings
    if (isSame) return
    this.#lastDeliveries = 0
    for (const held of this.#byPlace.values()) if (this.isLastDelivery(held.lock)) this.#lastDeliveries++
  }

  /** Messages that are held for the last time. */
  get lastDeliveries(): number {
    return this.#lastDeliveries
  }

  /** When this process got the message that it holds longest. `undefined`: it holds none. */
  get oldestSince(): number | undefined {
    for (const { heldSince } of this.#byPlace.values()) return heldSince
    return undefined
  }

  /** Whether the message is what is held at its place now. */
  holds(held: HeldMessage): boolean {
    return this.#byPlace.get(held.place) === held
  }

  /** Whether Kafka archives the message when it is released, or when its lock ends. `undefined`: Kafka does not tell. */
  isLastDelivery({ deliveryCount }: Pick<Lock, 'deliveryCount'>): boolean | undefined {
    const { deliveryLimit = Number.NaN } = this.settings ?? {}
    return Number.isNaN(deliveryLimit) ? undefined : deliveryCount >= deliveryLimit
  }

  /**
   * Kafka gives a message again only when its former lock is over, so a former token of it is lost. After {@link close}, the
   * message is released with its session: a fetch waits, the queue closes, then the fetch is answered.
   *
   * @returns the bytes of its record
   */
  add(acquired: Acquired): number {
    const sizeBytes = memoryOfRecord(acquired.record)
    if (this.#isClosed) {
      if (this.isLastDelivery(acquired.lock)) this.#tellArchived(acquired.lock, 'the queue was closed')
      return sizeBytes
    }
    const bytes = this.#deps.records.hold(sizeBytes)
    const held = new HeldMessage(acquired, bytes, this.#deps.now(), this.#onDue)
    const former = this.#byPlace.get(held.place)
    if (former !== undefined) this.#remove(former)
    this.#byPlace.set(held.place, held)
    if (this.isLastDelivery(held.lock)) this.#lastDeliveries++
    this.#deps.counts.add()
    this.#toSpare(held)
    return sizeBytes
  }

  /** The message is not given any more, unless its lock begins again. */
  passOver(held: HeldMessage): void {
    this.spare.delete(held)
  }

  /** Gives a spare message to a client. */
  give(held: HeldMessage, client: string, lockMs: number | undefined): void {
    this.spare.delete(held)
    this.#deps.counts.move(held, client)
    held.acquisition = this.#deps.nextAcquisition()
    held.lockMs = lockMs
    this.beginLock(held)
  }

  /** Begins the lock of its client. */
  beginLock(held: HeldMessage): void {
    const { lockMs } = held
    if (lockMs === undefined) this.#setState(held, 'given', Number.POSITIVE_INFINITY, false)
    else this.#setState(held, 'given', this.#deps.now() + lockMs)
  }

  /** A client gets the message with this token. */
  giveToken(held: HeldMessage, token: string): void {
    held.token = token
    this.#byToken.set(token, held)
  }

  /** Its token counts no more. */
  #forgetToken(held: HeldMessage): void {
    if (held.token === undefined) return
    this.#byToken.delete(held.token)
    held.token = undefined
  }

  /** The message whose newest token this is. */
  find(token: string): HeldMessage | undefined {
    return this.#byToken.get(token)
  }

  /** Time until which the newest token can settle the message, by the clock of this process. */
  tokenEndsAt(held: HeldMessage): number {
    return held.tokenEndsAt(this.#deps.now(), this.#renews)
  }

  /** Hands the record to the client, which counts its bytes from now on. */
  dropRecord(held: HeldMessage): void {
    held.record = undefined
    held.bytes.release()
  }

  /** The client has gone without the message: it is for the next one. @param record absent: it was not handed over */
  takeBack(held: HeldMessage, record?: KafkaRecord): void {
    if (held.state !== 'given' || !this.holds(held)) return
    if (record !== undefined) {
      held.record = record
      held.bytes.release()
      held.bytes = this.#deps.records.hold(memoryOfRecord(record))
    }
    this.#toSpare(held)
  }

  /** Never throws. @param held was found by its token */
  settle(held: HeldMessage, type: AcknowledgeType, delayMs: number, tell: TellResult): void {
    const now = this.#deps.now()
    if (held.state === 'settling' && held.inFlight === type) (held.repeated ??= []).push(tell)
    else if (!held.maySettle(now)) tell(LOST)
    else if (type === 'renew') void this.#renewForClient(held).then(tell)
    else if (type !== 'release' || delayMs === 0 || this.isLastDelivery(held.lock)) {
      held.state = 'settling'
      held.inFlight = type
      this.#deps.deadlines.remove(held)
      this.#send(held, type, settled => {
        const result = this.#settled(held, type, settled)
        tell(result)
        for (const again of held.repeated ?? []) again(result)
        held.repeated = undefined
      })
    } else {
      this.#forgetToken(held)
      this.#setState(held, 'delayed', now + delayMs)
      tell(DONE)
    }
  }

  /** The locks of a session, or of one partition of it, are gone or may be. Their tokens are lost. */
  lost(session: object, partition?: SharePartitionId): void {
    const before = this.size
    for (const held of this.#byPlace.values()) {
      // A message whose settlement is on its way to Kafka gets its result from the answer.
      if (held.lock.session !== session || held.state === 'settling') continue
      if (partition === undefined) this.#end(held, 'its connection was lost')
      else if (held.lock.key === keyOf(partition)) this.#moved(held)
    }
    const fields = { partition: partition?.partition, messages: before - this.size }
    if (fields.messages > 0) this.#deps.log.info(fields, 'messages are lost with their leader, and are offered again')
  }

  /** A leader that moves forgets its locks, and raises no count. The process may hear of it after the lock has ended. */
  #moved(held: HeldMessage): void {
    if (this.#deps.now() >= held.lock.endsAt) this.#end(held, 'its lock has ended')
    else this.#remove(held)
  }

  /** Releases what no client has, delayed releases included. */
  releaseUnclaimed(): void {
    for (const held of this.#byPlace.values()) {
      if (held.state === 'spare' || held.state === 'delayed') this.#release(held, RELEASED_BECAUSE[held.state])
    }
  }

  /** Releases all spare messages, which no client has. */
  releaseSpare(): void {
    for (const held of this.spare) this.#release(held, 'no client has acquired it')
  }

  /**
   * Forgets all messages, whose sessions are about to end. A message whose acknowledgement is on the way stays until
   * Kafka answers.
   */
  close(): void {
    this.#isClosed = true
    this.releaseUnclaimed()
    for (const held of this.#byPlace.values()) if (held.state !== 'settling') this.#end(held, 'the queue was closed')
  }

  /**
   * The message is for the next client, for half of its lock. A message at its last delivery is kept longer, because a
   * release would archive it. A lock that has almost ended runs to its end: a release might come after it.
   */
  #toSpare(held: HeldMessage): void {
    const { now, counts, limits } = this.#deps
    this.#forgetToken(held)
    held.bytes.takeBack()
    this.spare.add(held)
    if (this.isLastDelivery(held.lock)) this.#setState(held, 'spare', (held.keptUntil ??= now() + limits.maxLockMs))
    else {
      const releaseAt = held.hasTimeToSettle(now())
        ? held.lock.endsAt - held.lockLengthMs / 2
        : Number.POSITIVE_INFINITY
      this.#setState(held, 'spare', releaseAt, false)
    }
    counts.move(held, undefined)
  }

  #setState(held: HeldMessage, state: HeldMessage['state'], until: number, renewsLock = true): void {
    held.state = state
    held.wantedUntil = until
    held.renewsLock = renewsLock
    this.#review(held)
  }

  /** Does what is due for a message, and sets when it is looked at again. */
  #review(held: HeldMessage): void {
    const { now, deadlines } = this.#deps
    deadlines.remove(held)
    if (held.state === 'settling' || !this.holds(held)) return
    const at = now()
    if (at >= held.lock.endsAt) {
      this.#end(held, 'its lock has ended')
      this.#reader.wake()
    } else if (at >= held.wantedUntil && this.#isKeptOn(held, at)) {
      this.#setState(held, 'spare', Math.min(held.keptUntil!, at + held.lockLengthMs / 2))
    } else if (at >= held.wantedUntil) {
      this.#release(held, RELEASED_BECAUSE[held.state])
    } else {
      if (held.needsRenewal && held.renewing === undefined && at >= held.renewAt) void this.#renew(held)
      held.deadlineAt = held.dueAt
      deadlines.add(held)
    }
  }

  /**
   * Whether a spare message is kept because clients have no memory for it: each release would count as a delivery,
   * until Kafka archives the message. It is kept as long as a client may keep one.
   */
  #isKeptOn(held: HeldMessage, now: number): boolean {
    if (held.state !== 'spare' || !held.canRenew || !this.#deps.isShort()) return false
    held.keptUntil ??= now + this.#deps.limits.maxLockMs
    return now < held.keptUntil
  }

  /** Releases a message on behalf of no client. */
  #release(held: HeldMessage, because: ArchivedBecause): void {
    this.#end(held, because)
    this.#send(held, 'release')
  }

  #end(held: HeldMessage, because: ArchivedBecause): void {
    if (this.isLastDelivery(held.lock)) this.#tellArchived(held.lock, because)
    this.#remove(held)
  }

  #remove(held: HeldMessage): void {
    const { deadlines, counts } = this.#deps
    deadlines.remove(held)
    held.bytes.release()
    this.spare.delete(held)
    if (held.state !== 'settling') this.#forgetToken(held)
    this.#byPlace.delete(held.place)
    if (this.isLastDelivery(held.lock)) this.#lastDeliveries--
    counts.move(held, undefined)
    counts.remove()
    this.#onRemoved()
  }

  /** Kafka has answered an acknowledgement that ends the acquisition. */
  #settled(held: HeldMessage, type: AcknowledgeType, settled: AcknowledgeResult): SettleResult {
    if (settled.outcome === 'failed') {
      held.state = 'given'
      // An acknowledgement is on its way, the queue closes, then Kafka refuses it: the message is released with its session.
      if (!this.holds(held)) this.#forgetToken(held)
      else if (this.#isClosed) this.#end(held, 'the queue was closed')
      else this.#review(held)
      return { outcome: 'failed', code: settled.code, reason: settled.message }
    }
    this.#forgetToken(held)
    const { outcome } = settled
    if (this.holds(held)) {
      if (outcome === 'done' && type !== 'release') this.#remove(held)
      else this.#end(held, outcome === 'done' ? 'it was released' : 'settling it has failed')
    }
    if (outcome !== 'done') return outcome === 'unknown' ? UNKNOWN : LOST
    return type === 'release' && this.isLastDelivery(held.lock) ? { outcome, reason: 'archived' } : DONE
  }

  /**
   * For a client that has named its own lock, the gateway renews Kafka's lock by itself. Kafka is asked only for other clients.
   */
  async #renewForClient(held: HeldMessage): Promise<SettleResult> {
    if (held.lockMs !== undefined && held.canRenew) this.beginLock(held)
    else {
      const renewed = await this.#renew(held)
      if (renewed.outcome === 'failed') return { outcome: 'failed', code: renewed.code, reason: renewed.message }
      if (renewed.outcome === 'unknown') return UNKNOWN
      if (!this.holds(held)) return LOST
      if (renewed.outcome === 'lost') return NOT_RENEWED
    }
    return { outcome: 'done', lockEndsAt: this.tokenEndsAt(held) }
  }

  /** Renews Kafka's lock. A refusal ends only the renewing: the lock runs to its known end. */
  async #renew(held: HeldMessage): Promise<AcknowledgeResult> {
    held.renewing ??= new Promise(resolve => this.#send(held, 'renew', resolve))
    const renewed = await held.renewing
    held.renewing = undefined
    if (renewed.outcome === 'done' || renewed.outcome === 'lost') this.#renews = renewed.outcome === 'done'
    if (renewed.outcome === 'done') this.#lockBegun(held)
    else if (renewed.outcome === 'lost') held.canRenew = false
    else held.renewAt = this.#deps.now() + RENEW_AGAIN_MS
    if (this.holds(held)) this.#review(held)
    return renewed
  }

  #lockBegun(held: HeldMessage): void {
    held.lockBegun(this.#deps.now())
    if (held.state === 'spare' && this.holds(held)) this.spare.add(held)
  }

  #send(held: HeldMessage, type: AcknowledgeType, settled: OnSettled = noop): void {
    this.#reader.settle(held.lock, type, result => {
      if (type === 'release' && !this.#isClosed) this.#reader.wake()
      settled(result)
    })
  }

  #tellArchived({ partition, offset, deliveryCount }: Lock, because: ArchivedBecause): void {
    this.archived++
    this.#deps.archived?.()
    this.#deps.metrics.count('queues', 'archived_messages')
    const fields = { partition, offset, deliveryCount, because }
    this.#deps.log.warn(fields, 'a message at its last delivery is archived, as far as is known')
  }
}
