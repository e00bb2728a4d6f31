import type { IncomingMessage } from 'node:http'
import { OverloadedError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import type { BufferCapacity } from '../../producer/memory/budget.js'
import { FairQueue } from './fair-queue.js'

/** A request whose connection can be kept from being read. */
export interface HeldRequest extends IncomingMessage {
  readonly isOver: boolean
  /** Nothing more is read from the connection, until {@link letGo}. */
  hold(): void
  letGo(): void
  /** Calls back once: when the whole body has come, or the request is over. */
  whenReceived(received: () => void): void
  whenOver(over: () => void): void
  /** Calls back once, and not after {@link letGo}: what has come of the body found no room, and the request is refused. */
  whenRefused(refused: (refusal: OverloadedError) => void): void
}

/** A request that waits. */
interface Waiter {
  readonly request: HeldRequest
  readonly sizeBytes: number
  readonly since: number
  readonly enter: () => void
  readonly refuse: (error: OverloadedError) => void
}

/**
 * Requests wait when this share is used of the room that is not stuck. What is left takes records whose size was not
 * announced, and those for partitions that get stuck, which never take all of it.
 */
const NEARLY_FULL = 0.75
/** An announced body counts for so long: bodies that are announced and do not come must keep no others out. */
const EXPECTED_FOR_MS = 250
/** No single request counts as more than this share of the room. */
const MAX_SHARE = 0.25
/** Bodies that are read in one turn of the event loop, so that answers of brokers and batches come between. */
const MAX_TURN_BYTES = 1024 * 1024
/** A body whose length is not announced counts as this, and no body counts as more than the second. */
const UNANNOUNCED_BYTES = 64 * 1024
const MAX_COUNTED_BYTES = 1024 * 1024
/** Bodies up to this have mostly come together with their headers, and are read at once. */
const SMALL_BODY_BYTES = 32 * 1024
/** Waits are ended this often. */
const TICK_MS = 50

/**
 * The place before which requests wait while there is no room for the records they bring. Those that wait are not read:
 * their connections are paused, so they cost next to nothing, and their clients are held back by TCP.
 *
 * Connections take turns, by bytes: a large body waits until its connection has saved up for it, and lets smaller ones of
 * others pass.
 */
export class Admission {
  readonly #capacity: BufferCapacity
  /** How long a request waits at most. */
  readonly waitMs: number
  readonly #clock: MonotonicClock
  readonly #onWaited: (waitedMs: number) => void
  readonly #waiting = new FairQueue<Waiter>()
  /** Announced by requests that were let in, whose bodies have not come. */
  #expectedBytes = 0
  /** Let in during this turn of the event loop. */
  #turnBytes = 0
  #isTurnWatched = false
  #ticker: NodeJS.Timeout | undefined

  /**
   * @param waitMs a request that has waited so long is refused
   * @param onWaited told how long a request has waited that was let in or refused
   */
  constructor(
    capacity: BufferCapacity,
    waitMs: number,
    clock: MonotonicClock,
    onWaited: (waitedMs: number) => void = () => undefined
  ) {
    this.#onWaited = onWaited
    this.#capacity = capacity
    this.waitMs = waitMs
    this.#clock = clock
    capacity.onFreed(() => {
      if (this.#waiting.size > 0) this.#watchTurn()
    })
  }

  /** Requests that wait now. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * To be called before anything of the body is read. A request without a body is let in at once.
   *
   * @param enter called at once, or when there is room
   * @param refuse called when there was none in time
   */
  admit(request: HeldRequest, enter: () => void, refuse: (error: OverloadedError) => void): void {
    if (this.tryAdmit(request)) enter()
    else this.#wait(request, enter, refuse)
  }

  /** Lets a request in that need not wait. False: it has to be given to {@link admit}. */
  tryAdmit(request: HeldRequest): boolean {
    const sizeBytes = this.#sizeOf(request)
    if (sizeBytes === 0) return true
    if (this.#waiting.size > 0 || !this.#fits(sizeBytes)) return false
    this.#expect(request, sizeBytes)
    return true
  }

  #wait(request: HeldRequest, enter: () => void, refuse: (error: OverloadedError) => void): void {
    const sizeBytes = this.#sizeOf(request)
    const waiter = { request, sizeBytes, since: this.#clock(), enter, refuse }
    this.#waiting.add(request.socket, waiter, sizeBytes)
    request.hold()
    request.whenRefused(error => {
      if (this.#waiting.delete(request.socket, waiter)) this.#refuse(waiter, error)
    })
    this.#watchTurn()
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS)
  }

  #sizeOf(request: HeldRequest): number {
    return Math.min(announcedBytes(request), this.#capacity.maxBytes * MAX_SHARE)
  }

  /** @param reservedBytes of the room: kept for another request */
  #fits(sizeBytes: number, reservedBytes = 0): boolean {
    if (this.#turnBytes > 0 && this.#turnBytes + sizeBytes > MAX_TURN_BYTES) return false
    const { usedBytes, maxBytes, stuckBytes } = this.#capacity
    const comingBytes = usedBytes - stuckBytes + this.#expectedBytes + reservedBytes
    return comingBytes === 0 || comingBytes + sizeBytes <= (maxBytes - stuckBytes) * NEARLY_FULL
  }

  /** Room that is kept for a request: the longer it has waited the more, and all that it needs after half of its time. */
  #reservedFor(waiter: Waiter | undefined): number {
    if (waiter === undefined) return 0
    return waiter.sizeBytes * Math.min(1, (2 * (this.#clock() - waiter.since)) / this.waitMs)
  }

  #expect(request: HeldRequest, sizeBytes: number): void {
    this.#turnBytes += sizeBytes
    this.#watchTurn()
    if (sizeBytes <= SMALL_BODY_BYTES) return
    this.#expectedBytes += sizeBytes
    let isExpected = true
    const come = (): void => {
      if (!isExpected) return
      isExpected = false
      clearTimeout(timer)
      this.#expectedBytes -= sizeBytes
      if (this.#waiting.size > 0) this.#watchTurn()
    }
    const timer = setTimeout(come, EXPECTED_FOR_MS)
    request.whenReceived(come)
  }

  #watchTurn(): void {
    if (this.#isTurnWatched) return
    this.#isTurnWatched = true
    setImmediate(() => {
      this.#isTurnWatched = false
      this.#turnBytes = 0
      this.#letIn()
    })
  }

  #letIn(): void {
    this.#waiting.serve((waiter, passed) => this.#mayEnter(waiter, passed))
    // What did not fit into this turn goes on in the next; what does not fit into the room is woken by `onFreed`.
    if (this.#waiting.size > 0 && this.#turnBytes > 0) this.#watchTurn()
  }

  /** @param passed it would go before this one, for which there is no room */
  #mayEnter({ request, sizeBytes, since, enter }: Waiter, passed: Waiter | undefined): boolean {
    if (request.isOver) return true
    if (!this.#fits(sizeBytes, this.#reservedFor(passed))) return false
    this.#expect(request, sizeBytes)
    this.#onWaited(this.#clock() - since)
    request.letGo()
    enter()
    return true
  }

  #tick(): void {
    const until = this.#clock() - this.waitMs
    const tooLate = this.#waiting.takeOldest(({ since }) => since <= until)
    const error = tooLate.length > 0 ? this.#error : undefined
    for (const waiter of tooLate) {
      if (!waiter.request.isOver) this.#refuse(waiter, error!)
    }
    if (this.#waiting.size > 0) {
      // Those that were refused may have been in the way of others.
      this.#watchTurn()
      return
    }
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  #refuse({ request, since, refuse }: Waiter, error: OverloadedError): void {
    this.#onWaited(this.#clock() - since)
    request.letGo()
    refuse(error)
  }

  get #error(): OverloadedError {
    const { what, setting, usedBytes, maxBytes } = this.#capacity
    return new OverloadedError(
      `${what} is full (${usedBytes} of ${maxBytes} bytes; ${setting}), and no room was found in ${this.waitMs} ms (http.admissionWaitMs)`
    )
  }
}

function announcedBytes({ headers }: IncomingMessage): number {
  const declared = headers['content-length']
  if (declared !== undefined) return Math.min(Number(declared), MAX_COUNTED_BYTES)
  return headers['transfer-encoding'] === undefined ? 0 : UNANNOUNCED_BYTES
}
