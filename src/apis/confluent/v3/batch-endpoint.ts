import { isUtf8 } from 'node:buffer'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readElements, readMembers, readStringBytes } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { ProduceRecord, RecordOutcome } from '../../../core/model.js'
import type { ProduceOptions } from '../../../gateway/gateway.js'
import type { Later, Outcomes, ProduceAnswer } from '../../../http/api/produce-route.js'
import type { RefusedRecord } from '../failures.js'
import { JSON_TYPE } from '../media-types.js'
import { BodyError, unknownMember } from '../record-bytes.js'
import { problemOfFailure } from './record-answers.js'
import { type ReadOptions, readRecordMembers, type SentRecord } from './record-json.js'
import { type Item, refusalOfItem } from './record-reader.js'
import { type V3Head, type V3Parts, V3Produce } from './records-endpoint.js'

const QUOTE = 0x22
const ID = /^[\w-]{1,80}$/
const MULTI_STATUS = 207
const MAX_ENTRIES = 'advanced.apis.confluent.maxRecordsPerBatch'

/** An entry as it was read. */
interface Entry {
  readonly id: string
  readonly item: SentRecord | RefusedRecord
}

/** `POST /v3/clusters/{cluster_id}/topics/{topic_name}/records:batch`. */
export class V3Batch extends V3Produce {
  readonly #maxEntries: number

  constructor(maxEntries: number, produce: ProduceOptions, parts: V3Parts) {
    super(produce, parts)
    this.#maxEntries = maxEntries
  }

  readBody(body: Buffer, head: V3Head): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const { topic } = head
    const to = { topic, hasRegistry: this.hasRegistry }
    const entries = readEntries(this.decoded(head, body), to, this.#maxEntries)
    head.ids = entries.map(({ id }) => id)
    const items = entries.map(({ item }): Item => ('record' in item ? item : { refused: item }))
    const records = entries.flatMap(({ item }) => ('record' in item ? [item.record] : []))
    return this.encoded(head, { items, records, bytes: body.length })
  }

  answer(outcomes: Outcomes, { ids, items, answers }: V3Head): ProduceAnswer {
    const successes: string[] = []
    const failures: string[] = []
    for (const [at, outcome] of (outcomes as readonly RecordOutcome[]).entries()) {
      const id = `"id":"${ids![at]}"`
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

/** @throws DeserializeError, BodyError */
function readEntries(body: Buffer, to: ReadOptions, maxEntries: number): readonly Entry[] {
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
      entries.push(readEntry(body.subarray(start, reader.index), to))
    })
  })
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  if (entries.length === 0) throw badBatch('has no entries')
  if (new Set(entries.map(({ id }) => id)).size < entries.length) throw badBatch('has an id twice')
  return entries
}

const badBatch = (problem: string): BodyError => new BodyError(422, `the batch ${problem}`, 42208)

function readEntry(bytes: Buffer, to: ReadOptions): Entry {
  const id = readId(bytes)
  const reader = new JsonReader(bytes)
  try {
    const skipId = (name: string): void => {
      if (name !== 'id') throw unknownMember(name)
      skipValue(reader)
    }
    return { id, item: readRecordMembers(reader, bytes, to, skipId) }
  } catch (error) {
    return { id, item: refusalOfItem(error) }
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
