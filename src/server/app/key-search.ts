import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import { isLegalTopicName, type KafkaRecord, type MonotonicClock, type Offset } from '../../core/model.js'
import type { FoundRecords } from '../../http/status/record-question.js'
import { agoText, countText, firstOf, instantText } from '../../http/status/units.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { type PartitionerName, partitioners } from '../../producer/memory/partitioners.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { RouterHandle } from '../../router/routing/router.js'

/** So many records, or bytes, are looked at in one search, in all partitions together. */
export const MAX_RECORDS = 10_000
export const MAX_BYTES = 16 * 1024 * 1024
/** Partitions that are looked at besides those of the key. */
export const MAX_OTHERS = 64
const TIMEOUT_MS = 15_000
/** The first step back; the largest records fit into it. Later steps grow as far as the bytes that are left allow. */
const FIRST_STEP = 8
const GROWTH = 10
/** Records that are named; further ones are only looked at. */
const MAX_FOUND = 20
/** Partitions that the message names one by one. */
const MAX_NAMED = 5

/** Every partitioner whose choice depends on the key. */
const KEYED: readonly PartitionerName[] = ['murmur2', 'crc32', 'fnv1a', 'javaHashCode', 'phash2']

type Searched = FoundRecords['searched'][number]
type Found = FoundRecords['records'][number]

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
  /** The search goes on when it cannot be read. */
  readonly mayFail: boolean
  isOver: boolean
}

/**
 * Looks for a key from the ends of partitions backwards, within bounds of records, bytes and time. The partitions in
 * which clients put the key come first, and share the bounds: what a short one leaves goes to the others. If the key is
 * in none of them, the other partitions of the topic get the rest, because a client may name a partition.
 */
export class KeySearch {
  readonly #router: RouterHandle['ref']
  readonly #clock: MonotonicClock
  readonly #endsAt: number
  readonly #topic: string
  readonly #spellings: readonly Buffer[]
  readonly #found: Found[] = []
  /** Which spellings were found, by their places. */
  readonly #foundAs = new Set<number>()
  #recordsLeft = MAX_RECORDS
  #bytesLeft = MAX_BYTES
  /** Partitions that no broker leads, so that they cannot be read. */
  #leaderless: ReadonlySet<number> = new Set()

  constructor(router: RouterHandle['ref'], clock: MonotonicClock, topic: string, key: string) {
    this.#router = router
    this.#clock = clock
    this.#endsAt = clock() + TIMEOUT_MS
    this.#topic = topic
    this.#spellings = spellingsOf(key).map(text => Buffer.from(text))
  }

  /** @throws CastellanError when Kafka does not answer, or the topic does not exist */
  async run(): Promise<FoundRecords> {
    const count = await this.#partitionCount()
    const own = new Set(this.#spellings.flatMap(key => partitionsOf(key, this.#topic, count)))
    const cursors: Cursor[] = []
    for (const partition of own) if (!this.#leaderless.has(partition)) cursors.push(await this.#open(partition))
    await this.#search(cursors)
    if (this.#found.length === 0) {
      const others = await this.#openOthers(count, own)
      await this.#search(others)
      cursors.push(...others)
    }
    return this.#answer(count, cursors.filter(wasSearched).map(searchedOf))
  }

  #answer(count: number, searched: readonly Searched[]): FoundRecords {
    const records = this.#found.sort((one, other) => (other.timestamp ?? 0) - (one.timestamp ?? 0)).slice(0, MAX_FOUND)
    const notSearched = count - searched.length
    const verdict = verdictOf(records, searched, notSearched)
    const messages = {
      yes: () => foundText(records, this.#topic) + (this.#foundAs.has(0) ? '' : OTHER_SPELLING),
      no: () => `Topic ${this.#topic} has no record with this key, as text or as JSON. All of it was searched.`,
      notFound: () => notFoundText(searched, notSearched)
    }
    return {
      verdict,
      message: messages[verdict]() + this.#leaderlessText(),
      records,
      searched: [...searched],
      notSearched
    }
  }

  #leaderlessText(): string {
    if (this.#leaderless.size === 0) return ''
    const all = [...this.#leaderless].map(partition => `${this.#topic}/${partition}`)
    return ` Not looked at, because no broker leads it now: ${firstOf(all, MAX_NAMED)}.`
  }

  async #partitionCount(): Promise<number> {
    if (!isLegalTopicName(this.#topic)) throw new InvalidRequestError('this is not a legal topic name', 'invalidTopic')
    const asked = { type: 'fetchTopicMetadata', requestId: 0, topics: [this.#topic], timeoutMs: this.#leftMs } as const
    const result = await askRouter(this.#router, asked)
    if (result.type !== 'success') throw failureOf(result)
    const metadata = result.topics.get(this.#topic)
    const errorCode = metadata?.errorCode ?? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    if (metadata !== undefined && errorCode === errorCodes.NONE) {
      const leaderless = metadata.partitions.filter(({ leaderId }) => leaderId < 0)
      this.#leaderless = new Set(leaderless.map(({ partition }) => partition))
      return metadata.partitions.length
    }
    throw new InvalidRequestError(`topic ${this.#topic}: ${kafkaErrorOf(errorCode).message}`, 'unknownTopic')
  }

  get #leftMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - this.#clock()))
  }

  get #isOver(): boolean {
    const isSpent = this.#recordsLeft <= 0 || this.#bytesLeft <= 0
    return isSpent || this.#found.length >= MAX_FOUND || this.#clock() >= this.#endsAt
  }

  async #open(partition: number, mayFail = false): Promise<Cursor> {
    const [earliest, latest] = [await this.#offset(partition, 'earliest'), await this.#offset(partition, 'latest')]
    const position = { partition, earliest, latest, from: latest, step: FIRST_STEP }
    return { ...position, records: 0, bytes: 0, hasGaps: false, mayFail, isOver: latest <= earliest }
  }

  /** A partition that cannot be read is left out: that of the key was read. */
  async #openOthers(count: number, own: ReadonlySet<number>): Promise<Cursor[]> {
    const cursors: Cursor[] = []
    for (let partition = 0; partition < count && cursors.length < MAX_OTHERS && !this.#isOver; partition++) {
      if (own.has(partition) || this.#leaderless.has(partition)) continue
      const cursor = await this.#open(partition, true).catch(onlyCastellanErrors)
      if (cursor !== undefined) cursors.push(cursor)
    }
    return cursors
  }

  /** One step back in each partition in turn, so that the newest records of all come first. */
  async #search(cursors: readonly Cursor[]): Promise<void> {
    for (let open = cursors; open.length > 0; open = open.filter(({ isOver }) => !isOver)) {
      const shareOfRecords = Math.ceil(this.#recordsLeft / open.length)
      for (const cursor of open) {
        if (this.#isOver) return
        await this.#stepBack(cursor, Math.min(shareOfRecords, this.#recordsLeft))
        const bytesPerRecord = Math.max(1, cursor.bytes / Math.max(1, cursor.records))
        const fitting = Math.floor(this.#bytesLeft / open.length / bytesPerRecord)
        cursor.step = Math.max(1, Math.min(GROWTH * cursor.step, fitting))
      }
    }
  }

  async #stepBack(cursor: Cursor, maxRecords: number): Promise<void> {
    const { partition, earliest, from, mayFail } = cursor
    const start = Math.max(earliest, from - Math.min(cursor.step, maxRecords))
    const read = await this.#read(partition, start, from, this.#bytesLeft).catch((error: unknown) => {
      // What was looked at before counts when time is over.
      const isOptional = mayFail ? error instanceof CastellanError : cursor.records > 0 && isTimeout(error)
      if (!isOptional) throw error
      return { records: 0, bytes: 0, isWhole: false, hasGaps: false }
    })
    cursor.records += read.records
    cursor.bytes += read.bytes
    cursor.hasGaps ||= read.hasGaps
    this.#recordsLeft -= read.records
    this.#bytesLeft -= read.bytes
    if (read.isWhole) cursor.from = start
    cursor.isOver = !read.isWhole || start <= earliest
  }

  async #offset(partition: number, offsetType: 'earliest' | 'latest'): Promise<Offset> {
    const topicPartition = { topic: this.#topic, partition }
    const asked = { type: 'fetchOffset', topicPartition, offsetType, timeoutMs: this.#leftMs } as const
    const result = await askRouter(this.#router, asked)
    if (result.type === 'success') return result.offset
    throw failureOf(result)
  }

  /** Reads the records from `start` up to `end`. `isWhole`: the bytes were enough for all of them. */
  async #read(partition: number, start: Offset, end: Offset, maxBytes: number): Promise<Read> {
    let [offset, records, bytes, hasGaps] = [start, 0, 0, false]
    while (offset < end) {
      if (bytes >= maxBytes) return { records, bytes, isWhole: false, hasGaps }
      const topicPartition = { topic: this.#topic, partition }
      const asked = { type: 'fetchData', topicPartition, offset, timeoutMs: this.#leftMs } as const
      const result = await askRouter(this.#router, asked)
      if (result.type === 'corruptMessage') {
        hasGaps = true
        offset = result.nextOffset
      } else if (result.type === 'noMessages' && result.nextOffset !== undefined) offset = result.nextOffset
      else if (result.type === 'noMessages' || result.type === 'offsetOutOfRange') {
        // The rest was deleted, or its transaction was, since the ends of the log were read.
        return { records, bytes, isWhole: true, hasGaps: true }
      } else if (result.type === 'success') {
        for (const record of result.batch) {
          if (record.offset >= end) break
          records++
          this.#look(partition, record)
        }
        bytes += result.batch.sizeBytes
        offset = result.batch.nextOffset
      } else throw failureOf(result)
    }
    return { records, bytes, isWhole: true, hasGaps }
  }

  #look(partition: number, { key, offset, timestampMs, value }: KafkaRecord): void {
    const spelling = key === null ? -1 : this.#spellings.findIndex(one => key.equals(one))
    if (spelling < 0) return
    this.#foundAs.add(spelling)
    const valueBytes = value === null ? null : value.length
    this.#found.push({ partition, offset, ...(timestampMs >= 0 && { timestamp: timestampMs }), valueBytes })
  }
}

interface Read {
  readonly records: number
  readonly bytes: number
  readonly isWhole: boolean
  readonly hasGaps: boolean
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
  return [...new Set([key, json, json.replace(BEYOND_ASCII, escaped), ...unquotedOf(key)])]
}

/** Some writers of JSON, such as Python's, escape it. */
const BEYOND_ASCII = /[\x80-\uffff]/g
const HEX = 16
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(HEX).padStart(4, '0')}`

function unquotedOf(key: string): readonly string[] {
  if (!/^".*"$/s.test(key)) return []
  try {
    return [String(JSON.parse(key))]
  } catch {
    return []
  }
}

/** The partitions to which some API, or another client, sends records with this key. */
export function partitionsOf(key: Buffer, topic: string, count: number): readonly number[] {
  const choices = KEYED.map(name => partitioners[name](key, count, topic))
  return [...new Set(choices.filter(choice => typeof choice === 'number'))]
}

const wasSearched = ({ records, from, earliest, latest }: Cursor): boolean =>
  records > 0 || from < latest || latest <= earliest

const searchedOf = ({ partition, from, earliest, latest, records, hasGaps }: Cursor): Searched => ({
  partition,
  from,
  to: Math.max(from, latest - 1),
  records,
  isWhole: from <= earliest && !hasGaps
})

function verdictOf(
  records: readonly Found[],
  searched: readonly Searched[],
  notSearched: number
): 'yes' | 'no' | 'notFound' {
  if (records.length > 0) return 'yes'
  return notSearched === 0 && searched.every(({ isWhole }) => isWhole) ? 'no' : 'notFound'
}

const OTHER_SPELLING = ' Its key is stored in another form than was asked for: JSON has quotes around a text.'

/** @param records the newest first */
function foundText(records: readonly Found[], topic: string): string {
  const at = records[0]?.timestamp
  const now = Date.now()
  const when =
    at === undefined ? '' : `${instantText(at, new Date(now).toISOString())}, ${agoText(Math.max(0, now - at))}`
  if (records.length === 1) return `A record with this key is in topic ${topic}${when === '' ? '' : `, of ${when}`}.`
  const count = `${records.length >= MAX_FOUND ? 'At least ' : ''}${records.length}`
  return `${count} records with this key are in topic ${topic}${when === '' ? '' : `, the newest of ${when}`}.`
}

function notFoundText(searched: readonly Searched[], notSearched: number): string {
  const what = searched.length > MAX_NAMED ? `${searched.length} partitions` : searched.map(partText).join(', ')
  const isOlder = searched.some(({ isWhole }) => !isWhole)
  return [
    `It is not in what was searched, as text or as JSON: ${what === '' ? 'nothing' : what}.`,
    ...(isOlder ? ['It may be older.'] : []),
    ...(notSearched > 0
      ? [`${countText(notSearched)} other partitions were not searched; a client may have named one.`]
      : [])
  ].join(' ')
}

const partText = ({ partition, records, isWhole }: Searched): string =>
  isWhole ? `all of partition ${partition}` : `the last ${countText(records)} records of partition ${partition}`

const isTimeout = (error: unknown): boolean => error instanceof CastellanError && error.code === 'timedOut'

function onlyCastellanErrors(error: unknown): undefined {
  if (!(error instanceof CastellanError)) throw error
}

function failureOf(result: { readonly type: string }): CastellanError {
  const { code, message, retriable } = result as Partial<Pick<CastellanError, 'code' | 'message' | 'retriable'>>
  if (result.type === 'failed' && code !== undefined)
    return new CastellanError(code, message ?? code, retriable ?? true)
  return new CastellanError('timedOut', 'Kafka did not answer in time', true)
}
