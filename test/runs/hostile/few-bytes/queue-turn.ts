import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** Of one client: `queues.maxHeldPerClient`, and about as many as may wait of it. */
const HELD = 1_000
const WAITING = 988
/** Of another client, which leaves without them. */
const LEFT = 499
const AT_ONCE = 500
/** Of a message, so that an answer with all of them is more than a connection takes that nobody reads. */
const MESSAGE_BYTES = 8_000
const REST_MS = 1_000

const QUEUE = '/queues/left/few'
const [HOLDER, LEAVER, NEXT] = ['127.0.0.2', '127.0.0.3', '127.0.0.4'] as const

export const QUEUE_TURN = `a client with ${WAITING} acquires that wait and no room, and ${LEFT} messages that another one leaves`

/** A queue in which one client has no capacity for the messages that another one has left. */
class LeftMessages {
  readonly #url: URL
  readonly #open = new Set<Socket>()

  constructor(url: string) {
    this.#url = new URL(url)
  }

  async write(count: number): Promise<void> {
    const records = Array.from({ length: count }, () => ({ value: Buffer.alloc(MESSAGE_BYTES).toString('base64') }))
    for (let from = 0; from < count; from += 50) {
      const headers = { 'content-type': 'application/vnd.kafka.binary.v2+json' }
      const body = JSON.stringify({ records: records.slice(from, from + 50) })
      const answer = await fetch(`${this.#url.origin}/confluent/topics/left`, { method: 'POST', headers, body })
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
    }
  }

  /** Sends an acquire from an address of its own. Its answer is not read. */
  ask(localAddress: string, waitMs: number, connection: 'close' | 'keep-alive' = 'keep-alive'): Socket {
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port), localAddress })
    this.#open.add(socket)
    socket.on('error', () => undefined).on('close', () => this.#open.delete(socket))
    const body = JSON.stringify({ count: AT_ONCE, maxBytes: 4_194_304, start: 'earliest', waitMs })
    const head = `POST ${QUEUE}/acquire HTTP/1.1\r\nhost: ${this.#url.host}\r\nconnection: ${connection}\r\ncontent-length: ${body.length}`
    socket.write(`${head}\r\n\r\n${body}`)
    return socket
  }

  /** How many messages a client gets from its address. */
  async acquire(localAddress: string, waitMs = 5_000): Promise<number> {
    const answer = await text(this.ask(localAddress, waitMs, 'close'))
    return answer.split('"token"').length - 1
  }

  end(): void {
    for (const socket of this.#open) socket.destroy()
  }
}

/** @returns the longest turn while the messages are looked at, in milliseconds of processor time. @throws when none were left */
export async function queueTurnMs(url: string, longestTurnMs: () => Promise<number>): Promise<number> {
  const queue = new LeftMessages(url)
  try {
    await queue.write(HELD + LEFT)
    let held = 0
    while (held < HELD) held += await queue.acquire(HOLDER)
    for (let at = 0; at < WAITING; at++) queue.ask(HOLDER, 60_000)
    await sleep(REST_MS)
    const leaver = queue.ask(LEAVER, 5_000)
    await once(leaver, 'readable')
    await sleep(REST_MS)
    await longestTurnMs()
    leaver.destroy()
    await sleep(REST_MS)
    const turnMs = await longestTurnMs()
    const left = await queue.acquire(NEXT)
    if (left === 0) throw new Error('no message was left')
    return turnMs
  } finally {
    queue.end()
  }
}
