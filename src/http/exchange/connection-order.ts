import type { Socket } from 'node:net'

/** Steps that are carried out later, those of one connection in their order. */
export class ConnectionOrder {
  readonly #last = new Map<Socket, Promise<void>>()

  /** Whether a step of the connection has not ended. */
  has(socket: Socket): boolean {
    return this.#last.size > 0 && this.#last.has(socket)
  }

  /** @param step called when those before it have ended, also where they have failed @returns its outcome */
  add(socket: Socket, step: () => Promise<void>): Promise<void> {
    const turn = (this.#last.get(socket) ?? Promise.resolve()).then(step)
    const forget = (): void => void (this.#last.get(socket) === last && this.#last.delete(socket))
    const last = turn.then(forget, forget)
    this.#last.set(socket, last)
    return turn
  }
}
