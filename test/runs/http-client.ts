import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** Why there is no answer. `unsent`: no process listens there. `late`: none came in time. `lost`: the connection ended before it. */
export type NoAnswer = 'unsent' | 'late' | 'lost'

interface HttpRequest {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | undefined
  /** Told of the connection before the request is sent. */
  readonly onSocket?: (socket: Socket) => void
  /** The client resets its connection after this time. */
  readonly vanishesAfterMs?: number | undefined
}

interface HttpClientOptions {
  /** To each address. Default: 1. */
  readonly maxSockets?: number
  /** For an answer, however slowly it comes. */
  readonly timeoutMs?: number
  /** The client's own address. */
  readonly localAddress?: string
}

/** Sends requests over connections that stay open, and lives with those that get no answer. */
export class HttpClient {
  readonly #url: string
  readonly #agent: Agent
  readonly #timeoutMs: number

  /** @param url what the paths of requests follow; empty: they are whole URLs */
  constructor(url: string, { maxSockets = 1, timeoutMs = 60_000, localAddress }: HttpClientOptions = {}) {
    this.#url = url
    this.#agent = new Agent({ keepAlive: true, maxSockets, ...(localAddress !== undefined && { localAddress }) })
    this.#timeoutMs = timeoutMs
  }

  /** @returns `undefined`: there was no answer */
  async ask(method: string, path: string, asked: HttpRequest = {}): Promise<HttpAnswer | undefined> {
    const answer = await this.try(method, path, asked)
    return typeof answer === 'string' ? undefined : answer
  }

  /** The same, and says why there was no answer. */
  try(method: string, path: string, asked: HttpRequest = {}): Promise<HttpAnswer | NoAnswer> {
    const { headers, body, onSocket, vanishesAfterMs } = asked
    const length = body !== undefined && { 'content-length': Buffer.byteLength(body) }
    const options = { method, agent: this.#agent, headers: { ...length, ...headers } }
    return new Promise(resolve => {
      const end = (answer: HttpAnswer | NoAnswer): void => {
        for (const timer of timers) clearTimeout(timer)
        resolve(answer)
      }
      const call = request(this.#url + path, options, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => end('lost'))
        response.on('end', () => {
          const { statusCode = 0, headers, complete } = response
          end(complete ? { status: statusCode, headers, body: Buffer.concat(chunks).toString() } : 'lost')
        })
      })
      const endAfter = (ms: number, why: NoAnswer, close: () => unknown): NodeJS.Timeout =>
        setTimeout(() => {
          end(why)
          close()
          call.destroy()
        }, ms)
      const timers = [endAfter(this.#timeoutMs, 'late', () => undefined)]
      if (vanishesAfterMs !== undefined)
        timers.push(endAfter(vanishesAfterMs, 'lost', () => call.socket?.resetAndDestroy()))
      if (onSocket !== undefined) call.on('socket', onSocket)
      call.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? 'unsent' : 'lost'))
      call.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
