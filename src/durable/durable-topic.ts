import { boundless } from '../delivery/budget.js'
import type { Lane, SentRecord } from '../delivery/lane.js'
import type { LaneDeps, ScheduledLane } from '../delivery/lane-deps.js'
import { roughSizeOf } from '../delivery/parked-records.js'
import { type Partitioner, partitioners } from '../delivery/partitioners.js'
import type { Ticket } from '../delivery/ticket.js'
import { TopicLanes } from '../delivery/topic-lanes.js'
import type { ProduceRecord, RecordFailure, RecordOutcome } from '../model.js'
import type { TopicNews } from '../operations.js'
import type { StoredEntry } from '../wal/entry.js'
import { type LoggedRecord, readLoggedRecord } from '../wal/logged-record.js'
import type { BatchNote } from './batch-note.js'
import { ANY_PARTITION, Flows } from './flows.js'
import { FormerBatches } from './former-batches.js'
import type { FeedTarget } from './log-feed.js'
import { partitionerOfNumber } from './partitioner-numbers.js'
import type { ReadAhead, Starved } from './read-ahead.js'

/** What topics of the durable log share. */
export interface DurableTopicDeps extends LaneDeps {
  readonly readAhead: ReadAhead
  /** The most that one partition may hold. */
  readonly maxLaneBytes: number
  /** The topic may want entries of the log. */
  want(topic: DurableTopic): void
  /** Has the Router tell what there is to know about the topic, after `pauseMs`. */
  follow(topic: DurableTopic, pauseMs: number): void
  /** The record is in Kafka's log: it need not be kept. */
  delivered(sequence: number, outcome: RecordOutcome & { type: 'delivered' }): void
  /** The record is among the dead letters. False: it is not, so it must be sent again. */
  isBuried(sequence: number, failure: RecordFailure): boolean
  /** Reads the records of a batch that another process has sent. */
  recall(topic: DurableTopic, note: SentBatch): Promise<Recalled>
  /** What was delivered is not read from the log any more. */
  flushCompletions(): void
}

/** A batch that was sent and is not in memory. Without a number it gets another one. */
export type SentBatch = Omit<BatchNote, 'numbering'> & { readonly numbering: BatchNote['numbering'] | undefined }

/** What there still is of a batch that another process has sent. */
export interface Recalled {
  readonly entries: readonly StoredEntry[]
  /** All records of the batch are still there, so that the same batch can be sent again. */
  readonly isWhole: boolean
}

/** Half of what a partition may hold is on its way while the other half is read. */
const SHARE_TO_READ_AT = 1 / 2
/** Pause before records are read again that a lane gave back, because of a bug or of a partition that is not there. */
const PAUSE_MS = 1_000

/**
 * One topic of the durable log: its records are read as far as its partitions have room, in order per partition, and are
 * sent by lanes as others are. What a lane cannot send stays in the log, and is read again later.
 */
export class DurableTopic implements FeedTarget, Ticket, Starved {
  readonly name: string
  readonly destination: string
  /** Records of the durable log never expire. */
  readonly deadlineAt = Number.POSITIVE_INFINITY
  readonly #deps: DurableTopicDeps
  readonly #lanes: TopicLanes
  readonly #flows: Flows
  /** Behind the last entry that this process has appended or read. */
  #end = 0
  /** Entries of an earlier process may be in the log. */
  #hasBacklog: boolean
  /** 0: not known. */
  #partitionCount = 0
  #topicId = ''
  /** Batches that another process has sent, or that were set aside, by partition, until their lanes have them. */
  #notes: Map<number, SentBatch>
  /** Entries that lanes hold although the flows stand before them, and the last of them. */
  readonly #held = new Set<number>()
  #lastHeld = 0
  readonly #former = new FormerBatches()
  /** Flows that wait for a former batch. */
  readonly #heldUp = new Set<number>()
  /** Bytes of the record for which a flow had no room. */
  readonly #needs = new Map<number, number>()
  /** Lanes that wait for their partition to be known. */
  readonly #suspended = new Set<Lane>()
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
    this.#flows = new Flows(backlogFrom ?? 0)
    this.#hasBacklog = backlogFrom !== undefined
    this.#notes = new Map(notes)
    const budget = {
      ...boundless,
      hold: (bytes: number, records: number): void => this.#hold(bytes, records),
      hasSpare: (bytes: number): boolean => deps.readAhead.hasRoom(bytes)
    }
    this.#deps = { ...deps, budget }
    this.#lanes = new TopicLanes(name, this.#deps)
  }

  get partitionCount(): number {
    return this.#partitionCount
  }

  get topicId(): string {
    return this.#topicId
  }

  get lanes(): readonly (Lane | undefined)[] {
    return this.#lanes.all
  }

  /** Nothing of it is in the log or on its way. */
  get isIdle(): boolean {
    const isThrough = !this.#hasMore && this.#notes.size === 0
    return isThrough && this.#lanes.all.every(lane => lane === undefined || lane.isIdle)
  }

  /** Its first entry that no lane has taken, or an entry before it. */
  get lowest(): number {
    return this.#flows.lowest
  }

  /** The number of partitions with which the partition of what its lane is sending was chosen. */
  countOfSent(partition: number): number {
    return this.#former.countOf(partition) ?? this.#partitionCount
  }

  /** Some flow has entries in the log. */
  get #hasMore(): boolean {
    return this.#hasBacklog || this.#flows.behindCount > 0 || this.#flows.position < this.#end
  }

  /** An entry of it is in the log now. */
  appended(sequence: number): void {
    if (!this.#hasMore) this.#flows.skipTo(sequence)
    this.#end = Math.max(this.#end, sequence + 1)
    this.#want()
  }

  /** All its entries have been taken by lanes: it can take the next one before that is read. */
  get isCaughtUp(): boolean {
    return this.#partitionCount > 0 && !this.#isVoid && this.#timer === undefined && !this.#hasMore && !this.#isClosed
  }

  /** Takes an entry that was appended just now, if there is room for it. Only when it {@link isCaughtUp}. */
  take(sequence: number, body: Buffer): void {
    this.#flows.skipTo(sequence)
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
      case 'missing':
      case 'refused':
        this.#lost(news.until - nowMs)
    }
  }

  #known(partitionCount: number, topicId: string): void {
    const before = this.#partitionCount
    this.#topicId = topicId
    this.#partitionCount = partitionCount
    if (before === 0) this.#resume()
    else if (before !== partitionCount) this.#recount(before)
    for (const lane of this.#suspended) lane.wake()
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
    this.#notes.clear()
    this.#former.clear()
    for (const lane of this.#lanes.all) lane?.clusterChanged()
    this.#rewind()
    this.#deps.follow(this, 0)
  }

  /**
   * Keys belong to other partitions from now on. What was not sent is read again. What was sent stays where it is, and
   * later records whose keys were there wait for it.
   */
  #recount(before: number): void {
    for (const lane of this.#lanes.all) if (lane) this.#former.add(lane.partition, before, lane.sentIndexes)
    this.#rewind()
  }

  // ---- batches of another process

  #resume(): void {
    for (const [partition, note] of this.#notes) {
      if (this.#isValid(partition, note)) this.#return(partition, note)
      else this.#notes.delete(partition)
    }
    this.#rewind()
  }

  /** Reads a batch again when there is memory for it, and gives it to its lane. */
  #return(partition: number, note: SentBatch): void {
    this.#deps.readAhead.return(async () => {
      if (this.#notes.get(partition) !== note || this.#partitionCount === 0 || this.#isClosed) return
      try {
        const recalled = await this.#deps.recall(this, note)
        if (this.#notes.get(partition) === note) this.#take(this.#lanes.of(partition), note, recalled)
      } catch (error) {
        this.#deps.log.error(
          { err: error, topic: this.name, partition },
          'a batch could not be read from the durable log'
        )
        setTimeout(() => this.#return(partition, note), PAUSE_MS)
      }
    })
  }

  /** A partition that is stuck gives back its memory: its batch is read again when its turn comes. */
  setAside(partition: number): void {
    const batch = this.#lanes.all[partition]?.setAside()
    if (batch === undefined) return
    const note = {
      clusterId: this.#deps.cluster.clusterId ?? '',
      topicId: this.#topicId,
      numbering: batch.numbering,
      partitionCount: this.countOfSent(partition),
      sequences: batch.indexes.toSorted((one, other) => one - other)
    }
    this.#notes.set(partition, note)
    this.#rewind()
    setTimeout(() => this.#return(partition, note), PAUSE_MS)
    this.#want()
  }

  /** The number of the batch means something: it was sent to this cluster, and to this life of the topic. */
  #isValid(partition: number, { clusterId, topicId }: SentBatch): boolean {
    if (partition >= this.#partitionCount || clusterId !== (this.#deps.cluster.clusterId ?? '')) return false
    return topicId === '' || this.#topicId === '' || topicId === this.#topicId
  }

  #take(lane: Lane, note: SentBatch, { entries, isWhole }: Recalled): void {
    this.#notes.delete(lane.partition)
    this.#want()
    if (entries.length === 0) return
    const records = entries.map(toSentRecord)
    if (note.partitionCount !== this.#partitionCount) {
      this.#former.add(
        lane.partition,
        note.partitionCount,
        records.map(({ index }) => index)
      )
    }
    lane.resume(records, this, isWhole ? note.numbering : undefined)
  }

  // ---- entries of the log

  nextWanted(): number | undefined {
    this.#isVoid = false
    if (this.#partitionCount === 0 || this.#timer !== undefined || this.#isClosed) return undefined
    const isSomethingThere = this.#hasBacklog || this.#flows.position < this.#end
    return this.#flows.next(flow => this.#isHungry(flow), isSomethingThere && this.#isAnyHungry())
  }

  offer({ sequence, body }: Pick<StoredEntry, 'sequence' | 'body'>): void {
    if (this.#isVoid || this.#held.has(sequence)) return
    const record = readLoggedRecord(body)
    const partitioner = partitioners[partitionerOfNumber(record.partitioner)]
    const choice = record.partition ?? partitioner(record.key, this.#partitionCount, this.name)
    const flow = typeof choice === 'number' ? choice : ANY_PARTITION
    if (!this.#flows.isNext(flow, sequence)) return
    const lane = this.#laneFor(record, flow, partitioner)
    if (lane === undefined) this.#flows.stall(flow, sequence)
    else lane.append(toProduceRecord(record), record.timestampMs, this, sequence)
  }

  offered(sequence: number, isAtEnd: boolean): void {
    if (this.#isVoid) return
    this.#flows.reached(sequence)
    // After a rewind there is something to read again as far as here.
    this.#end = Math.max(this.#end, this.#flows.position)
    if (isAtEnd) this.#hasBacklog = false
    if (this.#held.size > 0 && this.#flows.lowest > this.#lastHeld) this.#held.clear()
  }

  /** Where the record goes; `undefined`: it has to wait. */
  #laneFor(record: LoggedRecord, flow: number, partitioner: Partitioner): Lane | undefined {
    const bytes = roughSizeOf(toProduceRecord(record))
    const partition = flow === ANY_PARTITION ? this.#anyWithRoom(record, bytes, partitioner) : flow
    if (partition === undefined || !this.#hasRoom(partition, bytes)) {
      this.#needs.set(flow, bytes)
      return undefined
    }
    if (record.partition === undefined && this.#former.holdsUp(record.key, partition, partitioner, this.name)) {
      this.#heldUp.add(flow)
      return undefined
    }
    this.#needs.delete(flow)
    return this.#lanes.of(partition)
  }

  /** The partition that is chosen for records that may go anywhere, or the next one that has room. */
  #anyWithRoom(record: LoggedRecord, bytes: number, partitioner: Partitioner): number | undefined {
    const count = this.#partitionCount
    const first = this.#lanes.partitionOf(toProduceRecord(record), partitioner, count)
    for (let step = 0; step < count; step++) {
      const partition = (first + step) % count
      if (this.#hasRoom(partition, bytes)) return partition
    }
    return undefined
  }

  #hasRoom(partition: number, bytes: number): boolean {
    if (partition >= this.#partitionCount || this.#notes.has(partition)) return false
    const held = this.#lanes.all[partition]?.charge.bytes ?? 0
    const { readAhead, maxLaneBytes } = this.#deps
    if (held + bytes <= Math.min(maxLaneBytes, readAhead.share)) return true
    if (held === 0 && readAhead.hasRoom(bytes)) return true
    if (held === 0 || held + bytes <= maxLaneBytes) readAhead.starve(this)
    return false
  }

  /** A flow that is behind has room for so much that reading is worth while. */
  #isHungry(flow: number): boolean {
    if (this.#heldUp.has(flow)) return false
    if (flow === ANY_PARTITION) return this.#isAnyHungry(this.#needs.get(flow))
    return this.#isLaneHungry(flow, this.#needs.get(flow))
  }

  #isAnyHungry(bytes = 0): boolean {
    for (let partition = 0; partition < this.#partitionCount; partition++) {
      if (!this.#flows.isBehind(partition) && this.#isLaneHungry(partition, bytes)) return true
    }
    return false
  }

  #isLaneHungry(partition: number, bytes = 0): boolean {
    if (!this.#hasRoom(partition, bytes)) return false
    const held = this.#lanes.all[partition]?.charge.bytes ?? 0
    const { readAhead, maxLaneBytes } = this.#deps
    return held <= Math.min(maxLaneBytes, readAhead.share) * SHARE_TO_READ_AT
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

  settle(sequence: number, outcome: RecordOutcome): void {
    if (outcome.type === 'delivered') this.#deps.delivered(sequence, outcome)
    else if (!this.#deps.isBuried(sequence, outcome)) {
      if (!this.#isClosed) this.#gaveBack(sequence)
      return
    }
    if (this.#former.isEmpty || !this.#former.settled(sequence)) return
    this.#heldUp.clear()
    this.#want()
  }

  /** A lane sends nothing for now, or its record is to be sent by another one. */
  suspended(lane: ScheduledLane, failure: RecordFailure): void {
    if (failure.code === 'shuttingDown') return
    const own = this.#lanes.all[lane.partition]!
    if (failure.code === 'unknownPartition' && lane.partition >= this.#partitionCount && this.#partitionCount > 0) {
      // The topic has lost the partition: it was created anew.
      this.#former.forget(lane.partition)
      for (const sequence of own.takeBackSent()) this.#gaveBack(sequence)
      return
    }
    this.#suspended.add(own)
    this.#deps.follow(this, PAUSE_MS)
  }

  /** A lane has lost a record of the log, which is read again after a pause: whatever was the matter might be so still. */
  #gaveBack(sequence: number): void {
    this.#flows.rewind(sequence)
    this.#isVoid = true
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#rewind()
      this.#want()
    }, PAUSE_MS)
  }

  /** What was not sent is read again; what was is not. */
  #rewind(): void {
    const taken = this.#lanes.all.flatMap(lane => lane?.takeBack() ?? [])
    const sent = this.#lanes.all.flatMap(lane => lane?.sentIndexes ?? [])
    const noted = [...this.#notes.values()].flatMap(({ sequences }) => sequences)
    this.#held.clear()
    for (const sequence of [...sent, ...noted]) this.#held.add(sequence)
    this.#lastHeld = largest(this.#held)
    this.#flows.rewind(smallest(taken))
    this.#needs.clear()
    this.#heldUp.clear()
    this.#isVoid = true
    // What was delivered a moment ago must not be read again.
    this.#deps.flushCompletions()
  }

  /** Takes nothing any more; what lanes have not sent yet stays in the log. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const lane of this.#lanes.all) lane?.takeBack()
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

/** The topic is that of the lane. */
const toProduceRecord = ({ key, value, headers }: LoggedRecord): ProduceRecord => ({ topic: '', key, value, headers })

const toSentRecord = ({ sequence, body }: StoredEntry): SentRecord => {
  const logged = readLoggedRecord(body)
  return { record: toProduceRecord(logged), timestampMs: logged.timestampMs, index: sequence }
}
