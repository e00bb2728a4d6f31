import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'
import { ANSWER_TIMEOUT_MS } from './messages.js'

/** What a client sends by POST. */
export interface Asked {
  readonly path: string
  readonly body: string
  readonly type: string
  /** Sent as `Idempotency-Key`. */
  readonly idempotencyKey?: string
}

export interface Answer {
  readonly status: number
  readonly persisted: string
  readonly body: string
  readonly receipt: string | undefined
}

/** One request after another, over one connection that stays open. */
export class Poster {
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(url: string) {
    this.#url = url
  }

  /** @returns `undefined`: there was no answer */
  post({ path, body, type, idempotencyKey }: Asked, onSocket: (socket: Socket) => void): Promise<Answer | undefined> {
    const headers = {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey })
    }
    return new Promise(resolve => {
      const call = request(this.#url + path, { method: 'POST', agent: this.#agent, headers }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => resolve(undefined))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            persisted: String(response.headers['x-castellan-persisted'] ?? ''),
            body: Buffer.concat(chunks).toString(),
            receipt: response.headers['x-castellan-receipt'] as string | undefined
          })
        )
      })
      call.on('socket', onSocket)
      call.setTimeout(ANSWER_TIMEOUT_MS, () => call.destroy(new Error('no answer')))
      call.on('error', () => resolve(undefined))
      call.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
