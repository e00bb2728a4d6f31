import { requireTopic } from '../../consumer/stream/topic-readers.js'
import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import { isLegalTopicName, type KafkaRecord, type Offset } from '../../core/model.js'
import type { LogEnds } from '../../gateway/admin.js'
import type { Gateway } from '../../gateway/gateway.js'
import type { ReceiptDesk, ReceiptReply } from '../../gateway/receipts.js'
import { ANONYMOUS } from '../../http/access/access.js'
import type { FoundRecords, RecordQuestion } from '../../http/status/record-question.js'
import { agoText, countText, firstOf, instantText } from '../../http/status/units.js'
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
  readonly clusters: readonly Pick<KafkaCluster, 'name' | 'router' | 'gateway'>[]
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
  return new KeySearch(cluster, topic, key, schemas).run()
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

/** A partition, and the offsets that it had at the start of the search. */
interface Log extends LogEnds {
  readonly partition: number
}

/**
 * Looks for a key from the ends of partitions backwards, within bounds of records, bytes and time. The partitions in
 * which clients put the key share the bounds: what a short one leaves goes to the longer ones. If the key is in none of
 * them, the other partitions of the topic get the rest, because a client may name a partition.
 */
class KeySearch {
  readonly #router: RouterHandle['ref']
  readonly #gateway: Gateway
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

  constructor({ router, gateway }: FindRecordDeps['clusters'][number], topic: string, key: string, schemas?: Decoding) {
    this.#schemas = schemas
    this.#jsons = new Set([key, JSON.stringify(key), sameJson(key)])
    this.#router = router.ref
    this.#gateway = gateway
    this.#topic = topic
    this.#spellings = spellingsOf(key).map(text => Buffer.from(text))
  }

  /** @throws CastellanError when Kafka does not answer, or the topic does not exist */
  async run(): Promise<FoundRecords> {
    const topic = this.#topic
    if (!isLegalTopicName(topic)) throw new InvalidRequestError('this is not a legal topic name', 'invalidTopic')
    const { partitions } = requireTopic(topic, await this.#gateway.topics([topic], this.#leftMs))
    const [led, leaderless] = [[], []] as [number[], string[]]
    for (const { partition, leaderId } of partitions) {
      if (leaderId < 0) leaderless.push(`${this.#topic}/${partition}`)
      else led.push(partition)
    }
    const own = new Set(this.#spellings.flatMap(key => partitionsOf(key, topic, partitions.length)))
    const searched = await this.#search(led.filter(partition => own.has(partition)))
    if (this.#found.length === 0) {
      const others = led.filter(partition => !own.has(partition))
      searched.push(...(await this.#search(others.slice(0, MAX_OTHERS), true)))
    }
    const notSearched = partitions.length - searched.length
    const isAll = notSearched === 0 && searched.every(({ isWhole }) => isWhole)
    const records = this.#found.sort((one, other) => (other.timestamp ?? 0) - (one.timestamp ?? 0)).slice(0, MAX_FOUND)
    const none = isAll
      ? `Topic ${this.#topic} has no record with this key, as text or as JSON. All of it was searched.`
      : notFoundText(searched, notSearched)
    const away = ` Not looked at, because no broker leads it now: ${firstOf(leaderless, MAX_NAMED)}.`
    const message = records.length === 0 ? none : foundText(records, this.#topic, this.#isFoundAsAsked)
    return {
      verdict: records.length > 0 ? 'yes' : isAll ? 'no' : 'notFound',
      message: leaderless.length === 0 ? message : message + away,
      records,
      searched,
      notSearched
    }
  }

  get #leftMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now()))
  }

  get #isOver(): boolean {
    return this.#recordsLeft <= 0 || this.#bytesLeft <= 0 || performance.now() >= this.#endsAt
  }

  /** @param mayFail a partition that cannot be read is left out */
  async #search(partitions: readonly number[], mayFail = false): Promise<Searched[]> {
    const logs: Log[] = []
    for (const partition of partitions) {
      if (mayFail && this.#isOver) break
      const asked = this.#gateway.admin.logEnds([{ topic: this.#topic, partition }], this.#leftMs)
      const [ends] = await asked.catch(onlyIf(() => mayFail, []))
      if (ends !== undefined) logs.push({ partition, ...ends })
    }
    // A short one leaves its share to the longer ones.
    logs.sort((one, other) => one.end - one.start - (other.end - other.start))
    const searched: Searched[] = []
    for (const [index, log] of logs.entries()) {
      const found = await this.#searchLog(log, logs.length - index, mayFail)
      if (found.records > 0 || found.from < log.end || log.end <= log.start) searched.push(found)
    }
    return searched
  }

  /** Goes back in one partition, with its share of the bounds. */
  async #searchLog(
    { partition, start: earliest, end: latest }: Log,
    sharers: number,
    mayFail: boolean
  ): Promise<Searched> {
    const [recordsBefore, bytesBefore, foundBefore] = [this.#recordsLeft, this.#bytesLeft, this.#found.length]
    const recordsOf = (): number => recordsBefore - this.#recordsLeft
    const bytesOf = (): number => bytesBefore - this.#bytesLeft
    let [from, step, hasGaps] = [latest, FIRST_STEP, false]
    while (from > earliest && step > 0 && !this.#isOver && this.#found.length - foundBefore < MAX_FOUND) {
      const start = Math.max(earliest, from - step)
      // What was looked at before counts when time is over.
      const isOptional = (error: CastellanError): boolean => mayFail || (recordsOf() > 0 && error.code === 'timedOut')
      const block = await this.#readBlock(partition, start, from).catch(onlyIf(isOptional, undefined))
      if (block === undefined) break
      hasGaps ||= block.hasGaps
      if (block.isRead) from = start
      const bytesPerRecord = Math.max(1, bytesOf() / Math.max(1, recordsOf()))
      const recordsLeft = Math.ceil(recordsBefore / sharers) - recordsOf()
      const fitting = Math.floor((bytesBefore / sharers - bytesOf()) / bytesPerRecord)
      step = Math.min(GROWTH * step, recordsLeft, block.isRead ? fitting : 0)
    }
    return {
      partition,
      from,
      to: Math.max(from, latest - 1),
      records: recordsOf(),
      isWhole: from <= earliest && !hasGaps
    }
  }

  /** Reads the records from `start` to before `end`. @returns whether all of them were read, and whether some are missing */
  async #readBlock(partition: number, start: Offset, end: Offset) {
    let hasGaps = false
    for (let offset = start; offset < end; ) {
      if (this.#bytesLeft <= 0) return { isRead: false, hasGaps }
      const topicPartition = { topic: this.#topic, partition }
      const asked = { type: 'fetchData', topicPartition, offset, timeoutMs: this.#leftMs } as const
      const result = await askRouter(this.#router, asked)
      if (result.type === 'success') {
        for (const record of result.batch) {
          if (record.offset >= end) break
          this.#recordsLeft--
          await this.#look(partition, record)
        }
        this.#bytesLeft -= result.batch.sizeBytes
        offset = result.batch.nextOffset
      } else if (result.type === 'corruptMessage') {
        hasGaps = true
        offset = result.nextOffset
      } else if (result.type === 'noMessages' || result.type === 'offsetOutOfRange') {
        const next = result.type === 'noMessages' ? result.nextOffset : undefined
        // Without a next one, the rest was deleted, or its transaction was, since the ends of the log were read.
        hasGaps ||= next === undefined
        offset = next ?? end
      } else throw failureOf(result)
    }
    return { isRead: true, hasGaps }
  }

  #look(partition: number, record: KafkaRecord): void | Promise<void> {
    const { key, offset, timestampMs, value } = record
    const add = (isAsAsked: boolean): void => {
      this.#isFoundAsAsked ||= isAsAsked
      const timestamp = timestampMs >= 0 ? timestampMs : undefined
      this.#found.push({ partition, offset, timestamp, valueBytes: value === null ? null : value.length })
    }
    const lookAtBytes = (): void => {
      const spelling = key === null ? -1 : this.#spellings.findIndex(one => key.equals(one))
      if (spelling >= 0) add(spelling === 0)
    }
    if (this.#schemas === undefined || key?.[0] !== 0 || performance.now() >= this.#endsAt) return lookAtBytes()
    return Promise.resolve(recordJson(this.#schemas, { key, value: null, headers: record.headers })).then(
      ({ key: json }) => {
        if (this.#jsons.has(json) || this.#jsons.has(sameJson(json))) add(true)
        else lookAtBytes()
      }
    )
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

/** @param records the newest first */
function foundText(records: FoundRecords['records'], topic: string, isAsAsked: boolean): string {
  const [at, now] = [records[0]?.timestamp, Date.now()]
  const when = at && `${instantText(at, new Date(now).toISOString())}, ${agoText(Math.max(0, now - at))}`
  const count = `${records.length >= MAX_FOUND ? 'At least ' : ''}${records.length}`
  const where =
    records.length === 1
      ? `A record with this key is in topic ${topic}${when ? `, of ${when}` : ''}.`
      : `${count} records with this key are in topic ${topic}${when ? `, the newest of ${when}` : ''}.`
  const asOther = ' Its key is stored in another form than was asked for: JSON has quotes around a text.'
  return isAsAsked ? where : where + asOther
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
