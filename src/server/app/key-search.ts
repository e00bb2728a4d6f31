import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import { isLegalTopicName, type KafkaRecord, type MonotonicClock, type Offset } from '../../core/model.js'
import type { FoundRecords } from '../../http/status/record-question.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { type PartitionerName, partitioners } from '../../producer/memory/partitioners.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { RouterHandle } from '../../router/routing/router.js'

/** So many records, or bytes, are looked at in one search; of several partitions, each gets an equal share. */
export const MAX_RECORDS = 10_000
export const MAX_BYTES = 16 * 1024 * 1024
const TIMEOUT_MS = 15_000
/** The first step back; the largest records fit into it. Later steps grow as far as the bytes that are left allow. */
const FIRST_STEP = 8
/** Records that are named; further ones are only looked at. */
const MAX_FOUND = 20

/** Every partitioner whose choice depends on the key. */
const KEYED: readonly PartitionerName[] = ['murmur2', 'crc32', 'fnv1a', 'javaHashCode', 'phash2']

type Searched = FoundRecords['searched'][number]
type Found = FoundRecords['records'][number]

/** Looks for a key from the end of its partition backwards, within bounds of records, bytes and time. */
export class KeySearch {
  readonly #router: RouterHandle['ref']
  readonly #clock: MonotonicClock
  readonly #endsAt: number
  readonly #topic: string
  readonly #key: Buffer
  readonly #found: Found[] = []

  constructor(router: RouterHandle['ref'], clock: MonotonicClock, topic: string, key: Buffer) {
    this.#router = router
    this.#clock = clock
    this.#endsAt = clock() + TIMEOUT_MS
    this.#topic = topic
    this.#key = key
  }

  /** @throws CastellanError when Kafka does not answer, or the topic does not exist */
  async run(): Promise<FoundRecords> {
    const count = await this.#partitionCount()
    const partitions = partitionsOf(this.#key, this.#topic, count)
    const [maxRecords, maxBytes] = [MAX_RECORDS, MAX_BYTES].map(limit => Math.floor(limit / partitions.length))
    const searched: Searched[] = []
    for (const partition of partitions) searched.push(await this.#search(partition, maxRecords!, maxBytes!))
    const records = this.#found.sort((one, other) => (other.timestamp ?? 0) - (one.timestamp ?? 0)).slice(0, MAX_FOUND)
    return { ...verdictOf(records, searched, this.#topic), records, searched }
  }

  async #partitionCount(): Promise<number> {
    if (!isLegalTopicName(this.#topic)) throw new InvalidRequestError('this is not a legal topic name', 'invalidTopic')
    const asked = { type: 'fetchTopicMetadata', requestId: 0, topics: [this.#topic], timeoutMs: this.#leftMs } as const
    const result = await askRouter(this.#router, asked)
    if (result.type !== 'success') throw failureOf(result)
    const metadata = result.topics.get(this.#topic)
    const errorCode = metadata?.errorCode ?? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    if (metadata !== undefined && errorCode === errorCodes.NONE) return metadata.partitions.length
    throw new InvalidRequestError(`topic ${this.#topic}: ${kafkaErrorOf(errorCode).message}`, 'unknownTopic')
  }

  get #leftMs(): number {
    const leftMs = this.#endsAt - this.#clock()
    if (leftMs <= 0) throw new CastellanError('timedOut', 'the search took too long', true)
    return Math.ceil(leftMs)
  }

  async #search(partition: number, maxRecords: number, maxBytes: number): Promise<Searched> {
    const [earliest, latest] = [await this.#offset(partition, 'earliest'), await this.#offset(partition, 'latest')]
    let [from, records, bytes, step] = [latest, 0, 0, FIRST_STEP]
    // The newest records first: a step back, then forwards to where the step before began.
    while (from > earliest && records < maxRecords && bytes < maxBytes && this.#found.length < MAX_FOUND) {
      const start = Math.max(earliest, from - Math.min(step, maxRecords - records))
      const read = await this.#read(partition, start, from, maxBytes - bytes)
      records += read.records
      bytes += read.bytes
      if (!read.isWhole) break
      from = start
      const bytesPerRecord = Math.max(1, bytes / Math.max(1, records))
      step = Math.max(1, Math.min(10 * step, Math.floor((maxBytes - bytes) / bytesPerRecord)))
    }
    return { partition, from, to: Math.max(from, latest - 1), records, isWhole: from <= earliest }
  }

  async #offset(partition: number, offsetType: 'earliest' | 'latest'): Promise<Offset> {
    const topicPartition = { topic: this.#topic, partition }
    const result = await askRouter(this.#router, {
      type: 'fetchOffset',
      topicPartition,
      offsetType,
      timeoutMs: this.#leftMs
    })
    if (result.type === 'success') return result.offset
    throw failureOf(result)
  }

  /** Reads the records from `start` up to `end`. `isWhole`: the bytes were enough for all of them. */
  async #read(
    partition: number,
    start: Offset,
    end: Offset,
    maxBytes: number
  ): Promise<{ records: number; bytes: number; isWhole: boolean }> {
    let [offset, records, bytes] = [start, 0, 0]
    while (offset < end) {
      if (bytes >= maxBytes) return { records, bytes, isWhole: false }
      const topicPartition = { topic: this.#topic, partition }
      const result = await askRouter(this.#router, {
        type: 'fetchData',
        topicPartition,
        offset,
        timeoutMs: this.#leftMs
      })
      if (result.type === 'corruptMessage') offset = result.nextOffset
      else if (result.type === 'noMessages') break
      else if (result.type === 'success') {
        for (const record of result.batch) {
          if (record.offset >= end) break
          records++
          this.#look(partition, record)
        }
        bytes += result.batch.sizeBytes
        offset = result.batch.nextOffset
      } else throw failureOf(result)
    }
    return { records, bytes, isWhole: true }
  }

  #look(partition: number, { key, offset, timestampMs, value }: KafkaRecord): void {
    if (key === null || !key.equals(this.#key)) return
    const valueBytes = value === null ? null : value.length
    this.#found.push({ partition, offset, ...(timestampMs >= 0 && { timestamp: timestampMs }), valueBytes })
  }
}

/** The partitions to which some API, or another client, sends records with this key. */
export function partitionsOf(key: Buffer, topic: string, count: number): readonly number[] {
  const choices = KEYED.map(name => partitioners[name](key, count, topic))
  return [...new Set(choices.filter(choice => typeof choice === 'number'))]
}

function verdictOf(
  records: readonly Found[],
  searched: readonly Searched[],
  topic: string
): Pick<FoundRecords, 'verdict' | 'message'> {
  if (records.length > 0) {
    const what =
      records.length === 1 ? 'A record' : `${records.length >= MAX_FOUND ? 'At least ' : ''}${records.length} records`
    return {
      verdict: 'yes',
      message: `${what} with this key ${records.length === 1 ? 'is' : 'are'} in topic ${topic}.`
    }
  }
  if (searched.every(({ isWhole }) => isWhole)) {
    return { verdict: 'no', message: `Topic ${topic} has no record with this key in the partitions of the key.` }
  }
  return { verdict: 'notFound', message: 'It is not among the newest records of its partition. It may be older.' }
}

function failureOf(result: { readonly type: string }): CastellanError {
  const { code, message, retriable } = result as Partial<Pick<CastellanError, 'code' | 'message' | 'retriable'>>
  if (result.type === 'failed' && code !== undefined)
    return new CastellanError(code, message ?? code, retriable ?? true)
  return new CastellanError('timedOut', 'Kafka did not answer in time', true)
}
