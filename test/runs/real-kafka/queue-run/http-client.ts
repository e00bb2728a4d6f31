import { Agent, type IncomingHttpHeaders, request } from 'node:http'

/** Longer than any request takes, also at a gateway that stands still meanwhile. */
const TIMEOUT_MS = 75_000

export interface Answer {
  readonly type: 'answered'
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** `unsent`: nobody listens there. `late`: no answer came in time. */
export type Reply = Answer | { readonly type: 'unsent' | 'lost' | 'late' }

export interface Asked {
  readonly method: string
  readonly url: string
  readonly body?: object | undefined
  readonly accept?: string | undefined
  /** The client resets its connection after this time. */
  readonly vanishesAfterMs?: number | undefined
}

/** A client with an address of its own and one connection to each gateway. */
export class HttpClient {
  readonly #agent: Agent

  /** @param number of the client, below 250 */
  constructor(number: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1, localAddress: `127.0.1.${number + 1}` })
  }

  ask({ method, url, body, accept, vanishesAfterMs }: Asked): Promise<Reply> {
    const text = body === undefined ? '' : JSON.stringify(body)
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      ...(accept !== undefined && { accept })
    }
    return new Promise(resolve => {
      const call = request(url, { method, agent: this.#agent, headers }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => end({ type: 'lost' }))
        response.on('end', () => {
          if (!response.complete) return end({ type: 'lost' })
          const { statusCode = 0, headers } = response
          return end({ type: 'answered', status: statusCode, headers, body: Buffer.concat(chunks).toString() })
        })
      })
      const timers = [
        setTimeout(() => {
          end({ type: 'late' })
          call.destroy()
        }, TIMEOUT_MS)
      ]
      if (vanishesAfterMs !== undefined)
        timers.push(
          setTimeout(() => {
            end({ type: 'lost' })
            call.socket?.resetAndDestroy()
            call.destroy()
          }, vanishesAfterMs)
        )
      const end = (reply: Reply): void => {
        for (const timer of timers) clearTimeout(timer)
        resolve(reply)
      }
      call.on('error', (error: NodeJS.ErrnoException) =>
        end({ type: error.code === 'ECONNREFUSED' ? 'unsent' : 'lost' })
      )
      call.end(text)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
