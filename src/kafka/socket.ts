import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'
import { ProtocolError } from '../core/errors.js'

/** First size of the staging buffer. It is small, because a connection with only heartbeats needs no more. */
const FIRST_STAGING_BYTES = 4 * 1024
const STAGING_BYTES = 64 * 1024
/** First size of the buffer for a large frame. The buffer grows with the bytes that arrive, not with the claimed length. */
const FIRST_FRAME_BYTES = 1024 * 1024
/** A buffer up to this size is kept for the next large frame, because allocating memory is slow. */
const KEPT_FRAME_BYTES = 9 * 1024 * 1024
const LENGTH_BYTES = 4
/** The shortest response has only a correlation id. */
const SMALLEST_FRAME_BYTES = 4

// The first bytes of other protocols, read as a length.

const HTTP_RESPONSE = Buffer.from('HTTP').readInt32BE()
const TLS_ALERT = 0x1503
/** The type and the major version of a TLS alert come first, then 16 bits that vary. */
const TLS_VARIABLE_BITS = 16

export type ForeignProtocol = 'HTTP' | 'TLS'

/** The peer is not a Kafka broker, or it uses TLS and this side does not. */
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
 * Cuts received bytes into frames. A frame is a length (i32) and this many bytes. The socket reads straight into
 * `space()`, so the body of a large response is not copied.
 *
 *   staging  [ whole frames … | start of one ]      small frames are passed on as views of this buffer
 *   frame    [ start | space for the rest ]          a frame larger than the staging buffer
 */
export class FrameReader {
  readonly #maxBytes: number
  readonly #onFrame: (frame: Buffer) => void
  #staging = Buffer.allocUnsafeSlow(FIRST_STAGING_BYTES)
  #gatheredBytes = 0
  #frame: Buffer | undefined
  /** Length of the large frame that is being received; 0: there is none. */
  #frameLength = 0
  #frameFilled = 0

  /**
   * @param maxBytes limit of a frame
   * @param onFrame gets each frame without its length; the bytes are valid until it returns
   */
  constructor(maxBytes: number, onFrame: (frame: Buffer) => void) {
    this.#maxBytes = maxBytes
    this.#onFrame = onFrame
  }

  /** The buffer for the next bytes; never empty. */
  space(): Buffer {
    if (this.#frameLength === 0) return this.#staging.subarray(this.#gatheredBytes)
    return this.#frame!.subarray(this.#frameFilled, Math.min(this.#frame!.length, this.#frameLength))
  }

  /**
   * Called when this many bytes have been written into `space()`.
   *
   * @throws ForeignProtocolError when a length is the beginning of another protocol, ProtocolError when it is too small or too
   * large; the reader must not be used afterwards
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
    // A read that fills the buffer may have left bytes in the socket.
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

/** After a connection was idle for this time, the operating system probes whether the peer still answers. */
const KEEP_ALIVE_DELAY_MS = 60_000

/** Receives the bytes of a socket. */
interface SocketReader {
  /** The buffer for the next bytes. */
  space(): Buffer
  /** Called when this many bytes have been written into the buffer. */
  received(bytes: number): void
}

/**
 * Opens a socket that reads straight into the buffer of the reader, so that a large response is not assembled from copies.
 * Nagle's algorithm is off, because a request is written in one piece and gains nothing by waiting.
 */
export function openSocket(
  { host, port }: { readonly host: string; readonly port: number },
  tls: ConnectionOptions | undefined,
  reader: SocketReader,
  onConnect: () => void
): Socket {
  const onread = {
    buffer: () => reader.space(),
    callback: (bytes: number) => {
      reader.received(bytes)
      return true
    }
  }
  const socket =
    tls === undefined
      ? connectTcp({ host, port, onread }, onConnect)
      : connectTls(
          { ...(isIP(host) ? {} : { servername: host }), ...tls, host, port, onread } as ConnectionOptions,
          onConnect
        )
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
  return socket
}

/**
 * Closes a socket so that bytes that were written to it are discarded. After an ordinary close the operating system
 * still delivers these bytes, and a broker could store an abandoned commit after the commit that replaced it on another
 * connection. Node can only reset TCP, so a socket with TLS is closed in the ordinary way.
 */
export function resetSocket(socket: Socket, error: Error): void {
  if (!socket.connecting && !socket.destroyed && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
  socket.destroy(error)
}
