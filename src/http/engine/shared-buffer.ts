import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net'
import { Duplex } from 'node:stream'

/** As much as Node reads at once. */
const READ_BYTES = 64 * 1024

/** Takes what was read from a socket. @returns whether more may be read */
export type TakeBytes = (bytes: Buffer) => boolean

/** A socket's connection to the operating system; Node has no public name for it. */
interface HandleHolder {
  _handle?: object | null
}

/**
 * One buffer that is read into for all sockets. A new buffer for each read costs more than a small request does
 * otherwise.
 */
export class SharedBuffer {
  readonly #bytes = Buffer.allocUnsafeSlow(READ_BYTES)

  /**
   * Makes a socket that reads into this buffer, of one that has just been accepted.
   *
   * The option `onread` is public, but an accepted socket cannot be given it: its handle moves to a new socket, through
   * a field and an option that are Node's own. A test names both for each version of Node.
   *
   * @param take called with bytes that are valid during the call only
   * @returns `undefined`: this Node has no such field; the accepted socket is as it was
   */
  adopt(accepted: Socket, take: TakeBytes): Socket | undefined {
    const holder = accepted as HandleHolder
    const handle = holder._handle
    if (!isReadable(handle)) return undefined
    const bytes = this.#bytes
    const options: SocketConstructorOpts & ConnectOpts & { handle: object } = {
      handle,
      allowHalfOpen: true,
      onread: { buffer: bytes, callback: lengthBytes => take(bytes.subarray(0, lengthBytes)) }
    }
    const socket = new Socket(options)
    holder._handle = null
    // The server counts the accepted socket as an open connection, and may close it.
    socket.once('close', () => accepted.destroy())
    accepted.once('close', () => socket.destroy())
    return socket
  }
}

/** Whether a handle can read into a given buffer. */
const isReadable = (handle: object | null | undefined): handle is object =>
  typeof (handle as { useUserBuffer?: unknown } | null | undefined)?.useUserBuffer === 'function'

/** Makes a socket see its end while it is paused, as all sockets do that have no `onread`. */
export function seeEndWhilePaused(socket: Socket): void {
  const pause = Duplex.prototype.pause.bind(socket)
  socket.pause = () => {
    pause()
    return socket
  }
}
