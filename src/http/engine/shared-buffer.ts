import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net'
import { Duplex } from 'node:stream'

/** Size of the buffer. Node reads as many bytes at once. */
const READ_BYTES = 64 * 1024

/** A socket's connection to the operating system; Node has no public name for it. */
interface HandleHolder {
  _handle?: object | null
}

/**
 * One buffer into which all sockets read. A new buffer for each read costs more than the rest of a small request.
 */
export class SharedBuffer {
  readonly #bytes = Buffer.allocUnsafeSlow(READ_BYTES)
  /** The view of the last read: many reads have the same size, that of a full buffer or of a usual request. */
  #view = this.#bytes

  /**
   * Replaces a newly accepted socket by one that reads into this buffer.
   *
   * The option `onread` is public, but it cannot be set on an accepted socket. So the handle of this socket moves to a new
   * socket, by a field and an option that are private to Node. A test names both for each version of Node.
   *
   * @param take called with bytes that are valid during the call only; returns whether more may be read
   * @returns `undefined`: this Node has no such field; the accepted socket is as it was
   */
  adopt(accepted: Socket, take: (bytes: Buffer) => boolean): Socket | undefined {
    const holder = accepted as HandleHolder
    const handle = holder._handle
    if (!isReadable(handle)) return undefined
    const options: SocketConstructorOpts & ConnectOpts & { handle: object } = {
      handle,
      allowHalfOpen: true,
      onread: { buffer: this.#bytes, callback: lengthBytes => take(this.#viewOf(lengthBytes)) }
    }
    const socket = new Socket(options)
    holder._handle = null
    // The server counts the accepted socket as an open connection, and may close it.
    socket.once('close', () => accepted.destroy())
    accepted.once('close', () => socket.destroy())
    return socket
  }

  #viewOf(lengthBytes: number): Buffer {
    if (this.#view.length !== lengthBytes) this.#view = this.#bytes.subarray(0, lengthBytes)
    return this.#view
  }
}

/** A small part of a buffer is copied: kept as it is, it would keep all of the buffer. */
const MAX_WASTE = 4

/** A part of a buffer that may be kept. @param lasts whether the bytes stay valid */
export const lastingPart = (part: Buffer, lasts: boolean): Buffer =>
  lasts && part.length * MAX_WASTE >= part.buffer.byteLength ? part : Buffer.from(part)

/** A piece of a body that is kept until the body gets a reader. */
export interface KeptPiece {
  readonly bytes: Buffer
  /** The memory is used for other pieces. `bytes` must not be used afterwards. */
  release(): void
}

const MAX_SPARE_BUFFERS = 64
const spareBuffers: Buffer[] = []
const nothing = (): void => {}

/**
 * Keeps a large piece. A piece whose buffer will be reused is copied into a spare buffer, which costs less than a new one.
 *
 * @returns `undefined` for a piece that is small
 */
export function keepPiece(piece: Buffer, lasts: boolean): KeptPiece | undefined {
  if (piece.length * 2 < READ_BYTES || piece.length > READ_BYTES) return undefined
  if (lasts) return { bytes: piece, release: nothing }
  const memory = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES)
  memory.set(piece)
  const release = (): void => {
    if (spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(memory)
  }
  return { bytes: memory.subarray(0, piece.length), release }
}

const isReadable = (handle: object | null | undefined): handle is object =>
  typeof (handle as { useUserBuffer?: unknown } | null | undefined)?.useUserBuffer === 'function'

/** Makes a socket notice its end while it is paused, as sockets without `onread` do. */
export function seeEndWhilePaused(socket: Socket): void {
  const pause = Duplex.prototype.pause.bind(socket)
  socket.pause = () => {
    pause()
    return socket
  }
}
