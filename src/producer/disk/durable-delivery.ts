import { inTime } from '../../core/in-time.js'
import { costOf, type InPieces, MANY_RECORDS, PIECE_COST } from '../../core/loop-turns.js'
import { type ClusterChange, isLegalTopicName, type ProduceRecord, type RecordFailure } from '../../core/model.js'
import type { Notice } from '../../core/notice.js'
import type { SealedBatch, TopicNews } from '../../router/messages/operations.js'
import type { StoredRecords } from '../keys/keyed-records.js'
import type { LogRefusal, LogStats } from '../log/availability.js'
import type { AppendResult, NewEntry } from '../log/durable-log.js'
import { unverifiedSizeBytes } from '../log/entry.js'
import type { RecordTag } from '../log/logged-record.js'
import type { SequenceRange } from '../log/segment.js'
import { ClusterSender } from '../memory/cluster-sender.js'
import type { DeliveryDeps, ProduceOptions } from '../memory/delivery.js'
import { failures } from '../memory/failures.js'
import type { IdRefusal } from '../memory/numbering.js'
import type { ScheduledProducer } from '../memory/partition-schedule.js'
import type { PartitionerName } from '../memory/partitioners.js'
import { type KeyTag, NOBODY_ASKED, type PendingProduce } from '../memory/pending-produce.js'
import { checkProduceCall, checkRecord, namedPartitioner } from '../memory/record-checks.js'
import { type DeliverySettings, toDeliverySettings } from '../memory/settings.js'
import { TopicSubscription } from '../memory/topic-subscription.js'
import type { TopicView, TroubledPartition } from '../memory/topic-view.js'
import { roughSizeOf } from '../memory/waiting-records.js'
import { runsOf } from '../receipts/receipt-ids.js'
import type { ReceiptHolder } from '../receipts/receipts.js'
import { BatchNotes } from './batch-notes.js'
import type { ClusterDelivery, DurableBacklog, OpenedBacklog } from './durable-backlog.js'
import { type DurableStats, durableReporter } from './durable-metrics.js'
import { topicOf, type WhyOpen } from './durable-receipts.js'
import { DurableTopic, type DurableTopicDeps } from './durable-topic.js'
import { durableViewOf, troubledIn, whyOpen } from './durable-topic-view.js'
import { DurableTopics } from './durable-topics.js'
import { refusalFor, toFailure } from './log-capacity.js'
import { toLoggedRecord } from './logged.js'
import { DurablePendingProduce, RecordOutcomes } from './record-outcomes.js'
import { RetentionWatch } from './retention-watch.js'

export interface DurableDeliveryDeps extends DeliveryDeps {
  /** Name of the cluster in the configuration: destinations in the log begin with it. */
  readonly cluster: string
  readonly backlog: DurableBacklog
  /** How long Kafka keeps the records of a topic, in milliseconds. Absent: there is no warning of records that have waited too long. */
  readonly retentionOf?: ((topic: string) => Promise<number | undefined>) | undefined
}

/** Records of one call on their way into the log. */
interface DurableRequest {
  readonly partitioner: PartitionerName
  readonly timestampMs: number
  readonly maxRecordBytes: number
  readonly pendingProduce: DurablePendingProduce
  readonly entries: NewEntry[]
  /** The place of each entry in the call. */
  readonly indexes: number[]
  /** The caller waits for outcomes. */
  readonly isAwaited: boolean
  /** Gets the receipt. */
  readonly holder: ReceiptHolder | undefined
  /** How many topics it has named first that are not known. */
  placesTaken: number
  /** Absent: the request has no key. */
  readonly tag: KeyTag | undefined
}

/** Deadlines are met with this precision. */
const TICK_MS = 50
const REPORT_EVERY_MS = 1_000
const LOOK_AT_AGES_EVERY_MS = 10_000
/** How often unused topics are looked for. */
const FORGET_EVERY_MS = 10_000
/** A topic without entries is forgotten after this multiple of the greatest age of metadata. */
const EMPTY_TOPICS_KEPT_AGES = 60
/** Batches that a partition may hold: the one on its way, and the next one. */
const BATCHES_PER_PARTITION = 2
/** Pause before a refused producer id is requested again. */
const REFUSED_PAUSE_MS = 1_000

const ABORTED = 'the signal of its call was aborted'

const tagOf = (tag: KeyTag, at: number): RecordTag => ({
  hash: tag.hash,
  fingerprint: tag.fingerprint,
  index: tag.indexOf(at)
})

/**
 * Delivers the records of one cluster from the durable log. A record is accepted when it is in the log, read back when
 * its partition has capacity, and completed when it is in Kafka. Records never expire.
 */
export class DurableDelivery implements ClusterDelivery {
  readonly cluster: string
  readonly #deps: DurableDeliveryDeps
  readonly #settings: DeliverySettings
  readonly #sender: ClusterSender
  readonly #topics: DurableTopics
  readonly #subscription: TopicSubscription<DurableTopic>
  readonly #notes: BatchNotes
  readonly #outcomes: RecordOutcomes
  readonly #metrics: ReturnType<typeof durableReporter>
  readonly #retention: RetentionWatch | undefined
  #opened: OpenedBacklog | undefined
  #topicDeps: DurableTopicDeps | undefined
  #accepted = 0
  #ticker: NodeJS.Timeout | undefined
  /** Timers of partitions whose producer id was refused. */
  readonly #pauses = new Set<NodeJS.Timeout>()
  #forgottenAt = 0
  #reportedAt = 0
  #lookedAtAgesAt = 0
  #isClosed = false
  /** The delivery sends nothing any more, and all waits of callers have ended. */
  #isOver = false
  #whenSettled: (() => void) | undefined

  constructor(deps: DurableDeliveryDeps) {
    const { clock, log, router, backlog, cluster } = deps
    this.#deps = deps
    this.cluster = cluster
    // Records of the log never expire.
    this.#settings = { ...toDeliverySettings(deps.settings), timeoutMs: Number.POSITIVE_INFINITY }
    this.#sender = new ClusterSender(deps, {
      settings: this.#settings,
      beforeSending: batches => this.#beforeSending(batches),
      identityRefused: producers => this.#makeReadyLater(producers)
    })
    const opened = (): OpenedBacklog => this.#opened!
    this.#outcomes = new RecordOutcomes({ log, opened, now: deps.now, keys: backlog.keys })
    this.#notes = new BatchNotes({
      log,
      opened,
      cluster: this.#sender,
      topicOf: ({ topic }) => this.#topics.byName(topic)
    })
    this.#topics = new DurableTopics({
      cluster,
      clock,
      log,
      opened,
      createsTopics: this.#settings.createTopics,
      make: (destination, from, client) => this.#makeTopic(destination, from, client),
      onShelved: topic => {
        this.#subscription.unfollow(topic)
        topic.close()
      }
    })
    this.#subscription = new TopicSubscription({
      router,
      clock,
      log,
      clientOf: ({ client }) => client,
      told: (news, nowMs) => this.#told(news, nowMs)
    })
    this.#metrics = durableReporter(deps.metrics)
    if (deps.retentionOf && !backlog.stampsWhenSent) this.#retention = new RetentionWatch(deps, deps.retentionOf)
    backlog.join(this)
  }

  get clockAheadMs(): number | undefined {
    return this.#sender.shared.ownTime.clockAheadMs
  }

  get idRefusal(): IdRefusal | undefined {
    return this.#sender.idRefusal
  }

  /** Warnings about records that wait too long, one sentence each. */
  get warnings(): readonly Notice[] {
    return [
      ...this.#deps.backlog.warnings,
      ...(this.#retention?.warnings ?? []),
      ...this.#sender.shared.ownTime.warnings
    ]
  }

  /** Keys of records are written first: afterwards the log need not have the records any more. */
  #beforeSending(batches: ReadonlyMap<ScheduledProducer, SealedBatch>): Promise<void> {
    this.#deps.backlog.keys?.flush()
    return this.#notes.note(batches)
  }

  // ---- into the log

  /** Takes records in order and copies their bytes; see PendingProduce. */
  accept(
    records: readonly ProduceRecord[],
    options: ProduceOptions,
    holder?: ReceiptHolder,
    tag?: KeyTag
  ): PendingProduce {
    checkProduceCall(records, options)
    const nowMs = this.#deps.clock()
    const { deadlineMs, maxRecordBytes = this.#settings.maxRecordBytes } = options
    const partitioner = namedPartitioner(options)
    const pendingProduce = new DurablePendingProduce(records.length, nowMs + deadlineMs, options.trace)
    pendingProduce.holder = holder
    const timestampMs = this.#deps.now()
    const as = { partitioner, timestampMs, maxRecordBytes, isAwaited: deadlineMs > 0, holder, tag }
    const request = { pendingProduce, entries: [], indexes: [], placesTaken: 0, ...as }
    if (options.signal !== undefined) pendingProduce.onAbort(options.signal, () => this.#abort(pendingProduce))
    const inTurns = records.length > MANY_RECORDS ? holder?.inTurns : undefined
    if (inTurns !== undefined) inTurns(this.#addInTurns(request, records))
    else {
      for (let index = 0; index < records.length; index++) this.#add(request, records[index]!, index)
      this.#append(request)
    }
    return pendingProduce
  }

  /** Aborts a request. Records that are in the log, or on the way into it, stay there. */
  #abort(pendingProduce: DurablePendingProduce): void {
    pendingProduce.isAborted = true
    this.#outcomes.waiters.leave(pendingProduce, ABORTED)
  }

  *#addInTurns(request: DurableRequest, records: readonly ProduceRecord[]): InPieces<void> {
    let cost = 0
    for (let index = 0; index < records.length; index++) {
      const record = records[index]!
      this.#add(request, record, index)
      cost += costOf(roughSizeOf(record), 1)
      if (cost < PIECE_COST) continue
      yield cost
      cost = 0
    }
    this.#append(request)
  }

  #add(request: DurableRequest, record: ProduceRecord, index: number): void {
    const { pendingProduce, entries, indexes, tag, partitioner, timestampMs } = request
    const failure = pendingProduce.isAborted ? failures.aborted() : this.#refusalOf(record, request)
    if (failure !== undefined) this.#refuse(pendingProduce, index, failure)
    else {
      indexes.push(index)
      entries.push({
        destination: `${this.cluster}/${record.topic}`,
        record: toLoggedRecord(record, partitioner, timestampMs, tag && tagOf(tag, index))
      })
    }
  }

  #refusalOf(record: ProduceRecord, request: DurableRequest): RecordFailure | undefined {
    if (this.#isClosed) return failures.shuttingDown()
    return (
      checkRecord(record, request.maxRecordBytes) ??
      (isLegalTopicName(record.topic) ? undefined : failures.invalidTopic(record.topic)) ??
      refusalFor(this.#topics.standingOf(record.topic), this.#deps.backlog.usedShare) ??
      this.#topics.admit(record.topic, request)
    )
  }

  #refuse(pendingProduce: DurablePendingProduce, index: number, failure: RecordFailure): void {
    this.#sender.shared.counters.refused++
    pendingProduce.refuse(index, failure)
  }

  /** Refuses a record after its call has returned. It is lost if its caller does not look. */
  #refuseLate(pendingProduce: DurablePendingProduce, index: number, destination: string, failure: RecordFailure): void {
    const { code, message } = failure
    if (!pendingProduce.isWatched) this.#deps.losses?.add(NOBODY_ASKED, { code, message, topic: topicOf(destination) })
    this.#refuse(pendingProduce, index, failure)
  }

  #append(request: DurableRequest): void {
    const { pendingProduce, entries, indexes } = request
    if (entries.length === 0) {
      pendingProduce.passedToLog()
      pendingProduce.stored()
      return
    }
    const refusal = this.#deps.backlog.append(entries, result => this.#stored(request, result))
    if (refusal !== undefined) for (const index of indexes) this.#refuse(pendingProduce, index, toFailure(refusal))
    pendingProduce.passedToLog()
    if (refusal === undefined) return
    pendingProduce.stored()
    this.#logRefused(refusal)
  }

  #logRefused(refusal: LogRefusal): void {
    this.#deps.backlog.refused(refusal)
    // Reported here, because the ticker that reports later starts when the log is open.
    if (this.#opened === undefined) this.#report(this.#deps.clock())
  }

  #stored(
    { pendingProduce, entries, indexes, isAwaited, holder, tag }: DurableRequest,
    { firstSequence, storedCount, refusal, bytes }: AppendResult
  ): void {
    if (holder !== undefined && storedCount > 0) {
      const stored = storedCount === indexes.length ? indexes : indexes.slice(0, storedCount)
      this.giveReceipt(holder, { firstSequence, indexes: stored, count: pendingProduce.recordCount })
    }
    this.#accepted += storedCount
    // The caller produces, `close` ends all waits, and only then the log has synced: a wait that began now would not end.
    const ended = this.#isOver ? 'shutting down' : pendingProduce.isAborted ? ABORTED : undefined
    const isWaiting = isAwaited && ended === undefined
    let offset = 0
    for (let at = 0; at < entries.length; at++) {
      if (at >= storedCount)
        this.#refuseLate(pendingProduce, indexes[at]!, entries[at]!.destination, toFailure(refusal!))
      else {
        const sequence = firstSequence + at
        tag?.stored(tag.indexOf(indexes[at]!), sequence)
        if (this.#isOver) continue
        if (isWaiting) this.#outcomes.waiters.add(sequence, pendingProduce, indexes[at]!, entries[at]!.destination)
        this.#topics.appended(entries[at]!.destination, sequence, bytes, offset)
        offset += unverifiedSizeBytes(bytes, offset)
      }
    }
    pendingProduce.stored()
    if (refusal !== undefined) this.#logRefused(refusal)
    if (!isWaiting) pendingProduce.letGo(ended ?? 'its outcome was not asked for')
  }

  /** Gives a receipt for records in the log. */
  giveReceipt(holder: ReceiptHolder, { firstSequence, indexes, count: produced }: StoredRecords): void {
    const { places, principal } = holder
    const count = places?.count ?? produced
    const accepted =
      indexes.length === count ? undefined : runsOf(indexes.map(index => places?.indexes[index] ?? index))
    holder.acceptedRecords = accepted === undefined ? count : undefined
    holder.receipt = this.#opened?.receiptIssuer?.issue(principal, firstSequence, { count, accepted })
  }

  // ---- topics

  opened(opened: OpenedBacklog): void {
    const { wal, feed, backlogFrom } = opened
    const { readAhead, stampsWhenSent } = this.#deps.backlog
    const { maxPartitionBytes, batchMaxBytes } = this.#settings
    const { shared } = this.#sender
    this.#opened = opened
    // Records came before the log was open, and `close` before it has opened: they only have to get into it.
    if (this.#isOver) return
    this.#topicDeps = {
      partitions: { ...shared, sendTimeMs: stampsWhenSent ? shared.ownTime.now : undefined },
      wal,
      feed,
      readAhead,
      maxPartitionBytes: Math.min(maxPartitionBytes, BATCHES_PER_PARTITION * batchMaxBytes),
      subscription: this.#subscription,
      notes: this.#notes,
      outcomes: this.#outcomes
    }
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    if (backlogFrom !== undefined) this.#topics.found(backlogFrom)
  }

  drain(): void {
    this.#topics.drain()
  }

  whyOpen(destination: string, range: SequenceRange): WhyOpen {
    return whyOpen(this.#topics.byName(topicOf(destination)), range, this.#sender.awayBecause)
  }

  #makeTopic(destination: string, from: number | undefined, client: string | undefined): DurableTopic {
    const notes = this.#opened!.notes.get(destination) ?? new Map()
    const topic = new DurableTopic(destination, from, notes, this.#topicDeps!, client)
    this.#subscription.follow(topic)
    return topic
  }

  /** Called by the Router when another Kafka cluster is connected. */
  clusterChanged(change: ClusterChange): void {
    if (this.#sender.clusterChanged(change)) this.#topics.clusterChanged()
  }

  /** Records of the log wait until brokers grant a producer id. */
  #makeReadyLater(producers: readonly ScheduledProducer[]): void {
    const pause = setTimeout(() => {
      this.#pauses.delete(pause)
      this.#sender.ready(producers)
    }, REFUSED_PAUSE_MS)
    this.#pauses.add(pause)
  }

  #told(news: TopicNews, nowMs: number): void {
    const topic = news.type === 'known' ? this.#topics.byName(news.topic) : undefined
    if (topic?.partitionCount === 0 && !this.#isClosed) this.#retention?.found(topic, this.#opened!.wal)
    this.#topics.told(news, nowMs)
  }

  // ---- time

  #tick(): void {
    const nowMs = this.#deps.clock()
    this.#sender.schedule.tick(nowMs)
    this.#outcomes.waiters.end(nowMs, () => this.#sender.awayBecause ?? 'kafka has not acknowledged it yet')
    this.#subscription.tick(nowMs)
    this.#topics.tick(nowMs)
    if (nowMs - this.#reportedAt >= REPORT_EVERY_MS) this.#report(nowMs)
    if (nowMs - this.#lookedAtAgesAt >= LOOK_AT_AGES_EVERY_MS) this.#lookAtAges(nowMs)
    if (this.#isClosed && this.#isSettled) this.#whenSettled?.()
    if (nowMs - this.#forgottenAt >= FORGET_EVERY_MS) this.#forgetUnused(nowMs)
  }

  #lookAtAges(nowMs: number): void {
    this.#lookedAtAgesAt = nowMs
    if (!this.#isClosed) void this.#retention?.look(this.#topics.all, this.#opened!.wal)
  }

  #report(nowMs: number): void {
    this.#reportedAt = nowMs
    this.#metrics.report(this.stats())
  }

  #forgetUnused(nowMs: number): void {
    this.#forgottenAt = nowMs
    const unusedMs = EMPTY_TOPICS_KEPT_AGES * this.#settings.metadataMaxAgeMs
    for (const topic of this.#topics.unused(unusedMs, nowMs)) this.#forget(topic)
  }

  #forget(topic: DurableTopic): void {
    this.#topics.forget(topic)
    this.#subscription.unfollow(topic)
    this.#sender.forget(topic.producers)
    const partitions = topic.producers.flatMap(producer => producer?.partition ?? [])
    void this.#notes.forget(topic.destination, partitions)
  }

  stats(): DurableStats {
    const producers = [...this.#topics.all].flatMap(topic => topic.producers.filter(producer => producer !== undefined))
    return {
      ...this.#sender.shared.counters,
      accepted: this.#accepted,
      deadLettered: this.#outcomes.deadLetters,
      topics: this.#topics.size,
      producers: producers.length,
      producersBackingOff: producers.filter(({ state }) => state === 'backingOff').length,
      retentionShare: this.#retention?.share ?? 0
    }
  }

  /** Waiting records of each topic that has an object. Computed while it is read. */
  *topicViews(): Iterable<TopicView> {
    const nowMs = this.#deps.clock()
    for (const topic of this.#topics.all) yield durableViewOf(topic, nowMs)
  }

  get missingTopics(): DurableTopics['missing'] {
    return this.#topics.missing
  }

  /** Some of the partitions of a topic whose records do not flow. */
  troubledIn(topic: string): readonly TroubledPartition[] {
    const known = this.#topics.byName(topic)
    return known === undefined ? [] : troubledIn(known)
  }

  /** Statistics of the log, which all clusters share; `undefined` while it is not open. */
  async logStats(): Promise<LogStats | undefined> {
    return this.#deps.backlog.log?.look()
  }

  get #isSettled(): boolean {
    return [...this.#topics.all].every(({ producers }) => producers.every(producer => producer?.state !== 'awaiting'))
  }

  /** Takes no more records, and waits for the records that were sent; the others stay in the log. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#retention?.close()
    this.#topics.close()
    for (const topic of this.#topics.all) topic.close()
    const isSettled = new Promise<void>(resolve => (this.#whenSettled = resolve))
    if (this.#opened !== undefined && !this.#isSettled) await inTime(isSettled, timeoutMs, () => undefined)
    this.#isOver = true
    clearInterval(this.#ticker)
    this.#sender.close()
    for (const pause of this.#pauses) clearTimeout(pause)
    this.#subscription.close(this.#topics.all)
    for (const topic of this.#topics.all) {
      for (const producer of topic.producers) producer?.close(() => failures.shuttingDown('pending'))
    }
    this.#outcomes.waiters.end(Number.POSITIVE_INFINITY, () => 'shutting down')
    this.#metrics.report(this.stats())
  }
}
