import type { SeededRandom } from '../../../support/random.js'
import type { Answers } from '../answers.js'
import type { SimulatedProcess } from '../process.js'
import { recordText } from '../record-text.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import type { Trace } from '../world/trace.js'
import { Client } from './client.js'
import type { GroupProgress } from './group-progress.js'
import { HttpConnection, type HttpResponse, requestText } from './http-connection.js'

export interface PixyConsumerOptions {
  readonly name: string
  readonly groupId: string
  readonly topic: string
  readonly port: number
  /** How long the gateway lets a request wait for a message. */
  readonly longPollMs: number
  /** What a message takes to process. */
  readonly pauseMs: readonly [number, number]
}

export interface PixyConsumerDeps {
  readonly host: Host
  readonly gateway: SimulatedProcess
  readonly answers: Answers
  readonly progress: GroupProgress
  readonly random: SeededRandom
  readonly trace: Trace
  now(): number
  /** Whether a request that was sent then may lose its connection now. */
  mayHangUp(sentAt: number): boolean
  /** Does something on the client's host. */
  onHost(action: () => void): void
}

/** A message as it is told; bytes are in base64. */
interface Message {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
  readonly timestamp: number
}

type Answered = (response: HttpResponse) => void

/** An acknowledgement is answered by then. */
const ACK_TIMEOUT_MS = 5_000
const RECONNECT_MS = 200
const AGAIN_AFTER_FAILURE_MS = 200
const FORGETS_PERCENT = 3
/** Of a hundred messages: they are acknowledged by the request for the next one. */
const ACKED_BY_NEXT_PERCENT = 30
const OK = 200
const NOTHING_CAME = 408

/** A client of Kafka-Pixy's API that takes messages of a group one by one and acknowledges most of them. */
export class PixyConsumer extends Client<PixyConsumerOptions, PixyConsumerDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0, messages: 0, again: 0, acks: 0 }
  #connection: HttpConnection | undefined
  #onAnswer: Answered | undefined
  #onTime: (() => boolean) | undefined
  #sentAt = 0
  #isBusy = false

  start(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    this.#consume()
  }

  /** Goes on until every acknowledgement is committed. */
  get isFinished(): boolean {
    if (this.deps.progress.isCommitted) return !this.#isBusy && this.#connection === undefined
    if (!this.#isBusy) this.deps.onHost(() => this.start())
    return false
  }

  /** Waits for messages again, when everybody has been told that there will be some. */
  tryOnceMore(succeeded: () => void): void {
    setTimeout(() => this.start(), 1)
    succeeded()
  }

  /** @param done a message that this request acknowledges */
  #consume(done?: Message): void {
    const { progress } = this.deps
    if (this.isStopped && progress.isCommitted) {
      this.#isBusy = false
      this.#connection?.end()
      return
    }
    const { topic, groupId, longPollMs } = this.options
    const ack = done === undefined ? 'noAck' : `ackPartition=${done.partition}&ackOffset=${done.offset}`
    if (done !== undefined) progress.acked(done.partition, done.offset)
    this.counts.asked!++
    const path = `/pixy/topics/${topic}/messages?group=${groupId}&timestamp&${ack}`
    this.#send('consumes', requestText('GET', path), longPollMs, response => this.#consumed(response, done))
  }

  #consumed({ status, body }: HttpResponse, done: Message | undefined): void {
    if (done !== undefined && (status === OK || status === NOTHING_CAME)) this.#confirmed(done)
    this.counts[status] = (this.counts[status] ?? 0) + 1
    if (status !== OK) return void this.#consumeIn(status === NOTHING_CAME ? 0 : AGAIN_AFTER_FAILURE_MS)
    const { random, progress, trace } = this.deps
    const message = JSON.parse(body) as Message
    this.counts.messages!++
    trace.say(this.name, `takes ${message.partition}@${message.offset}`)
    if (progress.offered(message.partition, message.offset, textOf(message))) this.counts.again!++
    const pauseMs = random.between(...this.options.pauseMs)
    if (percent(random, progress.isAtRest ? 0 : FORGETS_PERCENT)) return void this.#consumeIn(pauseMs)
    const isAckedByNext = percent(random, ACKED_BY_NEXT_PERCENT)
    setTimeout(() => (isAckedByNext ? this.#consume(message) : this.#ack(message)), pauseMs)
  }

  #ack(message: Message): void {
    const { partition, offset } = message
    const { topic, groupId } = this.options
    this.deps.progress.acked(partition, offset)
    this.counts.acks!++
    const path = `/pixy/topics/${topic}/acks?group=${groupId}&partition=${partition}&offset=${offset}`
    this.#send('acknowledges', requestText('POST', path, ''), ACK_TIMEOUT_MS, ({ status }) => {
      this.counts[`ack ${status}`] = (this.counts[`ack ${status}`] ?? 0) + 1
      if (status === OK) this.#confirmed(message)
      this.#consume()
    })
  }

  #confirmed({ partition, offset }: Message): void {
    this.deps.progress.confirmed(partition, offset)
  }

  #consumeIn(pauseMs: number): void {
    setTimeout(() => this.#consume(), pauseMs)
  }

  #send(what: string, text: string, timeoutMs: number, onAnswer: Answered): void {
    const { answers, gateway } = this.deps
    if (this.#connection === undefined) this.#connect()
    this.#onAnswer = onAnswer
    this.#onTime = answers.ask(`${this.name} ${what}`, timeoutMs, gateway.host)
    this.#sentAt = this.deps.now()
    this.#connection!.send(text)
  }

  #connect(): void {
    const connection = new HttpConnection('127.0.0.1', this.options.port, {
      onResponse: response => {
        if (this.#connection === connection) this.#answered(response)
      },
      onClose: () => this.#closed(connection)
    })
    this.#connection = connection
  }

  #answered(response: HttpResponse): void {
    const onAnswer = this.#onAnswer
    this.#onAnswer = undefined
    if (onAnswer === undefined) this.violated('answered twice', `${response.status}`)
    else if (this.#onTime!()) onAnswer(response)
  }

  /** Whatever it had is forgotten: a message that was offered is offered again. */
  #closed(connection: HttpConnection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    if (this.#onAnswer === undefined) return
    this.#onAnswer = undefined
    this.#onTime!()
    if (!this.deps.mayHangUp(this.#sentAt)) this.violated('hung up', `asked at ${this.#sentAt}`)
    this.#consumeIn(RECONNECT_MS)
  }
}

const bytesOf = (base64: string | null): Buffer | null => (base64 === null ? null : Buffer.from(base64, 'base64'))

const textOf = ({ key, value, headers, timestamp }: Message): string =>
  recordText({
    key: bytesOf(key),
    value: bytesOf(value),
    headers: headers.map(header => ({ key: header.key, value: bytesOf(header.value) })),
    timestampMs: timestamp
  })
