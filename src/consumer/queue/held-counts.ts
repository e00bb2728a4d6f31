import { HeldAmount } from '../../core/held-amount.js'
import { getOrAdd } from '../../core/maps.js'
import type { HeldMessage } from './held-messages.js'
import type { QueueLimits } from './queue-verbs.js'

/** The limit of one client in one queue in which it waits. */
export interface ClientLimit {
  /**
   * Number of messages that this queue may acquire for the client: what is left of its limit, divided by the queues in which it
   * waits. The next change of it is told.
   */
  look(): number
  /** Must be called once, when the client no longer waits in the queue. */
  leave(): void
}

interface HoldingClient {
  held: number
  /** Number of queues in which the client waits. */
  queues: number
  /** Called at the next change. */
  readonly looking: Set<() => void>
}

/** The held messages of all queues of a process: how many there are, and of which clients. */
export class HeldCounts {
  readonly #limits: QueueLimits
  readonly #all = new HeldAmount('messages of queues')
  /** Clients that hold messages or wait. */
  readonly #clients = new Map<string, HoldingClient>()
  /** Queues that are waited for. */
  queuesThatWait = 0
  #onEmpty: (() => void) | undefined
  /** Called when the process held as much as it may, and may hold more now. */
  onFree: () => void = () => undefined

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#all.value
  }

  /** How many more the process may hold. */
  get free(): number {
    return Math.max(0, this.#limits.maxHeld - this.size)
  }

  /**
   * How many messages one queue may acquire: an equal part of what is free, for each queue that is waited for. While any is free,
   * it is at least one, so queues at once may go beyond the limit by one each.
   */
  get freeOfQueue(): number {
    return this.free === 0 ? 0 : Math.max(1, Math.floor(this.free / Math.max(1, this.queuesThatWait)))
  }

  freeOf(client: string): number {
    return Math.max(0, this.#limits.maxHeldPerClient - (this.#clients.get(client)?.held ?? 0))
  }

  add(): void {
    this.#all.add(1)
  }

  remove(): void {
    const wasFull = this.free === 0
    this.#all.release(1)
    if (this.size === 0) this.#onEmpty?.()
    if (wasFull && this.free > 0) this.onFree()
  }

  /** Resolves when no message is held. */
  emptied(): Promise<void> {
    if (this.size === 0) return Promise.resolve()
    return new Promise(resolve => (this.#onEmpty = resolve))
  }

  /** Counts a message for another client than before. `undefined`: for none. */
  move(held: HeldMessage, client: string | undefined): void {
    const former = held.client
    held.client = client
    if (client !== undefined) this.#change(client, 'held', 1)
    if (former !== undefined) this.#change(former, 'held', -1)
  }

  /** Counts a queue in which requests wait from now on. @returns to be called once, when none waits there any more */
  queueWaits(): () => void {
    this.queuesThatWait++
    return () => this.queuesThatWait--
  }

  /** The client waits in a queue from now on. @param onChange called once after each look, when the limit may have changed */
  waits(client: string, onChange: () => void): ClientLimit {
    const { looking } = this.#change(client, 'queues', 1)
    return {
      look: () => {
        looking.add(onChange)
        return this.#shareOf(client)
      },
      leave: () => {
        looking.delete(onChange)
        this.#change(client, 'queues', -1)
      }
    }
  }

  #shareOf(client: string): number {
    const free = this.freeOf(client)
    return free === 0 ? 0 : Math.max(1, Math.floor(free / (this.#clients.get(client)?.queues ?? 1)))
  }

  #change(name: string, what: 'held' | 'queues', by: number): HoldingClient {
    const client = getOrAdd(this.#clients, name, (): HoldingClient => ({ held: 0, queues: 0, looking: new Set() }))
    client[what] += by
    if (client.held === 0 && client.queues === 0) this.#clients.delete(name)
    if (client.looking.size === 0) return client
    const told = [...client.looking]
    client.looking.clear()
    for (const tell of told) tell()
    return client
  }
}
