import type { Logger, MonotonicClock, ProduceRecord, RecordOutcome } from '../../../core/model.js'
import type { ProduceOptions } from '../../../gateway/gateway.js'
import type { Params } from '../../../http/api/endpoint.js'
import type { Later, Outcomes, ProduceAnswer, ProduceHead, ProduceRoute } from '../../../http/api/produce-route.js'
import type { BodySource, BufferPool } from '../../../http/exchange/body-collector.js'
import { decodedStream } from '../../../http/exchange/decoded-body.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { charsetProblemOf, type EndpointParts } from '../endpoint-parts.js'
import { ProblemError } from '../failures.js'
import { noTopic } from '../look-up.js'
import { charsetOf, JSON_TYPE } from '../media-types.js'
import { ConfluentProduce } from '../produce.js'
import { BodyError } from '../record-bytes.js'
import { mayRegister, type SchemaWriter } from '../schema-writer.js'
import { RecordAnswers, refusalOfEnd } from './record-answers.js'
import { answersTo, type Collected, type Item, isUnencoded, RecordReader } from './record-reader.js'
import { RecordStream, type StreamHead, type StreamLimits } from './record-stream.js'
import { costOf, type StreamTurns } from './stream-turns.js'

/** A body that announces at most this much is read as a whole, and answered as a whole. */
export const WHOLE_BODY_BYTES = 1024 * 1024
/** A body up to this cost is read and answered at once, which takes about two milliseconds. Others take turns with streams. */
const COST_AT_ONCE = 512 * 1024

/** Each answer repeats the id, so one of any length would multiply the memory of a request. */
const MAX_CLUSTER_ID_CHARS = 64
/** As in Kafka. */
const MAX_TOPIC_CHARS = 249

/** A request to produce whose head can be used. */
export interface V3Head extends ProduceHead, StreamHead {
  items: readonly Item[]
  /** Of the entries of a batch. */
  ids: readonly string[]
  isOwnForm: boolean
}

export interface V3Parts {
  readonly access: EndpointParts['access']
  /** Absent: there is no schema registry. */
  readonly writer: SchemaWriter | undefined
}

/** What produces records by version 3. */
export abstract class V3Produce extends ConfluentProduce<V3Head> {
  protected readonly parts: V3Parts

  constructor(produce: ProduceOptions, parts: V3Parts) {
    super('v3', produce)
    this.parts = parts
  }

  get hasRegistry(): boolean {
    return this.parts.writer !== undefined
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
    const may = mayRegister(exchange, this.parts.access.callerOf(exchange.request), topic)
    return { isSync: true, topic, charset: charset!, answers, items: [], ids: [], isOwnForm: true, mayRegister: may }
  }

  /** The body in UTF-8. */
  protected decoded({ charset }: V3Head, body: Buffer): Buffer {
    return charset === 'latin1' ? Buffer.from(body.toString('latin1')) : body
  }

  /** The records with their bytes. What the answer needs of them is put into the head. */
  protected encoded(head: V3Head, collected: Collected): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const { writer } = this.parts
    if (!isUnencoded(collected) || writer === undefined) return this.#noted(head, collected)
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
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Memory for what waits for a turn. */
  readonly pool: BufferPool
}

/**
 * `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records`. A body that comes as a whole is read and answered by the route,
 * and others are streams.
 */
export class V3Records extends V3Produce {
  readonly #options: RecordsOptions
  readonly #turns: StreamTurns
  readonly #streams = new Set<RecordStream>()

  constructor(options: RecordsOptions, parts: V3Parts, turns: StreamTurns) {
    super(options.produce, parts)
    this.#options = options
    this.#turns = turns
  }

  /** Streams that are open. */
  get openStreams(): number {
    return this.#streams.size
  }

  /** The process stops: open streams end. */
  stop(): void {
    for (const stream of this.#streams) stream.leave()
  }

  receive(exchange: Exchange, params: Params, route: ProduceRoute<V3Head>): void {
    const { headers } = exchange.request
    // Without both headers a request has no body.
    const length = headers['transfer-encoding'] === undefined ? (headers['content-length'] ?? '0') : undefined
    if (length === undefined || Number(length) > WHOLE_BODY_BYTES) this.#stream(exchange, params, route)
    else route.receive(exchange, params)
  }

  #stream(exchange: Exchange, params: Params, route: ProduceRoute<V3Head>): void {
    const head = route.begin(exchange, params)
    if (head === undefined) return
    let payload: BodySource
    try {
      payload = decodedStream(exchange)
    } catch (error) {
      route.refuse(exchange, error)
      return
    }
    const stream = new RecordStream({ ...exchange, payload }, head, {
      ...this.#options,
      ...this.parts,
      caller: this.parts.access.callerOf(exchange.request),
      refused: route.refused,
      turns: this.#turns,
      produce: records => route.handOn(exchange, head, records)
    })
    this.#streams.add(stream)
    stream.start(() => this.#streams.delete(stream))
  }

  readBody(body: Buffer, head: V3Head): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const decoded = this.decoded(head, body)
    const atOnce = this.#reading(head, decoded)(COST_AT_ONCE)
    if (typeof atOnce !== 'number') return atOnce.value
    // The bytes of the body are valid during this call only.
    const read = this.#turns.inTurns(this.#reading(head, Buffer.from(decoded)))
    return (take, fail) => read(records => (typeof records === 'function' ? records(take, fail) : take(records)), fail)
  }

  /** Reads a part of a body with each call; returns the cost of the part, and after the last one the records. */
  #reading(head: V3Head, body: Buffer) {
    const { maxRecords, limits } = this.#options
    const { maxRecordBytes } = limits
    const reader = new RecordReader({ topic: head.topic, hasRegistry: this.hasRegistry, maxRecordBytes })
    let at = 0
    return (maxCost: number): number | { value: readonly ProduceRecord[] | Later<readonly ProduceRecord[]> } => {
      const { cost, end } = reader.read(body, at, maxCost)
      at = reader.readBytes
      if (end === undefined && at < body.length && reader.count <= maxRecords) return cost
      const problem = end ?? (reader.keptBytes > 0 ? 'cut' : undefined)
      const refused = problem && refusalOfEnd(problem, maxRecordBytes)
      const collected = reader.take()
      if (refused !== undefined) collected.items.push({ refused })
      return { value: this.#read(head, collected) }
    }
  }

  #read(head: V3Head, collected: Collected): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const { maxRecords } = this.#options
    const { length } = collected.items
    if (length === 0) throw new BodyError(422, 'the body is empty; a record is needed', 42206)
    const setting = 'advanced.apis.confluent.maxRecordsPerRequest'
    if (length > maxRecords) throw new BodyError(413, `a request has at most ${maxRecords} records (${setting})`)
    head.isOwnForm = false
    return this.encoded(head, collected)
  }

  answer(outcomes: Outcomes, { items, answers }: V3Head): ProduceAnswer | Later<ProduceAnswer> {
    const known = outcomes as readonly RecordOutcome[]
    const answerOf = (body: string): ProduceAnswer => ({ status: 200, type: JSON_TYPE, body, template: this.template })
    if (costOf(0, items.length) <= COST_AT_ONCE) return answerOf(answersTo(items, known, answers))
    let [text, at] = ['', 0]
    return this.#turns.inTurns(maxCost => {
      const end = at + Math.ceil(maxCost / costOf(0, 1))
      text += answersTo(items.slice(at, end), known.slice(at, end), answers)
      at = end
      return at < items.length ? maxCost : { value: answerOf(text) }
    })
  }
}
