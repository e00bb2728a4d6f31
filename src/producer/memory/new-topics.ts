import { addCount } from '../../core/counts.js'
import type { RecordFailure } from '../../core/model.js'
import { CREATIONS_PER_SECOND } from '../../router/routing/refresh-schedule.js'
import { failures } from './failures.js'

/** How many topics brokers are asked to create in this time; at least those of one second, which may be asked for at once. */
export const creationsIn = (ms: number): number => Math.floor(Math.max(1, ms / 1_000) * CREATIONS_PER_SECOND)

/**
 * The places of topics that wait for their creation: as many as can be created in the time that their records have. Each belongs
 * to the client that named the topic first.
 */
export class NewTopics {
  readonly #max: number
  readonly #clients = new Map<string, string | undefined>()
  readonly #counts = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#clients.size
  }

  get topics(): Iterable<string> {
    return this.#clients.keys()
  }

  has(topic: string): boolean {
    return this.#clients.has(topic)
  }

  /** The client that named the topic first; `undefined`: it is not known, or the topic has no place. */
  clientOf(topic: string): string | undefined {
    return this.#clients.get(topic)
  }

  /**
   * Why a topic gets no place; `undefined`: it gets one. A client, and a request, gets a place while it has at most as many as are
   * free, so that half of them are left to others.
   *
   * @param client `undefined`: the program itself, or a client that is not known
   * @param ofRequest places that the request has taken
   */
  refusalOf(topic: string, client: string | undefined, ofRequest: number): RecordFailure | undefined {
    if (this.has(topic)) return undefined
    const free = this.#max - this.size
    const ofClient = client === undefined ? 0 : (this.#counts.get(client) ?? 0)
    return free < 1 || Math.max(ofClient, ofRequest) > free ? failures.tooManyNewTopics(this.size) : undefined
  }

  /** A topic that has a place keeps it. @returns whether it had none */
  take(topic: string, client: string | undefined): boolean {
    if (this.has(topic)) return false
    this.#clients.set(topic, client)
    if (client !== undefined) addCount(this.#counts, client, 1)
    return true
  }

  release(topic: string): void {
    const client = this.#clients.get(topic)
    if (this.#clients.delete(topic) && client !== undefined) addCount(this.#counts, client, -1)
  }
}
