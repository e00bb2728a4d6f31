import { SECOND_MS } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import type { Release } from '../../core/places.js'
import { retryAfterMsOf } from './answer-reader.js'
import type { Attempt, AttemptResult, AttemptSender } from './attempt.js'
import { AttemptFailure } from './attempt-failure.js'
import { AttemptTime } from './attempt-time.js'
import { Connection, type Outcome } from './connection.js'
import type { Egress } from './egress.js'
import { secretIn, signatureOf } from './signature.js'
import { authorizationOf, type Credential, credentialProblem } from './webhook-url.js'

/** The checked settings of an endpoint. */
export interface EndpointSettings {
  readonly url: string
  /** One or two, `whsec_…`, newest first: all sign. */
  readonly secrets: readonly string[]
  readonly credential?: Credential | undefined
}

export interface EndpointDeps {
  readonly settings: EndpointSettings
  readonly egress: Egress
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Values that are the same for all requests of a definition. */
interface Prepared {
  readonly url: URL
  readonly secrets: readonly Buffer[]
  /** The request line and the first headers. */
  readonly head: string
}

const HEADER_LINE = /^[\w!#$%&'*+.^`|~-]+: [\t\x20-\x7e\x80-\xff]*$/

/** Sends to the endpoint of one webhook, over connections of its own. */
export class Endpoint implements AttemptSender {
  readonly #deps: EndpointDeps
  /** Connections whose answer has come; the last one was used last. */
  #idle: Connection[] = []
  readonly #connections = new Set<Connection>()
  readonly #closing = new AbortController()
  #renewals = 0
  #prepared: Prepared

  constructor(deps: EndpointDeps) {
    this.#deps = deps
    this.#prepared = prepared(deps.settings)
    deps.egress.join(this)
  }

  /** Sets the settings of attempts that begin from now on, and of those that have no connection yet. */
  configure(settings: EndpointSettings): void {
    this.#prepared = prepared(settings)
    this.renew()
  }

  /** Ends the connections, when their answers have come. */
  renew(): void {
    this.#renewals++
    this.#idle = []
    for (const connection of [...this.#connections]) connection.retire()
  }

  place(wake: () => void): Release | undefined {
    const { places } = this.#deps.egress
    const release = places.tryTake(this)
    if (release === undefined) places.wait(this, wake)
    return release
  }

  async send(attempt: Attempt, left?: AbortSignal, place?: Release): Promise<AttemptResult> {
    const { places, clock } = this.#deps.egress
    const time = new AttemptTime(attempt.timeoutMs, clock, [left, this.#closing.signal])
    try {
      // The signal is made when it is asked for, so it is not where there is a free place.
      const release = place ?? places.tryTake(this) ?? (await places.take(this, time.signal))
      time.run()
      const outcome = await this.#sendIn(release, attempt, time)
      if (outcome.type === 'head') {
        const { status, retryAfter } = outcome.head
        return { kind: 'status', status, retryAfterMs: retryAfterMsOf(retryAfter, this.#deps.now()) }
      }
      time.throwIfOver()
      return { kind: 'cut', message: outcome.message }
    } catch (error) {
      return { kind: error instanceof AttemptFailure ? error.kind : 'cut', message: messageOf(error) }
    } finally {
      time.end()
    }
  }

  close(): void {
    this.#closing.abort()
    this.#deps.egress.leave(this)
    for (const connection of [...this.#connections]) connection.destroy()
  }

  /** @param release called when the connection is free, or there is none */
  async #sendIn(release: () => void, attempt: Attempt, time: AttemptTime): Promise<Outcome> {
    try {
      const used = this.#idle.pop()
      if (used !== undefined) this.#deps.egress.places.notIdle(used)
      // Cut without an answer, it leaves its place to the new one.
      const leave = (): void => (used?.isUnanswered ? undefined : release())
      const first = used && (await this.#ask(used, leave, attempt, time))
      // The endpoint may have closed the idle connection just then. If no byte was answered, the request is sent on a new one.
      if (first !== undefined && !(first.type === 'cut' && first.isUnanswered)) return first
      time.throwIfOver()
      return await this.#ask(await this.#open(time), release, attempt, time)
    } catch (error) {
      release()
      throw error
    }
  }

  #ask(connection: Connection, release: () => void, attempt: Attempt, time: AttemptTime): Promise<Outcome> {
    time.whenOver(() => connection.destroy())
    return connection.send(this.#headOf(attempt), attempt.body, () => {
      if (connection.isFree) {
        this.#idle.push(connection)
        this.#deps.egress.places.idle(connection)
      }
      release()
    })
  }

  async #open(time: AttemptTime): Promise<Connection> {
    const { egress } = this.#deps
    for (;;) {
      const renewals = this.#renewals
      egress.places.makeRoom()
      const socket = await egress.open(this.#prepared.url, this, time)
      // The settings that were checked have changed meanwhile.
      if (renewals !== this.#renewals || time.isOver) {
        socket.destroy()
        time.throwIfOver()
        continue
      }
      const connection = new Connection(socket, () => {
        this.#connections.delete(connection)
        egress.places.notIdle(connection)
        this.#idle = this.#idle.filter(idle => idle !== connection)
      })
      this.#connections.add(connection)
      return connection
    }
  }

  #headOf({ id, body, headers }: Attempt): string {
    const { head, secrets } = this.#prepared
    const timestamp = Math.floor(this.#deps.now() / SECOND_MS)
    let text = `${head}content-length: ${body.length}\r\nwebhook-id: ${id}\r\nwebhook-timestamp: ${timestamp}\r\n`
    text += `webhook-signature: ${signatureOf(secrets, id, timestamp, body)}\r\n`
    for (const [name, value] of headers) {
      const line = `${name}: ${value}`
      if (HEADER_LINE.test(line) && line.indexOf(':') === name.length) text += `${line}\r\n`
    }
    return `${text}\r\n`
  }
}

function prepared({ url: text, secrets, credential }: EndpointSettings): Prepared {
  const url = new URL(text)
  const isSent = credential !== undefined && credentialProblem(text, credential) === undefined
  const authorization = isSent ? `authorization: ${authorizationOf(credential)}\r\n` : ''
  const head = `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nuser-agent: castellan\r\n`
  return { url, secrets: secrets.map(secret => secretIn(secret)!), head: head + authorization }
}
