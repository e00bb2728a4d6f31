import type { KafkaRecord } from '../../core/model.js'
import type { HeldRecords } from '../../core/record-budget.js'
import type { Due } from '../../router/requests/deadlines.js'
import type { AcknowledgeResult, AcknowledgeType, Acquired } from './queue-reader.js'
import type { TellResult } from './settled-tokens.js'
import type { Lock } from './share-locks.js'

/** A message is settled only while Kafka's lock has so long left, so that Kafka gets the acknowledgement before the lock ends. */
const SETTLE_MARGIN_MS = 500
/** A renewal with less of Kafka's lock left is late. Kafka needs more than 5 s for it while its coordinator moves. */
const RENEWAL_IS_LATE_MS = 5_000

/**
 * - `spare`: no client has it; the next one gets it
 * - `given`: a client has it
 * - `settling`: its acknowledgement is on the way to Kafka
 * - `delayed`: its client has released it, for later
 */
type HeldState = 'spare' | 'given' | 'settling' | 'delayed'

/** A message that Kafka has locked for this process. Its record is kept only until its client is answered. */
export class HeldMessage implements Due {
  readonly lock: Lock
  /** The key under which it is found. */
  readonly place: string
  readonly heldSince: number
  state: HeldState = 'spare'
  /** Number of its newest acquisition by a client. */
  acquisition = 0
  /** The token of that, while it counts, or while its acknowledgement is on the way to Kafka. `undefined`: there is none. */
  token: string | undefined
  /** The acknowledgement that is on the way, and who has sent it again. */
  inFlight: AcknowledgeType | undefined
  repeated: TellResult[] | undefined
  record: KafkaRecord | undefined
  /** The bytes of its record, as long as this process has it and its client was not answered. */
  bytes: HeldRecords
  client: string | undefined
  /** Lock that the client has asked for, in milliseconds; `undefined`: Kafka's, renewed only when the client asks. */
  lockMs: number | undefined
  /** How long Kafka's lock was when it began. */
  lockLengthMs = 0
  /** The message is released then, if Kafka's lock has not ended before. */
  wantedUntil = Number.POSITIVE_INFINITY
  /** Whether Kafka's lock is renewed until then. */
  renewsLock = false
  /** False: Kafka has refused to renew it. */
  canRenew = true
  renewAt = 0
  renewing: Promise<AcknowledgeResult> | undefined
  /** The latest end of being kept without a client. */
  keptUntil: number | undefined
  deadlineAt = 0
  next: Due | undefined
  previous: Due | undefined
  readonly #onDue: (held: HeldMessage) => void

  constructor({ lock, record }: Acquired, bytes: HeldRecords, now: number, onDue: (held: HeldMessage) => void) {
    this.lock = lock
    this.place = `${lock.key}/${lock.offset}`
    this.record = record
    this.bytes = bytes
    this.heldSince = now
    this.#onDue = onDue
    this.lockBegun(now)
  }

  onDue(): void {
    this.#onDue(this)
  }

  /** Kafka's lock has begun. */
  lockBegun(now: number): void {
    this.lockLengthMs = this.lock.endsAt - now
    this.renewAt = now + this.lockLengthMs / 2
  }

  get needsRenewal(): boolean {
    return this.renewsLock && this.canRenew && this.wantedUntil > this.lock.endsAt - SETTLE_MARGIN_MS
  }

  /** When there is something to do for it next. */
  get dueAt(): number {
    const renewAt = this.needsRenewal && this.renewing === undefined ? this.renewAt : Number.POSITIVE_INFINITY
    return Math.min(this.lock.endsAt, this.wantedUntil, renewAt)
  }

  /** Whether its token may settle it. */
  maySettle(now: number): boolean {
    return this.state === 'given' && now < this.wantedUntil && this.hasTimeToSettle(now)
  }

  /** Whether Kafka's lock lasts long enough. */
  hasTimeToSettle(now: number): boolean {
    return now <= this.lock.endsAt - SETTLE_MARGIN_MS
  }

  /**
   * Time until which the token can settle the message. If this needs a renewal of Kafka's lock, and the renewal is
   * late, this is at most the end of Kafka's lock.
   *
   * @param renews whether Kafka renews locks, as far as is known
   */
  tokenEndsAt(now: number, renews: boolean): number {
    const isRenewedInTime = renews && this.needsRenewal && now <= this.lock.endsAt - RENEWAL_IS_LATE_MS
    return isRenewedInTime ? this.wantedUntil : Math.min(this.wantedUntil, this.lock.endsAt - SETTLE_MARGIN_MS)
  }
}
