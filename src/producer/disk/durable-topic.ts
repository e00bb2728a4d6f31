import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { TopicNews } from '../../router/messages/operations.js'
import type { StoredEntry } from '../log/entry.js'
import { type LoggedRecord, readLoggedRecord } from '../log/logged-record.js'
import { boundless } from '../memory/budget.js'
import { failures } from '../memory/failures.js'
import type { PartitionProducer, SentRecord } from '../memory/partition-producer.js'
import type { ScheduledProducer } from '../memory/partition-producer-deps.js'
import type { OutcomeReceiver } from '../memory/pending-produce.js'
import { TopicProducers } from '../memory/topic-producers.js'
import type { BatchNote } from './batch-note.js'
import { CursorCapacity } from './cursor-capacity.js'
import type { DurableTopicDeps } from './durable-topic-deps.js'
import type { FeedTarget } from './log-feed.js'
import { PartitionCursors } from './partition-cursors.js'
import { ProducerChoice, toProduceRecord } from './producer-choice.js'
import type { Starved } from './read-ahead.js'
import { type Recalled, ReturningBatches, type SentBatch } from './recalled-batches.js'
import { FormerBatches } from './superseded-batches.js'

/** Pause before records are read again that a producer gave back, because of a bug or of a partition that is not there. */
const PAUSE_MS = 1_000

/**
 * One topic of the durable log: its records are read as far as its partitions have room, in order per partition, and are
 * sent by partitions as others are. What a partition cannot send stays in the log, and is read again later.
 */
export class DurableTopic implements FeedTarget, OutcomeReceiver, Starved {
  readonly name: string
  readonly destination: string
  /** Records of the durable log never expire. */
  readonly deadlineAt = Number.POSITIVE_INFINITY
  readonly #deps: DurableTopicDeps
  readonly #producers: TopicProducers
  readonly #cursors: PartitionCursors
  /** Behind the last entry that this process has appended or read. */
  #end = 0
  /** Entries of an earlier process may be in the log. */
  #hasBacklog: boolean
  /** 0: not known. */
  #partitionCount = 0
  #topicId = ''
  readonly #returning: ReturningBatches
  /** Entries that partitions hold although the cursors stand before them, and the last of them. */
  readonly #held = new Set<number>()
  #lastHeld = 0
  readonly #former = new FormerBatches()
  readonly #capacity: CursorCapacity
  readonly #choice: ProducerChoice
  /** Producers that wait for their partition to be known. */
  readonly #suspended = new Set<PartitionProducer>()
  #isVoid = false
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  /**
   * @param backlogFrom where its first entry of an earlier process is; `undefined`: there is none
   * @param notes what another process has sent, by partition
   */
  constructor(
    name: string,
    destination: string,
    backlogFrom: number | undefined,
    notes: ReadonlyMap<number, BatchNote>,
    deps: DurableTopicDeps
  ) {
    this.name = name
    this.destination = destination
    this.#cursors = new PartitionCursors(backlogFrom ?? 0)
    this.#hasBacklog = backlogFrom !== undefined
    const budget = {
      ...boundless,
      hold: (bytes: number, records: number): void => this.#hold(bytes, records),
      hasSpare: (bytes: number): boolean => deps.readAhead.hasCapacity(bytes)
    }
    this.#deps = { ...deps, budget }
    this.#producers = new TopicProducers(name, this.#deps)
    this.#returning = new ReturningBatches(notes, {
      topic: name,
      log: deps.log,
      readAhead: deps.readAhead,
      recall: batch => deps.recall(this, batch),
      mayReturn: () => this.#partitionCount > 0 && !this.#isClosed,
      onReturned: (partition, batch, recalled) => this.#returned(this.#producers.of(partition), batch, recalled)
    })
    this.#capacity = new CursorCapacity({
      readAhead: deps.readAhead,
      maxPartitionBytes: deps.maxPartitionBytes,
      cursors: this.#cursors,
      partitionCount: () => this.#partitionCount,
      heldBy: partition => this.#producers.all[partition]?.charge.bytes ?? 0,
      isReserved: partition => this.#returning.has(partition),
      starved: this
    })
    this.#choice = new ProducerChoice({
      topic: name,
      partitionCount: () => this.#partitionCount,
      producers: this.#producers,
      capacity: this.#capacity,
      former: this.#former
    })
  }

  get partitionCount(): number {
    return this.#partitionCount
  }

  get topicId(): string {
    return this.#topicId
  }

  get producers(): readonly (PartitionProducer | undefined)[] {
    return this.#producers.all
  }

  /** Nothing of it is in the log or on its way. */
  get isIdle(): boolean {
    const isThrough = !this.#hasMore && this.#returning.isEmpty
    return isThrough && this.#producers.all.every(producer => producer === undefined || producer.isIdle)
  }

  /** Behind its last entry that this process has appended or read. */
  get end(): number {
    return this.#end
  }

  /** Its first entry that no partition has taken, or an entry before it. */
  get lowest(): number {
    return this.#cursors.lowest
  }

  /** The number of partitions with which the partition of what its producer is sending was chosen. */
  countOfSent(partition: number): number {
    return this.#former.countOf(partition) ?? this.#partitionCount
  }

  /** Some cursor has entries in the log. */
  get #hasMore(): boolean {
    return this.#hasBacklog || this.#cursors.behindCount > 0 || this.#cursors.position < this.#end
  }

  /** An entry of it is in the log now. */
  appended(sequence: number): void {
    if (!this.#hasMore) this.#cursors.skipTo(sequence)
    this.#end = Math.max(this.#end, sequence + 1)
    this.#want()
  }

  /** All its entries have been taken by partitions: it can take the next one before that is read. */
  get isCaughtUp(): boolean {
    return this.#partitionCount > 0 && !this.#isVoid && this.#timer === undefined && !this.#hasMore && !this.#isClosed
  }

  /** Takes an entry that was appended just now, if there is room for it. Only when it {@link isCaughtUp}. */
  take(sequence: number, body: Buffer): void {
    this.#cursors.skipTo(sequence)
    this.offer({ sequence, body })
    this.offered(sequence + 1, false)
    this.#want()
  }

  // ---- what the Router knows

  told(news: TopicNews, nowMs: number): void {
    switch (news.type) {
      case 'known':
        this.#known(news.partitionCount, news.topicId ?? '')
        break
      case 'denied':
        break
      case 'refused':
        this.#deps.refused(this.name, failures.rejected(news.errorCode, 'pending'))
        this.#lost(news.until - nowMs)
        break
      case 'missing':
        this.#lost(news.until - nowMs)
    }
  }

  #known(partitionCount: number, topicId: string): void {
    const before = this.#partitionCount
    this.#topicId = topicId
    this.#partitionCount = partitionCount
    if (before === 0) this.#resume()
    else if (before !== partitionCount) this.#recount(before)
    for (const producer of this.#suspended) producer.wake()
    this.#suspended.clear()
    this.#want()
  }

  /** There is no such topic, for now. Its records stay in the log. */
  #lost(pauseMs: number): void {
    this.#partitionCount = 0
    this.#rewind()
    this.#deps.follow(this, Math.max(PAUSE_MS, pauseMs))
  }

  /** Another cluster is connected, where the topic may be another one or none. */
  clusterChanged(): void {
    this.#partitionCount = 0
    const forgotten = this.#returning.clear()
    this.#former.clear()
    for (const producer of this.#producers.all) producer?.clusterChanged()
    this.#rewind(forgotten)
    this.#deps.follow(this, 0)
  }

  /**
   * Keys belong to other partitions from now on. What was not sent is read again. What was sent stays where it is, and
   * later records whose keys were there wait for it.
   */
  #recount(before: number): void {
    for (const producer of this.#producers.all)
      if (producer) this.#former.add(producer.partition, before, producer.sentIndexes)
    this.#holdUpForReturning()
    this.#rewind()
  }

  // ---- batches of another process

  #resume(): void {
    const forgotten = this.#returning.resume((partition, batch) => {
      const isValid = this.#isValid(partition, batch)
      if (!isValid) this.#former.forget(partition)
      return isValid
    })
    this.#holdUpForReturning()
    this.#rewind(forgotten)
  }

  /** Later records whose keys belonged to the partition of a batch wait for it, also before it is read again. */
  #holdUpForReturning(): void {
    for (const [partition, { partitionCount, sequences }] of this.#returning.all) {
      if (partitionCount !== this.#partitionCount) this.#former.add(partition, partitionCount, sequences)
    }
  }

  /** A partition that is stuck gives back its memory: its batch is read again when its turn comes. */
  setAside(partition: number): void {
    const batch = this.#producers.all[partition]?.setAside()
    if (batch === undefined) return
    this.#returning.setAside(partition, {
      clusterId: this.#deps.cluster.clusterId ?? '',
      topicId: this.#topicId,
      numbering: batch.numbering,
      partitionCount: this.countOfSent(partition),
      sequences: batch.indexes.toSorted((one, other) => one - other)
    })
    this.#rewind()
    this.#want()
  }

  /** The number of the batch means something: it was sent to this cluster, and to this life of the topic. */
  #isValid(partition: number, { clusterId, topicId }: SentBatch): boolean {
    if (partition >= this.#partitionCount || clusterId !== (this.#deps.cluster.clusterId ?? '')) return false
    return topicId === '' || this.#topicId === '' || topicId === this.#topicId
  }

  #returned(producer: PartitionProducer, batch: SentBatch, { entries, isWhole }: Recalled): void {
    // Only what is still there is waited for.
    this.#former.forget(producer.partition)
    this.#capacity.release()
    this.#want()
    if (entries.length === 0) return
    const records = entries.map(toSentRecord)
    if (batch.partitionCount !== this.#partitionCount) {
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
    this.#isVoid = false
    if (this.#partitionCount === 0 || this.#timer !== undefined || this.#isClosed) return undefined
    const isSomethingThere = this.#hasBacklog || this.#cursors.position < this.#end
    return this.#cursors.next(
      cursor => this.#capacity.isHungry(cursor),
      isSomethingThere && this.#capacity.isAnyHungry()
    )
  }

  offer({ sequence, body }: Pick<StoredEntry, 'sequence' | 'body'>): void {
    if (this.#isVoid || this.#held.has(sequence)) return
    const record = readLoggedRecord(body)
    const cursor = this.#choice.cursorOf(record)
    if (!this.#cursors.isNext(cursor, sequence)) return
    const producer = this.#choice.producerFor(record, cursor)
    if (producer === undefined) this.#cursors.stall(cursor, sequence)
    else producer.append(toProduceRecord(record), this.#timeOf(record), this, sequence)
  }

  /** Stamped here already, a batch that is sent soon need not be written anew. */
  #timeOf({ timestampMs, isTimeGiven }: LoggedRecord): number {
    return isTimeGiven ? timestampMs : (this.#deps.sendTimeMs?.() ?? timestampMs)
  }

  offered(sequence: number, isAtEnd: boolean): void {
    if (this.#isVoid) return
    this.#cursors.reached(sequence)
    // After a rewind there is something to read again as far as here.
    this.#end = Math.max(this.#end, this.#cursors.position)
    if (isAtEnd) this.#hasBacklog = false
    if (this.#held.size > 0 && this.#cursors.lowest > this.#lastHeld) this.#held.clear()
  }

  fed(): void {
    this.#want()
  }

  #want(): void {
    if (this.#partitionCount > 0 && this.#hasMore) this.#deps.want(this)
  }

  #hold(bytes: number, records: number): void {
    this.#deps.readAhead.hold(bytes)
    if (records < 0) this.#want()
  }

  // ---- what became of records

  acceptedAtOf(): number {
    return Number.POSITIVE_INFINITY
  }

  isSettled(): boolean {
    return false
  }

  fail(sequence: number, failure: RecordFailure): void {
    this.settle(sequence, failure)
  }

  settle(sequence: number, outcome: RecordOutcome): void {
    if (outcome.type === 'delivered') this.#deps.delivered(sequence, outcome)
    else if (!this.#deps.settleDeadLetter(sequence, outcome)) {
      if (!this.#isClosed) this.#gaveBack(sequence)
      return
    }
    if (this.#former.isEmpty || !this.#former.settled(sequence)) return
    this.#capacity.release()
    this.#want()
  }

  /** A partition sends nothing for now, or its record is to be sent by another one. */
  suspended(producer: ScheduledProducer, failure: RecordFailure): void {
    if (failure.code === 'shuttingDown') return
    const own = this.#producers.all[producer.partition]!
    if (failure.code === 'unknownPartition' && producer.partition >= this.#partitionCount && this.#partitionCount > 0) {
      // The topic has lost the partition: it was created anew.
      this.#former.forget(producer.partition)
      for (const sequence of own.takeBackSent()) this.#gaveBack(sequence)
      return
    }
    this.#suspended.add(own)
    this.#deps.follow(this, PAUSE_MS)
  }

  /** A partition has lost a record of the log, which is read again after a pause: whatever was the matter might be so still. */
  #gaveBack(sequence: number): void {
    this.#cursors.rewind(sequence)
    this.#isVoid = true
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#rewind()
      this.#want()
    }, PAUSE_MS)
  }

  /** What was not sent is read again, and what batches held that are forgotten; what was sent is not. */
  #rewind(forgotten: readonly number[] = []): void {
    const taken = [...forgotten, ...this.#producers.all.flatMap(producer => producer?.takeBack() ?? [])]
    const sent = this.#producers.all.flatMap(producer => producer?.sentIndexes ?? [])
    this.#held.clear()
    for (const sequence of [...sent, ...this.#returning.sequences]) this.#held.add(sequence)
    this.#lastHeld = largest(this.#held)
    this.#cursors.rewind(smallest(taken))
    this.#capacity.clear()
    this.#isVoid = true
    // What was delivered a moment ago must not be read again.
    this.#deps.flushCompletions()
  }

  /** Takes nothing any more; what partitions have not sent yet stays in the log. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#returning.close()
    for (const producer of this.#producers.all) producer?.takeBack()
  }
}

const smallest = (sequences: Iterable<number>): number => {
  let least = Number.POSITIVE_INFINITY
  for (const sequence of sequences) if (sequence < least) least = sequence
  return least
}

const largest = (sequences: Iterable<number>): number => {
  let most = 0
  for (const sequence of sequences) if (sequence > most) most = sequence
  return most
}

const toSentRecord = ({ sequence, body, acceptedAtMs }: StoredEntry): SentRecord => {
  const logged = readLoggedRecord(body)
  return { record: toProduceRecord(logged), timestampMs: logged.timestampMs, index: sequence, acceptedAtMs }
}
