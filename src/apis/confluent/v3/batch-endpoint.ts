import { isUtf8 } from 'node:buffer'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readElements, readMembers, readStringBytes } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { RecordOutcome } from '../../../core/model.js'
import { certaintyOf, persistedText } from '../../../gateway/persisted.js'
import type { Params } from '../../../http/api/endpoint.js'
import { firstFailureOf } from '../../../http/exchange/answers.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import type { RecordProblem } from '../answers.js'
import type { EndpointParts } from '../endpoint-parts.js'
import { type Producing, produceRecords, readRecords } from '../produce.js'
import { BodyError, unknownMember } from '../record-bytes.js'
import { problemOfFailure, type RecordAnswers, unsentText } from './record-answers.js'
import { type Item, isProblem, itemProblemOf, outcomesByItem } from './record-collector.js'
import { readRecordMembers, type SentRecord } from './record-json.js'
import { type Destination, decodedBody, destinationOf } from './records-endpoint.js'

export interface BatchOptions extends Producing {
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

  receive(exchange: Exchange, params: Params): void {
    const to = destinationOf(this.#parts, exchange, params)
    if (to !== undefined)
      readRecords(this.#parts, exchange, this.#options.maxBodyBytes, body => this.#produce(exchange, to, body))
  }

  #produce(exchange: Exchange, to: Destination, body: Buffer): void {
    const entries = readEntries(decodedBody(to, body), to.topic, this.#options.maxEntries)
    const records = entries.flatMap(({ item }) => ('record' in item ? [item.record] : []))
    const ids = entries.map(({ id }) => id)
    const items = entries.map(({ item }): Item => ('record' in item ? { key: item.key, value: item.value } : item))
    produceRecords(this.#parts, exchange, this.#options, { records, items, bytes: body.length }, outcomes =>
      this.#produced(exchange, ids, items, outcomes, to.answers)
    )
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
