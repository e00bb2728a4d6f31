import { type ServerUnaryCall, status } from '@grpc/grpc-js'
import { BudgetWait } from '../../../core/budget-wait.js'
import { memoryOfRecords, NOTHING, sizeOfRecords } from '../../../core/bytes.js'
import { NAMELESS, type RecordBudget } from '../../../core/record-budget.js'
import { recordRefusal } from '../../../core/refusals.js'
import type { MessagesGiven, Tracing } from '../../../core/tracing/tracing.js'
import type { AccessTarget } from '../../../http/access/access.js'
import { LOOK_UP_TIMEOUT_MS } from '../../../http/api/api.js'
import type { ApiProducer } from '../../../http/api/api-producer.js'
import { seenBy } from '../../../http/api/endpoint.js'
import { clientAt } from '../../../http/exchange/client.js'
import { StandStills } from '../../../http/exchange/leaving-records.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import type { VerbPath } from '../../../verbs/facts.js'
import { sparseAcksOf } from '../../../verbs/offsets.js'
import {
  type AcquiredMessage,
  type ConsumedMessages,
  type ConsumeManyResult,
  type GroupOffset,
  type Loss,
  type NoMessage,
  ONE_MESSAGE,
  type ProduceOrigin,
  type TopicMetadata,
  type Verbs
} from '../../../verbs/verbs.js'
import {
  CONFIG_VERSION,
  configsOf,
  lagOf,
  NO_OFFSET,
  NoReadersError,
  readersOf,
  type TopicConfigs,
  UNKNOWN_TOPIC
} from '../groups.js'
import { DISABLED, LONG_POLL_TIMEOUT, overloadedTextOf, SHUTTING_DOWN_TEXT, TOO_LARGE } from '../pixy-answers.js'
import { API, messageSizeOf, NO_HEADERS_YET, PASSING } from '../produce.js'
import type { KafkaPixySettings } from '../settings.js'
import type { ReceivedRequest } from './calls.js'
import { type GrpcRequestFields, StatusError, statusOf, statusOfError } from './protocol.js'

type ReceivedCall = ServerUnaryCall<ReceivedRequest, unknown>

/** Work of one method. Its result has the fields of the method's answer in kafka-pixy.proto. */
export interface GrpcMethod {
  readonly verb: VerbPath
  target(request: GrpcRequestFields): AccessTarget
  /** Bytes of key and value of the record that a request brings, which count against quotas. */
  recordBytesOf?(request: GrpcRequestFields): number
  run(verbs: Verbs, request: GrpcRequestFields, call: ReceivedCall, origin: ProduceOrigin): Promise<object>
}

const OVERSIZED = recordRefusal('recordTooLarge', TOO_LARGE, false)
/** Answer for a message whose partition and offset are unknown. */
const NO_PLACE = { partition: -1, offset: -1 }

const topicOf = ({ topic }: GrpcRequestFields): AccessTarget => ({ topic })
const groupOf = ({ topic, group }: GrpcRequestFields): AccessTarget => ({ topic, group })

/** The methods that look something up, or set offsets. */
const lookUps: Readonly<Record<string, GrpcMethod>> = {
  GetOffsets: {
    verb: 'groups.offsets',
    target: groupOf,
    async run(verbs, { group, topic }) {
      const offsets = await verbs.groups.offsets(group, topic, LOOK_UP_TIMEOUT_MS)
      if (offsets === undefined) throw unknownTopic()
      return { offsets: offsets.map(toPartitionOffset) }
    }
  },
  SetOffsets: {
    verb: 'groups.commit',
    target: groupOf,
    async run(verbs, { group, topic, offsets }) {
      if (offsets.some(({ partition }) => partition < 0)) throw unknownTopic()
      const changes = new Map(offsets.map(({ partition, offset, metadata }) => [partition, { offset, metadata }]))
      const outcomes = await verbs.groups.commit(group, topic, changes, LOOK_UP_TIMEOUT_MS)
      if ([...outcomes.values()].includes('unknownTopicOrPartition')) throw unknownTopic()
      return {}
    }
  },
  ListTopics: {
    verb: 'topics',
    target: () => ({}),
    async run(verbs, { with_partitions }, { request: { caller } }) {
      const all = await verbs.topics('all', LOOK_UP_TIMEOUT_MS)
      const isVisible = seenBy(caller, 'topics', 'topic')
      const topics = [...all].filter(([topic]) => isVisible({ topic }))
      const names = topics.map(([name]) => name)
      const configs = await configsOf(verbs, names, LOOK_UP_TIMEOUT_MS)
      const described = topics.map(([name, topic]) => [name, toMetadata(topic, configs, with_partitions)] as const)
      return { topics: Object.fromEntries(described) }
    }
  },
  ListConsumers: {
    verb: 'groups.consumers',
    target: ({ topic, group }) => (group === '' ? { topic } : { topic, group }),
    async run(verbs, { topic, group }, { request: { caller } }) {
      const asked = { topic, group: group === '' ? undefined : group }
      const isVisible = seenBy(caller, 'groups.consumers', 'topic+group')
      const isListed = (one: string): boolean => isVisible({ topic, group: one })
      const groups = await readersOf(verbs, asked, isListed, LOOK_UP_TIMEOUT_MS).catch(error => {
        throw error instanceof NoReadersError ? notFound(error.message) : error
      })
      const described = [...groups].map(([name, clients]) => {
        const consumers = Object.fromEntries([...clients].map(([client, partitions]) => [client, { partitions }]))
        return [name, { consumers }] as const
      })
      return { groups: Object.fromEntries(described) }
    }
  },
  GetTopicMetadata: {
    verb: 'topics',
    target: topicOf,
    async run(verbs, { topic, with_partitions }) {
      const found = (await verbs.topics([topic], LOOK_UP_TIMEOUT_MS)).get(topic)
      if (!found || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) throw unknownTopic()
      return toMetadata(found, await configsOf(verbs, [topic], LOOK_UP_TIMEOUT_MS), with_partitions)
    }
  }
}

/** The methods of the service over the verbs of the gateway. */
export class PixyMethods {
  /** Methods by name. */
  readonly all: Readonly<Record<string, GrpcMethod>> = {
    Produce: {
      verb: 'produce',
      target: topicOf,
      recordBytesOf: ({ key_value, message }) => key_value.length + message.length,
      run: (verbs, request, _, origin) => this.#produce(verbs, request, origin)
    },
    ConsumeNAck: {
      verb: 'groups.consume',
      target: groupOf,
      run: (verbs, asked, call) => this.#consume(verbs, asked, call)
    },
    Ack: { verb: 'groups.ack', target: groupOf, run: ack },
    ...lookUps
  }
  readonly #settings: KafkaPixySettings
  readonly #producer: ApiProducer
  readonly #records: RecordBudget
  readonly #tracing: Tracing | undefined
  readonly #standStills = new StandStills()
  /** Ends of the calls that wait for a message. */
  readonly #waiting = new Set<(error: StatusError) => void>()

  constructor(settings: KafkaPixySettings, producer: ApiProducer, records: RecordBudget, tracing?: Tracing) {
    this.#settings = settings
    this.#producer = producer
    this.#records = records
    this.#tracing = tracing
  }

  /** Ends the calls that wait for a message. */
  stop(): void {
    for (const end of [...this.#waiting]) end(new StatusError(status.UNAVAILABLE, SHUTTING_DOWN_TEXT))
  }

  async #produce(verbs: Verbs, request: GrpcRequestFields, origin: ProduceOrigin): Promise<object> {
    const { messageHeaders, maxMessageBytes } = this.#settings
    const producer = this.#producer
    const { topic, key_value, key_undefined, message: value, async_mode: isAsync, headers } = request
    const key = key_undefined ? null : key_value
    if (headers.length > 0 && !messageHeaders) {
      producer.countRefused({ code: 'invalidRequest', message: NO_HEADERS_YET })
      throw new StatusError(status.INVALID_ARGUMENT, NO_HEADERS_YET)
    }
    const isTooLarge = messageSizeOf(value, key, headers) > maxMessageBytes
    const records = [{ topic, key, value, headers }]
    const pending = isTooLarge ? undefined : producer.produce(records, { isSync: !isAsync, verbs }, origin)
    const outcomes = pending && (await (isAsync ? producer.refusedOf(pending) : pending.outcomes()))
    const known = isTooLarge ? OVERSIZED : outcomes?.[0]
    if (known === undefined) return NO_PLACE
    if (known.type === 'delivered') return { partition: known.partition, offset: known.offset }
    producer.countFailed([known])
    // An asynchronous message that can never be written is accepted and dropped.
    if (isAsync && !PASSING.has(known.code)) return dropped(verbs, topic, known)
    throw statusOf(known, status.INVALID_ARGUMENT, verbs.isReady)
  }

  async #consume(verbs: Verbs, request: GrpcRequestFields, call: ReceivedCall): Promise<object> {
    const { group, topic, no_ack, auto_ack, ack_partition: partition, ack_offset: offset } = request
    const acksAnother = !no_ack && !auto_ack
    if (acksAnother) requirePlace(partition, offset)
    requireGroup(group)
    if (this.#settings.consumerDisabled) throw new StatusError(status.UNAVAILABLE, DISABLED)
    // The acknowledgement precedes the request for a message. The answer does not report the outcome of the
    // acknowledgement.
    if (acksAnother) void verbs.groups.ack(group, { topic, partition, offset }).catch(() => undefined)
    const given = await this.#next(verbs, group, topic, call)
    // A client that has hung up during a stand-still is known to have left when the sockets were read once more.
    if (!this.#standStills.areOver) await this.#standStills.over()
    if (call.cancelled) {
      given.release()
      throw gone()
    }
    const message = given.messages[0]!
    // The next call of the client is refused when its quotas are used up.
    call.request.caller.spend(1, sizeOfRecords(given.messages))
    call.request.answered = isSent => {
      if (!isSent) given.release()
      else if (auto_ack && !no_ack) given.ack()
      else given.delivered?.()
    }
    return toAnswer(message)
  }

  /** Gets the next message. Without free bytes for its answer it is given back, and asked for again when there are some. */
  #next(verbs: Verbs, group: string, topic: string, call: ReceivedCall): Promise<ConsumedMessages> {
    const { address, caller } = call.request
    const client = clientAt(address, caller) ?? NAMELESS
    return this.#wait(call, { topic, group }, (resolve, reject) => {
      let cancel = (): void => undefined
      let given: MessagesGiven | undefined
      const reply = (result: ConsumeManyResult): void => {
        if (result.type === 'messages') given?.(result.messages.messages)
        if (result.type !== 'messages') reject(failureOf(result, verbs.isReady))
        else if (call.cancelled) {
          result.messages.release()
          reject(gone())
        } else take(result.messages)
      }
      const ask = (): void => {
        given = this.#tracing?.asks(group)
        try {
          cancel = verbs.groups.consume(group, topic, ONE_MESSAGE, undefined, { reply, client })
        } catch (error) {
          reject(error as Error)
        }
      }
      const budgetWait = new BudgetWait({
        records: this.#records,
        client,
        goOn: ask,
        refuse: ({ message }) => reject(new StatusError(status.RESOURCE_EXHAUSTED, message))
      })
      const take = (messages: ConsumedMessages): void => {
        const held = budgetWait.take(memoryOfRecords(messages.messages))
        if (held === undefined) messages.release()
        else {
          call.request.holdRecords(held)
          resolve(messages)
        }
      }
      ask()
      return () => {
        cancel()
        budgetWait.end()
      }
    })
  }

  /**
   * Waits for messages while the client is connected and may have them.
   *
   * @param begin returns what ends the wait, and does nothing after it
   */
  #wait(
    call: ReceivedCall,
    asked: AccessTarget,
    begin: (resolve: (messages: ConsumedMessages) => void, reject: (error: Error) => void) => () => void
  ): Promise<ConsumedMessages> {
    return new Promise((resolve, reject) => {
      const end = (error: StatusError): void => {
        cancel()
        this.#waiting.delete(end)
        reject(error)
      }
      this.#waiting.add(end)
      const cancel = begin(
        messages => {
          this.#waiting.delete(end)
          resolve(messages)
        },
        error => {
          this.#waiting.delete(end)
          reject(error)
        }
      )
      call.request.caller.watch('consume', asked, error => end(statusOfError(error, true)!))
      call.once('cancelled', () => end(gone()))
    })
  }
}

const gone = (): StatusError => new StatusError(status.CANCELLED, 'the client has gone away')
const notFound = (details: string): StatusError => new StatusError(status.NOT_FOUND, details)
const unknownTopic = (): StatusError => notFound(UNKNOWN_TOPIC)

/** The answer has no word for a message that was not taken. */
function dropped(verbs: Verbs, topic: string, { code, message }: Loss): object {
  verbs.lost(API, { code, message, topic }, 1)
  return NO_PLACE
}

async function ack(verbs: Verbs, { group, topic, partition, offset }: GrpcRequestFields): Promise<object> {
  requirePlace(partition, offset)
  requireGroup(group)
  const result = await verbs.groups.ack(group, { topic, partition, offset })
  const place = `{${group} ${topic} ${partition}}`
  switch (result.type) {
    case 'acked':
      return {}
    case 'failed':
      throw statusOf(result, status.NOT_FOUND, verbs.isReady)
    case 'notRead': {
      const reason = result.reason === undefined ? '' : `: ${result.reason}`
      throw new StatusError(status.INTERNAL, `acks channel missing for ${place}${reason}`)
    }
    case 'notOffered':
      throw new StatusError(status.INVALID_ARGUMENT, `offset ${offset} of ${place} has not been offered`)
  }
}

function failureOf(result: NoMessage, isReady: boolean): StatusError {
  if (result.type === 'timedOut') return notFound(LONG_POLL_TIMEOUT)
  if (result.code === 'overloaded') return new StatusError(status.RESOURCE_EXHAUSTED, overloadedTextOf(result))
  return statusOf(result, status.INTERNAL, isReady)
}

/** The bytes are copied when the answer is encoded, in the same tick. */
const toAnswer = ({ partition, offset, key, value, headers }: AcquiredMessage): object => ({
  partition,
  offset,
  key_value: key ?? NOTHING,
  key_undefined: key === null,
  message: value ?? NOTHING,
  headers: headers.map(header => ({ key: header.key, value: header.value ?? NOTHING }))
})

function requirePlace(partition: number, offset: number): void {
  if (partition < 0) throw new StatusError(status.INVALID_ARGUMENT, `bad ack partition: ${partition}`)
  if (offset < 0) throw new StatusError(status.INVALID_ARGUMENT, `bad ack offset: ${offset}`)
}

function requireGroup(group: string): void {
  if (group === '')
    throw new StatusError(status.INVALID_ARGUMENT, 'one consumer group is expected, but its name is empty')
}

function toPartitionOffset(place: GroupOffset): object {
  const { partition, earliest: begin, latest: end, committed } = place
  const { offset = NO_OFFSET, metadata = '' } = committed ?? {}
  const sparse_acks = sparseAcksOf({ offset, metadata })
  return { partition, begin, end, count: end - begin, offset, lag: lagOf(place), metadata, sparse_acks }
}

const toMetadata = ({ topic, partitions }: TopicMetadata, configs: TopicConfigs, withPartitions: boolean): object => ({
  version: CONFIG_VERSION,
  config: Object.fromEntries(configs.get(topic) ?? []),
  partitions: withPartitions
    ? partitions.map(({ partition, leaderId: leader, replicas, isr }) => ({ partition, leader, replicas, isr }))
    : []
})
