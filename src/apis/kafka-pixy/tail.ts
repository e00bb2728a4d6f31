import { QuotaExceededError } from '../../core/errors.js'
import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import type { Following, FollowSink } from '../../gateway/gateway.js'
import type { Caller } from '../../http/access/access.js'
import { lineJson, type MessageOptions } from './message-json.js'
import type { Asked } from './pixy-answers.js'
import { idOf } from './tail-position.js'

/** Events are written in pieces of this size. */
const PIECE_CHARACTERS = 64 * 1024
/** How soon a browser connects again. */
const RECONNECT_MS = 1_000
const SECOND_MS = 1_000

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies of the kind of nginx would collect events before they pass them on.
  'x-accel-buffering': 'no'
}

export interface TailOptions {
  readonly caller: Caller
  readonly message: MessageOptions
  readonly heartbeatMs: number
  /** A client that takes nothing for so long is disconnected. */
  readonly stallMs: number
  /** It is over, whatever became of it. */
  readonly onOver: () => void
}

/**
 * A client that follows a topic by server-sent events. Nothing is read for it while it does not take what it was sent, or its
 * quota is used up.
 */
export class Tail implements FollowSink {
  readonly #asked: Asked
  readonly #options: TailOptions
  readonly #heartbeat: NodeJS.Timeout
  #positions: ReadonlyMap<number, Offset> = new Map()
  #following: Following | undefined
  /** Events that have not been written yet, and what they count as. */
  #piece = ''
  #records = 0
  #bytes = 0
  #isWaitingForClient = false
  #pause: NodeJS.Timeout | undefined
  #stall: NodeJS.Timeout | undefined
  /** Something was written since the last heartbeat. */
  #isFresh = false
  #isEnded = false
  #isOver = false

  constructor(asked: Asked, options: TailOptions) {
    const { response } = asked
    this.#asked = asked
    this.#options = options
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs)
    response.on('drain', () => this.#drained())
    response.once('close', () => this.#over())
  }

  /** What to stop once the client is gone, and to resume when it has room. */
  follows(following: Following): void {
    this.#following = following
    if (this.#isOver || this.#isEnded) following.stop()
  }

  begins(positions: ReadonlyMap<number, Offset>): void {
    if (this.#isOver || this.#isEnded) return
    const { response, requestId } = this.#asked
    this.#positions = positions
    response.writeHead(200, { ...HEADERS, 'x-request-id': requestId })
    // An event without data is not dispatched, but its id holds: who is cut off before the first message goes on here.
    this.#write(`retry: ${RECONNECT_MS}\nid: ${idOf(positions)}\n\n`)
  }

  get isFull(): boolean {
    return this.#isWaitingForClient || this.#pause !== undefined
  }

  take(partition: number, record: KafkaRecord): void {
    const message = { ...record, partition }
    this.#piece += `id: ${idOf(this.#positions)}\ndata: ${lineJson(message, this.#options.message)}\n\n`
    this.#records++
    this.#bytes += sizeOfRecord(record)
    if (this.#piece.length >= PIECE_CHARACTERS) this.flush()
  }

  flush(): void {
    if (this.#piece === '') return
    const piece = this.#piece
    this.#piece = ''
    this.#write(piece)
    const refusal = this.#options.caller.charge(this.#records, this.#bytes)
    this.#records = 0
    this.#bytes = 0
    // Credentials that are gone end the tail by itself.
    if (!(refusal instanceof QuotaExceededError) || this.#isOver) return
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => this.#quotaRestored(), refusal.retryAfterSeconds * SECOND_MS)
  }

  warn(text: string): void {
    this.flush()
    this.#write(`event: warning\nid: ${idOf(this.#positions)}\ndata: ${JSON.stringify({ warning: text })}\n\n`)
  }

  ended({ message }: { readonly message: string }): void {
    this.flush()
    this.#write(`event: error\ndata: ${JSON.stringify({ error: message })}\n\n`)
    this.end()
  }

  /** Ends the stream; the client may connect again and go on where it was. What has not begun is still to be answered. */
  end(): void {
    const { response } = this.#asked
    this.flush()
    this.#isEnded = true
    this.#following?.stop()
    if (response.headersSent) response.end()
  }

  #write(text: string): void {
    const { response } = this.#asked
    if (this.#isOver || this.#isEnded || !response.headersSent) return
    this.#isFresh = true
    if (response.write(text) || this.#isWaitingForClient) return
    this.#isWaitingForClient = true
    // An answer that waits behind another one has no socket yet, and would not end anything.
    this.#stall = setTimeout(() => response.req.socket.destroy(), this.#options.stallMs)
  }

  #drained(): void {
    clearTimeout(this.#stall)
    this.#isWaitingForClient = false
    if (!this.isFull) this.#following?.resume()
  }

  #quotaRestored(): void {
    this.#pause = undefined
    if (!this.isFull) this.#following?.resume()
  }

  /** Proxies and clients take a connection that is silent for too long for a dead one. */
  #beat(): void {
    if (!this.#isFresh && !this.#isWaitingForClient) this.#write(':\n\n')
    this.#isFresh = false
  }

  #over(): void {
    this.#isOver = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#stall)
    clearTimeout(this.#pause)
    this.#following?.stop()
    this.#options.onOver()
  }
}
