import { toBuffer } from '../core/bytes.js'
import { InvalidRequestError } from '../core/errors.js'
import type { ProduceRecord, RecordFailure, RecordHeader, RecordOutcome } from '../core/model.js'
import { ProduceError } from '../core/produce-error.js'
import { asList, checkOptionNames, checkSignal, kindOf, type OneOrMany } from '../core/settings/call-options.js'
import type { Durability } from '../producer/memory/delivery.js'
import type { PartitionerFunction, PartitionerName } from '../producer/memory/partitioners.js'
import type { PendingProduce, Verbs } from '../verbs/verbs.js'

const DEFAULT_DEADLINE_MS = 30_000

/** A string stands for its UTF-8 bytes. `null` is Kafka's null, which is not the same as empty. */
export type RecordBytes = string | Uint8Array | null

/** A record to write. */
export interface NewRecord {
  readonly topic: string
  /** `null` is a tombstone in a compacted topic. */
  readonly value: RecordBytes
  /** Default: `null`. */
  readonly key?: RecordBytes | undefined
  /** Absent: the partitioner decides. */
  readonly partition?: number | undefined
  /** Epoch milliseconds. Absent: the moment the record is accepted. */
  readonly timestampMs?: number | undefined
  /** Headers, either as an object, in which a list of values repeats its key, or as a list in order. Default: none. */
  readonly headers?:
    | Readonly<Record<string, RecordBytes | readonly RecordBytes[]>>
    | readonly { readonly key: string; readonly value: RecordBytes }[]
    | undefined
}

/** Options of `castellan.produce`. All have defaults. */
export interface ProduceOptions {
  /** How a record that names no partition gets one. Default: `murmur2`, the partitioner of Kafka's Java client. */
  readonly partitioner?: PartitionerName | PartitionerFunction | undefined
  /**
   * How long outcomes are waited for; default 30 s. A record in memory that no broker can have written by then is
   * withdrawn. Records that find the buffer full wait, in order, for as long, in memory without a limit. Records in memory
   * wait for at most `delivery.timeoutMs`.
   */
  readonly deadlineMs?: number | undefined
  /** Place where records wait for Kafka. `disk`: in the durable log. Default: `memory`. */
  readonly durability?: Durability | undefined
  /** Limit of key, value and headers of one record. Default: `delivery.maxRecordBytes`. */
  readonly maxRecordBytes?: number | undefined
  /**
   * When it is aborted, records in memory that are not sent yet fail with the code `aborted`, and `persisted: 'no'`. What is
   * under way keeps its outcome. For records in the durable log it ends the wait (`aborted`, `persisted: 'pending'`).
   */
  readonly signal?: AbortSignal | undefined
}

export type Delivered = Extract<RecordOutcome, { readonly type: 'delivered' }>

/** A promise of the outcomes, one for each record, in order. It never rejects. */
export interface Produced extends Promise<readonly RecordOutcome[]> {
  /**
   * Resolves when each record is accepted or refused, and accepted ones are as safe as their `durability` says.
   * `undefined`: all are accepted. Otherwise one entry for each record, `undefined` for an accepted one. Never rejects.
   */
  accepted(): Promise<readonly (RecordFailure | undefined)[] | undefined>
  /** The id for `receipt`, known when `accepted` has resolved. `undefined`: the records are not in the durable log. */
  readonly receipt: string | undefined
}

export interface ProgramProduce {
  /**
   * @throws InvalidRequestError at once, and not by the promise, when an option is wrong, or a record has a field that there
   * is not; no record was taken. A record that was read may be written as it is
   */
  produce(records: OneOrMany<NewRecord>, options?: ProduceOptions): Produced
  /** @throws ProduceError when a record is not known to be in Kafka */
  produceOrThrow(records: OneOrMany<NewRecord>, options?: ProduceOptions): Promise<readonly Delivered[]>
}

const RECORD_FIELDS = ['topic', 'value', 'key', 'partition', 'timestampMs', 'headers']
/** Fields of other clients, and what is meant. */
const MEANT_OF_RECORD = new Map([
  ['messages', 'a list of records, each with its value'],
  ['timestamp', 'timestampMs']
])
const OPTIONS = ['partitioner', 'deadlineMs', 'durability', 'maxRecordBytes', 'signal']
const MEANT_OPTIONS = new Map([
  ['timeout', 'deadlineMs'],
  ['timeoutMs', 'deadlineMs']
])

/** {@link ProgramProduce.produce} */
export function produceOf(verbs: Verbs, records: OneOrMany<NewRecord>, options: ProduceOptions = {}): Produced {
  const taken = recordsIn('produce', records)
  checkOptionNames('produce', options, OPTIONS, MEANT_OPTIONS)
  const { partitioner = 'murmur2', deadlineMs = DEFAULT_DEADLINE_MS, durability, maxRecordBytes, signal } = options
  if (typeof deadlineMs !== 'number' || !(deadlineMs >= 0))
    throw new InvalidRequestError('deadlineMs has to be a number of milliseconds, at least 0')
  checkSignal('produce', signal)
  const times = { deadlineMs, capacityWaitMs: deadlineMs }
  return new LazyOutcomes(
    verbs.produce(toRecords(taken), { partitioner, durability, maxRecordBytes, signal, ...times })
  )
}

const isDelivered = (outcome: RecordOutcome): outcome is Delivered => outcome.type === 'delivered'

/** The same outcomes. @throws ProduceError when a record has failed */
export function allDelivered(outcomes: readonly RecordOutcome[]): readonly Delivered[] {
  if (outcomes.every(isDelivered)) return outcomes
  const failed = outcomes.filter(outcome => outcome.type === 'failed')
  throw new ProduceError(outcomes, failed)
}

/** Asks for the outcomes only when the program waits for them. If it does not, records that do not reach Kafka count as lost. */
class LazyOutcomes implements Produced {
  readonly [Symbol.toStringTag] = 'Promise'
  readonly #pending: PendingProduce

  constructor(pending: PendingProduce) {
    this.#pending = pending
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise.
  then: Produced['then'] = (onFulfilled, onRejected) => this.#pending.outcomes().then(onFulfilled, onRejected)
  catch: Produced['catch'] = onRejected => this.#pending.outcomes().catch(onRejected)
  finally: Produced['finally'] = onFinally => this.#pending.outcomes().finally(onFinally)

  accepted() {
    return this.#pending.accepted()
  }

  get receipt(): string | undefined {
    return this.#pending.receipt
  }
}

/**
 * The records of a call. What its list has in the place of a record stays.
 *
 * @throws InvalidRequestError when they are neither a record nor a list
 */
export function recordsIn(call: string, given: OneOrMany<NewRecord>): readonly NewRecord[] {
  if (typeof given === 'object' && given !== null) return asList(given)
  throw new InvalidRequestError(
    `${call}: records come first, such as ${call}({topic: 'orders', value: 'one book'}), not ${kindOf(given)}`
  )
}

/** The records as delivery takes them. A value that is no record stays, and is refused by delivery. */
export function toRecords(given: readonly NewRecord[]): readonly ProduceRecord[] {
  const records: ProduceRecord[] = []
  for (const record of given) records.push(isAsTaken(record) ? record : toRecord(record))
  return records
}

/** Called for each field of each record. */
function isField(name: string): boolean {
  switch (name) {
    case 'topic':
    case 'value':
    case 'key':
    case 'partition':
    case 'timestampMs':
    case 'headers':
    // Fields of a record that was read, with its JSON, and of a message that was consumed.
    case 'offset':
    case 'json':
    case 'group':
    case 'retries':
    case 'ack':
    case 'release':
      return true
    default:
      return false
  }
}

const isForeign = (bytes: unknown): bytes is Uint8Array => bytes instanceof Uint8Array && !Buffer.isBuffer(bytes)

function isAsTaken(record: NewRecord): record is ProduceRecord {
  if (typeof record !== 'object' || record === null) return true
  for (const name in record)
    if (!isField(name)) checkOptionNames('produce', { [name]: 1 }, RECORD_FIELDS, MEANT_OF_RECORD, 'a record')
  return record.key !== undefined && record.headers === undefined && !isForeign(record.key) && !isForeign(record.value)
}

/** Its fields by name: what begins with a spread would have a hidden class of its own. */
const toRecord = ({ topic, key, value, partition, timestampMs, headers }: NewRecord): ProduceRecord => ({
  topic,
  key: toTaken(key ?? null),
  value: toTaken(value),
  partition,
  timestampMs,
  headers: toHeaders(headers)
})

/** Bytes are a view of the same memory. */
const toTaken = <Other>(bytes: Uint8Array | Other): Buffer | Other =>
  isForeign(bytes) ? toBuffer(bytes) : (bytes as Buffer | Other)

function toHeaders(given: NewRecord['headers']): readonly RecordHeader[] | undefined {
  if (typeof given !== 'object' || given === null) return given
  if (Array.isArray(given)) return given.map(header => (header instanceof Object ? toHeader(header) : header))
  if (given instanceof Map) throw new InvalidRequestError('produce: headers are an object or a list, not a Map')
  return Object.entries(given).flatMap(([key, value]) =>
    Array.isArray(value)
      ? value.map(one => toHeader({ key, value: one }))
      : [toHeader({ key, value: value as RecordBytes })]
  )
}

const toHeader = ({ key, value }: { readonly key: string; readonly value: RecordBytes }): RecordHeader => ({
  key,
  value: typeof value === 'string' ? Buffer.from(value) : toTaken(value)
})
