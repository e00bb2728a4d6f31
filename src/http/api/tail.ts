import { BudgetWait } from '../../core/budget-wait.js'
import { QuotaExceededError } from '../../core/errors.js'
import { type KafkaRecord, type Offset, SECOND_MS, sizeOfRecord } from '../../core/model.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'
import type { FollowSink, ReadSubscription } from '../../verbs/verbs.js'
import type { Caller } from '../access/access.js'
import type { Reply } from '../exchange/exchange.js'
import { leavesOf } from '../exchange/leaving-records.js'
import type { SegmentedBody } from '../exchange/segmented-body.js'

/** Events are written in pieces of this size. */
const PIECE_CHARACTERS = 64 * 1024
/** How soon a browser connects again. */
const RECONNECT_MS = 1_000
/** A tail without events is sent a comment this often, so that its connection is not taken for a dead one. */
const HEARTBEAT_MS = 15_000
/** A client that takes nothing for this long, while there is something, is disconnected. */
const STALL_MS = 60_000

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies such as nginx would buffer events.
  'x-accel-buffering': 'no'
}

/** A long text is made while it leaves. */
export type EventData = string | SegmentedBody

export interface TailOptions {
  readonly caller: Caller
  readonly records: RecordBudget
  /** The client to whose share the events count. */
  readonly client: string | undefined
  /**
   * The data of the event for a record, each line after the first one behind `data: `. `undefined`: the client gets no event
   * for it, and an event `skipped` says how many records had none. A promise: no record is taken until then. The bytes of the
   * record are valid during the call.
   */
  readonly dataOf: (partition: number, record: KafkaRecord) => EventData | undefined | Promise<EventData>
  /** Called when {@link dataOf} throws, before the stream ends. */
  readonly broken: (error: unknown) => void
  /** Called once at the end, whatever the outcome. */
  readonly onOver: () => void
}

/**
 * A client that follows a topic by server-sent events. No messages are read for it while it does not read its events,
 * or its quota is used up.
 */
export class Tail implements FollowSink {
  readonly #asked: Reply
  readonly #options: TailOptions
  readonly #heartbeat: NodeJS.Timeout
  #positions: ReadonlyMap<number, Offset> = new Map()
  #following: ReadSubscription | undefined
  /** Events that have not been written yet, and what they count as. */
  #piece = ''
  #records = 0
  #bytes = 0
  #skipped = 0
  #isWaitingForClient = false
  /** Bytes of events that have not left. */
  readonly #held: HeldRecords
  /** Waits for free bytes when there are none for events; reading then goes on. */
  readonly #budgetWait: BudgetWait
  #hasLeft: () => void = () => undefined
  /** The data of the last record is being made, or leaves in pieces. */
  #pending: Promise<void> | undefined
  /** A part of an event has been written. */
  #isInEvent = false
  /** Goes on after a piece of an event, if that has left or not. */
  #goOn: () => void = () => undefined
  #pause: NodeJS.Timeout | undefined
  #stall: NodeJS.Timeout | undefined
  /** Something was written since the last heartbeat. */
  #isFresh = false
  #isEnded = false
  #isOver = false

  constructor(asked: Reply, options: TailOptions) {
    const { response } = asked
    this.#asked = asked
    this.#options = options
    const { records, client } = options
    this.#held = records.hold(0, client ?? NAMELESS)
    this.#budgetWait = new BudgetWait({ records, client, goOn: () => this.#resume() })
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS)
    response.on('drain', () => {
      clearTimeout(this.#stall)
      this.#isWaitingForClient = false
      this.#left()
      this.#resume()
    })
    response.once('close', () => this.#over())
  }

  /** Sets the subscription that is stopped when the client leaves, and resumed when the client can take more. */
  follows(following: ReadSubscription): void {
    this.#following = following
    if (this.#isOver || this.#isEnded) following.stop()
  }

  begins(positions: ReadonlyMap<number, Offset>): void {
    if (this.#isOver || this.#isEnded) return
    const { response, requestId } = this.#asked
    this.#positions = positions
    response.writeHead(200, { ...HEADERS, 'x-request-id': requestId })
    // An event without data is not dispatched, but its id counts: a client that is cut off before the first message
    // continues here.
    this.#write(`retry: ${RECONNECT_MS}\nid: ${idOf(positions)}\n\n`)
  }

  get isFull(): boolean {
    const isWaiting = this.#isWaitingForClient || this.#pause !== undefined || this.#pending !== undefined
    return isWaiting || !(this.#isOver || this.#budgetWait.has(PIECE_CHARACTERS))
  }

  /** Called when everything written has left the process. */
  #left(): void {
    this.#held.add(-this.#held.bytes)
    this.#hasLeft()
  }

  take(partition: number, record: KafkaRecord): void {
    // An error must not reach the reader of the topic.
    try {
      const data = this.#options.dataOf(partition, record)
      if (this.#isEnded) return
      const sizeBytes = sizeOfRecord(record)
      if (!(data instanceof Promise)) this.#add(data, sizeBytes)
      else {
        // Earlier events need not wait for this one.
        this.flush()
        this.#pending = data.then(
          data => this.#made(data, sizeBytes),
          error => this.#broken(error)
        )
      }
    } catch (error) {
      this.#broken(error)
    }
  }

  #add(data: EventData | undefined, sizeBytes: number): void {
    const isLong = typeof data === 'object'
    // Earlier events need not wait. A long event is charged when it has left.
    if (isLong) this.flush()
    if (data === undefined) this.#skipped++
    else if (!isLong) {
      this.#piece += `id: ${idOf(this.#positions)}\ndata: ${data}\n\n`
      this.#held.add(data.length)
    }
    this.#records++
    this.#bytes += sizeBytes
    if (isLong) {
      this.#pending = this.#writeLong(data).then(
        () => this.#wroteLong(),
        error => this.#broken(error)
      )
    } else if (this.#piece.length >= PIECE_CHARACTERS) this.flush()
  }

  /** Writes an event whose data is long: the next piece when one has left. */
  async #writeLong(data: SegmentedBody): Promise<void> {
    const { records, client = NAMELESS } = this.#options
    const held = records.hold(data.heldBytes, client)
    const hasLeft = leavesOf(this.#asked.response, records, held)
    this.#write(`id: ${idOf(this.#positions)}\ndata: `)
    this.#isInEvent = true
    for (const bytes of data.fill(Buffer.allocUnsafe(Math.min(PIECE_CHARACTERS, data.length)))) {
      await this.#hasTaken(bytes)
      if (this.#isOver || this.#isEnded) break
    }
    this.#isInEvent = false
    this.#write('\n\n')
    hasLeft()
    held.release()
  }

  #wroteLong(): void {
    this.#pending = undefined
    this.#charge()
    if (!this.#isOver && !this.#isEnded) this.#resume()
  }

  /** Writes bytes. @returns when they have left, in a later tick, or never will */
  #hasTaken(bytes: Buffer): Promise<void> {
    const { response } = this.#asked
    return new Promise(resolve => {
      const stall = setTimeout(() => response.req.socket.destroy(), STALL_MS)
      this.#goOn = () => {
        clearTimeout(stall)
        resolve()
      }
      if (this.#isOver) this.#goOn()
      else response.write(bytes, () => setImmediate(this.#goOn))
    })
  }

  #made(data: EventData, sizeBytes: number): void {
    this.#pending = undefined
    if (this.#isEnded) return
    this.#add(data, sizeBytes)
    this.flush()
    this.#resume()
  }

  #resume(): void {
    if (!this.isFull) this.#following?.resume()
  }

  #broken(error: unknown): void {
    this.#options.broken(error)
    this.ended(BROKEN)
  }

  flush(): void {
    if (this.#skipped > 0)
      this.#piece += `event: skipped\nid: ${idOf(this.#positions)}\ndata: {"records":${this.#skipped}}\n\n`
    this.#skipped = 0
    if (this.#piece === '') return
    const piece = this.#piece
    this.#piece = ''
    this.#write(piece)
    this.#charge()
  }

  #charge(): void {
    const { caller } = this.#options
    caller.spend(this.#records, this.#bytes)
    const refusal = caller.charge(0, 0)
    this.#records = 0
    this.#bytes = 0
    // If the credentials are no longer valid, their check ends the tail.
    if (!(refusal instanceof QuotaExceededError) || this.#isOver) return
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#resume()
    }, refusal.retryAfterSeconds * SECOND_MS)
  }

  warn(text: string): void {
    if (this.#pending !== undefined) {
      // The warning waits, because its id would name the pending record as sent.
      void this.#pending.then(() => this.warn(text))
      return
    }
    this.flush()
    this.#write(`event: warning\nid: ${idOf(this.#positions)}\ndata: ${JSON.stringify({ warning: text })}\n\n`)
  }

  ended({ message }: { readonly message: string }): void {
    this.flush()
    // The client takes no event for one that has only begun, and comes again.
    if (!this.#isInEvent) this.#write(`event: error\ndata: ${JSON.stringify({ error: message })}\n\n`)
    this.end()
  }

  /** Ends the stream. The client may connect again and continue. A stream without headers still needs an answer. */
  end(): void {
    const { response } = this.#asked
    this.flush()
    this.#isEnded = true
    this.#following?.stop()
    if (response.headersSent) response.end()
  }

  #write(text: string): void {
    const { response } = this.#asked
    if (this.#isOver || this.#isEnded || !response.headersSent) return
    this.#isFresh = true
    // A long text that waits for its client must not be in the heap.
    const isTaken = response.write(text.length > PIECE_CHARACTERS ? Buffer.from(text) : text)
    if (this.#isWaitingForClient) return
    if (isTaken) {
      this.#left()
      return
    }
    this.#isWaitingForClient = true
    this.#hasLeft = leavesOf(response, this.#options.records, this.#held)
    // An answer that waits behind another one has no socket yet, so destroying it has no effect.
    this.#stall = setTimeout(() => response.req.socket.destroy(), STALL_MS)
  }

  /** Proxies and clients treat a connection that is silent for too long as dead. */
  #beat(): void {
    if (!this.#isFresh && !this.#isWaitingForClient && !this.#isInEvent) this.#write(':\n\n')
    this.#isFresh = false
  }

  #over(): void {
    this.#isOver = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#stall)
    clearTimeout(this.#pause)
    this.#budgetWait.end()
    this.#hasLeft()
    this.#held.release()
    this.#goOn()
    this.#following?.stop()
    this.#options.onOver()
  }
}

const BROKEN = { message: 'internal error' }

const PLACES = /^\d{1,10}:\d{1,16}(,\d{1,10}:\d{1,16})*$/

/**
 * The id of an event, from which a tail can continue: the next offset of each partition.
 *
 *   0:17,1:4
 */
export const idOf = (positions: ReadonlyMap<number, Offset>): string => {
  let id = ''
  for (const [partition, offset] of positions) id += id === '' ? `${partition}:${offset}` : `,${partition}:${offset}`
  return id
}

/** @returns `undefined`: it is not an id of ours */
export function positionsOf(id: string): ReadonlyMap<number, Offset> | undefined {
  if (!PLACES.test(id)) return undefined
  const places = id.split(',').map(place => place.split(':').map(Number) as [number, Offset])
  return places.flat().every(Number.isSafeInteger) ? new Map(places) : undefined
}
