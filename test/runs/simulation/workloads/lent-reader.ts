import type { SeededRandom } from '../../../support/random.js'
import type { Answers } from '../answers.js'
import type { HttpGateway } from '../http-gateway.js'
import { recordText } from '../record-text.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import type { Trace } from '../world/trace.js'
import { Client } from './client.js'
import type { GroupProgress } from './group-progress.js'
import { HttpConnection, type HttpResponse, requestText } from './http-connection.js'

export interface LentReaderOptions {
  readonly name: string
  readonly groupId: string
  readonly topic: string
  /** Asked in turn, as by a load balancer. */
  readonly gateways: readonly HttpGateway[]
  /** How long a gateway lets a request wait for a message. */
  readonly longPollMs: number
  /** What a message takes to process. */
  readonly pauseMs: readonly [number, number]
  /** No other client reads for the group. */
  readonly isAlone: boolean
}

export interface LentReaderDeps {
  readonly host: Host
  readonly answers: Answers
  readonly progress: GroupProgress
  readonly random: SeededRandom
  readonly trace: Trace
  now(): number
  onHost(action: () => void): void
  /**
   * A message came at rest, for the first time.
   *
   * @param waitedMs since the request was sent and the message written
   */
  readonly onMessage?: ((waitedMs: number) => void) | undefined
}

interface Message {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
  readonly timestamp: number
}

const OK = 200
const NOTHING_CAME = 408
/** A request waits so much longer for a message that is on its way from another gateway. */
const LONGEST_TAKE_MS = 500
const AGAIN_MS = 200
const ACK_TIMEOUT_MS = 15_000
const FORGETS_PERCENT = 3
const HANGS_UP_PERCENT = 3
/** What has waited for so long before an answer without a message was in vain, with what goes over the network. */
const IN_VAIN_MS = 400

/** A client of Kafka-Pixy's API that sends each request to the next one of several gateways, and acknowledges at the one after that. */
export class LentReader extends Client<LentReaderOptions, LentReaderDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0, messages: 0, again: 0, acks: 0, 'in vain': 0 }
  #turn = 0
  #isBusy = false
  /** Offsets of the newest messages that were given out for the first time, by partition. */
  readonly #newest = new Map<number, number>()

  start(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    this.#consume()
  }

  get isFinished(): boolean {
    if (this.deps.progress.isCommitted) return !this.#isBusy
    if (!this.#isBusy) this.deps.onHost(() => this.start())
    return false
  }

  tryOnceMore(succeeded: () => void): void {
    setTimeout(() => this.start(), 1)
    succeeded()
  }

  #consume(): void {
    const { progress, random, now } = this.deps
    if (this.isStopped && progress.isCommitted) {
      this.#isBusy = false
      return
    }
    const { topic, groupId, longPollMs } = this.options
    this.counts.asked!++
    const wasAtRest = progress.isAtRest
    const sentAt = now()
    const path = `/pixy/topics/${topic}/messages?group=${groupId}&timestamp&noAck`
    const hangUpMs = percent(random, wasAtRest ? 0 : HANGS_UP_PERCENT) ? random.between(0, longPollMs) : undefined
    this.#send('consumes', requestText('GET', path), longPollMs + LONGEST_TAKE_MS, hangUpMs, response => {
      if (response?.status === NOTHING_CAME && wasAtRest && now() - sentAt >= longPollMs) this.#noteInVain()
      this.#consumed(response, wasAtRest ? sentAt : undefined)
    })
  }

  #noteInVain(): void {
    const waiting = this.deps.progress.waitingFor(IN_VAIN_MS)
    if (waiting === undefined) return
    this.counts['in vain']!++
    this.violated('no message in vain', `while ${waiting} waited`)
  }

  /** @param sentAt when the request was sent, at rest */
  #consumed(response: HttpResponse | undefined, sentAt: number | undefined): void {
    const status = response?.status ?? 'hung up'
    this.counts[status] = (this.counts[status] ?? 0) + 1
    if (status !== OK) return void this.#later(status === NOTHING_CAME ? 0 : AGAIN_MS)
    const { random, progress, trace } = this.deps
    const message = JSON.parse(response!.body) as Message
    const { partition, offset } = message
    this.counts.messages!++
    trace.say(this.name, `takes ${partition}@${offset}`)
    const isAgain = progress.offered(partition, offset, textOf(message))
    if (isAgain) this.counts.again!++
    else {
      this.#checkOrder(message)
      if (sentAt !== undefined)
        this.deps.onMessage?.(Math.min(this.deps.now() - sentAt, Date.now() - message.timestamp))
    }
    const pauseMs = random.between(...this.options.pauseMs)
    if (percent(random, progress.isAtRest || this.isStopped ? 0 : FORGETS_PERCENT)) return void this.#later(pauseMs)
    setTimeout(() => this.#ack(message), pauseMs)
  }

  #checkOrder({ partition, offset }: Message): void {
    const before = this.#newest.get(partition) ?? -1
    const { isAlone } = this.options
    if (isAlone && this.deps.progress.isAtRest && offset < before)
      this.violated('out of order', `${partition}@${offset} after ${before}`)
    this.#newest.set(partition, Math.max(before, offset))
  }

  #ack({ partition, offset }: Message): void {
    const { topic, groupId } = this.options
    this.deps.progress.acked(partition, offset)
    this.counts.acks!++
    const wasAtRest = this.deps.progress.isAtRest
    const path = `/pixy/topics/${topic}/acks?group=${groupId}&partition=${partition}&offset=${offset}`
    this.#send('acknowledges', requestText('POST', path, ''), ACK_TIMEOUT_MS, undefined, response => {
      const status = response?.status ?? 'hung up'
      this.counts[`ack ${status}`] = (this.counts[`ack ${status}`] ?? 0) + 1
      if (status === OK) this.deps.progress.confirmed(partition, offset)
      else if (wasAtRest)
        this.violated('acknowledgement refused', `${partition}@${offset}: ${status} ${response?.body}`)
      this.#consume()
    })
  }

  #later(pauseMs: number): void {
    setTimeout(() => this.#consume(), pauseMs)
  }

  /** Sends a request to the next gateway, on a connection of its own. */
  #send(
    what: string,
    text: string,
    timeoutMs: number,
    hangUpMs: number | undefined,
    onAnswer: (response: HttpResponse | undefined) => void
  ): void {
    const { gateways } = this.options
    const gateway = gateways[this.#turn++ % gateways.length]!
    const onTime = this.deps.answers.ask(`${this.name} ${what}`, timeoutMs, gateway.host)
    let isOver = false
    const over = (response: HttpResponse | undefined): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      connection.end()
      if (onTime()) onAnswer(response)
    }
    const connection = new HttpConnection('127.0.0.1', gateway.port, {
      onResponse: over,
      onClose: () => over(undefined)
    })
    const timer = hangUpMs === undefined ? undefined : setTimeout(() => over(undefined), hangUpMs)
    connection.send(text)
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
