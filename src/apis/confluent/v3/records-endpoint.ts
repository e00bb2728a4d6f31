import type { Logger, MonotonicClock, RecordOutcome } from '../../../core/model.js'
import { certaintyOf, persistedText } from '../../../gateway/persisted.js'
import type { Params } from '../../../http/api/endpoint.js'
import { originOf } from '../../../http/api/request-origin.js'
import { firstFailureOf } from '../../../http/exchange/answers.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { wantsModern } from '../../../http/exchange/modern-answers.js'
import { callerOf, charsetProblemOf, type EndpointParts, refusalOf } from '../endpoint-parts.js'
import type { Problem } from '../failures.js'
import { noTopic } from '../look-up.js'
import { type Charset, charsetOf } from '../media-types.js'
import { type Producing, produceRecords, readRecords } from '../produce.js'
import { ObjectSplitter } from './object-splitter.js'
import { endProblemOf, RecordAnswers } from './record-answers.js'
import { answersTo, type Collected, isProblem, outcomesByItem, RecordCollector } from './record-collector.js'
import { RecordStream, type StreamLimits } from './record-stream.js'
import { costOf, StreamTurns, type TurnTaker, turnLimitsOf } from './stream-turns.js'

/** A body that announces at most this much is read as a whole, and answered as a whole. */
export const WHOLE_BODY_BYTES = 1024 * 1024
/** A body up to this cost is read and answered at once, which takes about two milliseconds. Others take turns with streams. */
const COST_AT_ONCE = 512 * 1024

export interface RecordsOptions extends Producing {
  /** Of a request that is no stream. */
  readonly maxRecords: number
  readonly limits: StreamLimits
  /** Memory for records that wait for Kafka, or for the durable log. */
  readonly bufferBytes: number
  readonly log: Logger
  readonly clock: MonotonicClock
}

const NO_RECORDS: Problem = { status: 422, code: 42206, message: 'the body is empty; a record is needed' }

const tooManyRecords = (maxRecords: number): Problem => ({
  status: 413,
  code: 413,
  message: `a request has at most ${maxRecords} records (advanced.apis.confluent.maxRecordsPerRequest)`
})

/** Each answer repeats the id, so one of any length would multiply the memory of a request. */
const MAX_CLUSTER_ID_CHARS = 64
/** As in Kafka. */
const MAX_TOPIC_CHARS = 249

/** Why nothing can be produced to a path. */
function pathProblemOf(cluster: string, topic: string): Problem | undefined {
  if (cluster.length > MAX_CLUSTER_ID_CHARS) {
    return {
      status: 404,
      code: 404,
      message: `there is no cluster whose id is longer than ${MAX_CLUSTER_ID_CHARS} characters`
    }
  }
  return topic.length > MAX_TOPIC_CHARS ? noTopic(`${topic.slice(0, MAX_TOPIC_CHARS)}…`) : undefined
}

/** Where the records of a request go. */
export interface Destination {
  readonly topic: string
  readonly charset: Charset
  readonly answers: RecordAnswers
}

/** @returns `undefined`: the request is refused */
export function destinationOf(
  parts: EndpointParts,
  exchange: Exchange,
  { cluster_id: cluster = '', topic_name: topic = '' }: Params
): Destination | undefined {
  const charset = charsetOf(exchange.request.headers['content-type'])
  const refusal = refusalOf(parts, exchange, 'produce', { topic })
  const problem = pathProblemOf(cluster, topic) ?? charsetProblemOf(charset)
  if (refusal !== undefined) parts.answers.refuse(exchange, refusal)
  else if (problem !== undefined) parts.answers.error(exchange, problem, { isRead: false })
  else return { topic, charset: charset!, answers: new RecordAnswers(cluster, topic) }
  return undefined
}

/** The body in UTF-8. */
export const decodedBody = ({ charset }: Destination, body: Buffer): Buffer =>
  charset === 'latin1' ? Buffer.from(body.toString('latin1')) : body

/** `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records`. */
export class RecordsEndpoint {
  readonly #options: RecordsOptions
  readonly #parts: EndpointParts
  readonly #streams = new Set<RecordStream>()
  readonly #turns: StreamTurns

  constructor(options: RecordsOptions, parts: EndpointParts) {
    this.#options = options
    this.#turns = new StreamTurns(turnLimitsOf(options.bufferBytes))
    this.#parts = parts
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
    const to = destinationOf(this.#parts, exchange, params)
    if (to === undefined) return
    // Without both headers a request has no body.
    const length = headers['transfer-encoding'] === undefined ? (headers['content-length'] ?? '0') : undefined
    if (length === undefined || Number(length) > WHOLE_BODY_BYTES) this.#stream(exchange, to)
    else readRecords(this.#parts, exchange, WHOLE_BODY_BYTES, body => this.#collect(exchange, to, body))
  }

  #stream(exchange: Exchange, to: Destination): void {
    const { gateway, produce, limits, log, clock } = this.#options
    const stream = new RecordStream(exchange, {
      ...to,
      caller: callerOf(this.#parts, exchange),
      limits,
      log,
      clock,
      settled: (outcomes, problems) => this.#parts.answers.settled(outcomes, problems),
      turns: this.#turns,
      pool: this.#parts.pool,
      produce: records => gateway.produce(records, produce, originOf(exchange.request))
    })
    this.#streams.add(stream)
    stream.start(() => this.#streams.delete(stream))
  }

  #collect(exchange: Exchange, to: Destination, body: Buffer): void {
    const sentBytes = body.length
    if (sentBytes === 0) {
      this.#parts.answers.error(exchange, NO_RECORDS)
      return
    }
    const decoded = decodedBody(to, body)
    const reading = new WholeBody(decoded, to.topic, this.#options)
    reading.readOn(COST_AT_ONCE)
    if (reading.isRead) {
      this.#produce(exchange, to, reading.take(), sentBytes)
      return
    }
    // The bytes of the body are valid during this call only.
    const whole = new WholeBody(Buffer.from(decoded), to.topic, this.#options)
    this.#inTurns(exchange, maxCost => {
      const cost = whole.readOn(maxCost)
      if (whole.isRead) this.#produce(exchange, to, whole.take(), sentBytes)
      return whole.isRead ? undefined : cost
    })
  }

  /**
   * Does the work of a request in turns with the streams.
   *
   * @param work does a part of it; returns the cost of the part, `undefined` after the last one
   */
  #inTurns(exchange: Exchange, work: (maxCost: number) => number | undefined): void {
    const taker: TurnTaker = {
      readOn: maxCost => {
        try {
          const cost = work(maxCost)
          if (cost !== undefined) this.#turns.ask(taker)
          return cost ?? maxCost
        } catch (error) {
          this.#parts.broken(exchange, error)
          return maxCost
        }
      }
    }
    this.#turns.ask(taker)
  }

  #produce(exchange: Exchange, to: Destination, { items, records }: Collected, bytes: number): void {
    const { maxRecords } = this.#options
    if (items.length > 0 && items.length <= maxRecords) {
      produceRecords(this.#parts, exchange, this.#options, { records, items, bytes }, outcomes =>
        this.#produced(exchange, to, items, outcomes)
      )
      return
    }
    callerOf(this.#parts, exchange).charge(records.length, bytes)
    this.#parts.answers.error(exchange, items.length === 0 ? NO_RECORDS : tooManyRecords(maxRecords))
  }

  #produced(exchange: Exchange, to: Destination, items: Collected['items'], outcomes: readonly RecordOutcome[]): void {
    const { answers } = this.#parts
    answers.settled(outcomes, items.filter(isProblem))
    const byItem = outcomesByItem(items, outcomes)
    const persisted = persistedText(byItem.map(outcome => (outcome === undefined ? 'no' : certaintyOf(outcome))))
    answers.note(exchange, firstFailureOf(outcomes)?.code)
    const isWhole = byItem.every(outcome => outcome !== undefined)
    if (isWhole && wantsModern(exchange.request)) answers.outcomes(exchange, byItem)
    else if (costOf(0, items.length) <= COST_AT_ONCE)
      answers.ok(exchange, 'v3', answersTo(items, outcomes, to.answers), persisted)
    else {
      let [text, at] = ['', 0]
      this.#inTurns(exchange, maxCost => {
        const end = at + Math.ceil(maxCost / costOf(0, 1))
        const known = byItem.slice(at, end).filter(outcome => outcome !== undefined)
        text += answersTo(items.slice(at, end), known, to.answers)
        at = end
        if (at < items.length) return maxCost
        answers.ok(exchange, 'v3', text, persisted)
        return undefined
      })
    }
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

  constructor(body: Buffer, topic: string, { maxRecords, limits }: RecordsOptions) {
    this.#body = body
    this.#maxRecordBytes = limits.maxRecordBytes
    this.#collector = new RecordCollector(topic, maxRecords + 1)
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
      this.#collector.addProblem(endProblemOf(problem, this.#maxRecordBytes))
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
