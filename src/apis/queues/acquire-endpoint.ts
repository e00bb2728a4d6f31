import type { z } from 'zod'
import { memoryOfRecords, sizeOfRecords } from '../../core/bytes.js'
import { Line } from '../../core/line.js'
import type { KafkaRecord } from '../../core/model.js'
import type { Caller } from '../../http/access/access.js'
import { type AnswerOptions, ApiError, type FailureCause } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import { MessageWait } from '../../http/api/message-wait.js'
import { warningOf } from '../../http/exchange/answers.js'
import { type Exchange, isOnOwnPort, noteWait, traceOf } from '../../http/exchange/exchange.js'
import { whenNext } from '../../http/exchange/leaving-records.js'
import { rangesOf } from '../../http/exchange/media-types.js'
import { JSON_TYPE } from '../../http/exchange/modern-answers.js'
import type { AnswerBody } from '../../http/exchange/pieced-body.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import { addWhileShort, SegmentedBody } from '../../http/exchange/segmented-body.js'
import {
  type AcquireFailure,
  type AcquireResult,
  leftOfLock,
  type QueueMessage,
  type ResultForClient,
  resultForClient,
  type TokenResult,
  validMessages
} from '../../verbs/verbs.js'
import { addMessage, type Parts, plainParts, schemaParts } from './message-json.js'
import { admitsConsumer, type NamedQueue, nameOfClient, queueOf, refusalOfAltering } from './named-queue.js'
import type { QueueParts } from './queue-answers.js'
import { type acquireBody, acquiring, requireAtMost, withJson } from './requests.js'
import { settle } from './settle-endpoint.js'

export const BYTES_TYPE = 'application/octet-stream'
/** Keys of more bytes do not go into a header: clients such as Node's refuse more than 16 KiB of headers. */
const MAX_KEY_BYTES = 6 * 1024

type AcquireBody = z.output<typeof acquireBody>

/** A request to acquire messages, as it was read. */
interface AcquireRequest {
  readonly exchange: Exchange
  readonly queue: NamedQueue
  readonly wanted: AcquireBody
  /** The client wants the value of one message as it is. */
  readonly isBytes: boolean
}

/** `POST /{topic}/{group}/acquire`. */
export class AcquireEndpoint {
  readonly #parts: QueueParts
  readonly #waiting = new Line<OpenAcquire>()
  #isStopped = false

  constructor(parts: QueueParts) {
    this.#parts = parts
  }

  /** @throws ApiError */
  acquire(exchange: Exchange, params: Params): void {
    const queue = queueOf(this.#parts, exchange, params)
    if (!admitsConsumer(this.#parts, exchange, 'queues.acquire', queue)) return
    withJson(this.#parts, exchange, acquiring, wanted => {
      noteWait(exchange.request, wanted.waitMs)
      const asked = { exchange, queue, wanted, isBytes: this.#wantsBytes(exchange, wanted) }
      if (wanted.settle === undefined) this.#wait(asked)
      else {
        settle(this.#parts, exchange, queue, wanted.settle)
          .then(settled => this.#wait(asked, settled))
          .catch(error => this.#parts.answers.fail(exchange, error))
      }
    })
  }

  /** Answers all waiting clients without messages. */
  stop(): void {
    this.#isStopped = true
    for (const acquire of this.#waiting.all) acquire.end()
  }

  /** @throws ApiError when the request asks for something that it cannot get */
  #wantsBytes({ request }: Exchange, { count, encoding, lockMs, settle }: AcquireBody): boolean {
    const isBytes = prefersBytes(request.headers.accept)
    requireAtMost(this.#parts.maxLockMs, 'lockMs', lockMs)
    if (encoding === 'schema' && this.#parts.schemas === undefined)
      throw new ApiError(400, 'encoding: schema needs a schema registry, and there is none (schemas.registry.urls)')
    if (isBytes && (count !== 1 || encoding !== 'base64' || settle !== undefined))
      throw new ApiError(400, `count, encoding and settle are for answers in JSON, and Accept is ${BYTES_TYPE}`)
    return isBytes
  }

  #wait(asked: AcquireRequest, settled?: readonly TokenResult[]): void {
    const { exchange, queue } = asked
    // The client may have left while its messages were settled.
    if (exchange.response.destroyed) return
    const { topic, group } = queue
    const acquire = new OpenAcquire(this.#parts, asked, settled)
    acquire.place = this.#waiting.add(acquire)
    const caller = this.#parts.access.callerOf(exchange.request)
    caller.watch('consume', { topic, group }, error => acquire.fail(error))
    if (this.#isStopped) acquire.end()
    else whenNext(exchange.response, () => acquire.begin())
  }
}

/** A client that waits for messages of a queue. */
class OpenAcquire extends MessageWait {
  readonly #parts: QueueParts
  readonly #asked: AcquireRequest
  readonly #settled: readonly TokenResult[] | undefined
  readonly #caller: Caller
  readonly #client: string
  /** Messages that are not known to have reached the client. */
  #messages: readonly QueueMessage[] = []
  #isAnswered = false
  #hasAskedAgain = false

  /** @param settled what was done before; `undefined`: nothing was asked for */
  constructor(parts: QueueParts, asked: AcquireRequest, settled: readonly TokenResult[] | undefined) {
    super(asked.exchange.response, parts.records)
    this.#parts = parts
    this.#asked = asked
    this.#settled = settled
    this.#caller = parts.access.callerOf(asked.exchange.request)
    this.#client = nameOfClient(parts, asked.exchange)
  }

  /** Called when the answer is the next one of its connection: otherwise messages would wait behind earlier answers. */
  begin(): void {
    if (this.isDecided) return
    const { topic, group } = this.#asked.queue
    this.#acquire(this.#caller.allows('alter', { topic, group }) ? [topic] : [])
  }

  #acquire(mayAlter: readonly string[]): void {
    const { queues, topic, group } = this.#asked.queue
    const { count, waitMs, maxBytes, lockMs, start } = this.#asked.wanted
    const client = this.#client
    const options = { count, waitMs, maxBytes, lockMs, start, client, mayAlter }
    const given = traceOf(this.#asked.exchange.request)?.asks(group)
    const reply = (result: AcquireResult): void => {
      if (result.type === 'acquired')
        given?.(result.messages.map(({ partition, record }) => ({ topic, partition, ...record })))
      this.#got(result)
    }
    const leave = queues.acquire(topic, group, options, { client, reply })
    this.cancel = () => {
      if (!this.isDecided) leave()
    }
  }

  /** Answers without messages, unless some have come. */
  end(): void {
    if (this.decide()) this.#write([])
  }

  /** Answers with a problem, unless there is an answer. Messages that have come go to the next client. */
  fail(error: unknown): void {
    if (!this.#answersNow()) return
    this.decide()
    this.releaseMessages()
    this.#parts.answers.fail(this.#asked.exchange, error)
  }

  /** @returns false: it was answered before, or its client has gone */
  #answersNow(): boolean {
    const isFirst = !this.#isAnswered && !this.response.destroyed
    this.#isAnswered = true
    return isFirst
  }

  #got(result: AcquireResult): void {
    const { queues, topic, group } = this.#asked.queue
    if (this.isDecided) {
      // It was on its way when the wait ended.
      if (result.type === 'acquired' && result.messages.length > 0) queues.takeBack(result.messages)
    } else if (result.type === 'failed' && this.#asksAgain(result)) return
    else if (result.type === 'failed') this.#refuse(result)
    else {
      this.isDecided = true
      this.#messages = result.messages
      this.held = this.#parts.records.hold(memoryOfRecords(recordsOf(result.messages)), this.#client)
      if (result.isNewGroup) this.#caller.noteCreated({ topic, group })
      this.#write(result.messages)
    }
  }

  /** Asks once more where the rights were missing that the client has. @returns false: the failure is the answer */
  #asksAgain({ alters }: AcquireFailure): boolean {
    if (alters === undefined || this.#hasAskedAgain) return false
    this.#hasAskedAgain = true
    const refusal = refusalOfAltering(this.#caller, alters, this.#asked.queue.group)
    if (refusal === undefined) this.#acquire(alters)
    else this.#refuse(refusal)
    return true
  }

  #refuse(failure: FailureCause): void {
    this.isDecided = true
    const settled = this.#settledForClient
    this.fail(this.#parts.answers.problemOf(failure, settled && { settled }))
  }

  /** Results of what the request has settled first, with the time that is left of renewed locks. */
  get #settledForClient(): readonly ResultForClient[] | undefined {
    const now = this.#parts.clock()
    return this.#settled?.map(result => resultForClient(result, now))
  }

  #write(messages: readonly QueueMessage[]): void {
    this.#outputOf(messages).then(
      output => this.#answer(output),
      error => this.fail(error)
    )
  }

  /** Rejects by a bug only. */
  async #outputOf(messages: readonly QueueMessage[]): Promise<AcquireOutput> {
    const { encoding } = this.#asked.wanted
    if (this.#asked.isBytes) {
      const now = this.#parts.clock()
      const [message] = validMessages(messages, now, ended => this.releaseMessages(ended))
      return message === undefined ? NOTHING : this.#bytesOutput(message, now)
    }
    const decoded = encoding === 'schema' ? await this.#decoded(messages) : undefined
    const now = this.#parts.clock()
    const given = validMessages(messages, now, ended => this.releaseMessages(ended))
    const body = new SegmentedBody()
    body.add('{"messages":[')
    const addOne = (message: QueueMessage, at: number): void => {
      if (at > 0) body.add(',')
      const parts = decoded?.get(message.token) ?? plainParts(message.record, encoding === 'text')
      addMessage(body, message, parts, leftOfLock(message.lockEndsAt, now))
    }
    const count = addWhileShort(given, () => body.lengthSoFar, addOne)
    this.releaseMessages(this.#messages.slice(count))
    const settled = this.#settledForClient
    body.add(settled === undefined ? ']}' : `],"settled":${JSON.stringify(settled)}}`)
    return { status: 200, type: JSON_TYPE, body, madeBytes: body.madeBytes }
  }

  /** Decoded parts of the messages by token. */
  async #decoded(messages: readonly QueueMessage[]): Promise<ReadonlyMap<string, Parts>> {
    const { schemas, clock } = this.#parts
    const parts = await schemaParts(schemas!, recordsOf(messages), this.#client, clock)
    return new Map(messages.map(({ token }, at) => [token, parts[at]!]))
  }

  /** The value of a message as it is, and all else in headers. */
  #bytesOutput(message: QueueMessage, now: number): AcquireOutput {
    const { token, partition, deliveryCount, lastDelivery, lockEndsAt, record } = message
    const { key, value, offset } = record
    const isLong = key !== null && key.length > MAX_KEY_BYTES
    const { exchange, queue } = this.#asked
    const prefix = isOnOwnPort(exchange) ? '' : this.#parts.prefix
    const headers = {
      ...returnedHeadersOf(exchange.request, record.headers),
      location: `${prefix}${queue.path}/messages/${token}`,
      'x-castellan-token': token,
      'x-castellan-delivery-count': String(deliveryCount),
      'x-castellan-lock-ms': String(leftOfLock(lockEndsAt, now)),
      'x-castellan-partition': String(partition),
      'x-castellan-offset': String(offset),
      ...(key !== null && !isLong && { 'x-castellan-key': key.toString('base64') }),
      ...(isLong && warningOf(`the key of ${key.length} bytes is left out: answers in JSON have it`)),
      ...(lastDelivery !== undefined && { 'x-castellan-last-delivery': String(lastDelivery) }),
      ...(value === null && { 'x-castellan-null': 'value' })
    }
    return { status: 200, type: BYTES_TYPE, body: value ?? '', headers }
  }

  #answer({ status, type, body, headers, madeBytes = 0 }: AcquireOutput): void {
    if (!this.#answersNow()) return
    // The messages are acquired already, so an exceeded quota refuses the next request.
    this.#caller.spend(this.#messages.length, sizeOfRecords(recordsOf(this.#messages)))
    this.leaves(madeBytes)
    this.#parts.answers.send(this.#asked.exchange, status, type, body, { headers, held: this.held })
  }

  protected delivered(): void {
    this.#messages = []
  }

  /** Gives messages back, each only once. */
  protected releaseMessages(messages = this.#messages): void {
    const open = new Set(this.#messages)
    const released = messages.filter(message => open.delete(message))
    if (released.length === 0) return
    this.#messages = [...open]
    this.held?.add(-memoryOfRecords(recordsOf(released)))
    this.#asked.queue.queues.takeBack(released)
  }
}

const recordsOf = (messages: readonly QueueMessage[]): readonly KafkaRecord[] => messages.map(({ record }) => record)

/** Whether a client wants bytes rather than JSON. Of equal ones JSON counts, since generated clients accept all types that are described. */
function prefersBytes(accept = ''): boolean {
  const qualities = new Map(rangesOf(accept).map(({ type, quality }) => [type, quality]))
  const bytes = qualities.get(BYTES_TYPE) ?? 0
  const json = qualities.get(JSON_TYPE)
  if (json !== undefined) return bytes > json
  return bytes > 0 && bytes >= (qualities.get('application/*') ?? qualities.get('*/*') ?? 0)
}

interface AcquireOutput {
  readonly status: number
  readonly type: string | undefined
  readonly body: AnswerBody
  readonly headers?: AnswerOptions['headers']
  readonly madeBytes?: number
}

const NOTHING: AcquireOutput = { status: 204, type: undefined, body: '' }
