import { QUOTE } from '../../../core/json/characters.js'
import { JsonAhead } from '../../../core/json/json-ahead.js'
import { encodingFault } from '../../../core/json/json-fault.js'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readListOfRecords, readStringBytes } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import { type InPieces, joined } from '../../../core/loop-turns.js'
import type { Logger, MonotonicClock, ProduceRecord, RecordFailure, RecordOutcome } from '../../../core/model.js'
import { ApiError } from '../../../http/api/api-answers.js'
import type { Params } from '../../../http/api/endpoint.js'
import { ProduceBase } from '../../../http/api/produce-base.js'
import type {
  Outcomes,
  ProduceAnswer,
  ProduceApi,
  ProduceHead,
  ProduceRoute,
  RecordsOrLater
} from '../../../http/api/produce-route.js'
import type { BodySource, BufferPool } from '../../../http/exchange/body-collector.js'
import { decodedStream } from '../../../http/exchange/decoded-body.js'
import { type Exchange, noteWait } from '../../../http/exchange/exchange.js'
import { JSON_TYPE, MULTI_STATUS } from '../../../http/exchange/modern-answers.js'
import type { ProduceOptions } from '../../../verbs/verbs.js'
import { errorObjectJson } from '../answers.js'
import { RETRY_OF_REGISTRY } from '../failures.js'
import { noTopic } from '../look-up.js'
import { charsetOf } from '../media-types.js'
import { notJson, unknownMember } from '../record-bytes.js'
import { schemaClientOf, type WritingParts } from '../schema-writer.js'
import { problemOfFailure, RecordAnswers, refusalOfEnd } from './record-answers.js'
import { type RecordTarget, readNextRecord } from './record-json.js'
import { type Collected, collect, DATA_DEPTH, type Item, isUnencoded, nothing, readWhole } from './record-reader.js'
import { RecordStream, type StreamHead, type StreamLimits } from './record-stream.js'
import type { StreamTurns } from './stream-turns.js'

/** A body that announces at most this much is read as a whole, and answered as a whole. */
export const WHOLE_BODY_BYTES = 1024 * 1024

/** Each answer repeats the id, so one of any length would multiply the memory of a request. */
const MAX_CLUSTER_ID_CHARS = 64
/** Kafka's limit. */
const MAX_TOPIC_CHARS = 249

/** A request to produce whose head can be used. */
interface V3Head extends ProduceHead, StreamHead {
  items: readonly Item[]
  /** Ids of the entries of a batch. */
  ids: readonly string[]
  isOwnForm: boolean
}

abstract class V3Produce extends ProduceBase<V3Head> implements ProduceApi<V3Head> {
  readonly namesOffsets = true
  protected readonly parts: WritingParts
  /** The body may be a record a line. */
  protected readonly takesLines: boolean = false
  /** The answers of the last request. They can often be used again, because many requests write to the same topic. */
  #answers = new RecordAnswers('', '')

  constructor(produce: ProduceOptions, parts: WritingParts) {
    super('confluent', parts.answers, produce)
    this.parts = parts
  }

  topicOf({ topic_name: topic = '' }: Params): string {
    return topic
  }

  readHead(exchange: Exchange, { cluster_id: cluster = '', topic_name: topic = '' }: Params): V3Head {
    if (cluster.length > MAX_CLUSTER_ID_CHARS)
      throw new ApiError(404, `there is no cluster whose id is longer than ${MAX_CLUSTER_ID_CHARS} characters`)
    if (topic.length > MAX_TOPIC_CHARS) throw noTopic(`${topic.slice(0, MAX_TOPIC_CHARS)}…`)
    const charset = charsetOf(exchange.request.headers['content-type'], this.takesLines)
    if (!this.#answers.areOf(cluster, topic)) this.#answers = new RecordAnswers(cluster, topic)
    const answers = this.#answers
    const { mayRegister, owner } = schemaClientOf(exchange, this.parts.access.callerOf(exchange.request), topic)
    return { isSync: true, topic, mayRegister, owner, charset, answers, items: [], ids: [], isOwnForm: true }
  }

  *readBody(body: Buffer, head: V3Head, inTurns: boolean): InPieces<RecordsOrLater> {
    const { writer } = this.parts
    const decoded = head.charset === 'latin1' ? Buffer.from(body.toString('latin1')) : body
    const to = { topic: head.topic, hasRegistry: writer !== undefined }
    const collected = yield* this.collect(decoded, to, head, inTurns)
    // Puts the facts into the head that the answer needs of the records.
    const noted = ({ items, records }: Collected): readonly ProduceRecord[] => {
      head.items = items
      if (items.length > records.length) head.refusals = items.map(({ refused }) => refused)
      return records
    }
    if (!isUnencoded(collected) || writer === undefined) return noted(collected)
    return writer.hold(collected.bytes, async () => noted(await writer.encodeEach(collected, head)))
  }

  abstract answer(outcomes: Outcomes, head: V3Head): ProduceAnswer | InPieces<ProduceAnswer>

  /** @param inTurns it yields */
  protected abstract collect(body: Buffer, to: RecordTarget, head: V3Head, inTurns: boolean): InPieces<Collected>
}

export interface RecordsOptions {
  readonly produce: ProduceOptions
  /** Limit of records in a request that is no stream. */
  readonly maxRecords: number
  readonly limits: StreamLimits
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Memory for what waits for a turn. */
  readonly pool: BufferPool
  readonly turns: StreamTurns
}

/**
 * `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records`. A body that comes as a whole is read and answered by the route,
 * and others are streams.
 */
export class V3Records extends V3Produce {
  protected override readonly takesLines = true
  readonly #options: RecordsOptions
  readonly #streams = new Set<RecordStream>()

  constructor(options: RecordsOptions, parts: WritingParts) {
    super(options.produce, parts)
    this.#options = options
  }

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
    const isStream = length === undefined || Number(length) > WHOLE_BODY_BYTES
    // A request that another process has passed on has come as a whole, however long it is.
    if (isStream && exchange.payload.whole === undefined) this.#stream(exchange, params, route)
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
    const { request, response, requestId } = exchange
    noteWait(request, Number.POSITIVE_INFINITY)
    const stream = new RecordStream({ request, response, requestId, payload }, head, {
      ...this.#options,
      writer: this.parts.writer,
      caller: this.parts.access.callerOf(request),
      producer: route.producer
    })
    this.#streams.add(stream)
    stream.start(() => this.#streams.delete(stream))
  }

  protected *collect(body: Buffer, to: RecordTarget, head: V3Head, inTurns: boolean): InPieces<Collected> {
    const { maxRecords, limits } = this.#options
    const { maxRecordBytes } = limits
    const { collected, end, place } = yield* readWhole(body, { ...to, maxRecordBytes, maxRecords }, inTurns)
    const { items } = collected
    const refused = end && refusalOfEnd(end, place, maxRecordBytes)
    if (refused !== undefined) items.push({ refused })
    if (items.length === 0) throw new ApiError(422, 'the body is empty; a record is needed', { code: 42206 })
    const setting = 'advanced.apis.confluent.maxRecordsPerRequest'
    if (items.length > maxRecords) throw new ApiError(413, `a request has at most ${maxRecords} records (${setting})`)
    head.isOwnForm = false
    return collected
  }

  *answer(outcomes: readonly RecordOutcome[], { items, answers }: V3Head): InPieces<ProduceAnswer> {
    const body = yield* joined('', items, (item, at) => `${answers.of(outcomes[at]!, item)}\r\n`, '', '')
    const failed = unaskedAmong(outcomes)
    if (failed !== undefined) return { ...unasked(failed), body }
    return { status: 200, type: JSON_TYPE, body, template: this.parts.answers.okOf.v3 }
  }
}

const ID = /^[\w-]{1,80}$/
const MAX_ENTRIES = 'advanced.apis.confluent.maxRecordsPerBatch'

/** `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records:batch`. */
export class V3Batch extends V3Produce {
  readonly #maxEntries: number

  constructor(maxEntries: number, produce: ProduceOptions, parts: WritingParts) {
    super(produce, parts)
    this.#maxEntries = maxEntries
  }

  protected *collect(body: Buffer, to: RecordTarget, head: V3Head, inTurns: boolean): InPieces<Collected> {
    const reader = new JsonReader(body)
    const ahead = inTurns ? new JsonAhead(reader, body) : undefined
    const fault = encodingFault(body, reader.isWholeUtf8)
    if (fault !== undefined) throw notJson('the body', fault)
    if (body.length === 0) throw new ApiError(422, 'the body is empty')
    const collected = { ...nothing(), bytes: body.length }
    const ids: string[] = []
    if (ahead !== undefined) yield* ahead.between(1)
    for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
      if (name !== 'entries') throw unknownMember(name)
      const entries: Buffer[] = []
      yield* readListOfRecords(reader, ahead, () => {
        reader.peekToken()
        const start = reader.index
        skipValue(reader)
        if (entries.length + ids.length === this.#maxEntries)
          throw badBatch(`has more than ${this.#maxEntries} entries (${MAX_ENTRIES})`)
        entries.push(body.subarray(start, reader.index))
      })
      for (const bytes of entries) {
        const entry = new JsonReader(bytes)
        if (inTurns) yield* new JsonAhead(entry, bytes, DATA_DEPTH).look()
        ids.push(idIn(entry))
        entry.index = 0
        entry.beginRecord()
        collect(collected, () => readNextRecord(entry, bytes, to, true))
      }
    }
    if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
    if (ids.length === 0) throw badBatch('has no entries')
    if (new Set(ids).size < ids.length) throw badBatch('has an id twice')
    head.ids = ids
    return collected
  }

  answer(outcomes: readonly RecordOutcome[], { ids, items, answers }: V3Head): ProduceAnswer {
    const successes: string[] = []
    const failures: string[] = []
    const failed = unaskedAmong(outcomes)
    if (failed !== undefined) return unasked(failed)
    for (const [at, outcome] of outcomes.entries()) {
      const id = `"id":"${ids[at]}"`
      if (outcome.type === 'delivered') successes.push(`{${id},${answers.placed(outcome, items[at]!)}}`)
      else {
        const { code, message } = problemOfFailure(outcome)
        failures.push(`{${id},"error_code":${code},"message":${JSON.stringify(message)}}`)
      }
    }
    const body = `{"successes":[${successes.join(',')}],"failures":[${failures.join(',')}]}`
    return { status: MULTI_STATUS, type: JSON_TYPE, body }
  }
}

/** The record whose schema the registry could not be asked for, where no record of the request is written. */
function unaskedAmong(outcomes: readonly RecordOutcome[]): RecordFailure | undefined {
  const failures = outcomes.filter(outcome => outcome.type === 'failed' && outcome.persisted === 'no')
  if (failures.length < outcomes.length) return undefined
  return (failures as readonly RecordFailure[]).find(({ code }) => code === 'registryUnreachable')
}

function unasked(failure: RecordFailure): ProduceAnswer {
  const { code, message } = problemOfFailure(failure)
  return {
    status: 503,
    type: JSON_TYPE,
    body: errorObjectJson(code, message),
    headers: RETRY_OF_REGISTRY,
    cause: failure
  }
}

const badBatch = (problem: string): ApiError => new ApiError(422, `the batch ${problem}`, { code: 42208 })

function idIn(reader: JsonReader): string {
  let id: string | undefined
  for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
    if (name === 'id' && reader.peekToken() === QUOTE) id = readStringBytes(reader).toString()
    else skipValue(reader)
  }
  if (id !== undefined && ID.test(id)) return id
  throw badBatch('has an entry whose id is not 1 to 80 letters, digits, hyphens and underscores')
}
