import { asking } from '../../consumer/partition/ask.js'
import { BackwardScan } from '../../consumer/partition/backward-scan.js'
import { PartitionLog } from '../../consumer/partition/partition-log.js'
import { requireTopic } from '../../consumer/stream/topic-readers.js'
import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import { ageMsOf, exactTimestamp, isoNow } from '../../core/instants.js'
import { parsedJson } from '../../core/json/parsed-json.js'
import { isLegalTopicName, type KafkaRecord } from '../../core/model.js'
import { ANONYMOUS } from '../../http/access/access.js'
import type { FoundRecords, OnRead, RecordAsker, RecordQuestion } from '../../http/status/record-question.js'
import { agoText, countText, firstOf, instantText } from '../../http/status/units.js'
import { type PartitionerName, partitioners } from '../../producer/memory/partitioners.js'
import type { RouterHandle } from '../../router/routing/router.js'
import { type Decoding, recordJson } from '../../schemas/record-json.js'
import type { LogEnds } from '../../verbs/admin.js'
import type { ReceiptDesk, ReceiptReply } from '../../verbs/receipts.js'
import type { Verbs } from '../../verbs/verbs.js'
import type { ConfiguredCluster } from './kafka.js'

/** Limits of the records and bytes that one search looks at, in all partitions together. */
const MAX_RECORDS = 10_000
const MAX_BYTES = 16 * 1024 * 1024
/** Partitions that are looked at besides those of the key. */
const MAX_OTHERS = 64
const TIMEOUT_MS = 15_000
/** Records that are named, and partitions that the message names one by one. */
const MAX_FOUND = 20
const MAX_NAMED = 5

/** Every partitioner whose choice depends on the key. */
const KEYED: readonly PartitionerName[] = ['murmur2', 'crc32', 'fnv1a', 'javaHashCode', 'phash2']

export interface FindRecordDeps {
  readonly clusters: readonly Pick<ConfiguredCluster, 'name' | 'router' | 'verbs'>[]
  /** `undefined`: receipts are switched off. */
  readonly receipts?: Pick<ReceiptDesk, 'read'> | undefined
  /** Reads keys that have a schema. Absent: no registry is configured. */
  readonly schemas?: Decoding | undefined
}

/**
 * Answers the question whether a record is in Kafka.
 *
 * @param onRead called once with what was read from Kafka for it, also where that has failed; not for receipts
 * @throws CastellanError when Kafka does not answer, or the topic does not exist
 */
export async function findRecord(
  { clusters, receipts, schemas }: FindRecordDeps,
  question: RecordQuestion,
  { principal, client }: RecordAsker,
  onRead: OnRead = () => undefined
): Promise<FoundRecords> {
  if (question.by === 'receipt') {
    if (receipts === undefined) throw new InvalidRequestError('this gateway gives no receipts')
    const principals = [...new Set([principal, ANONYMOUS])]
    return ofReceipt(await receipts.read({ id: question.receipt, principals }))
  }
  const { cluster: name = 'default' } = question
  const cluster = clusters.find(one => one.name === name)
  if (cluster === undefined) throw new InvalidRequestError(`there is no cluster ${name}`)
  const search = new KeySearch(cluster, question, client, schemas)
  try {
    return await search.run()
  } finally {
    const { records, bytes } = search.read
    onRead(records, bytes)
  }
}

/** Texts about a receipt without records. */
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
      .map(({ partition, offset, timestampMs }) => ({ partition, offset, timestamp: toldTime(timestampMs) }))
  }
}

type Searched = FoundRecords['searched'][number]
type QuestionByKey = Extract<RecordQuestion, { readonly by: 'key' }>

/**
 * Looks for a key from the ends of partitions backwards, within bounds of records, bytes and time. The partitions in
 * which clients put the key share the bounds: what a short one leaves goes to the longer ones. If the key is in none of
 * them, the other partitions of the topic get the rest, because a client may name a partition.
 */
class KeySearch {
  readonly #router: RouterHandle['ref']
  readonly #verbs: Verbs
  readonly #topic: string
  readonly #spellings: readonly Buffer[]
  readonly #schemas: Decoding | undefined
  readonly #owner: string | undefined
  /** The JSON that a key with a schema may have. */
  readonly #jsons: ReadonlySet<string>
  readonly #scan = new BackwardScan({
    maxRecords: MAX_RECORDS,
    maxBytes: MAX_BYTES,
    timeoutMs: TIMEOUT_MS,
    maxFound: MAX_FOUND,
    look: (partition, record) => this.#look(partition, record)
  })
  readonly #found: FoundRecords['records'] = []
  readonly #searched: Searched[] = []
  #isFoundAsAsked = false

  /** @param owner whose work decoding is */
  constructor(
    { router, verbs }: FindRecordDeps['clusters'][number],
    { topic, key }: QuestionByKey,
    owner: string | undefined,
    schemas?: Decoding
  ) {
    this.#schemas = schemas
    this.#owner = owner
    this.#jsons = new Set([key, JSON.stringify(key), sameJson(key)])
    this.#router = router.ref
    this.#verbs = verbs
    this.#topic = topic
    this.#spellings = spellingsOf(key).map(text => Buffer.from(text))
  }

  get read(): BackwardScan['read'] {
    return this.#scan.read
  }

  /** @throws CastellanError when Kafka does not answer, or the topic does not exist */
  async run(): Promise<FoundRecords> {
    const topic = this.#topic
    if (!isLegalTopicName(topic)) throw new InvalidRequestError('this is not a legal topic name', 'invalidTopic')
    const { partitions } = requireTopic(topic, await this.#verbs.topics([topic], this.#scan.leftMs))
    const led = partitions.flatMap(({ partition, leaderId }) => (leaderId < 0 ? [] : [partition]))
    const own = new Set(this.#spellings.flatMap(key => partitionsOf(key, topic, partitions.length)))
    await this.#search(led.filter(partition => own.has(partition)))
    if (this.#found.length === 0) {
      const others = led.filter(partition => !own.has(partition))
      await this.#search(others.slice(0, MAX_OTHERS), true)
    }
    const searched = this.#searched
    const notSearched = partitions.length - searched.length
    const isAll = notSearched === 0 && searched.every(({ isWhole }) => isWhole)
    const records = this.#found.sort((one, other) => (other.timestamp ?? 0) - (one.timestamp ?? 0)).slice(0, MAX_FOUND)
    const none = isAll
      ? `Topic ${topic} has no record with this key, as text or as JSON. All of it was searched.`
      : notFoundText(searched, notSearched)
    const leaderless = partitions.flatMap(({ partition, leaderId }) => (leaderId < 0 ? [`${topic}/${partition}`] : []))
    const away = ` Not looked at, because no broker leads it now: ${firstOf(leaderless, MAX_NAMED)}.`
    const message = records.length === 0 ? none : foundText(records, topic, this.#isFoundAsAsked)
    return {
      verdict: records.length > 0 ? 'yes' : isAll ? 'no' : 'notFound',
      message: leaderless.length === 0 ? message : message + away,
      records,
      searched,
      notSearched
    }
  }

  /** @param mayFail a partition that cannot be read is left out */
  async #search(partitions: readonly number[], mayFail = false): Promise<void> {
    const orNone = (error: unknown): undefined => {
      if (!mayFail || !(error instanceof CastellanError)) throw error
    }
    const logs: (LogEnds & { readonly partition: number })[] = []
    for (const partition of partitions) {
      if (mayFail && this.#scan.isOver) break
      const asked = this.#verbs.admin.logEnds([{ topic: this.#topic, partition }], this.#scan.leftMs)
      const [ends] = (await asked.catch(orNone)) ?? []
      if (ends !== undefined) logs.push({ partition, ...ends })
    }
    // A short one leaves its share to the longer ones.
    logs.sort((one, other) => one.end - one.start - (other.end - other.start))
    for (const [index, { partition, start, end }] of logs.entries()) {
      const place = { topic: this.#topic, partition }
      const log = new PartitionLog(asking(this.#router), place, undefined, this.#scan.leftMs)
      const searched: Searched = { partition, from: end, to: 0, records: 0, bytes: 0, isWhole: true }
      await this.#scan.readBack(log, searched, start, logs.length - index).catch(orNone)
      searched.to = Math.max(searched.from, end - 1)
      searched.isWhole &&= searched.from <= start
      if (searched.records > 0 || searched.from < end || end <= start) this.#searched.push(searched)
    }
  }

  /** @returns whether the record has the key */
  async #look(partition: number, { key, offset, timestampMs, value, headers }: KafkaRecord): Promise<boolean> {
    let isAsAsked = false
    if (this.#schemas !== undefined && key?.[0] === 0 && !this.#scan.isLate) {
      const { key: json } = await recordJson(this.#schemas, { key, value: null, headers }, false, this.#owner)
      isAsAsked = this.#jsons.has(json) || this.#jsons.has(sameJson(json))
    }
    const spelling = key === null ? -1 : this.#spellings.findIndex(one => key.equals(one))
    if (!isAsAsked && spelling < 0) return false
    this.#isFoundAsAsked ||= isAsAsked || spelling === 0
    this.#found.push({
      partition,
      offset,
      timestamp: toldTime(timestampMs),
      valueBytes: value === null ? null : value.length
    })
    return true
  }
}

/** JSON without the white space between its tokens. A text that is not JSON, or is long, stays as it is. */
function sameJson(text: string): string {
  try {
    return JSON.stringify(parsedJson(Buffer.from(text)))
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

/** `undefined`: the record has no time, or none that a number has exactly. */
const toldTime = (timestampMs: number): number | undefined =>
  timestampMs < 0 ? undefined : (exactTimestamp(timestampMs) ?? undefined)

/** The time, and how long ago it was: `21:00:00 UTC, 3 s ago`. A time that is ahead has no age. */
function whenText(timestampMs: number | undefined, nowMs: number): string {
  if (timestampMs === undefined) return ''
  const ageMs = ageMsOf(timestampMs, nowMs)
  return instantText(timestampMs, isoNow()) + (ageMs === null ? '' : `, ${agoText(ageMs)}`)
}

/** @param records the newest first */
function foundText(records: FoundRecords['records'], topic: string, isAsAsked: boolean): string {
  const when = whenText(records[0]?.timestamp, Date.now())
  const count = `${records.length >= MAX_FOUND ? 'At least ' : ''}${records.length}`
  const where =
    records.length === 1
      ? `A record with this key is in topic ${topic}${when && `, of ${when}`}.`
      : `${count} records with this key are in topic ${topic}${when && `, the newest of ${when}`}.`
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
