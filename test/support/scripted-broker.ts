import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import type { BrokerAddress } from '../../src/core/model.js'

/** One request as it came in, its body undecoded. */
export interface ScriptedRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string
  readonly body: Buffer
}

/** What a script may do with a request; several calls are several actions. */
export interface ScriptedReply {
  /** Answers properly framed, under the request's correlation id. */
  payload(payload: Buffer): void
  /** Sends bytes as they are. */
  raw(bytes: Buffer): void
  close(): void
}
export type Script = (request: ScriptedRequest, reply: ScriptedReply) => void

/** Frames a response. */
export function frame(correlationId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeInt32BE(payload.length + 4)
  head.writeInt32BE(correlationId, 4)
  return Buffer.concat([head, payload])
}

const METADATA = 3
// The samples are in the classic encoding.
const LAST_METADATA_WITHOUT_TOPIC_IDS = 9

/** ApiVersions v0 or v1: every api key below 70 from version 0 to `maxVersion`, Metadata at most to one without topic ids. */
export function apiVersionsPayload(version: number, maxVersion = 12): Buffer {
  const payload = Buffer.alloc(6 + 70 * 6 + (version === 0 ? 0 : 4))
  payload.writeInt32BE(70, 2)
  for (let key = 0; key < 70; key++) {
    payload.writeInt16BE(key, 6 + key * 6)
    payload.writeInt16BE(
      key === METADATA ? Math.min(maxVersion, LAST_METADATA_WITHOUT_TOPIC_IDS) : maxVersion,
      10 + key * 6
    )
  }
  return payload
}

/** A TCP server that reads Kafka requests and answers what the test says. ApiVersions is answered by itself. */
export class ScriptedBroker {
  readonly requests: ScriptedRequest[] = []
  /** What to do with requests other than ApiVersions; may be replaced at any time. Default: nothing. */
  script: Script
  answersApiVersions = true
  /** Sockets accepted so far. */
  connectionCount = 0
  /** How clients ended their connections: `end`, or the code of an error such as ECONNRESET. */
  readonly endings: string[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(script: Script, tls: TlsOptions | undefined) {
    this.script = script
    const accept = (socket: Socket) => this.#accept(socket)
    this.#server = tls === undefined ? createServer(accept) : createTlsServer(tls, accept)
  }

  static async start(script: Script = () => {}, tls?: TlsOptions): Promise<ScriptedBroker> {
    const broker = new ScriptedBroker(script, tls)
    await new Promise<void>(resolve => broker.#server.listen(0, '127.0.0.1', resolve))
    return broker
  }

  get address(): BrokerAddress {
    return { host: '127.0.0.1', port: (this.#server.address() as { port: number }).port }
  }

  get openSockets(): number {
    return this.#sockets.size
  }

  /** Resolves when the client has closed all its sockets. */
  async whenAllClosed(): Promise<void> {
    await Promise.all([...this.#sockets].map(socket => new Promise(resolve => socket.once('close', resolve))))
  }

  /** Resets all connections. Clients of this process have not noticed when it returns, but the operating system has. */
  resetAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #accept(socket: Socket): void {
    this.connectionCount++
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', (error: NodeJS.ErrnoException) => this.endings.push(error.code ?? error.message))
    socket.on('end', () => this.endings.push('end'))
    socket.on('close', () => this.#sockets.delete(socket))
    let received = Buffer.alloc(0)
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 4 && received.length >= 4 + received.readInt32BE()) {
        const end = 4 + received.readInt32BE()
        this.#serve(socket, received.subarray(4, end))
        received = received.subarray(end)
      }
    })
  }

  #serve(socket: Socket, bytes: Buffer): void {
    const clientIdLength = bytes.readInt16BE(8)
    const request = {
      apiKey: bytes.readInt16BE(0),
      apiVersion: bytes.readInt16BE(2),
      correlationId: bytes.readInt32BE(4),
      clientId: bytes.toString('utf8', 10, 10 + clientIdLength),
      body: Buffer.from(bytes.subarray(10 + clientIdLength))
    }
    this.requests.push(request)
    const reply: ScriptedReply = {
      payload: payload => socket.write(frame(request.correlationId, payload)),
      raw: raw => socket.write(raw),
      close: () => socket.destroySoon()
    }
    if (request.apiKey === 18 && this.answersApiVersions) reply.payload(apiVersionsPayload(request.apiVersion))
    else this.script(request, reply)
  }
}
