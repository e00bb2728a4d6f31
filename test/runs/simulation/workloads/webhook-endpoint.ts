import { createHmac } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { SeededRandom } from '../../../support/random.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import type { Trace } from '../world/trace.js'
import { Client } from './client.js'
import { noteFirst, placeOf, type WebhookFacts } from './webhook-facts.js'

export interface WebhookEndpointOptions {
  readonly name: string
  readonly port: number
  /** `whsec_…` */
  readonly secret: string
  /** Time limit of an attempt. */
  readonly timeoutMs: number
  /** Refuses some records as their fault, and others for good: they become dead letters. */
  readonly refuses: boolean
}

export interface WebhookEndpointDeps {
  readonly host: Host
  readonly facts: WebhookFacts
  readonly random: SeededRandom
  readonly trace: Trace
  now(): number
  onHost(action: () => void): void
}

/** A request as it has come. */
export interface ReceivedRequest {
  readonly path: string
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  /** A character for each byte. */
  readonly body: string
}

interface Asked extends ReceivedRequest {
  readonly socket: Socket
  readonly place: string
  readonly partition: number
  readonly offset: number
}

/** Answers a request, now or later, or not. */
type Manner = (asked: Asked) => void

const HEAD_END = '\r\n\r\n'
const MANNER_MS = [300, 5_000] as const
const WELL_PERCENT = 45
/** Of so many records one is refused each time, and one some times. */
const REFUSED_EVERY = 23
const FAILED_EVERY = 19
const MOST_FAILURES = 3
/** Receivers refuse requests that were signed longer ago. */
const SIGNED_WITHIN_S = 300
const LARGE_BODY_BYTES = 20_000

const REASONS: Readonly<Record<number, string>> = { 200: 'OK', 204: 'No Content', 307: 'Temporary Redirect' }

/** The endpoint of one webhook: it answers well, late, in part, wrongly or not at all, is gone, and comes back. */
export class WebhookEndpoint extends Client<WebhookEndpointOptions, WebhookEndpointDeps> implements Workload {
  readonly counts: Record<string, number> = { requests: 0, delivered: 0 }
  readonly isFinished = true
  readonly #requests: ReceivedRequest[] = []
  readonly #sockets = new Set<Socket>()
  readonly #failures = new Map<string, number>()
  #server: Server | undefined
  #manner: Manner = asked => this.#answerWell(asked, this.deps.random.between(1, 30))
  /** Records with these keys are refused, whatever else. */
  readonly held = new Set<string>()

  get requests(): readonly ReceivedRequest[] {
    return this.#requests
  }

  start(): void {
    this.#listen()
    this.#change()
  }

  /** From now on it is well. */
  override stop(): void {
    super.stop()
    this.deps.onHost(() => {
      this.#manner = asked => this.#answerWell(asked, this.deps.random.between(1, 30))
      this.#listen()
    })
  }

  tryOnceMore(succeeded: () => void): void {
    succeeded()
  }

  #listen(): void {
    if (this.#server !== undefined) return
    this.#server = createServer(socket => this.#serve(socket)).listen(this.options.port, '127.0.0.1')
  }

  #down(): void {
    this.#server?.close()
    this.#server = undefined
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #change(): void {
    if (this.isStopped) return
    const { random, trace } = this.deps
    const all = this.#manners()
    const name = percent(random, WELL_PERCENT) ? 'well' : random.pick(Object.keys(all))
    trace.say(this.name, `is ${name}`)
    this.counts[name] = (this.counts[name] ?? 0) + 1
    if (name === 'down') this.#down()
    else this.#listen()
    this.#manner = all[name]!
    setTimeout(() => this.#change(), random.between(...MANNER_MS))
  }

  #manners(): Readonly<Record<string, Manner>> {
    const { random } = this.deps
    const { timeoutMs } = this.options
    const seconds = random.between(1, 8)
    const asksFor = `retry-after: ${percent(random, 50) ? seconds : new Date(Date.now() + seconds * 1_000).toUTCString()}\r\n`
    const [ofAll, ofEndpoint] = [random.pick([429, 503]), random.pick([500, 502, 504, 401, 403, 405, 408])]
    const wrong = random.pick([307, 302, 404, 409, 301])
    const bytes = random.between(0, 20)
    return {
      well: asked => this.#answerWell(asked, random.between(1, 30)),
      slow: asked => this.#answerWell(asked, random.between(200, timeoutMs)),
      late: asked => this.#answerWell(asked, timeoutMs + random.between(1, 3_000)),
      fails: asked => this.#answer(asked, ofEndpoint),
      limits: asked => this.#answer(asked, ofAll, asksFor),
      postpones: asked => this.#answer(asked, 500, asksFor),
      stalls: () => undefined,
      cuts: ({ socket }) => socket.resetAndDestroy(),
      halves: ({ socket }) => {
        socket.write('HTTP/1.1 204 No Content\r\n\r\n'.slice(0, bytes))
        if (percent(random, 50)) socket.end()
      },
      wrong: asked => this.#answer(asked, wrong, 'location: /elsewhere\r\n'),
      babbles: ({ socket }) => socket.write('HTTP/1.1 102 Processing\r\n\r\n'),
      early: asked => {
        asked.socket.write('HTTP/1.1 103 Early Hints\r\n\r\n')
        this.#answerWell(asked, random.between(1, 30))
      },
      large: asked => this.#answer(asked, 200, `content-length: ${LARGE_BODY_BYTES}\r\n`, 'x'.repeat(LARGE_BODY_BYTES)),
      endless: asked => this.#answer(asked, 200, 'transfer-encoding: chunked\r\n', '5\r\nhello\r\n'),
      closing: asked => {
        this.#answer(asked, 200, 'connection: close\r\n', 'ok')
        asked.socket.end()
      },
      refuses: asked => this.#answer(asked, this.options.refuses ? 400 : 500),
      gone: asked => this.#answer(asked, 410),
      down: ({ socket }) => socket.resetAndDestroy()
    }
  }

  #answerWell(asked: Asked, ms: number): void {
    setTimeout(() => this.#answer(asked, this.#statusOf(asked)), ms)
  }

  /** Some records are refused, whatever the endpoint is like. */
  #statusOf({ partition, offset, place, headers }: Asked): number {
    const number = partition * 31 + offset
    if (this.held.has(headers.get('x-castellan-key') ?? '')) return 404
    if (this.options.refuses && number % REFUSED_EVERY === 0) return 422
    if (this.options.refuses && number % REFUSED_EVERY === 1 && !this.isStopped) return 404
    const failures = this.#failures.get(place) ?? 0
    if (number % FAILED_EVERY !== 0 || failures >= MOST_FAILURES || this.isStopped)
      return percent(this.deps.random, 50) ? 204 : 200
    this.#failures.set(place, failures + 1)
    return 500
  }

  #answer({ socket, place }: Asked, status: number, head = '', body = ''): void {
    if (socket.destroyed || !socket.writable) return
    const isBare = status === 204 || /content-length|transfer-encoding/.test(head)
    const about = isBare ? head : `${head}content-length: ${body.length}\r\n`
    if (status < 300) {
      this.counts.delivered!++
      noteFirst(this.deps.facts.delivered, place, this.deps.now())
    }
    socket.write(`HTTP/1.1 ${status} ${REASONS[status] ?? 'Other'}\r\n${about}\r\n${body}`, 'latin1')
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.setEncoding('latin1')
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('end', () => socket.end())
    let received = ''
    socket.on('data', (text: string) => {
      received += text
      for (;;) {
        const headEnd = received.indexOf(HEAD_END)
        if (headEnd < 0) return
        const [line = '', ...lines] = received.slice(0, headEnd).split('\r\n')
        const headers = new Map(lines.map(one => splitAt(one, ':')))
        const end = headEnd + HEAD_END.length + Number(headers.get('content-length'))
        if (received.length < end) return
        const body = received.slice(headEnd + HEAD_END.length, end)
        received = received.slice(end)
        this.#received({ path: line, headers, body }, socket)
      }
    })
  }

  #received(request: ReceivedRequest, socket: Socket): void {
    const { headers } = request
    this.counts.requests!++
    this.#checkSigned(request)
    if (headers.has('x-castellan-test')) return void socket.write('HTTP/1.1 204 No Content\r\n\r\n')
    this.#requests.push(request)
    const [partition, offset] = [
      Number(headers.get('x-castellan-partition')),
      Number(headers.get('x-castellan-offset'))
    ]
    this.#manner({ ...request, socket, partition, offset, place: placeOf(partition, offset) })
  }

  #checkSigned({ headers, body }: ReceivedRequest): void {
    const [id, timestamp, signature] = ['id', 'timestamp', 'signature'].map(name => headers.get(`webhook-${name}`))
    const key = Buffer.from(this.options.secret.slice('whsec_'.length), 'base64')
    const signed = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body, 'latin1').digest('base64')
    if (signature !== `v1,${signed}`) this.violated('not signed', `${id}`)
    if (Math.abs(Date.now() / 1_000 - Number(timestamp)) > SIGNED_WITHIN_S)
      this.violated('signed too long ago', `${id}`)
  }
}

const splitAt = (line: string, sign: string): readonly [string, string] => {
  const at = line.indexOf(sign)
  return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
}
