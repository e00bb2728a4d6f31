import { addCount } from '../../core/counts.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { KafkaRecord, Offset } from '../../core/model.js'
import type { Due } from '../../router/requests/deadlines.js'
import type { Acquired, Settled } from './queue-reader.js'
import type { QueueLimits } from './queue-verbs.js'

/** A message is settled only while Kafka's lock has so long left, so that Kafka gets the word before the lock ends. */
export const SETTLE_MARGIN_MS = 500

/**
 * - `spare`: no client has it; the next one gets it
 * - `given`: a client has it
 * - `settling`: its word is on the way to Kafka
 * - `delayed`: its client has released it, for later
 */
type State = 'spare' | 'given' | 'settling' | 'delayed'

/** A message that Kafka has locked for this process. Its record is kept only until its client is answered. */
export class HeldMessage implements Due {
  readonly topicId: string
  readonly partition: number
  readonly offset: Offset
  readonly deliveryCount: number
  readonly session: object
  readonly heldSince: number
  state: State = 'spare'
  /** Of its newest token. 0: it has none. */
  acquisition = 0
  record: KafkaRecord | undefined
  client: string | undefined
  /** What its client has asked for; `undefined`: Kafka's lock, not renewed. */
  lockMs: number | undefined
  /** When Kafka's lock ends, and how long it was when it began. */
  lockEndsAt: number
  lockLengthMs: number
  /** The message is released then, if Kafka's lock has not ended before. */
  wantedUntil = Number.POSITIVE_INFINITY
  /** Whether Kafka's lock is renewed until then. */
  isKept = false
  /** False: Kafka has refused to renew it. */
  canRenew = true
  renewAt: number
  renewing: Promise<Settled> | undefined
  /** The latest end of being kept without a client. */
  keptUntil: number | undefined
  deadlineAt = 0
  next: Due | undefined
  previous: Due | undefined
  readonly #onDue: (held: HeldMessage) => void

  constructor(acquired: Acquired, now: number, onDue: (held: HeldMessage) => void) {
    this.topicId = acquired.topicId
    this.partition = acquired.partition
    this.offset = acquired.record.offset
    this.deliveryCount = acquired.deliveryCount
    this.session = acquired.session
    this.record = acquired.record
    this.heldSince = now
    this.lockEndsAt = acquired.lockEndsAt
    this.lockLengthMs = acquired.lockEndsAt - now
    this.renewAt = now + this.lockLengthMs / 2
    this.#onDue = onDue
  }

  onDue(): void {
    this.#onDue(this)
  }

  /** Kafka's lock has begun anew. */
  locked(lockEndsAt: number, now: number): void {
    this.lockEndsAt = lockEndsAt
    this.lockLengthMs = lockEndsAt - now
    this.renewAt = now + this.lockLengthMs / 2
  }

  get needsRenewal(): boolean {
    return this.isKept && this.canRenew && this.wantedUntil > this.lockEndsAt - SETTLE_MARGIN_MS
  }

  /** When there is something to do for it next. */
  get dueAt(): number {
    const renewAt = this.needsRenewal && this.renewing === undefined ? this.renewAt : Number.POSITIVE_INFINITY
    return Math.min(this.lockEndsAt, this.wantedUntil, renewAt)
  }

  /** Whether its token may settle it. */
  counts(now: number): boolean {
    return this.state === 'given' && now < this.wantedUntil && this.canBeSettled(now)
  }

  /** Whether Kafka's lock lasts long enough. */
  canBeSettled(now: number): boolean {
    return now <= this.lockEndsAt - SETTLE_MARGIN_MS
  }

  /** How long its token can settle it, as far as is known. */
  leftMs(now: number): number {
    const endsAt = this.needsRenewal ? this.wantedUntil : Math.min(this.wantedUntil, this.lockEndsAt - SETTLE_MARGIN_MS)
    return Math.max(0, Math.floor(endsAt - now))
  }
}

/** The held messages of all queues of a process: how many there are, and of which clients. */
export class HeldCounts {
  readonly #limits: Pick<QueueLimits, 'maxHeld' | 'maxHeldPerClient'>
  readonly #all = new HeldAmount('messages of queues')
  readonly #byClient = new Map<string, number>()
  /** In how many queues a client waits. */
  readonly #queuesByClient = new Map<string, number>()
  #onEmpty: (() => void) | undefined

  constructor(limits: Pick<QueueLimits, 'maxHeld' | 'maxHeldPerClient'>) {
    this.#limits = limits
  }

  get size(): number {
    return this.#all.value
  }

  /** How many more the process may hold. */
  get room(): number {
    return Math.max(0, this.#limits.maxHeld - this.size)
  }

  roomOf(client: string): number {
    return Math.max(0, this.#limits.maxHeldPerClient - (this.#byClient.get(client) ?? 0))
  }

  add(): void {
    this.#all.add(1)
  }

  remove(): void {
    this.#all.release(1)
    if (this.size === 0) this.#onEmpty?.()
  }

  /** Resolves when no message is held. */
  emptied(): Promise<void> {
    if (this.size === 0) return Promise.resolve()
    return new Promise(resolve => (this.#onEmpty = resolve))
  }

  /** Counts a message for another client than before. `undefined`: for none. */
  move(held: HeldMessage, client: string | undefined): void {
    if (held.client !== undefined) addCount(this.#byClient, held.client, -1)
    if (client !== undefined) addCount(this.#byClient, client, 1)
    held.client = client
  }

  /** The client waits in a queue from now on. @returns to be called once, when it waits there no more */
  waits(client: string): () => void {
    addCount(this.#queuesByClient, client, 1)
    return () => addCount(this.#queuesByClient, client, -1)
  }

  /** How many messages one queue may acquire for the client, so that all queues in which it waits keep its limit together. */
  shareOf(client: string): number {
    const room = this.roomOf(client)
    return room === 0 ? 0 : Math.max(1, Math.floor(room / (this.#queuesByClient.get(client) ?? 1)))
  }
}
