import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { noop } from '../../core/ending.js'

/** Size of the buffer. Node reads as many bytes at once. */
const READ_BYTES = 64 * 1024

const symbols = Object.getOwnPropertySymbols(new Socket())
/** Fields that Node sets for the option `onread`; it has no public names for them. */
const [BUFFER, CALLBACK] = ['kBuffer', 'kBufferCb'].map(name => symbols.find(({ description }) => description === name))

/** A socket's connection to the operating system; Node has no public name for it. */
interface HandleHolder {
  readonly _handle?: { useUserBuffer?(buffer: Buffer): void } | null
}

/**
 * One buffer into which all sockets read. A new buffer for each read costs more than the rest of a small request.
 */
export class SharedBuffer {
  readonly #bytes = Buffer.allocUnsafeSlow(READ_BYTES)
  readonly #callback: (this: Socket, lengthBytes: number) => boolean

  /** @param take called with bytes that are valid during the call only; returns whether more may be read */
  constructor(take: (this: Socket, bytes: Buffer) => boolean) {
    const bytes = this.#bytes
    // The view of the last read: many reads have the same size, that of a full buffer or of a usual request.
    let view = bytes
    this.#callback = function (lengthBytes) {
      if (view.length !== lengthBytes) view = bytes.subarray(0, lengthBytes)
      return take.call(this, view)
    }
  }

  /**
   * Lets a newly accepted socket read into this buffer.
   *
   * The option `onread` is public, but it cannot be set on an accepted socket. So this sets what Node sets for it, two fields and the
   * buffer of the handle: all are private to Node. A test names them for each version of Node.
   *
   * @returns false: this Node has no such fields; the socket is as it was
   */
  adopt(socket: Socket): boolean {
    const { _handle: handle } = socket as HandleHolder
    if (BUFFER === undefined || CALLBACK === undefined || typeof handle?.useUserBuffer !== 'function') return false
    Object.assign(socket, { [BUFFER]: this.#bytes, [CALLBACK]: this.#callback })
    handle.useUserBuffer(this.#bytes)
    return true
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

/**
 * Keeps a large piece. A piece whose buffer will be reused is copied into a spare buffer, which costs less than a new one.
 *
 * @returns `undefined` for a piece that is small
 */
export function keepPiece(piece: Buffer, lasts: boolean): KeptPiece | undefined {
  if (piece.length * 2 < READ_BYTES || piece.length > READ_BYTES) return undefined
  if (lasts) return { bytes: piece, release: noop }
  const memory = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES)
  memory.set(piece)
  const release = (): void => {
    if (spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(memory)
  }
  return { bytes: memory.subarray(0, piece.length), release }
}

/** Makes a socket notice its end while it is paused, as sockets without `onread` do. */
export function seeEndWhilePaused(socket: Socket): void {
  const pause = Duplex.prototype.pause.bind(socket)
  socket.pause = () => {
    pause()
    return socket
  }
}
