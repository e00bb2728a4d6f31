import type { ActorRef } from '../../src/core/actor/actor.js'
import type { BatchOrigin, RecordBatch } from '../../src/core/model.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import type { DescribedConfig } from '../../src/kafka/protocol/administration.js'
import { readBack } from '../../src/kafka/record-reader.js'
import type {
  BatchAnswer,
  FetchOffset,
  RequestOf,
  ResultOf,
  RouterMessage,
  SealedBatch
} from '../../src/router/messages/operations.js'
import { type FakeMetadata, type FakeTopicSettings, FakeTopics } from './fake-topics.js'

type NotSentReason = (BatchAnswer & { type: 'notSent' })['reason']

/** What happens to one attempt of a batch. */
export type Script =
  | { readonly type: 'append' }
  /** Refused with this code, nothing done. */
  | { readonly type: 'reject'; readonly errorCode: number }
  /** Appended by Kafka's rule, but answered with this code. */
  | { readonly type: 'appendThenReject'; readonly errorCode: number }
  | { readonly type: 'loseRequest' }
  | { readonly type: 'loseResponse' }
  | { readonly type: 'notSent'; readonly reason: NotSentReason }
  /** Not answered until `release`: on its way to a broker. */
  | { readonly type: 'hold' }
  /** The same, and not one byte has left: the partition may take it back. */
  | { readonly type: 'park' }
  /** As if the leader had forgotten everything about producers, then by its rule. */
  | { readonly type: 'forgetThenAppend' }

interface ProducerEntry {
  readonly epoch: number
  /** The last five batches, as Kafka remembers them. */
  readonly batches: { readonly baseSequence: number; readonly lastSequence: number; readonly offset: number }[]
}

const RETAINED_BATCHES = 5
const OUT_OF_ORDER = 45
const INVALID_PRODUCER_EPOCH = 47
const MESSAGE_TOO_LARGE = 10
const INVALID_RECORD = 87

const incremented = (sequence: number, by: number): number => (sequence + by) % 2 ** 31

/** One partition that appends by Kafka's rule for idempotent producers. */
export class FakePartition {
  readonly log: { readonly key: string | null; readonly value: string | null }[] = []
  readonly script: Script[] = []
  /** Numbers of every attempt that arrived. */
  readonly attempts: {
    readonly epoch: number
    readonly baseSequence: number
    readonly count: number
    readonly bytes: Buffer
  }[] = []
  readonly #producers = new Map<bigint, ProducerEntry>()
  /** What the headers of the batches in the log say. */
  readonly #headers: (BatchOrigin & { readonly newestMs: number; readonly sizeBytes: number })[] = []
  maxBatchBytes = Number.POSITIVE_INFINITY
  /** Told of every record that is appended. */
  onAppend: (key: string | null, value: string | null) => void = () => undefined
  /** Values the broker takes for invalid. */
  readonly poison = new Set<string>()

  forgetProducers(): void {
    this.#producers.clear()
  }

  /** As if a later epoch of every producer had been here: what comes under the present one is fenced. */
  raiseEpoch(): void {
    for (const [id, { epoch }] of this.#producers) this.#producers.set(id, { epoch: epoch + 1, batches: [] })
  }

  /** Somebody else with this id has written so many batches of one record each. */
  writtenByAnother(producerId: bigint, batches: number): void {
    const entries = Array.from({ length: batches }, (_, at) => ({ baseSequence: at, lastSequence: at, offset: at }))
    this.#producers.set(producerId, { epoch: 0, batches: entries.slice(-RETAINED_BATCHES) })
    for (let at = 0; at < batches; at++) this.log.push({ key: null, value: `another ${at}` })
  }

  append(bytes: Buffer): BatchAnswer {
    const count = bytes.readInt32BE(57)
    const producerId = bytes.readBigInt64BE(43)
    const epoch = bytes.readInt16BE(51)
    const baseSequence = bytes.readInt32BE(53)
    const lastSequence = incremented(baseSequence, count - 1)
    const records = readBack(bytes)
    if (bytes.length > this.maxBatchBytes) return { type: 'rejected', errorCode: MESSAGE_TOO_LARGE }
    if (records.some(({ value }) => value !== null && this.poison.has(value.toString()))) {
      return { type: 'rejected', errorCode: INVALID_RECORD }
    }
    const known = this.#producers.get(producerId)
    if (known !== undefined) {
      if (epoch < known.epoch) return { type: 'rejected', errorCode: INVALID_PRODUCER_EPOCH }
      const duplicate = known.batches.find(
        batch => epoch === known.epoch && batch.baseSequence === baseSequence && batch.lastSequence === lastSequence
      )
      if (duplicate !== undefined) return { type: 'appended', baseOffset: duplicate.offset, logAppendTimeMs: -1 }
      const last = known.batches.at(-1)
      const expected = epoch > known.epoch || last === undefined ? 0 : incremented(last.lastSequence, 1)
      if (baseSequence !== expected) return { type: 'rejected', errorCode: OUT_OF_ORDER }
    }
    const entry = known !== undefined && known.epoch === epoch ? known : { epoch, batches: [] }
    const offset = this.log.length
    entry.batches.push({ baseSequence, lastSequence, offset })
    if (entry.batches.length > RETAINED_BATCHES) entry.batches.shift()
    this.#producers.set(producerId, entry)
    this.#headers.push({
      baseOffset: offset,
      lastOffset: offset + count - 1,
      producerId: Number(producerId),
      producerEpoch: epoch,
      baseSequence,
      newestMs: Number(bytes.readBigInt64BE(35)),
      sizeBytes: bytes.length
    })
    for (const record of records) {
      const [key, value] = [record.key?.toString() ?? null, record.value?.toString() ?? null]
      this.log.push({ key, value })
      this.onAppend(key, value)
    }
    return { type: 'appended', baseOffset: offset, logAppendTimeMs: -1 }
  }

  /** The batch that holds the offset; records of other writers have none. */
  batchAt(offset: number): RecordBatch | undefined {
    const header = this.#headers.find(({ lastOffset }) => lastOffset >= offset)
    if (header === undefined) return undefined
    const { baseOffset, lastOffset, sizeBytes } = header
    const nextOffset = lastOffset + 1
    return {
      offset: baseOffset,
      maxOffset: lastOffset,
      nextOffset,
      sizeBytes,
      origins: [header]
    } as unknown as RecordBatch
  }

  /** Of the first record that is not older; the end when there is none. */
  offsetAt(timestampMs: number): number {
    return this.#headers.find(({ newestMs }) => newestMs >= timestampMs)?.baseOffset ?? this.log.length
  }

  get values(): (string | null)[] {
    return this.log.map(record => record.value)
  }
}

const notSent = (reason: NotSentReason): BatchAnswer => ({ type: 'notSent', reason, message: reason })
const unanswered: BatchAnswer = { type: 'unanswered', error: new Error('connection lost') }

/** `undefined`: no answer for now. */
function play(partition: FakePartition, script: Script, bytes: Buffer): BatchAnswer | undefined {
  switch (script.type) {
    case 'append':
      return partition.append(bytes)
    case 'reject':
      return { type: 'rejected', errorCode: script.errorCode }
    case 'appendThenReject': {
      const answer = partition.append(bytes)
      return answer.type === 'appended' ? { type: 'rejected', errorCode: script.errorCode } : answer
    }
    case 'loseRequest':
      return unanswered
    case 'loseResponse':
      partition.append(bytes)
      return unanswered
    case 'notSent':
      return notSent(script.reason)
    case 'hold':
    case 'park':
      return undefined
    case 'forgetThenAppend':
      partition.forgetProducers()
      return partition.append(bytes)
  }
}

/** A Router and the Kafka behind it, on `setTimeout` only, so that a fake clock owns it. Answers after `latencyMs`. */
export class FakeRouter implements ActorRef<RouterMessage> {
  readonly path = 'fake-router'
  readonly topics = new Map<string, FakePartition[]>()
  /** What look-ups say about topics that are not there. */
  readonly topicErrors = new Map<string, number>()
  readonly messages: RouterMessage[] = []
  /** Everything that was appended, in order over all partitions. */
  readonly appended: { topic: string; partition: number; key: string | null; value: string | null }[] = []
  #held: { readonly batch: SealedBatch; readonly bytes: Buffer }[] = []
  /** The clusters that the batches were sealed for. */
  readonly clusterIds: (string | undefined)[] = []
  latencyMs = 1
  producerIdFailures = 0
  /** Kafka's code with which it gives none. */
  producerIdRefusal: number | undefined
  /** Of the producer ids it gives. */
  firstEpoch = 0
  isAway = false
  /** `producer.id.expiration.ms` of the brokers; `undefined`: they do not tell. */
  producerIdExpirationMs: number | undefined = 86_400_000
  /** Kafka's code with which records may not be read, and whether that passes. */
  readRefusal: { readonly errorCode: number; readonly retriable: boolean } | undefined
  createsTopics = 0
  /** Brokers have reported that they create no topics. */
  createsNone = false
  /** So many look-ups do not find a topic that brokers are about to create. */
  lateCreation = 0
  /** By topic, how many look-ups will not find it. */
  readonly #creating = new Map<string, number>()
  #producerIds = 0n
  #isStopped = false
  readonly #laggingAnswers = new Map<string, { readonly partitions: number; readonly topicId: string | undefined }>()
  /** Topics without an id are of brokers that tell none. */
  readonly topicIds = new Map<string, string>()
  /** What a Router knows of topics, learnt as a Router learns it. */
  readonly tables: FakeTopics

  constructor(topics: Record<string, number> = {}, settings: FakeTopicSettings = {}) {
    this.tables = new FakeTopics(settings, {
      latencyMs: () => this.latencyMs,
      createsNone: () => this.createsNone,
      ask: (names, mayCreate) => this.#metadata(names, mayCreate)
    })
    for (const [topic, partitions] of Object.entries(topics)) this.create(topic, partitions)
  }

  create(topic: string, partitions: number): FakePartition[] {
    const existing = this.topics.get(topic) ?? []
    while (existing.length < partitions) {
      const partition = new FakePartition()
      const at = existing.length
      partition.onAppend = (key, value) => this.appended.push({ topic, partition: at, key, value })
      existing.push(partition)
    }
    this.topics.set(topic, existing)
    return existing
  }

  partition(topic: string, partition: number): FakePartition {
    return this.topics.get(topic)![partition]!
  }

  /** Whole topic in partition order. */
  values(topic: string): (string | null)[] {
    return this.topics.get(topic)!.flatMap(partition => partition.values)
  }

  tell(message: RouterMessage): void {
    if (this.#isStopped) return
    this.messages.push(message)
    if (message.type === 'produceBatches') for (const batch of message.batches) this.#produce(batch)
    else if (message.type === 'initProducerId') this.#later(() => message.requester.reply(this.#producerId()))
    else if (message.type === 'followTopics') this.tables.follow(message)
    else if (message.type === 'unfollowTopics') this.tables.unfollow(message)
    else if (message.type === 'fetchOffset') this.#later(() => this.#fetchOffset(message))
    else if (message.type === 'fetchOrigins') this.#later(() => this.#fetchOrigins(message))
    else if (message.type === 'fetchEpochEnd') this.#later(() => this.#fetchEpochEnd(message))
    else if (message.type === 'fetchTopicMetadata') {
      const { requestId, requester } = message
      const brokers = [{ nodeId: 1, host: 'fake', port: 9092, rack: null }]
      const answer = this.isAway
        ? ({ type: 'timedOut' } as const)
        : { type: 'success' as const, topics: new Map(), brokers }
      this.#later(() => requester.reply({ operation: 'fetchTopicMetadata', requestId, ...answer }))
    } else if (message.type === 'describeConfigs') {
      const setting = { name: 'producer.id.expiration.ms', value: String(this.producerIdExpirationMs) }
      const configs = new Map([[message.resources[0]!.name, [setting as DescribedConfig]]])
      const denied = {
        type: 'failed',
        errorCode: 31,
        code: 'notAuthorized',
        message: 'denied',
        retriable: false
      } as const
      const isTold = this.producerIdExpirationMs !== undefined
      this.#later(() => message.requester.reply(isTold ? { type: 'success', configs } : denied))
    } else throw new Error(`the fake router does not know ${message.type}`)
  }

  /** Does nothing any more: what is told now would run under the clock of the next test. */
  stop(): void {
    this.#isStopped = true
  }

  /** The next look-up of the topic is answered by a broker that knows so many of its partitions, or another life of it. */
  answerOnce(topic: string, partitions: number, incarnation = { topicId: this.topicIds.get(topic) }): void {
    this.#laggingAnswers.set(topic, { partitions, ...incarnation })
  }

  /** The cluster was wiped: what is held gets no answer but that nobody knows. */
  wipe(topics: Record<string, number>): void {
    this.topics.clear()
    for (const [topic, partitions] of Object.entries(topics)) this.create(topic, partitions)
    for (const { batch } of this.#held.splice(0)) batch.answer(unanswered)
  }

  /** Answers what was held, as if it had just come through. */
  release(): void {
    for (const { batch, bytes } of this.#held.splice(0))
      batch.answer(this.partition(batch.topic, batch.partition).append(bytes))
  }

  /** Every look-up that reached a broker. */
  get lookUps(): FakeTopics['lookUps'] {
    return this.tables.lookUps
  }

  get produceMessages(): readonly (readonly SealedBatch[])[] {
    return this.messages.flatMap(message => (message.type === 'produceBatches' ? [message.batches] : []))
  }

  #later(work: () => void): void {
    setTimeout(work, this.latencyMs)
  }

  #produce(batch: SealedBatch): void {
    // The partition may use the bytes again once it has its answer.
    const bytes = Buffer.from(batch.bytes)
    this.clusterIds.push(batch.clusterId)
    this.#later(() => {
      const answer = this.#answerTo(batch, bytes)
      if (answer === undefined) this.#held.push({ batch, bytes })
      else batch.answer(answer)
    })
  }

  #answerTo(batch: SealedBatch, bytes: Buffer): BatchAnswer | undefined {
    const { topic, partition: index } = batch
    const partition = this.topics.get(topic)?.[index]
    const refusal = this.tables.refusalOf(topic, index)
    if (this.isAway) return notSent('brokerUnreachable')
    if (refusal !== undefined) return notSent(refusal)
    if (partition === undefined) {
      this.tables.want(topic)
      return { type: 'rejected', errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION }
    }
    partition.attempts.push({
      epoch: bytes.readInt16BE(51),
      baseSequence: bytes.readInt32BE(53),
      count: bytes.readInt32BE(57),
      bytes
    })
    const script = partition.script.shift() ?? { type: 'append' }
    if (script.type === 'park') batch.recall = () => this.#recall(batch)
    return play(partition, script, bytes)
  }

  #fetchOffset({ topicPartition, offsetType, requester }: FetchOffset): void {
    const operation = 'fetchOffset'
    const partition = this.partition(topicPartition.topic, topicPartition.partition)
    if (this.isAway) requester.reply({ operation, topicPartition, offsetType, type: 'timedOut' })
    else {
      const offset =
        typeof offsetType === 'object'
          ? partition.offsetAt(offsetType.timestampMs)
          : offsetType === 'latest'
            ? partition.log.length
            : 0
      requester.reply({ operation, topicPartition, offsetType, type: 'success', offset, leaderEpoch: 0 })
    }
  }

  #fetchEpochEnd({ topicPartition, leaderEpoch, requester }: RequestOf<'fetchEpochEnd'>): void {
    const endOffset = this.partition(topicPartition.topic, topicPartition.partition).log.length
    if (this.isAway) requester.reply({ type: 'timedOut' })
    else requester.reply({ type: 'success', leaderEpoch, endOffset, currentLeaderEpoch: 0 })
  }

  #fetchOrigins({ topicPartition, offset, requester }: RequestOf<'fetchOrigins'>): void {
    const batch = this.partition(topicPartition.topic, topicPartition.partition).batchAt(offset)
    if (this.isAway) requester.reply({ type: 'timedOut' })
    else if (this.readRefusal !== undefined) {
      requester.reply({ type: 'failed', code: 'kafka', message: 'refused', ...this.readRefusal })
    } else if (batch === undefined) requester.reply({ type: 'noMessages' })
    else {
      const { origins = [], nextOffset, sizeBytes } = batch
      requester.reply({ type: 'success', origins, nextOffset, sizeBytes })
    }
  }

  #recall(batch: SealedBatch): boolean {
    this.#held = this.#held.filter(held => held.batch !== batch)
    batch.answer(notSent('noLeader'))
    return true
  }

  #producerId(): ResultOf<'initProducerId'> {
    if (this.isAway) return { type: 'timedOut' }
    if (this.producerIdRefusal !== undefined) {
      const refused = { errorCode: this.producerIdRefusal, code: 'notAuthorized', retriable: false } as const
      return { type: 'failed', message: 'not authorized', ...refused }
    }
    if (this.producerIdFailures-- <= 0)
      return { type: 'success', producerId: ++this.#producerIds, producerEpoch: this.firstEpoch }
    const message = 'COORDINATOR_LOAD_IN_PROGRESS (14)'
    return { type: 'failed', errorCode: 14, code: 'kafka', message, retriable: true }
  }

  /** `undefined`: nobody answers. */
  #metadata(names: readonly string[], mayCreate: boolean): FakeMetadata[] | undefined {
    if (this.isAway) return undefined
    const answered = names.map(name => this.#metadataOf(name))
    for (const name of names) {
      if (this.topics.has(name)) continue
      const left = this.#creating.get(name) ?? (mayCreate && this.createsTopics > 0 ? this.lateCreation : undefined)
      if (left === 0) this.create(name, this.createsTopics)
      if (left !== undefined) this.#creating.set(name, left - 1)
    }
    return answered
  }

  #metadataOf(topic: string): FakeMetadata {
    const lagging = this.#laggingAnswers.get(topic)
    const partitions = this.topics.get(topic)?.slice(0, lagging?.partitions)
    this.#laggingAnswers.delete(topic)
    return {
      topic,
      errorCode: partitions === undefined ? (this.topicErrors.get(topic) ?? 3) : 0,
      topicId: lagging ? lagging.topicId : this.topicIds.get(topic),
      partitionCount: partitions?.length ?? 0
    }
  }
}
