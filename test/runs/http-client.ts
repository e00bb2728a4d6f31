import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

interface HttpRequest {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | undefined
  /** Told of the connection before the request is sent. */
  readonly onSocket?: (socket: Socket) => void
}

/** Sends requests over connections that stay open, and lives with those that get no answer. */
export class HttpClient {
  readonly #url: string
  readonly #agent: Agent
  readonly #timeoutMs: number

  constructor(url: string, { maxSockets = 1, timeoutMs = 60_000 } = {}) {
    this.#url = url
    this.#agent = new Agent({ keepAlive: true, maxSockets })
    this.#timeoutMs = timeoutMs
  }

  /** @returns `undefined`: there was no answer */
  ask(method: string, path: string, { headers, body, onSocket }: HttpRequest = {}): Promise<HttpAnswer | undefined> {
    const length = body !== undefined && { 'content-length': Buffer.byteLength(body) }
    const options = { method, agent: this.#agent, headers: { ...length, ...headers } }
    return new Promise(resolve => {
      const call = request(this.#url + path, options, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => resolve(undefined))
        response.on('end', () => {
          const { statusCode = 0, headers } = response
          resolve({ status: statusCode, headers, body: Buffer.concat(chunks).toString() })
        })
      })
      if (onSocket !== undefined) call.on('socket', onSocket)
      call.setTimeout(this.#timeoutMs, () => call.destroy())
      call.on('error', () => resolve(undefined))
      call.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
