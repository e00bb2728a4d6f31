import type { ServerResponse } from 'node:http'

/** A copy of the body of a request that waits. It is dropped as soon as the client leaves. */
export class WaitingBody {
  /** Resolves when the client has left. */
  readonly left: Promise<void>
  readonly #response: ServerResponse
  readonly #onLeft: () => void
  #body: Buffer | undefined

  /** @param body valid during the call */
  constructor(body: Buffer, response: ServerResponse) {
    this.#body = Buffer.from(body)
    this.#response = response
    let resolveLeft = (): void => undefined
    this.left = new Promise(resolve => {
      resolveLeft = resolve
    })
    this.#onLeft = () => {
      this.#body = undefined
      resolveLeft()
    }
    response.once('close', this.#onLeft)
  }

  /** The wait is over. @returns `undefined`: the client has left */
  end(): Buffer | undefined {
    this.#response.off('close', this.#onLeft)
    return this.#body
  }
}
