import type { ProduceRecord, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { TraceContext } from '../../core/tracing/tracing.js'
import type { TopicNews } from '../../router/messages/operations.js'
import type { DurableLog } from '../log/durable-log.js'
import { type LoggedRecord, readLoggedRecord } from '../log/logged-record.js'
import { failures } from '../memory/failures.js'
import type { PartitionProducer } from '../memory/partition-producer.js'
import type { BatchOwner, PartitionProducerDeps } from '../memory/partition-producer-deps.js'
import type { ScheduledProducer } from '../memory/partition-schedule.js'
import type { OutcomeReceiver } from '../memory/pending-produce.js'
import { TopicProducers } from '../memory/topic-producers.js'
import type { TopicSubscription } from '../memory/topic-subscription.js'
import { roughSizeOf } from '../memory/waiting-records.js'
import { type BatchNote, type BatchNotes, isSentTo, type Reread, type SentBatch } from './batch-notes.js'
import { topicOf } from './durable-receipts.js'
import type { FeedTarget, LogFeed } from './log-feed.js'
import { partitionerOf, toProduceRecord, toSentRecord } from './logged.js'
import { ANY_PARTITION, CursorCapacity, type PartitionCursors } from './partition-cursors.js'
import type { ReadAhead, Starved } from './read-ahead.js'
import type { RecordOutcomes } from './record-outcomes.js'
import { FormerBatches, ReturningBatches } from './returning-batches.js'
import { TopicPosition } from './topic-position.js'

/** Shared by all topics of the durable log. */
export interface DurableTopicDeps {
  /** A topic adds its memory, and itself as the owner of the records. */
  readonly partitions: Omit<PartitionProducerDeps, 'budget' | 'owner'>
  readonly wal: DurableLog
  readonly feed: LogFeed
  readonly readAhead: ReadAhead
  /** Limit of the bytes that one partition may hold. */
  readonly maxPartitionBytes: number
  readonly subscription: TopicSubscription<DurableTopic>
  readonly notes: BatchNotes
  readonly outcomes: RecordOutcomes
}

/**
 * Pause before records are read again after a partition's producer dropped them, because of a bug or a missing
 * partition.
 */
const PAUSE_MS = 1_000

/**
 * One topic of the durable log. Its records are read as far as its partitions have capacity, in order per partition, and
 * sent by the same producers as records in memory. Records that a partition cannot send stay in the log and are read again
 * later.
 */
export class DurableTopic implements BatchOwner, FeedTarget, OutcomeReceiver, Starved {
  readonly name: string
  readonly destination: string
  /** The client that named it first, in whose turn it is created; `undefined`: it is not known. */
  readonly client: string | undefined
  /** No broker was asked to create it yet. */
  waitsForTurn = false
  /** Records of the durable log never expire. */
  readonly deadlineAt = Number.POSITIVE_INFINITY
  readonly #deps: DurableTopicDeps
  readonly #producers: TopicProducers
  readonly #position: TopicPosition
  /** 0: not known. */
  partitionCount = 0
  #topicId = ''
  readonly #returning: ReturningBatches
  readonly #former = new FormerBatches()
  readonly #capacity: CursorCapacity
  /** Producers that wait until their partition is known again. */
  readonly #suspended = new Set<PartitionProducer>()
  #refusal: RecordFailure | undefined
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  /**
   * @param backlogFrom sequence of the first entry that an earlier process left for this topic; `undefined`: it left none
   * @param notes the last batch that another process has sent to each partition
   * @param client that named it first; absent: it is not known
   */
  constructor(
    destination: string,
    backlogFrom: number | undefined,
    notes: ReadonlyMap<number, BatchNote>,
    deps: DurableTopicDeps,
    client?: string
  ) {
    this.client = client
    this.name = topicOf(destination)
    this.destination = destination
    this.#position = new TopicPosition(backlogFrom)
    this.#deps = deps
    const budget = deps.readAhead.budgetOf(this)
    this.#producers = new TopicProducers(this.name, { ...deps.partitions, budget, owner: this })
    this.#returning = new ReturningBatches(notes, {
      topic: this.name,
      log: deps.partitions.log,
      readAhead: deps.readAhead,
      readAgain: batch => deps.notes.readAgain(destination, batch),
      mayReturn: () => this.partitionCount > 0 && !this.#isClosed,
      onReturned: (partition, batch, reread) => this.#returned(this.#producers.of(partition), batch, reread)
    })
    this.#capacity = new CursorCapacity({
      readAhead: deps.readAhead,
      maxPartitionBytes: deps.maxPartitionBytes,
      cursors: this.#position.cursors,
      topic: this,
      returning: this.#returning
    })
  }

  get topicId(): string {
    return this.#topicId
  }

  get producers(): readonly (PartitionProducer | undefined)[] {
    return this.#producers.all
  }

  /** Whether the topic has no open entries and no batch in flight. */
  get isIdle(): boolean {
    const isThrough = !this.#position.hasMore && this.#returning.isEmpty
    return isThrough && this.#producers.all.every(producer => producer === undefined || producer.isIdle)
  }

  /** Why brokers do not take its records, by the last news. */
  get refusal(): RecordFailure | undefined {
    return this.#refusal
  }

  /** How far its partitions have read the log. */
  get cursors(): PartitionCursors {
    return this.#position.cursors
  }

  /** One past its last entry that this process has appended or read. */
  get end(): number {
    return this.#position.end
  }

  /** A position at or before its first entry that no partition has taken. */
  get lowest(): number {
    return this.#position.cursors.lowest
  }

  /** How many partitions the topic had when the batch that the partition is sending was assigned to it. */
  countOfSent(partition: number): number {
    return this.#former.countOf(partition) ?? this.partitionCount
  }

  /** An entry for this topic was appended. */
  appended(sequence: number): void {
    this.#position.appended(sequence)
    this.#want()
  }

  /** Partitions have taken all its entries, so it can take the next one without reading the log. */
  get isCaughtUp(): boolean {
    return this.#mayRead && !this.#position.isVoid && !this.#position.hasMore
  }

  get #mayRead(): boolean {
    return this.partitionCount > 0 && this.#timer === undefined && !this.#isClosed
  }

  /** Takes an entry that was appended just now, if there is capacity for it. Only when it {@link isCaughtUp}. */
  take(sequence: number, body: Buffer): void {
    this.#position.cursors.skipTo(sequence)
    this.offer({ sequence, body })
    this.offered(sequence + 1, false)
    this.#want()
  }

  // ---- what the Router knows

  told(news: TopicNews, nowMs: number): void {
    this.waitsForTurn = news.type === 'denied' && news.creation === 'waits'
    if (news.type === 'denied') return
    if (news.type === 'known') {
      this.#known(news.partitionCount, news.topicId ?? '')
      return
    }
    if (news.type === 'refused') this.refused(this.name, failures.rejected(news.errorCode, 'pending'))
    else this.#refusal = failures.unknownTopic(this.name, 'pending')
    // The records stay in the log until a topic of this name exists again.
    this.partitionCount = 0
    this.#rewind()
    this.#deps.subscription.follow(this, { pauseMs: Math.max(PAUSE_MS, news.until - nowMs) })
  }

  #known(partitionCount: number, topicId: string): void {
    this.#refusal = undefined
    const before = this.partitionCount
    this.#topicId = topicId
    this.partitionCount = partitionCount
    if (before === 0) this.#resume()
    else if (before !== partitionCount) this.#recount(before)
    for (const producer of this.#suspended) producer.wake()
    this.#suspended.clear()
    this.#want()
  }

  /** Another cluster is connected, where the topic may be a different one, or missing. */
  clusterChanged(): void {
    this.partitionCount = 0
    const forgotten = this.#returning.clear()
    this.#former.clear()
    for (const producer of this.#producers.all) producer?.clusterChanged()
    this.#rewind(forgotten)
    this.#deps.subscription.follow(this)
  }

  /**
   * The number of partitions has changed, so keys belong to other partitions from now on. Records that were not sent
   * are read again. Batches that were sent stay in their partition, and later records with their keys wait for them.
   */
  #recount(before: number): void {
    for (const producer of this.#producers.all)
      if (producer) this.#former.add(producer.partition, before, producer.sentIndexes)
    this.#holdUpForReturning()
    this.#rewind()
  }

  #resume(): void {
    const topicId = this.#topicId
    const clusterId = this.#deps.partitions.cluster.clusterId ?? ''
    const forgotten = this.#returning.resume((partition, batch) => {
      const isValid = partition < this.partitionCount && isSentTo(batch, clusterId, topicId)
      if (!isValid) this.#former.forget(partition)
      return isValid
    })
    this.#holdUpForReturning()
    this.#rewind(forgotten)
  }

  /** Makes later records wait for a returning batch with the same keys, even before that batch is read again. */
  #holdUpForReturning(): void {
    for (const [partition, { partitionCount, sequences }] of this.#returning.all) {
      if (partitionCount !== this.partitionCount) this.#former.add(partition, partitionCount, sequences)
    }
  }

  /** Frees the memory of a stuck partition, whose batch is read again later. */
  #setAside(partition: number): void {
    const batch = this.#producers.all[partition]?.setAside()
    if (batch === undefined) return
    this.#returning.setAside(partition, {
      clusterId: this.#deps.partitions.cluster.clusterId ?? '',
      topicId: this.#topicId,
      numbering: batch.numbering,
      partitionCount: this.countOfSent(partition),
      sequences: batch.indexes.toSorted((one, other) => one - other)
    })
    this.#rewind()
    this.#want()
  }

  #returned(producer: PartitionProducer, batch: SentBatch, { entries, isWhole }: Reread): void {
    // Of the batch, only the records that are still in the log hold up later records.
    this.#former.forget(producer.partition)
    this.#capacity.release()
    this.#want()
    if (entries.length === 0) return
    const records = entries.map(toSentRecord)
    if (batch.partitionCount !== this.partitionCount) {
      this.#former.add(
        producer.partition,
        batch.partitionCount,
        records.map(({ index }) => index)
      )
    }
    producer.resume(records, this, isWhole ? batch.numbering : undefined)
  }

  // ---- entries of the log

  nextWanted(): number | undefined {
    this.#position.begin()
    return this.#mayRead ? this.#position.next(this.#capacity) : undefined
  }

  offer({ sequence, body }: { readonly sequence: number; readonly body: Buffer }): void {
    if (this.#position.isVoid || this.#position.isHeld(sequence)) return
    const { cursors } = this.#position
    const record = readLoggedRecord(body)
    const cursor = this.#cursorOf(record)
    if (!cursors.isNext(cursor, sequence)) return
    const produced = toProduceRecord(record)
    const producer = this.#producerFor(record, produced, cursor)
    if (producer === undefined) cursors.stall(cursor, sequence)
    else producer.append(produced, this.#timeOf(record), this, sequence)
  }

  /** The partition of the record, or {@link ANY_PARTITION}. */
  #cursorOf(record: LoggedRecord): number {
    const choice = record.partition ?? partitionerOf(record)(record.key, this.partitionCount, this.name)
    return typeof choice === 'number' ? choice : ANY_PARTITION
  }

  /** The producer that takes the record; `undefined`: the record has to wait. @param produced the record as it takes it */
  #producerFor(record: LoggedRecord, produced: ProduceRecord, cursor: number): PartitionProducer | undefined {
    const [capacity, partitioner, bytes] = [this.#capacity, partitionerOf(record), roughSizeOf(produced)]
    // Records that may go anywhere get the chosen partition, or the next one with free capacity.
    const partition =
      cursor === ANY_PARTITION
        ? capacity.firstWithCapacity(this.#producers.partitionOf(produced, partitioner, this.partitionCount), bytes)
        : cursor
    if (partition === undefined || !capacity.hasCapacity(partition, bytes)) {
      capacity.lacks(cursor, bytes)
      return undefined
    }
    if (record.partition === undefined && this.#former.holdsUp(record.key, partition, partitioner, this.name)) {
      capacity.holdUp(cursor)
      return undefined
    }
    capacity.had(cursor)
    return this.#producers.of(partition)
  }

  /** Sets the time of sending here, so that a batch that is sent soon need not be encoded again. */
  #timeOf({ timestampMs, isTimeGiven }: LoggedRecord): number {
    const { sendTimeMs, ownTime } = this.#deps.partitions
    return isTimeGiven ? timestampMs : (sendTimeMs?.() ?? timestampMs - ownTime.setBackMs)
  }

  offered(sequence: number, isAtEnd: boolean): void {
    if (!this.#position.isVoid) this.#position.reached(sequence, isAtEnd)
  }

  fed(): void {
    this.#want()
  }

  #want(): void {
    if (this.partitionCount > 0 && this.#position.hasMore) this.#deps.feed.want(this)
  }

  // ---- outcomes of records

  acceptedAtOf(): number {
    return Number.POSITIVE_INFINITY
  }

  isSettled(): boolean {
    return false
  }

  traceOf(sequence: number): TraceContext | undefined {
    return this.#deps.outcomes.waiters.traceOf(sequence)
  }

  fail(sequence: number, failure: RecordFailure): void {
    this.settle(sequence, failure)
  }

  settle(sequence: number, outcome: RecordOutcome): void {
    if (outcome.type === 'delivered') {
      this.#refusal = undefined
      this.#deps.outcomes.delivered(this.destination, sequence, outcome)
    } else if (!this.#deps.outcomes.settleDeadLetter(sequence, outcome)) {
      if (!this.#isClosed) this.#released(sequence)
      return
    }
    if (this.#former.isEmpty || !this.#former.settled(sequence)) return
    this.#capacity.release()
    this.#want()
  }

  deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    return this.#deps.outcomes.deadLetter(sequence, failure)
  }

  refused(_: string, failure: RecordFailure): void {
    this.#refusal = failure
    this.#deps.outcomes.refused(this.name, this.destination, failure)
  }

  delayed(producer: ScheduledProducer): void {
    this.#deps.readAhead.addStuck(producer, () => this.#setAside(producer.partition))
  }

  /** A partition has stopped sending. If it does not exist any more, its records go to other partitions. */
  suspended(producer: ScheduledProducer, failure: RecordFailure): void {
    if (failure.code === 'shuttingDown') return
    const own = this.#producers.all[producer.partition]!
    if (failure.code === 'unknownPartition' && producer.partition >= this.partitionCount && this.partitionCount > 0) {
      // The topic was deleted and created again, with fewer partitions.
      this.#former.forget(producer.partition)
      for (const sequence of own.takeBackSent()) this.#released(sequence)
      return
    }
    this.#suspended.add(own)
    this.#deps.subscription.follow(this, { pauseMs: PAUSE_MS })
  }

  /** A partition has dropped a record of the log. It is read again after a pause, because the cause may persist. */
  #released(sequence: number): void {
    this.#position.rewind(sequence)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#rewind()
      this.#want()
    }, PAUSE_MS)
  }

  /** Records that were not sent are read again, and so are those of `forgotten` batches. Sent records are not. */
  #rewind(forgotten: readonly number[] = []): void {
    const taken = [...forgotten, ...this.#producers.all.flatMap(producer => producer?.takeBack() ?? [])]
    const sent = this.#producers.all.flatMap(producer => producer?.sentIndexes ?? [])
    this.#position.rewindTo(taken, [...sent, ...this.#returning.sequences])
    this.#capacity.clear()
    // Records that were delivered a moment ago must not be read again.
    this.#deps.wal.flushCompletions()
  }

  /** Takes no more entries. Records that partitions have not sent stay in the log. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#returning.close()
    for (const producer of this.#producers.all) producer?.takeBack()
  }
}
