import type { BodyReader, BodySource } from '../exchange/body-collector.js'
import { LazyReadable } from './lazy-readable.js'

/** A body that has come as a whole. Its bytes are handed on at once, so they are valid as long as those that were given. */
export class KnownBody extends LazyReadable implements BodySource {
  readonly #body: Buffer

  constructor(body: Buffer) {
    super()
    this.#body = body
  }

  handOn(reader: BodyReader): boolean {
    if (this.isOpen) return false
    if (this.#body.length > 0) reader.chunk(this.#body)
    reader.end()
    return true
  }

  override open(): void {
    if (this.isOpen) return
    super.open()
    // The stream hands its bytes on later.
    if (this.#body.length > 0) this.push(Buffer.from(this.#body))
    this.push(null)
  }

  override _read(): void {}
}
