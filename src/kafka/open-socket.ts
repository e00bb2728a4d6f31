import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'

/** How long a connection may be quiet before the operating system probes whether the peer is still there. */
const KEEP_ALIVE_DELAY_MS = 60_000

/** Takes the bytes that a socket receives. */
export interface SocketReader {
  /** Where the next bytes are to be put. */
  space(): Buffer
  /** This many bytes have been put there. */
  received(bytes: number): void
}

/**
 * Opens a socket that reads straight into the buffer of the reader, so that a large response is not copied together
 * from pieces. Nagle's algorithm is off: a request is written in one go, and holding it back would gain nothing.
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
 * Closes a socket so that nothing that was written to it arrives any more. After an ordinary close the operating system
 * goes on delivering: a commit that was given up could be stored after the one that was sent in its place over another
 * connection. Node can reset TCP only, so one with TLS is closed in the ordinary way.
 */
export function resetSocket(socket: Socket, error: Error): void {
  if (!socket.connecting && !socket.destroyed && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
  socket.destroy(error)
}
