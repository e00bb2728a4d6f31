import type { AcquiredMessage, OffersByPartition, TopicOffers } from '../consumer/group/consume-result.js'
import { heldBytesOf } from '../consumer/group/held-batches.js'
import type { Parkable, Turn } from '../consumer/group/lanes.js'
import { MAX_METADATA_LENGTH } from '../consumer/group/offset-tracker.js'
import { ownRecordOf } from '../core/bytes.js'
import type { KafkaRecord, Offset, TopicPartition } from '../core/model.js'
import { webhookIdOf } from './record-request.js'
import type { OpenRecordView, WebhookPartition } from './webhook-status.js'

/** Records of a partition that are read and not done. */
export const MOST_OPEN = 2_000
/** With fewer open records, the acknowledgements between them fit into a commit however far apart they are. */
const ALWAYS_FIT = 500
const BITS_PER_CHARACTER = 5
const digitsOf = (value: number): number => Math.ceil(Math.log2(value + 1) / BITS_PER_CHARACTER)
const MOST_DIGITS = digitsOf(Number.MAX_SAFE_INTEGER)
/** The length is counted anew only when so many records have left: to count for each one would cost more than to send it. */
const LOOK_AFTER = 50

/**
 * Stage of an open record.
 *
 * - `parked`: in its lane; the group has not counted it as offered
 * - `reading`: it has its turn, and its record is read again
 * - `sending`: it was begun: an attempt, or its dead letter, is under way
 * - `pausing`: it has its turn, and the next attempt waits for its time
 */
type Stage = 'parked' | 'reading' | 'sending' | 'pausing'

/** The attempts at one record at this gateway. */
export interface Tries {
  attempts: number
  /** Attempts that count against the record. */
  counted: number
  /** Number of all deliveries at the end of the last attempt. */
  delivered: number
  /** When the next attempt may begin, by the clock, also where the record has been given again meanwhile. */
  notBefore: number
}

/** A record that is open: its newest offer, and the record itself while it is in memory. There are many, so they are small. */
export class OpenRecord implements Parkable {
  /** The lane, until it is parked; `undefined`: it waits for no other one. */
  lane: string | undefined
  readonly offers: TopicOffers
  readonly #of: OpenPartition
  readonly #topicId: string | undefined
  readonly offset: Offset
  readonly timestampMs: number
  /** Memory that the record takes. */
  readonly bytes: number
  /** The number of its newest offer. */
  serial: number
  record: KafkaRecord | undefined
  #stage: Stage = 'parked'
  turn: Turn<OpenRecord> | undefined
  timer: NodeJS.Timeout | undefined
  /** When the pause ends, by the clock. */
  dueAt: number | undefined
  /** `undefined`: there was none. */
  tries: Tries | undefined
  /** Set while the record is being given up, or settled by a person: nothing else happens to it before the result is known. */
  settling: Promise<unknown> | undefined
  /** The record is settled, or no longer belongs to this gateway. */
  isOver = false
  /** Counted among those in memory. */
  isHeld = false
  /** Called when it is over. */
  whenOver: Set<() => void> | undefined

  constructor(lane: string | undefined, message: AcquiredMessage, offers: TopicOffers, of: OpenPartition) {
    this.lane = lane
    this.offers = offers
    this.#of = of
    this.#topicId = message.topicId
    this.offset = message.offset
    this.timestampMs = message.timestampMs
    this.serial = message.serial
    this.bytes = heldBytesOf(message)
  }

  get topic(): string {
    return this.#of.topic
  }
  get partition(): number {
    return this.#of.partition
  }

  /** The `webhook-id`. */
  get id(): string {
    return webhookIdOf(this.#topicId ?? '', this.partition, this.offset)
  }

  get stage(): Stage {
    return this.#stage
  }
  get isPausing(): boolean {
    return this.#stage === 'pausing'
  }

  enter(stage: Stage): void {
    this.#of.parked += Number(stage === 'parked') - Number(this.#stage === 'parked')
    this.#stage = stage
  }

  /** Keeps the record itself: a copy, since a view would keep its batch. */
  keep(record: KafkaRecord): void {
    this.record = ownRecordOf(record)
  }

  /** The record as an argument of the calls of {@link TopicOffers}. */
  get asOffers(): OffersByPartition {
    return [[this.partition, [this]]]
  }
}

/** The open records of one partition. */
export class OpenPartition {
  readonly topic: string
  readonly partition: number
  readonly #records = new Map<Offset, OpenRecord>()
  /** Number of those in the stage `parked`. */
  parked = 0
  /** The lowest one. `undefined`: it is looked for when it is asked for. */
  #oldest: OpenRecord | undefined
  #highest = -1
  /** At least the length of a commit's metadata. */
  #longest = MOST_DIGITS
  /** Records that have left since `#longest` was computed. */
  #left = 0
  /** True from a refused record until one may be opened again. */
  isStalled = false

  constructor({ topic, partition }: TopicPartition) {
    this.topic = topic
    this.partition = partition
  }

  get size(): number {
    return this.#records.size
  }

  get(offset: Offset): OpenRecord | undefined {
    return this.#records.get(offset)
  }

  /** Takes the place of the record's former entry, whose attempt may be under way: the record was given again meanwhile. */
  add(open: OpenRecord): void {
    const { offset } = open
    if (!this.#records.has(offset))
      this.#longest += offset > this.#highest ? 1 + digitsOf(offset - this.#highest - 1) : 1 + MOST_DIGITS
    this.#highest = Math.max(this.#highest, offset)
    this.#records.set(offset, open)
    this.parked++
    if (this.#oldest !== undefined && offset <= this.#oldest.offset) this.#oldest = open
  }

  /** @returns false: the record was given again meanwhile */
  delete(open: OpenRecord): boolean {
    if (this.#records.get(open.offset) !== open) return false
    this.#left++
    if (open.stage === 'parked') this.parked--
    if (open === this.#oldest) this.#oldest = undefined
    return this.#records.delete(open.offset)
  }

  /** Whether one more may be open. If not, the partition is stalled until one may, which is noticed when 50 have left. */
  get mayOpen(): boolean {
    const { size } = this.#records
    if (size >= MOST_OPEN) return false
    if (size < ALWAYS_FIT || this.#longest < MAX_METADATA_LENGTH) return true
    if (this.#left < LOOK_AFTER) return false
    this.#longest = longestMetadata([...this.#records.keys()])
    this.#left = 0
    return this.#longest < MAX_METADATA_LENGTH
  }

  get oldest(): OpenRecord | undefined {
    if (this.#oldest !== undefined) return this.#oldest
    let oldest: OpenRecord | undefined
    for (const open of this.#records.values()) if (oldest === undefined || open.offset < oldest.offset) oldest = open
    this.#oldest = oldest
    return oldest
  }

  view(position: Offset, tellOf: (open: OpenRecord) => OpenRecordView): WebhookPartition {
    const { partition, size, parked, oldest, isStalled } = this
    return { partition, position, open: size, parked, oldest: oldest && tellOf(oldest), isStalled }
  }
}

/**
 * The length of a commit's metadata, at most, when all offsets but these are acknowledged, or some of these as well: each one may
 * begin a range, whose distance and length are written in base 32.
 */
function longestMetadata(open: readonly Offset[]): number {
  const sorted = [...open].sort((one, other) => one - other)
  let length = MOST_DIGITS
  for (let at = 1; at < sorted.length; at++) length += 1 + digitsOf(sorted[at]! - sorted[at - 1]! - 1)
  return length
}
