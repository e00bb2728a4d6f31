import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { performanceClock } from '../../../src/core/clocks.js'
import { silentLogger } from '../../../src/core/model.js'
import type { Attempt, AttemptResult } from '../../../src/webhooks/endpoint/attempt.js'
import { Egress, type EgressDeps, type EgressSettings } from '../../../src/webhooks/endpoint/egress.js'
import { Endpoint, type EndpointSettings } from '../../../src/webhooks/endpoint/endpoint.js'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'

/** A request as it came. */
export interface Received {
  readonly head: string
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  readonly socket: Socket
}

export const ANSWER_204 = 'HTTP/1.1 204 No Content\r\n\r\n'
const HEAD_END = '\r\n\r\n'

/** An endpoint that says what it is told to. */
export class Receiver {
  readonly received: Received[] = []
  readonly sockets: Socket[] = []
  readonly #server: Server
  #waiting: (() => void)[] = []
  /** Answers a request. */
  answer: (received: Received) => void = ({ socket }) => void socket.write(ANSWER_204)

  private constructor(tls: TlsOptions | undefined) {
    const onSocket = (socket: Socket): void => this.#take(socket)
    this.#server = tls ? createTlsServer(tls, onSocket) : createServer(onSocket)
    this.#server.on('tlsClientError', () => undefined)
  }

  /** @param host an address of loopback */
  static async start(host = '127.0.0.1', port = 0, tls?: TlsOptions): Promise<Receiver> {
    const receiver = new Receiver(tls)
    receiver.#server.listen(port, host)
    await once(receiver.#server, 'listening')
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Resolves when so many requests have come. */
  async requests(count: number): Promise<readonly Received[]> {
    while (this.received.length < count) await new Promise<void>(resolve => this.#waiting.push(resolve))
    return this.received
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #take(socket: Socket): void {
    this.sockets.push(socket)
    socket.on('error', () => undefined)
    let bytes = Buffer.alloc(0)
    socket.on('data', (more: Buffer) => {
      bytes = Buffer.concat([bytes, more])
      for (let end = bytes.indexOf(HEAD_END); end >= 0; end = bytes.indexOf(HEAD_END)) {
        const head = bytes.toString('latin1', 0, end)
        const lines = head.split('\r\n').slice(1)
        const headers = new Map(
          lines.map(line => [line.split(': ')[0]!.toLowerCase(), line.slice(line.indexOf(': ') + 2)] as const)
        )
        const bodyEnd = end + HEAD_END.length + Number(headers.get('content-length') ?? 0)
        if (bytes.length < bodyEnd) return
        const received = { head, headers, body: bytes.subarray(end + HEAD_END.length, bodyEnd), socket }
        bytes = bytes.subarray(bodyEnd)
        this.received.push(received)
        this.answer(received)
        for (const wake of this.#waiting.splice(0)) wake()
      }
    })
  }
}

/** Endpoints, and what they share. */
export class EndpointStage {
  readonly #opened: { close(): unknown }[] = []
  /** Places that the gateway has taken. */
  places: readonly { readonly host: string; readonly port: number }[] = []
  egress!: Egress
  now = 1_700_000_000_000

  /** By default the networks of loopback. */
  share(settings: Partial<EgressSettings> = {}, deps: Partial<EgressDeps> = {}): Egress {
    this.egress = new Egress({
      settings: { networks: ['127.0.0.0/8', '::1/128'], ...settings },
      clock: performanceClock,
      log: silentLogger,
      places: () => this.places,
      isLoopbackNamed: false,
      ...deps
    })
    return this.egress
  }

  async receiver(...options: Parameters<typeof Receiver.start>): Promise<Receiver> {
    const receiver = await Receiver.start(...options)
    this.#opened.push(receiver)
    return receiver
  }

  endpoint(url: string, settings: Partial<EndpointSettings> = {}): Endpoint {
    const endpoint = new Endpoint({
      settings: { url, secrets: [newSecret()], ...settings },
      egress: this.egress ?? this.share(),
      now: () => this.now
    })
    this.#opened.push(endpoint)
    return endpoint
  }

  async close(): Promise<void> {
    for (const opened of this.#opened.splice(0).reverse()) await opened.close()
  }
}

export const attempt = (more: Partial<Attempt> = {}): Attempt => ({
  id: 'AAAA-0-1',
  body: Buffer.from('{"a":1}'),
  headers: [['content-type', 'application/json']],
  timeoutMs: 10_000,
  ...more
})

/** The status, or the cause. */
export const answerOf = (result: AttemptResult): number | string =>
  result.kind === 'status' ? result.status : result.kind
