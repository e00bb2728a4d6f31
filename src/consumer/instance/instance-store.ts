import { randomBytes } from 'node:crypto'
import type { KafkaRecord, MonotonicClock, Offset } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { CompactedTopic, type CompactedTopicOptions, failureOfError, TopicError } from './compacted-topic.js'
import type { InstancePoint } from './instance-number.js'
import type { InstanceName } from './instances.js'
import {
  follows,
  instanceOfBytes,
  instanceRecordOf,
  type KnownInstance,
  keyOfInstance,
  readInstanceRecord,
  type StoredInstance,
  type UnplacedRecord
} from './stored-instance.js'

/** For this long after a refusal, instances live in memory alone. */
const REFUSED_MS = 60_000
/** Limit of stored instances, and of their bytes, for new ones. */
const MAX_INSTANCES = 100_000
const MAX_BYTES = 64 * 1024 * 1024
/** Kafka keeps marks of removed instances for a day by default. An older copy may lack some, and is read anew. */
const MAX_AGE_MS = 3_600_000
/** For this long the mark of a removed instance is kept: a late record of another process does not bring it back. */
const MARK_MS = 60_000
/** How long after its idle time an instance is removed that no process has, and how many at a time. */
const EXPIRED_MS = 600_000
const MAX_EXPIRED = 100
/** How often, and how long after the last time, an own record is looked for that was not read yet. */
const MAX_LOOKS = 40
const LOOK_AGAIN_MS = 50
/** When the state of an instance is written again after a record that does not count. */
const REPEAT_MS = 2_000
/** No offset. */
const NONE = -1

/** A process that was asked for the instance meanwhile has taken it over. */
export const TAKEN = ownFailure('clusterChanged', 'another process has taken over the consumer instance', true)

/** A state, and the record that has it. */
export interface FoundInstance extends StoredInstance, Pick<KnownInstance, 'owner' | 'offset'> {}

export interface InstanceStoreOptions extends Pick<CompactedTopicOptions, 'router' | 'topic' | 'log'> {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly clock: MonotonicClock
  /** Called when another process has written the state of an instance of this one, or has removed it. */
  readonly onTaken: (instance: InstanceName) => void
}

/**
 * The states of all instances of a cluster by their names, in a compacted topic with one partition. The last record of an
 * instance counts: the process that has written it has the instance. One that writes a later record takes it over. A record
 * whose process had not read what another one had written before does not count, so that no change is lost.
 */
export class InstanceStore {
  readonly #options: InstanceStoreOptions
  readonly #topic: CompactedTopic
  /** The copy of the topic. */
  readonly #known = new Map<string, KnownInstance>()
  /** Instances with records that were read in this look. */
  readonly #changed = new Set<string>()
  /** Instances with records of others that were read in this look, and do not count. */
  readonly #disturbed = new Set<string>()
  /** The offsets of own records that do not count. */
  readonly #ignored = new Set<Offset>()
  /** Own instances whose states are about to be written again. */
  readonly #repeating = new Set<string>()
  #bytes = 0
  /** Of them, those that were not removed. */
  #count = 0
  /** The instances of this process. */
  readonly #own = new Set<string>()
  /** How far the log was read in the last look that is over. */
  #readTo: Offset = NONE
  #readAt = Number.NEGATIVE_INFINITY
  #looking: Promise<unknown> = Promise.resolve()
  #nextLook: Promise<Failure | undefined> | undefined
  #refusedUntil = Number.NEGATIVE_INFINITY
  /** The last mark of a removed instance that is not kept any more. */
  #forgottenTo: Offset = NONE
  /** How other processes know this one. */
  id = randomBytes(12).toString('hex')
  /** Whether another process serves. It removes its instances by itself, by its own clock. */
  isThere: (owner: string) => boolean = () => false

  constructor(options: InstanceStoreOptions) {
    this.#options = options
    const { router, topic, log } = options
    this.#topic = new CompactedTopic({
      router,
      topic,
      log,
      onRecord: record => this.#apply(record),
      onForgotten: isAnother => {
        for (const copied of [this.#known, this.#changed, this.#disturbed, this.#ignored]) copied.clear()
        this.#bytes = this.#count = 0
        if (isAnother) this.#readTo = this.#forgottenTo = NONE
      }
    })
  }

  /** Reads what has been written, unless that was read in the last `maxAgeMs`. */
  async catchUp(maxAgeMs = 0): Promise<Failure | undefined> {
    if (this.#isRefused || this.#options.clock() - this.#readAt < maxAgeMs) return undefined
    // A look that has begun may miss what was written since. Those who come meanwhile share the next one.
    this.#nextLook ??= this.#looking.then(() => {
      this.#nextLook = undefined
      const look = this.#tried(() => this.#look())
      this.#looking = look
      return look
    })
    return this.#nextLook
  }

  /** The state of an instance now; `undefined`: there is no such instance. */
  async find(instance: InstanceName): Promise<Failure | FoundInstance | undefined> {
    const failure = await this.catchUp()
    if (failure || this.#isRefused) return failure
    const known = this.#living(instance)
    if (!known) return undefined
    const stored = instanceOfBytes(known.value!)
    if (!stored) return ownFailure('protocol', 'the stored state of the instance cannot be read', false)
    return { ...stored, owner: known.owner, offset: known.offset }
  }

  #living(instance: InstanceName): KnownInstance | undefined {
    const known = this.#known.get(keyOfInstance(instance))
    return known?.value && !this.#isOver(known, this.#options.now()) ? known : undefined
  }

  #isOver({ owner, expiresAtMs }: KnownInstance, nowMs: number): boolean {
    return expiresAtMs <= nowMs && !this.isThere(owner)
  }

  /** How far the topic was read; `undefined`: instances live in memory alone. */
  get end(): InstancePoint | undefined {
    return this.#isRefused ? undefined : this.#at(this.#readTo)
  }

  /** The last record of an instance, also of one that was removed; `undefined`: instances live in memory alone. */
  lastOf(instance: InstanceName): InstancePoint | undefined {
    return this.#isRefused ? undefined : this.#at(this.#known.get(keyOfInstance(instance))?.offset ?? this.#forgottenTo)
  }

  /** Whether the state of the instance is stored, as far as it has read. */
  has(instance: InstanceName): boolean {
    return !this.#isRefused && this.#living(instance) !== undefined
  }

  #at(offset: Offset): InstancePoint {
    return { log: this.#topic.id, point: offset }
  }

  /** Whether this process has the instance, as far as it has read. */
  owns(instance: InstanceName): boolean {
    return this.#own.has(keyOfInstance(instance))
  }

  /**
   * Makes an instance one of this process. {@link TAKEN}: another process was faster.
   *
   * @param found what {@link find} has told
   */
  async claim(instance: InstanceName, stored: StoredInstance, found?: FoundInstance): Promise<Failure | undefined> {
    if (!found && (this.#count >= MAX_INSTANCES || this.#bytes >= MAX_BYTES))
      return ownFailure('quotaExceeded', `too many consumer instances are stored (limit ${MAX_INSTANCES})`, true)
    if (!this.#isRefused && this.#living(instance)?.offset !== found?.offset) return TAKEN
    const failure = await this.#put(instance, stored)
    if (failure) return failure
    const key = keyOfInstance(instance)
    if (!this.#isRefused && this.#known.get(key)?.owner !== this.id) return TAKEN
    this.#own.add(key)
    return undefined
  }

  /** Writes a new state of an instance of this process; `null` removes it. {@link TAKEN}: another process has it. */
  async write(instance: InstanceName, stored: StoredInstance | null): Promise<Failure | undefined> {
    const failure = await this.catchUp()
    if (failure) return failure
    if (!this.owns(instance)) return TAKEN
    const failed = await this.#put(instance, stored)
    if (!failed && !stored) this.release(instance)
    return failed
  }

  /** The instance is no longer here; its state remains. */
  release(instance: InstanceName): void {
    this.#own.delete(keyOfInstance(instance))
  }

  /** @returns {@link TAKEN}: the record does not count, or cannot be found */
  async #put(instance: InstanceName, stored: StoredInstance | null): Promise<Failure | undefined> {
    if (this.#isRefused) return undefined
    let offset = NONE
    const write = async (): Promise<void> => void (offset = await this.#topic.append([this.#record(instance, stored)]))
    const failure = (await this.#tried(write)) ?? (await this.catchUp())
    // Some brokers may not know a topic yet that was just created.
    for (let looks = 1; !failure && this.#readTo < offset && looks <= MAX_LOOKS; looks++) {
      await new Promise(resolve => setTimeout(resolve, LOOK_AGAIN_MS))
      await this.catchUp()
    }
    return failure ?? (this.#readTo < offset || this.#ignored.delete(offset) ? TAKEN : undefined)
  }

  get #isRefused(): boolean {
    return this.#options.clock() < this.#refusedUntil
  }

  /** Asks Kafka. Where that refuses for good, instances live in memory for a while. */
  async #tried(ask: () => Promise<void>): Promise<Failure | undefined> {
    try {
      await ask()
      return undefined
    } catch (error) {
      if (!(error instanceof TopicError && error.isFinal)) return failureOfError(error)
      const { log, topic, clock } = this.#options
      if (!this.#isRefused)
        log.warn(
          { topic, reason: error.message },
          'consumer instances cannot be stored in Kafka, so a restart ends them'
        )
      this.#refusedUntil = clock() + REFUSED_MS
      return undefined
    }
  }

  async #look(): Promise<void> {
    const startedAt = this.#options.clock()
    if (startedAt - this.#readAt > MAX_AGE_MS) this.#topic.forget(false)
    await this.#topic.readToEnd()
    this.#readAt = startedAt
    this.#readTo = this.#topic.readTo
    if (this.#changed.size + this.#disturbed.size === 0) return
    for (const key of this.#changed) {
      const { instance, owner } = this.#known.get(key)!
      if (owner !== this.id && this.#own.delete(key)) this.#options.onTaken(instance)
    }
    for (const key of this.#disturbed) this.#repeatLater(key)
    this.#changed.clear()
    this.#disturbed.clear()
    this.#removeExpired()
  }

  #apply(record: KafkaRecord): void {
    const known = readInstanceRecord(record)
    if (!known) {
      this.#options.log.warn({ offset: record.offset }, 'a record is not the state of an instance, and is ignored')
      return
    }
    const key = keyOfInstance(known.instance)
    if (!follows(known, this.#known.get(key))) {
      if (known.owner === this.id) this.#ignored.add(known.offset)
      else this.#disturbed.add(key)
      return
    }
    const before = this.#known.get(key)?.value
    this.#bytes += (known.value?.length ?? 0) - (before?.length ?? 0)
    this.#count += (known.value ? 1 : 0) - (before ? 1 : 0)
    this.#known.set(key, known)
    this.#changed.add(key)
  }

  /**
   * Writes the state of an own instance again after a pause, because Kafka may have kept only a record that does not count.
   * The process that wrote that record may be taking the instance over: a record that it has not read would make that fail.
   */
  #repeatLater(key: string): void {
    if (!this.#own.has(key) || this.#repeating.has(key)) return
    this.#repeating.add(key)
    const repeat = (): void => {
      this.#repeating.delete(key)
      const { instance, value } = this.#known.get(key) ?? {}
      const stored = value && instanceOfBytes(value)
      if (instance && stored) void this.write(instance, stored)
    }
    setTimeout(repeat, REPEAT_MS).unref()
  }

  #record(instance: InstanceName, stored: StoredInstance | null): UnplacedRecord {
    return instanceRecordOf(instance, stored, { owner: this.id, after: this.#readTo }, this.#options.now())
  }

  /** Removes instances that no process has removed in time, and forgets those that were removed a while ago. */
  #removeExpired(): void {
    const now = this.#options.now()
    const expired: InstanceName[] = []
    for (const [key, known] of this.#known) {
      const { instance, value, expiresAtMs } = known
      // Earlier builds have not told when.
      if (!value && Math.abs(now - expiresAtMs) > MARK_MS) {
        this.#known.delete(key)
        this.#forgottenTo = Math.max(this.#forgottenTo, known.offset)
      }
      if (value && this.#isOver(known, now - EXPIRED_MS) && !this.#own.has(key)) expired.push(instance)
    }
    const marks = expired.slice(0, MAX_EXPIRED).map(instance => this.#record(instance, null))
    if (marks.length > 0) void this.#tried(async () => void (await this.#topic.append(marks)))
  }
}
