/** A message between two processes: anything that the structured clone algorithm copies. */
export type Frame =
  | { readonly type: 'tell'; readonly name: string; readonly body: unknown }
  | { readonly type: 'call'; readonly name: string; readonly body: unknown; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly body?: unknown; readonly error?: LinkFailure }

/** What is known of an error on the other side. */
export interface LinkFailure {
  readonly name: string
  readonly message: string
  /** Of a CastellanError. */
  readonly code?: string | undefined
}

/** A call that failed on the other side, was not answered in time, or whose answer cannot come any more. */
export class LinkError extends Error {
  override readonly name = 'LinkError'
  /** What failed on the other side; absent: there was no answer. */
  override readonly cause: LinkFailure | undefined

  constructor(message: string, cause?: LinkFailure) {
    super(message)
    this.cause = cause
  }
}

export type Handler = (body: unknown) => unknown

interface OpenCall {
  readonly resolve: (body: unknown) => void
  readonly reject: (error: LinkError) => void
  readonly timer: NodeJS.Timeout | undefined
}

/** Most calls without an answer; further ones fail at once. */
const MAX_OPEN_CALLS = 100_000

/** One end of a connection between two processes: calls that are answered, and messages that are not. */
export class Link {
  readonly #send: (frame: Frame) => void
  readonly #handlers = new Map<string, Handler>()
  readonly #open = new Map<number, OpenCall>()
  #lastId = 0
  #closedBecause: string | undefined

  /** @param send to the other end; may do nothing when that is gone */
  constructor(send: (frame: Frame) => void) {
    this.#send = send
  }

  /** Answers calls of this name, and receives messages of it. */
  serve(name: string, handler: Handler): void {
    this.#handlers.set(name, handler)
  }

  /**
   * Waits for a message.
   *
   * @throws LinkError when the other end is gone
   */
  told(name: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      this.#open.set(id, { resolve, reject, timer: undefined })
      this.serve(name, body => this.#settle(id)?.resolve(body))
    })
  }

  tell(name: string, body?: unknown): void {
    if (this.#closedBecause === undefined) this.#send({ type: 'tell', name, body })
  }

  /**
   * Asks the other end.
   *
   * @param timeoutMs absent: waits until the other end is gone
   * @throws LinkError
   */
  call(name: string, body?: unknown, timeoutMs?: number): Promise<unknown> {
    const because = this.#closedBecause ?? (this.#open.size >= MAX_OPEN_CALLS ? 'too many calls wait' : undefined)
    if (because !== undefined) return Promise.reject(new LinkError(because))
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      const late = (): void => this.#settle(id)?.reject(new LinkError(`no answer to ${name} within ${timeoutMs} ms`))
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
      this.#open.set(id, { resolve, reject, timer })
      this.#send({ type: 'call', name, body, id })
    })
  }

  /** To be called with everything that comes from the other end; what is no frame is ignored. */
  receive(message: unknown): void {
    const frame = message as Frame
    if (frame?.type === 'answer') this.#answered(frame)
    else if (frame?.type === 'call') void this.#answer(frame)
    else if (frame?.type === 'tell') void this.#handlers.get(frame.name)?.(frame.body)
  }

  /** The other end is gone: open calls fail, and so do later ones. */
  close(because: string): void {
    this.#closedBecause ??= because
    for (const id of [...this.#open.keys()]) this.#settle(id)?.reject(new LinkError(because))
  }

  #answered({ id, body, error }: Frame & { type: 'answer' }): void {
    const call = this.#settle(id)
    if (error === undefined) call?.resolve(body)
    else call?.reject(new LinkError(error.message, error))
  }

  #settle(id: number): OpenCall | undefined {
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
      const { name: kind, message, code } = error as Error & { code?: string }
      this.#reply({ type: 'answer', id, error: { name: kind, message, code } })
    }
  }

  #reply(frame: Frame): void {
    if (this.#closedBecause === undefined) this.#send(frame)
  }
}
