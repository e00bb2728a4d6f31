import { HeldAmount } from '../../core/held-amount.js'
import { type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { defaultRecordBytes } from '../../core/record-budget.js'

const MOST_PARKED_BYTES = 64 * 1024 * 1024

/** Parked messages may keep half of what the records of a process may, and 64 MiB at most. */
const defaultParkedBytes = (): number => Math.min(MOST_PARKED_BYTES, defaultRecordBytes() / 2)

/** Limits the bytes that parked messages keep, those of all lanes of a process together. */
export class ParkedBytes {
  readonly maxBytes: number
  readonly #held = new HeldAmount('bytes of parked messages')
  /** Those that were refused for want of room, each until it is told. */
  readonly #waiting = new Set<() => void>()

  constructor(maxBytes = defaultParkedBytes()) {
    this.maxBytes = maxBytes
  }

  get value(): number {
    return this.#held.value
  }

  hasRoom(bytes: number): boolean {
    return this.#held.value + bytes <= this.maxBytes
  }

  add(bytes: number): void {
    this.#held.add(bytes)
  }

  /** Told together, when a quarter is free: so many of them cost little a message. */
  release(bytes: number): void {
    this.#held.release(bytes)
    if (this.#waiting.size === 0 || this.value > 0.75 * this.maxBytes) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const tell of waiting) tell()
  }

  /** @param tell called once, when there is room again */
  wait(tell: () => void): void {
    this.#waiting.add(tell)
  }

  leave(tell: () => void): void {
    this.#waiting.delete(tell)
  }
}

/** A message that waits in a lane: the record itself, or only its place. */
export interface Parkable extends TopicPartition {
  readonly offset: Offset
  /** Number of the offer that parked it, which no other one has. */
  readonly serial: number
}

export interface LanesOptions<Item extends Parkable> {
  /** The name of the lane of a message. `undefined`: the message waits for no other one. */
  readonly laneOf: (item: Item) => string | undefined
  /** The bytes that a parked message keeps. 0 for a user that keeps its place only, and reads the record again. */
  readonly bytesOf: (item: Item) => number
  /** Limit of the parked messages of a partition. */
  readonly maxParked: number
  readonly bytes: ParkedBytes
  /** Number of the partitions that share {@link bytes}. */
  readonly partitions: () => number
  /** Called when a message may be parked again of a partition of which {@link Lanes.mayPark} has refused one. */
  readonly onRoom: (partition: TopicPartition) => void
}

/** A message that was begun. It keeps its lane until {@link Lanes.leave}. */
export interface Turn<Item> {
  readonly item: Item
}

interface Entry<Item> extends Turn<Item> {
  readonly lane: Lane<Item>
  readonly bytes: number
}

interface Lane<Item> {
  /** `undefined`: no other message comes into it. */
  readonly name: string | undefined
  /** The message that was begun, and comes again before those behind it. */
  again: Entry<Item> | undefined
  /** Messages behind the one that is ready or begun, in order of arrival. */
  readonly behind: Set<Entry<Item>>
}

/** What the parked messages of a partition take. */
interface Share {
  messages: number
  bytes: number
  /** A message was refused since there was room last. */
  isFull: boolean
  /** Called when others have left room for bytes. */
  readonly onRoom: () => void
}

/**
 * Messages that a client has in hand and has not begun, in lanes. Of a lane, one message is begun at a time, and the next one
 * when the client says that the lane may go on. A lane begins with its first message, and ends when it is empty.
 *
 *                      parkAgain: before all others of its lane ◀─────┐
 *                                    ▼                                │
 *   park ─▶ behind another one of its lane ─▶ ready ─▶ next: begun ─▶ leave: the lane goes on
 *             │ takeAll, drop                   │ takeAll, drop
 *             ▼                                 ▼
 *           it is not parked any more: given back by its taker, or gone
 *
 * A partition has at most `maxParked` parked messages. Their bytes are limited by an equal share of {@link ParkedBytes} for
 * each partition, and one message of each partition may always be parked, so that no partition waits for another one.
 *
 * The user learns the lane of a message, and what it keeps of the record, from its own messages: this class knows neither
 * handlers nor transactions, and calls back only for room. All methods take constant time per message.
 */
export class Lanes<Item extends Parkable> {
  readonly #options: LanesOptions<Item>
  readonly #lanes = new Map<string, Lane<Item>>()
  readonly #ready = new Set<Entry<Item>>()
  /** All parked messages, by the serial number of their offer. */
  readonly #parked = new Map<number, Entry<Item>>()
  /** By topic and partition. */
  readonly #shares = new Map<string, Share>()

  constructor(options: LanesOptions<Item>) {
    this.#options = options
  }

  /** Number of messages that may begin. */
  get ready(): number {
    return this.#ready.size
  }

  /** Number of messages that wait: those that may begin included. */
  get parked(): number {
    return this.#parked.size
  }

  /** Number of lanes with a message that is ready, begun or behind. */
  get lanes(): number {
    return this.#lanes.size
  }

  /** Whether a message of this partition that keeps so many bytes may be parked. If not, `onRoom` follows. */
  mayPark({ topic, partition }: TopicPartition, bytes: number): boolean {
    const share = this.#shares.get(topicPartitionKey(topic, partition))
    if (share === undefined) return true
    const limit = this.#options.bytes.maxBytes / Math.max(1, this.#options.partitions())
    const ofOthers = !this.#options.bytes.hasRoom(bytes)
    share.isFull = ofOthers || share.messages >= this.#options.maxParked || share.bytes + bytes > limit
    if (ofOthers) this.#options.bytes.wait(share.onRoom)
    return !share.isFull
  }

  /**
   * Parks a message, which {@link mayPark} has allowed.
   *
   * @returns true: it waits behind another one of its lane
   */
  park(item: Item): boolean {
    const name = this.#options.laneOf(item)
    const known = name === undefined ? undefined : this.#lanes.get(name)
    const lane = known ?? { name, again: undefined, behind: new Set() }
    if (name !== undefined) this.#lanes.set(name, lane)
    const entry = this.#entryOf(item, lane)
    if (known !== undefined) lane.behind.add(entry)
    else this.#ready.add(entry)
    return known !== undefined
  }

  /** Parks the message of this turn anew, whatever {@link mayPark} says. It is the next one of its lane. */
  parkAgain(turn: Turn<Item>, item: Item): void {
    const { lane } = turn as Entry<Item>
    lane.again = this.#entryOf(item, lane)
  }

  #entryOf(item: Item, lane: Lane<Item>): Entry<Item> {
    const entry = { item, lane, bytes: this.#options.bytesOf(item) }
    this.#count(entry)
    return entry
  }

  /** Begins the message that has been ready for longest. `undefined`: none is ready. */
  next(): Turn<Item> | undefined {
    for (const entry of this.#ready) {
      this.#ready.delete(entry)
      this.#uncount(entry)
      return entry
    }
    return undefined
  }

  /** The message of this turn is done with: the next one of its lane is ready. To be called once. */
  leave(turn: Turn<Item>): void {
    this.#goOn((turn as Entry<Item>).lane)
  }

  /** Takes out all parked messages, in order of arrival. */
  takeAll(): Item[] {
    const all = [...this.#parked.values()]
    for (const { item } of all) this.drop(item.serial)
    return all.map(({ item }) => item)
  }

  /** Takes out the message that this offer parked, if it is parked still. */
  drop(serial: number): void {
    const entry = this.#parked.get(serial)
    if (entry === undefined) return
    this.#uncount(entry)
    const { lane } = entry
    if (this.#ready.delete(entry)) this.#goOn(lane)
    else if (lane.again === entry) lane.again = undefined
    else lane.behind.delete(entry)
  }

  #goOn(lane: Lane<Item>): void {
    const next = lane.again ?? lane.behind.values().next().value
    if (next === undefined) {
      if (lane.name !== undefined) this.#lanes.delete(lane.name)
      return
    }
    if (next === lane.again) lane.again = undefined
    else lane.behind.delete(next)
    this.#ready.add(next)
  }

  #count(entry: Entry<Item>): void {
    const { item, bytes } = entry
    this.#parked.set(item.serial, entry)
    this.#options.bytes.add(bytes)
    const name = topicPartitionKey(item.topic, item.partition)
    let share = this.#shares.get(name)
    if (share === undefined) this.#shares.set(name, (share = this.#shareOf(item)))
    share.messages++
    share.bytes += bytes
  }

  #shareOf({ topic, partition }: TopicPartition): Share {
    const onRoom = (): void => {
      if (!share.isFull) return
      share.isFull = false
      this.#options.onRoom({ topic, partition })
    }
    const share: Share = { messages: 0, bytes: 0, isFull: false, onRoom }
    return share
  }

  #uncount({ item, bytes }: Entry<Item>): void {
    this.#parked.delete(item.serial)
    const name = topicPartitionKey(item.topic, item.partition)
    const share = this.#shares.get(name)!
    share.messages--
    share.bytes -= bytes
    if (share.messages === 0) {
      this.#shares.delete(name)
      this.#options.bytes.leave(share.onRoom)
    }
    this.#options.bytes.release(bytes)
    share.onRoom()
  }
}
