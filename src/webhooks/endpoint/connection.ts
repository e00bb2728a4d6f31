import type { Socket } from 'node:net'
import type { AnswerHead } from './answer-reader.js'
import { AnswerReader } from './answer-reader.js'
import { codeText } from './attempt-failure.js'

/** A connection ends after this time, when its answer has come: names and networks are looked at again. */
const MAX_AGE_MS = 5 * 60_000
/** Shorter than the time after which common balancers drop a silent connection without a word. */
const MAX_IDLE_MS = 60_000
/** Limit of the wait for the body behind the head of an answer. */
const BODY_MS = 2_000

/** A longer body is written beside its head: in one piece it would be copied. */
const SHORT_BODY_BYTES = 8 * 1024

/** Result of a request. */
export type Outcome =
  | { readonly type: 'head'; readonly head: AnswerHead }
  /** @param isUnanswered not one byte of an answer has come */
  | { readonly type: 'cut'; readonly message: string; readonly isUnanswered: boolean }

/** An open connection to an endpoint, for one request after another. */
export class Connection {
  readonly #socket: Socket
  readonly #whenClosed: () => void
  readonly #expiry: NodeJS.Timeout
  #isExpired = false
  #isClosed = false
  #uses = 0
  /** The answer to the request that was written; absent: none was. */
  #answer: AnswerReader | undefined
  #isUnanswered = true
  #settle: ((outcome: Outcome) => void) | undefined
  /** Absent: the connection is idle. */
  #whenFree: (() => void) | undefined
  #bodyTimer: NodeJS.Timeout | undefined

  constructor(socket: Socket, whenClosed: () => void) {
    this.#socket = socket
    this.#whenClosed = whenClosed
    this.#expiry = setTimeout(() => this.retire(), MAX_AGE_MS).unref()
    socket.setTimeout(MAX_IDLE_MS, () => this.#whenFree ?? this.#close('idle'))
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    socket.on('error', error => this.#close(codeText(error)))
    socket.on('close', () => this.#close('the endpoint closed the connection'))
    // The endpoint sends nothing more.
    socket.on('end', () => this.#close('the endpoint closed the connection'))
  }

  /** Whether it has had a request before. */
  get isUsed(): boolean {
    return this.#uses > 0
  }

  /** Whether another request may be sent. */
  get isFree(): boolean {
    return !this.#isClosed && this.#whenFree === undefined
  }

  /** Whether not one byte of the answer to the last request has come. */
  get isUnanswered(): boolean {
    return this.#isUnanswered
  }

  /**
   * Sends a request. Settled by the head of the answer.
   *
   * @param whenFree called when the answer has come whole, or the connection has ended
   */
  send(head: string, body: Buffer, whenFree: () => void): Promise<Outcome> {
    return new Promise(resolve => {
      this.#settle = resolve
      this.#whenFree = whenFree
      this.#isUnanswered = true
      this.#uses++
      if (this.#isClosed) return this.#close('the connection has ended')
      // Written after all answers of this tick are read: written one by one, requests cost twice as much.
      setImmediate(() => this.#isClosed || this.#write(head, body))
    })
  }

  /** Ends it at once, or when its answer has come. */
  retire(): void {
    this.#isExpired = true
    if (this.#whenFree === undefined) this.#close('retired')
  }

  destroy(): void {
    this.#close('the attempt has ended')
  }

  #write(head: string, body: Buffer): void {
    this.#answer = new AnswerReader()
    // One string costs a quarter less than two pieces.
    if (body.length <= SHORT_BODY_BYTES) {
      this.#socket.write(head + body.toString('latin1'), 'latin1')
      return
    }
    this.#socket.cork()
    this.#socket.write(head, 'latin1')
    this.#socket.write(body)
    this.#socket.uncork()
  }

  #take(bytes: Buffer): void {
    const answer = this.#answer
    // Without a request there is no answer.
    if (answer === undefined) {
      this.#close('bytes without a request')
      return
    }
    this.#isUnanswered = false
    const state = answer.take(bytes)
    if (answer.head !== undefined && this.#settle !== undefined) {
      this.#outcome({ type: 'head', head: answer.head })
      if (state === 'more') this.#bodyTimer = setTimeout(() => this.#close('body'), BODY_MS)
    }
    if (state === 'more') return
    // An endpoint that has answered before it has read the whole request may never read the rest.
    const isReusable = state === 'complete' && !this.#isExpired && this.#socket.writableLength === 0
    if (isReusable) this.#free()
    else this.#close(answer.problem ?? 'the answer has ended')
  }

  #outcome(outcome: Outcome): void {
    this.#settle?.(outcome)
    this.#settle = undefined
  }

  #free(): void {
    clearTimeout(this.#bodyTimer)
    this.#answer = undefined
    const whenFree = this.#whenFree
    this.#whenFree = undefined
    whenFree?.()
  }

  #close(message: string): void {
    if (!this.#isClosed) {
      this.#isClosed = true
      clearTimeout(this.#expiry)
      this.#socket.destroy()
      this.#whenClosed()
    }
    this.#outcome({ type: 'cut', message, isUnanswered: this.#isUnanswered })
    this.#free()
  }
}
