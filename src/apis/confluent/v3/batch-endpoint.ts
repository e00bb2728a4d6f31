import { isUtf8 } from 'node:buffer'
import { OverloadedError } from '../../../core/errors.js'
import { DeserializeError, JsonReader } from '../../../core/json/json-reader.js'
import { readElements, readMembers, readStringBytes } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { RecordOutcome } from '../../../core/model.js'
import type { Gateway, ProduceOptions } from '../../../gateway/gateway.js'
import { certaintyOf, persistedText } from '../../../gateway/persisted.js'
import { originOf } from '../../../http/api/request-origin.js'
import { firstFailureOf } from '../../../http/exchange/answers.js'
import { collectBody } from '../../../http/exchange/body-collector.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import type { RecordProblem } from '../answers.js'
import {
  callerOf,
  charsetProblemOf,
  type EndpointParts,
  type Params,
  refusalOf,
  whenSettled
} from '../endpoint-parts.js'
import { charsetOf } from '../media-types.js'
import { BodyError, unknownMember } from '../record-bytes.js'
import { tooLarge, unreadable } from '../v2/produce-endpoint.js'
import { problemOfFailure, RecordAnswers, unsentText } from './record-answers.js'
import { type Item, isProblem, itemProblemOf, notePlaces, outcomesByItem } from './record-collector.js'
import { readRecordMembers, type SentRecord } from './record-json.js'
import { pathProblemOf } from './records-endpoint.js'

export interface BatchOptions {
  readonly gateway: Pick<Gateway, 'produce'>
  readonly produce: ProduceOptions
  readonly maxBodyBytes: number
  readonly maxEntries: number
}

const QUOTE = 0x22
const ID = /^[\w-]{1,80}$/
const MULTI_STATUS = 207
const MAX_ENTRIES = 'advanced.apis.confluent.maxRecordsPerBatch'

/** An entry as it was read. */
interface Entry {
  readonly id: string
  readonly item: SentRecord | RecordProblem
}

/** `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records:batch`. */
export class BatchEndpoint {
  readonly #options: BatchOptions
  readonly #parts: EndpointParts

  constructor(options: BatchOptions, parts: EndpointParts) {
    this.#options = options
    this.#parts = parts
  }

  receive(exchange: Exchange, { cluster_id: cluster = '', topic_name: topic = '' }: Params): void {
    const { answers, pool } = this.#parts
    const { maxBodyBytes } = this.#options
    const { headers } = exchange.request
    const charset = charsetOf(headers['content-type'])
    const refusal = refusalOf(this.#parts, exchange, 'produce', { topic })
    const problem = pathProblemOf(cluster, topic) ?? charsetProblemOf(charset)
    if (refusal !== undefined) answers.refuse(exchange, refusal)
    else if (problem !== undefined) answers.error(exchange, problem, { isRead: false })
    else {
      const recordAnswers = new RecordAnswers(cluster, topic)
      collectBody(exchange.payload, Number(headers['content-length'] ?? 0), maxBodyBytes, pool, body => {
        if (body instanceof OverloadedError) answers.refuse(exchange, body)
        else if (body === 'tooLarge') answers.error(exchange, tooLarge(maxBodyBytes), { isRead: false })
        // A client that has left gets no answer.
        else if (body instanceof Error) return
        else
          this.#answer(
            exchange,
            charset === 'latin1' ? Buffer.from(body.toString('latin1')) : body,
            topic,
            recordAnswers
          )
      })
    }
  }

  #answer(exchange: Exchange, body: Buffer, topic: string, recordAnswers: RecordAnswers): void {
    const { answers, broken } = this.#parts
    const caller = callerOf(this.#parts, exchange)
    try {
      const entries = readEntries(body, topic, this.#options.maxEntries)
      const records = entries.flatMap(({ item }) => ('record' in item ? [item.record] : []))
      const quota = caller.charge(records.length, body.length)
      if (quota !== undefined) {
        answers.refuse(exchange, quota, true)
        return
      }
      const ids = entries.map(({ id }) => id)
      const items = entries.map(({ item }): Item => ('record' in item ? { key: item.key, value: item.value } : item))
      const produced = (outcomes: readonly RecordOutcome[]): void =>
        this.#produced(exchange, ids, items, outcomes, recordAnswers)
      if (records.length === 0) produced([])
      else {
        const { gateway, produce } = this.#options
        const pendingProduce = gateway.produce(records, produce, notePlaces(originOf(exchange.request), items))
        whenSettled(pendingProduce, produced, error => broken(exchange, error))
      }
    } catch (error) {
      if (!(error instanceof DeserializeError || error instanceof BodyError)) broken(exchange, error)
      else {
        // It was sent and read all the same.
        caller.charge(0, body.length)
        answers.error(exchange, error instanceof BodyError ? error.problem : unreadable(error))
      }
    }
  }

  #produced(
    exchange: Exchange,
    ids: readonly string[],
    items: readonly Item[],
    outcomes: readonly RecordOutcome[],
    recordAnswers: RecordAnswers
  ): void {
    const successes: string[] = []
    const failures: string[] = []
    this.#parts.answers.settled(outcomes, items.filter(isProblem))
    const byItem = outcomesByItem(items, outcomes)
    for (const [at, item] of items.entries()) {
      const id = `"id":"${ids[at]}"`
      const outcome = byItem[at]
      if (outcome?.type === 'delivered' && !isProblem(item)) {
        successes.push(`{${id},${recordAnswers.placed(outcome, item)}}`)
      } else {
        const { code, message } = isProblem(item)
          ? { code: item.code, message: unsentText(item.message) }
          : problemOfFailure(outcome as RecordOutcome & { type: 'failed' })
        failures.push(`{${id},"error_code":${code},"message":${JSON.stringify(message)}}`)
      }
    }
    const persisted = persistedText(byItem.map(outcome => (outcome === undefined ? 'no' : certaintyOf(outcome))))
    const body = `{"successes":[${successes.join(',')}],"failures":[${failures.join(',')}]}`
    this.#parts.answers.note(exchange, firstFailureOf(outcomes)?.code)
    this.#parts.answers.send(exchange, MULTI_STATUS, 'v3', body, { persisted })
  }
}

/** @throws DeserializeError, BodyError */
function readEntries(body: Buffer, topic: string, maxEntries: number): readonly Entry[] {
  if (!isUtf8(body)) throw new BodyError(400, 'the body is not valid UTF-8')
  if (body.length === 0) throw new BodyError(422, 'the body is empty')
  const reader = new JsonReader(body)
  const entries: Entry[] = []
  readMembers(reader, name => {
    if (name !== 'entries') throw unknownMember(name)
    readElements(reader, () => {
      reader.peekToken()
      const start = reader.index
      skipValue(reader)
      if (entries.length === maxEntries) throw badBatch(`has more than ${maxEntries} entries (${MAX_ENTRIES})`)
      entries.push(readEntry(body.subarray(start, reader.index), topic))
    })
  })
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  if (entries.length === 0) throw badBatch('has no entries')
  if (new Set(entries.map(({ id }) => id)).size < entries.length) throw badBatch('has an id twice')
  return entries
}

const badBatch = (problem: string): BodyError => new BodyError(422, `the batch ${problem}`, 42208)

function readEntry(bytes: Buffer, topic: string): Entry {
  const id = readId(bytes)
  const reader = new JsonReader(bytes)
  try {
    const skipId = (name: string): void => {
      if (name !== 'id') throw unknownMember(name)
      skipValue(reader)
    }
    return { id, item: readRecordMembers(reader, bytes, topic, skipId) }
  } catch (error) {
    return { id, item: itemProblemOf(error) }
  }
}

function readId(bytes: Buffer): string {
  const reader = new JsonReader(bytes)
  let id: string | undefined
  readMembers(reader, name => {
    if (name === 'id' && reader.peekToken() === QUOTE) id = readStringBytes(reader).toString()
    else skipValue(reader)
  })
  if (id === undefined || !ID.test(id)) {
    throw badBatch('has an entry whose id is not 1 to 80 letters, digits, hyphens and underscores')
  }
  return id
}
