import { type Handlers, LinkError } from './link.js'
import type { ParentLink, ParentServes, PeerMessage, WorkerLink, WorkerServes } from './messages.js'

/** Error code of a call to a worker that has ended or does not serve yet. */
const AWAY = 'peerAway'

/** The parent waits longer than the calling worker, by this time. */
const PASSING_MARGIN_MS = 1_000

/** Connects a worker with the other workers. All messages go through the parent. */
export class Peers {
  /** Number of this worker, from 1. */
  readonly number: number
  readonly count: number
  /** The link to the parent. */
  readonly parent: Pick<WorkerLink, 'call' | 'tell'>
  readonly #handlers = new Map<string, (body: unknown, from: number) => unknown>()
  readonly #whenGone: ((number: number) => void)[] = []

  constructor(link: WorkerLink, number: number, count: number) {
    this.parent = link
    this.number = number
    this.count = count
    link.serveAll(this.#received)
  }

  get #received(): Pick<Handlers<WorkerServes>, 'peer' | 'others' | 'gone'> {
    return {
      peer: ({ from, name, body }) => this.#handlers.get(name)?.(body, from),
      others: ({ from, name, body }) => void this.#handlers.get(name)?.(body, from),
      gone: number => {
        for (const listener of this.#whenGone) listener(number)
      }
    }
  }

  /** Handles calls and messages of the other workers. */
  serve(name: string, handler: (body: unknown, from: number) => unknown): void {
    this.#handlers.set(name, handler)
  }

  /** Calls `listener` when a worker has ended. The worker that replaces it begins without its state. */
  onGone(listener: (number: number) => void): void {
    this.#whenGone.push(listener)
  }

  /**
   * Calls another worker. Throws a LinkError; {@link isAway} tells whether the reason is that the other worker does not
   * serve.
   */
  call(to: number, name: string, body?: unknown, timeoutMs?: number): Promise<unknown> {
    return this.parent.call('peer', { to, name, body, timeoutMs }, timeoutMs)
  }

  /** Calls all other workers. Returns the answers that came in time, in the order of the workers' numbers. */
  async callOthers(name: string, body: unknown, timeoutMs: number): Promise<unknown[]> {
    const others = Array.from({ length: this.count }, (_, index) => index + 1).filter(to => to !== this.number)
    const asked = others.map(to => this.call(to, name, body, timeoutMs).then(answer => [answer]))
    return (await Promise.allSettled(asked)).flatMap(settled => (settled.status === 'fulfilled' ? settled.value : []))
  }

  /** Sends a message to all others. */
  tellOthers(name: string, body: unknown): void {
    this.parent.tell('others', { name, body })
  }
}

export const isAway = (error: unknown): boolean => error instanceof LinkError && error.cause?.code === AWAY

/**
 * The parent's handlers that pass messages from one worker on to others.
 *
 * @param linkTo the link to a worker; `undefined`: it does not serve
 * @param tellOthers sends a message to all workers but `from`
 */
export const passingOn = (
  from: number,
  linkTo: (number: number) => ParentLink | undefined,
  tellOthers: (message: PeerMessage & { readonly from: number }) => void
): Pick<Handlers<ParentServes>, 'peer' | 'others'> => ({
  others: message => tellOthers({ ...message, from }),
  peer: async ({ to, name, body, timeoutMs }) => {
    const other = linkTo(to)
    if (other === undefined) throw away(to)
    const waitMs = timeoutMs === undefined ? undefined : timeoutMs + PASSING_MARGIN_MS
    return other.call('peer', { from, name, body }, waitMs).catch((error: LinkError) => {
      throw error.cause === undefined ? away(to) : Object.assign(new Error(error.message), { code: error.cause.code })
    })
  }
})

const away = (number: number): Error => Object.assign(new Error(`worker ${number} does not serve`), { code: AWAY })
