import type { ActorSystem, OwnedRef } from '../../core/actor/actor.js'
import {
  CastellanError,
  InvalidRequestError,
  KafkaError,
  ResponseTooLargeError,
  TimedOutError,
  UnavailableError
} from '../../core/errors.js'
import { Fifo } from '../../core/fifo.js'
import { type MetricsLogger, type MetricTags, NANOSECONDS_PER_MILLISECOND } from '../../core/metrics/metrics-logger.js'
import { asError } from '../../core/node-errors.js'
import { Shares } from '../../core/shares.js'
import type { BrokerClient } from '../../kafka/broker-client.js'
import type { BrokerTags, DispatcherAdmission, QueueProcessor, Returned } from '../processors/queue-processor.js'
import { failureOf, tooManyWait } from '../requests/failures.js'
import { fail, type Holder, type OpenRequest, type OpenRequests, stillOpen } from '../requests/open-requests.js'
import type { Role } from '../requests/operation.js'

/** The messages of a dispatcher. They are few, because requests wait in an array beside the mailbox. */
type DispatcherMessage =
  /** Requests were submitted. */
  | { readonly type: 'work' }
  | { readonly type: 'answered'; readonly connection: number; readonly response: unknown }
  | { readonly type: 'callFailed'; readonly connection: number; readonly error: Error; readonly sent: boolean }
  | { readonly type: 'resumed'; readonly connection: number }

/** The reports of a dispatcher to the Router. Answers to requests go to their requesters directly. */
export interface DispatcherReports {
  /** This broker could not answer requests. The reason may affect the routing tables. */
  returned(groups: readonly Returned[]): void
  /**
   * A call failed. `requests` may be routed again: the requests of the call if that is safe, and all queued requests.
   */
  unreachable(error: Error, requests: readonly OpenRequest[]): void
  /** A call failed because of a bug in this process, not because of the broker. */
  spoiled(error: Error, requests: readonly OpenRequest[]): void
  /** The dispatcher has stopped because of a bug, and must be replaced. `requests` are all requests that it held. */
  crashed(error: Error, requests: readonly OpenRequest[]): void
}

export interface ConnectionPlan {
  readonly purpose: string
  readonly processors: readonly QueueProcessor[]
}

export interface DispatcherOptions {
  readonly name: string
  readonly role: Role
  readonly system: ActorSystem
  readonly openRequests: OpenRequests
  readonly admission: DispatcherAdmission
  readonly connections: readonly ConnectionPlan[]
  readonly createClient: (purpose: string) => BrokerClient
  readonly reports: DispatcherReports
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  /** Limit of waiting requests. Further requests are refused. */
  readonly maxWaiting: number
  /** Called after every answer of the broker. */
  readonly onAnswered: () => void
  /**
   * Decides after a time-out whether the whole broker is silent. Default: it is silent after two time-outs in a row on
   * one connection.
   */
  readonly isSilent?: ((sentAt: number) => boolean) | undefined
  /**
   * Decides after a lost connection whether the broker still counts as reachable. If it does, only the requests of this
   * connection fail. Default: the broker is unreachable.
   */
  readonly isAlone?: (() => boolean) | undefined
  /** True: what the broker keeps ends with the connection, so a connection that was lost is not opened again. */
  readonly connectsOnce?: boolean
}

interface Connection extends ConnectionPlan {
  /** The processor whose turn it was. */
  last: number
  client: BrokerClient | undefined
  wasOpened: boolean
  call: { readonly processor: QueueProcessor; readonly call: unknown } | undefined
  timeouts: number
  sentAt: number
  /** Runs while the broker has asked for a pause (throttling): nothing is sent. */
  pause: NodeJS.Timeout | undefined
}

export const TIMEOUTS_BEFORE_UNREACHABLE = 2
/**
 * When waiting requests reach this share of the limit, a dispatcher answers readers that have waited long enough, to
 * free places.
 */
const NEARLY_FULL = 0.75

/** Counters of the calls to a broker, by dispatcher. */
type CallCounter = 'calls' | 'failed_calls' | 'timed_out_calls'
const callCounters: readonly CallCounter[] = ['calls', 'failed_calls', 'timed_out_calls']

/**
 * The connections of one role to one broker, each with one call in flight, and the requests that wait for them.
 *
 * Requests are not sent to the mailbox of the actor. They are appended to an array, so that one message announces all
 * that come before it is handled, and a crash of the actor loses none.
 */
export class Dispatcher implements Holder {
  readonly #options: DispatcherOptions
  readonly #connections: readonly Connection[]
  readonly #tags: MetricTags
  readonly #self: OwnedRef<DispatcherMessage>
  readonly #inbox = new Fifo<OpenRequest>()
  readonly #held: Shares
  #stopped = false

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#tags = { ...options.tags, dispatcher: options.role }
    this.#held = new Shares(options.maxWaiting, 'requests of a dispatcher')
    this.#connections = options.connections.map(plan => ({
      ...plan,
      last: plan.processors.length - 1,
      client: undefined,
      wasOpened: false,
      call: undefined,
      timeouts: 0,
      sentAt: 0,
      pause: undefined
    }))
    this.#self = options.system.spawnOwner<DispatcherMessage>(options.name, {
      receive: message => this.#receive(message),
      onCrash: error => this.#crash(error)
    })
    options.admission.onReady?.(() => this.#self.tell({ type: 'work' }))
    for (const counter of callCounters) this.#count(counter, 0)
  }

  /**
   * Counts calls, but none of members, of which there may be any number. The dispatchers of sessions have equal tags: their calls
   * are counted together.
   */
  #count(counter: CallCounter, increase?: number): void {
    const { role, metrics } = this.#options
    if (role !== 'member') metrics.count('kafka_dispatcher', counter, this.#tags, increase)
  }

  /** Requests that have no answer yet, queued or in flight. */
  get held(): number {
    return this.#held.taken
  }

  /**
   * Number of requests and calls that a new request has to wait for. A call may still be in flight when its requests
   * have been answered.
   */
  get load(): number {
    return this.#connections.reduce((load, { call }) => (call ? load + 1 : load), this.#held.taken)
  }

  submit(request: OpenRequest): void {
    if (this.#inbox.push(request) === 1) this.#self.tellSoon({ type: 'work' })
  }

  /** Returns all requests that have not been sent. Calls in flight continue. */
  drain(): OpenRequest[] {
    const requests = stillOpen([...this.#inbox.takeAll(), ...this.#options.admission.drain()])
    for (const request of requests) request.heldBy(undefined)
    return requests
  }

  release(request: OpenRequest): void {
    this.#held.change(this.#options.admission.shareOf?.(request), -1)
  }

  /**
   * Stops at once and closes the connections. Batches in flight are answered `unanswered`. Returns all other requests
   * that it held.
   */
  stop(): OpenRequest[] {
    if (this.#stopped) return []
    this.#stopped = true
    this.#self.stop()
    const requests = [...this.#abandonCalls(new UnavailableError('brokerUnreachable', 'the dispatcher was stopped'))]
    for (const connection of this.#connections) {
      clearTimeout(connection.pause)
      void connection.client?.close()
    }
    return [...requests, ...this.drain()]
  }

  #crash(error: Error): void {
    this.#options.metrics.count('kafka_dispatcher', 'unexpected_failures', { actor: this.#self.path })
    this.#options.reports.crashed(error, this.stop())
  }

  #abandonCalls(error: Error): OpenRequest[] {
    return this.#connections.flatMap(connection => {
      const { call } = connection
      connection.call = undefined
      return call ? [...call.processor.callFailed(call.call, error, true)] : []
    })
  }

  #receive(message: DispatcherMessage): void {
    const { role, metrics } = this.#options
    switch (message.type) {
      case 'work':
        this.#takeIn()
        break
      case 'answered':
        this.#answered(this.#connections[message.connection]!, message.response)
        break
      case 'callFailed':
        this.#callFailed(this.#connections[message.connection]!, message.error, message.sent)
        break
      case 'resumed':
        this.#connections[message.connection]!.pause = undefined
        break
    }
    // A queued request, or a request that was moved to another connection, may find a free connection.
    for (const connection of this.#connections) this.#issue(connection)
    // Those of members have no metrics. Those of sessions have equal tags: each would overwrite the depth of the others.
    if (role !== 'member' && role !== 'session')
      metrics.gauge?.('kafka_dispatcher', 'queue_depth', this.#tags, this.#held.taken)
  }

  #takeIn(): void {
    const { admission, openRequests, maxWaiting } = this.#options
    // If a request makes the actor crash, it and the requests after it are still in the inbox.
    for (; this.#inbox.size > 0; this.#inbox.shift()) {
      const request = this.#inbox.first!
      if (request.settled || admission.answerFromCache?.(request)) continue
      const share = admission.shareOf?.(request)
      if (this.#held.taken >= maxWaiting * NEARLY_FULL) admission.answerOldestReader?.()
      if (this.#held.free <= 0) {
        fail(request, tooManyWait(`${this.#self.path} is full`, maxWaiting))
        continue
      }
      if (share !== undefined && this.#held.takenBy(share) >= maxWaiting / 2) {
        const what = `${this.#self.path} has no place for more requests of one group, which may take half of it`
        fail(request, tooManyWait(what, maxWaiting))
        continue
      }
      this.#held.change(share, 1)
      request.heldBy(this)
      openRequests.watch(request)
      admission.addToQueue(request)
    }
  }

  #timeCall({ sentAt }: Connection): void {
    const { role, metrics, openRequests } = this.#options
    const nanoSeconds = (openRequests.now() - sentAt) * NANOSECONDS_PER_MILLISECOND
    if (role !== 'member') metrics.time('kafka_dispatcher', 'call', this.#tags, nanoSeconds)
  }

  #answered(connection: Connection, response: unknown): void {
    const { call } = connection
    if (!call) return
    connection.timeouts = 0
    this.#timeCall(connection)
    this.#options.onAnswered()
    const returned = call.processor.processResponse(call.call, response)
    connection.call = undefined
    if (returned.length > 0) {
      for (const group of returned) for (const request of group.requests) request.heldBy(undefined)
      this.#options.reports.returned(returned)
    }
    const throttleMs = (response as { throttleTimeMs?: number }).throttleTimeMs ?? 0
    if (throttleMs > 0) connection.pause = setTimeout(() => this.#tellRested(connection), throttleMs)
  }

  /**
   * Handles a failed call. After a time-out the broker still counts as reachable if it answers other calls. If it
   * answers no calls, or the connection is lost, it counts as unreachable, and requests that have not been sent are
   * returned as well.
   */
  #callFailed(connection: Connection, error: Error, sent: boolean): void {
    const { call } = connection
    if (!call) return
    connection.call = undefined
    if (sent) this.#count('failed_calls')
    if (sent && error instanceof TimedOutError) this.#count('timed_out_calls')
    const requests = [...call.processor.callFailed(call.call, error, sent)]
    for (const request of requests) request.heldBy(undefined)
    if (!(error instanceof CastellanError)) {
      // The call could not be encoded, which is a bug. Treating the broker as unreachable would fail all other requests.
      this.#options.metrics.count('kafka_dispatcher', 'unexpected_failures', { actor: this.#self.path })
      this.#options.reports.spoiled(error, requests)
    } else if (isAboutTheCall(error) || (error.code === 'brokerUnreachable' && this.#options.isAlone?.())) {
      // The broker works: it refuses only this call or connection, or the call cannot be encoded, or the answer is too
      // large.
      for (const request of requests) fail(request, failureOf(error))
    } else if (sent && error instanceof TimedOutError && !this.#isSilent(connection)) {
      const topics = new Set(call.processor.topicsOf?.(call.call))
      const news = Array.from(topics, topic => ({ reason: 'staleTopic', requests: [], topic }) as const)
      this.#options.reports.returned([{ reason: 'staleTopic', requests }, ...news])
    } else {
      connection.timeouts = 0
      this.#options.reports.unreachable(error, [...requests, ...this.drain()])
    }
  }

  #isSilent(connection: Connection): boolean {
    const { isSilent } = this.#options
    return isSilent ? isSilent(connection.sentAt) : ++connection.timeouts >= TIMEOUTS_BEFORE_UNREACHABLE
  }

  #tellRested(connection: Connection): void {
    this.#self.tell({ type: 'resumed', connection: this.#connections.indexOf(connection) })
  }

  /** Sends the call of the next processor in turn, if the connection is free. */
  #issue(connection: Connection): void {
    const { processors } = connection
    // A processor has no call when all its requests have been answered meanwhile; then it is the turn of the next.
    for (let turns = 0; turns < processors.length; turns++) {
      if (connection.call !== undefined || connection.pause !== undefined) return
      const next = nextInTurn(processors, connection.last)
      if (next === undefined) return
      connection.last = next
      const processor = processors[next]!
      const call = processor.nextCall()
      if (call === undefined) continue
      connection.call = { processor, call }
      connection.client ??= this.#options.createClient(connection.purpose)
      void this.#send(connection, connection.call, connection.client)
    }
  }

  /** @throws UnavailableError when the connection was lost and must not be opened again */
  async #connect(connection: Connection, client: BrokerClient): Promise<void> {
    if (connection.wasOpened && this.#options.connectsOnce) throw LOST
    await client.connect()
    connection.wasOpened = true
  }

  async #send(connection: Connection, inFlight: NonNullable<Connection['call']>, client: BrokerClient): Promise<void> {
    const at = this.#connections.indexOf(connection)
    let sent = false
    try {
      // A call that fails while the connection is opened was not sent. The outcome of a call that fails later is
      // unknown.
      if (!client.isConnected) await this.#connect(connection, client)
      // The dispatcher was stopped while the connection was opened: `stop` has ended the call as one without an answer.
      if (connection.call !== inFlight) return
      sent = true
      this.#count('calls')
      connection.sentAt = this.#options.openRequests.now()
      const response = await inFlight.processor.send(client, inFlight.call)
      if (connection.call === inFlight) this.#self.tellSoon({ type: 'answered', connection: at, response })
    } catch (error) {
      if (connection.call === inFlight)
        this.#self.tellSoon({ type: 'callFailed', connection: at, error: asError(error), sent })
    }
  }
}

const LOST = new UnavailableError(
  'brokerUnreachable',
  'the connection was lost, and with it what the broker kept for it'
)

const isAboutTheCall = (error: CastellanError): boolean =>
  error instanceof KafkaError || error instanceof InvalidRequestError || error instanceof ResponseTooLargeError

/**
 * The next index after `current` that is not empty. The search wraps around and ends at `current`, so that no index
 * starves. `undefined` when all are empty.
 *
 *   isEmpty = [false, false, true], current = 1   =>   tries 2, 0, 1: gives 0
 *
 * Source: Box-Castle/router 1.0.3, KafkaDispatcher.scala.
 */
export function nextInTurn(turns: readonly { readonly isEmpty: boolean }[], current: number): number | undefined {
  for (let step = 1; step <= turns.length; step++) {
    const index = (current + step) % turns.length
    if (!turns[index]!.isEmpty) return index
  }
  return undefined
}
