import type { GroupRuntime, Timer } from '../../../src/consumer/group/group-runtime.js'
import type { PartitionConsumer, TakenRecord } from '../../../src/consumer/group/partition-consumer.js'
import { lookUpTopics, WatchedTopics } from '../../../src/consumer/group/topic-look-ups.js'
import type { PartitionCommits } from '../../../src/consumer/group/transaction-messages.js'
import { type KafkaRecord, type Offset, silentLogger } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { AskedKind } from '../../../src/router/messages/operations.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { FakeBatch, fakeRecord } from '../../support/fake-batch.js'

interface Question {
  readonly kind: AskedKind
  readonly request: Record<string, never>
  answer(result: unknown): void
}

/**
 * What a group's parts meet, without Kafka, actors and time: the log of one partition, its committed offset, and a clock.
 * Questions are answered by {@link settle}; a read at the end of the log waits until something is written.
 */
export class FakeRuntime implements GroupRuntime {
  readonly groupId = 'foo'
  /** Fields of the errors in the log. */
  readonly errors: object[] = []
  /** Those of the warnings. */
  readonly warnings: object[] = []
  readonly log = {
    ...silentLogger,
    error: (fields: object) => void this.errors.push(fields),
    warn: (fields: object) => void this.warnings.push(fields)
  }
  /** Subscriptions of the members of other processes. */
  readonly otherMembers: Buffer[] = []
  /** Topics that brokers do not show. */
  readonly forbidden = new Set<string>()
  readonly metrics = new CountingMetrics()
  now = 1_000
  /** Offsets in the log; holes are compacted. */
  offsets: Offset[] = []
  logStart = 0
  /** By offset of their first record: the leader epochs of the log. */
  epochs: { leaderEpoch: number; from: Offset }[] = []
  logEnd = 0
  batchSize = 100
  /** The record that is in the log at an offset. */
  recordAt: (offset: Offset) => KafkaRecord = fakeRecord
  committed: { offset: Offset; metadata: string; leaderEpoch?: number | undefined } | undefined
  /** Of all topics; `undefined`: brokers tell no ids. */
  topicId: string | undefined
  /** Answers for questions of a kind, given before the usual ones. */
  readonly answers: { kind: AskedKind; result: unknown }[] = []
  /** Questions of these kinds are answered when they are none of them any more. */
  readonly held = new Set<AskedKind>()
  readonly asked: { kind: AskedKind; request: Record<string, unknown> }[] = []
  generation = 0
  readonly #counted = new Map<AskedKind, number>()
  #questions: Question[] = []
  #polls: Question[] = []
  #timers: { at: number; run: () => void }[] = []

  constructor(offsets: readonly Offset[] = []) {
    this.write(...offsets)
  }

  readonly clock = (): number => this.now

  readonly ask: GroupRuntime['ask'] = (kind, request, onResult) => {
    this.asked.push({ kind, request: request as never })
    this.#questions.push({ kind, request: request as never, answer: onResult as never })
  }

  readonly after = (delayMs: number, run: () => void): Timer => {
    const timer = { at: this.now + delayMs, run }
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter(other => other !== timer)) }
  }

  readonly #topics = new WatchedTopics({
    checkMs: 10_000,
    missingCheckMs: 10_000,
    after: this.after,
    lookUp: (topics, onFound) => lookUpTopics(this, topics, onFound)
  })
  readonly watchTopics: GroupRuntime['watchTopics'] = (counts, onChanged) => this.#topics.watch(counts, onChanged)

  get timersLeft(): number {
    return this.#timers.length
  }

  write(...offsets: readonly Offset[]): void {
    this.offsets.push(...offsets)
    this.logEnd = Math.max(this.logEnd, ...offsets.map(offset => offset + 1))
    this.#questions.push(...this.#polls.splice(0))
  }

  /** Time goes on, timer by timer, and everything that follows is answered. */
  pass(ms: number): void {
    const until = this.now + ms
    this.settle()
    for (let next = this.#nextTimer(until); next; next = this.#nextTimer(until)) {
      this.now = Math.max(this.now, next.at)
      this.#timers = this.#timers.filter(timer => timer !== next)
      next.run()
      this.settle()
    }
    this.now = until
  }

  /** Answers everything that has been asked, and what is asked then. */
  settle(): void {
    const isDue = ({ kind }: Question): boolean => !this.held.has(kind)
    for (let at = this.#questions.findIndex(isDue); at >= 0; at = this.#questions.findIndex(isDue))
      this.#answer(this.#questions.splice(at, 1)[0]!)
  }

  #nextTimer(until: number) {
    const due = this.#timers.filter(({ at }) => at <= until)
    return due.sort((one, other) => one.at - other.at)[0]
  }

  #answer(question: Question): void {
    const at = this.answers.findIndex(({ kind }) => kind === question.kind)
    if (at >= 0) question.answer(this.answers.splice(at, 1)[0]!.result)
    else if (question.kind === 'fetchData') this.#read(question)
    else question.answer(this.#resultOf(question))
  }

  #resultOf({ kind, request }: Question): unknown {
    switch (kind) {
      case 'fetchConsumerOffset':
        return this.committed ? { type: 'success', offsetAndMetadata: this.committed } : { type: 'notFound' }
      case 'commitConsumerOffset':
        this.committed = request['offsetAndMetadata'] as never
        return { type: 'success' }
      case 'joinGroup':
        return {
          type: 'success',
          generationId: ++this.generation,
          memberId: 'm',
          leaderId: 'm',
          members: this.#members(request)
        }
      case 'syncGroup': {
        const [own] = request['assignments'] as unknown as { assignment: Buffer }[]
        return { type: 'success', assignment: own!.assignment }
      }
      case 'describeGroup':
        return this.described('Stable')
      case 'heartbeat':
      case 'leaveGroup':
        return { type: 'success' }
      case 'fetchTopicMetadata':
        return { type: 'success', topics: new Map((request['topics'] as unknown as string[]).map(this.#metadataOf)) }
      case 'fetchEpochEnd':
        return this.#epochEnd(request['leaderEpoch'] as unknown as number)
      case 'fetchOffset':
        return this.#bound(request['offsetType'] === 'earliest')
      default:
        throw new Error(`nobody answers ${kind}`)
    }
  }

  #bound(isEarliest: boolean): unknown {
    const { leaderEpoch } = this
    const offset = isEarliest ? this.logStart : this.logEnd
    return { type: 'success', offset, ...(leaderEpoch !== undefined && { leaderEpoch }) }
  }

  /** Of the leader; `undefined`: brokers tell no epochs. */
  get leaderEpoch(): number | undefined {
    return this.epochs.at(-1)?.leaderEpoch
  }

  /** Reads that wait at the end of the log are told that nothing has come. */
  endPolls(): void {
    for (const { answer } of this.#polls.splice(0)) answer({ type: 'noMessages', leaderEpoch: this.leaderEpoch })
    this.settle()
  }

  /** As in an unclean election: the log ends at `end`, and another leader writes from there on. */
  cut(end: Offset): void {
    const leaderEpoch = (this.leaderEpoch ?? -1) + 1
    this.offsets = this.offsets.filter(offset => offset < end)
    this.logEnd = end
    this.epochs = this.epochs.filter(({ from }) => from < end)
    this.electLeader(leaderEpoch)
  }

  /** The topic is deleted, and created anew without records; those that read at its end find out. */
  recreateTopic(topicId: string): void {
    this.topicId = topicId
    this.offsets = []
    this.logEnd = 0
    this.#questions.push(...this.#polls.splice(0))
    this.pass(1_000)
  }

  electLeader(leaderEpoch = (this.leaderEpoch ?? -1) + 1): void {
    this.epochs.push({ leaderEpoch, from: this.logEnd })
    // Reads that wait at the end are asked of the new leader.
    this.#questions.push(...this.#polls.splice(0))
  }

  /** As Kafka tells it. */
  #epochEnd(leaderEpoch: number): unknown {
    const currentLeaderEpoch = this.leaderEpoch ?? -1
    if (leaderEpoch > currentLeaderEpoch) return { type: 'notFound', currentLeaderEpoch }
    const above = this.epochs.find(one => one.leaderEpoch > leaderEpoch)
    const below = this.epochs.findLast(one => one.leaderEpoch <= leaderEpoch)
    return {
      type: 'success',
      leaderEpoch: below?.leaderEpoch ?? leaderEpoch,
      endOffset: above?.from ?? this.logEnd,
      currentLeaderEpoch
    }
  }

  #members(request: Record<string, unknown>) {
    const [{ metadata }] = request['protocols'] as [{ metadata: Buffer }]
    return [{ memberId: 'm', instanceId: null, metadata }]
  }

  readonly #metadataOf = (topic: string) => {
    const isForbidden = this.forbidden.has(topic)
    const errorCode = isForbidden ? errorCodes.TOPIC_AUTHORIZATION_FAILED : errorCodes.NONE
    const { topicId } = this
    return [topic, { errorCode, topic, topicId, partitions: isForbidden ? [] : [{ partition: 0 }] }] as const
  }

  /** Of the group, as Kafka tells it: nothing of what members ask for while they join. */
  described(state: string): unknown {
    const members = this.otherMembers.map(metadata => ({ metadata: state === 'Stable' ? metadata : Buffer.alloc(0) }))
    return { type: 'success', protocolType: 'consumer', state, members }
  }

  /** How often something was asked since this was called last. */
  newly(kind: AskedKind): number {
    const count = this.asked.filter(asked => asked.kind === kind).length
    const before = this.#counted.get(kind) ?? 0
    this.#counted.set(kind, count)
    return count - before
  }

  #read(question: Question): void {
    const offset = question.request['offset'] as unknown as Offset
    if (offset < this.logStart || offset > this.logEnd) question.answer({ type: 'offsetOutOfRange' })
    else {
      const found = this.offsets.filter(one => one >= offset && one >= this.logStart).slice(0, this.batchSize)
      if (found.length === 0) this.#polls.push(question)
      else question.answer({ type: 'success', batch: this.#batchOf(found), leaderEpoch: this.leaderEpoch })
    }
  }

  #batchOf(found: readonly Offset[]): FakeBatch {
    const starts = this.epochs.map(({ leaderEpoch, from: offset }) => ({ leaderEpoch, offset }))
    const first = starts.findLastIndex(({ offset }) => offset <= found[0]!)
    const records = found.map(offset => this.recordAt(offset))
    return Object.assign(batchOf(records, this.#nextOf(found)), {
      leaderEpochs: starts.slice(Math.max(0, first)).filter(({ offset }) => offset <= found.at(-1)!)
    })
  }

  /** A batch goes as far as the next record, or the end. */
  #nextOf(found: readonly Offset[]): Offset {
    return this.offsets.find(offset => offset > found.at(-1)!) ?? this.logEnd
  }
}

const batchOf = (records: KafkaRecord[], nextOffset: Offset): FakeBatch =>
  new FakeBatch(
    records,
    records.map(() => 10),
    nextOffset
  )

/** For partitions of which no transaction takes messages. */
export const noTransactions: PartitionCommits = {
  lock: () => ({ isHeld: false, release: () => undefined }),
  refusedLength: () => Number.POSITIVE_INFINITY,
  noteRefusedLength: () => undefined,
  readAnew: () => undefined,
  tick: run => run()
}

/** Asks the partition for its next message, and takes it; `undefined`: there is none at the moment. */
export function takeFrom(consumer: PartitionConsumer, runtime: FakeRuntime): TakenRecord | undefined {
  consumer.want()
  runtime.settle()
  if (!consumer.isPrefetched) return undefined
  const record = consumer.take()
  return { ...record, serial: consumer.offerOf(record.offset)!.serial }
}

/** `count` offsets from `first` on. */
export const run = (first: Offset, count: number): Offset[] => Array.from({ length: count }, (_, at) => first + at)
