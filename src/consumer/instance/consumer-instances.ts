import type { TopicPartition } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { ownText } from '../../core/own-text.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { Failure } from '../../router/messages/operations.js'
import { invalid, isTopic, problemOfPartition } from '../../router/requests/failures.js'
import { problemOfClientsGroup } from '../group/webhook-groups.js'
import type { InstanceEntry, VerbOf } from './instance-entry.js'
import { TAKEN } from './instance-store.js'
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
import {
  type ConsumerInstancesDeps,
  LATE_CALL,
  type Opened,
  OpenInstances,
  TAKE_OVER_MS,
  UNKNOWN
} from './open-instances.js'

/** Limit of the length of a name, as for the id of a static member. */
const MAX_NAME_LENGTH = 249
/** Limit of partitions in one assignment. */
const MAX_PARTITIONS = 10_000

const DONE = { type: 'done', value: undefined } as const

/**
 * The consumer instances of one process and cluster. Each is an actor. Their states are in a topic, if there is one: then an
 * instance that this process does not have, and no other one, continues here with the first request for it.
 */
export class ConsumerInstances implements InstanceVerbs, InstanceOwners {
  /** Limit of topics of a subscription: more would make the stored state too large. */
  readonly #maxTopics: number
  readonly #tracing: Tracing | undefined
  readonly #open: OpenInstances

  constructor(deps: ConsumerInstancesDeps) {
    this.#maxTopics = deps.settings.maxTopicsPerGroup
    this.#tracing = deps.tracing
    this.#open = new OpenInstances(deps)
  }

  get size(): number {
    return this.#open.size
  }

  /** The groups of the instances; a group of several instances comes several times. */
  get groupIds(): Iterable<string> {
    return this.#open.all.map(({ options }) => options.instance.groupId)
  }

  /** The groups that an instance cannot join, and why; a group of several instances comes several times. */
  get refused(): readonly { readonly group: string; readonly message: string }[] {
    return this.#open.all.flatMap(({ consumer, options }) => {
      const { message } = consumer.refusal ?? {}
      return message === undefined ? [] : [{ group: options.instance.groupId, message }]
    })
  }

  async create(
    { groupId, name, principal, attempt, isWanted }: InstanceName,
    settings: InstanceSettings,
    client: string | undefined
  ): Promise<InstanceResult<boolean>> {
    const problem = problemOfClientsGroup(groupId) ?? problemOfName(name)
    if (problem) return problem
    const instance = { groupId: ownText(groupId), name: ownText(name), principal, attempt, isWanted }
    return this.#open.create(instance, settings, client)
  }

  numberOf(instance: InstanceName): string {
    return this.#open.numberOfName(instance)
  }

  get owners(): InstanceOwners | undefined {
    return this.#open.store && this
  }

  has(instance: InstanceName): boolean {
    return this.#open.get(instance) !== undefined
  }

  identify(id: string, askToRelease: AskToRelease): void {
    if (!this.#open.store) return
    this.#open.store.id = id
    this.#open.askToRelease = askToRelease
  }

  async release(instance: InstanceName): Promise<Released> {
    const entry = this.#open.get(instance)
    if (entry && this.#open.isLate(instance, entry)) return this.#open.numberOf(entry)
    if (entry) await this.#open.close(entry, TAKEN, true)
    return entry !== undefined
  }

  async settingsOf(instance: InstanceName): Promise<InstanceResult<InstanceSettings>> {
    const found = await this.#find(instance, Number.POSITIVE_INFINITY)
    return found.type === 'opened' ? { type: 'done', value: found.entry.options.settings } : found
  }

  /** The instance, confirmed to be of this process in the last `maxAgeMs`. */
  async #find(instance: InstanceName, maxAgeMs = 0): Promise<Opened> {
    const found = await this.#open.find(instance, maxAgeMs)
    const isOfAnotherApi =
      found.type === 'opened' && instance.api !== undefined && instance.api !== found.entry.options.settings.api
    return isOfAnotherApi ? UNKNOWN : found
  }

  async remove(instance: InstanceName): Promise<InstanceResult<void>> {
    const found = await this.#find(instance)
    if (found.type !== 'opened') return found
    if (this.#open.isLate(instance, found.entry)) return LATE_CALL
    // A removal that Kafka does not have is no removal: the next request would continue the instance.
    return (await this.#open.close(found.entry, UNKNOWN, false)) ?? DONE
  }

  async subscribe(instance: InstanceName, topics: InstanceTopics): Promise<InstanceResult<void>> {
    if ('topics' in topics) {
      const names = [...new Set(topics.topics)]
      if (names.length === 0) return this.unsubscribe(instance)
      const bad = names.find(topic => !isTopic(topic))
      const illegal = bad !== undefined && invalid('invalidTopic', `${JSON.stringify(bad)} is not a name of a topic`)
      const problem = illegal || tooMany('topics', names.length, this.#maxTopics)
      return problem ?? this.#change(instance, (consumer, reply) => reply(consumer.subscribe({ topics: names })))
    }
    const found = await this.#find(instance)
    if (found.type !== 'opened') return found
    const { client } = found.entry.options
    try {
      await this.#open.patterns.check(topics.pattern, client)
    } catch (error) {
      return invalid('invalidRequest', `the pattern is not valid: ${messageOf(error)}`)
    }
    const chosen = this.#open.matching(topics.pattern, client, topics.includes)
    // The topics that match now are stored, because the client may not be allowed to read others.
    return this.#change(instance, (consumer, reply) => {
      const result = consumer.subscribe(chosen)
      if (result.type !== 'done') reply(result)
      else consumer.subscription(known => reply(known.type === 'done' ? result : known))
    })
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
      tooMany('topics', new Set(partitions.map(({ topic }) => topic)).size, this.#maxTopics) ??
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

  async read(instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    const given = this.#tracing?.asks(instance.groupId)
    // A subscribed instance is fenced by its group.
    const isAssigned = this.#open.get(instance)?.consumer.isAssigned === true
    const maxAgeMs = isAssigned ? TAKE_OVER_MS : Number.POSITIVE_INFINITY
    const ask: VerbOf<InstanceRead> = (consumer, reply) => consumer.read(limits, reply)
    const result = await this.#ask<InstanceRead>(instance, ask, maxAgeMs)
    if (result.type === 'done') given?.(result.value.records)
    return result
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
  stop(timeoutMs?: number): Promise<void> {
    return this.#open.stop(timeoutMs)
  }

  /** Carries out a verb that changes what the instance reads. It is answered when Kafka has the new state. */
  async #change(instance: InstanceName, verb: VerbOf<void>): Promise<InstanceResult<void>> {
    const found = await this.#find(instance)
    if (found.type !== 'opened') return found
    const { entry } = found
    const result = await entry.ask(this.#changing(entry, instance, verb))
    if (result.type !== 'done' || !this.#open.store) return result
    // Another process may have taken the instance over meanwhile, and this one may have continued it again.
    return this.#open.get(instance) === entry ? ((await this.#open.save(entry)) ?? DONE) : TAKEN
  }

  /** Carries out a change that the stored state does not have. */
  async #changeUnstored(instance: InstanceName, verb: VerbOf<void>): Promise<InstanceResult<void>> {
    const found = await this.#find(instance)
    if (found.type !== 'opened') return found
    const { entry } = found
    const { attempt } = instance
    if (!attempt?.isRepeated) return entry.ask(this.#changing(entry, instance, verb))
    // An instance that goes on here gets its subscription or assignment in a tick before this one.
    const isHere = await entry.ask<number>(({ changes }, reply) => reply({ type: 'done', value: changes }))
    if (isHere.type !== 'done') return isHere
    if (this.#open.isLate(instance, entry)) return LATE_CALL
    // After another record, the attempt before this one counts as late wherever it arrives.
    const failure = await this.#open.save(entry)
    // A change that came meanwhile is answered, and its client has gone on.
    const number = this.#open.numberOf(entry, isHere.value)
    const repeated = { ...instance, attempt: { ...attempt, isPassedOn: true, number } }
    return failure ?? entry.ask(this.#changing(entry, repeated, verb))
  }

  /** A change that is only made if the call is meant for the instance as it is in this tick. */
  #changing(entry: InstanceEntry, instance: InstanceName, verb: VerbOf<void>): VerbOf<void> {
    return (consumer, reply) => {
      if (this.#open.isLate(instance, entry)) reply(LATE_CALL)
      else {
        consumer.changes++
        verb(consumer, reply)
      }
    }
  }

  async #ask<Value>(instance: InstanceName, verb: VerbOf<Value>, maxAgeMs = 0): Promise<InstanceResult<Value>> {
    const found = await this.#find(instance, maxAgeMs)
    return found.type === 'opened' ? found.entry.ask(verb) : found
  }
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
