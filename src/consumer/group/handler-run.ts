import { onAbort } from '../../core/ending.js'
import { InvalidRequestError } from '../../core/errors.js'
import { Line, type LinePlace } from '../../core/line.js'
import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { nextTick } from '../../core/portions.js'
import { checkCount, checkFunction, checkOptionNames } from '../../core/settings/call-options.js'
import type { AcquiredMessage, MessageLimits, TopicOffers } from './consume-result.js'
import type { GivenMessage, GivenMessages, Message, MessageLane } from './given-messages.js'
import { heldBytesOf } from './held-batches.js'
import { Lanes, laneOfKey, type Turn } from './lanes.js'
import type { LoopDemand, ParkingSink } from './loop-demand.js'
import { type ParkedBytes, ParkingLimits } from './parking-limits.js'

/** The messages that are handled one after another, in the order of their partition. `key` does not order those without a key. */
export type HandlingOrder = 'partition' | 'key' | 'none'

export interface RunOptions {
  /** How many messages are handled at the same time. Default: 1. */
  readonly concurrency?: number | undefined
  /** Default: `partition`. */
  readonly order?: HandlingOrder | undefined
}

export type Handler = (message: Message) => unknown

/** Limits of one request for messages. Its number of messages may be larger where they are handled quickly. */
const MOST_AT_ONCE: MessageLimits = { maxMessages: 32, maxBytes: 256 * 1024 }
/** Limit of the messages of one request where they are handled quickly. */
const MOST_QUICK = 256
/** As many messages are taken at once as are handled within this time: waiting costs less than offering them to another loop. */
const QUICK_MS = 5
/** After so many messages the event loop has a turn: the handlers may wait for nothing, and heartbeats must leave. */
const MOST_IN_A_TURN = 32

type LaneOf = ConstructorParameters<typeof Lanes<GivenMessage>>[0]

const laneNames: Readonly<Record<HandlingOrder, LaneOf>> = {
  partition: (_, limit) => limit,
  key: ({ topic, partition, key }) => (key === null ? undefined : laneOfKey(topicPartitionKey(topic, partition), key)),
  none: () => undefined
}

export interface HandlerRunOptions {
  readonly handler: Handler
  readonly how: RunOptions
  /** Ends the loop. */
  readonly end: AbortController
  readonly given: GivenMessages
  readonly demand: LoopDemand
  readonly parkedBytes: ParkedBytes
  /** Limit of the messages of a partition that wait in lanes or have begun. */
  readonly maxOpen: number
}

/** A message whose handler has begun. It keeps its lane until the handler has ended and no open transaction has it. */
class Flight implements MessageLane {
  readonly message: GivenMessage
  /** The newest offer of the message that this loop got: another one than `message` where that was offered again after its time. */
  newest: GivenMessage
  isHandled = false
  hasLeft = false
  /** Its handler runs. */
  isRunning = true
  readonly turn: Turn<GivenMessage>
  /** Among those that have not left. */
  place: LinePlace<Flight> | undefined
  readonly #run: HandlerRun

  constructor(turn: Turn<GivenMessage>, run: HandlerRun) {
    this.message = turn.item
    this.newest = turn.item
    this.turn = turn
    this.#run = run
    turn.item.joins(this)
  }

  parkAgain(message: GivenMessage): boolean {
    return !this.hasLeft && this.#run.parkAgain(message, this)
  }

  leftTransaction(): void {
    if (this.leaveIfDone()) this.#run.goOn()
  }

  /** @returns whether its lane goes on */
  leaveIfDone(): boolean {
    if (this.hasLeft || !this.isHandled || this.message.isInTransaction) return false
    this.hasLeft = true
    this.#run.left(this)
    return true
  }
}

/**
 * Handles the messages of a loop, several at a time, and those of a lane one after another: a lane is a partition, or a key in
 * a partition.
 *
 *   taken: parked in its lane ─▶ begun: its time runs ─▶ acknowledged, or released when the handler fails
 *
 * The next message of a lane begins when the handler of the one before has ended, and no open transaction has that one. A
 * message that is given back by its handler or by an aborted transaction is parked before those behind it: its handler may
 * take it into another transaction as long as it runs, and it comes again when that one has ended. The first failure ends the loop, which releases the failed message and those that are parked.
 */
export class HandlerRun implements ParkingSink {
  readonly #options: HandlerRunOptions
  readonly #concurrency: number
  readonly #order: HandlingOrder
  readonly #parkingLimits: ParkingLimits<GivenMessage>
  readonly #lanes: Lanes<GivenMessage>
  readonly #flights = new Line<Flight>()
  #running = 0
  /** Number of messages that may be taken at once, because as many were handled quickly before. */
  #quick = 1
  /** Number of messages that were handled since the last turn of the event loop that this run has waited for. */
  #handledInTurn = 0
  #turn: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined
  #wake: () => void = () => undefined
  /** The numbers of messages that have come to wait in their lanes: since the last look at them, and before it. */
  #newlyParked: number[] = []
  #parkedBefore: number[] = []
  #leaving: NodeJS.Timeout | undefined

  /** @throws InvalidRequestError when an option is wrong */
  constructor(options: HandlerRunOptions) {
    const { handler, how, demand, parkedBytes, maxOpen } = options
    checkOptionNames('run', how, ['concurrency', 'order'])
    const { concurrency = 1, order = 'partition' } = how
    checkFunction('run', handler)
    checkCount('run', 'concurrency', concurrency, 1)
    if (!Object.hasOwn(laneNames, order))
      throw new InvalidRequestError(`run: order is one of ${Object.keys(laneNames).join(', ')}`)
    this.#options = options
    this.#concurrency = concurrency
    this.#order = order
    this.#parkingLimits = new ParkingLimits<GivenMessage>({
      bytesOf: heldBytesOf,
      maxOpen,
      bytes: parkedBytes,
      owner: demand.groupId,
      partitions: () => demand.partitionCount,
      onFree: partition => demand.wants(partition)
    })
    this.#lanes = new Lanes(laneNames[order], this.#parkingLimits)
  }

  /**
   * Limits of the next request. If no message waits behind another one of its lane, they allow as many as can begin, or as many
   * as are handled within {@link QUICK_MS}: a request costs more than a quick handler.
   */
  get limits(): MessageLimits {
    const free = this.#concurrency - this.#running - this.#lanes.ready
    const mayWait = this.#order !== 'none' && this.#concurrency > 1
    const { maxMessages, maxBytes } = MOST_AT_ONCE
    const wanted = mayWait ? maxMessages : Math.min(free, maxMessages)
    return { maxMessages: Math.max(wanted, this.#quick), maxBytes }
  }

  /** The newest offers of messages whose handlers run. */
  get inFlight(): ReadonlySet<GivenMessage> {
    const running = this.#flights.all.filter(({ isRunning }) => isRunning)
    return new Set(running.map(({ newest }) => newest))
  }

  /**
   * Resolves when the loop has ended and no handler is in flight.
   *
   * @param taken gives something whenever messages were parked, and asks for more when the next is asked for
   * @throws the first error of a handler, or the one of the loop
   */
  async run(taken: AsyncIterable<unknown>): Promise<void> {
    const { end, demand } = this.#options
    const { signal } = end
    const leave = onAbort(signal, () => this.#wake())
    try {
      for await (const _ of taken) {
        const takenAt = demand.now
        this.#startReady()
        const hasWaited = this.#isBusy
        while (this.#isBusy && !signal.aborted) await this.#changed()
        // A round that has not waited for its handlers does not tell how long they take.
        if (!hasWaited && this.#running > 0) continue
        const tookMs = demand.now - takenAt
        const isQuick = tookMs < QUICK_MS
        this.#quick = isQuick ? Math.min(2 * this.#quick, MOST_QUICK) : Math.ceil((this.#quick * QUICK_MS) / tookMs)
      }
    } catch (error) {
      this.#failure ??= { error }
    }
    leave()
    while (this.#running > 0) await this.#changed()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  get #isBusy(): boolean {
    return this.#running + this.#lanes.ready >= this.#concurrency
  }

  /** Resolves when a handler has ended and another message may begin, and at the end of the loop. */
  #changed(): Promise<void> {
    return new Promise(resolve => (this.#wake = resolve))
  }

  mayPark(partition: TopicPartition, bytes: number): boolean {
    return this.#parkingLimits.mayPark(partition, bytes)
  }

  park(acquired: AcquiredMessage, offers: TopicOffers): void {
    const message = this.#options.given.parked(acquired, offers)
    const flight = message.retries > 0 ? this.#flightOf(message) : undefined
    if (flight === undefined) {
      if (this.#lanes.park(message)) this.#leaveBatchSoon(message)
    } else if (flight.message.isReleased) this.#parkFirst(message, flight)
    else this.#takeNewest(message, flight)
  }

  /** A message that waits for {@link QUICK_MS} keeps no large batch. Most of them are begun before their copies would have been worth it. */
  #leaveBatchSoon({ serial }: GivenMessage): void {
    this.#newlyParked.push(serial)
    this.#leaving ??= setTimeout(this.#leaveBatches, QUICK_MS)
  }

  readonly #leaveBatches = (): void => {
    const waiting = this.#parkedBefore
    this.#parkedBefore = this.#newlyParked
    this.#newlyParked = []
    this.#leaving = this.#parkedBefore.length === 0 ? undefined : setTimeout(this.#leaveBatches, QUICK_MS)
    for (const serial of waiting) this.#lanes.itemOf(serial)?.leaveBatch()
  }

  #parkFirst(message: GivenMessage, { turn }: Flight): void {
    this.#lanes.parkAgain(turn, message)
    message.leaveBatch()
  }

  parkedEnded(serial: number): void {
    this.#lanes.drop(serial)
  }

  /** Takes out the messages that have not begun, for the end of the loop. */
  takeParked(): readonly GivenMessage[] {
    return this.#lanes.takeAll()
  }

  #startReady(): void {
    for (let flight = this.#begin(); flight !== undefined; flight = this.#begin()) void this.#handle(flight)
  }

  /** The next message that may begin, as far as a further handler may run. */
  #begin(): Flight | undefined {
    while (this.#running < this.#concurrency && !this.#options.end.signal.aborted) {
      const turn = this.#lanes.next()
      if (turn === undefined) return undefined
      if (turn.item.begin()) {
        this.#options.demand.noteBegun()
        const flight = new Flight(turn, this)
        this.#running++
        flight.place = this.#flights.add(flight)
        return flight
      }
      this.#lanes.leave(turn)
    }
    return undefined
  }

  /** The flight of this message, which is offered again. */
  #flightOf(message: GivenMessage): Flight | undefined {
    return this.#flights.all.find(flight => message.isOfSameMessage(flight.message))
  }

  /** The message is offered again while its handler is in flight. */
  #takeNewest(message: GivenMessage, flight: Flight): void {
    message.begin()
    message.joins(flight)
    flight.newest.close()
    flight.newest = message
  }

  /** Handles a message and, as long as there is one that may begin when its handler ends, that one: so there is no promise for each. */
  async #handle(first: Flight): Promise<void> {
    const { handler, end } = this.#options
    for (let flight: Flight | undefined = first; flight !== undefined; flight = this.#begin()) {
      try {
        const handled = handler(flight.message)
        if (isThenable(handled)) await handled
        flight.isRunning = false
        if (flight.message.isReleased) flight.newest.release()
        else flight.newest.ack()
      } catch (error) {
        flight.isRunning = false
        this.#failure ??= { error }
        // The end releases the message with those that are parked. A loop that has ended before does not.
        if (end.signal.aborted) flight.newest.release()
        else end.abort()
      }
      if (++this.#handledInTurn >= MOST_IN_A_TURN) await this.#nextTurn()
      this.#running--
      flight.isHandled = true
      flight.leaveIfDone()
    }
    this.goOn()
  }

  #nextTurn(): Promise<void> {
    this.#turn ??= nextTick().then(() => {
      this.#handledInTurn = 0
      this.#turn = undefined
    })
    return this.#turn
  }

  goOn(): void {
    this.#startReady()
    if (this.#running === 0 || !this.#isBusy) this.#wake()
  }

  /** Parks a message of a flight before those behind it. @returns false: it has to be given back */
  parkAgain(message: GivenMessage, flight: Flight): boolean {
    if (this.#options.end.signal.aborted) return false
    const { offers, record } = message.place
    const offer = offers.parkAgain(record, this)
    if (offer === undefined) return false
    this.#parkFirst(this.#options.given.parked({ ...record, ...offer }, offers), flight)
    return true
  }

  /** The lane of a flight goes on. */
  left(flight: Flight): void {
    this.#lanes.leave(flight.turn)
    flight.place!.leave()
  }
}

const isThenable = (value: unknown): boolean =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
