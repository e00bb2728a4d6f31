import { PeerError, type PeerFailure, toPeerFailure } from '../calls/peers.js'

/** A message between two processes: anything that the structured clone algorithm copies. */
export type Frame =
  | { readonly type: 'tell'; readonly name: string; readonly body: unknown }
  | { readonly type: 'call'; readonly name: string; readonly body: unknown; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly body?: unknown; readonly error?: PeerFailure }

/** A call failed on the other side, was not answered in time, or can no longer be answered. */
export class LinkError extends PeerError {
  override readonly name = 'LinkError'
}

/** The types of messages, by name. A message with an answer is a call. */
export type Messages = Record<string, { readonly body: unknown; readonly answer?: unknown }>
type BodyOf<Message extends { readonly body: unknown }> = Message['body']
type AnswerOf<Message> = Message extends { readonly answer: infer Answer } ? Answer : unknown
type TellsOf<All extends Messages> = {
  [Name in keyof All & string]: All[Name] extends { readonly answer: unknown } ? never : Name
}[keyof All & string]
type CallsOf<All extends Messages> = {
  [Name in keyof All & string]: 'answer' extends keyof All[Name] ? Name : never
}[keyof All & string]
/** The argument for the body. It may be omitted when the body can be `undefined`. */
type Argument<Body> = undefined extends Body ? [body?: Body] : [body: Body]
type Arguments<Body> = undefined extends Body
  ? [body?: Body, timeoutMs?: number | undefined]
  : [body: Body, timeoutMs?: number | undefined]

/** Handlers of all messages except those in `Elsewhere`. If a handler is missing, the program does not compile. */
export type Handlers<All extends Messages, Elsewhere extends keyof All = never> = {
  readonly [Name in Exclude<keyof All, Elsewhere> & string]: Handler<All[Name]>
}
export type Handler<Message extends Messages[string]> = (
  body: BodyOf<Message>
) => AnswerOf<Message> | Promise<AnswerOf<Message>>

interface CallOfLink {
  readonly resolve: (body: unknown) => void
  readonly reject: (error: LinkError) => void
  readonly timer: NodeJS.Timeout | undefined
}

/** Maximum number of calls that wait for an answer. Further calls fail at once. */
export const MAX_OPEN_CALLS = 100_000

/**
 * One end of a connection between two processes. It carries calls, which are answered, and messages without an answer.
 * `Serves` are the messages that this end handles, `Asks` the messages that the other end handles.
 */
export class Link<Serves extends Messages = Messages, Asks extends Messages = Messages> {
  readonly #send: (frame: Frame) => void
  readonly #handlers = new Map<string, Handler<Messages[string]>>()
  readonly #open = new Map<number, CallOfLink>()
  #lastId = 0
  #closedBecause: string | undefined

  /** @param send sends a frame to the other process; may do nothing when that process has ended */
  constructor(send: (frame: Frame) => void) {
    this.#send = send
  }

  serve<Name extends keyof Serves & string>(name: Name, handler: Handler<Serves[Name]>): void {
    this.#handlers.set(name, handler as Handler<Messages[string]>)
  }

  serveAll(handlers: Partial<Handlers<Serves>>): void {
    for (const [name, handler] of Object.entries(handlers)) {
      this.#handlers.set(name, handler as Handler<Messages[string]>)
    }
  }

  /**
   * Waits for a message.
   *
   * @throws LinkError when the other process has ended
   */
  received<Name extends TellsOf<Serves>>(name: Name): Promise<BodyOf<Serves[Name]>> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      this.#open.set(id, { resolve: resolve as CallOfLink['resolve'], reject, timer: undefined })
      this.#handlers.set(name, body => this.#settle(id)?.resolve(body))
    })
  }

  tell<Name extends TellsOf<Asks>>(name: Name, ...[body]: Argument<BodyOf<Asks[Name]>>): void {
    if (this.#closedBecause === undefined) this.#send({ type: 'tell', name, body })
  }

  /**
   * Calls the other end and waits for its answer.
   *
   * @param timeoutMs absent: the call waits until the other process ends
   * @throws LinkError
   */
  call<Name extends CallsOf<Asks>>(
    name: Name,
    ...[body, timeoutMs]: Arguments<BodyOf<Asks[Name]>>
  ): Promise<AnswerOf<Asks[Name]>> {
    const because = this.#closedBecause ?? (this.#open.size >= MAX_OPEN_CALLS ? 'too many calls wait' : undefined)
    if (because !== undefined) return Promise.reject(new LinkError(because))
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      const late = (): void => this.#settle(id)?.reject(new LinkError(`no answer to ${name} within ${timeoutMs} ms`))
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
      this.#open.set(id, { resolve: resolve as CallOfLink['resolve'], reject, timer })
      this.#send({ type: 'call', name, body, id })
    })
  }

  /** Handles a message from the other process. Ignores everything that is not a frame. */
  receive(message: unknown): void {
    const frame = message as Frame
    if (frame?.type === 'answer') this.#answered(frame)
    else if (frame?.type === 'call') void this.#answer(frame)
    else if (frame?.type === 'tell') void this.#handlers.get(frame.name)?.(frame.body)
  }

  /** Called when the other process has ended. All open and later calls fail. */
  close(because: string): void {
    this.#closedBecause ??= because
    for (const id of [...this.#open.keys()]) this.#settle(id)?.reject(new LinkError(because))
  }

  #answered({ id, body, error }: Frame & { type: 'answer' }): void {
    const call = this.#settle(id)
    if (error === undefined) call?.resolve(body)
    else call?.reject(new LinkError(error.message, error))
  }

  #settle(id: number): CallOfLink | undefined {
    const call = this.#open.get(id)
    this.#open.delete(id)
    clearTimeout(call?.timer)
    return call
  }

  async #answer({ id, name, body }: Frame & { type: 'call' }): Promise<void> {
    try {
      const handler = this.#handlers.get(name)
      if (handler === undefined) throw new Error(`${name} is not served`)
      this.#reply({ type: 'answer', id, body: await handler(body) })
    } catch (error) {
      this.#reply({ type: 'answer', id, error: toPeerFailure(error) })
    }
  }

  #reply(frame: Frame): void {
    if (this.#closedBecause === undefined) this.#send(frame)
  }
}
