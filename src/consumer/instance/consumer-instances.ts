import { ask, type Requester } from '../../core/actor/actor.js'
import { TimedOutError } from '../../core/errors.js'
import { MAX_TIMER_MS, type TopicPartition } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import { isTopic, ownFailure, problemOfGroup, problemOfPartition } from '../../router/requests/failures.js'
import { type GroupDeps, sharedRuntime } from '../group/consumer-groups.js'
import { GroupInbox, type GroupMessages, type GroupNotice } from '../group/group-inbox.js'
import { ActorRuntime, type SharedRuntime } from '../group/group-runtime.js'
import { HeldBatches } from '../group/held-batches.js'
import { ConsumerInstance, type InstanceMessage } from './consumer-instance.js'
import { ReadBudget } from './instance-reads.js'
import { compilePattern } from './instance-topics.js'
import type {
  InstanceGateway,
  InstanceName,
  InstanceOffset,
  InstancePosition,
  InstanceRead,
  InstanceReadLimits,
  InstanceResult,
  InstanceSettings,
  InstanceTopics
} from './instances.js'

/** Limit of the length of a name, as for the id of a static member. */
const MAX_NAME_LENGTH = 249
/** Limit of partitions in one assignment. */
const MAX_PARTITIONS = 10_000
/** Limit of the length of a pattern. */
const MAX_PATTERN_LENGTH = 1_000
/** Time limit of verbs. The requests that they make have shorter ones, so it is reached only when an actor is stuck. */
const VERB_TIMEOUT_MS = 60_000

const UNKNOWN = { type: 'unknownInstance' } as const
const SHUTTING_DOWN = ownFailure('shuttingDown', 'the consumer instances are shutting down', true)

interface Entry {
  readonly settings: InstanceSettings
  readonly inbox: GroupInbox<InstanceMessage>
  readonly runtime: ActorRuntime
  readonly consumer: ConsumerInstance
  readonly releaseShare: () => void
  /** The requests that are not answered. They are answered at the latest when the instance has ended. */
  readonly open: Set<Requester<InstanceResult<never>>>
}

/** The consumer instances of one process and cluster. Each is an actor. */
export class ConsumerInstances implements InstanceGateway {
  readonly #deps: GroupDeps
  readonly #shared: SharedRuntime
  readonly #batches: HeldBatches
  readonly #budget: ReadBudget
  readonly #shares: Shares
  readonly #entries = new Map<string, Entry>()
  /** Instances that are leaving their group. */
  readonly #ending = new Set<Entry>()
  #isStopped = false

  constructor(deps: GroupDeps) {
    const { settings } = deps
    this.#deps = deps
    this.#batches = new HeldBatches(settings.bufferMaxBytes)
    this.#budget = new ReadBudget(2 * settings.bufferMaxBytes)
    this.#shares = new Shares(settings.maxGroups)
    this.#shared = sharedRuntime(deps)
  }

  /** Number of instances. */
  get size(): number {
    return this.#entries.size
  }

  async create(
    instance: InstanceName,
    settings: InstanceSettings,
    client: string | undefined
  ): Promise<InstanceResult<boolean>> {
    const problem = problemOfGroup(instance.groupId) ?? problemOfName(instance.name)
    if (problem) return problem
    if (this.#isStopped) return SHUTTING_DOWN
    const key = keyOf(instance)
    if (this.#entries.has(key)) return { type: 'done', value: false }
    const { maxGroups } = this.#deps.settings
    const full = this.#shares.problemOf(client)
    if (full !== undefined) {
      const whose = full === 'greedy' ? ' of one client' : ''
      const text = `too many consumer instances${whose} (limit ${maxGroups}; advanced.consumer.maxGroups)`
      return ownFailure('overloaded', text, true)
    }
    this.#entries.set(key, this.#start(instance, settings, client))
    this.#count()
    return { type: 'done', value: true }
  }

  async settingsOf(instance: InstanceName): Promise<InstanceResult<InstanceSettings>> {
    const entry = this.#entries.get(keyOf(instance))
    return entry ? { type: 'done', value: entry.settings } : this.#unknown
  }

  remove(instance: InstanceName): Promise<InstanceResult<void>> {
    return this.#ask(instance, requester => ({ type: 'remove', requester }))
  }

  async subscribe(instance: InstanceName, topics: InstanceTopics): Promise<InstanceResult<void>> {
    if ('topics' in topics) {
      const bad = topics.topics.find(topic => !isTopic(topic))
      if (bad !== undefined) return ownFailure('invalidTopic', `${JSON.stringify(bad)} is not a name of a topic`, false)
      const names = [...new Set(topics.topics)]
      const { maxTopicsPerGroup } = this.#deps.settings
      if (names.length > maxTopicsPerGroup)
        return ownFailure('invalidRequest', `${names.length} topics are too many (limit ${maxTopicsPerGroup})`, false)
      return names.length === 0
        ? this.unsubscribe(instance)
        : this.#ask(instance, requester => ({ type: 'subscribe', topics: { topics: names }, requester }))
    }
    if (topics.pattern.length > MAX_PATTERN_LENGTH)
      return ownFailure('invalidRequest', `the pattern is too long (limit ${MAX_PATTERN_LENGTH} characters)`, false)
    try {
      const pattern = await compilePattern(topics.pattern)
      const { includes = () => true } = topics
      return await this.#ask(instance, requester => ({ type: 'subscribe', topics: { pattern, includes }, requester }))
    } catch (error) {
      return ownFailure('invalidRequest', `the pattern is not valid: ${(error as Error).message}`, false)
    }
  }

  subscription(instance: InstanceName): Promise<InstanceResult<readonly string[]>> {
    return this.#ask(instance, requester => ({ type: 'subscription', requester }))
  }

  unsubscribe(instance: InstanceName): Promise<InstanceResult<void>> {
    return this.#ask(instance, requester => ({ type: 'unsubscribe', requester }))
  }

  async assign(instance: InstanceName, partitions: readonly TopicPartition[]): Promise<InstanceResult<void>> {
    const problem = problemOfPartitions(partitions)
    if (problem) return problem
    if (partitions.length > MAX_PARTITIONS)
      return ownFailure(
        'invalidRequest',
        `${partitions.length} partitions are too many (limit ${MAX_PARTITIONS})`,
        false
      )
    return this.#ask(instance, requester => ({ type: 'assign', partitions, requester }))
  }

  assignment(instance: InstanceName): Promise<InstanceResult<readonly TopicPartition[]>> {
    return this.#ask(instance, requester => ({ type: 'assignment', requester }))
  }

  seek(instance: InstanceName, positions: readonly InstancePosition[]): Promise<InstanceResult<void>> {
    return this.#ask(instance, requester => ({ type: 'seek', positions, requester }))
  }

  read(instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    const settings = this.#entries.get(keyOf(instance))?.settings
    return this.#ask(
      instance,
      requester => ({ type: 'read', limits, requester }),
      VERB_TIMEOUT_MS + (settings?.maxWaitMs ?? 0)
    )
  }

  async commit(instance: InstanceName, offsets: readonly InstanceOffset[] | 'accepted'): Promise<InstanceResult<void>> {
    const problem = offsets === 'accepted' ? undefined : problemOfPartitions(offsets)
    return problem ?? this.#ask(instance, requester => ({ type: 'commit', offsets, requester }))
  }

  async committed(
    instance: InstanceName,
    partitions: readonly TopicPartition[]
  ): Promise<InstanceResult<readonly InstanceOffset[]>> {
    return (
      problemOfPartitions(partitions) ??
      this.#ask(instance, requester => ({ type: 'committed', partitions, requester }))
    )
  }

  /** Refuses further requests, commits as automatic commits do, and leaves all groups. Idempotent. */
  async stop(timeoutMs = MAX_TIMER_MS): Promise<void> {
    this.#isStopped = true
    const entries = [...this.#entries.values(), ...this.#ending]
    const left = entries.map(({ consumer }) => new Promise<void>(resolve => consumer.end(SHUTTING_DOWN, resolve)))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => (timer = setTimeout(resolve, timeoutMs)))
    await Promise.race([Promise.all(left), late])
    clearTimeout(timer)
    for (const entry of entries) this.#abandon(entry)
    this.#entries.clear()
    this.#ending.clear()
  }

  /** The answer for an instance that is not here. While the process stops, all instances are. */
  get #unknown(): typeof UNKNOWN | typeof SHUTTING_DOWN {
    return this.#isStopped ? SHUTTING_DOWN : UNKNOWN
  }

  #abandon(entry: Entry): void {
    const { consumer, inbox } = entry
    consumer.abandon(SHUTTING_DOWN)
    inbox.stop()
    answerOpen(entry, SHUTTING_DOWN)
  }

  async #ask<Value>(
    instance: InstanceName,
    messageOf: (requester: Requester<InstanceResult<Value>>) => InstanceMessage,
    timeoutMs = VERB_TIMEOUT_MS
  ): Promise<InstanceResult<Value>> {
    const entry = this.#entries.get(keyOf(instance))
    if (!entry) return this.#unknown
    try {
      return await ask<InstanceResult<Value>>('instance', timeoutMs, requester => {
        const open = {
          reply: (result: InstanceResult<Value>): void => {
            if (entry.open.delete(open)) requester.reply(result)
          }
        }
        entry.open.add(open)
        entry.inbox.tell(messageOf(open))
      })
    } catch (error) {
      if (error instanceof TimedOutError) return { type: 'timedOut' }
      throw error
    }
  }

  #start(instance: InstanceName, settings: InstanceSettings, client: string | undefined): Entry {
    const { system, settings: consumerSettings, metrics } = this.#deps
    const key = keyOf(instance)
    const actor = system.spawnOwner<GroupMessages<InstanceMessage>>(`instance-${key}`, {
      receive: batch => {
        inbox.begins(batch)
        for (const message of batch.messages) receive(entry, message)
      },
      onCrash: error => {
        metrics.count('groups', 'unexpected_failures')
        runtime.log.error({ err: error, instance: instance.name }, 'a consumer instance met a bug and is removed')
        const failure = ownFailure('protocol', `the instance has failed: ${error.message}`, true)
        consumer.abandon(failure)
        answerOpen(entry, failure)
        this.#forget(key, entry)
        this.#ending.delete(entry)
      }
    })
    const inbox = new GroupInbox<InstanceMessage>(actor)
    const runtime = new ActorRuntime(instance.groupId, this.#shared, inbox)
    const consumer: ConsumerInstance = new ConsumerInstance({
      runtime,
      instance,
      settings,
      consumer: consumerSettings,
      batches: this.#batches,
      budget: this.#budget,
      tell: message => inbox.tell(message),
      onEnding: () => {
        this.#ending.add(entry)
        this.#forget(key, entry)
      },
      onEnded: () => {
        this.#ending.delete(entry)
        inbox.stop()
        answerOpen(entry, this.#unknown)
      }
    })
    const entry: Entry = {
      settings,
      inbox,
      runtime,
      consumer,
      releaseShare: this.#shares.take(client),
      open: new Set()
    }
    return entry
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return
    this.#entries.delete(key)
    entry.releaseShare()
    this.#count()
  }

  #count(): void {
    this.#deps.metrics.gauge('groups', 'instances', {}, this.#entries.size)
  }
}

/** A group and a name may both have any characters. */
const keyOf = ({ groupId, name }: InstanceName): string => `${groupId.length} ${groupId} ${name}`

const problemOfName = (name: string): ReturnType<typeof ownFailure> | undefined =>
  name.length > 0 && name.length <= MAX_NAME_LENGTH
    ? undefined
    : ownFailure('invalidRequest', `the name of an instance has 1 to ${MAX_NAME_LENGTH} characters`, false)

function problemOfPartitions(partitions: readonly TopicPartition[]): ReturnType<typeof ownFailure> | undefined {
  for (const topicPartition of partitions) {
    const problem = problemOfPartition(topicPartition)
    if (problem) return problem
  }
  return undefined
}

function answerOpen({ open }: Entry, result: InstanceResult<never>): void {
  for (const requester of open) requester.reply(result)
}

function receive({ runtime, consumer }: Entry, message: InstanceMessage | GroupNotice): void {
  if (message.type === 'answered') runtime.resume(message.wait, message.result)
  else if (message.type === 'due') runtime.resume(message.wait)
  else if (message.type !== 'ended') consumer.receive(message)
}
