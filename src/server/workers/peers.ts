import { type Handlers, LinkError } from './link.js'
import type { ParentLink, ParentServes, PeerMessage, WorkerLink, WorkerServes } from './messages.js'

/** What tells that a worker is not there: it has ended, or does not serve yet. */
const AWAY = 'peerAway'

/** The worker that asks gives up first, and the parent so much later. */
const PASSING_MARGIN_MS = 1_000

/** The other workers, as one of them reaches them: by way of the parent, the process that has started all. */
export class Peers {
  /** Of this worker, from 1. */
  readonly number: number
  readonly count: number
  /** The process that has started all workers. */
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

  /** Answers the others. */
  serve(name: string, handler: (body: unknown, from: number) => unknown): void {
    this.#handlers.set(name, handler)
  }

  /** A worker has ended; its successor knows nothing of what was before. */
  onGone(listener: (number: number) => void): void {
    this.#whenGone.push(listener)
  }

  /** @throws LinkError; {@link isAway} tells whether the other one is not there */
  call(to: number, name: string, body?: unknown, timeoutMs?: number): Promise<unknown> {
    return this.parent.call('peer', { to, name, body, timeoutMs }, timeoutMs)
  }

  /** The answers of all others that are there and answer in time, in the order of their numbers. */
  async callOthers(name: string, body: unknown, timeoutMs: number): Promise<unknown[]> {
    const others = Array.from({ length: this.count }, (_, index) => index + 1).filter(to => to !== this.number)
    const asked = others.map(to => this.call(to, name, body, timeoutMs).then(answer => [answer]))
    return (await Promise.allSettled(asked)).flatMap(settled => (settled.status === 'fulfilled' ? settled.value : []))
  }

  /** Tells all others. */
  tellOthers(name: string, body: unknown): void {
    this.parent.tell('others', { name, body })
  }
}

export const isAway = (error: unknown): boolean => error instanceof LinkError && error.cause?.code === AWAY

/**
 * What lets a worker call the others, at the parent.
 *
 * @param linkTo `undefined`: that one does not serve
 * @param tellOthers all but the worker itself
 */
export const passingOn = (
  from: number,
  linkTo: (number: number) => ParentLink | undefined,
  tellOthers: (told: PeerMessage & { readonly from: number }) => void
): Pick<Handlers<ParentServes>, 'peer' | 'others'> => ({
  others: told => tellOthers({ ...told, from }),
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
