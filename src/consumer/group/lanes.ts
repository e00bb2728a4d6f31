import { createHash } from 'node:crypto'
import { addCount } from '../../core/counts.js'
import { type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'
import { MIB } from '../../core/settings/units.js'

const MOST_PARKED_BYTES = 64 * MIB
/** So many partitions are told of room in one tick, so that many that wait cost little a message. */
const TOLD_A_TICK = 16

/** A longer key is known by its digest: V8 hashes very long texts by their length only, so a Map of them becomes a list. */
const LONGEST_NAME = 32

/** The name of the lane of a key of this partition. */
export function laneOfKey(partition: number | string, key: Buffer): string {
  const isLong = key.length > LONGEST_NAME
  return `${partition} ${isLong ? createHash('sha256').update(key).digest('base64') : key.toString('latin1')}`
}

interface Waiting {
  readonly owner: string
  readonly bytes: number
}

/**
 * Limits the bytes that parked messages keep, those of all lanes of a process together: half of what its records may, and 64 MiB
 * at most. An owner may have as many bytes as stay free, so about half of them.
 */
export class ParkedBytes {
  readonly maxBytes: number
  readonly #records: RecordBudget
  readonly #held: HeldRecords
  readonly #byOwner = new Map<string, number>()
  /** What was refused for want of room, by whom it is to be told. */
  readonly #waiting = new Map<() => void, Waiting>()

  constructor(records: RecordBudget) {
    this.maxBytes = Math.min(MOST_PARKED_BYTES, records.maxBytes / 2)
    this.#records = records
    this.#held = records.hold(0)
  }

  get value(): number {
    return this.#held.bytes
  }

  hasRoom(owner: string, bytes: number): boolean {
    const free = this.maxBytes - this.value
    const isFair = bytes <= free && (this.#byOwner.get(owner) ?? 0) <= free
    return isFair && !this.#records.isShort && bytes <= this.#records.freeBytes
  }

  add(owner: string, bytes: number): void {
    addCount(this.#byOwner, owner, bytes)
    this.#held.add(bytes)
  }

  release(owner: string, bytes: number): void {
    this.add(owner, -bytes)
  }

  /** @param tell called once, in a later tick, when there is room again */
  wait(owner: string, bytes: number, tell: () => void): void {
    this.#waiting.set(tell, { owner, bytes })
    this.#records.whenSpare(this.#tellSome)
  }

  leave(tell: () => void): void {
    this.#waiting.delete(tell)
  }

  /** Those that are told may have nothing to park any more, so others are told in the next tick if there is room still. */
  readonly #tellSome = (): void => {
    const told: (() => void)[] = []
    for (const [tell, { owner, bytes }] of this.#waiting) {
      if (this.hasRoom(owner, bytes)) told.push(tell)
      if (told.length === TOLD_A_TICK) break
    }
    for (const tell of told) {
      this.#waiting.delete(tell)
      tell()
    }
    if (this.#waiting.size === 0) return
    if (told.length > 0) setImmediate(this.#tellSome)
    else this.#records.whenSpare(this.#tellSome)
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
  /** Limit of the messages of a partition that are parked or begun. */
  readonly maxOpen: number
  readonly bytes: ParkedBytes
  /** Who shares {@link bytes} with others: the group. */
  readonly owner: string
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
  /** That of its partition, which stays as long as the message is parked or begun. */
  readonly share: Share
  readonly bytes: number
  /** It was begun before. */
  readonly isAgain: boolean
}

interface Lane<Item> {
  /** `undefined`: no other message comes into it. */
  readonly name: string | undefined
  /** The message that was begun, and comes again before those behind it. */
  again: Entry<Item> | undefined
  /** Messages behind the one that is ready or begun, in order of arrival. `undefined`: there was none. */
  behind: Set<Entry<Item>> | undefined
}

/** What the messages of a partition take. */
interface Share {
  parked: number
  /** Bytes of those that are parked. */
  bytes: number
  begun: number
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
 * A partition has at most `maxOpen` messages that are parked or begun. The bytes of those that are parked are limited by an equal
 * share for each partition of what its owner may have of {@link ParkedBytes}. One message of each partition may always be parked,
 * so that no partition waits for another one.
 *
 * The user learns the lane of a message, and what it keeps of the record, from its own messages: this class knows neither
 * handlers nor transactions, and calls back only for room. All methods take constant time per message.
 */
export class Lanes<Item extends Parkable> {
  readonly #options: LanesOptions<Item>
  readonly #lanes = new Map<string, Lane<Item>>()
  readonly #ready = new Set<Entry<Item>>()
  /** Number of those that were begun before. */
  #readyAgain = 0
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

  /** Number of messages that may begin for the first time. */
  get fresh(): number {
    return this.#ready.size - this.#readyAgain
  }

  /** Number of messages that wait: those that may begin included. */
  get parked(): number {
    return this.#parked.size
  }

  /** The message that this offer has parked; `undefined`: it is not parked, or begun. */
  itemOf(serial: number): Item | undefined {
    return this.#parked.get(serial)?.item
  }

  /** Number of lanes with a message that is ready, begun or behind. */
  get lanes(): number {
    return this.#lanes.size
  }

  /** Whether a message of this partition that keeps so many bytes may be parked. If not, `onRoom` follows. */
  mayPark({ topic, partition }: TopicPartition, bytes: number): boolean {
    const share = this.#shares.get(topicPartitionKey(topic, partition))
    if (share === undefined) return true
    const { maxOpen, bytes: all, owner, partitions } = this.#options
    const limit = all.maxBytes / 2 / Math.max(1, partitions())
    const ofOthers = share.parked > 0 && !all.hasRoom(owner, bytes)
    share.isFull =
      ofOthers || share.parked + share.begun >= maxOpen || (share.parked > 0 && share.bytes + bytes > limit)
    if (ofOthers) all.wait(owner, bytes, share.onRoom)
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
    const lane = known ?? { name, again: undefined, behind: undefined }
    if (name !== undefined) this.#lanes.set(name, lane)
    const entry = this.#entryOf(item, lane, false)
    if (known !== undefined) (lane.behind ??= new Set()).add(entry)
    else this.#ready.add(entry)
    return known !== undefined
  }

  /** Parks the message of this turn again, whatever {@link mayPark} says. It is the next one of its lane. */
  parkAgain(turn: Turn<Item>, item: Item): void {
    const { lane } = turn as Entry<Item>
    lane.again = this.#entryOf(item, lane, true)
  }

  #entryOf(item: Item, lane: Lane<Item>, isAgain: boolean): Entry<Item> {
    const entry = { item, lane, share: this.#shareOf(item), bytes: this.#options.bytesOf(item), isAgain }
    this.#count(entry)
    return entry
  }

  /** Begins the message that has been ready for longest. `undefined`: none is ready. */
  next(): Turn<Item> | undefined {
    for (const entry of this.#ready) {
      this.#leaveReady(entry)
      entry.share.begun++
      this.#uncount(entry)
      return entry
    }
    return undefined
  }

  /** The message of this turn is done with: the next one of its lane is ready. To be called once. */
  leave(turn: Turn<Item>): void {
    const { lane, item, share } = turn as Entry<Item>
    this.#goOn(lane)
    share.begun--
    this.#left(item, share)
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
    if (this.#leaveReady(entry)) this.#goOn(lane)
    else if (lane.again === entry) lane.again = undefined
    else lane.behind?.delete(entry)
  }

  #goOn(lane: Lane<Item>): void {
    const next = lane.again ?? lane.behind?.values().next().value
    if (next === undefined) {
      if (lane.name !== undefined) this.#lanes.delete(lane.name)
      return
    }
    if (next === lane.again) lane.again = undefined
    else lane.behind?.delete(next)
    this.#ready.add(next)
    if (next.isAgain) this.#readyAgain++
  }

  #leaveReady(entry: Entry<Item>): boolean {
    const wasReady = this.#ready.delete(entry)
    if (wasReady && entry.isAgain) this.#readyAgain--
    return wasReady
  }

  #count(entry: Entry<Item>): void {
    const { item, share, bytes } = entry
    this.#parked.set(item.serial, entry)
    this.#options.bytes.add(this.#options.owner, bytes)
    share.parked++
    share.bytes += bytes
  }

  #shareOf({ topic, partition }: TopicPartition): Share {
    const name = topicPartitionKey(topic, partition)
    const known = this.#shares.get(name)
    if (known !== undefined) return known
    const onRoom = (): void => {
      if (!share.isFull) return
      share.isFull = false
      this.#options.onRoom({ topic, partition })
    }
    const share: Share = { parked: 0, bytes: 0, begun: 0, isFull: false, onRoom }
    this.#shares.set(name, share)
    return share
  }

  #uncount({ item, share, bytes }: Entry<Item>): void {
    this.#parked.delete(item.serial)
    share.parked--
    share.bytes -= bytes
    if (share.parked === 0) this.#options.bytes.leave(share.onRoom)
    this.#options.bytes.release(this.#options.owner, bytes)
    this.#left(item, share)
  }

  #left({ topic, partition }: TopicPartition, share: Share): void {
    const open = share.parked + share.begun
    if (open === 0) this.#shares.delete(topicPartitionKey(topic, partition))
    if (open < this.#options.maxOpen) share.onRoom()
  }
}
