import { createHash, randomBytes } from 'node:crypto'
import { ask } from '../../core/actor/actor.js'
import { TimedOutError } from '../../core/errors.js'
import { inTime } from '../../core/in-time.js'
import { MAX_TIMER_MS, type TopicPartition } from '../../core/model.js'
import { ownText } from '../../core/own-text.js'
import { Shares } from '../../core/shares.js'
import type { Failure } from '../../router/messages/operations.js'
import { invalid, isTopic, ownFailure, problemOfGroup, problemOfPartition } from '../../router/requests/failures.js'
import { type GroupDeps, sharedRuntime } from '../group/consumer-groups.js'
import { asking, GroupActor, type SharedRuntime } from '../group/group-runtime.js'
import { HeldBatches } from '../group/held-batches.js'
import { ConsumerInstance, type Reply } from './consumer-instance.js'
import { type InstancePoint, isAfter, isAt, numberText, PointsInMemory } from './instance-number.js'
import { ReadBudget } from './instance-reads.js'
import { InstanceStore, TAKEN } from './instance-store.js'
import type {
  AskToRelease,
  DescribedInstance,
  InstanceName,
  InstanceOffset,
  InstanceOwners,
  InstancePosition,
  InstanceRead,
  InstanceReadLimits,
  InstanceResult,
  InstanceSettings,
  InstanceTopics,
  InstanceVerbs,
  Released
} from './instances.js'
import type { StoredInstance } from './stored-instance.js'
import { type ChosenTopics, PatternLookUps } from './topic-patterns.js'

/** Limit of the length of a name, as for the id of a static member. */
const MAX_NAME_LENGTH = 249
/** Limit of partitions in one assignment. */
const MAX_PARTITIONS = 10_000
/** Time limit until an instance is created or continued. The requests for its state have shorter ones, one after another. */
const OPEN_TIMEOUT_MS = 20_000
/**
 * Another gateway takes over the instances of one that does not answer for this time. After it, what this process knows
 * about its instances has to be confirmed.
 */
const TAKE_OVER_MS = 1_000
/** How often an instance is confirmed for one commit, while confirming takes longer than that. */
const MAX_CONFIRMATIONS = 3
/** Time limit of verbs. The requests that they make have shorter ones, so it is reached only when an actor is stuck. */
const VERB_TIMEOUT_MS = 60_000

const UNKNOWN = { type: 'unknownInstance' } as const
/** The outcome of a creation: there is one of this name already. */
const EXISTS = { type: 'exists' } as const
const DONE = { type: 'done', value: undefined } as const
/** A call was made before the last change of the instance. */
const LATE_CALL = ownFailure('clusterChanged', 'the consumer instance has changed since the call was made', true)
/** It names the number that the instance has where it is now, for the next attempt. */
const lateCall = (number: string): Failure & { readonly number: string } => ({ ...LATE_CALL, number })
/** How often a process is asked for an instance that changes meanwhile. */
const MAX_RELEASES = 3
const NOT_OPEN = ownFailure(
  'timedOut',
  'Kafka has not answered all requests for the state of the instance in time',
  true
)
const SHUTTING_DOWN = ownFailure('shuttingDown', 'the consumer instances are shutting down', true)

interface Entry {
  readonly instance: InstanceName
  readonly settings: InstanceSettings
  readonly actor: GroupActor<never>
  readonly consumer: ConsumerInstance
  readonly releaseShare: () => void
  readonly client: string | undefined
  /** Where it began, counted in the memory of this process. */
  readonly point: InstancePoint
  /** When its state was last written, or is about to be; -∞: that has failed. */
  storedAt: number
  /** Answer the requests that are not answered, at the latest when the instance begins to end. */
  readonly open: Set<Reply<never>>
  /** The answer to requests from then on. */
  endResult: typeof UNKNOWN | Failure | undefined
  readonly ended: Promise<void>
  readonly hasEnded: () => void
}

/** An instance that leaves its group, or whose stored state is not removed yet. */
interface Closing {
  readonly entry: Entry
  /** Resolves when that is done. A failure: the state is not removed. */
  readonly done: Promise<Failure | undefined>
}

/** What an instance does for a request, in a tick of its actor. */
type VerbOf<Value> = (consumer: ConsumerInstance, reply: Reply<Value>) => void

/** An instance that is here, or why it is not. */
type Opened = { readonly type: 'opened'; readonly entry: Entry } | typeof UNKNOWN | Failure

export interface ConsumerInstancesDeps extends GroupDeps {
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * The consumer instances of one process and cluster. Each is an actor. Their states are in a topic, if there is one: then an
 * instance that this process does not have, and no other one, continues here with the first request for it.
 */
export class ConsumerInstances implements InstanceVerbs, InstanceOwners {
  readonly #deps: GroupDeps
  readonly #shared: SharedRuntime
  readonly #batches: HeldBatches
  readonly #budget: ReadBudget
  readonly #shares: Shares
  readonly #patterns: PatternLookUps
  readonly #entries = new Map<string, Entry>()
  readonly #closing = new Map<string, Closing>()
  /** Instances that are created, or continued here, in this moment. */
  readonly #opening = new Map<string, Promise<Opened | typeof EXISTS>>()
  /** Give back the places of instances that are being opened. */
  readonly #places = new Set<() => void>()
  readonly #store: InstanceStore | undefined
  readonly #inMemory = new PointsInMemory(randomBytes(9).toString('base64url'))
  #askToRelease: AskToRelease | undefined
  #isStopped = false

  constructor(deps: ConsumerInstancesDeps) {
    const { settings } = deps
    this.#deps = deps
    const topic = settings.instancesTopic
    this.#store =
      topic === ''
        ? undefined
        : new InstanceStore({ ...deps, topic, onTaken: instance => this.#taken(keyOf(instance)) })
    this.#batches = new HeldBatches(settings.bufferMaxBytes)
    this.#budget = new ReadBudget(2 * settings.bufferMaxBytes)
    this.#shares = new Shares(settings.maxGroups, 'instances')
    this.#patterns = new PatternLookUps(asking(deps.router), deps.clock)
    this.#shared = sharedRuntime(deps)
  }

  get size(): number {
    return this.#entries.size
  }

  /** The groups of the instances; a group of several instances comes several times. */
  get groupIds(): Iterable<string> {
    return Array.from(this.#entries.values(), ({ instance }) => instance.groupId)
  }

  async create(
    { groupId, name, principal, attempt, isWanted }: InstanceName,
    settings: InstanceSettings,
    client: string | undefined
  ): Promise<InstanceResult<boolean>> {
    const problem = problemOfGroup(groupId) ?? problemOfName(name)
    if (problem) return problem
    const instance = { groupId: ownText(groupId), name: ownText(name), principal, attempt, isWanted }
    if (this.#isStopped) return SHUTTING_DOWN
    const key = keyOf(instance)
    const here = this.#entries.has(key) ? await this.#anyEntryOf(instance, 0) : undefined
    if (here?.type === 'failed' && here !== TAKEN) return here
    // Another request may look for it, or create it.
    for (let other = this.#opening.get(key); other; other = this.#opening.get(key))
      if ((await withinTime(other)) === NOT_OPEN) return NOT_OPEN
    if (this.#entries.has(key)) return { type: 'done', value: false }
    const opened = await this.#opens(key, () => this.#create(instance, { settings, client, assigned: [] }))
    if (opened.type === 'exists') return { type: 'done', value: false }
    return 'entry' in opened ? { type: 'done', value: true } : opened
  }

  #create(instance: InstanceName, stored: StoredInstance): Promise<Opened | typeof EXISTS> {
    return this.#inPlace<Opened | typeof EXISTS>(stored.client, async releaseShare => {
      const found = await this.#store?.find(instance)
      if (found) return 'type' in found ? found : EXISTS
      // It may have gone on while this one waited for the end of the instance before.
      if (instance.isWanted?.() === false) return UNKNOWN
      if (instance.attempt?.isPassedOn && !isAfter(instance.attempt.number, this.#lastOf(instance))) return LATE_CALL
      return (await this.#store?.claim(instance, stored)) ?? this.#opened(instance, stored, releaseShare)
    })
  }

  /** Takes a place before anything is asked: others of the same moment get no more than there are. */
  async #inPlace<Result extends Opened | typeof EXISTS>(
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

  /**
   * Carries out the creation of an entry, when the one before it has ended. A second one for the same instance waits for
   * the first. It goes on when its time limit is over, and later requests find the entry.
   */
  #opens(key: string, open: () => Promise<Opened | typeof EXISTS>): Promise<Opened | typeof EXISTS> {
    const begin = async (): Promise<Opened | typeof EXISTS> => {
      await this.#closing.get(key)?.done
      return open()
    }
    const opening = this.#opening.get(key) ?? begin().finally(() => this.#opening.delete(key))
    this.#opening.set(key, opening)
    return withinTime(opening)
  }

  #opened(
    { groupId, name, principal }: InstanceName,
    { settings, client }: StoredInstance,
    releaseShare: () => void
  ): Opened {
    const instance = { groupId, name, principal }
    if (this.#isStopped) {
      this.#store?.release(instance)
      return SHUTTING_DOWN
    }
    if (this.#store?.owns(instance) === false) return TAKEN
    const entry = this.#start(instance, settings, client, releaseShare)
    this.#entries.set(keyOf(instance), entry)
    this.#count()
    return { type: 'opened', entry }
  }

  #fullFor(client: string | undefined): Failure | undefined {
    const full = this.#shares.problemOf(client)
    if (full === undefined) return undefined
    const whose = full === 'greedy' ? ' of one client' : ''
    const text = `too many consumer instances${whose} (limit ${this.#deps.settings.maxGroups}; advanced.consumer.maxGroups)`
    return ownFailure('quotaExceeded', text, true)
  }

  /** Continues an instance that this process does not have. The process that has it, if it answers, gives it up before. */
  async #continue(instance: InstanceName): Promise<Opened> {
    let stored = await this.#store?.find(instance)
    const { attempt } = instance
    if (stored && !('type' in stored) && stored.owner !== this.#store!.id) {
      const released = await this.#releasedBy(stored.owner, instance)
      if (typeof released === 'string') return lateCall(released)
      if (released) stored = await this.#store!.find(instance)
    }
    if (!stored) return UNKNOWN
    if ('type' in stored) return stored
    const { owner } = stored
    // A call that was late would take the instance from a process that has gone on.
    if (attempt?.isPassedOn && !isAt(attempt.number, this.#lastOf(instance))) return LATE_CALL
    if (owner !== this.#store!.id)
      this.#deps.log.info({ instance: instance.name, owner }, 'a consumer instance of another process goes on here')
    const { settings, client, topics, assigned } = stored
    const found = stored
    const opened = await this.#inPlace<Opened>(client, async releaseShare => {
      const failure = await this.#store!.claim(instance, { settings, client, topics, assigned }, found)
      return failure ?? this.#opened(instance, found, releaseShare)
    })
    const chosen = this.#chosenBy(found)
    if (!('entry' in opened)) return opened
    const { actor, consumer } = opened.entry
    actor.tick(() => (chosen ? consumer.subscribe(chosen) : consumer.assign(assigned)))
    return opened
  }

  /** Asks the process that has an instance to give it up; on behalf of a client of this process, whatever its number is. */
  async #releasedBy(owner: string, instance: InstanceName): Promise<Released> {
    const { attempt } = instance
    if (attempt?.isPassedOn) return (await this.#askToRelease?.(owner, instance, attempt.number)) ?? false
    let released: Released = numberText(this.#lastOf(instance))
    for (let asked = 0; typeof released === 'string' && asked < MAX_RELEASES; asked++)
      released = (await this.#askToRelease?.(owner, instance, released)) ?? false
    return released
  }

  numberOf(instance: InstanceName): string {
    const entry = this.#entries.get(keyOf(instance))
    if (entry) return this.#numberOf(entry)
    const last = this.#lastOf(instance)
    const end = this.#store?.end ?? this.#inMemory.end
    // Who is to create the instance has to know its removal; who is to continue it, its last record.
    return numberText(this.#store?.has(instance) ? last : end)
  }

  #numberOf({ instance, consumer, point }: Entry, changes = consumer.changes): string {
    // While Kafka does not take states, an instance that is made anew has the record of the one before it.
    return numberText(this.#store?.lastOf(instance) ?? point, `${point.point}.${changes}`)
  }

  #lastOf(instance: InstanceName): InstancePoint {
    return this.#store?.lastOf(instance) ?? this.#inMemory.lastOf(keyOf(instance))
  }

  #chosenBy({ topics, client }: StoredInstance): ChosenTopics | undefined {
    if (!topics || 'topics' in topics) return topics
    const allowed = topics.allowed && new Set(topics.allowed)
    return this.#matching(topics.pattern, client, allowed && (topic => allowed.has(topic)))
  }

  #matching(
    text: string,
    client: string | undefined,
    includes: ((topic: string) => boolean) | undefined
  ): ChosenTopics {
    const { instancesTopic } = this.#deps.settings
    const isIncluded = (topic: string): boolean => topic !== instancesTopic && (includes?.(topic) ?? true)
    return { text, client, includes: isIncluded, isLimited: includes !== undefined }
  }

  get owners(): InstanceOwners | undefined {
    return this.#store && this
  }

  has(instance: InstanceName): boolean {
    return this.#entries.has(keyOf(instance))
  }

  identify(id: string, askToRelease: AskToRelease): void {
    if (!this.#store) return
    this.#store.id = id
    this.#askToRelease = askToRelease
  }

  async release(instance: InstanceName): Promise<Released> {
    const entry = this.#entries.get(keyOf(instance))
    if (entry && isLate(instance, this.#numberOf(entry))) return this.#numberOf(entry)
    if (entry) await this.#close(entry, TAKEN, true)
    return entry !== undefined
  }

  async settingsOf(instance: InstanceName): Promise<InstanceResult<InstanceSettings>> {
    const found = await this.#entryOf(instance, Number.POSITIVE_INFINITY)
    return 'entry' in found ? { type: 'done', value: found.entry.settings } : found
  }

  /** The instance, confirmed to be of this process in the last `maxAgeMs`. */
  async #entryOf(instance: InstanceName, maxAgeMs = 0): Promise<Opened> {
    const found = await this.#anyEntryOf(instance, maxAgeMs)
    const isOfAnotherApi = 'entry' in found && instance.api !== undefined && instance.api !== found.entry.settings.api
    return isOfAnotherApi ? UNKNOWN : found
  }

  async #anyEntryOf(instance: InstanceName, maxAgeMs: number): Promise<Opened> {
    const key = keyOf(instance)
    const entry = this.#entries.get(key)
    if (this.#isStopped) return SHUTTING_DOWN
    if (!entry) {
      const look = () => this.#opens(key, () => this.#continue(instance))
      const isBegun = this.#opening.has(key)
      let opened = await look()
      // It may have been made since that look was begun.
      if (isBegun && opened === UNKNOWN) opened = await look()
      if (opened.type === 'exists') return this.#anyEntryOf(instance, maxAgeMs)
      // A client that has left may have gone on in the process that had the instance until now.
      return 'entry' in opened && instance.isWanted?.() === false ? LATE_CALL : opened
    }
    const failure = this.#store && (await withinTime(this.#store.catchUp(maxAgeMs)))
    if (failure) return failure
    return this.#entries.get(key) === entry ? { type: 'opened', entry } : TAKEN
  }

  async remove(instance: InstanceName): Promise<InstanceResult<void>> {
    const found = await this.#entryOf(instance)
    if (!('entry' in found)) return found
    if (isLate(instance, this.#numberOf(found.entry))) return LATE_CALL
    // A removal that Kafka does not have is no removal: the next request would continue the instance.
    return (await this.#close(found.entry, UNKNOWN, false)) ?? DONE
  }

  async subscribe(instance: InstanceName, topics: InstanceTopics): Promise<InstanceResult<void>> {
    if ('topics' in topics) {
      const names = [...new Set(topics.topics)]
      if (names.length === 0) return this.unsubscribe(instance)
      const bad = names.find(topic => !isTopic(topic))
      const illegal = bad !== undefined && invalid('invalidTopic', `${JSON.stringify(bad)} is not a name of a topic`)
      const problem = illegal || this.#tooManyTopics(names.length)
      return problem ?? this.#change(instance, (consumer, reply) => reply(consumer.subscribe({ topics: names })))
    }
    const found = await this.#entryOf(instance)
    if (!('entry' in found)) return found
    const { client } = found.entry
    try {
      await this.#patterns.check(topics.pattern, client)
    } catch (error) {
      return invalid('invalidRequest', `the pattern is not valid: ${(error as Error).message}`)
    }
    const chosen = this.#matching(topics.pattern, client, topics.includes)
    // Those that match now are stored: a client may be allowed no others.
    return this.#change(instance, (consumer, reply) => {
      const result = consumer.subscribe(chosen)
      if (result.type !== 'done') reply(result)
      else consumer.subscription(known => reply(known.type === 'done' ? result : known))
    })
  }

  /** So many topics make the stored state too large. */
  #tooManyTopics(count: number): Failure | undefined {
    return tooMany('topics', count, this.#deps.settings.maxTopicsPerGroup)
  }

  subscription(instance: InstanceName): Promise<InstanceResult<readonly string[]>> {
    return this.#ask<readonly string[]>(instance, (consumer, reply) => consumer.subscription(reply))
  }

  describe(instance: InstanceName): Promise<InstanceResult<DescribedInstance>> {
    return this.#ask<DescribedInstance>(instance, (consumer, reply) =>
      consumer.subscription(result => {
        if (result.type !== 'done') reply(result)
        else reply({ type: 'done', value: { subscription: result.value, assignment: consumer.assignment } })
      })
    )
  }

  unsubscribe(instance: InstanceName): Promise<InstanceResult<void>> {
    return this.#change(instance, (consumer, reply) => consumer.unsubscribe(reply))
  }

  async assign(instance: InstanceName, partitions: readonly TopicPartition[]): Promise<InstanceResult<void>> {
    const problem =
      problemOfPartitions(partitions) ??
      this.#tooManyTopics(new Set(partitions.map(({ topic }) => topic)).size) ??
      tooMany('partitions', partitions.length, MAX_PARTITIONS)
    return problem ?? this.#change(instance, (consumer, reply) => reply(consumer.assign(partitions)))
  }

  assignment(instance: InstanceName): Promise<InstanceResult<readonly TopicPartition[]>> {
    return this.#ask(instance, (consumer, reply) => reply({ type: 'done', value: consumer.assignment }))
  }

  seek(instance: InstanceName, positions: readonly InstancePosition[]): Promise<InstanceResult<void>> {
    // Positions are not stored: who continues the instance begins at the committed offsets.
    return this.#changeUnstored(instance, (consumer, reply) => consumer.seek(positions, reply))
  }

  read(instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    // A subscribed instance is fenced by its group.
    const isAssigned = this.#entries.get(keyOf(instance))?.consumer.isAssigned === true
    const maxAgeMs = isAssigned ? TAKE_OVER_MS : Number.POSITIVE_INFINITY
    return this.#ask<InstanceRead>(instance, (consumer, reply) => consumer.read(limits, reply), maxAgeMs)
  }

  async commit(instance: InstanceName, offsets: readonly InstanceOffset[] | 'accepted'): Promise<InstanceResult<void>> {
    const problem = offsets === 'accepted' ? undefined : problemOfPartitions(offsets)
    return problem ?? this.#changeUnstored(instance, (consumer, reply) => consumer.commit(offsets, reply))
  }

  async committed(
    instance: InstanceName,
    partitions: readonly TopicPartition[]
  ): Promise<InstanceResult<readonly InstanceOffset[]>> {
    return (
      problemOfPartitions(partitions) ??
      this.#ask<readonly InstanceOffset[]>(instance, (consumer, reply) => consumer.committed(partitions, reply))
    )
  }

  /** Refuses further requests, commits as automatic commits do, and leaves all groups. Idempotent. */
  async stop(timeoutMs = MAX_TIMER_MS): Promise<void> {
    this.#isStopped = true
    for (const releaseShare of this.#places) releaseShare()
    for (const entry of this.#entries.values()) void this.#close(entry, SHUTTING_DOWN, this.#store !== undefined)
    const closing = [...this.#closing.values()]
    await inTime(Promise.all(closing.map(({ done }) => done)), timeoutMs, () => undefined)
    for (const { entry } of closing) this.#abandon(entry, SHUTTING_DOWN)
    this.#store?.stop()
  }

  /**
   * Ends an instance, in the tick after the outcomes of answered reads.
   *
   * @param result the answer to open and later requests
   * @param isKept the stored state and the membership remain, for another process to continue
   * @returns a failure: the stored state is not removed
   */
  #close(entry: Entry, result: typeof UNKNOWN | Failure, isKept: boolean): Promise<Failure | undefined> {
    const { instance, actor, consumer, ended, hasEnded } = entry
    const key = keyOf(instance)
    const other = this.#closing.get(key)
    if (other) return other.done
    this.#forget(key, entry)
    entry.endResult = result
    actor.tick(() => {
      answerOpen(entry, result)
      consumer.end(isKept, hasEnded)
    })
    const close = async (): Promise<Failure | undefined> => {
      await ended
      actor.stop()
      if (!isKept) return this.#store?.write(instance, null)
      this.#store?.release(instance)
      return undefined
    }
    const done = close().finally(() => this.#closing.delete(key))
    this.#closing.set(key, { entry, done })
    return done
  }

  #abandon(entry: Entry, failure: Failure): void {
    entry.consumer.abandon()
    entry.actor.stop()
    answerOpen(entry, failure)
    entry.hasEnded()
  }

  /** Carries out a verb that changes what the instance reads. It is answered when Kafka has the new state. */
  async #change(instance: InstanceName, verb: VerbOf<void>): Promise<InstanceResult<void>> {
    const found = await this.#entryOf(instance)
    if (!('entry' in found)) return found
    const { entry } = found
    const result = await this.#askEntry(entry, this.#changing(entry, instance, verb))
    if (result.type !== 'done' || !this.#store) return result
    // Another process may have taken the instance over meanwhile, and this one may have continued it anew.
    return this.#entries.get(keyOf(instance)) === entry ? ((await this.#save(entry)) ?? DONE) : TAKEN
  }

  /** Carries out a change that the stored state does not have. */
  async #changeUnstored(instance: InstanceName, verb: VerbOf<void>): Promise<InstanceResult<void>> {
    const found = await this.#entryOf(instance)
    if (!('entry' in found)) return found
    const { entry } = found
    const { attempt } = instance
    if (!attempt?.isRepeated) return this.#askEntry(entry, this.#changing(entry, instance, verb))
    // An instance that goes on here gets its subscription or assignment in a tick before this one.
    const isHere = await this.#askEntry<number>(entry, ({ changes }, reply) => reply({ type: 'done', value: changes }))
    if (isHere.type !== 'done') return isHere
    if (isLate(instance, this.#numberOf(entry))) return LATE_CALL
    // With another record the attempt before this one is late wherever it arrives.
    const failure = await this.#save(entry)
    // A change that came meanwhile is answered, and its client has gone on.
    const number = this.#numberOf(entry, isHere.value)
    const repeated = { ...instance, attempt: { ...attempt, isPassedOn: true, number } }
    return failure ?? this.#askEntry(entry, this.#changing(entry, repeated, verb))
  }

  /** A change that is only made if the call is meant for the instance as it is in this tick. */
  #changing(entry: Entry, instance: InstanceName, verb: VerbOf<void>): VerbOf<void> {
    return (consumer, reply) => {
      if (isLate(instance, this.#numberOf(entry))) reply(LATE_CALL)
      else {
        consumer.changes++
        verb(consumer, reply)
      }
    }
  }

  async #save(entry: Entry): Promise<Failure | undefined> {
    const { settings, client, consumer, instance } = entry
    entry.storedAt = this.#deps.clock()
    const failure = await this.#store?.write(instance, { settings, client, ...consumer.stored })
    if (failure) entry.storedAt = Number.NEGATIVE_INFINITY
    return failure
  }

  /** Tells other processes, now and then, that an instance is used. */
  #used(entry: Entry): void {
    const { idleMs = Number.POSITIVE_INFINITY } = entry.settings
    const isHere = this.#entries.get(keyOf(entry.instance)) === entry
    if (isHere && this.#deps.clock() - entry.storedAt >= idleMs / 4) void this.#save(entry)
  }

  /** Whether an instance is still of this process, and was a moment ago. */
  async #confirm(instance: InstanceName): Promise<Failure | undefined> {
    const { clock } = this.#deps
    for (let left = MAX_CONFIRMATIONS; left > 0; left--) {
      const startedAt = clock()
      const failure = await this.#store?.catchUp()
      if (failure) return failure
      if (this.#store?.owns(instance) === false) return TAKEN
      // Otherwise the process may have stood still since Kafka has answered.
      if (clock() - startedAt < TAKE_OVER_MS) return undefined
    }
    return NOT_OPEN
  }

  async #ask<Value>(instance: InstanceName, verb: VerbOf<Value>, maxAgeMs = 0): Promise<InstanceResult<Value>> {
    const found = await this.#entryOf(instance, maxAgeMs)
    if (!('entry' in found)) return found
    return this.#askEntry(found.entry, verb)
  }

  async #askEntry<Value>(entry: Entry, verb: VerbOf<Value>): Promise<InstanceResult<Value>> {
    const { settings, actor, consumer, open, endResult } = entry
    if (endResult) return endResult
    const timeoutMs = VERB_TIMEOUT_MS + settings.maxWaitMs
    try {
      return await ask<InstanceResult<Value>>('instance', timeoutMs, requester => {
        const reply: Reply<Value> = result => {
          if (open.delete(reply)) requester.reply(result)
        }
        open.add(reply)
        actor.tick(() => {
          consumer.used()
          verb(consumer, reply)
        })
      })
    } catch (error) {
      if (error instanceof TimedOutError) return { type: 'timedOut' }
      throw error
    }
  }

  #start(
    instance: InstanceName,
    settings: InstanceSettings,
    client: string | undefined,
    releaseShare: () => void
  ): Entry {
    const { settings: consumerSettings, metrics } = this.#deps
    const key = keyOf(instance)
    const actor = new GroupActor<never>(`instance-${key}`, instance.groupId, this.#shared, {
      receive: () => undefined,
      onCrash: error => {
        metrics.count('groups', 'unexpected_failures')
        actor.log.error({ err: error, instance: instance.name }, 'a consumer instance met a bug and is removed')
        const failure = ownFailure('protocol', `the instance has failed: ${error.message}`, true)
        this.#abandon(entry, failure)
        void this.#close(entry, failure, false)
      }
    })
    const consumer = new ConsumerInstance({
      runtime: actor,
      tick: actor.tick,
      instance,
      settings,
      consumer: consumerSettings,
      batches: this.#batches,
      budget: this.#budget,
      patterns: this.#patterns,
      staticId: this.#store ? staticIdOf(instance) : null,
      confirm: () => this.#confirm(instance),
      onFenced: () => {
        this.#store?.release(instance)
        this.#taken(key)
      },
      onUsed: () => this.#used(entry),
      onIdle: () => void this.#close(entry, UNKNOWN, false)
    })
    let hasEnded: () => void = () => undefined
    const ended = new Promise<void>(resolve => (hasEnded = resolve))
    const entry: Entry = {
      instance,
      settings,
      client,
      point: this.#inMemory.next(),
      storedAt: this.#deps.clock(),
      actor,
      consumer,
      releaseShare,
      open: new Set(),
      endResult: undefined,
      ended,
      hasEnded
    }
    return entry
  }

  /** Another process has the instance now. It continues there. */
  #taken(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    entry.actor.log.warn({ instance: entry.instance.name }, 'another process has taken over a consumer instance')
    this.#forget(key, entry)
    this.#abandon(entry, TAKEN)
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return
    this.#entries.delete(key)
    this.#inMemory.removed(key)
    entry.releaseShare()
    this.#count()
  }

  #count(): void {
    this.#deps.metrics.gauge('groups', 'instances', {}, this.#entries.size)
  }
}

/** Whether a call was made before the last change of an instance that has this number. */
const isLate = ({ attempt }: InstanceName, number: string): boolean =>
  attempt?.isPassedOn === true && attempt.number !== number

const withinTime = <Result>(work: Promise<Result>): Promise<Result | Failure> =>
  inTime(work, OPEN_TIMEOUT_MS, () => NOT_OPEN)

/** A group and a name may both have any characters. */
const keyOf = ({ groupId, name }: InstanceName): string => `${groupId.length} ${groupId} ${name}`

/** The id of an instance as a static member of its group. Kafka takes names of this form alone. */
const staticIdOf = ({ name }: InstanceName): string => {
  const id = `castellan-instance-${name}`
  const isLegal = /^[\w.-]{1,249}$/.test(id)
  return isLegal ? id : `castellan-instance-${createHash('sha256').update(name).digest('hex')}`
}

/** A path cannot have every name: clients resolve dots, and half of a character has no UTF-8. */
const problemOfName = (name: string): Failure | undefined =>
  name.length > 0 && name.length <= MAX_NAME_LENGTH && !/^\.\.?$|[\ud800-\udfff]/u.test(name)
    ? undefined
    : invalid(
        'invalidRequest',
        `the name of an instance has 1 to ${MAX_NAME_LENGTH} characters of Unicode, and is not "." or ".."`
      )

const problemOfPartitions = (partitions: readonly TopicPartition[]): Failure | undefined =>
  partitions.map(problemOfPartition).find(problem => problem !== undefined)

const tooMany = (what: string, count: number, max: number): Failure | undefined =>
  count > max ? invalid('invalidRequest', `${count} ${what} are too many (limit ${max})`) : undefined

function answerOpen({ open }: Entry, result: InstanceResult<never>): void {
  for (const reply of open) reply(result)
}
