import { Line, type LinePlace } from '../../core/line.js'
import { addTo, getOrAdd } from '../../core/maps.js'
import type { KafkaRecord, TopicPartition } from '../../core/model.js'
import type { AcquiredMessage, ConsumedMessages, TopicOffers } from './consume-result.js'
import { copyFewOfMany } from './held-batches.js'
import type { Parkable } from './lanes.js'
import type { InTransaction } from './transaction-messages.js'

/**
 * A message that a loop has given out. Key, value and header values are views, which must be copied to be kept for longer
 * than the message is processed.
 */
export interface Message extends KafkaRecord, TopicPartition {
  readonly group: string
  /** How often this process offered the message before, without an acknowledgement in time. */
  readonly retries: number
  /**
   * Acknowledges the message as processed. A second call does nothing. It counts also after the message was released or
   * its loop has ended, until the message is offered again.
   */
  ack(): void
  /** Gives the message back, so that it is offered next. Does nothing after an acknowledgement, and at a second call. */
  release(): void
}

/** Messages of one topic that a loop has given out together, at least one; those of a partition in order. */
export interface Batch extends Iterable<Message> {
  readonly length: number
  readonly topic: string
  /** `undefined`: the messages are of several partitions. */
  readonly partition: number | undefined
  /** Calls the function for each message, in the order of the batch, and returns the results. */
  map<Item>(toItem: (message: Message, index: number) => Item): Item[]
  /** Acknowledges all messages. */
  ack(): void
  /** Gives back all messages that are not acknowledged, so that they are offered next, in order. */
  release(): void
}

/** The handler of a message, and the lane of the message in which others wait behind it. */
export interface MessageLane {
  /** Takes the message back to wait before later ones of its lane. @returns false, and nothing happens: it cannot */
  parkAgain(message: GivenMessage): boolean
  /** The message belongs to no open transaction any more. */
  leftTransaction(): void
}

/** With more messages than this, those are dropped that were settled by their offsets or offered again. */
const FEWEST_KEPT = 1_000

/** The messages that a loop has given out, and that are neither acknowledged nor released. */
export class GivenMessages {
  readonly #open = new Line<GivenMessage>()
  /** Batches that are neither acknowledged nor released, and of which no message was asked for. */
  readonly #whole = new Line<GivenBatch>()
  /** The number of messages given out since the settled ones were dropped. */
  #given = 0
  #maxKept = FEWEST_KEPT

  give(given: ConsumedMessages): GivenMessage[] {
    this.#note(given)
    return this.#openEach(given)
  }

  giveTogether(given: ConsumedMessages): GivenBatch {
    this.#note(given)
    return new GivenBatch(given, () => this.#openEach(given), this.#whole)
  }

  #openEach({ messages, offers }: ConsumedMessages): GivenMessage[] {
    return messages.map(message => {
      const given = new GivenMessage(message, offers!, this.#open)
      given.open()
      return given
    })
  }

  #note({ messages }: ConsumedMessages): void {
    this.#given += messages.length
    if (this.#given > this.#maxKept) this.#dropSettled()
  }

  /** A message that is parked: it is given out when it is begun. */
  parked(message: AcquiredMessage, offers: TopicOffers): GivenMessage {
    return new GivenMessage(message, offers, this.#open)
  }

  /**
   * Releases all messages but these together, so that those of a partition are offered next, in order.
   *
   * @param parked those that were not begun, which are given back with them
   */
  releaseAllBut(kept: ReadonlySet<GivenMessage>, parked: readonly GivenMessage[] = []): void {
    for (const batch of this.#whole.all) void batch.messages
    const released = this.#open.all.filter(message => !kept.has(message))
    for (const message of released) message.close()
    settle('releaseAll', [...parked, ...released])
  }

  #dropSettled(): void {
    let open = 0
    for (const one of [...this.#open.all, ...this.#whole.all]) {
      if (one.isOpen) open++
      else one.close()
    }
    this.#given = 0
    this.#maxKept = Math.max(FEWEST_KEPT, 2 * open)
  }
}

/** The methods are fields, so that a caller may take them out of the message. */
export class GivenMessage implements Message, InTransaction, Parkable {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  key: Buffer | null
  value: Buffer | null
  headers: KafkaRecord['headers']
  readonly group: string
  readonly retries: number
  readonly #acquired: AcquiredMessage
  readonly #offers: TopicOffers
  /** The messages of the loop that are neither acknowledged nor released. */
  readonly #open: Line<GivenMessage>
  #place: LinePlace<GivenMessage> | undefined
  /** Absent: no message waits behind this one. */
  #lane: MessageLane | undefined
  #isAcked = false
  #isReleased = false
  #isHeld = false
  #isInTransaction = false

  constructor(acquired: AcquiredMessage, offers: TopicOffers, open: Line<GivenMessage>) {
    this.topic = acquired.topic
    this.partition = acquired.partition
    this.offset = acquired.offset
    this.timestampMs = acquired.timestampMs
    this.key = acquired.key
    this.value = acquired.value
    this.headers = acquired.headers
    this.group = acquired.groupId
    this.retries = acquired.retries
    this.#acquired = acquired
    this.#offers = offers
    this.#open = open
  }

  readonly ack = (): void => {
    if (this.noteAcked()) this.#offers.ackAll([[this.partition, [this.#acquired]]])
  }

  readonly release = (): void => {
    if (!this.noteReleased()) return
    if (this.#lane === undefined) settle('releaseAll', [this])
    // At once, because otherwise a later message of the lane could be offered first.
    else if (!this.#lane.parkAgain(this)) settle('releaseNow', [this])
  }

  /** Enters a lane, in which later messages may wait behind this one. */
  joins(lane: MessageLane): void {
    this.#lane = lane
  }

  get serial(): number {
    return this.#acquired.serial
  }

  /**
   * Begins a parked message, which counts as given out from now on.
   *
   * @returns false: it is not parked any more
   */
  begin(): boolean {
    if (!this.#offers.begin(this.#acquired)) return false
    this.open()
    return true
  }

  /** From now on, it is neither acknowledged nor released. */
  open(): void {
    this.#place = this.#open.add(this)
  }

  /** @returns false: it was not open */
  close(): boolean {
    return this.#place?.leave() === true
  }

  /** Lets a message that waits keep no large batch in memory. */
  leaveBatch(): void {
    copyFewOfMany([this.#acquired])
    const { key, value, headers } = this.#acquired
    Object.assign(this, { key, value, headers })
  }

  /** True when the message was acknowledged, but not by a transaction: what that one did to it is known by the partition. */
  get isAcked(): boolean {
    return this.#isAcked && !this.#isHeld
  }

  /** @returns false: it was acknowledged before */
  noteAcked(): boolean {
    this.close()
    const isNew = !this.#isAcked
    this.#isAcked = true
    return isNew
  }

  /** Notes that the message belongs to a transaction: nothing else settles it, nor does its handler when it resolves. */
  noteHeld(): void {
    this.noteAcked()
    this.#isReleased = true
    this.#isHeld = true
    this.#isInTransaction = true
  }

  get isInTransaction(): boolean {
    return this.#isInTransaction
  }

  parkAgain(): void {
    this.#lane?.parkAgain(this)
  }

  leftTransaction(): void {
    this.#isInTransaction = false
    this.#lane?.leftTransaction()
  }

  /** @returns false: it was acknowledged or released before */
  noteReleased(): boolean {
    this.#isReleased = true
    return this.close()
  }

  get isReleased(): boolean {
    return this.#isReleased
  }

  /** True when both are offers of one message, and not of records that took each other's place in the log. */
  isOfSameMessage(other: GivenMessage): boolean {
    return this.#acquired.firstSerial === other.#acquired.firstSerial
  }

  /** True while the message is neither settled nor offered again. */
  get isOpen(): boolean {
    return this.#offers.isOpen(this.#acquired)
  }

  get place(): { readonly offers: TopicOffers; readonly record: AcquiredMessage } {
    return { offers: this.#offers, record: this.#acquired }
  }
}

/** A batch whose messages are made when one of them is asked for. Until then they are settled together. */
export class GivenBatch implements Batch {
  readonly #given: ConsumedMessages
  readonly #open: () => readonly GivenMessage[]
  readonly #place: LinePlace<GivenBatch>
  #messages: readonly GivenMessage[] | undefined
  #isAcked = false
  #isReleased = false

  /** @param open makes the messages, which are given out one by one from then on */
  constructor(given: ConsumedMessages, open: () => readonly GivenMessage[], whole: Line<GivenBatch>) {
    this.#given = given
    this.#open = open
    this.#place = whole.add(this)
  }

  get messages(): readonly GivenMessage[] {
    return (this.#messages ??= this.#make())
  }

  #make(): readonly GivenMessage[] {
    const isOpen = this.close()
    const messages = this.#open()
    for (const message of isOpen ? [] : messages) {
      message.close()
      if (this.#isAcked) message.noteAcked()
      if (this.#isReleased) message.noteReleased()
    }
    return messages
  }

  get length(): number {
    return this.#given.messages.length
  }

  get topic(): string {
    return this.#given.messages[0]!.topic
  }

  get partition(): number | undefined {
    const { messages } = this.#given
    const { partition } = messages[0]!
    return messages.every(message => message.partition === partition) ? partition : undefined
  }

  map<Item>(toItem: (message: Message, index: number) => Item): Item[] {
    return this.messages.map((message, at) => toItem(message, at))
  }

  [Symbol.iterator](): Iterator<Message> {
    return this.messages[Symbol.iterator]()
  }

  readonly ack = (): void => {
    if (this.#messages !== undefined) {
      const acked = this.#messages.filter(message => message.noteAcked())
      settle('ackAll', acked)
    } else if (!this.#isAcked) {
      this.#isAcked = true
      this.close()
      this.#given.ack()
    }
  }

  readonly release = (): void => {
    if (this.#messages !== undefined) {
      const released = this.#messages.filter(message => message.noteReleased())
      settle('releaseAll', released)
    } else {
      this.#isReleased = true
      if (this.close()) this.#given.release()
    }
  }

  /** True while one of its messages is neither settled nor offered again. */
  get isOpen(): boolean {
    const { messages, offers } = this.#given
    return messages.some(message => offers!.isOpen(message))
  }

  /** @returns false: it was not open */
  close(): boolean {
    return this.#place.leave()
  }
}

/** Settles the messages of each topic together. */
function settle(how: 'ackAll' | 'releaseAll' | 'releaseNow', messages: readonly GivenMessage[]): void {
  const byTopic = new Map<TopicOffers, Map<number, AcquiredMessage[]>>()
  for (const { place, partition } of messages) {
    const { offers, record } = place
    const ofTopic = getOrAdd(byTopic, offers, () => new Map())
    addTo(ofTopic, partition, record)
  }
  for (const [offers, taken] of byTopic) offers[how](taken)
}
