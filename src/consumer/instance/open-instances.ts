import { createHash, randomBytes } from 'node:crypto'
import { inTime } from '../../core/in-time.js'
import { MAX_TIMER_MS } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { Shares } from '../../core/shares.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { type GroupDeps, sharedRuntime } from '../group/consumer-groups.js'
import type { SharedRuntime } from '../group/group-runtime.js'
import { HeldBatches } from '../group/held-batches.js'
import { type ChosenTopics, PatternLookUps } from '../group/topic-patterns.js'
import { asking } from '../partition/ask.js'
import { InstanceEntry, instanceKey } from './instance-entry.js'
import { type InstancePoint, isAfter, isAt, numberText, PointsInMemory } from './instance-number.js'
import { InstanceStore, TAKEN } from './instance-store.js'
import type { AskToRelease, InstanceName, InstanceResult, InstanceSettings, Released } from './instances.js'
import type { StoredInstance } from './stored-instance.js'

/** Time limit until an instance is created or continued. The requests for its state have shorter ones, one after another. */
const OPEN_TIMEOUT_MS = 20_000
/**
 * Another gateway takes over the instances of one that does not answer for this time. After it, what this process knows
 * about its instances has to be confirmed.
 */
export const TAKE_OVER_MS = 1_000
/** How often an instance is confirmed for one commit, while confirming takes longer than that. */
const MAX_CONFIRMATIONS = 3
/** How often a process is asked for an instance that changes meanwhile. */
const MAX_RELEASES = 3

export const UNKNOWN = { type: 'unknownInstance' } as const
/** The outcome of a creation: there is one of this name already. */
const EXISTS = { type: 'exists' } as const
/** A call was made before the last change of the instance. */
export const LATE_CALL = ownFailure('clusterChanged', 'the consumer instance has changed since the call was made', true)
/** Refuses a late call, with the present number of the instance for the next attempt. */
const lateCall = (number: string): Failure & { readonly number: string } => ({ ...LATE_CALL, number })
const NOT_OPEN = ownFailure(
  'timedOut',
  'Kafka has not answered all requests for the state of the instance in time',
  true
)
const SHUTTING_DOWN = ownFailure('shuttingDown', 'the consumer instances are shutting down', true)

/** An instance that leaves its group, or whose stored state is not removed yet. */
interface Closing {
  readonly entry: InstanceEntry
  /** Resolves when that is done. A failure: the state is not removed. */
  readonly done: Promise<Failure | undefined>
}

/** An instance that is here, or why it is not. */
export type Opened = { readonly type: 'opened'; readonly entry: InstanceEntry } | typeof UNKNOWN | Failure
type Created = Opened | typeof EXISTS

export interface ConsumerInstancesDeps extends GroupDeps {
  readonly records: RecordBudget
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Records spans of reads. Absent: nothing does, or the spans begin with the requests for them. */
  readonly tracing?: Tracing | undefined
}

/**
 * The instances that one process has. Each map has those of one part of the way:
 *
 *   #opening --> #entries --> #closing --> none
 *       |            |
 *       |            '----> none, at once: another process has taken the instance over
 *       '-----------------> none: there is no such instance, no place for it, or another process has it
 *
 * `#opening`: a request creates it, or continues one that no process has; its state, where states are stored, is read, and written
 * with this process as its owner. `#entries`: it answers requests. `#closing`: it was removed, was idle, or goes to another
 * process; it commits, leaves its group, and its state is removed or released. A name is opened once at a time, and after the
 * instance before it is closed.
 */
export class OpenInstances {
  readonly store: InstanceStore | undefined
  readonly patterns: PatternLookUps
  readonly #deps: GroupDeps
  readonly #shared: SharedRuntime
  readonly #batches: HeldBatches
  readonly #records: RecordBudget
  readonly #shares: Shares
  readonly #opening = new Map<string, Promise<Created>>()
  readonly #entries = new Map<string, InstanceEntry>()
  readonly #closing = new Map<string, Closing>()
  /** Give back the places of instances that are being opened. */
  readonly #places = new Set<() => void>()
  readonly #inMemory = new PointsInMemory(randomBytes(9).toString('base64url'))
  /** Absent: no other process is known. */
  askToRelease: AskToRelease | undefined
  #isStopped = false

  constructor(deps: ConsumerInstancesDeps) {
    const { settings } = deps
    this.#deps = deps
    const topic = settings.instancesTopic
    const onTaken = (instance: InstanceName): void => this.#taken(instanceKey(instance))
    this.store = topic === '' ? undefined : new InstanceStore({ ...deps, topic, onTaken })
    this.#batches = new HeldBatches(settings.bufferMaxBytes)
    this.#records = deps.records
    this.#shares = new Shares(settings.maxGroups, 'instances')
    this.patterns = new PatternLookUps(asking(deps.router), deps.clock)
    this.#shared = sharedRuntime(deps)
  }

  get size(): number {
    return this.#entries.size
  }

  get all(): readonly InstanceEntry[] {
    return [...this.#entries.values()]
  }

  /** The instance, if this process has it now. */
  get(instance: InstanceName): InstanceEntry | undefined {
    return this.#entries.get(instanceKey(instance))
  }

  /** @returns `false`: there is one of this name */
  async create(
    instance: InstanceName,
    settings: InstanceSettings,
    client: string | undefined
  ): Promise<InstanceResult<boolean>> {
    if (this.#isStopped) return SHUTTING_DOWN
    const key = instanceKey(instance)
    const here = this.#entries.has(key) ? await this.find(instance) : undefined
    if (here?.type === 'failed' && here !== TAKEN) return here
    // Another request may look for it, or create it.
    for (let other = this.#opening.get(key); other; other = this.#opening.get(key))
      if ((await withinTime(other)) === NOT_OPEN) return NOT_OPEN
    if (this.#entries.has(key)) return { type: 'done', value: false }
    const opened = await this.#openOnce(key, () => this.#create(instance, { settings, client, assigned: [] }))
    if (opened.type === 'exists') return { type: 'done', value: false }
    return opened.type === 'opened' ? { type: 'done', value: true } : opened
  }

  #create(instance: InstanceName, stored: StoredInstance): Promise<Created> {
    return this.#inPlace<Created>(stored.client, async releaseShare => {
      const found = await this.store?.find(instance)
      if (found) return 'type' in found ? found : EXISTS
      // The client may have gone on while this call waited for the end of the former instance.
      if (instance.isWanted?.() === false) return UNKNOWN
      if (instance.attempt?.isPassedOn && !isAfter(instance.attempt.number, this.#lastOf(instance))) return LATE_CALL
      return (await this.store?.claim(instance, stored)) ?? this.#enter(instance, stored, releaseShare)
    })
  }

  /** Takes a place before anything is asked: others of the same moment get no more than there are. */
  async #inPlace<Result extends Created>(
    client: string | undefined,
    open: (releaseShare: () => void) => Promise<Result>
  ): Promise<Result | Failure> {
    const full = this.#fullFor(client)
    if (full) return full
    const releaseShare = this.#shares.take(client)
    this.#places.add(releaseShare)
    let opened: Result | undefined
    try {
      opened = await open(releaseShare)
      return opened
    } finally {
      this.#places.delete(releaseShare)
      if (opened?.type !== 'opened') releaseShare()
    }
  }

  #fullFor(client: string | undefined): Failure | undefined {
    const full = this.#shares.problemOf(client)
    if (full === undefined) return undefined
    const whose = full === 'greedy' ? ' of one client' : ''
    const text = `too many consumer instances${whose} (limit ${this.#deps.settings.maxGroups}; advanced.consumer.maxGroups)`
    return ownFailure('quotaExceeded', text, true, 'advanced.consumer.maxGroups')
  }

  /**
   * Carries out the creation of an entry, when the one before it has ended. A second one for the same instance waits for
   * the first. It goes on when its time limit is over, and later requests find the entry.
   */
  #openOnce(key: string, open: () => Promise<Created>): Promise<Created> {
    const begin = async (): Promise<Created> => {
      await this.#closing.get(key)?.done
      return open()
    }
    const opening = this.#opening.get(key) ?? begin().finally(() => this.#opening.delete(key))
    this.#opening.set(key, opening)
    return withinTime(opening)
  }

  /** Enters an instance that this process has now, unless the process stops or has lost the instance meanwhile. */
  #enter({ groupId, name, principal }: InstanceName, stored: StoredInstance, releaseShare: () => void): Opened {
    const instance = { groupId, name, principal }
    if (this.#isStopped) {
      this.store?.release(instance)
      return SHUTTING_DOWN
    }
    if (this.store?.owns(instance) === false) return TAKEN
    const entry = this.#newEntry(instance, stored, releaseShare)
    this.#entries.set(instanceKey(instance), entry)
    this.#count()
    return { type: 'opened', entry }
  }

  #newEntry(instance: InstanceName, { settings, client }: StoredInstance, releaseShare: () => void): InstanceEntry {
    const entry: InstanceEntry = new InstanceEntry({
      instance,
      settings,
      client,
      releaseShare,
      point: this.#inMemory.next(),
      shared: this.#shared,
      consumer: this.#deps.settings,
      batches: this.#batches,
      records: this.#records,
      patterns: this.patterns,
      staticId: this.store ? staticIdOf(instance) : null,
      confirm: () => this.#confirm(instance),
      onFenced: () => {
        this.store?.release(instance)
        this.#taken(instanceKey(instance))
      },
      onUsed: () => this.#used(entry),
      onIdle: () => void this.close(entry, UNKNOWN, false),
      onCrash: failure => {
        entry.abandon(failure)
        void this.close(entry, failure, false)
      }
    })
    return entry
  }

  /** The instance, confirmed to be of this process in the last `maxAgeMs`. One that no process has is continued here. */
  async find(instance: InstanceName, maxAgeMs = 0): Promise<Opened> {
    const key = instanceKey(instance)
    const entry = this.#entries.get(key)
    if (this.#isStopped) return SHUTTING_DOWN
    if (!entry) {
      const look = () => this.#openOnce(key, () => this.#continue(instance))
      const isBegun = this.#opening.has(key)
      let opened = await look()
      // The instance may have been created after that look had begun.
      if (isBegun && opened === UNKNOWN) opened = await look()
      if (opened.type === 'exists') return this.find(instance, maxAgeMs)
      if (opened.type !== 'opened') return opened
      // A client that has left may have gone on in the process that had the instance until now.
      if (instance.isWanted?.() === false) return LATE_CALL
      // This process may have stood still since that look had begun, while another process took the instance.
      return isBegun ? this.find(instance, maxAgeMs) : opened
    }
    const failure = this.store && (await withinTime(this.store.catchUp(maxAgeMs)))
    if (failure) return failure
    return this.#entries.get(key) === entry ? { type: 'opened', entry } : TAKEN
  }

  /** Continues an instance that this process does not have. The process that has it, if it answers, gives it up before. */
  async #continue(instance: InstanceName): Promise<Opened> {
    let stored = await this.store?.find(instance)
    const { attempt } = instance
    if (stored && !('type' in stored) && stored.owner !== this.store!.id) {
      const released = await this.#releasedBy(stored.owner, instance)
      if (typeof released === 'string') return lateCall(released)
      if (released) stored = await this.store!.find(instance)
    }
    if (!stored) return UNKNOWN
    if ('type' in stored) return stored
    const found = stored
    const { owner, settings, client, topics, assigned } = found
    // A call that was late would take the instance from a process that has gone on.
    if (attempt?.isPassedOn && !isAt(attempt.number, this.#lastOf(instance))) return LATE_CALL
    if (owner !== this.store!.id)
      this.#deps.log.info({ instance: instance.name, owner }, 'a consumer instance of another process goes on here')
    const opened = await this.#inPlace<Opened>(client, async releaseShare => {
      const failure = await this.store!.claim(instance, { settings, client, topics, assigned }, found)
      return failure ?? this.#enter(instance, found, releaseShare)
    })
    if (opened.type !== 'opened') return opened
    const chosen = this.#chosenBy(found)
    const { entry } = opened
    entry.tick(() => (chosen ? entry.consumer.subscribe(chosen) : entry.consumer.assign(assigned)))
    return opened
  }

  /** Asks the process that has an instance to give it up; on behalf of a client of this process, whatever its number is. */
  async #releasedBy(owner: string, instance: InstanceName): Promise<Released> {
    const { attempt } = instance
    if (attempt?.isPassedOn) return (await this.askToRelease?.(owner, instance, attempt.number)) ?? false
    let released: Released = numberText(this.#lastOf(instance))
    for (let asked = 0; typeof released === 'string' && asked < MAX_RELEASES; asked++)
      released = (await this.askToRelease?.(owner, instance, released)) ?? false
    return released
  }

  #chosenBy({ topics, client }: StoredInstance): ChosenTopics | undefined {
    if (!topics || 'topics' in topics) return topics
    const allowed = topics.allowed && new Set(topics.allowed)
    return this.matching(topics.pattern, client, allowed && (topic => allowed.has(topic)))
  }

  /** The choice of the topics that match a pattern; the topic of the states of instances is never among them. */
  matching(text: string, client: string | undefined, includes: ((topic: string) => boolean) | undefined): ChosenTopics {
    const { instancesTopic } = this.#deps.settings
    const isIncluded = (topic: string): boolean => topic !== instancesTopic && (includes?.(topic) ?? true)
    return { text, client, includes: isIncluded, isLimited: includes !== undefined }
  }

  /** The number of an instance, or of the moment in which there is none. */
  numberOfName(instance: InstanceName): string {
    const entry = this.get(instance)
    if (entry) return this.numberOf(entry)
    const last = this.#lastOf(instance)
    const end = this.store?.end ?? this.#inMemory.end
    // To create an instance a process has to know its removal; to continue one, its last record.
    return numberText(this.store?.has(instance) ? last : end)
  }

  numberOf({ options: { instance, point }, consumer }: InstanceEntry, changes = consumer.changes): string {
    // While Kafka does not store states, an instance that is created again has the record of the former one.
    return numberText(this.store?.lastOf(instance) ?? point, `${point.point}.${changes}`)
  }

  /** Whether a call was made before the last change of the instance. */
  isLate({ attempt }: InstanceName, entry: InstanceEntry): boolean {
    return attempt?.isPassedOn === true && attempt.number !== this.numberOf(entry)
  }

  #lastOf(instance: InstanceName): InstancePoint {
    return this.store?.lastOf(instance) ?? this.#inMemory.lastOf(instanceKey(instance))
  }

  /** Stores the state of an instance. A failure: Kafka does not have it. */
  async save(entry: InstanceEntry): Promise<Failure | undefined> {
    const { settings, client, instance } = entry.options
    entry.storedAt = this.#deps.clock()
    const failure = await this.store?.write(instance, { settings, client, ...entry.consumer.stored })
    if (failure) entry.storedAt = Number.NEGATIVE_INFINITY
    return failure
  }

  /** Tells other processes, now and then, that an instance is used. */
  #used(entry: InstanceEntry): void {
    const { instance, settings } = entry.options
    const { idleMs = Number.POSITIVE_INFINITY } = settings
    if (this.get(instance) === entry && this.#deps.clock() - entry.storedAt >= idleMs / 4) void this.save(entry)
  }

  /** Whether an instance is still of this process, and was a moment ago. */
  async #confirm(instance: InstanceName): Promise<Failure | undefined> {
    const { clock } = this.#deps
    for (let left = MAX_CONFIRMATIONS; left > 0; left--) {
      const startedAt = clock()
      const failure = await this.store?.catchUp()
      if (failure) return failure
      if (this.store?.owns(instance) === false) return TAKEN
      // If this took longer, the process may have stood still after Kafka's answer.
      if (clock() - startedAt < TAKE_OVER_MS) return undefined
    }
    return NOT_OPEN
  }

  /**
   * Ends an instance, in the tick after the outcomes of answered reads.
   *
   * @param result the answer to open and later requests
   * @param isKept the stored state and the membership remain, for another process to continue
   * @returns a failure: the stored state is not removed
   */
  close(entry: InstanceEntry, result: typeof UNKNOWN | Failure, isKept: boolean): Promise<Failure | undefined> {
    const { instance } = entry.options
    const key = instanceKey(instance)
    const other = this.#closing.get(key)
    if (other) return other.done
    this.#forget(key, entry)
    const close = async (): Promise<Failure | undefined> => {
      await entry.end(result, isKept)
      if (!isKept) return this.store?.write(instance, null)
      this.store?.release(instance)
      return undefined
    }
    const done = close().finally(() => this.#closing.delete(key))
    this.#closing.set(key, { entry, done })
    return done
  }

  /** Another process has the instance now. It continues there. */
  #taken(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    entry.log.warn({ instance: entry.options.instance.name }, 'another process has taken over a consumer instance')
    this.#forget(key, entry)
    entry.abandon(TAKEN)
  }

  #forget(key: string, entry: InstanceEntry): void {
    if (this.#entries.get(key) !== entry) return
    this.#entries.delete(key)
    this.#inMemory.removed(key)
    entry.options.releaseShare()
    this.#count()
  }

  #count(): void {
    this.#deps.metrics.gauge?.('groups', 'instances', {}, this.#entries.size)
  }

  /** Refuses further requests, commits as automatic commits do, and leaves all groups. Idempotent. */
  async stop(timeoutMs = MAX_TIMER_MS): Promise<void> {
    this.#isStopped = true
    for (const releaseShare of this.#places) releaseShare()
    for (const entry of this.#entries.values()) void this.close(entry, SHUTTING_DOWN, this.store !== undefined)
    const closing = [...this.#closing.values()]
    await inTime(Promise.all(closing.map(({ done }) => done)), timeoutMs, () => undefined)
    for (const { entry } of closing) entry.abandon(SHUTTING_DOWN)
    this.store?.stop()
  }
}

const withinTime = <Result>(work: Promise<Result>): Promise<Result | Failure> =>
  inTime(work, OPEN_TIMEOUT_MS, () => NOT_OPEN)

/** The id of an instance as a static member of its group. Kafka takes names of this form alone. */
const staticIdOf = ({ name }: InstanceName): string => {
  const id = `castellan-instance-${name}`
  const isLegal = /^[\w.-]{1,249}$/.test(id)
  return isLegal ? id : `castellan-instance-${createHash('sha256').update(name).digest('hex')}`
}
