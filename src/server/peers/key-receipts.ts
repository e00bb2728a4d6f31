import type { GivenReceipt } from '../../producer/keys/keyed-records.js'
import type { AskedKey, LocalKeys } from '../../producer/keys/keys.js'
import { CALL_TIMEOUT_MS, type KeyLink, MARGIN_MS, partOf, pausesOf, placeToWait } from './key-link.js'
import type { OwnedKeys } from './owned-keys.js'

interface WaitingQuestion extends AskedKey {
  readonly waitMs: number
}

/** Finds the receipts of requests that are under way, at this process or at another one. */
export class KeyReceipts {
  readonly #own: LocalKeys
  readonly #link: KeyLink
  readonly #owned: OwnedKeys
  readonly #closed: AbortSignal

  constructor(own: LocalKeys, link: KeyLink, owned: OwnedKeys, closed: AbortSignal) {
    this.#own = own
    this.#link = link
    this.#owned = owned
    this.#closed = closed
    link.serve('claimer', asked => owned.claimerOf((asked as { hash: string }).hash))
    link.serve('receipt', asked => {
      const { waitMs, ...key } = asked as WaitingQuestion
      return own.receiptOf(key, waitMs)
    })
  }

  /** @returns `undefined`: the request has no receipt in time, or its process does not answer */
  async of(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    const release = placeToWait(this.#link, asked.hash)
    if (release === undefined) return undefined
    const endsAt = performance.now() + waitMs
    const pause = pausesOf(this.#link, this.#closed)
    try {
      for (let leftMs = waitMs; leftMs > 0 && !this.#closed.aborted; leftMs = endsAt - performance.now()) {
        const found = await this.#find(asked, leftMs).catch(() => undefined)
        if (found !== undefined) return found
        // The verdict on the request may still be on its way to its process.
        await pause()
      }
      return undefined
    } finally {
      release()
    }
  }

  /** @throws Error when another process has to be asked, and does not answer */
  async #find(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    const { self } = this.#link
    const owner = this.#link.ownerOf(asked.hash)
    const at =
      owner === self
        ? this.#owned.claimerOf(asked.hash)
        : await this.#link.call(owner, 'claimer', { hash: asked.hash }, CALL_TIMEOUT_MS)
    if (at === undefined) return undefined
    if (at === self) return this.#own.receiptOf(asked, waitMs)
    const partMs = partOf(this.#link, waitMs)
    const question: WaitingQuestion = { ...asked, waitMs: partMs }
    return (await this.#link.call(String(at), 'receipt', question, partMs + MARGIN_MS)) as GivenReceipt | undefined
  }
}
