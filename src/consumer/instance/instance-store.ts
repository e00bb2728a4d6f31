import { randomBytes } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { z } from 'zod'
import type { ActorRef } from '../../core/actor/actor.js'
import type { KafkaRecord, Logger, MonotonicClock, Offset, ProduceRecord, TopicPartition } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure, RouterMessage } from '../../router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { InstanceName, InstanceSettings } from './instances.js'

/** Time limit of each request to Kafka. */
const TIMEOUT_MS = 10_000
/** Pause between two writes of positions. After a crash, records accepted in this time may be returned again. */
const WRITE_INTERVAL_MS = 1_000
/** The pause is longer where much was written: this many bytes at most per millisecond. */
const BYTES_PER_MS = 1_024
/** Larger states are compressed, because Kafka limits the size of a record: 10,000 positions are about 1 MB of text. */
const MAX_PLAIN_BYTES = 64 * 1024
/** Limit of a state that was compressed. */
const MAX_STATE_BYTES = 16 * 1024 * 1024
/** For this long after a refusal, instances live in memory alone. */
const REFUSED_MS = 60_000
/** Limit of stored instances, and of their bytes. */
const MAX_INSTANCES = 100_000
const MAX_BYTES = 64 * 1024 * 1024
/**
 * Kafka keeps the marks of removed instances for a day by default. A copy that was not brought up to date for this time may
 * have missed some, and is read anew.
 */
const MAX_AGE_MS = 3_600_000
/** The removal of an instance is remembered for this time, so that a late record does not bring it back. */
const REMEMBER_REMOVAL_MS = 600_000
/** How long after its idle time another process removes an instance whose own process is gone. */
const EXPIRED_MS = 600_000
/** Limit of instances that are removed so at a time. */
const MAX_EXPIRED = 100
/** The format of the stored state. Records of other formats are ignored. */
const FORMAT = '1'
const PARTITION = 0
/** A record that was just written is looked for this often. A leader that has just changed may not show it at once. */
const MAX_LOOKS = 20
const LOOK_PAUSE_MS = 100

const topicPartition = z.object({ topic: z.string(), partition: z.int().nonnegative() })

const storedInstance = z.object({
  settings: z.object({
    api: z.string(),
    format: z.string(),
    start: z.enum(['earliest', 'latest', 'none']),
    autoCommitMs: z.number().optional(),
    minBytes: z.number().optional(),
    maxWaitMs: z.number(),
    maxBytes: z.number(),
    idleMs: z.number().optional()
  }),
  client: z.string().optional(),
  topics: z
    .union([
      z.object({ topics: z.array(z.string()) }),
      z.object({ pattern: z.string(), allowed: z.array(z.string()).optional() })
    ])
    .optional(),
  assigned: z.array(topicPartition),
  positions: z.array(
    topicPartition.extend({
      offset: z.int().nonnegative(),
      leaderEpoch: z.int().optional(),
      topicId: z.string().optional(),
      committed: z.int().nonnegative().optional(),
      began: z.int().nonnegative().optional()
    })
  ),
  begun: z.array(z.string())
})

/** The state of an instance as another process needs it to continue. */
export interface StoredInstance {
  readonly settings: InstanceSettings
  /** Whose share of the places for instances it has. */
  readonly client?: string | undefined
  /** The subscription. `allowed`: of the topics that match, the client may read these; absent: all. */
  readonly topics?: StoredTopics | undefined
  /** The partitions that were assigned by the client. */
  readonly assigned: readonly TopicPartition[]
  /** The positions after the accepted records. */
  readonly positions: readonly StoredPosition[]
  /** Topics that the instance has begun to read. */
  readonly begun: readonly string[]
}
export type StoredTopics =
  | { readonly topics: readonly string[] }
  | { readonly pattern: string; readonly allowed?: readonly string[] | undefined }
export interface StoredPosition extends TopicPartition {
  readonly offset: Offset
  readonly leaderEpoch?: number | undefined
  readonly topicId?: string | undefined
  /** The offset that the group had committed. Absent: none. */
  readonly committed?: Offset | undefined
  /** Where the instance began. Absent: where the group had committed. */
  readonly began?: Offset | undefined
}

export interface InstanceStoreOptions {
  readonly router: ActorRef<RouterMessage>
  /** The compacted topic. It is created with the first instance. */
  readonly topic: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly clock: MonotonicClock
  readonly log: Logger
  /** Called when another process has taken over an instance of this one. */
  readonly onTaken: (instance: InstanceName) => void
}

/** What the topic tells about an instance. */
interface Known {
  /** Names the process that has the instance, and the moment at which it has got it. */
  readonly claim: string
  readonly owner: string
  /** When the instance is no longer used, in milliseconds since 1970. */
  readonly expiresAtMs: number
  /** The state; `undefined`: the instance was removed, at `expiresAtMs`. */
  readonly value: Buffer | undefined
}

/** An instance of this process. */
interface Own {
  readonly claim: string
  /** The state now; absent while nothing has changed since it was written. */
  changed?: (() => StoredInstance) | undefined
}

/**
 * The states of all instances of a cluster, in a compacted topic with one partition. Each state belongs to the process that
 * has created the instance or taken it over. A process takes an instance over by a record that names the claim before it;
 * of several such records the first in the log counts. So each instance has one owner, and each name exists once.
 */
export class InstanceStore {
  readonly #options: InstanceStoreOptions
  readonly #topicPartition: TopicPartition
  /** The copy of the topic. */
  readonly #known = new Map<string, Known>()
  #bytes = 0
  readonly #own = new Map<string, Own>()
  /** The next offset to read; `undefined`: from the earliest record. */
  #next: Offset | undefined
  #topicId: string | undefined
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<Failure | undefined> | undefined
  #nextReading: Promise<Failure | undefined> | undefined
  #refusedUntil = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #pauseMs = WRITE_INTERVAL_MS
  #lastClaim = 0
  /** How other processes know this one. */
  id = randomBytes(12).toString('hex')

  constructor(options: InstanceStoreOptions) {
    this.#options = options
    this.#topicPartition = { topic: options.topic, partition: PARTITION }
  }

  /** The process that has the instance; `undefined`: there is no such instance. */
  async ownerOf(instance: InstanceName): Promise<Failure | { readonly id: string } | undefined> {
    const failure = await this.#read()
    if (failure) return failure
    const known = this.#living(keyOf(instance))
    return known && { id: known.owner }
  }

  /** @returns `false`: there is an instance of this name */
  async create(instance: InstanceName, stored: StoredInstance): Promise<Failure | boolean> {
    if (this.#isRefused) return true
    const failure = await this.#read()
    if (failure) return failure
    if (this.#isRefused) return true
    const key = keyOf(instance)
    if (this.#living(key)) return false
    if (this.#known.size >= MAX_INSTANCES || this.#bytes >= MAX_BYTES)
      return ownFailure('quotaExceeded', `too many consumer instances are stored (limit ${MAX_INSTANCES})`, true)
    const created = this.#topicId === undefined ? await this.#createTopic() : undefined
    if (created) return created
    if (this.#isRefused) return true
    return this.#claim(key, bytesOf(stored), this.#expiry(stored))
  }

  /** Takes over an instance. @returns its state; `undefined`: there is no such instance */
  async take(instance: InstanceName): Promise<Failure | StoredInstance | undefined> {
    if (this.#isRefused) return undefined
    const failure = await this.#read()
    if (failure) return failure
    const key = keyOf(instance)
    const known = this.#living(key)
    if (!known) return undefined
    const stored = parse(known.value!)
    if (!stored) return ownFailure('protocol', 'the stored state of the instance cannot be read', false)
    const claimed = await this.#claim(key, known.value!, Math.max(known.expiresAtMs, this.#expiry(stored)))
    if (claimed === true) return stored
    return claimed || ownFailure('timedOut', 'another process has taken over the instance in this moment', true)
  }

  /** Writes a new state. A state counts only if the instance is of this process: otherwise the result is {@link TAKEN}. */
  async write(instance: InstanceName, stored: StoredInstance): Promise<Failure | undefined> {
    const key = keyOf(instance)
    const own = this.#own.get(key)
    if (!own) return undefined
    own.changed = undefined
    return this.#confirmed(key, own.claim, bytesOf(stored), this.#expiry(stored))
  }

  /** Notes that positions have changed, or that the instance is used. The state is written soon. */
  changed(instance: InstanceName, state: () => StoredInstance): void {
    const own = this.#own.get(keyOf(instance))
    if (!own) return
    own.changed = state
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      void this.flush()
    }, this.#pauseMs).unref()
  }

  /** Removes an instance of this process; {@link TAKEN} where it is of another one, which has it still. */
  async remove(instance: InstanceName): Promise<Failure | undefined> {
    const key = keyOf(instance)
    const own = this.#own.get(key)
    if (!own) return undefined
    this.#own.delete(key)
    return this.#confirmed(key, own.claim, null, this.#options.now())
  }

  /** The instance is no longer here; its state remains. */
  release(instance: InstanceName): void {
    this.#own.delete(keyOf(instance))
  }

  /** Writes what has changed, and learns which instances others have taken over. Never rejects. */
  async flush(): Promise<void> {
    await this.#writing
    this.#writing = this.#flush().finally(() => (this.#writing = undefined))
    await this.#writing
  }

  /** Writes what has changed, within a time limit. */
  async close(timeoutMs: number): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => (timer = setTimeout(resolve, timeoutMs)))
    await Promise.race([this.flush(), late])
    clearTimeout(timer)
    this.#own.clear()
  }

  async #flush(): Promise<void> {
    const written: Own[] = []
    const records: ProduceRecord[] = []
    for (const [key, own] of this.#own) {
      if (!own.changed) continue
      const stored = own.changed()
      own.changed = undefined
      written.push(own)
      records.push(this.#record(key, own.claim, own.claim, bytesOf(stored), this.#expiry(stored)))
    }
    if (records.length === 0) return
    const bytes = records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
    this.#pauseMs = Math.max(WRITE_INTERVAL_MS, bytes / BYTES_PER_MS)
    const failure = failed(await this.#produce(records))
    if (failure) this.#options.log.warn({ reason: failure.message }, 'the states of instances were not stored')
    await this.#read()
  }

  get #isRefused(): boolean {
    return this.#options.clock() < this.#refusedUntil
  }

  #refused(what: string): void {
    if (!this.#isRefused)
      this.#options.log.warn(
        { topic: this.#options.topic, reason: what },
        'consumer instances cannot be stored in Kafka, so a restart ends them'
      )
    this.#refusedUntil = this.#options.clock() + REFUSED_MS
  }

  #living(key: string): Known | undefined {
    const known = this.#known.get(key)
    return known?.value && known.expiresAtMs > this.#options.now() ? known : undefined
  }

  #expiry({ settings: { idleMs } }: StoredInstance): number {
    // The state is written when a quarter of the idle time is over, so the instance lives up to a quarter longer.
    return idleMs === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(this.#options.now() + idleMs * 1.25)
  }

  /** Writes a claim, and finds out whether it is the first one. */
  async #claim(key: string, value: Buffer, expiresAtMs: number): Promise<Failure | boolean> {
    const claim = `${this.id} ${++this.#lastClaim}`
    const before = this.#known.get(key)?.claim ?? ''
    const failure = await this.#writeAndRead(this.#record(key, claim, before, value, expiresAtMs))
    if (failure) return failure
    if (this.#known.get(key)?.claim !== claim) return false
    this.#own.set(key, { claim })
    return true
  }

  /** Writes a state by a claim, and finds out whether the claim was still the last one. */
  async #confirmed(
    key: string,
    claim: string,
    value: Buffer | null,
    expiresAtMs: number
  ): Promise<Failure | undefined> {
    const failure = await this.#writeAndRead(this.#record(key, claim, claim, value, expiresAtMs))
    return failure ?? (this.#known.get(key)?.claim === claim ? undefined : TAKEN)
  }

  /** Writes a record, and reads the log up to it. */
  async #writeAndRead(record: ProduceRecord): Promise<Failure | undefined> {
    const offset = await this.#produce([record])
    if (typeof offset !== 'number') return offset
    for (let looks = 0; (this.#next ?? 0) <= offset; looks++) {
      const failure = await this.#read()
      if (failure) return failure
      if (looks === MAX_LOOKS) return ownFailure('timedOut', 'the stored state is not in the log yet', true)
      if ((this.#next ?? 0) <= offset) await new Promise(resolve => setTimeout(resolve, LOOK_PAUSE_MS))
    }
    return undefined
  }

  #record(key: string, claim: string, before: string, value: Buffer | null, expiresAtMs: number): ProduceRecord {
    const texts = Object.entries({ format: FORMAT, owner: this.id, claim, before, expires: String(expiresAtMs) })
    const headers = texts.map(([name, text]) => ({ key: name, value: Buffer.from(text) }))
    return { ...this.#topicPartition, key: Buffer.from(key), value, headers }
  }

  /** @returns the offset of the last record */
  async #produce(records: readonly ProduceRecord[]): Promise<Failure | Offset> {
    const { router } = this.#options
    const asked = askRouter(router, { type: 'produce', records, timeoutMs: TIMEOUT_MS })
    const result = await asked.catch(() => undefined)
    let last = 0
    for (const outcome of result?.outcomes ?? []) {
      if (outcome.type === 'delivered') last = outcome.offset
      else {
        const { errorCode, code, message, retriable } = outcome
        if (code === 'notAuthorized') this.#refused(message)
        return { type: 'failed', errorCode, code, message, retriable }
      }
    }
    return result ? last : LATE
  }

  async #createTopic(): Promise<Failure | undefined> {
    const { router, topic, log } = this.#options
    const asked = askRouter(router, {
      type: 'createTopic',
      topic,
      partitions: 1,
      replicationFactor: -1,
      assignments: new Map(),
      configs: new Map([['cleanup.policy', 'compact']]),
      validateOnly: false,
      timeoutMs: TIMEOUT_MS
    })
    const result = await asked.catch(() => undefined)
    if (result === undefined || result.type === 'timedOut') return LATE
    if (result.type === 'failed' && result.errorCode !== errorCodes.TOPIC_ALREADY_EXISTS) {
      if (result.retriable) return result
      this.#refused(result.message)
      return undefined
    }
    router.tell({ type: 'topicChanged', topic, isDeleted: false })
    log.info({ topic }, 'the topic for the states of consumer instances was created')
    return undefined
  }

  /** Reads all records that are in the log at the time of the call. Simultaneous calls share a look. */
  #read(): Promise<Failure | undefined> {
    if (!this.#reading) {
      this.#reading = this.#readNow().finally(() => (this.#reading = undefined))
      return this.#reading
    }
    this.#nextReading ??= this.#reading.then(() => {
      this.#nextReading = undefined
      return this.#read()
    })
    return this.#nextReading
  }

  async #readNow(): Promise<Failure | undefined> {
    try {
      return await this.#readToEnd()
    } catch (error) {
      return ownFailure('timedOut', `the states of instances cannot be read: ${(error as Error).message}`, true)
    }
  }

  async #readToEnd(): Promise<Failure | undefined> {
    const { router, clock, topic } = this.#options
    const startedAt = clock()
    if (startedAt - this.#readAt > MAX_AGE_MS) this.#forget()
    if (this.#topicId === undefined) {
      const found = await askRouter(router, {
        type: 'fetchTopicMetadata',
        requestId: 0,
        topics: [topic],
        timeoutMs: TIMEOUT_MS
      })
      if (found.type === 'timedOut') return LATE
      if (found.type === 'failed') return found
      const { errorCode, topicId } = found.topics.get(topic)!
      if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return undefined
      if (errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED) {
        this.#refused('the topic may not be described')
        return undefined
      }
      if (errorCode !== errorCodes.NONE) return kafkaFailure(errorCode)
      this.#topicId = topicId ?? ''
    }
    const end = await this.#offset('latest')
    if (typeof end !== 'number') return this.#gone(end)
    if (this.#next !== undefined && end < this.#next) this.#forgetRecords()
    if (this.#next === undefined) {
      const start = await this.#offset('earliest')
      if (typeof start !== 'number') return this.#gone(start)
      this.#next = start
    }
    while (this.#next < end) {
      const failure = await this.#readBatch(end)
      if (failure) return failure
    }
    this.#readAt = startedAt
    this.#sweep()
    return undefined
  }

  /** @returns the failure, or how the topic is gone */
  async #offset(offsetType: 'latest' | 'earliest'): Promise<Offset | Failure | 'gone'> {
    const { router } = this.#options
    const asked = {
      type: 'fetchOffset',
      topicPartition: this.#topicPartition,
      offsetType,
      timeoutMs: TIMEOUT_MS
    } as const
    const result = await askRouter(router, asked)
    if (result.type === 'success') return result.offset
    if (result.type === 'timedOut') return LATE
    return result.type === 'failed' ? result : 'gone'
  }

  #gone(result: Failure | 'gone'): Failure | undefined {
    if (result !== 'gone') {
      if (result.code !== 'notAuthorized') return result
      this.#refused(result.message)
      return undefined
    }
    this.#forget()
    return undefined
  }

  async #readBatch(end: Offset): Promise<Failure | undefined> {
    const { router } = this.#options
    const offset = this.#next!
    const topicId = this.#topicId === '' ? undefined : this.#topicId
    const asked = { topicPartition: this.#topicPartition, offset, topicId, timeoutMs: TIMEOUT_MS }
    const result = await askRouter(router, { type: 'fetchData', ...asked })
    switch (result.type) {
      case 'success':
        for (const record of result.batch) this.#apply(record)
        this.#next = result.batch.nextOffset
        return undefined
      case 'noMessages':
        // Compaction has removed what followed.
        this.#next = end
        return undefined
      case 'corruptMessage':
        this.#next = result.nextOffset
        return undefined
      case 'offsetOutOfRange':
      case 'unknownTopicOrPartition':
        this.#forget()
        return ownFailure('timedOut', 'the topic of the states of instances has changed', true)
      case 'timedOut':
        return LATE
      case 'failed':
        if (result.code === 'notAuthorized') this.#refused(result.message)
        return result
    }
  }

  #forget(): void {
    this.#topicId = undefined
    this.#forgetRecords()
  }

  #forgetRecords(): void {
    this.#next = undefined
    this.#known.clear()
    this.#bytes = 0
  }

  #apply({ key, value, headers, offset }: KafkaRecord): void {
    const text = (name: string): string => headers.find(header => header.key === name)?.value?.toString() ?? ''
    const instance = key && nameOf(key)
    if (!instance || text('format') !== FORMAT) {
      if (text('format') === FORMAT || headers.length === 0)
        this.#options.log.warn({ offset }, 'a record is not the state of an instance, and is ignored')
      return
    }
    const name = keyOf(instance)
    const known = this.#known.get(name)
    const [claim, before] = [text('claim'), text('before')]
    // A record of a process that no longer has the instance, or whose claim has come too late.
    if (known && known.claim !== before) return
    this.#set(name, {
      claim,
      owner: text('owner'),
      expiresAtMs: Number(text('expires')),
      value: value === null ? undefined : Buffer.from(value)
    })
    const own = this.#own.get(name)
    if (own && own.claim !== claim) {
      this.#own.delete(name)
      this.#options.onTaken(instance)
    }
  }

  #set(name: string, known: Known): void {
    this.#bytes += (known.value?.length ?? 0) - (this.#known.get(name)?.value?.length ?? 0)
    this.#known.set(name, known)
  }

  /** Forgets instances that were removed long ago, and removes those that no process has removed in time. */
  #sweep(): void {
    const now = this.#options.now()
    const expired: ProduceRecord[] = []
    for (const [key, { value, expiresAtMs, claim }] of this.#known) {
      if (!value && expiresAtMs + REMEMBER_REMOVAL_MS < now) this.#known.delete(key)
      else if (value && expiresAtMs + EXPIRED_MS < now && !this.#own.has(key) && expired.length < MAX_EXPIRED)
        expired.push(this.#record(key, claim, claim, null, now))
    }
    if (expired.length > 0) void this.#produce(expired)
  }
}

/** A process that was asked for the instance meanwhile has taken it over. */
export const TAKEN = ownFailure('clusterChanged', 'another process has taken over the consumer instance', true)

const LATE = ownFailure('timedOut', 'Kafka has not answered a request for the states of instances in time', true)

const failed = (result: Failure | Offset): Failure | undefined => (typeof result === 'number' ? undefined : result)

const keyOf = ({ groupId, name }: InstanceName): string => JSON.stringify([groupId, name])

function nameOf(key: Buffer): InstanceName | undefined {
  const [groupId, name, ...others] = jsonOf(key, z.array(z.string())) ?? []
  return groupId === undefined || name === undefined || others.length > 0 ? undefined : { groupId, name }
}

function bytesOf(stored: StoredInstance): Buffer {
  const text = Buffer.from(JSON.stringify(stored))
  return text.length > MAX_PLAIN_BYTES ? gzipSync(text) : text
}

/** The first byte of compressed data, with which no JSON begins. */
const GZIP = 0x1f

function parse(value: Buffer): StoredInstance | undefined {
  const stored = jsonOf(value, storedInstance)
  if (!stored) return undefined
  const { autoCommitMs, minBytes, idleMs } = stored.settings
  return { ...stored, settings: { ...stored.settings, autoCommitMs, minBytes, idleMs } }
}

function jsonOf<Value>(bytes: Buffer, schema: z.ZodType<Value>): Value | undefined {
  try {
    const text = bytes[0] === GZIP ? gunzipSync(bytes, { maxOutputLength: MAX_STATE_BYTES }) : bytes
    return schema.safeParse(JSON.parse(text.toString())).data
  } catch {
    return undefined
  }
}
