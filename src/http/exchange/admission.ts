import { OverloadedError } from '../../core/errors.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { MonotonicClock } from '../../core/model.js'
import type { BufferCapacity } from '../../producer/memory/budget.js'
import type { EngineRequest } from '../engine/request.js'
import { FairLines } from './fair-lines.js'

interface AdmissionWaiter {
  readonly request: EngineRequest
  readonly sizeBytes: number
  readonly since: number
  readonly enter: () => void
  readonly refuse: (error: OverloadedError) => void
}

/**
 * Requests wait when this share of the memory is used; memory of stuck partitions is left out. The rest is for records
 * whose size was not announced, and for records of partitions that get stuck: the share of a partition shrinks with the
 * free memory, so that such partitions never take all of it.
 */
const NEARLY_FULL = 0.75
/** An announced body counts for at most this long: a body that does not come must not keep others out. */
const EXPECTED_FOR_MS = 250
/** Announced bodies have at most this share, so that small ones, which mostly have come, need not wait for them. */
const EXPECTED_SHARE = 0.5
/** No single request counts as more than this share of the memory. */
const MAX_SHARE = 0.25
/** Bytes of bodies that are let in per tick, so that answers of brokers and batches come between. */
const MAX_TURN_BYTES = 1024 * 1024
/** Small bodies may go beyond it until the tick has taken this long. */
const MAX_TURN_MS = 100
/** The size that a body without an announced length counts as. */
const UNANNOUNCED_BYTES = 64 * 1024
/** The largest size that any body counts as. */
const MAX_COUNTED_BYTES = 1024 * 1024
/** Bodies up to this size have mostly come together with their headers: to keep them would cost more than to read them. */
const SMALL_BODY_BYTES = 32 * 1024
/** Interval at which expired waits are ended. */
const EXPIRE_EVERY_MS = 50

/**
 * Keeps requests waiting while there is no memory for their records. Waiting requests are not read: their connections
 * are paused, so they cost next to nothing, and TCP holds their clients back.
 *
 * Connections take turns by bytes: a large body waits until its connection has saved up credit for it, and smaller
 * bodies of other connections pass.
 */
export class Admission {
  readonly #capacity: BufferCapacity
  readonly waitMs: number
  readonly #clock: MonotonicClock
  readonly #onWaited: (waitedMs: number) => void
  readonly #onRefused: (error: OverloadedError) => void
  /** Made when a request has to wait for the first time. */
  #waiting: FairLines<AdmissionWaiter> | undefined
  /** Announced bytes of admitted requests whose bodies have not come. */
  readonly #expected = new HeldAmount('bytes of announced bodies')
  /** Bytes of bodies that were let in during this tick. */
  #turnBytes = 0
  #isTurnWatched = false
  /** When this tick's first request was let in, or its look at waiting requests was planned. */
  #turnSince = 0
  #ticker: NodeJS.Timeout | undefined

  /**
   * @param waitMs a request that has waited so long is refused
   * @param onWaited called with the time that a request has waited, whether it was let in or refused
   * @param onRefused called with each refusal
   */
  constructor(
    capacity: BufferCapacity,
    waitMs: number,
    clock: MonotonicClock,
    onWaited: (waitedMs: number) => void = () => undefined,
    onRefused: (error: OverloadedError) => void = () => undefined
  ) {
    this.#onWaited = onWaited
    this.#onRefused = onRefused
    this.#capacity = capacity
    this.waitMs = waitMs
    this.#clock = clock
    capacity.onFreed(() => {
      if (this.waiting > 0) this.#watchTurn()
    })
  }

  get maxBytes(): number {
    return this.#capacity.maxBytes
  }

  get waiting(): number {
    return this.#waiting === undefined ? 0 : this.#waiting.size
  }

  /**
   * Must be called before any of the body is read. A request without a body is admitted at once.
   *
   * @param enter called at once, or when there is memory for the body
   * @param refuse called when there was none in time, or as soon as the waiting request is refused by its connection
   */
  admit(request: EngineRequest, enter: () => void, refuse: (error: OverloadedError) => void): void {
    if (this.tryAdmit(request)) enter()
    else this.#wait(request, enter, refuse)
  }

  /** Lets a request in if it need not wait. Otherwise returns false, and {@link admit} has to be called. */
  tryAdmit(request: EngineRequest): boolean {
    const sizeBytes = this.#sizeOf(request)
    if (sizeBytes === 0) return true
    if (this.waiting > 0 || !this.#fits(sizeBytes)) return false
    this.#expect(request, sizeBytes)
    return true
  }

  #wait(request: EngineRequest, enter: () => void, refuse: (error: OverloadedError) => void): void {
    const sizeBytes = this.#sizeOf(request)
    const waiter = { request, sizeBytes, since: this.#clock(), enter, refuse }
    const lines = (this.#waiting ??= new FairLines<AdmissionWaiter>())
    lines.add(request.socket, waiter, sizeBytes)
    request.hold()
    request.whenRefused(error => {
      if (lines.delete(request.socket, waiter)) this.#refuse(waiter, error)
    })
    this.#watchTurn()
    this.#ticker ??= setInterval(() => this.#endExpired(), EXPIRE_EVERY_MS)
  }

  /** Bytes that a body counts as. */
  #sizeOf({ headers }: EngineRequest): number {
    const maxBytes = Math.min(MAX_COUNTED_BYTES, this.#capacity.maxBytes * MAX_SHARE)
    const unannouncedBytes = headers['transfer-encoding'] === undefined ? 0 : UNANNOUNCED_BYTES
    return Math.min(Number(headers['content-length'] ?? unannouncedBytes), maxBytes)
  }

  /** @param reservedBytes memory that is reserved for another request */
  #fits(sizeBytes: number, reservedBytes = 0): boolean {
    const isBeyond = this.#turnBytes > 0 && this.#turnBytes + sizeBytes > MAX_TURN_BYTES
    const isSmall = sizeBytes <= SMALL_BODY_BYTES
    if (isBeyond && (!isSmall || this.waiting > 0 || this.#clock() - this.#turnSince >= MAX_TURN_MS)) return false
    const { usedBytes, maxBytes, stuckBytes } = this.#capacity
    const usableBytes = maxBytes - stuckBytes
    const expectedBytes = this.#expected.value
    if (!isSmall && expectedBytes > 0 && expectedBytes + sizeBytes > usableBytes * EXPECTED_SHARE) return false
    const comingBytes = usedBytes - stuckBytes + expectedBytes + reservedBytes
    return comingBytes === 0 || comingBytes + sizeBytes <= usableBytes * NEARLY_FULL
  }

  /**
   * Memory that is reserved for a request: it grows with the time that the request has waited, up to all that the
   * request needs after half of its time limit.
   */
  #reservedFor(waiter: AdmissionWaiter | undefined): number {
    if (waiter === undefined) return 0
    return waiter.sizeBytes * Math.min(1, (2 * (this.#clock() - waiter.since)) / this.waitMs)
  }

  #expect(request: EngineRequest, sizeBytes: number): void {
    this.#turnBytes += sizeBytes
    this.#watchTurn()
    if (sizeBytes <= SMALL_BODY_BYTES) return
    const come = this.#expected.take(sizeBytes, () => {
      clearTimeout(timer)
      if (this.waiting > 0) this.#watchTurn()
    })
    const timer = setTimeout(come, EXPECTED_FOR_MS)
    request.whenReceived(come)
  }

  #watchTurn(): void {
    if (this.#isTurnWatched) return
    this.#isTurnWatched = true
    this.#turnSince = this.#clock()
    setImmediate(() => {
      this.#isTurnWatched = false
      this.#turnBytes = 0
      this.#letIn()
    })
  }

  #letIn(): void {
    this.#waiting?.serve((waiter, passed) => this.#mayEnter(waiter, passed))
    // Requests beyond this tick's limit are let in with the next tick; `onFreed` wakes those for which there is no
    // memory.
    if (this.waiting > 0 && this.#turnBytes > 0) this.#watchTurn()
  }

  /** @param passed an earlier request, for which there is not enough memory */
  #mayEnter({ request, sizeBytes, since, enter }: AdmissionWaiter, passed: AdmissionWaiter | undefined): boolean {
    if (request.isOver) return true
    if (!this.#fits(sizeBytes, this.#reservedFor(passed))) return false
    this.#expect(request, sizeBytes)
    this.#onWaited(this.#clock() - since)
    request.letGo()
    enter()
    return true
  }

  #endExpired(): void {
    const until = this.#clock() - this.waitMs
    const tooLate = this.#waiting?.takeOldest(({ since }) => since <= until) ?? []
    const error = tooLate.length > 0 ? this.#error : undefined
    for (const waiter of tooLate) {
      if (!waiter.request.isOver) this.#refuse(waiter, error!)
    }
    if (this.waiting > 0) {
      // The refused requests may have kept others waiting.
      this.#watchTurn()
      return
    }
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  #refuse({ request, since, refuse }: AdmissionWaiter, error: OverloadedError): void {
    this.#onWaited(this.#clock() - since)
    request.letGo()
    this.#onRefused(error)
    refuse(error)
  }

  get #error(): OverloadedError {
    const { what, setting, usedBytes, maxBytes } = this.#capacity
    return new OverloadedError(
      `${what} is full (${usedBytes} of ${maxBytes} bytes; ${setting}), and stayed full for ${this.waitMs} ms (http.admissionWaitMs)`,
      'overloaded',
      setting
    )
  }
}
