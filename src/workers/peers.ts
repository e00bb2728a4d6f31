import { type Link, LinkError } from './link.js'

/** What tells that a worker is not there: it has ended, or does not serve yet. */
const AWAY = 'peerAway'

interface Passed {
  readonly name: string
  readonly body: unknown
  readonly timeoutMs?: number | undefined
}

/** The worker that asks gives up first, and the parent so much later. */
const PASSING_MARGIN_MS = 1_000

/** The other workers, as one of them reaches them: by way of the parent, the process that has started all. */
export class Peers {
  /** Of this worker, from 1. */
  readonly number: number
  readonly count: number
  readonly #link: Link
  readonly #handlers = new Map<string, (body: unknown, from: number) => unknown>()
  readonly #whenGone: ((number: number) => void)[] = []

  constructor(link: Link, number: number, count: number) {
    this.#link = link
    this.number = number
    this.count = count
    link.serve('peer', passed => {
      const { from, name, body } = passed as Passed & { readonly from: number }
      return this.#handlers.get(name)?.(body, from)
    })
    link.serve('others', told => {
      const { from, name, body } = told as Passed & { readonly from: number }
      this.#handlers.get(name)?.(body, from)
    })
    link.serve('gone', gone => {
      for (const listener of this.#whenGone) listener(gone as number)
    })
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
    return this.#link.call('peer', { to, name, body, timeoutMs }, timeoutMs)
  }

  /** The answers of all others that are there and answer in time, in the order of their numbers. */
  async callOthers(name: string, body: unknown, timeoutMs: number): Promise<unknown[]> {
    const others = Array.from({ length: this.count }, (_, index) => index + 1).filter(to => to !== this.number)
    const asked = others.map(to => this.call(to, name, body, timeoutMs).then(answer => [answer]))
    return (await Promise.allSettled(asked)).flatMap(settled => (settled.status === 'fulfilled' ? settled.value : []))
  }

  /** Tells all others. */
  tellOthers(name: string, body: unknown): void {
    this.#link.tell('others', { name, body })
  }

  /** Tells the process that has started all workers. */
  tellParent(name: string, body: unknown): void {
    this.#link.tell(name, body)
  }

  /** Asks the process that has started all workers. */
  askParent(name: string, body: unknown, timeoutMs: number): Promise<unknown> {
    return this.#link.call(name, body, timeoutMs)
  }
}

export const isAway = (error: unknown): boolean => error instanceof LinkError && error.cause?.code === AWAY

/**
 * Lets a worker call the others.
 *
 * @param linkTo `undefined`: that one does not serve
 * @param tellOthers all but the worker itself
 */
export function passOn(
  link: Link,
  from: number,
  linkTo: (number: number) => Link | undefined,
  tellOthers: (name: string, body: unknown) => void
): void {
  link.serve('others', told => tellOthers('others', { ...(told as Passed), from }))
  link.serve('peer', async passed => {
    const { to, name, body, timeoutMs } = passed as Passed & { readonly to: number }
    const other = linkTo(to)
    if (other === undefined) throw away(to)
    const waitMs = timeoutMs === undefined ? undefined : timeoutMs + PASSING_MARGIN_MS
    return other.call('peer', { from, name, body }, waitMs).catch((error: LinkError) => {
      throw error.cause === undefined ? away(to) : Object.assign(new Error(error.message), { code: error.cause.code })
    })
  })
}

const away = (number: number): Error => Object.assign(new Error(`worker ${number} does not serve`), { code: AWAY })
