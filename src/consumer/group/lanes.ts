import { createHash } from 'node:crypto'
import { Line, LinePlace } from '../../core/line.js'
import type { Offset, TopicPartition } from '../../core/model.js'
import type { ParkingLimit, ParkingLimits } from './parking-limits.js'

/**
 * A longer key is known by its digest, so that names are short: V8 hashes very long texts by their length only, and a Map of them
 * becomes a list.
 */
const LONGEST_NAME = 32

/** The name of the lane of a key of this partition. */
export function laneOfKey(partition: number | string, key: Buffer): string {
  const isLong = key.length > LONGEST_NAME
  return `${partition} ${isLong ? createHash('sha256').update(key).digest('base64') : key.toString('latin1')}`
}

/** A message that waits in a lane: the record itself, or only its place. */
export interface Parkable extends TopicPartition {
  readonly offset: Offset
  /** Number of the offer that parked it, which no other one has. */
  readonly serial: number
}

/** A partition's limit names the lane of all its messages. */
type LaneName = string | ParkingLimit

/** A message that was begun. It keeps its lane until {@link Lanes.leave}. */
export interface Turn<Item> {
  readonly item: Item
}

/** A parked message. It is in the line of those that are ready, or in that of its lane; in none if it comes again and is not ready. */
class ParkedItem<Item> extends LinePlace<Item> implements Turn<Item> {
  declare readonly item: Item
  readonly lane: Lane<Item>
  readonly limit: ParkingLimit | undefined
  readonly bytes: number
  /** The item was begun before. */
  readonly isAgain: boolean
  isReady = false
  /** The next one of those whose serial numbers end alike. */
  next: ParkedItem<Item> | undefined

  constructor(item: Item, lane: Lane<Item>, limit: ParkingLimit | undefined, bytes: number, isAgain: boolean) {
    super(item)
    this.lane = lane
    this.limit = limit
    this.bytes = bytes
    this.isAgain = isAgain
  }
}

/** The parked ones, by the serial number of their offer. It is no Map, for the reason why a {@link Line} is no Set. */
class Entries<Item extends Parkable> {
  /** By the last bits of the number. */
  #lists: (ParkedItem<Item> | undefined)[] = [undefined]
  size = 0

  get(serial: number): ParkedItem<Item> | undefined {
    let entry = this.#lists[serial & (this.#lists.length - 1)]
    while (entry !== undefined && entry.item.serial !== serial) entry = entry.next
    return entry
  }

  add(entry: ParkedItem<Item>): void {
    if (++this.size > this.#lists.length) {
      const all = this.all
      this.#lists = Array.from({ length: 2 * this.#lists.length }, () => undefined)
      for (const one of all) this.#put(one)
    }
    this.#put(entry)
  }

  #put(entry: ParkedItem<Item>): void {
    const at = entry.item.serial & (this.#lists.length - 1)
    entry.next = this.#lists[at]
    this.#lists[at] = entry
  }

  delete(entry: ParkedItem<Item>): void {
    const at = entry.item.serial & (this.#lists.length - 1)
    const first = this.#lists[at]
    if (first === entry) this.#lists[at] = entry.next
    else {
      let before = first!
      while (before.next !== entry) before = before.next!
      before.next = entry.next
    }
    entry.next = undefined
    this.size--
  }

  /** In order of arrival: numbers rise. */
  get all(): ParkedItem<Item>[] {
    const all: ParkedItem<Item>[] = []
    for (let entry of this.#lists) for (; entry !== undefined; entry = entry.next) all.push(entry)
    return all.sort((one, other) => one.item.serial - other.item.serial)
  }
}

interface Lane<Item> {
  /** `undefined`: no other message comes into it. */
  readonly name: LaneName | undefined
  /** The message that was begun, and comes again before those behind it. */
  again: ParkedItem<Item> | undefined
  /** Messages behind the one that is ready or begun, in order of arrival. `undefined`: there was none. */
  behind: Line<Item> | undefined
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
 * The user learns the lane of a message from its own messages: this class knows neither handlers nor transactions. All methods
 * take constant time per message, except `takeAll`, which sorts them.
 */
export class Lanes<Item extends Parkable> {
  readonly #laneOf: (item: Item, limit: ParkingLimit | undefined) => LaneName | undefined
  readonly #limits: ParkingLimits<Item> | undefined
  readonly #lanes = new Map<LaneName, Lane<Item>>()
  readonly #inTurn = new Line<Item>()
  /** Number of messages that may begin. */
  ready = 0
  /** Number of those that were begun before. */
  #readyAgain = 0
  readonly #parked = new Entries<Item>()

  /**
   * @param laneOf the name of the lane of a message; `undefined`: the message waits for no other one
   * @param limits what the messages take. Absent: it is not counted
   */
  constructor(
    laneOf: (item: Item, limit: ParkingLimit | undefined) => LaneName | undefined,
    limits?: ParkingLimits<Item>
  ) {
    this.#laneOf = laneOf
    this.#limits = limits
  }

  /** Number of messages that may begin for the first time. */
  get fresh(): number {
    return this.ready - this.#readyAgain
  }

  /** Number of messages that wait: those that may begin included. */
  get parked(): number {
    return this.#parked.size
  }

  /** The message that this offer has parked; `undefined`: it is not parked, or begun. */
  itemOf(serial: number): Item | undefined {
    return this.#parked.get(serial)?.item
  }

  /**
   * Parks a message.
   *
   * @returns true: it waits behind another one of its lane
   */
  park(item: Item): boolean {
    const limit = this.#limits?.of(item)
    const name = this.#laneOf(item, limit)
    const known = name === undefined ? undefined : this.#lanes.get(name)
    const lane = known ?? { name, again: undefined, behind: undefined }
    const entry = this.#entryOf(item, lane, limit, false)
    if (known !== undefined) (known.behind ??= new Line()).put(entry)
    else {
      if (name !== undefined) this.#lanes.set(name, lane)
      this.#becomesReady(entry)
    }
    return known !== undefined
  }

  /** Parks the message of this turn again. It is the next one of its lane. */
  parkAgain(turn: Turn<Item>, item: Item): void {
    const { lane, limit } = turn as ParkedItem<Item>
    lane.again = this.#entryOf(item, lane, limit, true)
  }

  #entryOf(item: Item, lane: Lane<Item>, limit: ParkingLimit | undefined, isAgain: boolean): ParkedItem<Item> {
    const entry = new ParkedItem(item, lane, limit, this.#limits?.bytesOf(item) ?? 0, isAgain)
    this.#parked.add(entry)
    entry.limit?.park(entry.bytes)
    return entry
  }

  /** Begins the message that has been ready for longest. `undefined`: none is ready. */
  next(): Turn<Item> | undefined {
    const entry = this.#inTurn.firstPlace as ParkedItem<Item> | undefined
    if (entry === undefined) return undefined
    this.#leaveLine(entry)
    this.#parked.delete(entry)
    entry.limit?.begin(entry.bytes)
    return entry
  }

  /** The message of this turn is done with: the next one of its lane is ready. To be called once. */
  leave(turn: Turn<Item>): void {
    const { lane, limit } = turn as ParkedItem<Item>
    this.#goOn(lane)
    limit?.leave()
  }

  /** Takes out all parked messages, in order of arrival. */
  takeAll(): Item[] {
    const { all } = this.#parked
    for (const { item } of all) this.drop(item.serial)
    return all.map(({ item }) => item)
  }

  /** Takes out the message that this offer parked, if it is parked still. */
  drop(serial: number): void {
    const entry = this.#parked.get(serial)
    if (entry === undefined) return
    this.#parked.delete(entry)
    const { lane, limit, bytes } = entry
    limit?.drop(bytes)
    if (lane.again === entry) lane.again = undefined
    if (this.#leaveLine(entry)) this.#goOn(lane)
  }

  #goOn(lane: Lane<Item>): void {
    const next = lane.again ?? (lane.behind?.firstPlace as ParkedItem<Item> | undefined)
    lane.again = undefined
    if (next !== undefined) this.#becomesReady(next)
    else if (lane.name !== undefined) this.#lanes.delete(lane.name)
  }

  #becomesReady(entry: ParkedItem<Item>): void {
    entry.leave()
    this.#inTurn.put(entry)
    entry.isReady = true
    this.ready++
    if (entry.isAgain) this.#readyAgain++
  }

  /** @returns whether it was ready */
  #leaveLine(entry: ParkedItem<Item>): boolean {
    entry.leave()
    if (!entry.isReady) return false
    entry.isReady = false
    this.ready--
    if (entry.isAgain) this.#readyAgain--
    return true
  }
}
