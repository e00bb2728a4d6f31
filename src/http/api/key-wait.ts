import type { IncomingMessage, ServerResponse } from 'node:http'
import { inTime } from '../../core/in-time.js'
import type { AcceptedRequest, AsyncAnswer } from '../exchange/async-answer.js'
import { originOf } from './request-origin.js'

/** Longest wait for the receipt: it exists when all records of the earlier request are on disk. */
export const RECEIPT_LIMIT_MS = 5_000
/**
 * How long the receipt is still waited for before the request is refused: the owner of the key may be another process.
 */
const LAST_LIMIT_MS = 200

/**
 * Lets a request whose client prefers not to wait (`Prefer: respond-async`) have the receipt of the earlier one that is under
 * way with its key, when the time that the client prefers is over.
 */
export class EarlyReceipt {
  readonly #early: AsyncAnswer
  readonly #found: Promise<AcceptedRequest | undefined>
  #isDropped = false

  /** @param headers further ones of the answer */
  constructor(
    request: IncomingMessage,
    early: AsyncAnswer,
    found: Promise<AcceptedRequest | undefined>,
    headers: Readonly<Record<string, string>>
  ) {
    this.#early = early
    this.#found = found.catch(() => undefined)
    void this.#found.then(accepted => {
      if (accepted === undefined || this.#isDropped) return
      Object.assign(early.further, headers)
      const origin = originOf(request)
      origin.acceptedRecords = accepted.records
      origin.receipt = accepted.id
    })
  }

  /** The request gets another answer. */
  drop(): void {
    this.#isDropped = true
  }

  /** The request cannot wait any longer. @returns whether it is answered with the receipt */
  async send(): Promise<boolean> {
    const accepted = await inTime(this.#found, LAST_LIMIT_MS, () => undefined)
    if (accepted !== undefined) this.#early.send(accepted)
    return accepted !== undefined
  }
}

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
    this.left = new Promise(resolve => (resolveLeft = resolve))
    this.#onLeft = () => {
      this.#body = undefined
      resolveLeft()
    }
    response.once('close', this.#onLeft)
  }

  /** `undefined`: the client has left. */
  get body(): Buffer | undefined {
    return this.#body
  }

  /** The wait is over. @returns `undefined`: the client has left */
  end(): Buffer | undefined {
    this.#response.off('close', this.#onLeft)
    return this.#body
  }
}
