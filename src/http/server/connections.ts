import type { Socket } from 'node:net'
import type { OverloadedError, QuotaExceededError } from '../../core/errors.js'
import type { Cell } from '../../core/metrics/family.js'
import type { MonotonicClock } from '../../core/model.js'
import type { UpgradeOwner } from '../exchange/other-protocols.js'
import type { SilenceLimit } from '../exchange/silence-limit.js'
import { type AddressLimits, type AddressUse, type BodyBudget, ClientAddresses } from './client-addresses.js'
import { Connection, type ConnectionHost, type ConnectionLimits } from './connection.js'
import type { RequestReader } from './connection-end.js'
import { RestingConnections } from './idle-connections.js'
import type { Pace, PaceLimits } from './pace.js'
import { SEARCH_INTERVAL_MS, UnreadAnswers } from './unread-answers.js'

/** Systems tell of space for answers in large steps: a client at 100 kB/s is seen to take something every 10 s. */
const UNREAD_GRACES = 6
/** Interval for checking the pace of bodies; half their grace when that is shorter. */
const LOOK_INTERVAL_MS = 1_000

/** Interval between checks for silent connections, as a fraction of the time limit for silence. */
const SILENCE_PRECISION = 0.1

/**
 * While waiting requests hold more than this share of the memory for bodies, connections rest: they are not read between two
 * of their requests.
 */
const WAITING_SHARE = 1 / 8

/** When memory for bodies is short, bodies that arrive below this pace are refused first. */
const PRESSED_BYTES_PER_SECOND = 64 * 1024

/** A body is refused only in favour of a body that holds this many times fewer bytes. */
const PRESSED_FACTOR = 4

export interface ConnectionsLimits extends ConnectionLimits {
  readonly maxBodiesInFlightBytes: number
  /** How long a connection may stay unread between two of its requests. */
  readonly maxRestMs: number
  readonly perAddress: AddressLimits
  readonly pace: PaceLimits
}

export interface ConnectionsGauges {
  readonly connections: Cell
  /** Bytes that wait for clients to read. */
  readonly unreadBytes: Cell
}

/** A request or call that holds bytes of its body in memory. */
export interface BodyHolder {
  readonly address: AddressUse
  /** Bytes of the body that are counted at present. */
  readonly heldBytes: number
}

/** An incomplete body. */
export interface ReceivingBody extends BodyHolder {
  readonly isSlow: boolean
  /** Releases the bytes of the body; bytes that still arrive are not kept. */
  refuse(refusal: OverloadedError): void
}

/** Which limit a connection is beyond: `http.maxConnections`, `http.perAddress.maxConnections` or that of the gRPC port. */
export type ConnectionLimit = 'all' | 'address' | 'grpc'

/** All connections of all listeners. Only this class grants memory for bodies. */
export class Connections implements ConnectionHost {
  readonly limits: ConnectionsLimits
  /** What waits for clients to read. */
  readonly unread: UnreadAnswers
  /** Called with each body for which there is no memory. */
  onBodyRefused: (refusal: OverloadedError) => void = () => undefined
  /** Called with each connection that is closed at once because there are too many, in all or of its address. */
  onConnectionRefused: (limit: ConnectionLimit) => void = () => undefined
  readonly #budget: BodyBudget
  readonly #gauge: Cell
  readonly #now: MonotonicClock
  readonly #addresses: ClientAddresses
  readonly #bySocket = new WeakMap<Socket, Connection>()
  readonly #open = new Set<Connection>()
  /** All that hold memory of bodies, and all that hold memory behind unread answers. */
  readonly #withBodies = new Set<Connection>()
  readonly #behind = new Set<Connection>()
  /** Bodies of calls that are no requests of HTTP/1.1. */
  readonly #otherBodies = new Set<ReceivingBody>()
  /** Connections that are not read between two requests; created when it is first needed. */
  #resting: RestingConnections | undefined
  /** Bytes that are held by requests that wait to be admitted. */
  #waitingBytes = 0
  #mayRest = true
  /** Whether the process stops. */
  #isLeaving = false
  #timer: NodeJS.Timeout | undefined
  #lookIntervalMs = LOOK_INTERVAL_MS
  /** When the last search found no body to refuse, and the size it was looking for. */
  #searchedInVainAt = Number.NEGATIVE_INFINITY
  #searchedInVainBytes = 0

  constructor(limits: ConnectionsLimits, budget: BodyBudget, gauges: ConnectionsGauges, now: MonotonicClock) {
    this.limits = limits
    this.#budget = budget
    this.#gauge = gauges.connections
    const { maxBodiesInFlightBytes: maxBytes, pace } = limits
    this.unread = new UnreadAnswers({ maxBytes, graceMs: UNREAD_GRACES * pace.graceMs }, gauges.unreadBytes)
    this.#now = now
    this.#addresses = new ClientAddresses(limits.perAddress)
  }

  /** The connection of a reader: counted when it is first asked for, until its socket closes. */
  of(reader: RequestReader): Connection {
    return this.find(reader.socket) ?? this.#add(reader)
  }

  find(socket: Socket): Connection | undefined {
    return this.#bySocket.get(socket)
  }

  /**
   * Counts a connection towards its address during its handshake, where clients may be silent as well.
   *
   * @returns ends the count; further calls do nothing
   */
  arrive(socket: Socket): () => void {
    const address = this.#addresses.enter(socket.remoteAddress)
    let isCounted = true
    this.#closeBeyondLimit(socket, address)
    return () => {
      if (isCounted) this.#addresses.leave(address)
      isCounted = false
    }
  }

  /**
   * Counts a connection of another protocol until it closes; one whose address has too many is destroyed. Connections
   * of HTTP are counted by {@link of}.
   */
  enter(socket: Socket): AddressUse {
    const address = this.#addresses.enter(socket.remoteAddress)
    socket.once('close', () => this.#addresses.leave(address))
    this.#closeBeyondLimit(socket, address)
    return address
  }

  /** The body of a call of another protocol begins to come. */
  receives(body: ReceivingBody): void {
    this.#otherBodies.add(body)
  }

  /** The body has ended, or nothing more of it will come. */
  hasReceived(body: ReceivingBody): void {
    this.#otherBodies.delete(body)
  }

  take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#take(holder, sizeBytes)
    if (refusal !== undefined) this.onBodyRefused(refusal)
    return refusal
  }

  #take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined {
    const { address, heldBytes } = holder
    const refusal = this.#addresses.bodyRefusal(address, sizeBytes)
    if (refusal !== undefined) return refusal
    if (this.#budget.take(sizeBytes, heldBytes)) return undefined
    this.#makeCapacity(holder, sizeBytes)
    return this.#budget.take(sizeBytes, heldBytes) ? undefined : this.#budget.error
  }

  mayHold(address: AddressUse, sizeBytes: number): boolean {
    return this.#addresses.bodyRefusal(address, sizeBytes) === undefined
  }

  takeBeyond(address: AddressUse, sizeBytes: number): boolean {
    return this.mayHold(address, sizeBytes) && this.#budget.takeBeyond(sizeBytes)
  }

  takeBehind(sizeBytes: number): boolean {
    return this.unread.take(sizeBytes, this.#behind, this.#now())
  }

  takeFreeBehind(sizeBytes: number): boolean {
    return this.unread.takeFree(sizeBytes)
  }

  holds(connection: Connection): void {
    if (connection.bodyBytes > 0) this.#withBodies.add(connection)
    else this.#withBodies.delete(connection)
    if (connection.behindBytes > 0) this.#behind.add(connection)
    else this.#behind.delete(connection)
  }

  giveBehind(sizeBytes: number): void {
    this.unread.give(sizeBytes)
  }

  give(sizeBytes: number): void {
    this.#budget.give(sizeBytes)
  }

  waits(sizeBytes: number): void {
    this.#waitingBytes += sizeBytes
    if (sizeBytes < 0) this.#resting?.freed()
  }

  get #isCrowded(): boolean {
    return this.#waitingBytes > this.limits.maxBodiesInFlightBytes * WAITING_SHARE
  }

  mayRest(connection: Connection): boolean {
    if (!this.#mayRest || (this.#resting === undefined && !this.#isCrowded)) return false
    this.#resting ??= new RestingConnections(this.limits.maxRestMs, () => this.#isCrowded, this.#now)
    return this.#resting.add(connection)
  }

  /** Refuses bodies that have not come whole. */
  refuseBodies(refusal: OverloadedError): void {
    for (const { incomplete } of this.#open) incomplete?.refuse(refusal)
  }

  /** Every connection ends behind the answer to its last request. */
  endBehindAnswers(): void {
    for (const { unanswered } of this.#open) unanswered.at(-1)?.endConnection()
  }

  /** A connection has been upgraded. */
  upgraded(owner: UpgradeOwner): void {
    if (this.#isLeaving) owner.leave()
  }

  /** Asks the handlers of all upgraded connections to end them. */
  leaveUpgraded(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    for (const { receiving } of this.#open) receiving?.owner?.leave()
  }

  /** Ends all rests, and allows no new ones. @returns whether any connection rested */
  wakeAll(): boolean {
    this.#mayRest = false
    return (this.#resting?.wakeAll() ?? 0) > 0
  }

  /** The error when the address of a new request has too many already. */
  requestRefusal({ address }: Pick<BodyHolder, 'address'>): QuotaExceededError | undefined {
    return this.#addresses.requestRefusal(address)
  }

  closed(connection: Connection): void {
    for (const set of [this.#open, this.#withBodies, this.#behind]) set.delete(connection)
    this.#resting?.delete(connection)
    this.#addresses.leave(connection.address)
    this.#gauge.value--
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.unread.look(this.#open, this.#now())
  }

  #add(reader: RequestReader): Connection {
    const { socket } = reader
    const address = this.#addresses.enter(socket.remoteAddress)
    const connection = new Connection(reader, address, this, this.#now())
    this.#bySocket.set(socket, connection)
    this.#open.add(connection)
    this.#gauge.value++
    this.#timer ??= this.#startLooking()
    this.#closeBeyondLimit(socket, address)
    return connection
  }

  #closeBeyondLimit(socket: Socket, address: AddressUse): void {
    if (!this.#addresses.hasTooManyConnections(address)) return
    socket.destroy()
    this.onConnectionRefused('address')
  }

  /** Checks connections often enough to notice silence soon after its limit. */
  limitSilence({ limitMs = Number.POSITIVE_INFINITY }: SilenceLimit): void {
    this.#lookIntervalMs = Math.min(this.#lookIntervalMs, Math.max(1, limitMs * SILENCE_PRECISION))
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = this.#startLooking()
  }

  #startLooking(): NodeJS.Timeout {
    const intervalMs = Math.min(this.#lookIntervalMs, Math.max(1, this.limits.pace.graceMs / 2))
    // Node reads its sockets after its timers. What has come while the process was busy must count before the look.
    return setInterval(() => setImmediate(() => this.#look()), intervalMs).unref()
  }

  #look(): void {
    const now = this.#now()
    for (const connection of this.#open) this.#lookAt(connection, now)
    this.unread.look(this.#open, now)
  }

  #lookAt(connection: Connection, now: number): void {
    connection.endIfSilent(now)
    const { receiving, pace, socket } = connection
    const isClientsTurn = connection.isReceiving && !connection.isPaused && receiving!.isRead && !receiving!.isOpenEnded
    const isTooSlow = pace.look(isClientsTurn ? receiving : undefined, socket.bytesRead, now, this.limits.pace)
    if (isTooSlow) connection.endWith('408 Request Timeout')
    else if (connection.isReceiving && connection.discardedBytes > this.limits.maxBodyBytes) socket.destroy()
  }

  /**
   * Takes memory from connections whose clients do not read their answers, and then refuses incomplete bodies until there is
   * memory for a smaller body: slow ones first, then the largest. So a few large bodies cannot keep out small ones.
   */
  #makeCapacity(holder: BodyHolder, sizeBytes: number): void {
    const now = this.#now()
    const leastBytes = PRESSED_FACTOR * (holder.heldBytes + sizeBytes)
    if (now - this.#searchedInVainAt < SEARCH_INTERVAL_MS && leastBytes >= this.#searchedInVainBytes) return
    const hasCapacity = (): boolean => this.#budget.hasCapacity(sizeBytes, holder.heldBytes)
    for (const connection of this.#withBodies) connection.yieldMemory()
    if (!hasCapacity()) this.unread.end(this.#withBodies, now, ({ bodyBytes }) => bodyBytes, hasCapacity)
    if (hasCapacity()) return
    const unfinished = [...this.#unfinished()].filter(({ heldBytes }) => heldBytes >= leastBytes)
    if (unfinished.length === 0) {
      this.#searchedInVainAt = this.#now()
      this.#searchedInVainBytes = leastBytes
    }
    for (const body of unfinished.sort(bySlownessAndSize)) {
      if (hasCapacity()) return
      body.refuse(this.#budget.error)
    }
  }

  *#unfinished(): Generator<ReceivingBody> {
    yield* this.#otherBodies
    for (const connection of this.#withBodies) {
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
