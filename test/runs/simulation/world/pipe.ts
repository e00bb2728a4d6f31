import { crc32 } from 'node:zlib'
import type { SeededRandom } from '../../../support/random.js'
import { millisecondsBetween, percent } from './randomness.js'
import type { SimulatedSocket } from './socket.js'
import type { SimulatedTime } from './time.js'
import type { Trace } from './trace.js'

/** What one direction of one connection is like. */
export interface PipeNature {
  /** A segment takes as long as these say. */
  latencyMs: readonly [number, number]
  /** What the two operating systems hold between a writer and a reader that does not read. */
  readonly capacityBytes: number
  /** In how many of a hundred writes the bytes arrive in pieces. */
  splitPercent: number
}

/** Something on its way: bytes, the word that nothing more will come, or the word that the connection is no more. */
interface Segment {
  readonly kind: 'bytes' | 'end' | 'reset'
  bytes: Buffer
  readonly arrivesAt: number
}

const NOTHING = Buffer.alloc(0)
/** The longest pause before TCP sends again what was lost. */
const MAX_RESEND_MS = 8_000

export interface PipeWorld {
  readonly time: SimulatedTime
  readonly trace: Trace
  readonly random: SeededRandom
  readonly isOnlooker: boolean
}

/**
 * One direction of a connection: bytes wait with the writer until the operating system has capacity for them, travel, and
 * arrive in order. What waits is referred to, not copied: who writes it over too early has written it over.
 */
export class Pipe {
  readonly name: string
  readonly from: SimulatedSocket
  readonly to: SimulatedSocket
  readonly nature: PipeNature
  /** The way back. */
  opposite: Pipe | undefined
  /** What all pipes from the one host to the other have sent, together. */
  tries = { count: 0 }
  /** Told of all that is written. */
  onWrite: ((bytes: Buffer) => void) | undefined
  /** On top of the latency, while the link is slow. */
  #delayMs = 0
  /** What was sent while the link was slow is not overtaken, by no connection. */
  #notBefore = 0
  readonly #world: PipeWorld
  readonly #waiting: { bytes: Buffer; readonly done: (() => void) | undefined }[] = []
  readonly #segments: Segment[] = []
  /** Of the segments. */
  #heldBytes = 0
  #lastArrival = 0
  #isScheduled = false
  #isEnding = false
  #hasEnded = false
  #hasReset = false
  #isOver = false
  /** Why nothing gets through at the moment. */
  readonly #blocks = new Set<string>()
  #blockedSince = 0
  #resendsAt = 0
  /** Bytes that still get through before the connection is cut; undefined: it is not to be. */
  #cutAfterBytes: number | undefined
  #sentSegments = 0
  #isCut = false
  #drip: { readonly bytes: number; readonly everyMs: number } | undefined

  constructor(name: string, from: SimulatedSocket, to: SimulatedSocket, nature: PipeNature, world: PipeWorld) {
    this.name = name
    this.from = from
    this.to = to
    this.nature = nature
    this.#world = world
  }

  /** Whatever was put on its way so far. */
  get sentSegments(): number {
    return this.#sentSegments
  }

  /** When the last of it arrives, or has arrived. */
  get lastArrival(): number {
    return this.#lastArrival
  }

  /** {@link cutAfter} has come true. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** Has arrived, or is on its way, and has not been read. */
  get unreadBytes(): number {
    return this.#heldBytes
  }

  write(bytes: Buffer, done?: () => void): void {
    this.onWrite?.(bytes)
    if (this.#isOver) return void done?.()
    this.#waiting.push({ bytes, done })
    this.#pump()
  }

  end(): void {
    this.#isEnding = true
    this.#pump()
  }

  /** The writer's socket is gone. What the operating system has taken still arrives. */
  closedBySender(hasUnread: boolean): void {
    if (this.#isOver) return
    this.#waiting.length = 0
    // Closing a socket with unread bytes in it is told as a reset.
    if (hasUnread) this.reset()
    else this.end()
  }

  /** The reader's socket is gone: what arrives from now on is answered with a reset. */
  closedByReceiver(): void {
    if (this.#segments.length > 0) this.#schedule()
  }

  /**
   * The operating system of the writer forgets the connection and says so, once: what is on its way still arrives, what
   * has found no way does not.
   */
  reset(): void {
    if (this.#isOver || this.#hasReset) return
    this.#hasReset = true
    this.#waiting.length = 0
    if (this.#blocks.size > 0) return void this.over()
    // What still waits to be sent (again) is forgotten.
    if (this.#world.time.now < this.#resendsAt || this.#drip !== undefined) this.#segments.length = 0
    this.#send('reset', NOTHING)
  }

  /** Nothing gets through any more. */
  over(): void {
    this.#isOver = true
    this.#waiting.length = 0
    this.#segments.length = 0
    this.#heldBytes = 0
  }

  /** The reader wants more. */
  wanted(): void {
    this.#schedule()
  }

  block(reason: string): void {
    // Nobody sends again what a reset connection loses.
    if (this.#hasReset) return void this.over()
    if (this.#blocks.size === 0) this.#blockedSince = this.#world.time.now
    this.#blocks.add(reason)
  }

  /** TCP has waited ever longer before it tried again, so the next try may take about as long as nothing got through. */
  unblock(reason: string): void {
    if (!this.#blocks.delete(reason) || this.#blocks.size > 0) return
    const blockedMs = Math.min(this.#world.time.now - this.#blockedSince, MAX_RESEND_MS)
    const waitMs = millisecondsBetween(this.#world.random, 0, blockedMs)
    this.#resendsAt = this.#world.time.now + waitMs
    this.#schedule(waitMs)
  }

  /** Everything takes so much longer from now on, and nothing arrives before what was sent under the delay before. */
  delay(delayMs: number, notBefore: number): void {
    this.#delayMs = delayMs
    this.#notBefore = notBefore
  }

  /** A connection that has been reset is not slowed: others would overtake what it sent before. */
  drip(bytes: number, everyMs: number): void {
    if (this.#hasReset) return
    this.#drip = { bytes, everyMs }
  }

  cursor(): void {
    this.#drip = undefined
  }

  /** So many bytes get through, then the connection breaks at both ends. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = bytes
  }

  /** Moves what the operating system has capacity for from the writer onto the way. */
  #pump(): void {
    while (this.#waiting.length > 0) {
      const capacity = this.nature.capacityBytes - this.#heldBytes
      if (capacity <= 0) return
      const next = this.#waiting[0]!
      const taken = Math.min(capacity, next.bytes.length)
      this.#put(Buffer.from(next.bytes.subarray(0, taken)))
      if (taken < next.bytes.length) next.bytes = next.bytes.subarray(taken)
      else {
        this.#waiting.shift()
        next.done?.()
      }
    }
    if (this.#isEnding && !this.#hasEnded && !this.#isOver) {
      this.#hasEnded = true
      this.#send('end', NOTHING)
    }
  }

  #put(bytes: Buffer): void {
    const { random } = this.#world
    this.#heldBytes += bytes.length
    let from = 0
    while (from < bytes.length) {
      const left = bytes.length - from
      const length = left > 1 && percent(random, this.nature.splitPercent) ? random.between(1, left - 1) : left
      this.#send('bytes', bytes.subarray(from, from + length))
      from += length
    }
  }

  #send(kind: Segment['kind'], bytes: Buffer): void {
    this.#sentSegments++
    this.tries.count++
    this.#segments.push({ kind, bytes, arrivesAt: this.#arrival() })
    this.#schedule()
  }

  #arrival(): number {
    this.#lastArrival = Math.max(this.#lastArrival, this.#notBefore, this.#world.time.now + this.#latency())
    return this.#lastArrival
  }

  #latency(): number {
    const [from, to] = this.nature.latencyMs
    return this.#delayMs + millisecondsBetween(this.#world.random, from, to)
  }

  #schedule(delayMs = 0): void {
    if (this.#isScheduled || this.#segments.length === 0 || this.#blocks.size > 0) return
    this.#isScheduled = true
    const { time } = this.#world
    const waitMs = Math.max(delayMs, this.#segments[0]!.arrivesAt - time.now, 0)
    time.schedule(waitMs, this.to.host, 'arrives', () => {
      this.#isScheduled = false
      if (this.#blocks.size === 0) this.#deliver()
    })
  }

  #deliver(): void {
    const segment = this.#segments[0]
    if (segment === undefined) return
    if (this.to.destroyed) return void this.#refuse()
    // A reset is told whether the reader reads or not.
    if (segment.kind !== 'reset' && !this.to.isReading) return
    if (segment.kind === 'bytes') this.#deliverBytes(segment)
    else this.#deliverWord(segment.kind)
    this.#schedule(this.#drip?.everyMs)
    if (this.#waiting.length > 0) {
      this.#world.time.schedule(0, this.from.host, 'writable', () => this.#pump())
    }
  }

  #deliverWord(kind: 'end' | 'reset'): void {
    this.#segments.shift()
    this.#world.trace.add(this.to.host.name, kind, 0, 0, () => this.name)
    if (kind === 'end') return void this.to.receiveEnd()
    this.over()
    this.to.receiveReset()
  }

  #deliverBytes(segment: Segment): void {
    const allowed = Math.min(segment.bytes.length, this.#drip?.bytes ?? Infinity, this.#cutAfterBytes ?? Infinity)
    const bytes = segment.bytes.subarray(0, allowed)
    if (allowed === segment.bytes.length) this.#segments.shift()
    else segment.bytes = segment.bytes.subarray(allowed)
    this.#heldBytes -= allowed
    this.#trace(bytes)
    if (allowed > 0) this.to.receive(bytes)
    if (this.#cutAfterBytes === undefined) return
    this.#cutAfterBytes -= allowed
    if (this.#cutAfterBytes <= 0) this.#cut()
  }

  #trace(bytes: Buffer): void {
    const { trace, isOnlooker } = this.#world
    const length = isOnlooker ? 0 : bytes.length
    trace.add(this.to.host.name, 'receives', length, this.#sum(bytes), () => `${length} bytes ${this.name}`)
  }

  /** HTTP carries the date of the real clock, in a header of fixed length. */
  #sum(bytes: Buffer): number {
    return this.name.includes('http') ? 0 : crc32(bytes)
  }

  #cut(): void {
    this.#isCut = true
    this.over()
    this.to.receiveReset()
    this.#world.time.schedule(this.#latency(), this.from.host, 'reset', () => this.from.receiveReset())
  }

  /** The reader's socket is closed: data is answered with a reset, an end is not. */
  #refuse(): void {
    const hasData = this.#segments.some(({ kind }) => kind === 'bytes')
    this.over()
    if (!hasData) return
    this.#world.time.schedule(this.#latency(), this.from.host, 'reset', () => this.from.receiveReset())
  }
}
