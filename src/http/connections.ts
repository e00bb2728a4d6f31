import type { Socket } from 'node:net'
import type { OverloadedError, QuotaExceededError } from '../errors.js'
import type { Cell } from '../metrics/family.js'
import type { MonotonicClock } from '../model.js'
import type { BodyBudget } from './body-budget.js'
import { type AddressLimits, ClientAddresses } from './client-addresses.js'
import { Connection, type ConnectionHost } from './connection.js'
import type { PaceLimits } from './pace.js'
import type { ReceivedRequest } from './received-request.js'

/** Bodies are looked at this often, or twice in their grace when that is shorter. */
const LOOK_INTERVAL_MS = 1_000

/** When no room is left for bodies, those that come more slowly than this make room for others first. */
const PRESSED_BYTES_PER_SECOND = 64 * 1024

/** A body makes room only for one that holds so many times less. */
const PRESSED_FACTOR = 4

/** Connections that were searched in vain are not searched again for so long, for those that ask for no more. */
const PRESSED_INTERVAL_MS = 10

export interface ConnectionLimits {
  readonly maxBodyBytes: number
  readonly maxBodyBytesPerConnection: number
  readonly maxRequestsPerConnection: number
  readonly perAddress: AddressLimits
  readonly pace: PaceLimits
}

/** All connections of all listeners, and what they hold together: the one place where room for a body is given. */
export class Connections implements ConnectionHost {
  readonly #limits: ConnectionLimits
  readonly #budget: BodyBudget
  readonly #gauge: Cell
  readonly #now: MonotonicClock
  readonly #addresses: ClientAddresses
  readonly #bySocket = new WeakMap<Socket, Connection>()
  readonly #open = new Set<Connection>()
  #timer: NodeJS.Timeout | undefined
  /** When the last search found no body that can make room, and how small it let them be. */
  #searchedInVainAt = Number.NEGATIVE_INFINITY
  #searchedInVainBytes = 0

  constructor(limits: ConnectionLimits, budget: BodyBudget, gauge: Cell, now: MonotonicClock) {
    this.#limits = limits
    this.#budget = budget
    this.#gauge = gauge
    this.#now = now
    this.#addresses = new ClientAddresses(limits.perAddress)
  }

  /** The connection of a socket; counted in the first time it is asked for, and out when the socket closes. */
  of(socket: Socket): Connection {
    return this.find(socket) ?? this.#add(socket)
  }

  find(socket: Socket): Connection | undefined {
    return this.#bySocket.get(socket)
  }

  /**
   * Counts a connection to its address while its handshake is under way: whoever is silent in one takes a place, too.
   *
   * @returns counts it out; further calls do nothing
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

  take(request: ReceivedRequest, sizeBytes: number): OverloadedError | undefined {
    const { address } = request.holder
    const refusal = this.#addresses.bodyRefusal(address, sizeBytes)
    if (refusal !== undefined) return refusal
    if (this.#budget.take(sizeBytes, request.heldBytes)) return undefined
    this.#makeRoom(request, sizeBytes)
    return this.#budget.take(sizeBytes, request.heldBytes) ? undefined : this.#budget.error
  }

  give(sizeBytes: number): void {
    this.#budget.give(sizeBytes)
  }

  /** The last request of a connection never waits for itself: only those before it can make room. */
  isFull(openRequests: number, heldBytes: number): boolean {
    if (openRequests <= 1) return false
    const { maxRequestsPerConnection, maxBodyBytesPerConnection } = this.#limits
    return openRequests > maxRequestsPerConnection || heldBytes >= maxBodyBytesPerConnection
  }

  /** Why the address of a request that has begun may not have one more. */
  requestRefusal({ holder }: ReceivedRequest): QuotaExceededError | undefined {
    return this.#addresses.requestRefusal(holder.address)
  }

  closed(connection: Connection): void {
    this.#open.delete(connection)
    this.#addresses.leave(connection.address)
    this.#gauge.value--
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #add(socket: Socket): Connection {
    const address = this.#addresses.enter(socket.remoteAddress)
    const connection = new Connection(socket, address, this)
    this.#bySocket.set(socket, connection)
    this.#open.add(connection)
    this.#gauge.value++
    this.#timer ??= this.#startLooking()
    if (this.#addresses.hasTooManyConnections(address)) socket.destroy()
    return connection
  }

  #startLooking(): NodeJS.Timeout {
    const intervalMs = Math.min(LOOK_INTERVAL_MS, Math.max(1, this.#limits.pace.graceMs / 2))
    return setInterval(() => this.#look(), intervalMs).unref()
  }

  #look(): void {
    const now = this.#now()
    for (const connection of this.#open) this.#lookAt(connection, now)
  }

  #lookAt(connection: Connection, now: number): void {
    const { receiving, pace, socket } = connection
    const isClientsTurn = connection.isReceiving && !connection.isPaused && receiving!.isRead
    const isTooSlow = pace.look(isClientsTurn ? receiving : undefined, socket.bytesRead, now, this.#limits.pace)
    if (isTooSlow) connection.endWith('408 Request Timeout')
    else if (connection.isReceiving && connection.discardedBytes > this.#limits.maxBodyBytes) socket.destroy()
  }

  /**
   * Refuses bodies that are still coming and hold more than the one that finds no room: slow ones first, then the
   * largest, until there is room. So a few large bodies cannot shut out the small ones of everybody else.
   */
  #makeRoom(forRequest: ReceivedRequest, sizeBytes: number): void {
    const now = this.#now()
    const leastBytes = PRESSED_FACTOR * (forRequest.heldBytes + sizeBytes)
    if (now - this.#searchedInVainAt < PRESSED_INTERVAL_MS && leastBytes >= this.#searchedInVainBytes) return
    const unfinished = [...this.#open].filter(
      ({ isReceiving, receiving }) => isReceiving && receiving !== forRequest && receiving!.heldBytes >= leastBytes
    )
    if (unfinished.length === 0) {
      this.#searchedInVainAt = now
      this.#searchedInVainBytes = leastBytes
    }
    for (const { receiving } of unfinished.sort(bySlownessAndSize)) {
      if (this.#budget.hasRoom(sizeBytes, forRequest.heldBytes)) return
      receiving!.refuse(this.#budget.error)
    }
  }
}

const bySlownessAndSize = (a: Connection, b: Connection): number =>
  Number(isSlow(b)) - Number(isSlow(a)) || b.receiving!.heldBytes - a.receiving!.heldBytes

const isSlow = ({ pace: { recentBytes } }: Connection): boolean =>
  recentBytes !== undefined && recentBytes < (PRESSED_BYTES_PER_SECOND * LOOK_INTERVAL_MS) / 1_000
