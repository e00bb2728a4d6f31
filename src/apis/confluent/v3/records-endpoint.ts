import type { Logger, MonotonicClock, ProduceRecord, RecordOutcome } from '../../../core/model.js'
import type { Gateway, ProduceOptions } from '../../../gateway/gateway.js'
import type { Params } from '../../../http/api/endpoint.js'
import type { Later, Outcomes, ProduceAnswer, ProduceHead, ProduceRoute } from '../../../http/api/produce-route.js'
import { originOf } from '../../../http/api/request-origin.js'
import type { BodySource, BufferPool } from '../../../http/exchange/body-collector.js'
import { decodedStream } from '../../../http/exchange/decoded-body.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { charsetProblemOf, type EndpointParts } from '../endpoint-parts.js'
import { ProblemError } from '../failures.js'
import { noTopic } from '../look-up.js'
import { type Charset, charsetOf, JSON_TYPE } from '../media-types.js'
import { ConfluentProduce } from '../produce.js'
import { BodyError } from '../record-bytes.js'
import { mayRegister, type SchemaWriter } from '../schema-writer.js'
import { ObjectSplitter } from './object-splitter.js'
import { RecordAnswers, refusalOfEnd } from './record-answers.js'
import { answersTo, type Collected, type Item, RecordCollector } from './record-collector.js'
import { RecordStream, type StreamLimits } from './record-stream.js'
import { costOf, type StreamTurns, type TurnTaker } from './stream-turns.js'

/** A body that announces at most this much is read as a whole, and answered as a whole. */
export const WHOLE_BODY_BYTES = 1024 * 1024
/** A body up to this cost is read and answered at once, which takes about two milliseconds. Others take turns with streams. */
const COST_AT_ONCE = 512 * 1024

/** Each answer repeats the id, so one of any length would multiply the memory of a request. */
const MAX_CLUSTER_ID_CHARS = 64
/** As in Kafka. */
const MAX_TOPIC_CHARS = 249

/** A request to produce whose head can be used. */
export interface V3Head extends ProduceHead {
  readonly topic: string
  readonly charset: Charset
  readonly answers: RecordAnswers
  items: readonly Item[]
  /** Of the entries of a batch. */
  ids: readonly string[]
  isOwnForm: boolean
  readonly mayRegister: (subject: string) => boolean
}

export interface V3Parts {
  readonly access: EndpointParts['access']
  /** Absent: there is no schema registry. */
  readonly writer: SchemaWriter | undefined
}

/** What produces records by version 3. */
export abstract class V3Produce extends ConfluentProduce<V3Head> {
  readonly #parts: V3Parts

  constructor(produce: ProduceOptions, parts: V3Parts) {
    super('v3', produce)
    this.#parts = parts
  }

  get hasRegistry(): boolean {
    return this.#parts.writer !== undefined
  }

  topicOf({ topic_name: topic = '' }: Params): string {
    return topic
  }

  readHead(exchange: Exchange, { cluster_id: cluster = '', topic_name: topic = '' }: Params): V3Head {
    if (cluster.length > MAX_CLUSTER_ID_CHARS)
      throw new BodyError(404, `there is no cluster whose id is longer than ${MAX_CLUSTER_ID_CHARS} characters`)
    if (topic.length > MAX_TOPIC_CHARS) throw new ProblemError(noTopic(`${topic.slice(0, MAX_TOPIC_CHARS)}…`))
    const charset = charsetOf(exchange.request.headers['content-type'])
    const problem = charsetProblemOf(charset)
    if (problem !== undefined) throw new ProblemError(problem)
    const answers = new RecordAnswers(cluster, topic)
    const may = mayRegister(exchange, this.#parts.access.callerOf(exchange.request), topic)
    return { isSync: true, topic, charset: charset!, answers, items: [], ids: [], isOwnForm: true, mayRegister: may }
  }

  /** The body in UTF-8. */
  protected decoded({ charset }: V3Head, body: Buffer): Buffer {
    return charset === 'latin1' ? Buffer.from(body.toString('latin1')) : body
  }

  /** The records with their bytes. What the answer needs of them is put into the head. */
  protected encoded(head: V3Head, collected: Collected): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const { writer } = this.#parts
    if (!collected.isUnencoded || writer === undefined) return this.#noted(head, collected)
    return writer.hold(collected.bytes, async () => this.#noted(head, await writer.encodeEach(collected, head)))
  }

  #noted(head: V3Head, { items, records }: Collected): readonly ProduceRecord[] {
    head.items = items
    if (items.length > records.length) head.refusals = items.map(({ refused }) => refused)
    return records
  }
}

export interface RecordsOptions {
  readonly produce: ProduceOptions
  /** Of a request that is no stream. */
  readonly maxRecords: number
  readonly limits: StreamLimits
}

/** `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records`, with a body that has come as a whole. */
export class V3Records extends V3Produce {
  readonly #options: RecordsOptions
  readonly #turns: StreamTurns

  constructor(options: RecordsOptions, parts: V3Parts, turns: StreamTurns) {
    super(options.produce, parts)
    this.#options = options
    this.#turns = turns
  }

  readBody(body: Buffer, head: V3Head): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const decoded = this.decoded(head, body)
    const reading = new WholeBody(decoded, this.#collectorOf(head), this.#options)
    reading.readOn(COST_AT_ONCE)
    if (reading.isRead) return this.#read(head, reading)
    // The bytes of the body are valid during this call only.
    const whole = new WholeBody(Buffer.from(decoded), this.#collectorOf(head), this.#options)
    const read = this.#inTurns(maxCost => {
      const cost = whole.readOn(maxCost)
      return whole.isRead ? { value: this.#read(head, whole) } : cost
    })
    return (take, fail) => read(records => (typeof records === 'function' ? records(take, fail) : take(records)), fail)
  }

  #collectorOf({ topic }: V3Head): RecordCollector {
    return new RecordCollector(topic, this.hasRegistry, this.#options.maxRecords + 1)
  }

  #read(head: V3Head, whole: WholeBody): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const { maxRecords } = this.#options
    const collected = whole.take()
    if (collected.items.length === 0) throw new BodyError(422, 'the body is empty; a record is needed', 42206)
    if (collected.items.length > maxRecords)
      throw new BodyError(
        413,
        `a request has at most ${maxRecords} records (advanced.apis.confluent.maxRecordsPerRequest)`
      )
    head.isOwnForm = false
    return this.encoded(head, collected)
  }

  answer(outcomes: Outcomes, { items, answers }: V3Head): ProduceAnswer | Later<ProduceAnswer> {
    const known = outcomes as readonly RecordOutcome[]
    const answerOf = (body: string): ProduceAnswer => ({ status: 200, type: JSON_TYPE, body, template: this.template })
    if (costOf(0, items.length) <= COST_AT_ONCE) return answerOf(answersTo(items, known, answers))
    let [text, at] = ['', 0]
    return this.#inTurns(maxCost => {
      const end = at + Math.ceil(maxCost / costOf(0, 1))
      text += answersTo(items.slice(at, end), known.slice(at, end), answers)
      at = end
      return at < items.length ? maxCost : { value: answerOf(text) }
    })
  }

  /**
   * Does the work of a request in turns with the streams.
   *
   * @param work does a part of it; returns the cost of the part, and after the last one its value
   */
  #inTurns<Value>(work: (maxCost: number) => number | { readonly value: Value }): Later<Value> {
    return (take, fail) => {
      const taker: TurnTaker = {
        readOn: maxCost => {
          try {
            const done = work(maxCost)
            if (typeof done === 'number') {
              this.#turns.ask(taker)
              return done
            }
            take(done.value)
          } catch (error) {
            fail(error)
          }
          return maxCost
        }
      }
      this.#turns.ask(taker)
    }
  }
}

/** What streams need besides the parts of all endpoints. */
interface StreamOptions {
  readonly gateway: Pick<Gateway, 'produce'>
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Memory for what waits for a turn. */
  readonly pool: BufferPool
}

/** The same path: streams are carried out here, and bodies that come as a whole by the route. */
export class RecordsEndpoint {
  readonly #api: V3Records
  readonly #options: RecordsOptions & StreamOptions
  readonly #parts: V3Parts
  readonly #turns: StreamTurns
  readonly #route: ProduceRoute<V3Head>
  readonly #streams = new Set<RecordStream>()

  constructor(
    api: V3Records,
    options: RecordsOptions & StreamOptions,
    parts: V3Parts,
    turns: StreamTurns,
    route: ProduceRoute<V3Head>
  ) {
    this.#api = api
    this.#options = options
    this.#parts = parts
    this.#turns = turns
    this.#route = route
  }

  /** Streams that are open. */
  get openStreams(): number {
    return this.#streams.size
  }

  /** The process stops: open streams end. */
  stop(): void {
    for (const stream of this.#streams) stream.leave()
  }

  receive(exchange: Exchange, params: Params): void {
    const { headers } = exchange.request
    // Without both headers a request has no body.
    const length = headers['transfer-encoding'] === undefined ? (headers['content-length'] ?? '0') : undefined
    if (length === undefined || Number(length) > WHOLE_BODY_BYTES) this.#stream(exchange, params)
    else this.#route.receive(exchange, params)
  }

  #stream(exchange: Exchange, params: Params): void {
    const { gateway, produce, limits, log, clock, pool } = this.#options
    const caller = this.#parts.access.callerOf(exchange.request)
    let head: V3Head
    let payload: BodySource
    try {
      const refusal = caller.refusalOf('produce', { topic: this.#api.topicOf(params) })
      if (refusal !== undefined) throw refusal
      head = this.#api.readHead(exchange, params)
      payload = decodedStream(exchange)
    } catch (error) {
      this.#route.refuse(exchange, error)
      return
    }
    const stream = new RecordStream(
      { ...exchange, payload },
      {
        ...head,
        caller,
        limits,
        log,
        clock,
        refused: this.#route.refused,
        turns: this.#turns,
        pool,
        writer: this.#parts.writer,
        produce: records => gateway.produce(records, produce, originOf(exchange.request))
      }
    )
    this.#streams.add(stream)
    stream.start(() => this.#streams.delete(stream))
  }
}

/** The records of a body that has come as a whole. */
class WholeBody {
  readonly #body: Buffer
  readonly #maxRecordBytes: number
  readonly #collector: RecordCollector
  readonly #splitter: ObjectSplitter
  #at = 0
  #cost = 0
  #maxCost = 0
  #isRead = false

  constructor(body: Buffer, collector: RecordCollector, { limits }: RecordsOptions) {
    this.#body = body
    this.#maxRecordBytes = limits.maxRecordBytes
    this.#collector = collector
    this.#splitter = new ObjectSplitter(limits.maxRecordBytes, bytes => this.#add(bytes))
  }

  /** The end of the body has been read. */
  get isRead(): boolean {
    return this.#isRead
  }

  /** Reads up to the record with which it reaches this cost. Returns the cost of what it has read. */
  readOn(maxCost: number): number {
    this.#cost = 0
    this.#maxCost = maxCost
    const from = this.#at
    const end = this.#splitter.push(this.#body, from)
    this.#at = this.#splitter.readBytes
    this.#isRead = end !== undefined || this.#at === this.#body.length
    const problem = end ?? (this.#splitter.keptBytes > 0 ? 'cut' : undefined)
    if (problem !== undefined && !this.#collector.isBroken)
      this.#collector.addRefused(refusalOfEnd(problem, this.#maxRecordBytes))
    return Math.max(this.#cost, this.#at - from)
  }

  take(): Collected {
    return this.#collector.take()
  }

  #add(bytes: Buffer): void {
    this.#collector.add(bytes)
    this.#cost += costOf(bytes.length, 1)
    if (this.#cost >= this.#maxCost) this.#splitter.stop()
  }
}
