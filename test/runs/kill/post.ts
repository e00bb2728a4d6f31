import type { Socket } from 'node:net'
import { HttpClient } from '../http-client.js'
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
  readonly #client: HttpClient

  constructor(url: string) {
    this.#client = new HttpClient(url, { timeoutMs: ANSWER_TIMEOUT_MS })
  }

  /** @returns `undefined`: there was no answer */
  async post(
    { path, body, type, idempotencyKey }: Asked,
    onSocket: (socket: Socket) => void
  ): Promise<Answer | undefined> {
    const key = idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }
    const answer = await this.#client.ask('POST', path, { body, headers: { 'content-type': type, ...key }, onSocket })
    if (answer === undefined) return undefined
    const { status, headers } = answer
    return {
      status,
      persisted: String(headers['x-castellan-persisted'] ?? ''),
      body: answer.body,
      receipt: headers['x-castellan-receipt'] as string | undefined
    }
  }

  close(): void {
    this.#client.close()
  }
}
