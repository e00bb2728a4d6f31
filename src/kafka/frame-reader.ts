import { ProtocolError } from '../core/errors.js'

/** The staging buffer begins small: a connection that only sees heartbeats needs no more. */
const FIRST_STAGING_BYTES = 4 * 1024
const STAGING_BYTES = 64 * 1024
/** First size of the buffer for a large frame. It grows with the bytes that really arrive, whatever the length field claims. */
const FIRST_FRAME_BYTES = 1024 * 1024
/** A buffer up to this size is kept for the next large frame, because fresh memory is slow. */
const KEPT_FRAME_BYTES = 9 * 1024 * 1024
const LENGTH_BYTES = 4
/** A response has at least its correlation id. */
const SMALLEST_FRAME_BYTES = 4

/** What the first four bytes of other protocols would be as a length. */
const HTTP_RESPONSE = Buffer.from('HTTP').readInt32BE()
const TLS_ALERT = 0x1503
/** The minor version of TLS, the length of the record. */
const TLS_VARIABLE_BITS = 16

export type ForeignProtocol = 'HTTP' | 'TLS'

/** The peer is no Kafka broker, or speaks TLS where we do not. */
export class ForeignProtocolError extends ProtocolError {
  readonly protocol: ForeignProtocol
  constructor(protocol: ForeignProtocol) {
    super(`the bytes are ${protocol}, not Kafka's protocol`)
    this.protocol = protocol
  }
}

const foreignProtocolOf = (length: number): ForeignProtocol | undefined => {
  if (length === HTTP_RESPONSE) return 'HTTP'
  return length >> TLS_VARIABLE_BITS === TLS_ALERT ? 'TLS' : undefined
}

/**
 * Cuts what a socket receives into frames: a length, i32, and so many bytes. The socket reads straight into `space()`,
 * so the body of a large response is not copied.
 *
 *   staging  [ whole frames … | start of one ]      small frames are handed out as they stand
 *   frame    [ start | space for the rest ]          a frame larger than the staging buffer
 */
export class FrameReader {
  readonly #maxBytes: number
  readonly #onFrame: (frame: Buffer) => void
  #staging = Buffer.allocUnsafeSlow(FIRST_STAGING_BYTES)
  #gatheredBytes = 0
  #frame: Buffer | undefined
  /** Bytes of the large frame being received, 0: none is. */
  #frameLength = 0
  #frameFilled = 0

  /**
   * @param maxBytes of a frame
   * @param onFrame gets each frame without its length; the bytes are only its own until it returns
   */
  constructor(maxBytes: number, onFrame: (frame: Buffer) => void) {
    this.#maxBytes = maxBytes
    this.#onFrame = onFrame
  }

  /** Where the next bytes are to be put; never empty. */
  space(): Buffer {
    if (this.#frameLength === 0) return this.#staging.subarray(this.#gatheredBytes)
    return this.#frame!.subarray(this.#frameFilled, Math.min(this.#frame!.length, this.#frameLength))
  }

  /**
   * This many bytes have been put into `space()`.
   *
   * @throws ProtocolError when a length is negative, too small or too large (ForeignProtocolError when it is the beginning of
   * another protocol); the reader is of no use after it
   */
  received(bytes: number): void {
    if (this.#frameLength === 0) {
      this.#gatheredBytes += bytes
      this.#takeGathered()
      return
    }
    this.#frameFilled += bytes
    if (this.#frameFilled === this.#frameLength) this.#finishFrame()
    else if (this.#frameFilled === this.#frame!.length) this.#growFrame(this.#frame!.length * 2)
  }

  #takeGathered(): void {
    const gathered = this.#gatheredBytes
    let at = 0
    while (gathered - at >= LENGTH_BYTES) {
      const length = this.#checkedLength(this.#staging.readInt32BE(at))
      const end = at + LENGTH_BYTES + length
      if (end > gathered) {
        if (LENGTH_BYTES + length > STAGING_BYTES) {
          this.#startFrame(length, at + LENGTH_BYTES, gathered)
          return
        }
        break
      }
      this.#onFrame(this.#staging.subarray(at + LENGTH_BYTES, end))
      at = end
    }
    if (at > 0) this.#staging.copyWithin(0, at, gathered)
    this.#gatheredBytes = gathered - at
    // A read that fills it may have left something in the socket.
    if (gathered === this.#staging.length) this.#growStaging()
  }

  #growStaging(): void {
    if (this.#staging.length === STAGING_BYTES) return
    const larger = Buffer.allocUnsafeSlow(STAGING_BYTES)
    larger.set(this.#staging.subarray(0, this.#gatheredBytes))
    this.#staging = larger
  }

  #checkedLength(length: number): number {
    if (length < SMALLEST_FRAME_BYTES) throw new ProtocolError(`a response claims a length of ${length} bytes`)
    if (length > this.#maxBytes) {
      const foreign = foreignProtocolOf(length)
      if (foreign !== undefined) throw new ForeignProtocolError(foreign)
      throw new ProtocolError(`a response of ${length} bytes is larger than maxResponseBytes (${this.#maxBytes})`)
    }
    return length
  }

  #startFrame(length: number, from: number, to: number): void {
    this.#frameLength = length
    this.#frameFilled = to - from
    if (this.#frame === undefined) this.#growFrame(FIRST_FRAME_BYTES)
    this.#frame!.set(this.#staging.subarray(from, to))
    this.#gatheredBytes = 0
  }

  #growFrame(bytes: number): void {
    const frame = Buffer.allocUnsafeSlow(Math.max(FIRST_FRAME_BYTES, Math.min(bytes, this.#frameLength)))
    if (this.#frame !== undefined) frame.set(this.#frame.subarray(0, this.#frameFilled))
    this.#frame = frame
  }

  #finishFrame(): void {
    const frame = this.#frame!.subarray(0, this.#frameLength)
    this.#frameLength = this.#frameFilled = 0
    this.#onFrame(frame)
    if (this.#frame!.length > KEPT_FRAME_BYTES) this.#frame = undefined
  }
}
