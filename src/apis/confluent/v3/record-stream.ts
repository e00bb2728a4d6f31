import { NOTHING } from '../../../core/bytes.js'
import { CastellanError, OverloadedError, QuotaExceededError } from '../../../core/errors.js'
import { costOf, type TurnTaker } from '../../../core/loop-turns.js'
import type { Logger, MonotonicClock, ProduceRecord, RecordOutcome } from '../../../core/model.js'
import type { Caller } from '../../../http/access/access.js'
import type { ApiProducer } from '../../../http/api/api-producer.js'
import { originOf } from '../../../http/api/request-origin.js'
import type { BufferPool } from '../../../http/exchange/body-collector.js'
import { addressOf, clientOf } from '../../../http/exchange/client.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { JSON_TYPE } from '../../../http/exchange/modern-answers.js'
import { HeldStream } from '../../../http/exchange/room.js'
import { PERSISTED_HEADER, persistedText } from '../../../verbs/persisted.js'
import { refusalCodeOf } from '../answers.js'
import { type RefusedRecord, refusedRecord } from '../failures.js'
import type { Charset } from '../media-types.js'
import type { SchemaClient, SchemaWriter } from '../schema-writer.js'
import { type RecordAnswers, refusalOfEnd } from './record-answers.js'
import { type Collected, type Item, isUnencoded, outcomesOf, RecordReader } from './record-reader.js'
import type { StreamTurns } from './stream-turns.js'

/** Answers that are ready leave in pieces of about this length, and no faster than the client reads. */
const WRITE_CHARS = 64 * 1024

export interface StreamLimits {
  /** Limit of one record as it is sent. */
  readonly maxRecordBytes: number
  /** A stream that brings nothing for this long is ended. */
  readonly idleMs: number
  /** Age from which no further record is taken. */
  readonly maxMs: number
}

/** Facts about a stream that are known before its first record. */
export interface StreamHead extends Required<SchemaClient> {
  readonly charset: Charset
  readonly answers: RecordAnswers
}

export interface RecordStreamParts {
  readonly caller: Caller
  readonly limits: StreamLimits
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Turns of all open streams. */
  readonly turns: StreamTurns
  /** Memory for what waits for a turn. */
  readonly pool: BufferPool
  readonly producer: Pick<ApiProducer, 'produce' | 'countFailed'>
  /** Absent: there is no schema registry. */
  readonly writer?: Pick<SchemaWriter, 'encodeEach'> | undefined
}

/** Records that were read together, and are answered together. */
interface Group {
  items: readonly Item[]
  readonly cost: number
  outcomes: readonly RecordOutcome[] | undefined
}

const WAITS_FOR_KAFKA = { isSync: true }
const SMALL_BYTES = 8 * 1024

/**
 * A request that brings records and gets their answers while it is open, in the order of the records.
 *
 *   body      waits for the turn of the stream, and is split into records; those of one turn go to Kafka together
 *   groups    such records that wait for Kafka; the answers of the first group leave first
 *   answer    one JSON object per record
 *
 * Nothing is read while the client does not read its answers, the stream has its share in flight, or others have their
 * turns: TCP then holds the client back. So a stream holds little memory, however long it is.
 */
export class RecordStream implements TurnTaker {
  readonly owner: unknown
  readonly #exchange: Exchange
  readonly #head: StreamHead
  readonly #parts: RecordStreamParts
  readonly #reader: RecordReader
  readonly #answers: HeldStream
  readonly #startedAt: number
  readonly #groups: Group[] = []
  /** The piece of the body that waits for the next turn, and the position up to which it was read. */
  #piece: Buffer | undefined
  #pieceAt = 0
  /** The memory of the piece, when it waits. */
  #memory: Buffer | undefined
  /** The whole body has come; a piece of it may wait. */
  #hasEnded = false
  /** Cost of the records without an answer. Refused records count, too: they wait for the answers of earlier ones. */
  #costInFlight = 0
  #idle: NodeJS.Timeout | undefined
  #state: 'open' | 'ending' | 'over' = 'open'
  /** The client has not read its answers. */
  #isStalled = false
  #isPaused = false
  /** Set while records wait for their schemas. Later records are not read then, because they would overtake them. */
  #isEncoding = false

  constructor(exchange: Exchange, head: StreamHead, parts: RecordStreamParts) {
    const { topic } = head
    const { maxRecordBytes } = parts.limits
    this.#exchange = exchange
    this.owner = addressOf(exchange.request) ?? this
    this.#head = head
    this.#parts = parts
    this.#answers = new HeldStream(exchange.response, clientOf(exchange.request, parts.caller))
    const accepts = (): boolean => this.#accepts()
    this.#reader = new RecordReader({ topic, hasRegistry: parts.writer !== undefined, maxRecordBytes, accepts })
    this.#startedAt = parts.clock()
  }

  /** @param onOver called once at the end, whatever the outcome */
  start(onOver: () => void): void {
    const { request, response, payload } = this.#exchange
    const { caller, limits } = this.#parts
    // The head leaves at once: some clients send nothing before it. Others wait for `100 Continue`, which is said when the
    // body is first read: in the tick after this one.
    if (request.headers.expect === undefined) this.#writeHead()
    else setImmediate(() => this.#writeHead())
    response.on('drain', () => this.#drained())
    response.once('close', () => {
      this.#over()
      onOver()
    })
    this.#idle = setTimeout(() => this.#silent(), limits.idleMs)
    caller.watch('produce', { topic: this.#head.topic }, error => this.#refused(error))
    payload.openEnd?.()
    payload.on('data', (chunk: Buffer) => this.#guarded(() => this.#came(chunk)))
    payload.on('end', () => {
      this.#hasEnded = true
      if (this.#piece === undefined) this.#guarded(() => this.#ended())
    })
    payload.on('error', error => {
      if (error instanceof CastellanError) this.#refused(error)
    })
  }

  #writeHead(): void {
    const { response, requestId } = this.#exchange
    if (response.headersSent || response.destroyed) return
    const persisted = persistedText(['unknown'])
    response.writeHead(200, { 'content-type': JSON_TYPE, 'x-request-id': requestId, [PERSISTED_HEADER]: persisted })
    response.flushHeaders()
  }

  /** The process stops: what has been read is answered, and the stream ends. */
  leave(): void {
    this.#endEarly(this.#reader.keptBytes > 0 ? refusedRecord(503, 'the gateway is shutting down') : undefined)
  }

  #came(chunk: Buffer): void {
    if (this.#state !== 'open') return
    this.#idle!.refresh()
    const piece = this.#head.charset === 'latin1' ? Buffer.from(chunk.toString('latin1')) : chunk
    if (this.#piece !== undefined) {
      this.#keep(piece)
      return
    }
    this.#piece = piece
    this.#pieceAt = 0
    this.#parts.turns.ask(this)
    if (this.#piece === undefined) return
    this.#keep()
    this.#setReading()
  }

  /**
   * Copies the waiting bytes into memory that is used again. A hundred streams wait so long that their chunks would outlive two
   * collections of young objects; only collections of the whole heap, which stop all requests, would free them.
   *
   * @param more what has come behind it
   */
  #keep(more: Buffer = NOTHING): void {
    const rest = this.#piece!.subarray(this.#pieceAt)
    const length = rest.length + more.length
    const before = this.#memory
    const fits = before !== undefined && before.length >= length
    const fresh = (): Buffer => (length < SMALL_BYTES ? Buffer.allocUnsafe(length) : this.#parts.pool.take(length))
    const memory = fits ? before : fresh()
    rest.copy(memory, 0)
    more.copy(memory, rest.length)
    if (!fits) this.#freeMemory()
    this.#memory = memory
    this.#piece = memory.subarray(0, length)
    this.#pieceAt = 0
  }

  work(maxCost: number): number {
    let cost = 0
    this.#guarded(() => {
      if (this.#mayRead && this.#piece !== undefined) cost = this.#readPiece(this.#piece, maxCost)
      else this.#setReading()
    })
    if (this.#piece === undefined) this.#freeMemory()
    return cost
  }

  #freeMemory(): void {
    // The pool has no small memory, and does not take it back.
    if (this.#memory !== undefined && this.#memory.length >= SMALL_BYTES) this.#parts.pool.give(this.#memory)
    this.#memory = undefined
  }

  /** @returns the cost of what was read */
  #readPiece(piece: Buffer, maxCost: number): number {
    const { limits, turns } = this.#parts
    const { payload } = this.#exchange
    const share = turns.shareOf(this) - this.#costInFlight
    const { cost, end } = this.#reader.read(piece, this.#pieceAt, Math.min(maxCost, share))
    this.#pieceAt = this.#reader.readBytes
    if (this.#pieceAt === piece.length) this.#piece = undefined
    this.#handOn(this.#reader.take())
    const refusal = payload.holdOnly?.(this.#reader.heldBytes + (this.#piece?.length ?? 0) + payload.readableLength)
    if (end !== undefined) this.#endEarly(refusalOfEnd(end, this.#reader.place, limits.maxRecordBytes))
    else if (refusal !== undefined) this.#refused(refusal)
    // Bytes come, but no record ends.
    else if (this.#ageMs >= limits.maxMs + limits.idleMs) this.#endEarly(tooOld(limits.maxMs))
    else if (this.#hasEnded && this.#piece === undefined) this.#ended()
    else this.#setReading()
    return cost
  }

  /** One record has come as a whole. */
  #accepts(): boolean {
    const { maxMs } = this.#parts.limits
    if (this.#ageMs >= maxMs) this.#endEarly(tooOld(maxMs))
    return this.#state === 'open'
  }

  get #ageMs(): number {
    return this.#parts.clock() - this.#startedAt
  }

  #handOn(collected: Collected): void {
    const { items, records, bytes } = collected
    if (items.length === 0) return
    const { caller, writer } = this.#parts
    const refusal = caller.charge(records.length, bytes)
    const group = this.#add(items, costOf(bytes, items.length))
    if (refusal !== undefined) {
      this.#refuse(group, refusal)
      if (!(refusal instanceof QuotaExceededError)) this.#endEarly()
    } else if (writer !== undefined && isUnencoded(collected)) this.#encode(group, writer, collected)
    else this.#produce(group, records)
  }

  #refuse(group: Group, error: CastellanError): void {
    group.items = group.items.map(({ refused = refusedBy(error) }) => ({ refused }))
    this.#settled(group, [])
  }

  #encode(group: Group, writer: Pick<SchemaWriter, 'encodeEach'>, collected: Collected): void {
    this.#isEncoding = true
    writer
      .encodeEach(collected, this.#head, true)
      .catch(error => (error instanceof OverloadedError ? error : Promise.reject(error)))
      .then(encoded => {
        this.#isEncoding = false
        if (encoded instanceof OverloadedError) this.#refuse(group, encoded)
        else {
          group.items = encoded.items
          this.#produce(group, encoded.records)
        }
        this.#setReading()
      })
      .catch(error => this.#broken(error))
  }

  #produce(group: Group, records: readonly ProduceRecord[]): void {
    if (records.length === 0) {
      this.#settled(group, [])
      return
    }
    this.#parts.producer
      .produce(records, WAITS_FOR_KAFKA, originOf(this.#exchange.request))
      .outcomes()
      .then(outcomes => {
        this.#settled(group, outcomes)
        this.#setReading()
      })
      .catch(error => this.#broken(error))
  }

  #add(items: readonly Item[], cost: number): Group {
    const group: Group = { items, cost, outcomes: undefined }
    this.#groups.push(group)
    this.#costInFlight += cost
    this.#parts.turns.setInFlight(this, true)
    return group
  }

  /** @param outcomes of the records that are not refused */
  #settled(group: Group, outcomes: readonly RecordOutcome[]): void {
    group.outcomes = outcomesOf(group.items, outcomes)
    this.#parts.producer.countFailed(group.outcomes)
    this.#answer()
  }

  /** Writes the answers whose turn it is. */
  #answer(): void {
    if (this.#state === 'over' || this.#isStalled) return
    let text = ''
    while (this.#groups[0]?.outcomes !== undefined && !this.#isStalled) {
      const { items, cost, outcomes } = this.#groups.shift()!
      this.#costInFlight -= cost
      for (let at = 0; at < items.length; at++) text += `${this.#head.answers.of(outcomes![at]!, items[at]!)}\r\n`
      if (text.length < WRITE_CHARS && this.#groups[0]?.outcomes !== undefined) continue
      this.#writeHead()
      this.#isStalled = !this.#answers.write(text)
      text = ''
    }
    if (this.#groups.length > 0) return
    this.#parts.turns.setInFlight(this, false)
    if (this.#state === 'ending') this.#close()
  }

  #drained(): void {
    this.#isStalled = false
    this.#guarded(() => {
      this.#answer()
      this.#setReading()
    })
  }

  get #mayRead(): boolean {
    const isFull = this.#costInFlight > 0 && this.#costInFlight >= this.#parts.turns.shareOf(this)
    return this.#state === 'open' && !this.#isStalled && !isFull && !this.#isEncoding
  }

  /** Reads on, waits for its turn, or reads nothing, as the stream may. */
  #setReading(): void {
    const { turns } = this.#parts
    const { payload } = this.#exchange
    const mayRead = this.#mayRead
    const mustPause = !mayRead || this.#piece !== undefined
    if (mustPause !== this.#isPaused) {
      this.#isPaused = mustPause
      // The rest of what was read from the socket comes before the pause: it would keep the whole chunk alive.
      if (mustPause) process.nextTick(() => this.#isPaused && this.#state !== 'over' && payload.pause())
      else {
        this.#idle!.refresh()
        payload.resume()
      }
    }
    if (!mayRead) turns.leave(this)
    else if (this.#piece !== undefined) turns.ask(this)
  }

  /** The whole body has come, and has been read. */
  #ended(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    const { keptBytes, place } = this.#reader
    this.#answerLast(keptBytes > 0 ? refusalOfEnd('cut', place, this.#parts.limits.maxRecordBytes) : undefined)
  }

  /** Takes no further record. @param refused the next one */
  #endEarly(refused?: RefusedRecord): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#piece = undefined
    // Records before the problem have been collected and not handed on where the limit was found between two.
    this.#handOn(this.#reader.take())
    this.#setReading()
    this.#answerLast(refused)
  }

  #answerLast(refused: RefusedRecord | undefined): void {
    if (refused === undefined) this.#answer()
    else this.#settled(this.#add([{ refused }], 0), [])
  }

  #refused(error: CastellanError): void {
    this.#endEarly(refusedBy(error))
  }

  #silent(): void {
    const { idleMs } = this.#parts.limits
    if (this.#isPaused || this.#groups.length > 0) this.#idle!.refresh()
    else if (this.#reader.keptBytes === 0) this.#endEarly()
    else this.#endEarly(refusedRecord(408, `the rest of a record has not come within ${idleMs} ms`))
  }

  #close(): void {
    const { request, response } = this.#exchange
    this.#over()
    this.#writeHead()
    // Further bytes of the client are not wanted, but it should read its last answers first.
    if (!request.complete) response.once('finish', () => request.socket.destroySoon())
    response.end()
  }

  #over(): void {
    const { turns } = this.#parts
    this.#state = 'over'
    this.#piece = undefined
    clearTimeout(this.#idle)
    turns.leave(this)
    turns.setInFlight(this, false)
    // A reader of its bytes may have called.
    process.nextTick(() => this.#freeMemory())
  }

  /** Ends the connection after a bug, because the next answers would not belong to their records. */
  #guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#broken(error)
    }
  }

  #broken(error: unknown): void {
    const { requestId, response } = this.#exchange
    this.#parts.log.error({ err: error, requestId }, 'a stream of records failed unexpectedly')
    response.destroy()
  }
}

const tooOld = (maxMs: number): RefusedRecord => refusedRecord(408, `the stream is older than ${maxMs} ms`)

const refusedBy = (error: CastellanError): RefusedRecord => ({
  ...refusedRecord(refusalCodeOf(error), error.message),
  setting: error.setting
})
