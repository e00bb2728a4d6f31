import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps, Agent as TlsAgent } from 'node:https'
import { isIP, isIPv6 } from 'node:net'
import { TLSSocket } from 'node:tls'
import { aheadMsOf } from '../../core/clocks.js'
import { HeldAmount } from '../../core/held-amount.js'
import type { MetricsLogger, MetricTags } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import { MAX_BODY_BYTES } from '../calls/call.js'
import { flag, optional, shape, text } from '../calls/checks.js'
import { type CallOptions, isUnanswered, NO_ANSWER, NOT_SENT, PeerError, type PeerFailure } from '../calls/peers.js'
import { decodeBody, encodeBody } from './body.js'
import {
  bodyOf,
  CALL_PATH,
  FAILED,
  HELLO_PATH,
  NO_ANSWER_IN_TIME,
  OK,
  OTHER_PROCESS,
  type PeerTls,
  REFUSED,
  TOO_MANY_CALLS
} from './peer-listener.js'
import {
  ANSWERED_BY,
  FROM_HEADER,
  MARGIN_MS,
  type PeerToken,
  SERVES_HEADER,
  TIMEOUT_HEADER,
  TO_HEADER
} from './peer-token.js'

/**
 * Default of the calls to one gateway that may be in progress; more are refused at once. Each has a connection, so that
 * calls with long handlers do not hold up others.
 */
const MAX_CALLS = 512
const MAX_FREE_SOCKETS = 32
/** Bytes of calls to one gateway that may be in progress. */
const MAX_BYTES = 2 * MAX_BODY_BYTES
const HELLO_TIMEOUT_MS = 1_000
/** The header `Date` has whole seconds. */
const DATE_STEP_MS = 1_000
const FIRST_PAUSE_MS = 250
/** Shorter than the time in which a gateway that starts again must be found. */
const MAX_PAUSE_MS = 4_000
/** A gateway that has failed this often in a row counts as gone. */
const FAILURES_UNTIL_GONE = 2

export interface PeerConnectionDeps {
  readonly id: string
  readonly token: PeerToken
  /** The certificate of this gateway, and the authorities of the others. Absent: no TLS. */
  readonly tls: PeerTls | undefined
  /** The host in `peers.addresses`, for which the certificate of the other gateway must be. */
  readonly serverName: string
  readonly log: Logger
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Calls to this gateway that may be in progress. */
  readonly maxCalls?: number | undefined
  readonly metrics: MetricsLogger
  /** Called when the process that answered at the address is gone. */
  readonly onGone: (id: string) => void
}

interface PeerRequest {
  readonly path: string
  readonly to: string
  readonly body: Buffer
  readonly timeoutMs: number
}

interface Answered {
  readonly by: string
  readonly status: number
  readonly body: Buffer
  /** Optional features that the gateway serves. */
  readonly features: readonly string[]
  /** Epoch milliseconds; NaN: it names none. */
  readonly at: number
}

interface FailedPeerCall extends NodeJS.ErrnoException {
  /** Bytes of it may have left. */
  readonly isSent: boolean
}

const ANSWERED = { result: 'answered' }
const [LATE, GONE, OVERLOADED, BROKEN] = ['late', 'away', 'refused', 'failed'].map(result => ({ result }))

function resultOf(error: PeerError): MetricTags {
  const { cause } = error
  if (cause === undefined) return LATE!
  if (isUnanswered(error)) return GONE!
  return cause.code === 'overloaded' ? OVERLOADED! : BROKEN!
}

const isFailure = shape<PeerFailure>({
  name: text,
  message: text,
  code: optional(text),
  retriable: optional(flag),
  setting: optional(text)
})

const away = (message: string, code = NO_ANSWER): PeerError => new PeerError(message, { name: 'Error', message, code })

/**
 * Calls the gateway at one address. When none answers there, it is not called for a while. This pause doubles each time.
 */
export class PeerConnection {
  /** `ADDRESS:PORT`, with brackets around an IPv6 address. */
  readonly name: string
  readonly #host: string
  readonly #port: number
  readonly #deps: PeerConnectionDeps
  readonly #agent: Agent | TlsAgent
  #id: string | undefined
  #clockAheadMs: number | undefined
  #features: readonly string[] = []
  #failures = 0
  #pausedUntil = Number.NEGATIVE_INFINITY
  /** Three quarters of the calls in progress may be long ones. */
  readonly #long: Shares
  readonly #calls = new HeldAmount('calls to a gateway')
  readonly #bytes = new HeldAmount('bytes of calls to a gateway')
  #isClosed = false
  /** Calls that are not answered. They fail when the gateway is gone. */
  readonly #open = new Set<ClientRequest>()

  constructor(host: string, port: number, deps: PeerConnectionDeps) {
    this.name = isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
    this.#host = host
    this.#port = port
    this.#deps = deps
    const kept = { keepAlive: true, maxFreeSockets: MAX_FREE_SOCKETS, noDelay: true }
    const { tls, serverName } = deps
    const named = isIP(serverName) > 0 ? {} : { servername: serverName }
    this.#agent = tls ? new TlsAgent({ ...kept, ...tls, ...named }) : new Agent(kept)
    this.#long = new Shares(0.75 * (deps.maxCalls ?? MAX_CALLS), 'long calls to a gateway')
  }

  /** Id of the process at the address. `undefined`: it has not answered, is gone, or is this process. */
  get id(): string | undefined {
    return this.#id === this.#deps.id ? undefined : this.#id
  }

  /** The same, also when it is this process. */
  get process(): string | undefined {
    return this.#id
  }

  /** How far the clock of this machine is ahead of that of the gateway, at the least, as of its last hello. */
  get clockAheadMs(): number | undefined {
    return this.#clockAheadMs
  }

  /** Whether the gateway has said that it serves this, which not all do. */
  hasFeature(feature: string): boolean {
    return this.#features.includes(feature)
  }

  get isPaused(): boolean {
    return this.#deps.clock() < this.#pausedUntil
  }

  /** Asks the gateway for its id. Never rejects. */
  async hello(): Promise<void> {
    if (this.isPaused) return
    const body = Buffer.alloc(0)
    const asked = { path: HELLO_PATH, to: '', body, timeoutMs: HELLO_TIMEOUT_MS }
    const { clock, now } = this.#deps
    const askedAt = clock()
    const answered = await this.#ask(asked, HELLO_TIMEOUT_MS).catch(() => undefined)
    if (answered !== undefined) this.#features = answered.features
    const isTold = answered !== undefined && !Number.isNaN(answered.at)
    this.#clockAheadMs = isTold ? aheadMsOf(answered.at, now(), clock() - askedAt + DATE_STEP_MS) : undefined
  }

  /** @throws PeerError */
  async call(to: string, name: string, value: unknown, options: CallOptions): Promise<unknown> {
    const { metrics } = this.#deps
    try {
      const answer = await this.#call(to, name, value, options)
      metrics.count('peers', 'calls', ANSWERED)
      return answer
    } catch (error) {
      metrics.count('peers', 'calls', resultOf(error as PeerError))
      throw error
    }
  }

  async #call(to: string, name: string, value: unknown, options: CallOptions): Promise<unknown> {
    const { timeoutMs, client, kind, maxBytes = MAX_BODY_BYTES } = options
    if (this.isPaused) throw away(`the gateway at ${this.name} did not answer before`, NOT_SENT)
    const body = encodeBody(value)
    const { maxCalls = MAX_CALLS } = this.#deps
    const isFull = this.#calls.value >= maxCalls || this.#bytes.value + body.length > MAX_BYTES
    if ((isFull && kind !== 'ending') || (kind === 'long' && this.#long.problemOf(client))) {
      const message = `too many calls to the gateway at ${this.name} are in progress`
      throw new PeerError(message, { name: 'OverloadedError', message, code: 'overloaded' })
    }
    const release = kind === 'long' ? this.#long.take(client) : undefined
    this.#calls.add(1)
    this.#bytes.add(body.length)
    try {
      const path = CALL_PATH + encodeURIComponent(name)
      const answered = await this.#ask({ path, to, body, timeoutMs }, timeoutMs + MARGIN_MS)
      if (answered.status === OK) {
        if (answered.body.length > maxBytes) throw new PeerError(`the answer to ${name} is too large`)
        return decodeBody(answered.body)
      }
      throw this.#failure(name, timeoutMs, answered)
    } finally {
      release?.()
      this.#calls.release(1)
      this.#bytes.release(body.length)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#agent.destroy()
    this.#gone()
  }

  #failure(name: string, timeoutMs: number, { status, body }: Answered): PeerError {
    const at = `the gateway at ${this.name}`
    if (status === OTHER_PROCESS) return away(`${at} was started again`, NOT_SENT)
    if (status === NO_ANSWER_IN_TIME) return new PeerError(`no answer to ${name} within ${timeoutMs} ms from ${at}`)
    if (status === FAILED) {
      const failure = decodeBody(body)
      if (isFailure(failure)) return new PeerError(failure.message, failure)
    }
    if (status !== TOO_MANY_CALLS) return new PeerError(`${at} gives no answer that makes sense (status ${status})`)
    const message = `${at} has too many calls in progress`
    return new PeerError(message, { name: 'OverloadedError', message, code: 'overloaded' })
  }

  async #ask(asked: PeerRequest, waitMs: number): Promise<Answered> {
    try {
      const answered = await this.#send(asked, waitMs)
      this.#answeredBy(answered.by)
      return answered
    } catch (error) {
      const { message, code, isSent } = error as FailedPeerCall
      this.#failed(message, code === 'ECONNREFUSED')
      throw away(`the gateway at ${this.name} does not answer: ${message}`, isSent ? NO_ANSWER : NOT_SENT)
    }
  }

  /** @throws FailedCall when there is no answer of a gateway in time */
  #send(asked: PeerRequest, waitMs: number): Promise<Answered> {
    const { to, body } = asked
    return new Promise((resolve, reject) => {
      const sent = this.#request(asked)
      if (to !== '') this.#open.add(sent)
      const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${waitMs} ms`)), waitMs)
      const end = (): void => {
        clearTimeout(timer)
        this.#open.delete(sent)
      }
      const isConnected = connectionOf(sent)
      sent.on('error', error => {
        end()
        reject(Object.assign(error, { isSent: isConnected() }))
      })
      sent.on('response', response => {
        // The answer shows that the gateway is there.
        this.#open.delete(sent)
        answeredBy(response)
          .then(resolve, error => {
            sent.destroy()
            reject(Object.assign(error as Error, { isSent: true }))
          })
          .finally(end)
      })
      sent.end(body)
    })
  }

  #request({ path, to, body, timeoutMs }: PeerRequest): ClientRequest {
    const { id, token, tls } = this.#deps
    const headers = {
      authorization: token.authorization,
      [FROM_HEADER]: id,
      [TO_HEADER]: to,
      [TIMEOUT_HEADER]: Math.ceil(timeoutMs),
      'content-length': body.length
    }
    const place = { host: this.#host, port: this.#port, path, agent: this.#agent }
    return (tls ? requestHttps : requestHttp)({ ...place, method: 'POST', headers })
  }

  #answeredBy(id: string): void {
    const { log } = this.#deps
    if (this.#failures > 0) log.info({ peer: id }, `the gateway at ${this.name} answers again`)
    this.#failures = 0
    this.#pausedUntil = Number.NEGATIVE_INFINITY
    if (id === this.#id || this.#isClosed) return
    this.#gone()
    this.#id = id
    if (id !== this.#deps.id) log.info({ peer: id }, `there is a gateway at ${this.name}`)
  }

  #failed(reason: string, isDown: boolean): void {
    const { clock, log } = this.#deps
    // Calls that fail together count once.
    if (this.isPaused || this.#isClosed) return
    log.warn({ reason }, `the gateway at ${this.name} does not answer`)
    this.#failures++
    this.#pausedUntil = clock() + Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures)
    if (isDown || this.#failures >= FAILURES_UNTIL_GONE) this.#gone()
  }

  #gone(): void {
    const { id } = this
    this.#id = undefined
    this.#features = []
    for (const sent of this.#open) sent.destroy(new Error('it is gone'))
    if (id !== undefined) this.#deps.onGone(id)
  }
}

/** Whether a request has a connection. Without one, nothing of it was sent. */
function connectionOf(sent: ClientRequest): () => boolean {
  let isConnected = false
  sent.once('socket', socket => {
    isConnected = !socket.connecting
    // A connection that is used again does not tell it another time.
    if (!sent.reusedSocket)
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => (isConnected = true))
  })
  return () => isConnected
}

/** @throws Error when the answer is too large, or not that of a gateway */
async function answeredBy(response: IncomingMessage): Promise<Answered> {
  const status = response.statusCode!
  const by = response.headers[ANSWERED_BY]
  if (status === REFUSED) throw new Error('it refuses the token; compare peers.token and builds')
  if (typeof by !== 'string') throw new Error(`its answer (status ${status}) is not that of a gateway`)
  const at = Date.parse(response.headers.date ?? '')
  const features = String(response.headers[SERVES_HEADER] ?? '').split(',')
  return { by, status, body: await bodyOf(response, MAX_BODY_BYTES), features, at }
}
