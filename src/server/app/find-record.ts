import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import { isLegalTopicName, type KafkaRecord, type Offset } from '../../core/model.js'
import type { ReceiptDesk, ReceiptReply } from '../../gateway/receipts.js'
import { ANONYMOUS } from '../../http/access/access.js'
import type { FoundRecords, RecordQuestion } from '../../http/status/record-question.js'
import { agoText, countText, firstOf, instantText } from '../../http/status/units.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { type PartitionerName, partitioners } from '../../producer/memory/partitioners.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { RouterHandle } from '../../router/routing/router.js'
import { type Decoding, recordJson } from '../../schemas/record-json.js'
import type { KafkaCluster } from './kafka.js'

/** So many records, or bytes, are looked at in one search, in all partitions together. */
const MAX_RECORDS = 10_000
const MAX_BYTES = 16 * 1024 * 1024
/** Partitions that are looked at besides those of the key. */
const MAX_OTHERS = 64
const TIMEOUT_MS = 15_000
/** The first step back; the largest records fit into it. Later steps grow as far as the bytes that are left allow. */
const FIRST_STEP = 8
const GROWTH = 10
/** Records that are named, and partitions that the message names one by one. */
const MAX_FOUND = 20
const MAX_NAMED = 5

/** Every partitioner whose choice depends on the key. */
const KEYED: readonly PartitionerName[] = ['murmur2', 'crc32', 'fnv1a', 'javaHashCode', 'phash2']

export interface FindRecordDeps {
  readonly clusters: readonly Pick<KafkaCluster, 'name' | 'router'>[]
  /** `undefined`: receipts are switched off. */
  readonly receipts?: Pick<ReceiptDesk, 'read'> | undefined
  /** Reads keys that have a schema. Absent: no registry is configured. */
  readonly schemas?: Decoding | undefined
}

/**
 * Answers the question whether a record is in Kafka.
 *
 * @throws CastellanError when Kafka does not answer, or the topic does not exist
 */
export async function findRecord(
  { clusters, receipts, schemas }: FindRecordDeps,
  question: RecordQuestion,
  principal: string
): Promise<FoundRecords> {
  if (question.by === 'receipt') {
    if (receipts === undefined) throw new InvalidRequestError('this gateway gives no receipts')
    const principals = [...new Set([principal, ANONYMOUS])]
    return ofReceipt(await receipts.read({ id: question.receipt, principals }))
  }
  const { topic, key, cluster: name = 'default' } = question
  const cluster = clusters.find(one => one.name === name)
  if (cluster === undefined) throw new InvalidRequestError(`there is no cluster ${name}`)
  return new KeySearch(cluster.router.ref, topic, key, schemas).run()
}

/** What is said of a receipt without records. */
const REPLIES = {
  notFound:
    'No such receipt was given to this client. Only the client that has sent the records can ask for its own: look by topic and key instead.',
  expired: 'What became of these records is not kept any more.',
  unreachable: 'The gateway that has given the receipt does not answer now.'
}

function ofReceipt(reply: ReceiptReply): FoundRecords {
  const nothing = { records: [], searched: [], notSearched: 0 }
  if (reply.type !== 'found') return { ...nothing, verdict: 'unknown', message: REPLIES[reply.type] }
  const { records } = reply
  const inKafka = records.flatMap(one => (one.state === 'inKafka' ? [one] : []))
  const waiting = records.filter(({ state }) => state === 'waiting')
  const failed = records.find(({ state }) => !['inKafka', 'waiting', 'unknown'].includes(state))
  const worst = failed ?? waiting[0] ?? records.find(({ state }) => state === 'unknown')
  const why = worst !== undefined && 'why' in worst ? worst.why : undefined
  const counted = `${inKafka.length} of ${records.length} ${records.length === 1 ? 'record is' : 'records are'} in Kafka`
  const undone = waiting.length > 0 ? 'pending' : failed === undefined ? 'unknown' : 'no'
  return {
    ...nothing,
    verdict: inKafka.length === records.length ? 'yes' : undone,
    message: `${counted}${waiting.length > 0 ? `, ${waiting.length} wait` : ''}${why === undefined ? '' : `: ${why}`}.`,
    records: inKafka
      .filter(({ offset }) => offset >= 0)
      .slice(0, MAX_FOUND)
      .map(({ partition, offset, timestampMs: at }) => ({ partition, offset, ...(at >= 0 && { timestamp: at }) }))
  }
}

type Searched = FoundRecords['searched'][number]

/** A partition, and how far back it has been searched. */
interface Cursor {
  readonly partition: number
  readonly earliest: Offset
  readonly latest: Offset
  /** All readable records from here on have been looked at. */
  from: Offset
  step: number
  records: number
  bytes: number
  /** Some records could not be read, or were not there any more. */
  hasGaps: boolean
  isOver: boolean
}

/**
 * Looks for a key from the ends of partitions backwards, within bounds of records, bytes and time. The partitions in
 * which clients put the key come first, and share the bounds: what a short one leaves goes to the others. If the key is
 * in none of them, the other partitions of the topic get the rest, because a client may name a partition.
 */
class KeySearch {
  readonly #router: RouterHandle['ref']
  readonly #topic: string
  readonly #spellings: readonly Buffer[]
  readonly #schemas: Decoding | undefined
  /** The JSON that a key with a schema may have. */
  readonly #jsons: ReadonlySet<string>
  readonly #endsAt = performance.now() + TIMEOUT_MS
  readonly #found: FoundRecords['records'] = []
  #isFoundAsAsked = false
  #recordsLeft = MAX_RECORDS
  #bytesLeft = MAX_BYTES

  constructor(router: RouterHandle['ref'], topic: string, key: string, schemas: Decoding | undefined) {
    this.#schemas = schemas
    this.#jsons = new Set([key, JSON.stringify(key), sameJson(key)])
    this.#router = router
    this.#topic = topic
    this.#spellings = spellingsOf(key).map(text => Buffer.from(text))
  }

  /** @throws CastellanError when Kafka does not answer, or the topic does not exist */
  async run(): Promise<FoundRecords> {
    const partitions = await this.#partitions()
    const count = partitions.length
    const leaderless = partitions.flatMap(({ leaderId }, partition) => (leaderId < 0 ? [partition] : []))
    const isLed = (partition: number): boolean => partitions[partition]!.leaderId >= 0
    const own = new Set(this.#spellings.flatMap(key => partitionsOf(key, this.#topic, count)))
    const searched = await this.#search([...own].filter(isLed), false)
    if (this.#found.length === 0) {
      const others = Array.from(partitions.keys()).filter(partition => !own.has(partition) && isLed(partition))
      searched.push(...(await this.#search(others.slice(0, MAX_OTHERS), true)))
    }
    const found = this.#answer(searched, count - searched.length)
    if (leaderless.length === 0) return found
    const names = leaderless.map(partition => `${this.#topic}/${partition}`)
    const why = ` Not looked at, because no broker leads it now: ${firstOf(names, MAX_NAMED)}.`
    return { ...found, message: found.message + why }
  }

  #answer(searched: Searched[], notSearched: number): FoundRecords {
    const records = this.#found.sort((one, other) => (other.timestamp ?? 0) - (one.timestamp ?? 0)).slice(0, MAX_FOUND)
    const all = { records, searched, notSearched }
    if (records.length > 0) {
      const asOther = ' Its key is stored in another form than was asked for: JSON has quotes around a text.'
      const message = foundText(records, this.#topic) + (this.#isFoundAsAsked ? '' : asOther)
      return { verdict: 'yes', message, ...all }
    }
    if (notSearched > 0 || searched.some(({ isWhole }) => !isWhole))
      return { verdict: 'notFound', message: notFoundText(searched, notSearched), ...all }
    const none = `Topic ${this.#topic} has no record with this key, as text or as JSON. All of it was searched.`
    return { verdict: 'no', message: none, ...all }
  }

  async #partitions() {
    if (!isLegalTopicName(this.#topic)) throw new InvalidRequestError('this is not a legal topic name', 'invalidTopic')
    const asked = { type: 'fetchTopicMetadata', requestId: 0, topics: [this.#topic], timeoutMs: this.#leftMs } as const
    const result = await askRouter(this.#router, asked)
    if (result.type !== 'success') throw failureOf(result)
    const { errorCode = errorCodes.UNKNOWN_TOPIC_OR_PARTITION, partitions = [] } = result.topics.get(this.#topic) ?? {}
    if (errorCode === errorCodes.NONE) return [...partitions].sort((one, other) => one.partition - other.partition)
    throw new InvalidRequestError(`topic ${this.#topic}: ${kafkaErrorOf(errorCode).message}`, 'unknownTopic')
  }

  get #leftMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now()))
  }

  get #isOver(): boolean {
    const isSpent = this.#recordsLeft <= 0 || this.#bytesLeft <= 0
    return isSpent || this.#found.length >= MAX_FOUND || performance.now() >= this.#endsAt
  }

  /**
   * One step back in each partition in turn, so that the newest records of all come first.
   *
   * @param mayFail a partition that cannot be read is left out
   */
  async #search(partitions: readonly number[], mayFail: boolean): Promise<Searched[]> {
    const cursors: Cursor[] = []
    for (const partition of partitions) {
      if (mayFail && this.#isOver) break
      const [earliest, latest] = await this.#ends(partition).catch(onlyIf(() => mayFail, [-1, -1]))
      const fresh = { step: FIRST_STEP, records: 0, bytes: 0, hasGaps: false, isOver: latest <= earliest }
      if (latest >= 0) cursors.push({ partition, earliest, latest, from: latest, ...fresh })
    }
    for (let open = cursors; open.length > 0; open = open.filter(({ isOver }) => !isOver)) {
      const share = Math.ceil(this.#recordsLeft / open.length)
      for (const cursor of open) {
        if (this.#isOver) break
        cursor.isOver = true
        // What was looked at before counts when time is over.
        const isOptional = (error: CastellanError): boolean =>
          mayFail || (cursor.records > 0 && error.code === 'timedOut')
        await this.#stepBack(cursor, Math.min(cursor.step, share, this.#recordsLeft)).catch(
          onlyIf(isOptional, undefined)
        )
        const bytesPerRecord = Math.max(1, cursor.bytes / Math.max(1, cursor.records))
        const fitting = Math.floor(this.#bytesLeft / open.length / bytesPerRecord)
        cursor.step = Math.max(1, Math.min(GROWTH * cursor.step, fitting))
      }
      if (this.#isOver) break
    }
    return cursors.filter(wasSearched).map(({ partition, from, earliest, latest, records, hasGaps }) => {
      return { partition, from, to: Math.max(from, latest - 1), records, isWhole: from <= earliest && !hasGaps }
    })
  }

  async #ends(partition: number): Promise<readonly [earliest: Offset, latest: Offset]> {
    const offsetOf = async (offsetType: 'earliest' | 'latest'): Promise<Offset> => {
      const topicPartition = { topic: this.#topic, partition }
      const asked = { type: 'fetchOffset', topicPartition, offsetType, timeoutMs: this.#leftMs } as const
      const result = await askRouter(this.#router, asked)
      if (result.type === 'success') return result.offset
      throw failureOf(result)
    }
    return [await offsetOf('earliest'), await offsetOf('latest')]
  }

  /** Reads the records before those that were read. The cursor stays where it is if the bytes do not suffice. */
  async #stepBack(cursor: Cursor, records: number): Promise<void> {
    const { partition, earliest, from } = cursor
    const start = Math.max(earliest, from - records)
    for (let offset = start; offset < from; ) {
      if (this.#bytesLeft <= 0) return
      const topicPartition = { topic: this.#topic, partition }
      const asked = { type: 'fetchData', topicPartition, offset, timeoutMs: this.#leftMs } as const
      const result = await askRouter(this.#router, asked)
      if (result.type === 'success') {
        for (const record of result.batch) {
          if (record.offset >= from) break
          cursor.records++
          this.#recordsLeft--
          if (this.#mayHaveSchema(record)) await this.#lookBySchema(partition, record)
          else this.#look(partition, record)
        }
        cursor.bytes += result.batch.sizeBytes
        this.#bytesLeft -= result.batch.sizeBytes
        offset = result.batch.nextOffset
      } else if (result.type === 'corruptMessage') {
        cursor.hasGaps = true
        offset = result.nextOffset
      } else if (result.type === 'noMessages' || result.type === 'offsetOutOfRange') {
        const next = result.type === 'noMessages' ? result.nextOffset : undefined
        // Without a next one, the rest was deleted, or its transaction was, since the ends of the log were read.
        cursor.hasGaps ||= next === undefined
        offset = next ?? from
      } else throw failureOf(result)
    }
    cursor.from = start
    cursor.isOver = start <= earliest
  }

  #mayHaveSchema({ key }: KafkaRecord): boolean {
    return this.#schemas !== undefined && key?.[0] === 0 && performance.now() < this.#endsAt
  }

  async #lookBySchema(partition: number, record: KafkaRecord): Promise<void> {
    const { key, headers } = record
    const { key: json } = await recordJson(this.#schemas!, { key, value: null, headers })
    if (this.#jsons.has(json) || this.#jsons.has(sameJson(json))) this.#add(partition, record, true)
    else this.#look(partition, record)
  }

  #look(partition: number, record: KafkaRecord): void {
    const { key } = record
    const spelling = key === null ? -1 : this.#spellings.findIndex(one => key.equals(one))
    if (spelling >= 0) this.#add(partition, record, spelling === 0)
  }

  #add(partition: number, { offset, timestampMs, value }: KafkaRecord, isAsAsked: boolean): void {
    this.#isFoundAsAsked ||= isAsAsked
    const timestamp = timestampMs >= 0 ? timestampMs : undefined
    this.#found.push({ partition, offset, timestamp, valueBytes: value === null ? null : value.length })
  }
}

/** JSON without the white space between its tokens. What is no JSON stays as it is. */
function sameJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text))
  } catch {
    return text
  }
}

/**
 * How a client may have sent the key: as it is, or as JSON, which has quotes around a text.
 *
 *   k1     =>   k1  "k1"
 *   ü      =>   ü  "ü"  "\u00fc"
 *   "k1"   =>   "k1"  "\"k1\""  k1
 */
export function spellingsOf(key: string): readonly string[] {
  const json = JSON.stringify(key)
  // Some writers of JSON, such as Python's, escape what is beyond ASCII.
  const escaped = json.replace(/[\x80-\uffff]/g, one => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const spellings = new Set([key, json, escaped])
  try {
    if (/^".*"$/s.test(key)) spellings.add(String(JSON.parse(key)))
  } catch {
    // Not JSON.
  }
  return [...spellings]
}

/** The partitions to which some API, or another client, sends records with this key. */
export function partitionsOf(key: Buffer, topic: string, count: number): readonly number[] {
  const choices = KEYED.map(name => partitioners[name](key, count, topic))
  return [...new Set(choices.filter(choice => typeof choice === 'number'))]
}

const wasSearched = ({ records, from, earliest, latest }: Cursor): boolean =>
  records > 0 || from < latest || latest <= earliest

/** @param records the newest first */
function foundText(records: FoundRecords['records'], topic: string): string {
  const [at, now] = [records[0]?.timestamp, Date.now()]
  const when = at && `${instantText(at, new Date(now).toISOString())}, ${agoText(Math.max(0, now - at))}`
  if (records.length === 1) return `A record with this key is in topic ${topic}${when ? `, of ${when}` : ''}.`
  const count = `${records.length >= MAX_FOUND ? 'At least ' : ''}${records.length}`
  return `${count} records with this key are in topic ${topic}${when ? `, the newest of ${when}` : ''}.`
}

function notFoundText(searched: readonly Searched[], notSearched: number): string {
  const others = `${countText(notSearched)} other partitions were not searched; a client may have named one.`
  return [
    'It is not in what was searched, as text or as JSON.',
    ...(searched.some(({ isWhole }) => !isWhole) ? ['It may be older.'] : []),
    ...(notSearched > 0 ? [others] : [])
  ].join(' ')
}

/** Handles a failure that Kafka or its silence causes, where it may be left out. */
const onlyIf =
  <Value>(isOptional: (error: CastellanError) => boolean, value: Value) =>
  (error: unknown): Value => {
    if (error instanceof CastellanError && isOptional(error)) return value
    throw error
  }

function failureOf(result: { readonly type: string }): CastellanError {
  const { code, message, retriable } = result as Partial<Pick<CastellanError, 'code' | 'message' | 'retriable'>>
  if (result.type !== 'failed' || code === undefined)
    return new CastellanError('timedOut', 'Kafka did not answer in time', true)
  return new CastellanError(code, message ?? code, retriable ?? true)
}
