import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Exchange } from '../exchange/exchange.js'

/**
 * The order of the requests of a connection while some of them wait for their keys: clients may send the next request
 * before they have an answer, and records of one key keep the order of their requests.
 */
export class Turns {
  readonly #last = new WeakMap<Socket, Promise<void>>()
  readonly #begun = new WeakMap<Socket, ServerResponse>()
  #waiting = 0

  /** Whether an earlier request of the connection waits. */
  mustWait({ request }: Exchange): boolean {
    return this.#waiting > 0 && this.#last.has(request.socket)
  }

  /** This process carries the request out. */
  begin({ request, response }: Exchange): void {
    this.#begun.set(request.socket, response)
  }

  /** Resolves when the requests of the connection that this process has begun to carry out are answered. */
  async answered({ request }: Exchange): Promise<void> {
    const last = this.#begun.get(request.socket)
    if (last === undefined || last.writableFinished || last.destroyed) return
    await new Promise<void>(resolve => last.once('close', resolve))
  }

  /** Lets a request without a key begin after the earlier ones. */
  receiveLater(exchange: Exchange, begin: () => void): void {
    this.add(exchange, async () => {
      this.begin(exchange)
      begin()
      // Its body comes from a stream, some ticks later.
      await new Promise(resolve => setImmediate(resolve))
    })
  }

  /** @param step called when those before it have ended; the request ends with its connection if it fails */
  add({ request: { socket }, response }: Exchange, step: () => Promise<void>): void {
    this.#waiting++
    const before = this.#last.get(socket) ?? Promise.resolve()
    const turn = before
      .then(step)
      .catch(error => void response.destroy(error as Error))
      .finally(() => {
        this.#waiting--
        if (this.#last.get(socket) === turn) this.#last.delete(socket)
      })
    this.#last.set(socket, turn)
  }
}
