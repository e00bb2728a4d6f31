import { createHash } from 'node:crypto'
import type { Offset, TopicPartition } from '../../core/model.js'
import type { PartitionRoom, PartitionRooms } from './parking-rooms.js'

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

/** A message that was begun. It keeps its lane until {@link Lanes.leave}. */
export interface Turn<Item> {
  readonly item: Item
}

interface Entry<Item> extends Turn<Item> {
  readonly lane: Lane<Item>
  readonly room: PartitionRoom | undefined
  readonly bytes: number
  /** The item was begun before. */
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
 * take constant time per message.
 */
export class Lanes<Item extends Parkable> {
  readonly #laneOf: (item: Item) => string | undefined
  readonly #rooms: PartitionRooms<Item> | undefined
  readonly #lanes = new Map<string, Lane<Item>>()
  readonly #ready = new Set<Entry<Item>>()
  /** Number of those that were begun before. */
  #readyAgain = 0
  /** All parked messages, by the serial number of their offer. */
  readonly #parked = new Map<number, Entry<Item>>()

  /**
   * @param laneOf the name of the lane of a message; `undefined`: the message waits for no other one
   * @param rooms what the messages take. Absent: it is not counted
   */
  constructor(laneOf: (item: Item) => string | undefined, rooms?: PartitionRooms<Item>) {
    this.#laneOf = laneOf
    this.#rooms = rooms
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

  /**
   * Parks a message.
   *
   * @returns true: it waits behind another one of its lane
   */
  park(item: Item): boolean {
    const name = this.#laneOf(item)
    const known = name === undefined ? undefined : this.#lanes.get(name)
    const lane = known ?? { name, again: undefined, behind: undefined }
    if (name !== undefined) this.#lanes.set(name, lane)
    const entry = this.#entryOf(item, lane, false)
    if (known !== undefined) (lane.behind ??= new Set()).add(entry)
    else this.#ready.add(entry)
    return known !== undefined
  }

  /** Parks the message of this turn again. It is the next one of its lane. */
  parkAgain(turn: Turn<Item>, item: Item): void {
    const { lane } = turn as Entry<Item>
    lane.again = this.#entryOf(item, lane, true)
  }

  #entryOf(item: Item, lane: Lane<Item>, isAgain: boolean): Entry<Item> {
    const entry = { item, lane, room: this.#rooms?.of(item), bytes: this.#rooms?.bytesOf(item) ?? 0, isAgain }
    this.#parked.set(item.serial, entry)
    entry.room?.park(entry.bytes)
    return entry
  }

  /** Begins the message that has been ready for longest. `undefined`: none is ready. */
  next(): Turn<Item> | undefined {
    for (const entry of this.#ready) {
      this.#leaveReady(entry)
      this.#parked.delete(entry.item.serial)
      entry.room?.begin(entry.bytes)
      return entry
    }
    return undefined
  }

  /** The message of this turn is done with: the next one of its lane is ready. To be called once. */
  leave(turn: Turn<Item>): void {
    const { lane, room } = turn as Entry<Item>
    this.#goOn(lane)
    room?.leave()
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
    this.#parked.delete(serial)
    const { lane, room, bytes } = entry
    room?.drop(bytes)
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
}
