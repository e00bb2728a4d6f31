import { Agent, request } from 'node:http'

interface Message {
  readonly token: string
  readonly value: string
}
interface Acquired {
  readonly messages: readonly Message[]
  readonly settled?: readonly { readonly outcome: string }[]
}

/** One worker of a queue: one connection, one request at a time. Each acquire accepts what the one before has given. */
export class QueueClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #port: number
  readonly #path: string
  #held: readonly string[] = []

  constructor(port: number, topic: string, group: string) {
    this.#port = port
    this.#path = `/queues/${topic}/${group}/acquire`
  }

  /** Accepts what it holds, and waits for messages. Resolves with their values, none when the wait is over. */
  async next(count: number, waitMs: number): Promise<readonly string[]> {
    const settle = { accept: this.#held }
    const body = JSON.stringify({ count, waitMs, maxBytes: 4_194_304, encoding: 'text', start: 'earliest', settle })
    const { messages, settled } = await this.#post(body)
    const other = settled?.find(({ outcome }) => outcome !== 'done')
    if (other !== undefined) throw new Error(`a message was not accepted: ${other.outcome}`)
    this.#held = messages.map(({ token }) => token)
    return messages.map(({ value }) => value)
  }

  close(): void {
    this.#agent.destroy()
  }

  #post(body: string): Promise<Acquired> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agent, port: this.#port, path: this.#path, method: 'POST' }
      const sent = request({ ...options, headers: { 'content-length': Buffer.byteLength(body) } }, response => {
        const pieces: Buffer[] = []
        response.on('data', piece => pieces.push(piece))
        response.once('end', () => {
          const text = Buffer.concat(pieces).toString()
          if (response.statusCode === 200) resolve(JSON.parse(text))
          else reject(new Error(`an acquire was answered ${response.statusCode} ${text}`))
        })
      })
      sent.once('error', reject).end(body)
    })
  }
}
