import { PERSISTED_HEADER } from '../../gateway/persisted.js'
import { RECEIPT_HEADER } from '../../gateway/receipts.js'
import type { WrittenAnswer } from './kept-response.js'

type Pair = readonly [name: string, value: string]

/** The parts of answers that are kept for keys: millions of them share theirs. */
export class KeptParts {
  readonly #status: number
  readonly #type: Pair
  readonly #typeLine: string
  /** Those of the last answer. Most answers of a template say the same of their records. */
  #persisted: Pair = [PERSISTED_HEADER, '']
  #lines = ''
  #text = ''
  #body = Buffer.alloc(0)

  constructor(status: number, type: string) {
    this.#status = status
    this.#type = ['content-type', type]
    this.#typeLine = `content-type: ${type}\r\n`
  }

  answer(persisted: string | undefined, receipt: string | undefined, text: string): WrittenAnswer {
    if (text !== this.#text) {
      this.#text = text
      this.#body = Buffer.from(text)
    }
    if (persisted !== undefined && persisted !== this.#persisted[1]) {
      this.#persisted = [PERSISTED_HEADER, persisted]
      this.#lines = `${this.#typeLine}${PERSISTED_HEADER}: ${persisted}\r\n`
    }
    const lines = persisted === undefined ? this.#typeLine : this.#lines
    return {
      status: this.#status,
      headers: this.#headersWith(persisted, receipt),
      body: this.#body,
      lines: receipt === undefined ? lines : `${lines}${RECEIPT_HEADER}: ${receipt}\r\n`,
      persisted
    }
  }

  #headersWith(persisted: string | undefined, receipt: string | undefined): WrittenAnswer['headers'] {
    // A list grows in large steps, so each is created with all its elements.
    if (persisted === undefined) return receipt === undefined ? [this.#type] : [this.#type, [RECEIPT_HEADER, receipt]]
    if (receipt === undefined) return [this.#type, this.#persisted]
    return [this.#type, this.#persisted, [RECEIPT_HEADER, receipt]]
  }
}
