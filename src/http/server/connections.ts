import type { Socket } from 'node:net'
import type { OverloadedError, QuotaExceededError } from '../../core/errors.js'
import type { Cell } from '../../core/metrics/family.js'
import type { MonotonicClock } from '../../core/model.js'
import type { SilenceLimit } from '../exchange/silence.js'
import type { BodyBudget } from './body-budget.js'
import { type AddressesElsewhere, type AddressLimits, type AddressUse, ClientAddresses } from './client-addresses.js'
import { Connection, type ConnectionHost } from './connection.js'
import { RestingConnections } from './idle-connections.js'
import type { Pace, PaceLimits } from './pace.js'
import { LoopTicks } from './request-ticks.js'

/** Interval for checking the pace of bodies; half their grace when that is shorter. */
const LOOK_INTERVAL_MS = 1_000

/** Interval for checking silence, as a share of its limit. */
const SILENCE_PRECISION = 0.1

/** Of the room for bodies: while requests that wait to be admitted hold more, connections rest between their requests. */
const WAITING_SHARE = 1 / 8

/** Pace below which a body is refused first when there is no room for others. */
const PRESSED_BYTES_PER_SECOND = 64 * 1024

/** A body is refused only in favour of one that holds this many times less. */
const PRESSED_FACTOR = 4

/**
 * After a search that found nothing, requests for no more room than that one are not searched for again within this
 * time.
 */
const PRESSED_INTERVAL_MS = 10

export interface ConnectionLimits {
  readonly maxBodyBytes: number
  readonly maxBodyBytesPerConnection: number
  readonly maxBodiesInFlightBytes: number
  readonly maxRequestsPerConnection: number
  /** The longest rest of a connection between two requests. */
  readonly maxRestMs: number
  readonly perAddress: AddressLimits
  readonly pace: PaceLimits
}

/** What holds bytes of a body. */
export interface BodyHolder {
  readonly address: AddressUse
  /** Counted already. */
  readonly heldBytes: number
}

/** A body whose end has not come. */
export interface ReceivingBody extends BodyHolder {
  readonly isSlow: boolean
  /** Gives back all that it holds; nothing more of it is kept. */
  refuse(refusal: OverloadedError): void
}

/** All connections of all listeners, and what they hold together. Room for bodies is granted here only. */
export class Connections implements ConnectionHost {
  readonly turns = new LoopTicks()
  readonly #limits: ConnectionLimits
  readonly #budget: BodyBudget
  readonly #gauge: Cell
  readonly #now: MonotonicClock
  readonly #addresses: ClientAddresses
  readonly #bySocket = new WeakMap<Socket, Connection>()
  readonly #open = new Set<Connection>()
  /** Of calls that are no requests of HTTP/1.1. */
  readonly #otherBodies = new Set<ReceivingBody>()
  readonly #resting: RestingConnections
  /** Held by requests that wait to be admitted. */
  #waitingBytes = 0
  #mayRest = true
  #timer: NodeJS.Timeout | undefined
  #lookIntervalMs = LOOK_INTERVAL_MS
  /** When the last search found no body to refuse, and the size it was looking for. */
  #searchedInVainAt = Number.NEGATIVE_INFINITY
  #searchedInVainBytes = 0

  constructor(
    limits: ConnectionLimits,
    budget: BodyBudget,
    gauge: Cell,
    now: MonotonicClock,
    elsewhere?: AddressesElsewhere
  ) {
    this.#limits = limits
    this.#budget = budget
    this.#gauge = gauge
    this.#now = now
    this.#addresses = new ClientAddresses(limits.perAddress, elsewhere)
    this.#resting = new RestingConnections(limits.maxRestMs, () => this.#isCrowded, now)
  }

  /** The connection of a socket: counted when it is first asked for, until the socket closes. */
  of(socket: Socket): Connection {
    return this.find(socket) ?? this.#add(socket)
  }

  find(socket: Socket): Connection | undefined {
    return this.#bySocket.get(socket)
  }

  /**
   * Counts a connection towards its address during its handshake: a client that is silent there takes a place, too.
   *
   * @returns ends counting; further calls do nothing
   */
  arrive(socket: Socket): () => void {
    const address = this.#addresses.enter(socket.remoteAddress)
    let isCounted = true
    if (this.#addresses.hasTooManyConnections(address)) socket.destroy()
    return () => {
      if (isCounted) this.#addresses.leave(address)
      isCounted = false
    }
  }

  /**
   * Counts a connection of another protocol until it closes; one whose address has too many is destroyed. Connections of
   * HTTP are counted by {@link of}.
   */
  enter(socket: Socket): AddressUse {
    const address = this.#addresses.enter(socket.remoteAddress)
    socket.once('close', () => this.#addresses.leave(address))
    if (this.#addresses.hasTooManyConnections(address)) socket.destroy()
    return address
  }

  /** The body of a call of another protocol begins to come. */
  receives(body: ReceivingBody): void {
    this.#otherBodies.add(body)
  }

  /** Its end has come, or nothing more of it will. */
  hasReceived(body: ReceivingBody): void {
    this.#otherBodies.delete(body)
  }

  take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined {
    const { address, heldBytes } = holder
    const refusal = this.#addresses.bodyRefusal(address, sizeBytes)
    if (refusal !== undefined) return refusal
    if (this.#budget.take(sizeBytes, heldBytes)) return undefined
    this.#makeCapacity(holder, sizeBytes)
    return this.#budget.take(sizeBytes, heldBytes) ? undefined : this.#budget.error
  }

  give(sizeBytes: number): void {
    this.#budget.give(sizeBytes)
  }

  /** The last request of a connection never waits for itself: only the requests before it can make room. */
  isFull(openRequests: number, heldBytes: number): boolean {
    if (openRequests <= 1) return false
    const { maxRequestsPerConnection, maxBodyBytesPerConnection } = this.#limits
    return openRequests > maxRequestsPerConnection || heldBytes >= maxBodyBytesPerConnection
  }

  waits(sizeBytes: number): void {
    this.#waitingBytes += sizeBytes
    if (sizeBytes < 0) this.#resting.freed()
  }

  get #isCrowded(): boolean {
    return this.#waitingBytes > this.#limits.maxBodiesInFlightBytes * WAITING_SHARE
  }

  mayRest(connection: Connection): boolean {
    return this.#mayRest && this.#resting.add(connection)
  }

  /** From now on every connection is read all the time. @returns whether any was not */
  wakeAll(): boolean {
    this.#mayRest = false
    return this.#resting.wakeAll() > 0
  }

  /** The error when the address of a new request has too many already. */
  requestRefusal({ address }: Pick<BodyHolder, 'address'>): QuotaExceededError | undefined {
    return this.#addresses.requestRefusal(address)
  }

  closed(connection: Connection): void {
    this.#open.delete(connection)
    this.#resting.delete(connection)
    this.#addresses.leave(connection.address)
    this.#gauge.value--
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #add(socket: Socket): Connection {
    const address = this.#addresses.enter(socket.remoteAddress)
    const connection = new Connection(socket, address, this, this.#now())
    this.#bySocket.set(socket, connection)
    this.#open.add(connection)
    this.#gauge.value++
    this.#timer ??= this.#startLooking()
    if (this.#addresses.hasTooManyConnections(address)) socket.destroy()
    return connection
  }

  /** Checks connections often enough to notice silence soon after its limit. */
  limitSilence({ limitMs = Number.POSITIVE_INFINITY }: SilenceLimit): void {
    this.#lookIntervalMs = Math.min(this.#lookIntervalMs, Math.max(1, limitMs * SILENCE_PRECISION))
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = this.#startLooking()
  }

  #startLooking(): NodeJS.Timeout {
    const intervalMs = Math.min(this.#lookIntervalMs, Math.max(1, this.#limits.pace.graceMs / 2))
    return setInterval(() => this.#look(), intervalMs).unref()
  }

  #look(): void {
    const now = this.#now()
    for (const connection of this.#open) this.#lookAt(connection, now)
  }

  #lookAt(connection: Connection, now: number): void {
    connection.endIfSilent(now)
    const { receiving, pace, socket } = connection
    const isClientsTurn = connection.isReceiving && !connection.isPaused && receiving!.isRead
    const isTooSlow = pace.look(isClientsTurn ? receiving : undefined, socket.bytesRead, now, this.#limits.pace)
    if (isTooSlow) connection.endWith('408 Request Timeout')
    else if (connection.isReceiving && connection.discardedBytes > this.#limits.maxBodyBytes) socket.destroy()
  }

  /**
   * Refuses unfinished bodies that hold more than the one that finds no room, slow ones first, then the largest, until
   * there is room. So a few large bodies cannot keep out small ones.
   */
  #makeCapacity(holder: BodyHolder, sizeBytes: number): void {
    const now = this.#now()
    const leastBytes = PRESSED_FACTOR * (holder.heldBytes + sizeBytes)
    if (now - this.#searchedInVainAt < PRESSED_INTERVAL_MS && leastBytes >= this.#searchedInVainBytes) return
    const unfinished = [...this.#unfinished()].filter(({ heldBytes }) => heldBytes >= leastBytes)
    if (unfinished.length === 0) {
      this.#searchedInVainAt = now
      this.#searchedInVainBytes = leastBytes
    }
    for (const body of unfinished.sort(bySlownessAndSize)) {
      if (this.#budget.hasCapacity(sizeBytes, holder.heldBytes)) return
      body.refuse(this.#budget.error)
    }
  }

  *#unfinished(): Generator<ReceivingBody> {
    yield* this.#otherBodies
    for (const connection of this.#open) {
      const { receiving, pace } = connection
      if (!connection.isReceiving) continue
      const { address, heldBytes } = receiving!
      yield { address, heldBytes, isSlow: isSlow(pace), refuse: refusal => receiving!.refuse(refusal) }
    }
  }
}

const bySlownessAndSize = (a: ReceivingBody, b: ReceivingBody): number =>
  Number(b.isSlow) - Number(a.isSlow) || b.heldBytes - a.heldBytes

const isSlow = ({ recentBytes }: Pace): boolean =>
  recentBytes !== undefined && recentBytes < (PRESSED_BYTES_PER_SECOND * LOOK_INTERVAL_MS) / 1_000
