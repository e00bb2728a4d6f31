import { randomBytes } from 'node:crypto'
import { addCount } from '../../core/counts.js'
import { pause } from '../../core/ending.js'
import type { KafkaRecord, MonotonicClock, Offset } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { CompactedTopic, type CompactedTopicOptions, failureOfError, TopicError } from './compacted-topic.js'
import type { InstancePoint } from './instance-number.js'
import type { InstanceName } from './instances.js'
import { EXPIRED_MS, LastReads } from './last-reads.js'
import {
  follows,
  instanceOfBytes,
  instanceOfKey,
  instanceRecordOf,
  type KnownInstance,
  keyOfInstance,
  readInstanceRecord,
  type StoredInstance,
  type UnplacedRecord
} from './stored-instance.js'

/** After a refusal by Kafka, instances live in memory alone for this long. */
const REFUSED_MS = 60_000
/** Limit of stored instances, and of their bytes, for new ones. */
const MAX_INSTANCES = 100_000
const MAX_BYTES = 64 * 1024 * 1024
/** Kafka keeps marks of removed instances for a day by default. An older copy may lack some, and is read again. */
const MAX_AGE_MS = 3_600_000
/**
 * The mark of a removed instance is kept for this long, so that a late record of another process does not bring it
 * back. It is also the shortest interval at which expired instances are removed.
 */
const MARK_MS = 60_000
/** How many are removed at a time, and about how many bytes their states have, so that Kafka takes them. */
const MAX_EXPIRED = 100
const MAX_EXPIRED_BYTES = 256 * 1024
/** Into how many states it looks for that in one piece: some milliseconds. */
const MAX_LOOKED_UP = 500
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
 * States of all instances of a cluster by their names, in a compacted topic with one partition. The process that has written the
 * last record of an instance has the instance; a process takes it over by writing a later record. A record does not count if its
 * writer had not read what another process had written before, so that no change is lost.
 */
export class InstanceStore {
  readonly #options: InstanceStoreOptions
  readonly #topic: CompactedTopic
  /** The copy of the topic. */
  readonly #known = new Map<string, KnownInstance>()
  readonly #lastReads = new LastReads()
  /** Instances with records that were read in this look. */
  readonly #changed = new Set<string>()
  /** Instances with records of others that were read in this look, and do not count. */
  readonly #disturbed = new Set<string>()
  /** The offsets of own records that do not count. */
  readonly #ignored = new Set<Offset>()
  /** Own instances whose states are about to be written again. */
  readonly #repeating = new Set<string>()
  #bytes = 0
  /** Number of known instances that are not removed. */
  #count = 0
  /** The instances of this process. */
  readonly #own = new Set<string>()
  /** How far the log was read in the last look that is over. */
  #readTo: Offset = NONE
  /** When that look began. */
  #readAt = Number.NEGATIVE_INFINITY
  /** When it was last looked for instances that have expired. */
  #expiredAt = Number.NEGATIVE_INFINITY
  /** Instances that have expired. `done` resolves when they are removed. */
  #removing: { readonly keys: ReadonlySet<string>; readonly done: Promise<void> } | undefined
  /** Instances that are about to become own ones. */
  readonly #claiming = new Set<string>()
  /** How many states of an instance are being written. */
  readonly #onTheirWay = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #isStopped = false
  #looking: Promise<unknown> = Promise.resolve()
  #nextLook: Promise<Failure | undefined> | undefined
  #refusedUntil = Number.NEGATIVE_INFINITY
  /** The last mark of a removed instance that is not kept any more. */
  #forgottenTo: Offset = NONE
  /** How other processes know this one. */
  id = randomBytes(12).toString('hex')

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
        if (!isAnother) return
        this.#readTo = this.#forgottenTo = NONE
        this.#lastReads.clear()
      }
    })
  }

  /** Reads what has been written, unless that was read in the last `maxAgeMs`. */
  async catchUp(maxAgeMs = 0): Promise<Failure | undefined> {
    if (this.#isRefused || this.#options.clock() - this.#readAt < maxAgeMs) return undefined
    // A look that has begun may miss later records. Callers that come meanwhile share the next look.
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
    let failure = await this.catchUp()
    if (this.#removing?.keys.has(keyOfInstance(instance))) {
      await this.#removing.done
      failure = await this.catchUp()
    }
    if (failure || this.#isRefused) return failure
    const known = this.#living(instance)
    if (!known) return undefined
    const stored = instanceOfBytes(known.value!)
    if (!stored) return ownFailure('protocol', 'the stored state of the instance cannot be read', false)
    return { ...stored, owner: known.owner, offset: known.offset }
  }

  #living(instance: InstanceName): KnownInstance | undefined {
    const key = keyOfInstance(instance)
    const known = this.#known.get(key)
    return known?.value && !this.#hasExpired(key, known.value) ? known : undefined
  }

  /** A look reads all that was written before it began, also if this process stands still afterwards. */
  #hasExpired(key: string, state: Buffer): boolean {
    return !this.#own.has(key) && this.#lastReads.hasExpired(key, state, this.#readAt)
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
    const key = keyOfInstance(instance)
    this.#claiming.add(key)
    try {
      const failure = await this.#put(instance, stored)
      if (failure) return failure
      if (!this.#isRefused && this.#known.get(key)?.owner !== this.id) return TAKEN
      this.#own.add(key)
      return undefined
    } finally {
      this.#claiming.delete(key)
    }
  }

  /** Writes a new state of an instance of this process; `null` removes it. {@link TAKEN}: another process has it. */
  async write(instance: InstanceName, stored: StoredInstance | null): Promise<Failure | undefined> {
    try {
      const failure = await this.catchUp()
      if (failure) return failure
      if (!this.owns(instance)) return TAKEN
      // A state behind the mark would bring the instance back.
      if (!stored) this.release(instance)
      return await this.#put(instance, stored)
    } finally {
      // A state that is not removed expires.
      if (!stored) this.release(instance)
    }
  }

  /** The instance is no longer here; its state remains. */
  release(instance: InstanceName): void {
    this.#own.delete(keyOfInstance(instance))
  }

  /** Looks no more by itself. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** @returns {@link TAKEN}: the record does not count, or cannot be found */
  async #put(instance: InstanceName, stored: StoredInstance | null): Promise<Failure | undefined> {
    const key = keyOfInstance(instance)
    addCount(this.#onTheirWay, key, 1)
    try {
      return await this.#append([this.#record(instance, stored)])
    } finally {
      addCount(this.#onTheirWay, key, -1)
    }
  }

  /** Appends records, and reads them. @returns {@link TAKEN}: the last one does not count, or cannot be found */
  async #append(records: readonly UnplacedRecord[]): Promise<Failure | undefined> {
    if (this.#isRefused) return undefined
    let offset = NONE
    const write = async (): Promise<void> => void (offset = await this.#topic.append(records))
    const failure = (await this.#tried(write)) ?? (await this.catchUp())
    // Some brokers may not know a topic yet that was just created.
    for (let looks = 1; !failure && this.#readTo < offset && looks <= MAX_LOOKS; looks++) {
      await pause(LOOK_AGAIN_MS)
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
    for (const key of this.#changed) {
      const { instance, owner } = this.#known.get(key)!
      if (owner !== this.id && this.#own.delete(key)) this.#options.onTaken(instance)
    }
    for (const key of this.#disturbed) this.#repeatLater(key)
    this.#changed.clear()
    this.#disturbed.clear()
    if (this.#count > 0) this.#watch()
    if (startedAt - this.#expiredAt < MARK_MS) return
    this.#expiredAt = startedAt
    this.#forgetMarks()
    this.#removeExpired()
  }

  /** Looks also while no request comes: for what has expired. */
  #watch(): void {
    if (this.#isStopped || this.#timer) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.catchUp()
      if (this.#count > 0) this.#watch()
    }, EXPIRED_MS).unref()
  }

  #apply(record: KafkaRecord): void {
    const known = readInstanceRecord(record)
    if (!known) {
      this.#options.log.warn({ offset: record.offset }, 'a record is not the state of an instance, and is ignored')
      return
    }
    const key = keyOfInstance(known.instance)
    const before = this.#known.get(key)?.value
    if (!follows(known, this.#known.get(key)) || this.#isBehindForgotten(known, key)) {
      if (known.owner === this.id) this.#ignored.add(known.offset)
      else if (known.value || before) this.#disturbed.add(key)
      return
    }
    this.#disturbed.delete(key)
    this.#bytes += (known.value?.length ?? 0) - (before?.length ?? 0)
    this.#count += (known.value ? 1 : 0) - (before ? 1 : 0)
    this.#known.set(key, known)
    this.#lastReads.add(key, known.offset, this.#options.clock())
    this.#changed.add(key)
  }

  /** Whether a process that had not read a mark which is forgotten here has written a record, new here, of an unknown name. */
  #isBehindForgotten({ offset, after }: KnownInstance, key: string): boolean {
    return !this.#known.has(key) && offset > this.#readTo && after < this.#forgottenTo
  }

  /**
   * Writes the state of an own instance again after a pause, or the mark of a removed one, because Kafka may have kept only a
   * record that does not count. The process that wrote that record may be taking the instance over: a record that it has not
   * read would make that fail.
   */
  #repeatLater(key: string): void {
    const isOfOther = !this.#own.has(key) && this.#known.get(key)?.value
    if (isOfOther || this.#isStopped || this.#repeating.has(key)) return
    this.#repeating.add(key)
    const repeat = async (): Promise<void> => {
      this.#repeating.delete(key)
      // A newer state may be in flight: the known one, written behind it, would undo it.
      if ((await this.catchUp()) || this.#onTheirWay.has(key)) {
        this.#repeatLater(key)
        return
      }
      const value = this.#known.get(key)?.value
      const stored = value ? instanceOfBytes(value) : null
      if (stored === undefined || (stored !== null) !== this.#own.has(key)) return
      if (await this.#put(instanceOfKey(key), stored)) this.#repeatLater(key)
    }
    setTimeout(() => void repeat(), REPEAT_MS).unref()
  }

  #record(instance: InstanceName, stored: StoredInstance | null): UnplacedRecord {
    return instanceRecordOf(instance, stored, { owner: this.id, after: this.#readTo }, this.#options.now())
  }

  /** Forgets instances that were removed a while ago. */
  #forgetMarks(): void {
    for (const key of this.#lastReads.before(this.#readAt - MARK_MS)) {
      const known = this.#known.get(key)
      if (known?.value) continue
      this.#known.delete(key)
      this.#lastReads.delete(key)
      if (known) this.#forgottenTo = Math.max(this.#forgottenTo, known.offset)
    }
  }

  /**
   * Removes expired instances whose processes are gone or have lost them. Each is first taken over with its state: then a late
   * record of its former process does not count, and does not replace the mark for which Kafka forgets the state.
   */
  #removeExpired(): void {
    if (this.#removing || this.#isStopped) return
    const expired = new Map<string, KnownInstance>()
    let bytes = 0
    const maxLookedUp = this.#lastReads.lookedUp + MAX_LOOKED_UP
    for (const [key, known] of this.#known) {
      if (this.#lastReads.lookedUp >= maxLookedUp) break
      if (!known.value || this.#claiming.has(key) || !this.#hasExpired(key, known.value)) continue
      expired.set(key, known)
      bytes += known.value.length
      if (expired.size === MAX_EXPIRED || bytes > MAX_EXPIRED_BYTES) break
    }
    if (expired.size === 0) {
      if (this.#lastReads.lookedUp >= maxLookedUp) setImmediate(() => this.#removeExpired())
      return
    }
    const done = this.#remove(expired).then(isDone => {
      this.#removing = undefined
      if (isDone) this.#removeExpired()
    })
    this.#removing = { keys: new Set(expired.keys()), done }
  }

  /** @returns whether some of them are removed */
  async #remove(expired: ReadonlyMap<string, KnownInstance>): Promise<boolean> {
    const asTheyAre = [...expired.values()].map(({ instance, value }) => ({ ...this.#record(instance, null), value }))
    const failure = await this.#append(asTheyAre)
    if (failure && failure !== TAKEN) return false
    const marks: UnplacedRecord[] = []
    for (const [key, { instance, offset }] of expired) {
      const now = this.#known.get(key)
      if (now?.owner === this.id && now.offset > offset) marks.push(this.#record(instance, null))
    }
    if (marks.length === 0) return false
    this.#options.log.info({ instances: marks.length }, 'consumer instances that no process uses are removed')
    return (await this.#append(marks)) === undefined
  }
}
