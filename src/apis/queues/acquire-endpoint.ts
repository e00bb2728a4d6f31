import type { z } from 'zod'
import { sizeOfRecord } from '../../core/model.js'
import type { Caller } from '../../http/access/access.js'
import type { AnswerOptions } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import { warningOf } from '../../http/exchange/answers.js'
import { type Exchange, isOnOwnPort, traceOf } from '../../http/exchange/exchange.js'
import { JSON_TYPE } from '../../http/exchange/modern-answers.js'
import { returnedHeadersOf } from '../../http/exchange/record-headers.js'
import type { AcquireResult, QueueMessage, SettleResult } from '../../verbs/verbs.js'
import { messageJson, plainTexts, schemaTexts } from './message-json.js'
import { admitsConsumer, type NamedQueue, nameOfClient, queueOf } from './named-queue.js'
import { type QueueParts, QueueProblem } from './queue-answers.js'
import { acquireBody, requireAtMost, withJson } from './requests.js'
import { settle } from './settle-endpoint.js'

export const BYTES_TYPE = 'application/octet-stream'
/** Keys of more bytes do not go into a header: clients such as Node's refuse more than 16 KiB of headers. */
const MAX_KEY_BYTES = 6 * 1024

type AcquireBody = z.output<typeof acquireBody>

/** What a client asks for. */
interface Wanted extends AcquireBody {
  /** The value of one message as it is. */
  readonly isBytes: boolean
}

/** `POST /{topic}/{group}/acquire`. */
export class AcquireEndpoint {
  readonly #parts: QueueParts
  readonly #waiting = new Set<Acquisition>()
  #isStopped = false

  constructor(parts: QueueParts) {
    this.#parts = parts
  }

  /** @throws QueueProblem */
  acquire(exchange: Exchange, params: Params): void {
    const queue = queueOf(this.#parts, params)
    if (!admitsConsumer(this.#parts, exchange, queue)) return
    withJson(this.#parts, exchange, acquireBody, body => {
      const wanted = this.#wantedOf(exchange, body)
      if (body.settle === undefined) this.#wait(exchange, queue, wanted)
      else {
        settle(this.#parts, exchange, queue, body.settle).then(
          settled => this.#wait(exchange, queue, wanted, settled),
          error => this.#parts.answers.fail(exchange, error)
        )
      }
    })
  }

  /** Answers all waiting clients without messages. */
  stop(): void {
    this.#isStopped = true
    for (const acquisition of this.#waiting) acquisition.end()
  }

  /** @throws QueueProblem */
  #wantedOf({ request }: Exchange, body: AcquireBody): Wanted {
    const { maxLockMs, schemas } = this.#parts
    const accept = request.headers.accept?.toLowerCase() ?? ''
    // Generated clients accept all types that are described.
    const isBytes = accept.includes(BYTES_TYPE) && !accept.includes(JSON_TYPE)
    requireAtMost(maxLockMs, 'lockMs', body.lockMs)
    if (body.encoding === 'schema' && schemas === undefined)
      throw new QueueProblem(400, 'encoding: schema needs a schema registry, and there is none (schemas.registry.urls)')
    if (isBytes && (body.count !== 1 || body.encoding !== 'base64' || body.settle !== undefined))
      throw new QueueProblem(400, `count, encoding and settle are for answers in JSON, and Accept is ${BYTES_TYPE}`)
    return { ...body, isBytes }
  }

  #wait(exchange: Exchange, queue: NamedQueue, wanted: Wanted, settled?: readonly SettleResult[]): void {
    // The client may have left while its messages were settled.
    if (exchange.response.destroyed) return
    const { access } = this.#parts
    const caller = access.callerOf(exchange.request)
    const { topic, group } = queue
    const acquisition = new Acquisition(this.#parts, exchange, wanted, queue, settled, () =>
      this.#waiting.delete(acquisition)
    )
    this.#waiting.add(acquisition)
    caller.watch('consume', { topic, group }, error => acquisition.fail(error))
    if (this.#isStopped) acquisition.end()
    else acquisition.begin()
  }
}

/**
 * A client that waits for messages. Those that did not reach it with the answer go to the next one:
 *
 *   waits ── messages ──▶ answered ── sent
 *     │                      │
 *     └──── client left ─────┴──▶ unseen
 */
class Acquisition {
  readonly #parts: QueueParts
  readonly #exchange: Exchange
  readonly #wanted: Wanted
  readonly #queue: NamedQueue
  readonly #settled: readonly SettleResult[] | undefined
  readonly #caller: Caller
  #cancel: () => void = () => undefined
  /** Messages that are not known to have reached the client. */
  #messages: readonly QueueMessage[] = []
  /** It is known what the client gets: messages, none, or a problem. */
  #isDecided = false
  #isAnswered = false

  /** @param onOver called once at the end, whatever the outcome */
  constructor(
    parts: QueueParts,
    exchange: Exchange,
    wanted: Wanted,
    queue: NamedQueue,
    settled: readonly SettleResult[] | undefined,
    onOver: () => void
  ) {
    this.#parts = parts
    this.#exchange = exchange
    this.#wanted = wanted
    this.#queue = queue
    this.#settled = settled
    this.#caller = parts.access.callerOf(exchange.request)
    exchange.response.once('close', () => {
      onOver()
      this.#closed()
    })
  }

  begin(): void {
    const { queues, topic, group } = this.#queue
    const { count, waitMs, maxBytes, lockMs, start } = this.#wanted
    const client = nameOfClient(this.#parts, this.#exchange)
    const mayAlter = this.#caller.allows('alter', { topic, group })
    const options = { count, waitMs, maxBytes, lockMs, start, client, mayAlter }
    const trace = traceOf(this.#exchange.request)
    this.#cancel = queues.acquire(topic, group, options, { client, trace, reply: result => this.#got(result) })
  }

  /** Answers without messages, unless some have come. */
  end(): void {
    if (this.#isDecided) return
    this.#isDecided = true
    this.#cancel()
    this.#write([])
  }

  /** Answers with a problem, unless there is an answer. Messages that have come go to the next client. */
  fail(error: unknown): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    this.#giveUp()
    this.#parts.answers.fail(this.#exchange, error)
  }

  #got(result: AcquireResult): void {
    const { queues, topic, group } = this.#queue
    if (this.#isDecided) {
      // It was on its way when the wait ended.
      if (result.type === 'acquired' && result.messages.length > 0) queues.unseen(result.messages)
    } else if (result.type === 'failed') {
      this.#isDecided = true
      this.fail(QueueProblem.of(result, this.#settled && { settled: this.#settled }))
    } else {
      this.#isDecided = true
      this.#messages = result.messages
      if (result.isNewGroup) this.#caller.noteCreated({ topic, group })
      this.#write(result.messages)
    }
  }

  #write(messages: readonly QueueMessage[]): void {
    this.#outputOf(messages).then(
      output => this.#answer(output),
      error => this.fail(error)
    )
  }

  /** Rejects by a bug only. */
  async #outputOf(messages: readonly QueueMessage[]): Promise<Output> {
    const { schemas, clock } = this.#parts
    const { encoding, isBytes } = this.#wanted
    if (isBytes) return messages.length === 0 ? NOTHING : this.#bytesOutput(messages[0]!)
    const since = clock()
    const records = messages.map(({ record }) => record)
    const owner = nameOfClient(this.#parts, this.#exchange)
    const texts =
      encoding === 'schema'
        ? await schemaTexts(schemas!, records, owner, clock)
        : records.map(record => plainTexts(record, encoding === 'text'))
    const sinceMs = Math.ceil(clock() - since)
    const jsons = messages.map((message, at) => messageJson(message, texts[at]!, Math.max(0, message.lockMs - sinceMs)))
    const settled = this.#settled === undefined ? '' : `,"settled":${JSON.stringify(this.#settled)}`
    return { status: 200, type: JSON_TYPE, body: `{"messages":[${jsons.join(',')}]${settled}}` }
  }

  /** The value of a message as it is, and all else in headers. */
  #bytesOutput({ token, partition, deliveryCount, lastDelivery, lockMs, record }: QueueMessage): Output {
    const { key, value, offset } = record
    const isLong = key !== null && key.length > MAX_KEY_BYTES
    const prefix = isOnOwnPort(this.#exchange) ? '' : this.#parts.prefix
    const headers = {
      ...returnedHeadersOf(this.#exchange.request, record.headers),
      location: `${prefix}${this.#queue.path}/messages/${token}`,
      'x-castellan-token': token,
      'x-castellan-delivery-count': String(deliveryCount),
      'x-castellan-lock-ms': String(lockMs),
      'x-castellan-partition': String(partition),
      'x-castellan-offset': String(offset),
      ...(key !== null && !isLong && { 'x-castellan-key': key.toString('base64') }),
      ...(isLong && warningOf(`the key of ${key.length} bytes is left out: answers in JSON have it`)),
      ...(lastDelivery !== undefined && { 'x-castellan-last-delivery': String(lastDelivery) }),
      ...(value === null && { 'x-castellan-null': 'value' })
    }
    return { status: 200, type: BYTES_TYPE, body: value ?? '', headers }
  }

  #answer({ status, type, body, headers }: Output): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    const records = this.#messages.map(({ record }) => record)
    // The messages are acquired already, so an exceeded quota refuses the next request.
    this.#caller.charge(
      records.length,
      records.reduce((sum, record) => sum + sizeOfRecord(record), 0)
    )
    this.#parts.answers.send(this.#exchange, status, type, body, { headers })
  }

  /** The answer has been sent, or the client has gone away. */
  #closed(): void {
    if (this.#isAnswered && this.#exchange.response.writableFinished) this.#messages = []
    this.#isAnswered = true
    this.#giveUp()
  }

  #giveUp(): void {
    if (!this.#isDecided) this.#cancel()
    this.#isDecided = true
    const messages = this.#messages
    this.#messages = []
    if (messages.length > 0) this.#queue.queues.unseen(messages)
  }
}

interface Output {
  readonly status: number
  readonly type: string | undefined
  readonly body: string | Buffer
  readonly headers?: AnswerOptions['headers']
}

const NOTHING: Output = { status: 204, type: undefined, body: '' }
