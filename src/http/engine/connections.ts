import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { OverloadedError, type QuotaExceededError } from '../../core/errors.js'
import { HeldAmount } from '../../core/held-amount.js'
import { counterFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily, registerGauge } from '../../core/metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { RefusalCounts } from '../../core/refusals.js'
import { type AddressLimits, type AddressUse, ClientAddresses } from './client-addresses.js'
import { Connection, ofConnection } from './connection.js'
import { LoopWatch } from './loop-watch.js'
import type {
  BodyHolder,
  ConnectionHost,
  ConnectionLimits,
  RefusedHead,
  Served,
  WaitingAnswer
} from './open-requests.js'
import { currentDate } from './response-head.js'
import { SharedBuffer } from './shared-buffer.js'
import type { SilenceLimit } from './silence-limit.js'
import { UnreadAnswers } from './unread-answers.js'
import type { UpgradeOwner } from './upgrade.js'

/** Longest interval between two checks of the time limits. */
const CHECK_MS = 1_000

/** Interval between two checks, as a share of the shortest time limit. */
const CHECK_SHARE = 0.2

/** The same for the time limits for silence. */
const SILENCE_SHARE = 0.1

/** What answers that no budget holds may take together, as a share of the budget of all others. */
const UNHELD_SHARE = 0.5

/** A body is refused only in favour of a body that holds this many times fewer bytes. */
const PRESSED_FACTOR = 4

/** Pause after a search for memory that did not find enough, before the next one for as many bytes or more. */
const SEARCH_INTERVAL_MS = 10

/** Bytes of incomplete bodies that are read in one tick, before other requests and answers have their turn. */
const MAX_TURN_BYTES = 1024 * 1024

export interface ConnectionsLimits extends ConnectionLimits {
  readonly maxBodiesInFlightBytes: number
  readonly perAddress: AddressLimits
}

export interface ReceivingBody extends BodyHolder {
  /** Releases the bytes of the body; bytes that still arrive are not kept. */
  refuse(refusal: OverloadedError): void
}

const beyondSetting = (what: string, setting: string): OverloadedError =>
  new OverloadedError(`${what} has more of them than ${setting}`, 'overloaded', setting)

const beyondLimit = {
  all: beyondSetting('a port', 'http.maxConnections'),
  address: beyondSetting('an address', 'http.perAddress.maxConnections'),
  grpc: beyondSetting('the gRPC port', 'advanced.apis.kafka-pixy.grpcMaxConnections')
}

export interface ConnectionsDeps {
  readonly metrics: PrometheusMetrics
  readonly refusals: RefusalCounts
  readonly log: Logger
  readonly now: MonotonicClock
  readonly records?: RecordBudget | undefined
  /** Default: nothing. */
  readonly onRefusedHead?: (refused: RefusedHead) => void
}

const buffer = new SharedBuffer(ofConnection((connection, bytes) => connection.arrived(bytes, false)))

const onData = ofConnection((connection, bytes: Buffer) => connection.arrived(bytes, true))

/** All connections of all listeners. Only this class grants memory for bodies. */
export class Connections implements ConnectionHost {
  readonly limits: ConnectionsLimits
  readonly now: MonotonicClock
  readonly records: RecordBudget | undefined
  readonly #loop: LoopWatch
  readonly #refusals: RefusalCounts
  readonly #log: Logger
  readonly refusedHead: (refused: RefusedHead) => void
  readonly #refusedConnections = counterFamily(
    'castellan_http_connections_refused_total',
    'Connections that were closed because there were too many'
  )
  readonly #endedUnread = counterFamily(
    'castellan_http_connections_ended_unread_total',
    'Connections that were ended because their clients read nothing of more than 1 MiB of answers for 30 s, less than 45 kB/s while others waited for memory, or nothing for 5 s while small answers took half as much as large ones may'
  )
  readonly #unheld = counterFamily(
    'castellan_http_unheld_answers_total',
    'Connections that were ended because no budget held a large answer, which is a bug'
  )
  readonly #addresses: ClientAddresses
  readonly #open = new Set<Connection>()
  readonly #unread: UnreadAnswers<Connection>
  /** Bodies of calls that are no requests of HTTP/1.1. */
  readonly #otherBodies = new Set<ReceivingBody>()
  /** Bytes of all bodies, from their arrival until their request is answered. */
  readonly #bodies = new HeldAmount('bytes of request bodies')
  /** Bytes of requests that have not begun. They have as much memory as bodies, but apart from them. */
  readonly #kept = new HeldAmount('bytes of requests that have not begun')
  /** Bytes of incomplete bodies that were read in this tick. */
  #turnBytes = 0
  /** Answers that leave at the end of this tick. A list of the module would outlive a process that dies in a simulation. */
  #waiting: WaitingAnswer[] = []
  #isLeaving = false
  #checkMs: number
  #timer: NodeJS.Timeout | undefined
  /** When the last search found no body to refuse, and the size it was looking for. */
  #searchedInVainAt = Number.NEGATIVE_INFINITY
  #searchedInVainBytes = 0

  constructor(
    limits: ConnectionsLimits,
    { metrics, refusals, log, now, records, onRefusedHead = () => {} }: ConnectionsDeps
  ) {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, socketTimeoutMs } = limits
    const shortestMs = Math.min(headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, socketTimeoutMs)
    this.#checkMs = Math.max(1, Math.min(CHECK_MS, shortestMs * CHECK_SHARE))
    this.limits = limits
    this.now = now
    this.records = records
    this.#loop = new LoopWatch(now)
    this.#refusals = refusals
    this.#log = log
    this.refusedHead = onRefusedHead
    this.#addresses = new ClientAddresses(limits.perAddress)
    this.#unread = new UnreadAnswers((records?.maxBytes ?? Number.POSITIVE_INFINITY) * UNHELD_SHARE, connection => {
      this.endedUnread(connection)
      connection.socket.destroy()
    })
    this.#show(metrics)
  }

  #show({ registry }: PrometheusMetrics): void {
    const show = registerGauge.bind(undefined, registry)
    show(
      'castellan_http_bodies_in_flight_bytes',
      'Bytes of request bodies and messages of gRPC that have come and whose requests are not answered',
      () => this.#bodies.value
    )
    show('castellan_http_connections', 'Open connections of HTTP clients', () => this.#open.size)
    show(
      'castellan_http_unread_bytes',
      'Bytes of answers that clients have not read yet, and of requests that wait behind them',
      () => this.unreadBytes
    )
    registerFamily(registry, this.#refusedConnections)
    registerFamily(registry, this.#endedUnread)
    this.#endedUnread.series({})
    registerFamily(registry, this.#unheld)
    this.#unheld.series({})
  }

  get date(): string {
    return currentDate()
  }

  get keepAliveTimeoutMs(): number {
    return this.limits.keepAliveTimeoutMs
  }

  /** Counts a connection towards its address until it closes. One whose address has too many is destroyed. */
  enter(socket: Socket): AddressUse {
    const address = this.#addresses.enter(socket.remoteAddress)
    socket.on('close', address.leave)
    if (this.#addresses.hasTooManyConnections(address)) {
      socket.destroy()
      this.refused('address')
    }
    return address
  }

  /** A connection was closed at once, because there are too many. */
  refused(limit: keyof typeof beyondLimit): void {
    this.#refusedConnections.series({ limit }).value++
    this.#refusals.note(beyondLimit[limit])
  }

  /** Serves HTTP, plain or with TLS, on a connection that {@link enter} has counted. */
  accept(socket: Socket, served: Served): void {
    if (socket.destroyed) return
    this.open(socket, served)
    if (socket instanceof TLSSocket || !buffer.adopt(socket)) socket.on('data', onData)
  }

  open(socket: Socket, served: Served): Connection {
    const connection = new Connection(socket, served, this.#addresses.of(socket.remoteAddress), this)
    this.#open.add(connection)
    this.#startChecking()
    return connection
  }

  closed(connection: Connection): void {
    this.#open.delete(connection)
    if (this.#open.size === 0) this.#stopChecking()
  }

  /** Closes the connections of a listener that have been between two requests since the last call. */
  closeIdle(served: Served): void {
    for (const one of this.#open) if (one.served === served) one.closeIdle()
  }

  /** Resolves when all of them have closed: a server has closed before its last socket tells of its end. */
  async closedOf(served: Served): Promise<void> {
    for (const { served: own, socket } of this.#open) {
      if (own === served) await new Promise(resolve => socket.once('close', resolve))
    }
  }

  cut(served: Served): void {
    for (const one of this.#open) if (one.served === served) one.socket.destroy()
  }

  receives(body: ReceivingBody): void {
    this.#otherBodies.add(body)
  }

  hasReceived(body: ReceivingBody): void {
    this.#otherBodies.delete(body)
  }

  take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined {
    let refusal = this.#addresses.bodyRefusal(holder.address, sizeBytes)
    if (refusal === undefined && !this.#hasCapacity(holder, sizeBytes)) {
      this.#refuseLargerBodies(holder, sizeBytes)
      if (!this.#hasCapacity(holder, sizeBytes)) refusal = this.#error
    }
    if (refusal !== undefined) {
      this.#refusals.note(refusal)
      return refusal
    }
    holder.heldBytes += sizeBytes
    holder.address.bodies.add(sizeBytes)
    this.#bodies.add(sizeBytes)
    return undefined
  }

  give(holder: BodyHolder, sizeBytes: number): void {
    holder.heldBytes -= sizeBytes
    holder.address.bodies.release(sizeBytes)
    this.#bodies.release(sizeBytes)
  }

  endsTurn(sizeBytes: number): boolean {
    if (this.#turnBytes === 0) setImmediate(() => (this.#turnBytes = 0))
    this.#turnBytes += sizeBytes
    return this.#turnBytes > MAX_TURN_BYTES
  }

  /** One immediate for all of them: each of its own takes a tenth of the time of an asynchronous push. */
  atEndOfTick(answer: WaitingAnswer): void {
    if (this.#waiting.push(answer) === 1) setImmediate(() => this.#leave())
  }

  #leave(): void {
    const answers = this.#waiting
    this.#waiting = []
    for (const answer of answers) {
      try {
        answer.leave()
      } catch (error) {
        // The other answers must still leave; this client sees its connection end.
        answer.response.destroy(error as Error)
      }
    }
  }

  /** Whether a body fits; a single body always does. */
  #hasCapacity({ heldBytes }: BodyHolder, sizeBytes: number): boolean {
    const { value } = this.#bodies
    return value <= heldBytes || value + sizeBytes <= this.limits.maxBodiesInFlightBytes
  }

  /** Refuses incomplete bodies, the largest first, until there is memory for a smaller one: they cannot keep it out. */
  #refuseLargerBodies(holder: BodyHolder, sizeBytes: number): void {
    const leastBytes = PRESSED_FACTOR * (holder.heldBytes + sizeBytes)
    const isEarly = this.now() - this.#searchedInVainAt < SEARCH_INTERVAL_MS
    if (isEarly && leastBytes >= this.#searchedInVainBytes) return
    const unfinished: ReceivingBody[] = [...this.#otherBodies]
    for (const { incomplete } of this.#open) if (incomplete !== undefined) unfinished.push(incomplete)
    const larger = unfinished.filter(({ heldBytes }) => heldBytes >= leastBytes)
    if (larger.length === 0) {
      this.#searchedInVainAt = this.now()
      this.#searchedInVainBytes = leastBytes
    }
    for (const body of larger.sort((a, b) => b.heldBytes - a.heldBytes)) {
      if (this.#hasCapacity(holder, sizeBytes)) return
      body.refuse(this.#error)
    }
  }

  get #error(): OverloadedError {
    return new OverloadedError(
      `request bodies of ${this.#bodies.value} bytes are in flight (limit ${this.limits.maxBodiesInFlightBytes}; http.maxBodiesInFlightBytes)`,
      'overloaded',
      'http.maxBodiesInFlightBytes'
    )
  }

  keep(address: AddressUse, sizeBytes: number): boolean {
    if (sizeBytes > 0) {
      if (this.#kept.value + sizeBytes > this.limits.maxBodiesInFlightBytes) return false
      if (this.#addresses.bodyRefusal(address, sizeBytes) !== undefined) return false
      this.#kept.add(sizeBytes)
      address.bodies.add(sizeBytes)
    } else {
      this.#kept.release(-sizeBytes)
      address.bodies.release(-sizeBytes)
    }
    return true
  }

  /** Bytes of answers that clients have not taken, and of requests that wait behind them. */
  get unreadBytes(): number {
    let bytes = 0
    for (const { unreadBytes } of this.#open) bytes += unreadBytes
    return bytes
  }

  unheld({ method, url }: IncomingMessage): void {
    this.#unheld.series({}).value++
    this.#log.error({ method, url }, 'a connection was ended, since nothing held the bytes of its large answer')
  }

  stoodStill(): boolean {
    return this.#loop.stoodStill()
  }

  endedUnread({ socket: { remoteAddress: address }, unreadBytes }: Parameters<ConnectionHost['endedUnread']>[0]): void {
    this.#endedUnread.series({}).value++
    this.#log.debug({ address, unreadBytes }, 'a connection was ended whose client does not read its answers')
  }

  /** Refuses bodies that have not come whole. */
  refuseBodies(refusal: OverloadedError): void {
    for (const { incomplete } of this.#open) incomplete?.refuse(refusal)
  }

  /** Every connection ends behind the answer to its last request. */
  endBehindAnswers(): void {
    for (const connection of this.#open) connection.endBehindAnswers()
  }

  upgraded(owner: UpgradeOwner): void {
    if (this.#isLeaving) owner.leave()
  }

  /** Asks the handlers of all upgraded connections to end them. */
  leaveUpgraded(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    for (const { receiving } of this.#open) receiving?.owner?.leave()
  }

  requestRefusal({ address }: BodyHolder): QuotaExceededError | undefined {
    return this.#addresses.requestRefusal(address)
  }

  /** Checks connections often enough to notice silence soon after its limit. */
  limitSilence({ limitMs = Number.POSITIVE_INFINITY }: SilenceLimit): void {
    this.#checkMs = Math.min(this.#checkMs, Math.max(1, limitMs * SILENCE_SHARE))
    this.#stopChecking()
    if (this.#open.size > 0) this.#startChecking()
  }

  #startChecking(): void {
    // Node reads its sockets after its timers. What has come while the process was busy must count before the check.
    this.#timer ??= setInterval(() => setImmediate(() => this.#check()), this.#checkMs).unref()
  }

  #stopChecking(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #check(): void {
    const now = this.now()
    for (const connection of this.#open) connection.check(now)
    this.#unread.check(this.#open, now)
  }
}
